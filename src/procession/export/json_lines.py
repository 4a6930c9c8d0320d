"""Events as JSON, an object a line, and the JSON Schema that tells their form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from typing import Any, TextIO, get_type_hints

from procession.export.table import KINDS, kind_name
from procession.inspection.event import Event
from procession.kernel.task_state import TaskState

VERSION = 1
"""Of the format: it grows when a reader of the one before would misunderstand."""
SCHEMA_ADDRESS = "https://json-schema.org/draft/2020-12/schema"


def event_record(event: Event) -> dict[str, Any]:
    """`event` as a JSON object: its kind under "event", and its fields.

    Bytes are text, with `\\xNN` for what isn't UTF-8.
    """
    return {
        "event": kind_name(type(event)),
        **{n: _plain(v) for n, v in zip(event._fields, event, strict=True)},
    }


class JsonLines:
    """Writes each event that it takes to `output` as a line. `failure` says why nothing more is written."""

    def __init__(self, output: TextIO) -> None:
        self.output = output
        self.failure: OSError | None = None

    def take(self, event: Event) -> None:
        """Write the next event."""
        if self.failure is not None:
            return
        try:
            self.output.write(
                json.dumps(event_record(event), separators=(",", ":"), ensure_ascii=False) + "\n"
            )
        except OSError as error:
            self.failure = error

    def take_all(self, events: Iterable[Event]) -> None:
        """Write `events`."""
        for event in events:
            self.take(event)


def schema() -> dict[str, Any]:
    """The JSON Schema of a line, made from the events' classes."""
    return {
        "$schema": SCHEMA_ADDRESS,
        "title": "An event of a run in Procession",
        "description": f"One line of a trace in JSON, version {VERSION} of the format.",
        "oneOf": [_kind_schema(kind) for kind in KINDS],
    }


def _kind_schema(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    properties: dict[str, Any] = {"event": {"const": kind_name(kind)}}
    properties.update((name, _type_schema(hints[name])) for name in kind._fields)
    return {
        "title": kind_name(kind),
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _type_schema(hint: Any) -> dict[str, Any]:
    if hint is TaskState:
        return {"enum": [state.name for state in TaskState]}
    if hint is int:
        return {"type": "integer"}
    if hint is bool:
        return {"type": "boolean"}
    if hint in (str, bytes):
        return {"type": "string"}
    if getattr(hint, "__origin__", None) is tuple:
        if hint.__args__[0] is bytes:
            return {"type": "array", "items": {"type": "string"}}
        return {"type": "array", "items": {"type": ["integer", "string", "null"]}}
    raise TypeError(f"{hint!r} has no form in JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
