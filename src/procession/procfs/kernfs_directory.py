"""Positions in directories of sysfs and cgroup2: each name has its own, which is computed from it (in Linux,
kernfs_fop_readdir)."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from procession.fs.file import DirectoryFile

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.inode import DirectoryEntry
    from procession.fs.permission import Subject

_DOTS, _END = 2, 0x7FFF_FFFF
_GOLDEN_RATIO = 0x61C8_8646_80B5_83EB
_UNSIGNED_64 = (1 << 64) - 1


def position_of(name: bytes) -> int:
    """Where a name stands among those of its directory (in Linux, kernfs_name_hash).

    Linux: include/linux/stringhash.h, partial_name_hash.
    """
    joined = 0
    for character in name:
        joined = (joined + (character << 4) + (character >> 4)) * 11 & _UNSIGNED_64
    found = (joined * _GOLDEN_RATIO & _UNSIGNED_64) >> 32 & _END
    return min(found + _DOTS if found < _DOTS else found, _END - 1)


class KernfsDirectoryFile(DirectoryFile):
    """An open directory, whose names come in the order of their positions.

    `positions` are those of the names in `listing`, but for the first two; `first` is the place there of what
    was given first the last time.
    """

    __slots__ = ("first", "positions")

    def __init__(self, path: Path, flags: int, subject: Subject) -> None:
        super().__init__(path, flags, subject)
        self.positions: list[int] = []
        self.first = 0

    def list_directory(self) -> list[DirectoryEntry]:
        is_new = self.listing is None or self.position == 0
        super().list_directory()
        listing = self.listing
        assert listing is not None
        if is_new:
            found = sorted((position_of(entry.name), entry.name, entry) for entry in listing[_DOTS:])
            listing = self.listing = [*listing[:_DOTS], *(entry for _, _, entry in found)]
            self.positions = [position for position, _, _ in found]
        first = self.position
        if first > _DOTS:
            first = _DOTS + bisect_left(self.positions, first)
        self.first = first
        return listing[first:]

    def position_behind(self, index: int) -> int:
        behind = self.first + index + 1
        if behind < _DOTS:
            return behind
        return self.positions[behind - _DOTS] if behind - _DOTS < len(self.positions) else _END
