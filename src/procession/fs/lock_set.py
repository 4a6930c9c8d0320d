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
# A lock among others: its first byte, its number, which no other of the machine has, and itself.
Entry = tuple[int, int, "RecordLock"]


def _shape(lock: RecordLock) -> tuple[int, int]:
    return lock.kind, (lock.end - lock.start + 1).bit_length()


class LockSet:
    """Locks of many owners; those of one owner have no byte in common.

    `owned` has each owner's locks, sorted, in the order in which the owners came. `alike` has all, sorted, by
    their kind and the bits of their length: of those whose length is below a power of two, only the ones that
    begin within that of some bytes can be on these.
    """

    __slots__ = ("alike", "count", "owned")

    def __init__(self) -> None:
        self.owned: dict[FdTable | File, list[Entry]] = {}
        self.alike: dict[tuple[int, int], list[Entry]] = {}
        self.count = 0

    def all(self) -> list[RecordLock]:
        """The locks, in the order in which their owners came, and of one owner by their first byte.

        Linux: include/linux/filelock.h, struct file_lock_context.
        """
        return [lock for owned in self.owned.values() for _, _, lock in owned]

    def replace(self, owner: FdTable | File, old: list[Entry], new: list[RecordLock]) -> None:
        """Put `new` into the place of `old`, as `touching` gave them: locks of `owner` that have no byte in
        common with its others. An owner that has none any more comes last when it has some again.
        """
        owned = self.owned.setdefault(owner, [])
        for entry in old:
            shape = _shape(entry[2])
            alike = self.alike[shape]
            del owned[bisect_left(owned, entry)]
            del alike[bisect_left(alike, entry)]
            if not alike:
                del self.alike[shape]
        for lock in new:
            entry = (lock.start, lock.number, lock)
            insort(owned, entry)
            insort(self.alike.setdefault(_shape(lock), []), entry)
        self.count += len(new) - len(old)
        if not owned:
            del self.owned[owner]

    def remove_owner(self, owner: FdTable | File) -> int:
        """Take out all locks of `owner`; how many there were."""
        entries = list(self.owned.get(owner, ()))
        if entries:
            self.replace(owner, entries, [])
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

    def has_conflict(self, wanted: RecordLock) -> bool:
        """Whether a lock keeps `wanted` from being taken."""
        for (kind, length_bits), entries in self.alike.items():
            if kind == wanted.kind == F_RDLCK:
                continue
            position = bisect_left(entries, (wanted.start - (1 << length_bits) + 2,))
            while position < len(entries) and entries[position][0] <= wanted.end:
                if entries[position][2].conflicts(wanted):
                    return True
                position += 1
        return False

    def conflict(self, wanted: RecordLock) -> tuple[RecordLock | None, int]:
        """The first lock that keeps `wanted` from being taken, None if none does: of the owner that came
        first, that with the lowest first byte. And how many owners and locks were looked at for that.
        """
        looked_at = 0
        if self.has_conflict(wanted):
            for owner, owned in self.owned.items():
                looked_at += 1
                if owner is wanted.owner:
                    continue
                first = bisect_left(owned, (wanted.start,))
                for position in range(max(first - 1, 0), len(owned)):
                    lock = owned[position][2]
                    if lock.start > wanted.end:
                        break
                    looked_at += 1
                    if lock.conflicts(wanted):
                        return lock, looked_at
        return None, looked_at
