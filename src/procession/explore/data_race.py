"""Accesses to one byte of memory between which nothing puts an order, at least one of them a write.

An order is put by locked instructions on one byte, by ending and cloning, and by the kernel: whoever makes a
system call comes after all who have made one before. That is more order than there is, but then another
schedule has less of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from procession.abi.named_tuple import NamedTuple
from procession.kernel.observer import LINKER

Byte = tuple[object, ...]
VectorClock = dict[int, int]


class Access(NamedTuple):
    """Task `tid` accesses `size` bytes at `address` of a region; `is_locked` if no other comes between.

    `instruction` is the address of the one that does it, `library` the number of the file that it's in if
    that isn't the program's own.
    """

    tid: int
    region: tuple[object, ...]
    address: int
    size: int
    is_write: bool
    is_locked: bool
    instruction: int
    library: int = 0

    @property
    def bytes(self) -> list[Byte]:
        """What it accesses, byte by byte."""
        return [(*self.region, self.address + at) for at in range(self.size)]

    @property
    def verb(self) -> str:
        """What it does, in a byte."""
        return "writes" if self.is_write else "reads"


Happening = Access | int
"""An access, or the id of a task that goes through the kernel."""


def first_race(happenings: Sequence[Happening]) -> tuple[Access, Access] | None:
    """Two accesses without an order between them, as they came after each other; None if there are none.

    Two accesses of one library are its own business, and what the dynamic linker does: they may use C's
    atomic operations without an order, which look like any others. What a locked instruction ever accesses is
    there to make an order: it's no race, whatever accesses it.
    """
    locked = {
        byte for each in happenings if isinstance(each, Access) and each.is_locked for byte in each.bytes
    }
    clocks: dict[int, VectorClock] = {}
    kernel: VectorClock = {}
    released: dict[Byte, VectorClock] = {}
    writes: dict[Byte, tuple[int, Access]] = {}
    reads: dict[Byte, dict[int, tuple[int, Access]]] = {}
    for each in happenings:
        tid = each if isinstance(each, int) else each.tid
        clock = clocks.setdefault(tid, {tid: 1})
        if isinstance(each, int):
            _meet(clock, tid, kernel)
            continue
        for byte in each.bytes:
            if byte in locked:
                _meet(clock, tid, released.setdefault(byte, {}))
                continue
            for count, other in _rivals(byte, each, writes, reads):
                if (each.library and each.library == other.library) or LINKER in (
                    each.library,
                    other.library,
                ):
                    continue
                if other.tid != tid and clock.get(other.tid, 0) < count:
                    return other, each
            if each.is_write:
                writes[byte] = clock[tid], each
                reads.pop(byte, None)
            else:
                reads.setdefault(byte, {})[tid] = clock[tid], each
    return None


def _rivals(
    byte: Byte,
    access: Access,
    writes: dict[Byte, tuple[int, Access]],
    reads: dict[Byte, dict[int, tuple[int, Access]]],
) -> Iterator[tuple[int, Access]]:
    if byte in writes:
        yield writes[byte]
    if access.is_write and byte in reads:
        yield from reads[byte].values()


def _meet(clock: VectorClock, tid: int, common: VectorClock) -> None:
    """Who has `clock` comes after all that `common` knows of, and before all who meet it later."""
    for other, count in common.items():
        if clock.get(other, 0) < count:
            clock[other] = count
    common.update(clock)
    clock[tid] += 1
