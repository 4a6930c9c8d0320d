"""Extended attributes of what a directory's descriptor and a name say: setxattrat and its relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EFAULT, EINVAL
from procession.abi.open_flags import AtFlag
from procession.abi.xattr import XattrArgs
from procession.fs.xattr import get_xattr, remove_xattr, set_xattr
from procession.hardware.physical_memory import PAGE_SIZE
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Fd, Flags, In, OptionalPath, OutBuffer, Size
from procession.syscalls.paths import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, find_by_flags
from procession.syscalls.sized_structure import read_sized
from procession.syscalls.xattr import hand_over, hand_over_names, read_name, read_value

if TYPE_CHECKING:
    from procession.fs import dentry
    from procession.kernel.task import Task


def _check_flags(flags: int) -> None:
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL("unknown flags")


def _read_arguments(task: Task, address: int, size: int) -> XattrArgs:
    """Raises EINVAL, E2BIG, EFAULT."""
    if size < XattrArgs.SIZE:
        raise EINVAL("a struct xattr_args is needed")
    if size > PAGE_SIZE:
        raise E2BIG
    return XattrArgs.unpack(read_sized(task.mm, address, size, XattrArgs.SIZE))


def _find(
    task: Task, directory: int, path: bytes | None, flags: int, *, knows_cwd: bool = False
) -> dentry.Path:
    """What is meant: with AT_EMPTY_PATH and no name, an open file itself.

    AT_FDCWD is one too where `knows_cwd` doesn't say otherwise: setxattrat and getxattrat have been told.
    Raises EFAULT for no name without that flag, and what `find_by_flags` does.
    Linux: fs/xattr.c, filename_setxattr, file_setxattr.
    """
    if path is None and not flags & AT_EMPTY_PATH:
        raise EFAULT
    if not path and flags & AT_EMPTY_PATH and (directory >= 0 or not knows_cwd):
        return opened_file(task, directory).path
    return find_by_flags(task, directory, path, flags)


@syscall(463)
def setxattrat(
    task: Task,
    directory: Fd,
    path: OptionalPath,
    flags: Flags[AtFlag],
    name: Address,
    arguments: In[XattrArgs],
    size: Size,
) -> int:
    """setxattrat(2). Linux: fs/xattr.c, SYSCALL_DEFINE6(setxattrat), path_setxattrat."""
    asked = _read_arguments(task, arguments.address, size)
    _check_flags(flags)
    wanted = read_value(task, name, asked.value, asked.size, asked.flags)
    set_xattr(_find(task, directory, path, flags, knows_cwd=True), task.credentials, *wanted, asked.flags)
    return 0


@syscall(464)
def getxattrat(
    task: Task,
    directory: Fd,
    path: OptionalPath,
    flags: Flags[AtFlag],
    name: Address,
    arguments: In[XattrArgs],
    size: Size,
) -> int:
    """getxattrat(2). Linux: fs/xattr.c, SYSCALL_DEFINE6(getxattrat), path_getxattrat."""
    asked = _read_arguments(task, arguments.address, size)
    if asked.flags:
        raise EINVAL("there are no flags")
    _check_flags(flags)
    text = read_name(task, name)
    data = get_xattr(_find(task, directory, path, flags, knows_cwd=True), task.credentials, text)
    return hand_over(task, data, asked.value, asked.size)


@syscall(465)
def listxattrat(
    task: Task, directory: Fd, path: OptionalPath, flags: Flags[AtFlag], names: OutBuffer, size: Size
) -> int:
    """listxattrat(2). Linux: fs/xattr.c, path_listxattrat."""
    _check_flags(flags)
    return hand_over_names(task, _find(task, directory, path, flags).dentry.inode, names, size)


@syscall(466)
def removexattrat(task: Task, directory: Fd, path: OptionalPath, flags: Flags[AtFlag], name: Address) -> int:
    """removexattrat(2). Linux: fs/xattr.c, path_removexattrat."""
    _check_flags(flags)
    text = read_name(task, name)
    remove_xattr(_find(task, directory, path, flags), task.credentials, text)
    return 0
