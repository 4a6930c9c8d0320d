"""Handles of files, which name a file without a path as long as it's there (open_by_handle_at(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENOENT, ESTALE
from procession.abi.word import Words
from procession.fs.dentry import Path
from procession.fs.namei import look_up_entry
from procession.fs.ramfs import RamfsInode
from procession.fs.tmpfs import MemoryInode

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry
    from procession.fs.inode import Inode
    from procession.fs.mounts.mount import Mount

FILEID_INO32_GEN = 1
"""The type of the handles here (Linux: include/linux/exportfs.h, enum fid_type)."""
_HANDLE = Words("<III")
HANDLE_SIZE = 12
_GENERATION = 1
"""Numbers of inodes aren't used again, so that one generation is enough."""


def can_be_opened(inode: Inode) -> bool:
    """Whether a handle of the file can be opened again: those of file systems in memory can."""
    return isinstance(inode, MemoryInode) and not isinstance(inode, RamfsInode)


def encode_handle(inode: Inode) -> bytes:
    """The handle of a file. Linux: mm/shmem.c, shmem_encode_fh."""
    return _HANDLE.pack(_GENERATION, inode.number, inode.number >> 32)


def find_by_handle(mount: Mount, handle: bytes) -> Path:
    """The place of the file that `handle` names, by one of its names. Raises ESTALE.

    Linux: mm/shmem.c, shmem_fh_to_dentry. Names are looked for from the root on: nothing is kept of handles.
    """
    superblock = mount.superblock
    if len(handle) < HANDLE_SIZE or not can_be_opened(superblock.root):
        raise ESTALE
    generation, low, high = _HANDLE.unpack(handle[:HANDLE_SIZE])
    root = superblock.root
    assert isinstance(root, MemoryInode)
    names, entry_count = _names_to(root, high << 32 | low) if generation == _GENERATION else (None, 0)
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


def _names_to(root: MemoryInode, number: int) -> tuple[list[bytes] | None, int]:
    """The names along which the file of that number is found, None if it has none; and how many were seen."""
    if root.number == number:
        return [], 0
    # Directories, each with the place in this list of the one that it's in, and its name there.
    found: list[tuple[MemoryInode, int, bytes]] = [(root, 0, b"")]
    seen_count = 0
    for place, (directory, _, _) in enumerate(found):
        for name, inode in directory.entries.items():
            seen_count += 1
            if inode.number == number:
                return [*_names_of(found, place), name], seen_count
            if inode.entries:
                found.append((inode, place, name))
    return None, seen_count


def _names_of(found: list[tuple[MemoryInode, int, bytes]], place: int) -> list[bytes]:
    names = []
    while place:
        _, place, name = found[place]
        names.append(name)
    return names[::-1]
