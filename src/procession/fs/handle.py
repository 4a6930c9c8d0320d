"""Handles of files, which name a file without a path as long as it's there (open_by_handle_at(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import ENOENT, ESTALE
from procession.abi.word import Words
from procession.fs.dentry import Path
from procession.fs.namei import look_up_entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.fs.dentry import Dentry
    from procession.fs.inode import Inode
    from procession.fs.mounts.mount import Mount

FILEID_INO32_GEN = 1
FILEID_INO32_GEN_PARENT = 2
"""Types of handles with a number and a generation (Linux: include/linux/exportfs.h, enum fid_type)."""
_FILEID_INO64_GEN = 0x81
_HANDLE = Words("<III")
_LONG_NUMBER = Words("<QI")
HANDLE_SIZE = 12
_GENERATION = 1
"""Numbers of inodes aren't used again, so that one generation is enough."""


class ExportOperations:
    """How a kind of file systems makes handles that it can open.

    Nothing is kept of handles: a file is looked for from the root on, through what `children` gives.

    Linux: include/linux/exportfs.h, export_operations.
    """

    __slots__ = ()

    kind = FILEID_INO32_GEN
    can_connect: ClassVar[bool] = False
    """Whether a file is found together with its directory (in Linux, fh_to_parent)."""

    def encode(self, inode: Inode) -> bytes:
        """The handle of a file. Linux: mm/shmem.c, shmem_encode_fh."""
        return encode_handle(inode)

    def number_of(self, kind: int, handle: bytes) -> int:
        """The number of the inode that a handle names. Raises ESTALE.

        Linux: mm/shmem.c, shmem_fh_to_dentry.
        """
        if len(handle) < HANDLE_SIZE:
            raise ESTALE
        generation, low, high = _HANDLE.unpack(handle[:HANDLE_SIZE])
        if generation != _GENERATION:
            raise ESTALE
        number: int = high << 32 | low
        return number

    def children(self, directory: Inode) -> Iterable[tuple[bytes, Inode]]:
        """What is in a directory; nothing in any other file."""
        raise NotImplementedError


class NoExportOperations(ExportOperations):
    """How handles are made that only tell files apart, of file systems that have none of their own."""

    __slots__ = ()

    kind = _FILEID_INO64_GEN

    def encode(self, inode: Inode) -> bytes:
        """Linux: fs/exportfs/expfs.c, exportfs_encode_ino64_fid."""
        return _LONG_NUMBER.pack(inode.number, 0)


def encode_handle(inode: Inode) -> bytes:
    """A handle of a number and a generation, which every file has."""
    return _HANDLE.pack(_GENERATION, inode.number, inode.number >> 32)


def find_by_handle(mount: Mount, kind: int, handle: bytes) -> Path:
    """The place of the file that `handle`, of type `kind`, names, by one of its names. Raises ESTALE.

    Linux: fs/exportfs/expfs.c, exportfs_decode_fh_raw.
    """
    superblock = mount.superblock
    operations = superblock.exports
    if operations is None:
        raise ESTALE
    number = operations.number_of(kind, handle)
    names, entry_count = _names_to(operations, superblock.root, number)
    superblock.vfs.clock.spend_walking(entry_count)
    if names is None:
        raise ESTALE
    entry: Dentry = superblock.root_dentry or mount.root
    try:
        for name in names:
            entry = look_up_entry(entry, name)
    except ENOENT:
        raise ESTALE from None
    return Path(mount, entry)


def _names_to(operations: ExportOperations, root: Inode, number: int) -> tuple[list[bytes] | None, int]:
    """The names along which the file of that number is found, None if it has none; and how many were seen."""
    if root.number == number:
        return [], 0
    # Directories, each with the place in this list of the one that it's in, and its name there.
    found: list[tuple[Inode, int, bytes]] = [(root, 0, b"")]
    seen_count = 0
    for place, (directory, _, _) in enumerate(found):
        for name, inode in operations.children(directory):
            seen_count += 1
            if inode.number == number:
                return [*_names_of(found, place), name], seen_count
            if inode.is_directory:
                found.append((inode, place, name))
    return None, seen_count


def _names_of(found: list[tuple[Inode, int, bytes]], place: int) -> list[bytes]:
    names = []
    while place:
        _, place, name = found[place]
        names.append(name)
    return names[::-1]
