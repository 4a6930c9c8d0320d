"""Memory of MAP_SHARED|MAP_ANONYMOUS as a file: /dev/zero, as /proc/PID/maps and map_files have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.fs.file import File
from procession.fs.inode import S_IFREG, Inode
from procession.fs.memfd import shared_memory_mount
from procession.fs.regular_file import RegularFile
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.mm.vma import SharedAnonymous

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

NAME: Final = b"/dev/zero (deleted)"


class SharedAnonymousInode(Inode):
    """The file of one mapping, made when somebody looks first.

    Linux: mm/shmem.c, shmem_zero_setup.
    """

    __slots__ = ()

    def __init__(self, vfs: Vfs, pages: SharedAnonymous) -> None:
        super().__init__(shared_memory_mount(vfs).superblock, S_IFREG | 0o777)
        self.link_count = 0
        self.pages = pages
        self.size = pages.page_count << PAGE_SHIFT

    def truncate(self, size: int) -> None:
        """Linux: mm/shmem.c, shmem_setattr."""
        assert self.pages is not None
        if size <= self.size:
            self.pages.truncate(size)
        self.size = size
        self.touch_modified()

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return SharedAnonymousFile(path, flags, subject)

    def evict(self) -> None:
        """The pages end with the last that holds them."""


class SharedAnonymousFile(RegularFile):
    """An open file of such a mapping, which holds its pages as an area does."""

    __slots__ = ()

    def __init__(self, path: Path, flags: int, subject: Subject) -> None:
        super().__init__(path, flags, subject)
        assert self.inode.pages is not None
        self.inode.pages.acquire_area()

    def release(self) -> None:
        pages = self.inode.pages
        super().release()
        assert pages is not None
        pages.release_area()


def inode_of(vfs: Vfs, pages: SharedAnonymous) -> SharedAnonymousInode:
    """The file that the pages are."""
    inode = pages.inode
    if inode is None:
        inode = pages.inode = SharedAnonymousInode(vfs, pages)
    assert isinstance(inode, SharedAnonymousInode)
    return inode


def path_of(vfs: Vfs, pages: SharedAnonymous) -> Path:
    """Where the file is, which has no name any more."""
    return vfs.pseudo_path(shared_memory_mount(vfs), NAME, inode_of(vfs, pages))
