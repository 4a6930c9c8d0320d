"""The one inode that most files without contents share: those of eventfd, epoll, timerfd and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EOPNOTSUPP
from procession.abi.numbers import Numbers
from procession.abi.statfs import Magic
from procession.fs.inode import S_IFDIR, Inode
from procession.fs.mounts.mount import KernelMount
from procession.fs.superblock import Superblock

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

_BYTES_FOR_A_WATCH = 200
ANON_INODE_FS_MAGIC = int(Magic.ANON_INODE_FS_MAGIC)


class AnonymousInode(Inode):
    """The inode: as it's everybody's, nobody may change it. Linux: fs/anon_inodes.c, anon_inode_setattr."""

    __slots__ = ()

    has_attributes: ClassVar[bool] = False
    is_anonymous: ClassVar[bool] = True
    is_private: ClassVar[bool] = True

    def set_attributes(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        raise EOPNOTSUPP


class SecureAnonymousInode(AnonymousInode):
    """One of a file's own. Linux: fs/anon_inodes.c, anon_inode_make_secure_inode."""

    __slots__ = ()

    is_private: ClassVar[bool] = False


class AnonymousInodes(Superblock):
    """The file system of that inode, and what such files count (Linux: fs/anon_inodes.c).

    `eventfd_numbers` gives the ids of the eventfds, `epoll_watches` the number of files watched by epoll
    instances of each user, of which there may be `maximum_epoll_watches` (fs.epoll.max_user_watches).
    """

    __slots__ = ("epoll_watches", "eventfd_numbers", "inode", "maximum_epoll_watches", "mount")

    forbids_execution: ClassVar[bool] = True

    def __init__(self, vfs: Vfs) -> None:
        super().__init__(vfs, "anon_inodefs", ANON_INODE_FS_MAGIC)
        self.is_internal = True
        self.root = Inode(self, S_IFDIR | 0o555)
        # It has no file type at all: that is what stat(2) shows.
        self.inode = AnonymousInode(self, 0o600)
        self.mount = KernelMount(self)
        self.eventfd_numbers = Numbers(0)
        self.epoll_watches: dict[int, int] = {}
        # A twenty-fifth of the memory. Linux: fs/eventpoll.c, eventpoll_init.
        self.maximum_epoll_watches = (vfs.memory.frame_count << 12) // 25 // _BYTES_FOR_A_WATCH


def anonymous_inodes(vfs: Vfs) -> AnonymousInodes:
    """The machine's anon_inodefs, made at first use."""
    mount = vfs.pseudo_mounts.get("anon_inodefs")
    if mount is None:
        mount = vfs.pseudo_mounts["anon_inodefs"] = AnonymousInodes(vfs).mount
    system = mount.superblock
    assert isinstance(system, AnonymousInodes)
    return system


def own_anonymous_path(vfs: Vfs, class_name: str, subject: Subject) -> Path:
    """As `anonymous_path`, of a file whose inode is its own, and the subject's.

    Linux: fs/anon_inodes.c, anon_inode_create_getfd.
    """
    system = anonymous_inodes(vfs)
    name = b"anon_inode:" + class_name.encode()
    return vfs.pseudo_path(
        system.mount, name, SecureAnonymousInode(system, 0o600, subject.fsuid, subject.fsgid)
    )


def anonymous_path(vfs: Vfs, class_name: str) -> Path:
    """Where a file of a class such as "[eventfd]" is: /proc/PID/fd shows "anon_inode:[eventfd]"."""
    system = anonymous_inodes(vfs)
    return vfs.pseudo_path(system.mount, b"anon_inode:" + class_name.encode(), system.inode)
