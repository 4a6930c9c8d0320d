"""What of a file goes along when it's copied into the upper layer of an overlay.

Linux: fs/overlayfs/copy_up.c, ovl_copy_up_metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENOSPC
from procession.abi.ioctls import FileFlag
from procession.fs.acl import AccessLists, put_lists
from procession.fs.overlayfs.notes import PROTECTING
from procession.hardware.physical_memory import PAGE_SHIFT, OutOfFrames

if TYPE_CHECKING:
    from procession.fs.inode import Inode
    from procession.fs.overlayfs.notes import Notes

_COPY_CHUNK = 1 << 20
_CHUNK_PAGES = _COPY_CHUNK >> PAGE_SHIFT
_NO_ACCESS_TIME = int(FileFlag.FS_NOATIME_FL)


def copy_contents(source: Inode, target: Inode) -> None:
    """What is in a regular file, but for its holes. Raises ENOSPC, EIO."""
    pages, copy = source.pages, target.pages
    if pages is None or copy is None:
        return
    size = source.size
    # A file may be large with little in it. Linux: fs/overlayfs/copy_up.c, ovl_copy_up_file.
    backed = range(min(-(-pages.backed_count // _CHUNK_PAGES), -(-size // _COPY_CHUNK)))
    cached = {index // _CHUNK_PAGES for index in pages.frames if index << PAGE_SHIFT < size}
    try:
        for chunk in sorted(cached.union(backed)):
            offset = chunk * _COPY_CHUNK
            data = pages.read(offset, min(_COPY_CHUNK, size - offset))
            if data.strip(b"\0"):
                copy.write(offset, data)
    except OutOfFrames:
        raise ENOSPC("no room for the copy") from None
    target.size = size


def copy_xattrs(source: Inode, target: Inode, notes: Notes) -> None:
    """Extended attributes, but for the overlay's own. Raises ENOSPC.

    Linux: fs/overlayfs/copy_up.c, ovl_copy_xattr.
    """
    if not source.superblock.has_xattrs or not target.superblock.has_xattrs:
        return
    for name, value in source.read_xattrs().items():
        if not name.startswith(notes.prefix):
            target.change_xattr(name, value)


def copy_lists(source: Inode, target: Inode) -> None:
    """Lists of access control. Raises ENOSPC. Linux: fs/overlayfs/copy_up.c, ovl_copy_acl."""
    if source.acl is not None and target.has_acls:
        lists = AccessLists()
        lists.access, lists.default = source.acl.access, source.acl.default
        put_lists(target, lists)


def copy_flags(source: Inode, target: Inode, notes: Notes) -> None:
    """Flags as of chattr(1). Raises ENOSPC. Linux: fs/overlayfs/copy_up.c, ovl_copy_fileattr."""
    if not source.has_flags:
        return
    if source.flags & PROTECTING and notes.can_be_made:
        notes.set_protection(target, source.flags)
    target.flags |= source.flags & _NO_ACCESS_TIME & target.settable_flags
