"""The file of a snapshot: a machine's state as bytes, compressed by zstandard, for another process to load.

docs/recording-format.md describes it. What is read isn't trusted: any bytes give a state whose objects are of
the kernel's own classes and whose references lead to them, or BadSnapshot.
"""

from __future__ import annotations

import json
from array import array
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import zstandard

from procession.abi.named_tuple import NamedTuple
from procession.hardware.extended_state import readable_state
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from procession.hardware.registers import Registers
from procession.snapshot.frames import KeptFrames, Page
from procession.snapshot.registry import UnknownClass, class_named, name_of_class
from procession.snapshot.settings import BadSettings, checked_settings
from procession.snapshot.shape import UNSET, Contents, InstanceShape, Shape, new_object, shape_of
from procession.snapshot.shared_list import SharedList
from procession.snapshot.values import BadSnapshot, ValueReader, ValueWriter

if TYPE_CHECKING:
    from procession.hardware.engine import Engine
    from procession.snapshot.keeper import Snapshot

MAGIC = b"procession-snapshot\n"
VERSION = 1
_LEVEL = 3
_LARGEST_BESIDE_FRAMES = _LARGEST_FRAMES = 1 << 30
"""How much a snapshot may hold when it's unpacked, beside its frames, and in them."""
_MOST_OBJECTS = 1 << 22
_LARGEST_COUNTS = 1 << 28
"""The bytes of how often each frame is held."""
_LONGEST_LINE = 64
_CONTAINERS: dict[str, type] = {
    "list": list,
    "deque": deque,
    "dict": dict,
    "set": set,
    "bytearray": bytearray,
}
_COUNT_BYTES = 8
_LONGEST_NUMBER_BYTES = 10
"""The bytes of a frame's number."""


class Head(NamedTuple):
    """What a file says of itself: the machine's `settings`, and by which Procession it was written."""

    settings: dict[str, Any]
    procession: str


def write_snapshot(snapshot: Snapshot, engine: Engine, roots: Any, head: Head) -> bytes:
    """The bytes of `snapshot`; `roots` is a value that leads to what the reader needs.

    Raises BadSnapshot for what can't be written down: a state that holds something of the caller's own.
    """
    count = snapshot.records.count
    objects = snapshot.keeper.table.objects[:count]
    writer = ValueWriter({id(value): number for number, value in enumerate(objects)})
    kinds: dict[Any, int] = {}
    body = ValueWriter(writer.numbers)
    body.classes = writer.classes
    try:
        for value in objects:
            kind = _kind_of(value)
            writer.natural(kinds.setdefault(kind, len(kinds)))
            if isinstance(value, deque):
                writer.value(value.maxlen)
        for record in chain.from_iterable(snapshot.records.leaves):
            _write_contents(body, record.contents)
        body.value(roots)
        body.value((snapshot.budget, engine.write_kept(snapshot.engine), snapshot.beside))
    except UnknownClass as error:
        raise BadSnapshot(str(error)) from None
    shapes = [[name, list(fields)] for name, fields in kinds]
    text = json.dumps(
        {
            "settings": head.settings,
            "procession": head.procession,
            "classes": list(writer.classes),
            "kinds": shapes,
            "objects": count,
        }
    ).encode()
    parts = [b"%d %d\n" % (VERSION, len(text)), text, b"%d %d\n" % (len(writer.data), len(body.data))]
    packed = zstandard.ZstdCompressor(level=_LEVEL)
    pages = list(chain.from_iterable(snapshot.frames.pages.leaves))
    present = [frame for frame, page in enumerate(pages) if page is not None]
    frames = ValueWriter({})
    frames.block(snapshot.frames.references)
    frames.natural(len(present))
    for frame in present:
        frames.natural(frame)
    contents = [page.read(frame) for frame, page in enumerate(pages) if page is not None]
    for size, limit, what in (
        (len(objects), _MOST_OBJECTS, "objects"),
        (len(text) + len(writer.data) + len(body.data), _LARGEST_BESIDE_FRAMES, "bytes of objects"),
        (len(present) << PAGE_SHIFT, _LARGEST_FRAMES, "bytes of memory in use"),
        (len(snapshot.frames.references), _LARGEST_COUNTS, "bytes of frames' counts"),
    ):
        if size > limit:
            raise BadSnapshot(f"it has {size} {what}, and no more than {limit} are loaded")
    return MAGIC + packed.compress(b"".join([*parts, writer.data, body.data, frames.data, *contents]))


def _kind_of(value: Any) -> tuple[str, tuple[str, ...]]:
    """How the kind of an object is named, and its attributes."""
    kind = type(value)
    for name, container in _CONTAINERS.items():
        if kind is container:
            return name, ()
    if kind is array:
        return f"array {value.typecode}", ()
    shape = shape_of(kind)
    assert isinstance(shape, InstanceShape)
    return name_of_class(kind), shape.fields


