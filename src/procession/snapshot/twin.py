"""A second state like one that was kept: the same graph of objects, each of them new."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from itertools import chain
from mmap import mmap
from typing import TYPE_CHECKING, Any

from procession.hardware.fault_injection import FailingMemory
from procession.hardware.physical_memory import PAGE_SHIFT, PhysicalMemory
from procession.kernel.kernel import Kernel
from procession.snapshot.frames import FrameKeeper
from procession.snapshot.keeper import Snapshot, load
from procession.snapshot.outside import join_engine
from procession.snapshot.shape import UNSET, Contents, new_object, outside_of, shape_of

if TYPE_CHECKING:
    from procession.hardware.engine import Engine


class Twin:
    """New objects for all those of a snapshot.

    What lies outside the state is the same for both; the caller gives the new kernel and clock their own.
    """

    __slots__ = ("made", "objects", "old", "snapshot", "tuples")

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.objects: list[Any] = []
        self.made: dict[int, Any] = {}
        self.tuples: dict[int, Any] = {}
        self.old = snapshot.keeper.table.objects[: snapshot.records.count]
        for value in self.old:
            new = _empty(value)
            self.objects.append(new)
            self.made[id(value)] = new
            if isinstance(value, PhysicalMemory):
                # Address spaces hold these two as well.
                self.made[id(value.bytes)], self.made[id(value.words)] = new.bytes, new.words

    def of(self, value: Any) -> Any:
        """What stands for `value` in the new state."""
        if shape_of(type(value)) is not None or isinstance(value, (mmap, memoryview)):
            return self.made.get(id(value), value)
        if not isinstance(value, tuple):
            return value
        known = self.tuples.get(id(value))
        if known is None:
            items = [self.of(item) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                known = value
            else:
                known = tuple.__new__(type(value), items)
            self.tuples[id(value)] = known
        return known

    def fill(self, engine: Engine) -> Kernel:
        """Give the new objects their contents, all but the memory, which an engine has to be given first."""
        kernel = self.of(self.snapshot.keeper.kernel)
        decider = self.of(self.snapshot.keeper.kernel.decider)
        for old, new, contents in self._each():
            if isinstance(old, PhysicalMemory):
                continue
            self._write(new, contents)
            if not join_engine(new, engine, decider):
                for name in outside_of(type(old)):
                    setattr(new, name, getattr(old, name))
        assert isinstance(kernel, Kernel)
        return kernel

    def load(self, kernel: Kernel) -> None:
        """Give the memory its contents, and the engine what runs."""
        for old, new, contents in self._each():
            if isinstance(old, PhysicalMemory):
                self._write(new, contents)
        frames = FrameKeeper(kernel.memory, compares=True)
        frames.put_back(self.snapshot.frames)
        kernel.cpu.forget_code(None)
        load(kernel, self.snapshot.engine, self.snapshot.budget)

    def _each(self) -> Iterator[tuple[Any, Any, Contents]]:
        records = chain.from_iterable(self.snapshot.records.leaves)
        for old, new, record in zip(self.old, self.objects, records, strict=True):
            yield old, new, record.contents

    def _write(self, new: Any, contents: Contents) -> None:
        shape = shape_of(type(new))
        assert shape is not None
        then = tuple(map(self.of, contents))
        # A new object has nothing that could be the same.
        shape.write(new, (UNSET,) * len(then), then)


def _empty(value: Any) -> Any:
    """A new object of the kind of `value`."""
    if isinstance(value, FailingMemory):
        return FailingMemory(value.frame_count << PAGE_SHIFT, value.injector)
    if isinstance(value, PhysicalMemory):
        return PhysicalMemory(value.frame_count << PAGE_SHIFT)
    if isinstance(value, array):
        return array(value.typecode)
    if isinstance(value, deque):
        return deque(maxlen=value.maxlen)
    return new_object(type(value))
