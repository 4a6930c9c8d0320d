"""The file of a recording: lines of JSON, compressed by zstandard; docs/recording-format.md describes it.

What is read isn't trusted: any bytes give a `Recording` whose parts are of their types, or RecordingError.
"""

from __future__ import annotations

import base64
import binascii
import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from procession.abi.named_tuple import NamedTuple
from procession.inlet import Argument, InletAction
from procession.kernel.decider import NamedChoice
from procession.recording.host_files import Answers
from procession.snapshot.settings import LARGEST_MEMORY, BadSettings, checked_settings

FORMAT = "procession-recording"
VERSION = 2
LARGEST_BYTES = 1 << 30
"""How much a recording may hold when it's unpacked."""
_LONGEST_LINE = 128 << 20
_LEVEL = 3
_MAYBE_SURROGATE = re.compile(rb"\\u[Dd]|\xed")
"""With what half a pair of UTF-16 begins in JSON, escaped or not."""


class RecordingError(Exception):
    """A file isn't a recording, or one that this version can't read."""


class HostFile(NamedTuple):
    """A file of the host that the run read: what it was then. `digest` is SHA-256's, in hexadecimal."""

    size: int
    mtime_ns: int
    digest: str


class RecordedImage(NamedTuple):
    """The image that was run: where it is, the digest of its layers, and the limits of its control group."""

    path: str
    digest: str
    memory: int | None
    cpus: int | None
    pids_max: int | None


class RecordedVolume(NamedTuple):
    """A directory of the host, and where it was shown; what the run was told of it, and has read in it."""

    path: str
    place: str
    is_read_only: bool
    answers: Answers
    contents: dict[str, bytes]


class Mark(NamedTuple):
    """Where a run was after `slice_count` slices: the time that was worked, and a digest of the registers."""

    slice_count: int
    work_ns: int
    digest: str


class Recording(NamedTuple):
    """A run.

    `settings` are `Machine`'s arguments, `environment` among them; `command` the program's. `kind` is
    "streams", "terminal" or "captured". `files` are by their paths below the rootfs; `answers` are what the
    run was told of the host's files, each with how many questions there were before it first was, and
    `contents` what is in those that it read, None unless it's a bundle.
    `end` is how it ended: "status", "signal", "reason", "slices" and "state", the hash of the whole state.
    With an `image` there are no files and no answers: its digest says what it holds.
    `kinds` is what was branched over if it's a schedule that a search has found, and `choices` is what was
    chosen; None for any other run.
    """

    procession: str
    settings: dict[str, Any]
    command: tuple[str, ...]
    is_pid1: bool
    kind: str
    actions: tuple[InletAction, ...]
    marks: tuple[Mark, ...]
    files: dict[str, HostFile]
    answers: Answers
    contents: dict[str, bytes] | None
    end: dict[str, Any]
    kinds: tuple[str, ...] | None = None
    choices: tuple[NamedChoice, ...] = ()
    image: RecordedImage | None = None
    volumes: tuple[RecordedVolume, ...] = ()


KINDS = ("streams", "terminal", "captured")


def write_recording(recording: Recording, path: str | Path) -> None:
    """Write `recording` to `path`. Raises OSError, also for one that would be too large to be read."""
    lines = [json.dumps(line, ensure_ascii=True).encode() + b"\n" for line in _lines(recording)]
    if max(map(len, lines)) > _LONGEST_LINE or sum(map(len, lines)) > LARGEST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    data = b"".join(lines)
    Path(path).write_bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(data))


