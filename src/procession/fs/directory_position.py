"""Positions in directories of a tmpfs: each name has its own, whatever comes and goes beside it.

Linux: fs/libfs.c, simple_offset_dir_operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENOENT
from procession.fs.file import O_NOATIME, DirectoryFile
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

    `listing` are the names, newest first, and `places` where they stand, as they were after `seen_changes`;
    `behind` is the position behind each entry that was given last.
    """

    __slots__ = ("behind", "directory", "places", "seen_changes")

    def __init__(self, path: Path, flags: int, subject: Subject, directory: MemoryInode) -> None:
        super().__init__(path, flags, subject)
        self.directory = directory
        self.places: list[int] = []
        self.behind: list[int] = []
        self.seen_changes = 0

    def list_directory(self) -> list[DirectoryEntry]:
        """Linux: fs/libfs.c, offset_readdir, offset_iterate_dir."""
        if self.path.dentry.is_deleted:
            raise ENOENT
        position = self.position
        if position == _OWN and not self.flags & O_NOATIME:
            self.inode.touch_accessed(self.path.mount.flags)
        listing, places = self._look(), self.places
        first = 0
        if position > _NEWEST:
            # Where no older name is left Linux begins anew: mas_find_rev finds none, and with none begins the
            # search for the next one.
            first = next((at for at, place in enumerate(places) if place <= position), 0)
        if position >= _END:
            first = len(places)
        entries, behind = listing[first:], [*places[first + 1 :], _END][: len(listing) - first]
        if position <= _PARENT:
            parent = self.path.dentry.parent.inode
            entries.insert(0, DirectoryEntry(b"..", parent.number, S_IFDIR >> 12))
            behind.insert(0, places[0] if places else _END)
        if position == _OWN:
            entries.insert(0, DirectoryEntry(b".", self.inode.number, S_IFDIR >> 12))
            behind.insert(0, _PARENT)
        self.behind = behind
        return entries

    def _look(self) -> list[DirectoryEntry]:
        """The names as they are now. Raises OutOfFrames."""
        directory = self.directory
        vfs = directory.superblock.vfs
        positions = directory.positions
        if positions is None:
            positions = directory.positions = DirectoryPositions(vfs.memory.account)
        listing = self.listing
        if listing is None or positions.change_count != self.seen_changes:
            positions.number(directory.entries)
            listing = directory.list_entries()
            vfs.accounts.add_listing(self, len(listing))
            vfs.clock.spend_listing(len(listing))
            self.listing = listing
            self.places = [positions.numbers[entry.name] for entry in listing]
            self.seen_changes = positions.change_count
        return listing

    def position_behind(self, index: int) -> int:
        return self.behind[index]
