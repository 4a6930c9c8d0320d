"""file_getattr and file_setattr: what chattr(1) sets, of what a directory's descriptor and a name say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EFAULT, EINVAL, EOPNOTSUPP
from procession.abi.ioctls import FileAttr, Fsxattr
from procession.abi.open_flags import AtFlag
from procession.fs.attributes import (
    KNOWN_EXTENDED,
    extended_flags,
    set_extended_flags,
)
from procession.hardware.physical_memory import PAGE_SIZE
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Fd, Flags, In, OptionalPath, Out, Size
from procession.syscalls.paths import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, find_by_flags
from procession.syscalls.sized_structure import read_sized

if TYPE_CHECKING:
    from procession.kernel.task import Task


def _check(size: int, flags: int) -> None:
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL("unknown flags")
    if size > PAGE_SIZE:
        raise E2BIG
    if size < FileAttr.SIZE:
        raise EINVAL("a struct file_attr is needed")


def _check_path(path: bytes | None, flags: int) -> None:
    """Raise EFAULT for none, unless the descriptor is what is meant."""
    if path is None and not flags & AT_EMPTY_PATH:
        raise EFAULT("no path")


@syscall(468)
def file_getattr(
    task: Task, directory: Fd, path: OptionalPath, attributes: Out[FileAttr], size: Size, flags: Flags[AtFlag]
) -> int:
    """file_getattr(2). Linux: fs/file_attr.c, SYSCALL_DEFINE5(file_getattr)."""
    _check(size, flags)
    _check_path(path, flags)
    if not path and flags & AT_EMPTY_PATH and directory >= 0:
        inode = opened_file(task, directory).inode
    else:
        inode = find_by_flags(task, directory, path, flags).dentry.inode
    if not inode.has_flags:
        raise EOPNOTSUPP("the file has no such attributes")
    told = FileAttr(fa_xflags=extended_flags(inode.flags)).pack()
    task.mm.write(attributes.address, told.ljust(size, b"\0"))
    return 0


@syscall(469)
def file_setattr(
    task: Task, directory: Fd, path: OptionalPath, attributes: In[FileAttr], size: Size, flags: Flags[AtFlag]
) -> int:
    """file_setattr(2). Linux: fs/file_attr.c, SYSCALL_DEFINE5(file_setattr)."""
    _check(size, flags)
    asked = FileAttr.unpack(read_sized(task.mm, attributes.address, size, FileAttr.SIZE))
    if asked.fa_xflags & ~KNOWN_EXTENDED:
        raise EINVAL("unknown attributes")
    _check_path(path, flags)
    if not path and flags & AT_EMPTY_PATH and directory >= 0:
        place = opened_file(task, directory).path
    else:
        place = find_by_flags(task, directory, path, flags)
    if not place.dentry.inode.has_flags:
        raise EOPNOTSUPP("the file has no such attributes")
    wanted = Fsxattr(
        fsx_xflags=asked.fa_xflags & 0xFFFFFFFF,
        fsx_extsize=asked.fa_extsize,
        fsx_projid=asked.fa_projid,
        fsx_cowextsize=asked.fa_cowextsize,
    )
    set_extended_flags(place, task.credentials, wanted)
    return 0