def _lines(recording: Recording) -> Iterator[dict[str, Any]]:
    yield {
        "format": FORMAT,
        "version": VERSION,
        "procession": recording.procession,
        "settings": recording.settings,
        "command": list(recording.command),
        "pid1": recording.is_pid1,
        "kind": recording.kind,
        "image": None if recording.image is None else recording.image._asdict(),
        "volumes": [[volume.path, volume.place, volume.is_read_only] for volume in recording.volumes],
    }
    if recording.kinds is not None:
        yield {"branches": list(recording.kinds), "choices": [list(choice) for choice in recording.choices]}
    for action in recording.actions:
        line: dict[str, Any] = {"after": action.slice_count, "do": action.name}
        if isinstance(action.argument, bytes):
            line["bytes"] = base64.b64encode(action.argument).decode()
        elif action.argument is not None:
            line["with"] = action.argument
        yield line
    for mark in recording.marks:
        yield {"mark": list(mark)}
    for name, file in recording.files.items():
        yield {"file": name, **file._asdict()}
    yield from _told(recording.answers, recording.contents or {}, {})
    for number, volume in enumerate(recording.volumes):
        yield from _told(volume.answers, volume.contents, {"volume": number})
    yield {"end": recording.end}


def _told(answers: Answers, contents: dict[str, bytes], where: dict[str, int]) -> Iterator[dict[str, Any]]:
    for question, given in answers.items():
        yield {"asked": list(question), "answers": given, **where}
    for name, data in contents.items():
        yield {"contents": name, "bytes": base64.b64encode(data).decode(), **where}


def read_recording(path: Path) -> Recording:
    """The recording in the file `path`. Raises OSError, RecordingError."""
    lines = _parsed(_unpacked(path.read_bytes()))
    head = next(lines, None)
    if head is None or head.get("format") != FORMAT:
        raise RecordingError("not a recording of Procession's")
    if head.get("version") != VERSION:
        raise RecordingError(
            f"its format is version {head.get('version')!r}, this Procession reads {VERSION}"
        )
    actions: list[InletAction] = []
    marks: list[Mark] = []
    files: dict[str, HostFile] = {}
    volumes = _volumes(head.get("volumes"))
    answers: Answers = {}
    contents: dict[str, bytes] = {}
    end: dict[str, Any] | None = None
    kinds: tuple[str, ...] | None = None
    choices: tuple[NamedChoice, ...] = ()
    for line in lines:
        if "do" in line:
            actions.append(_action(line))
        elif "mark" in line:
            marks.append(_mark(line["mark"]))
        elif "file" in line:
            files[_text(line["file"])] = HostFile(
                _number(line.get("size")), _number(line.get("mtime_ns")), _text(line.get("digest"))
            )
        elif "asked" in line:
            if not isinstance(line["asked"], list) or not isinstance(line.get("answers"), list):
                raise RecordingError("an answer in it isn't readable")
            known = answers if "volume" not in line else _volume(volumes, line["volume"]).answers
            known[tuple(map(_text, line["asked"]))] = _answers(line["answers"])
        elif "contents" in line:
            held = contents if "volume" not in line else _volume(volumes, line["volume"]).contents
            held[_text(line["contents"])] = _data(line.get("bytes"))
        elif "branches" in line:
            kinds, choices = _schedule(line)
        elif isinstance(line.get("end"), dict):
            end = line["end"]
    if end is None:
        raise RecordingError("it's cut off: it doesn't say how the run ended")
    command = head.get("command")
    if not isinstance(command, list) or not command or head.get("kind") not in KINDS:
        raise RecordingError("it doesn't say what was run")
    return Recording(
        _text(head.get("procession")),
        _settings(head.get("settings")),
        tuple(map(_text, command)),
        head.get("pid1") is True,
        head["kind"],
        tuple(actions),
        tuple(marks),
        files,
        answers,
        contents or None,
        end,
        kinds,
        choices,
        _image(head.get("image")),
        volumes,
    )


def _unpacked(data: bytes) -> bytes:
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
            unpacked = reader.read(LARGEST_BYTES + 1)
    except (zstandard.ZstdError, MemoryError):
        raise RecordingError("not a recording of Procession's") from None
    if len(unpacked) > LARGEST_BYTES:
        raise RecordingError(f"it unpacks to more than {LARGEST_BYTES} bytes")
    return unpacked


