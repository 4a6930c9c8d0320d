"""Calls that make, name and connect sockets: socket, bind, listen, accept, connect, shutdown ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBADF, ECONNABORTED, EINVAL, ENOTCONN, ENOTSOCK, Errno
from procession.abi.socket import AddressFamily, ShutdownHow, SocketFlag, SocketType
from procession.abi.structure import I32
from procession.abi.word import Words
from procession.fs.file import O_CLOEXEC, O_NONBLOCK, File, PathFile
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.signal.io import send_urgent
from procession.kernel.time.queue import TIMER_ACTIONS
from procession.net.families import create_socket
from procession.net.internet.address_lifetime import ADDRESS_TIMER
from procession.net.internet.listening import ALL_GROUPS_TIMER, CHANGE_TIMER, FIRST_TIMER, GROUP_TIMER
from procession.net.internet.neighbour import NEIGHBOUR_TIMER
from procession.net.internet.routing import ROUTE_TIMER
from procession.net.internet.tcp_connection import CONNECT_TIMER
from procession.net.link.bridge import BRIDGE_TIMER
from procession.net.packet.ring import RING_TIMER
from procession.net.socket import ANY_PEER, MSG_DONTWAIT, OWN, PEER, URGENT_SIGNAL_TIMER
from procession.net.socket_file import SocketFile, open_socket
from procession.syscalls.declaration import syscall
from procession.syscalls.landlock_port import BIND_TCP, CONNECT_TCP, check_address
from procession.syscalls.parameters import (
    Choice,
    ChoiceAndFlags,
    Fd,
    Flags,
    InOut,
    Int,
    Out,
    OutSocketAddress,
    SocketAddress,
)

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, Timer
    from procession.net.network import Network
    from procession.net.socket import Socket

_TYPE_MASK = 0xF
_TYPE_FLAGS = O_CLOEXEC | O_NONBLOCK
_LONGEST_ADDRESS = 128
_PAIR = Words("<ii")


def network_of(task: Task) -> Network:
    """The network that `task` is in."""
    return task.namespaces.network


def socket_file(task: Task, fd: int) -> SocketFile:
    """The socket behind `fd`. Raises EBADF, ENOTSOCK. Linux: net/socket.c, sockfd_lookup."""
    file = opened_file(task, fd)
    if isinstance(file, SocketFile):
        return file
    raise ENOTSOCK


def opened_file(task: Task, fd: int) -> File:
    """What is behind `fd`, whether it's a socket or not. Raises EBADF."""
    file = task.file_of_call(fd)
    if file is None or isinstance(file, PathFile):
        raise EBADF
    return file


def blocking_flags(file: SocketFile) -> int:
    """MSG_DONTWAIT if the file is non-blocking."""
    return MSG_DONTWAIT if file.flags & O_NONBLOCK else 0


def read_address(task: Task, address: int, length: int) -> bytes:
    """A sockaddr of `length` bytes. Raises EINVAL, EFAULT. Linux: net/socket.c, move_addr_to_kernel."""
    if not 0 <= length <= _LONGEST_ADDRESS:
        raise EINVAL("the length of an address")
    return task.mm.read(address, length) if length else b""


def write_address(value: bytes, task: Task, address: int, length: InOut[I32]) -> None:
    """Hand over a sockaddr, cut to the room there is, and its length. Raises EINVAL, EFAULT.

    Linux: net/socket.c, move_addr_to_user.
    """
    room = length.get()
    if room < 0:
        raise EINVAL("a negative length")
    # All of it is told, so that the caller sees that it was cut; and that before there's an address.
    length.put(len(value))
    if room and value:
        task.mm.write(address, value[:room])


@syscall(41)
def socket(
    task: Task,
    family: Choice[AddressFamily],
    kind: ChoiceAndFlags[SocketType | SocketFlag],
    protocol: Int,
) -> int:
    """socket(2). Linux: net/socket.c, __sys_socket."""
    if kind & ~_TYPE_MASK & ~_TYPE_FLAGS:
        raise EINVAL("unknown flags in the type")
    task.kernel.vfs.accounts.check_files()
    credentials = task.credentials
    made = create_socket(network_of(task), family, kind & _TYPE_MASK, protocol, credentials.fsuid)
    file = open_socket(made, kind, credentials)
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    return task.files.install(file, close_on_exec=bool(kind & O_CLOEXEC), limit=limit)


@syscall(53)
def socketpair(
    task: Task,
    family: Choice[AddressFamily],
    kind: ChoiceAndFlags[SocketType | SocketFlag],
    protocol: Int,
    descriptors: Out[I32],
) -> int:
    """socketpair(2). Linux: net/socket.c, __sys_socketpair."""
    if kind & ~_TYPE_MASK & ~_TYPE_FLAGS:
        raise EINVAL("unknown flags in the type")
    files, limit = task.files, task.group.limits.soft[RLIMIT_NOFILE]
    # The numbers are told before there are any sockets, so that nothing has to be undone.
    first = files.lowest_free(0, limit)
    task.mm.write(descriptors.address, _PAIR.pack(first, files.lowest_free(first + 1, limit)))
    accounts = task.kernel.vfs.accounts
    accounts.check_files(2)
    network, credentials = network_of(task), task.credentials
    ends: list[Socket] = []
    try:
        for _ in range(2):
            ends.append(create_socket(network, family, kind & _TYPE_MASK, protocol, credentials.fsuid))
        ends[0].connect_pair(ends[1])
    except (Errno, OutOfFrames):
        for end in ends:
            end.release()
        raise
    for end in ends:
        files.install(open_socket(end, kind, credentials), close_on_exec=bool(kind & O_CLOEXEC), limit=limit)
    return 0


