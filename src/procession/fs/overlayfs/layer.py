"""What a layer of an overlay says of names: whiteouts, opaque directories, and changes to the upper layer.

The layers are trees of other file systems, reached through their entries, so that who looks at them directly
sees what the overlay has done. Linux: fs/overlayfs/overlayfs.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENAMETOOLONG, ENOENT, EPERM
from procession.abi.file_mode import S_IFMT
from procession.abi.word import Words
from procession.fs.dentry import Dentry
from procession.fs.inode import APPEND_ONLY, IMMUTABLE, S_IFCHR, S_IFDIR, S_IFREG, Inode
from procession.fs.mounts.unmount import detach_mounts
from procession.fs.namei import look_up_entry

if TYPE_CHECKING:
    from procession.fs.permission import Subject

TRUSTED_PREFIX = b"trusted.overlay."
USER_PREFIX = b"user.overlay."
PROTECTING = IMMUTABLE | APPEND_ONLY
"""The flags that a file of the upper layer can't have, as the overlay itself has to change it."""
_ORIGIN_HEADER = Words("<BBBBB16s")
_ORIGIN_MAGIC = 0xFB
_LETTERS = {ord("a"): APPEND_ONLY, ord("i"): IMMUTABLE}
_MOST_LETTERS = 32


def find_in_layer(directory: Dentry, name: bytes) -> Dentry | None:
    """The entry `name` of a layer's directory; None if there is none. A whiteout is an entry, too."""
    try:
        return look_up_entry(directory, name)
    except (ENOENT, ENAMETOOLONG):
        return None


def is_whiteout(inode: Inode) -> bool:
    """Whether it says that a name of the layers below is gone. Linux: include/linux/fs.h, IS_WHITEOUT."""
    return inode.mode & S_IFMT == S_IFCHR and inode.rdev == 0


def is_opaque(inode: Inode, prefix: bytes) -> bool:
    """Whether a directory hides those below it. Linux: fs/overlayfs/overlayfs.h, ovl_get_opaquedir_val."""
    return inode.superblock.has_xattrs and inode.read_xattrs().get(prefix + b"opaque") == b"y"


def set_layer_xattr(inode: Inode, name: bytes, value: bytes) -> None:
    """Note something of the overlay's own with a file of the upper layer. Raises ENOSPC."""
    inode.change_xattr(name, value)


def set_origin(inode: Inode, source: Inode, prefix: bytes) -> None:
    """Note with a copy in the upper layer of which file it is one, by a handle that says nothing of the file
    system, as if `uuid=null` had been said. Raises ENOSPC.

    Linux: fs/overlayfs/copy_up.c, ovl_set_origin_fh, ovl_encode_real_fh.
    """
    if not _takes_notes(inode, prefix):
        return
    exports, value = source.superblock.exports, b""
    if exports is not None:
        handle = exports.encode(source)
        length = _ORIGIN_HEADER.size + len(handle)
        value = _ORIGIN_HEADER.pack(0, _ORIGIN_MAGIC, length, 0, exports.kind, bytes(16)) + handle
    set_layer_xattr(inode, prefix + b"origin", value)


def has_origin(inode: Inode, prefix: bytes) -> bool:
    """Whether a file of the upper layer is the copy of one below."""
    return inode.superblock.has_xattrs and prefix + b"origin" in inode.read_xattrs()


def set_impure(directory: Inode, prefix: bytes) -> None:
    """Note that a directory of the upper layer may have copies in it. Raises ENOSPC.

    Linux: fs/overlayfs/util.c, ovl_set_impure.
    """
    if directory.superblock.has_xattrs and prefix + b"impure" not in directory.read_xattrs():
        set_layer_xattr(directory, prefix + b"impure", b"y")


def _takes_notes(inode: Inode, prefix: bytes) -> bool:
    """Links and devices have no attributes of users."""
    kind = inode.mode & S_IFMT
    return inode.superblock.has_xattrs and (prefix != USER_PREFIX or kind in (S_IFREG, S_IFDIR))


def protection_of(inode: Inode, prefix: bytes) -> int | None:
    """Which flags of PROTECTING are noted with a file of the upper layer, None if nothing sensible is.

    Linux: fs/overlayfs/util.c, ovl_check_protattr.
    """
    letters = inode.read_xattrs().get(prefix + b"protattr") if inode.superblock.has_xattrs else None
    if not letters or len(letters) > _MOST_LETTERS or letters.strip(bytes(_LETTERS)):
        return None
    return sum(flag for letter, flag in _LETTERS.items() if letter in letters)


def note_protection(inode: Inode, prefix: bytes, flags: int) -> None:
    """Note the flags of PROTECTING with a file of the upper layer. Raises EPERM, ENOSPC.

    Linux: fs/overlayfs/util.c, ovl_set_protattr.
    """
    name = prefix + b"protattr"
    if not inode.superblock.has_xattrs:
        if flags & PROTECTING:
            raise EPERM("the upper layer has no extended attributes")
    elif flags & PROTECTING:
        set_layer_xattr(inode, name, bytes(letter for letter, flag in _LETTERS.items() if flags & flag))
    elif name in inode.read_xattrs():
        inode.change_xattr(name, None)


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
