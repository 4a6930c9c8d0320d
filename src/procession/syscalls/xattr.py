"""Extended attributes: setxattr, getxattr, listxattr, removexattr and their relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EINVAL, ERANGE
from procession.abi.xattr import XATTR_NAME_MAX, XATTR_SIZE_MAX, XattrFlag
from procession.fs.namei import lookup
from procession.fs.xattr import get_xattr, list_xattrs, remove_xattr, set_xattr
from procession.kernel.time.costs import ATTRIBUTE_NS
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Fd, Flags, InBuffer, OutBuffer, Path, Size

if TYPE_CHECKING:
    from procession.fs import dentry
    from procession.fs.inode import Inode
    from procession.kernel.task import Task

_VALID_FLAGS = int(XattrFlag.XATTR_CREATE | XattrFlag.XATTR_REPLACE)


def read_name(task: Task, address: int) -> bytes:
    """The name of an attribute. Raises ERANGE if it's empty or too long, EFAULT."""
    name = task.mm.read_cstring(address, XATTR_NAME_MAX + 1)
    if not name:
        raise ERANGE
    return name


def _find(task: Task, path: bytes, *, follow: bool) -> dentry.Path:
    return lookup(task.fs, task.credentials, path, follow=follow)


def read_value(task: Task, name: int, value: int, size: int, flags: int) -> tuple[bytes, bytes]:
    """What setxattr(2) is to set. Linux: fs/xattr.c, setxattr_copy."""
    if flags & ~_VALID_FLAGS:
        raise EINVAL
    text = read_name(task, name)
    if size > XATTR_SIZE_MAX:
        raise E2BIG
    return text, task.mm.read(value, size) if size else b""


@syscall(188)
def setxattr(
    task: Task, path: Path, name: Address, value: InBuffer, size: Size, flags: Flags[XattrFlag]
) -> int:
    """setxattr(2). Linux: fs/xattr.c, path_setxattrat."""
    wanted = read_value(task, name, value, size, flags)
    set_xattr(_find(task, path, follow=True), task.credentials, *wanted, flags)
    return 0


@syscall(189)
def lsetxattr(
    task: Task, path: Path, name: Address, value: InBuffer, size: Size, flags: Flags[XattrFlag]
) -> int:
    """lsetxattr(2). Linux: fs/xattr.c, path_setxattrat."""
    wanted = read_value(task, name, value, size, flags)
    set_xattr(_find(task, path, follow=False), task.credentials, *wanted, flags)
    return 0


@syscall(190)
def fsetxattr(task: Task, fd: Fd, name: Address, value: InBuffer, size: Size, flags: Flags[XattrFlag]) -> int:
    """fsetxattr(2). Linux: fs/xattr.c, file_setxattr."""
    wanted = read_value(task, name, value, size, flags)
    set_xattr(opened_file(task, fd).path, task.credentials, *wanted, flags)
    return 0


def hand_over(task: Task, data: bytes, buffer: int, size: int) -> int:
    """Give a value or a list of names to the program; a size of 0 asks how long it is."""
    task.kernel.clock.spend_copying(len(data))
    if not size:
        return len(data)
    if len(data) > size:
        raise ERANGE
    if data:
        task.mm.write(buffer, data)
    return len(data)


def hand_over_names(task: Task, inode: Inode, buffer: int, size: int) -> int:
    names = list_xattrs(inode, task.credentials)
    task.kernel.clock.spend(names.count(b"\0") * ATTRIBUTE_NS)
    unlisted = inode.unlisted_bytes
    if unlisted and size < len(names) + unlisted:
        # Linux: fs/overlayfs/xattrs.c, ovl_listxattr.
        if size:
            raise ERANGE
        return len(names) + unlisted
    return hand_over(task, names, buffer, size)


@syscall(191)
def getxattr(task: Task, path: Path, name: Address, value: OutBuffer, size: Size) -> int:
    """getxattr(2). Linux: fs/xattr.c, path_getxattrat."""
    text = read_name(task, name)
    data = get_xattr(_find(task, path, follow=True), task.credentials, text)
    return hand_over(task, data, value, size)


@syscall(192)
def lgetxattr(task: Task, path: Path, name: Address, value: OutBuffer, size: Size) -> int:
    """lgetxattr(2). Linux: fs/xattr.c, path_getxattrat."""
    text = read_name(task, name)
    data = get_xattr(_find(task, path, follow=False), task.credentials, text)
    return hand_over(task, data, value, size)


@syscall(193)
def fgetxattr(task: Task, fd: Fd, name: Address, value: OutBuffer, size: Size) -> int:
    """fgetxattr(2). Linux: fs/xattr.c, file_getxattr."""
    text = read_name(task, name)
    return hand_over(task, get_xattr(opened_file(task, fd).path, task.credentials, text), value, size)


@syscall(194)
def listxattr(task: Task, path: Path, names: OutBuffer, size: Size) -> int:
    """listxattr(2). Linux: fs/xattr.c, path_listxattrat."""
    inode = _find(task, path, follow=True).dentry.inode
    return hand_over_names(task, inode, names, size)


@syscall(195)
def llistxattr(task: Task, path: Path, names: OutBuffer, size: Size) -> int:
    """llistxattr(2). Linux: fs/xattr.c, path_listxattrat."""
    inode = _find(task, path, follow=False).dentry.inode
    return hand_over_names(task, inode, names, size)


@syscall(196)
def flistxattr(task: Task, fd: Fd, names: OutBuffer, size: Size) -> int:
    """flistxattr(2). Linux: fs/xattr.c, file_listxattr."""
    return hand_over_names(task, opened_file(task, fd).inode, names, size)


@syscall(197)
def removexattr(task: Task, path: Path, name: Address) -> int:
    """removexattr(2). Linux: fs/xattr.c, path_removexattrat."""
    text = read_name(task, name)
    remove_xattr(_find(task, path, follow=True), task.credentials, text)
    return 0


@syscall(198)
def lremovexattr(task: Task, path: Path, name: Address) -> int:
    """lremovexattr(2). Linux: fs/xattr.c, path_removexattrat."""
    text = read_name(task, name)
    remove_xattr(_find(task, path, follow=False), task.credentials, text)
    return 0


@syscall(199)
def fremovexattr(task: Task, fd: Fd, name: Address) -> int:
    """fremovexattr(2). Linux: fs/xattr.c, file_removexattr."""
    text = read_name(task, name)
    remove_xattr(opened_file(task, fd).path, task.credentials, text)
    return 0