def _write_contents(writer: ValueWriter, contents: Contents) -> None:
    writer.natural(len(contents))
    for item in contents:
        writer.value(item)


class _Unpacked:
    """What is in the file `data`, from the beginning on. Raises BadSnapshot."""

    def __init__(self, data: bytes) -> None:
        if not data.startswith(MAGIC):
            raise BadSnapshot("not a snapshot of Procession's")
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self.reader = decompressor.stream_reader(data[len(MAGIC) :])
        self.ahead = b""

    def some(self, most: int) -> bytes:
        """The next `most` bytes, or all that there are."""
        found, self.ahead = self.ahead[:most], self.ahead[most:]
        try:
            return found + self.reader.read(most - len(found)) if len(found) < most else found
        except (zstandard.ZstdError, MemoryError):
            raise BadSnapshot("not a snapshot of Procession's") from None

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > _LARGEST_BESIDE_FRAMES:
            raise BadSnapshot(f"it unpacks to more than {_LARGEST_BESIDE_FRAMES} bytes beside its frames")
        found = self.some(count)
        if len(found) < count:
            raise BadSnapshot("it's cut off")
        return found

    def two_numbers(self) -> tuple[int, int]:
        """A line of two numbers."""
        line, end, self.ahead = self.some(_LONGEST_LINE).partition(b"\n")
        words = line.split(b" ")
        if not end or len(words) != 2 or not all(word.isdigit() and len(word) < 20 for word in words):
            raise BadSnapshot("not a snapshot of Procession's, or it's cut off")
        return int(words[0]), int(words[1])


class SnapshotReader:
    """Reads one file: first its `head`, by which a machine can be made, then the state for that machine."""

    def __init__(self, data: bytes) -> None:
        unpacked = _Unpacked(data)
        number, length = unpacked.two_numbers()
        if number != VERSION:
            raise BadSnapshot(f"its format is version {number}, this Procession reads {VERSION}")
        try:
            found = json.loads(unpacked.exactly(length))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise BadSnapshot("its head isn't readable")
        try:
            settings = checked_settings(found.get("settings"))
        except BadSettings as error:
            raise BadSnapshot(str(error)) from None
        self.head = Head(settings, _of(found, "procession", str))
        self.classes: list[str] = _texts(_of(found, "classes", list))
        self.kinds = [_kind(item) for item in _of(found, "kinds", list)]
        self.object_count: int = _of(found, "objects", int)
        first, second = unpacked.two_numbers()
        if length + first + second > _LARGEST_BESIDE_FRAMES:
            raise BadSnapshot(f"it unpacks to more than {_LARGEST_BESIDE_FRAMES} bytes beside its frames")
        self.kinds_of_objects = unpacked.exactly(first)
        self.body = unpacked.exactly(second)
        most = min(settings["memory"], _LARGEST_FRAMES)
        counts = (settings["memory"] >> PAGE_SHIFT) * _COUNT_BYTES
        most += (most >> PAGE_SHIFT) * _LONGEST_NUMBER_BYTES + min(counts, _LARGEST_COUNTS)
        self.frames = unpacked.some(most + _LONGEST_LINE)
        if len(self.frames) == most + _LONGEST_LINE:
            raise BadSnapshot(f"its frames have more than {most} bytes")
        if not 0 <= self.object_count <= min(first, _MOST_OBJECTS):
            raise BadSnapshot("it has fewer objects than it says, or too many")

    def read(self, memory: PhysicalMemory, engine: Engine) -> LoadedState:
        """The state, for a machine whose `memory` and `engine` are new. Raises BadSnapshot."""
        reader, shapes = ValueReader(self.kinds_of_objects), []
        kinds = [_shape_named(name, fields) for name, fields in self.kinds]
        memories = 0
        for _ in range(self.object_count):
            number = reader.natural()
            if number >= len(kinds):
                raise BadSnapshot("an object in it is of no kind")
            kind, shape = kinds[number]
            shapes.append(shape)
            if kind is PhysicalMemory:
                memories += 1
                reader.objects.append(memory)
            else:
                reader.objects.append(_empty(kind, self.kinds[number][0], reader))
        if memories != 1:
            raise BadSnapshot("it has no memory, or several")
        body = ValueReader(self.body)
        body.objects, body.mapping, body.view = reader.objects, memory.bytes, memory.words
        body.classes_named(self.classes)
        contents = [self._contents(body, shape) for shape in shapes]
        roots = body.value()
        rest = body.value()
        if not isinstance(rest, tuple) or len(rest) != 3 or not isinstance(rest[0], int):
            raise BadSnapshot("what was running isn't readable")
        budget, kept, beside = rest
        try:
            kept = engine.read_kept(kept)
        except ValueError as error:
            raise BadSnapshot(str(error)) from None
        return LoadedState(
            reader.objects, shapes, contents, self._frames(memory), roots, budget, kept, beside
        )

    @staticmethod
    def _contents(body: ValueReader, shape: Shape) -> Contents:
        contents = tuple([body.value() for _ in range(body.count())])
        if not isinstance(shape, InstanceShape):
            return contents
        if len(contents) != len(shape.fields):
            raise BadSnapshot("an object in it hasn't the attributes of its class")
        if shape.is_compiled and any(item is UNSET for item in contents):
            # Compiled code doesn't look whether what `__init__` always sets is there.
            raise BadSnapshot("an object in it lacks an attribute")
        if shape is shape_of(Registers):
            place = shape.fields.index("floating")
            if contents[place] != b"":
                try:
                    image = readable_state(contents[place])
                except ValueError:
                    raise BadSnapshot("registers in it aren't readable") from None
                return (*contents[:place], image, *contents[place + 1 :])
        return contents

    def _frames(self, memory: PhysicalMemory) -> KeptFrames:
        reader = ValueReader(self.frames)
        references = reader.block()
        end = len(references) // _COUNT_BYTES
        if len(references) % _COUNT_BYTES or not 0 < end <= memory.frame_count:
            raise BadSnapshot("it has more frames than the machine")
        present = [reader.natural() for _ in range(reader.count())]
        pages: list[Page | None] = [None] * end
        at = reader.position
        if len(self.frames) - at != len(present) << PAGE_SHIFT:
            raise BadSnapshot("it's cut off")
        for frame in present:
            if frame >= end:
                raise BadSnapshot("it has more frames than the machine")
            pages[frame] = Page(self.frames[at : at + PAGE_SIZE])
            at += PAGE_SIZE
        kept: SharedList[Page | None] = SharedList()
        for page in pages:
            kept.append(page)
        return KeptFrames(kept.keep(), references)