@syscall(49)
def bind(task: Task, fd: Fd, address: SocketAddress, length: Int) -> int:
    """bind(2). Linux: net/socket.c, __sys_bind."""
    file = socket_file(task, fd)
    where = read_address(task, address, length)
    if task.credentials.landlock:
        check_address(task, file.socket, where, BIND_TCP)
    file.socket.bind(where)
    return 0


@syscall(50)
def listen(task: Task, fd: Fd, backlog: Int) -> int:
    """listen(2). Linux: net/socket.c, __sys_listen."""
    file = socket_file(task, fd)
    # Taken as unsigned: -1 asks for as much as there is.
    most = file.socket.network.sysctls.most_backlog
    file.socket.listen(backlog if 0 <= backlog <= most else most)
    return 0


@syscall(42)
def connect(task: Task, fd: Fd, address: SocketAddress, length: Int) -> int:
    """connect(2). Linux: net/socket.c, __sys_connect."""
    opened_file(task, fd)
    where = read_address(task, address, length)
    file = socket_file(task, fd)
    # Who goes on after having slept was asked before.
    if task.credentials.landlock and task.frame is None:
        check_address(task, file.socket, where, CONNECT_TCP)
    file.socket.connect(where, blocking_flags(file))
    return 0


@syscall(43)
def accept(task: Task, fd: Fd, address: OutSocketAddress, length: InOut[I32]) -> int:
    """accept(2). Linux: net/socket.c, __sys_accept4."""
    return _accept(task, fd, address, length, 0)


@syscall(288)
def accept4(
    task: Task, fd: Fd, address: OutSocketAddress, length: InOut[I32], flags: Flags[SocketFlag]
) -> int:
    """accept4(2). Linux: net/socket.c, __sys_accept4."""
    return _accept(task, fd, address, length, flags)


def _accept(task: Task, fd: int, address: int, length: InOut[I32], flags: int) -> int:
    """Linux: net/socket.c, do_accept."""
    opened_file(task, fd)
    if flags & ~_TYPE_FLAGS:
        raise EINVAL("unknown flags")
    files, limit = task.files, task.group.limits.soft[RLIMIT_NOFILE]
    # A full table must not cost a connection.
    files.lowest_free(0, limit)
    file = socket_file(task, fd)
    task.kernel.vfs.accounts.check_files()
    connection = file.socket.accept(blocking_flags(file))
    accepted = open_socket(connection, flags, task.credentials)
    if address:
        try:
            try:
                name = connection.getname(ANY_PEER)
            except ENOTCONN:
                raise ECONNABORTED from None
            write_address(name, task, address, length)
        except (Errno, OutOfFrames):
            accepted.release_if_unheld()
            raise
    return files.install(accepted, close_on_exec=bool(flags & O_CLOEXEC), limit=limit)


@syscall(48)
def shutdown(task: Task, fd: Fd, how: Choice[ShutdownHow]) -> int:
    """shutdown(2). Linux: net/socket.c, __sys_shutdown."""
    file = socket_file(task, fd)
    socket = file.socket
    if not 0 <= how <= 2 and socket.can_shut_down:
        raise EINVAL
    socket.shutdown(how + 1)
    return 0


@syscall(51)
def getsockname(task: Task, fd: Fd, address: OutSocketAddress, length: InOut[I32]) -> int:
    """getsockname(2). Linux: net/socket.c, __sys_getsockname."""
    write_address(socket_file(task, fd).socket.getname(OWN), task, address, length)
    return 0


@syscall(52)
def getpeername(task: Task, fd: Fd, address: OutSocketAddress, length: InOut[I32]) -> int:
    """getpeername(2). Linux: net/socket.c, __sys_getpeername."""
    write_address(socket_file(task, fd).socket.getname(PEER), task, address, length)
    return 0


def _internet_timed_out(kernel: Kernel, timer: Timer) -> None:
    # Who has local sockets only needs nothing of the internet.
    from procession.net.internet.timeouts import ACTIONS

    ACTIONS[timer.kind](timer.target)


def _signal_urgent_byte(kernel: Kernel, timer: Timer) -> None:
    send_urgent(kernel, timer.target)


for _kind in (
    *(CONNECT_TIMER, NEIGHBOUR_TIMER, BRIDGE_TIMER, ADDRESS_TIMER, ROUTE_TIMER),
    *(GROUP_TIMER, CHANGE_TIMER, ALL_GROUPS_TIMER, FIRST_TIMER),
):
    TIMER_ACTIONS[_kind] = _internet_timed_out
TIMER_ACTIONS[URGENT_SIGNAL_TIMER] = _signal_urgent_byte


def _ring_timed_out(kernel: Kernel, timer: Timer) -> None:
    timer.target.ring_timed_out()


TIMER_ACTIONS[RING_TIMER] = _ring_timed_out
