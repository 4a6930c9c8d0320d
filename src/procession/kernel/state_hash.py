"""A digest of all of a machine's state."""

from __future__ import annotations

from array import array
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Any

from procession.abi.blake2 import blake2b
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_SCALARS = (str, bytes, float, type(None))


def state_hash(kernel: Kernel) -> str:
    """A hexadecimal digest of everything that `kernel` holds, the memory's contents included.

    Objects are numbered in the order in which they are first met, so that neither addresses nor
    hash seeds show in it.
    """
    if kernel.live is not None:
        kernel.registers_of(kernel.live)
    walk = StateWalk()
    walk.add(kernel)
    walk.add(kernel.decider)
    # What is left of the slice is the engine's to count, and part of the clock all the same.
    walk.digest.update(b"left %d\n" % kernel.clock.meter.budget_left())
    walk.run()
    return walk.digest.hexdigest()


class StateWalk:
    """A walk over a graph of plain data, breadth first; `digest` takes in what it meets."""

    def __init__(self) -> None:
        self.digest = blake2b(digest_size=20)
        self.numbers: dict[int, int] = {}
        self.kept: list[Any] = []
        self.waiting: deque[Any] = deque()

    def add(self, value: Any) -> str:
        """How `value` is written: a scalar as it is, anything else as its number in the order of meeting."""
        if isinstance(value, int):
            # True, 1 and a named 1 are one: compiled modules keep attributes that are ints as plain ints.
            return f"i{int(value)}"
        if isinstance(value, _SCALARS):
            return f"{type(value).__name__[0]}{value!r}"
        if isinstance(value, tuple):
            # Whether two equal tuples are one object is no state either.
            return f"{type(value).__name__}({','.join(map(self.add, value))})"
        key = id(value)
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = len(self.numbers)
            self.kept.append(value)
            self.waiting.append(value)
        return f"#{number}"

    def run(self) -> None:
        """Walk until nothing is left."""
        while self.waiting:
            self._take_in(self.waiting.popleft())

    def _take_in(self, value: Any) -> None:
        kind = type(value)
        if isinstance(value, PhysicalMemory):
            self._take_in_frames(value)
        if isinstance(value, (bytearray, array)):
            text = f"{kind.__name__}{bytes(value)!r}"
        elif isinstance(value, (list, deque)):
            text = f"{kind.__name__}[{','.join(map(self.add, value))}]"
        elif isinstance(value, dict):
            text = f"dict{{{','.join(f'{self.add(key)}:{self.add(item)}' for key, item in value.items())}}}"
        elif isinstance(value, (set, frozenset)):
            # Only sets of numbers and strings are in the state: their order must not matter.
            text = f"set{{{','.join(sorted(map(self.add, value)))}}}"
        elif isinstance(value, type):
            text = f"class {value.__module__}.{value.__qualname__}"
        elif isinstance(value, Struct):
            # The layout of a pointer argument of a call that sleeps.
            text = f"layout {value.format}"
        elif kind.__module__.startswith("procession."):
            fields = (
                f"{name}={self.add(getattr(value, name))}" for name in fields_of(kind) if hasattr(value, name)
            )
            text = f"{kind.__qualname__}({','.join(fields)})"
        elif isinstance(value, memoryview):
            text = "view"
        elif kind.__name__ == "mmap":
            text = "memory"
        else:
            raise TypeError(f"a {kind.__module__}.{kind.__qualname__} isn't plain data")
        self.digest.update(text.encode("utf-8", "surrogateescape"))
        self.digest.update(b"\n")

    def _take_in_frames(self, memory: PhysicalMemory) -> None:
        digest, data = self.digest, memory.bytes
        for frame in range(1, memory.next_fresh):
            count = memory.references[frame]
            if count:
                base = frame << PAGE_SHIFT
                digest.update(b"%d:%d:" % (frame, count))
                digest.update(data[base : base + PAGE_SIZE])


_FIELDS: dict[type, tuple[str, ...]] = {}


def fields_of(kind: type) -> tuple[str, ...]:
    """The attributes of a slotted class, its bases' included.

    Those that lead out of the state are left out: the class names them in `OUTSIDE_STATE`.
    """
    fields = _FIELDS.get(kind)
    if fields is None:
        # A compiled class has no slots: it tells all its attributes' names, its bases' too, in one tuple.
        names = list(getattr(kind, "__mypyc_attrs__", ()))
        outside = outside_of(kind)
        for base in kind.__mro__:
            slots = base.__dict__.get("__slots__", ())
            names += [slots] if isinstance(slots, str) else list(slots)
        fields = _FIELDS[kind] = tuple(
            sorted(name for name in set(names) if name not in outside and not (name[:2] == "__" == name[-2:]))
        )
    return fields


def outside_of(kind: type) -> set[str]:
    """The attributes that a class and its bases keep out of the state."""
    outside: set[str] = set()
    for base in kind.__mro__:
        outside.update(base.__dict__.get("OUTSIDE_STATE", ()))
    return outside