class LoadedState(NamedTuple):
    """A state that was read: objects that are empty still, and what they are to hold."""

    objects: list[Any]
    shapes: list[Shape]
    contents: list[Contents]
    frames: KeptFrames
    roots: Any
    budget: int
    engine: object
    beside: Any

    def of(self, value: Any) -> Any:
        """What stands for `value`: it itself."""
        return value

    def fill(self) -> None:
        """Give the objects what they are to hold, all but the memory. Raises BadSnapshot."""
        for value, shape, contents in self._each():
            if not isinstance(value, PhysicalMemory):
                _fill(value, shape, contents)

    def fill_memory(self) -> None:
        """Give the memory its attributes. Raises BadSnapshot."""
        used_frames = len(self.frames.references) // _COUNT_BYTES
        for value, shape, contents in self._each():
            if isinstance(value, PhysicalMemory):
                frame_count = value.frame_count
                _fill(value, shape, contents)
                if (value.frame_count, value.next_fresh) != (frame_count, used_frames):
                    raise BadSnapshot("its memory isn't that of its frames")

    def _each(self) -> Iterator[tuple[Any, Shape, Contents]]:
        return zip(self.objects, self.shapes, self.contents, strict=True)


def _fill(value: Any, shape: Shape, contents: Contents) -> None:
    try:
        shape.write(value, (UNSET,) * len(contents), contents)
    except (AttributeError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise BadSnapshot(f"a {type(value).__qualname__} in it can't be made: {error}") from None


def _empty(kind: type, name: str, reader: ValueReader) -> Any:
    if kind is array:
        return array(name.removeprefix("array "))
    if kind is deque:
        length = reader.value()
        if length is not None and (not isinstance(length, int) or not 0 <= length < 1 << 32):
            raise BadSnapshot("a length in it isn't readable")
        return deque(maxlen=length)
    try:
        return new_object(kind)
    except TypeError:
        raise BadSnapshot(f"a {kind.__qualname__} can't be made") from None


def _shape_named(name: str, fields: list[str]) -> tuple[type, Shape]:
    kind = _CONTAINERS.get(name)
    if kind is None and name in ("array B", "array l", "array q", "array Q", "array I"):
        kind = array
    if kind is None:
        try:
            kind = class_named(name)
        except UnknownClass as error:
            raise BadSnapshot(str(error)) from None
    shape = shape_of(kind)
    if shape is None or (isinstance(shape, InstanceShape) and list(shape.fields) != fields):
        raise BadSnapshot(f"{name} isn't what it was when it was written: it's of another version")
    return kind, shape


def _of(found: dict[str, Any], name: str, kind: type) -> Any:
    value = found.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadSnapshot(f"its head has no {name}")
    return value


def _texts(items: list[Any]) -> list[str]:
    if not all(isinstance(item, str) for item in items):
        raise BadSnapshot("its head isn't readable")
    return items


def _kind(item: Any) -> tuple[str, list[str]]:
    if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str):
        raise BadSnapshot("its head isn't readable")
    if not isinstance(item[1], list):
        raise BadSnapshot("its head isn't readable")
    return item[0], _texts(item[1])
