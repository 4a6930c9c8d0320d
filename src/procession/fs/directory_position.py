"""Positions in directories of a tmpfs: each name has its own, whatever comes and goes beside it.

Linux: fs/libfs.c, simple_offset_dir_operations.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from procession.abi.errno import ENOENT
from procession.fs.file import DirectoryFile
from procession.fs.inode import S_IFDIR, DirectoryEntry
from procession.hardware.kernel_memory import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.tmpfs import MemoryInode
    from procession.hardware.kernel_memory import KernelMemory

_OWN, _PARENT, _NEWEST, _LEAST, _END = 0, 1, 2, 3, 0x7FFF_FFFF
"""Where a directory itself stands in its listing, its parent, the newest name, the oldest one ever, and what
is behind all. Linux: fs/libfs.c, DIR_OFFSET_FIRST, DIR_OFFSET_MIN, DIR_OFFSET_EOD."""
_NAME_BYTES = 128


class DirectoryPositions:
    """Where the names of a directory stand, once somebody has listed it (in Linux, struct offset_ctx).

    The later a name was made the higher is its number. `change_count` counts what has become of the names
    since; `last` is the last number that was given.
    """

    __slots__ = ("account", "change_count", "last", "numbers")

    def __init__(self, account: KernelMemory) -> None:
        self.account = account
        self.numbers: dict[bytes, int] = {}
        self.last = _LEAST - 1
        self.change_count = 0

    def number(self, names: Iterable[bytes]) -> None:
        """Give those of `names`, in the order in which they were made, a number that have none. Raises
        OutOfFrames.
        """
        added = [name for name in names if name not in self.numbers]
        self.account.charge(TEXT, len(added) * _NAME_BYTES)
        for name in added:
            self.last += 1
            self.numbers[name] = self.last

    def forget(self, name: bytes) -> None:
        """The name is gone."""
        self.change_count += 1
        if self.numbers.pop(name, None) is not None:
            self.account.uncharge(TEXT, _NAME_BYTES)

    def release(self) -> None:
        """The directory is gone."""
        self.account.uncharge(TEXT, len(self.numbers) * _NAME_BYTES)
        self.numbers.clear()


class TmpfsDirectoryFile(DirectoryFile):
    """An open directory of a tmpfs. What is made while it's read isn't listed, as the newest come first; what
    is removed isn't either.

    `listing` are the names, newest first, as they were after `seen_changes`. Of what was given last `first`
    says which of them came first, and `dot_count` how many of the directory and its parent came before.
    """

    __slots__ = ("directory", "dot_count", "first", "seen_changes")

    def __init__(self, path: Path, flags: int, subject: Subject, directory: MemoryInode) -> None:
        super().__init__(path, flags, subject)
        self.directory = directory
        self.first = self.dot_count = self.seen_changes = 0

    def list_directory(self) -> list[DirectoryEntry]:
        """Linux: fs/libfs.c, offset_readdir, offset_iterate_dir."""
        if self.path.dentry.is_deleted:
            raise ENOENT
        position = self.position
        positions = self._look_up()
        listing = self.listing
        assert listing is not None
        first = 0
        if position == _END:
            first = len(listing)
        elif position > _NEWEST:
            first = bisect_left(listing, -position, key=lambda entry: -positions.numbers[entry.name])
            if first == len(listing):
                # Where no older name is left Linux begins anew: mas_find_rev finds none, and with none begins
                # the search for the next one.
                first = 0
        self.first = first
        parent = self.path.dentry.parent.inode
        dots = [
            DirectoryEntry(b".", self.inode.number, S_IFDIR >> 12),
            DirectoryEntry(b"..", parent.number, S_IFDIR >> 12),
        ][position:]
        self.dot_count = len(dots)
        return dots + listing[first:]

    def _look_up(self) -> DirectoryPositions:
        """See to it that the names are listed as they are now. Raises OutOfFrames."""
        directory = self.directory
        vfs = directory.superblock.vfs
        positions = directory.positions
        if positions is None:
            positions = directory.positions = DirectoryPositions(vfs.memory.account)
        if self.listing is None or positions.change_count != self.seen_changes:
            positions.number(directory.entries)
            listing = directory.list_entries()
            vfs.accounts.add_listing(self, len(listing))
            vfs.clock.spend_listing(len(listing))
            self.listing = listing
            self.seen_changes = positions.change_count
        return positions

    def position_behind(self, index: int) -> int:
        if index + 1 < self.dot_count:
            return _PARENT
        positions, listing = self.directory.positions, self.listing
        assert positions is not None
        assert listing is not None
        at = self.first + index + 1 - self.dot_count
        return positions.numbers[listing[at].name] if at < len(listing) else _END
