"""What an overlay notes with files of its layers, as extended attributes: where a copy is from, what a
directory hides, where the layers below have it.

Linux: fs/overlayfs/overlayfs.h, enum ovl_xattr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EIO, EPERM
from procession.abi.file_mode import S_IFMT
from procession.abi.word import Words
from procession.fs.inode import APPEND_ONLY, IMMUTABLE, S_IFDIR, S_IFREG

if TYPE_CHECKING:
    from procession.abi.errno import Errno
    from procession.fs.inode import Inode

PROTECTING = IMMUTABLE | APPEND_ONLY
"""The flags that a file of the upper layer can't have, as the overlay itself has to change it."""
_TRUSTED_PREFIX, _USER_PREFIX = b"trusted.overlay.", b"user.overlay."
_ORIGIN_HEADER = Words("<BBBBB16s")
_ORIGIN_MAGIC = 0xFB
_LETTERS = {ord("a"): APPEND_ONLY, ord("i"): IMMUTABLE}
_MOST_LETTERS = 32


def describe_origin(source: Inode, flags: int = 0) -> bytes:
    """A handle of a layer's file, as the overlay notes it; b"" if its file system has none.

    Linux: fs/overlayfs/copy_up.c, ovl_encode_real_fh.
    """
    exports = source.superblock.exports
    if exports is None:
        return b""
    handle = exports.encode(source)
    length = _ORIGIN_HEADER.size + len(handle)
    return _ORIGIN_HEADER.pack(0, _ORIGIN_MAGIC, length, flags, exports.kind, bytes(16)) + handle


class Notes:
    """The notes of one overlay. Their names begin with `prefix`.

    They `can_be_read` by who has mounted it, and `can_be_made` if the upper layer takes them, too (in Linux,
    ovl_fs.noxattr says that it doesn't).
    """

    __slots__ = ("can_be_made", "can_be_read", "prefix")

    def __init__(self, *, uses_user_names: bool, is_trusted: bool) -> None:
        self.prefix = _USER_PREFIX if uses_user_names else _TRUSTED_PREFIX
        self.can_be_read = uses_user_names or is_trusted
        self.can_be_made = False

    def read(self, inode: Inode, name: bytes) -> bytes | None:
        """What is noted as `name`, None for nothing."""
        if not self.can_be_read or not inode.superblock.has_xattrs:
            return None
        return inode.read_xattrs().get(self.prefix + name)

    def make(self, inode: Inode, name: bytes, value: bytes) -> None:
        """Note it with a file of the upper layer. Raises ENOSPC."""
        inode.change_xattr(self.prefix + name, value)

    def is_opaque(self, inode: Inode) -> bool:
        """Whether a directory hides those below it. Linux: fs/overlayfs/util.c, ovl_get_dir_xattr_val."""
        return self.read(inode, b"opaque") == b"y"

    def set_opaque(self, inode: Inode, error: type[Errno] = EIO) -> None:
        """Have a directory of the upper layer hide those below. Raises ENOSPC, and `error` if it can't.

        Linux: fs/overlayfs/dir.c, ovl_set_opaque_xerr.
        """
        if not self.can_be_made:
            raise error
        self.make(inode, b"opaque", b"y")

    def set_origin(self, inode: Inode, source: Inode) -> None:
        """Note with a copy in the upper layer of which file it is one, by a handle that says nothing of the
        file system, as if `uuid=null` had been said. Raises ENOSPC.

        Linux: fs/overlayfs/copy_up.c, ovl_set_origin_fh.
        """
        if not self._takes(inode):
            return
        self.make(inode, b"origin", describe_origin(source))

    def has_origin(self, inode: Inode) -> bool:
        """Whether a file of the upper layer is the copy of one below."""
        return self.read(inode, b"origin") is not None

    def set_impure(self, directory: Inode) -> None:
        """Note that a directory of the upper layer may have copies in it. Raises ENOSPC.

        Linux: fs/overlayfs/util.c, ovl_set_impure.
        """
        if self.can_be_made and self.read(directory, b"impure") is None:
            self.make(directory, b"impure", b"y")

    def redirect_of(self, inode: Inode) -> bytes | None:
        """Where the layers below have a directory, None if by its own name: another name, or a path from
        their roots. Raises EINVAL for what is neither.

        Linux: fs/overlayfs/util.c, ovl_get_redirect_xattr.
        """
        redirect = self.read(inode, b"redirect")
        if redirect is None:
            return None
        names = redirect.removeprefix(b"/").split(b"/")
        if not all(names) or (len(names) > 1 and redirect[:1] != b"/"):
            raise EINVAL("a redirect that is no name and no path")
        return redirect

    def protection_of(self, inode: Inode) -> int | None:
        """Which flags of PROTECTING are noted with a file of the upper layer, None if nothing sensible is.

        Linux: fs/overlayfs/util.c, ovl_check_protattr.
        """
        letters = self.read(inode, b"protattr")
        if not letters or len(letters) > _MOST_LETTERS or letters.strip(bytes(_LETTERS)):
            return None
        return sum(flag for letter, flag in _LETTERS.items() if letter in letters)

    def set_protection(self, inode: Inode, flags: int) -> None:
        """Note the flags of PROTECTING with a file of the upper layer. Raises EPERM, ENOSPC.

        Linux: fs/overlayfs/util.c, ovl_set_protattr.
        """
        if not self.can_be_made:
            if flags & PROTECTING:
                raise EPERM("the upper layer takes no notes")
        elif flags & PROTECTING:
            self.make(inode, b"protattr", bytes(letter for letter, flag in _LETTERS.items() if flags & flag))
        elif self.read(inode, b"protattr") is not None:
            inode.change_xattr(self.prefix + b"protattr", None)

    def _takes(self, inode: Inode) -> bool:
        """Links and devices have no attributes of users."""
        kind = inode.mode & S_IFMT
        return self.can_be_made and (self.prefix != _USER_PREFIX or kind in (S_IFREG, S_IFDIR))
