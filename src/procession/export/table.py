"""Events as tables: a CSV file, or an SQLite database with a table for each kind of event."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any, TextIO, get_args

from procession.inspection.event import Event
from procession.inspection.timeline import Timeline

KINDS: tuple[type[Any], ...] = get_args(Event)
DatabaseError = sqlite3.Error
_MOST = 2**63 - 1


def write_csv(events: Iterable[Event], output: TextIO) -> None:
    """Write a row for each event: its time, task and kind, and its other fields as `name=value`."""
    writer = csv.writer(output)
    writer.writerow(("time_ns", "tid", "pid", "event", "details"))
    for event in events:
        details = " ".join(
            f"{name}={plain_value(value)}" for name, value in zip(event._fields[3:], event[3:], strict=True)
        )
        writer.writerow((*event[:3], kind_name(type(event)), details))


def write_sqlite(events: Iterable[Event], path: Path, timeline: Timeline | None = None) -> None:
    """Write a database to `path`, which must not exist: a table for each kind of event, named by it.

    Words of 2^63 and more, which SQLite's numbers don't hold, are text there, in hexadecimal. With `timeline`
    there are the tables `span` and `latency` too. Raises FileExistsError, sqlite3.Error.
    """
    with path.open("xb"):
        pass
    database = sqlite3.connect(path)
    try:
        for kind in KINDS:
            columns = ", ".join(f'"{name}"' for name in kind._fields)
            database.execute(f"CREATE TABLE {kind_name(kind)} ({columns})")
        inserts = {kind: _insert(kind_name(kind), len(kind._fields)) for kind in KINDS}
        for event in events:
            database.execute(inserts[type(event)], tuple(map(_stored_value, event)))
        if timeline is not None:
            _write_timeline(database, timeline)
        database.commit()
    finally:
        database.close()


def _write_timeline(database: sqlite3.Connection, timeline: Timeline) -> None:
    database.execute("CREATE TABLE span (tid, pid, program, state, start_ns, end_ns, cause, waker_tid)")
    database.executemany(
        _insert("span", 8),
        (
            (life.tid, life.pid, life.name, span.state.name, *span[1:])
            for life in timeline.lives
            for span in life.spans
        ),
    )
    database.execute("CREATE TABLE latency (kind, tid, start_ns, length_ns)")
    database.executemany(_insert("latency", 4), timeline.latencies)


def kind_name(kind: type[Any]) -> str:
    """The name of a kind of event in files: `system_call_entered`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def plain_value(value: Any) -> int | str | None:
    """A field's value as tables have it: bytes as text, several separated by commas."""
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, int | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return ",".join(str(plain_value(item)) for item in value)


def _stored_value(value: Any) -> int | str | None:
    plain = plain_value(value)
    return hex(plain) if isinstance(plain, int) and plain > _MOST else plain


def _insert(table: str, column_count: int) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * column_count)})"
