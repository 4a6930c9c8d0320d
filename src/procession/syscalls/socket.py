"""Socket calls: no address family is built in yet, so none can be made, and no descriptor is one."""

from __future__ import annotations

from procession.abi.errno import EAFNOSUPPORT, EINVAL, ENOTSOCK
from procession.kernel.task import Task
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Fd, Int, Size, UInt

_TYPE_MASK = 0xF
_TYPE_FLAGS = 0o2004000
_LAST_TYPE = 10
_LAST_FAMILY = 46


def _check_type(family: int, kind: int) -> None:
    """Raise what Linux does for a family that is configured out. Linux: net/socket.c, __sock_create."""
    if kind & ~_TYPE_MASK & ~_TYPE_FLAGS:
        raise EINVAL("unknown flags in the type")
    if not 0 <= family < _LAST_FAMILY:
        raise EAFNOSUPPORT(f"no address family {family}")
    if not 0 <= kind & _TYPE_MASK <= _LAST_TYPE:
        raise EINVAL(f"no socket type {kind & _TYPE_MASK}")
    raise EAFNOSUPPORT(f"address family {family} is not built in")


def _refuse(task: Task, fd: int) -> int:
    """Raises EBADF or ENOTSOCK."""
    task.files.file(fd)
    raise ENOTSOCK(f"descriptor {fd} is no socket")


@syscall(41)
def socket(task: Task, family: Int, kind: Int, protocol: Int) -> int:
    """socket(2)."""
    del task, protocol
    _check_type(family, kind)
    return 0


@syscall(53)
def socketpair(task: Task, family: Int, kind: Int, protocol: Int, descriptors: Address) -> int:
    """socketpair(2)."""
    del task, protocol, descriptors
    _check_type(family, kind)
    return 0


@syscall(42)
def connect(task: Task, fd: Fd, address: Address, length: Int) -> int:
    """connect(2)."""
    del address, length
    return _refuse(task, fd)


@syscall(43)
def accept(task: Task, fd: Fd, address: Address, length: Address) -> int:
    """accept(2)."""
    del address, length
    return _refuse(task, fd)


@syscall(288)
def accept4(task: Task, fd: Fd, address: Address, length: Address, flags: UInt) -> int:
    """accept4(2)."""
    del address, length, flags
    return _refuse(task, fd)


@syscall(44)
def sendto(
    task: Task, fd: Fd, data: Address, length: Size, flags: UInt, address: Address, address_length: Int
) -> int:
    """sendto(2)."""
    del data, length, flags, address, address_length
    return _refuse(task, fd)


@syscall(45)
def recvfrom(
    task: Task, fd: Fd, data: Address, length: Size, flags: UInt, address: Address, address_length: Address
) -> int:
    """recvfrom(2)."""
    del data, length, flags, address, address_length
    return _refuse(task, fd)


@syscall(46)
def sendmsg(task: Task, fd: Fd, message: Address, flags: UInt) -> int:
    """sendmsg(2)."""
    del message, flags
    return _refuse(task, fd)


@syscall(47)
def recvmsg(task: Task, fd: Fd, message: Address, flags: UInt) -> int:
    """recvmsg(2)."""
    del message, flags
    return _refuse(task, fd)


@syscall(48)
def shutdown(task: Task, fd: Fd, how: Int) -> int:
    """shutdown(2)."""
    del how
    return _refuse(task, fd)


@syscall(49)
def bind(task: Task, fd: Fd, address: Address, length: Int) -> int:
    """bind(2)."""
    del address, length
    return _refuse(task, fd)


@syscall(50)
def listen(task: Task, fd: Fd, backlog: Int) -> int:
    """listen(2)."""
    del backlog
    return _refuse(task, fd)


@syscall(51)
def getsockname(task: Task, fd: Fd, address: Address, length: Address) -> int:
    """getsockname(2)."""
    del address, length
    return _refuse(task, fd)


@syscall(52)
def getpeername(task: Task, fd: Fd, address: Address, length: Address) -> int:
    """getpeername(2)."""
    del address, length
    return _refuse(task, fd)


@syscall(54)
def setsockopt(task: Task, fd: Fd, level: Int, name: Int, value: Address, length: Int) -> int:
    """setsockopt(2)."""
    del level, name, value, length
    return _refuse(task, fd)


@syscall(55)
def getsockopt(task: Task, fd: Fd, level: Int, name: Int, value: Address, length: Address) -> int:
    """getsockopt(2)."""
    del level, name, value, length
    return _refuse(task, fd)
