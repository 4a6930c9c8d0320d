"""What a layer of an overlay says of names: its entries, whiteouts, and changes to the upper layer.

The layers are trees of other file systems, reached through their entries, so that who looks at them directly
sees what the overlay has done. Linux: fs/overlayfs/overlayfs.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENAMETOOLONG, ENOENT
from procession.abi.file_mode import S_IFMT
from procession.fs.dentry import Dentry
from procession.fs.inode import S_IFCHR, Inode
from procession.fs.mounts.unmount import detach_mounts
from procession.fs.namei import look_up_entry

if TYPE_CHECKING:
    from procession.fs.permission import Subject


def find_in_layer(directory: Dentry, name: bytes) -> Dentry | None:
    """The entry `name` of a layer's directory; None if there is none. A whiteout is an entry, too."""
    try:
        return look_up_entry(directory, name)
    except (ENOENT, ENAMETOOLONG):
        return None


def is_whiteout(inode: Inode) -> bool:
    """Whether it says that a name of the layers below is gone. Linux: include/linux/fs.h, IS_WHITEOUT."""
    return inode.mode & S_IFMT == S_IFCHR and inode.rdev == 0


def add_whiteout(directory: Dentry, name: bytes, subject: Subject) -> None:
    """Say in the upper layer that `name` is gone. Raises ENOSPC. Linux: fs/overlayfs/dir.c, ovl_whiteout."""
    directory.children.pop(name, None)
    directory.add(name, directory.inode.mknod(name, S_IFCHR, 0, subject))


def remove_entry(directory: Dentry, entry: Dentry) -> None:
    """Take an entry that isn't a directory, or is an empty one, out of the upper layer."""
    if entry.inode.is_directory:
        directory.inode.rmdir(entry.name)
    else:
        directory.inode.unlink(entry.name)
    directory.remove(entry)
    if entry.mounted is not None:
        detach_mounts(entry)


def clear_whiteouts(directory: Dentry) -> None:
    """Empty a directory of the upper layer that holds nothing but whiteouts.

    Linux: fs/overlayfs/readdir.c, ovl_cleanup_whiteouts.
    """
    for entry in directory.inode.list_entries():
        found = find_in_layer(directory, entry.name)
        if found is not None and is_whiteout(found.inode):
            remove_entry(directory, found)
