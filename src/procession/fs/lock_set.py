"""The record locks on one file, found by their owner and by the bytes they are on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

from procession.abi.open_flags import LockType

if TYPE_CHECKING:
    from procession.fs.fd_table import FdTable
    from procession.fs.file import File
    from procession.fs.lock import RecordLock

F_RDLCK = int(LockType.F_RDLCK)
# A lock among others: its first byte, its number, which no other has, and itself.
Entry = tuple[int, int, "RecordLock"]


def _shape(lock: RecordLock) -> tuple[int, int]:
    return lock.kind, (lock.end - lock.start + 1).bit_length()


class LockSet:
    """Locks of many owners; those of one owner have no byte in common.

    `owned` has each owner's locks, sorted. `alike` has all, sorted, by their kind and the bits of their
    length: of those whose length is below a power of two, only the ones that begin within that of some bytes
    can be on these.
    """

    __slots__ = ("alike", "count", "next_number", "owned")

    def __init__(self) -> None:
        self.owned: dict[FdTable | File, list[Entry]] = {}
        self.alike: dict[tuple[int, int], list[Entry]] = {}
        self.count = 0
        self.next_number = 0

    def all(self) -> list[RecordLock]:
        """The locks, sorted by their first byte."""
        entries = [entry for owned in self.owned.values() for entry in owned]
        return [lock for _, _, lock in sorted(entries)]

    def add(self, lock: RecordLock) -> None:
        """Put in a lock that has no byte in common with its owner's others."""
        entry = (lock.start, self.next_number, lock)
        self.next_number += 1
        self.count += 1
        insort(self.owned.setdefault(lock.owner, []), entry)
        insort(self.alike.setdefault(_shape(lock), []), entry)

    def remove(self, entry: Entry) -> None:
        """Take a lock out, as `touching` gave it."""
        lock = entry[2]
        shape = _shape(lock)
        owned, alike = self.owned[lock.owner], self.alike[shape]
        del owned[bisect_left(owned, entry)]
        del alike[bisect_left(alike, entry)]
        if not owned:
            del self.owned[lock.owner]
        if not alike:
            del self.alike[shape]
        self.count -= 1

    def remove_owner(self, owner: FdTable | File) -> int:
        """Take out all locks of `owner`; how many there were."""
        entries = list(self.owned.get(owner, ()))
        for entry in entries:
            self.remove(entry)
        return len(entries)

    def touching(self, owner: FdTable | File, start: int, end: int) -> list[Entry]:
        """The locks of `owner` on the bytes `start` to `end` or right beside them, in order."""
        owned = self.owned.get(owner)
        if owned is None:
            return []
        first = bisect_left(owned, (start,))
        if first and owned[first - 1][2].end >= start - 1:
            first -= 1
        return owned[first : bisect_right(owned, (end + 2,))]

    def conflict(self, wanted: RecordLock) -> RecordLock | None:
        """The lock with the lowest first byte that keeps `wanted` from being taken, None if none does."""
        found: Entry | None = None
        for (kind, length_bits), entries in self.alike.items():
            if kind == wanted.kind == F_RDLCK:
                continue
            position = bisect_left(entries, (wanted.start - (1 << length_bits) + 2,))
            while position < len(entries):
                entry = entries[position]
                if entry[0] > wanted.end or (found is not None and found < entry):
                    break
                if entry[2].conflicts(wanted):
                    found = entry
                    break
                position += 1
        return None if found is None else found[2]