def _parsed(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            parsed = json.loads(line) if len(line) <= _LONGEST_LINE else None
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            raise RecordingError("a line of it isn't an object of JSON")
        if _MAYBE_SURROGATE.search(line):
            _check_texts(parsed)
        yield parsed


def _check_texts(parsed: dict[str, Any]) -> None:
    """Raise RecordingError if not all texts stand for bytes, as `os.fsdecode` gives them."""
    try:
        json.dumps(parsed, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise RecordingError("a text in it isn't readable") from None


def _action(line: dict[str, Any]) -> InletAction:
    argument: Argument
    if "bytes" in line:
        argument = _data(line["bytes"])
    elif isinstance(line.get("with"), list):
        rows, columns = _pair(line["with"])
        argument = rows, columns
    else:
        argument = line.get("with")
        if argument is not None and not isinstance(argument, int | str):
            raise RecordingError(f"what {line['do']!r} was done with isn't readable")
    return InletAction(_number(line.get("after")), _text(line["do"]), argument)


def _data(value: Any) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except (binascii.Error, ValueError):
        raise RecordingError("bytes in it aren't in base 64") from None


def _settings(value: Any) -> dict[str, Any]:
    try:
        return checked_settings(value)
    except BadSettings as error:
        raise RecordingError(str(error)) from None


def _schedule(line: dict[str, Any]) -> tuple[tuple[str, ...], tuple[NamedChoice, ...]]:
    kinds, choices = line["branches"], line.get("choices")
    if not isinstance(kinds, list) or not isinstance(choices, list):
        raise RecordingError("its schedule isn't readable")
    found: list[NamedChoice] = []
    for choice in choices:
        if not isinstance(choice, list) or len(choice) != 3:
            raise RecordingError("a choice in it isn't readable")
        found.append(NamedChoice(_text(choice[0]), _number(choice[1]), _number(choice[2])))
    return tuple(map(_text, kinds)), tuple(found)


def _mark(value: Any) -> Mark:
    if not isinstance(value, list) or len(value) != 3:
        raise RecordingError("a mark in it isn't readable")
    return Mark(_number(value[0]), _number(value[1]), _text(value[2]))


def _answers(value: list[Any]) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = []
    for item in value:
        if not isinstance(item, list) or len(item) != 2 or (found and _number(item[0]) <= found[-1][0]):
            raise RecordingError("an answer in it isn't readable")
        found.append((_number(item[0]), item[1]))
    return found


def _image(value: Any) -> RecordedImage | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != set(RecordedImage._fields):
        raise RecordingError("its image isn't readable")
    limits = [
        None if value[name] is None else _number(value[name]) for name in ("memory", "cpus", "pids_max")
    ]
    if (limits[0] or 0) > LARGEST_MEMORY:
        raise RecordingError(f"no machine has {limits[0]} bytes of memory")
    return RecordedImage(_text(value["path"]), _text(value["digest"]), *limits)


def _volumes(value: Any) -> tuple[RecordedVolume, ...]:
    if not isinstance(value, list):
        raise RecordingError("its volumes aren't readable")
    found: list[RecordedVolume] = []
    for item in value:
        if not isinstance(item, list) or len(item) != 3 or not isinstance(item[2], bool):
            raise RecordingError("a volume in it isn't readable")
        found.append(RecordedVolume(_text(item[0]), _text(item[1]), item[2], {}, {}))
    return tuple(found)


def _volume(volumes: tuple[RecordedVolume, ...], value: Any) -> RecordedVolume:
    number = _number(value)
    if number >= len(volumes):
        raise RecordingError("a volume that it speaks of isn't there")
    return volumes[number]


def _pair(value: list[Any]) -> tuple[int, int]:
    if len(value) != 2:
        raise RecordingError("a size in it isn't readable")
    return _number(value[0]), _number(value[1])


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise RecordingError("a number in it isn't readable")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise RecordingError("a text in it isn't readable")
    return value
