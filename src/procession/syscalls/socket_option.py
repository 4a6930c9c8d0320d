"""getsockopt and setsockopt."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from procession.abi.bpf import SockFilter, SockFprog
from procession.abi.errno import EFAULT, EINVAL, ENODATA
from procession.abi.flow_label import In6FlowlabelReq
from procession.abi.internet import Ipv6Option
from procession.abi.packet import PacketOption
from procession.abi.socket import SocketLevel, SocketOption, SocketType
from procession.abi.structure import I32
from procession.abi.word import pack_address, pack_u32
from procession.kernel.pidfd import open_pidfd
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.task import ThreadGroup
from procession.net.bpf import check_length
from procession.net.internet.flow_label import manage_labels, told_label
from procession.net.internet.ipv6_options import EXTENSIONS, LONGEST_EXTENSION, OLD_OPTIONS
from procession.net.internet.packet_options import PACKET_OPTIONS, told_of_packets
from procession.net.internet.reuseport import attach_reuse_program, detach_reuse_program
from procession.net.internet.socket import InternetSocket
from procession.net.internet.source_filter import asked_bytes, tells_sources, told_sources
from procession.net.internet.tcp import TcpSocket
from procession.net.netlink.socket import MEMBERSHIPS, NetlinkSocket
from procession.net.packet.fanout import BY_EBPF, attach_fanout_program, kind_with_program
from procession.net.packet.ring_layout import HEADER_BYTES
from procession.net.packet.socket import PacketSocket
from procession.net.socket_file import SocketFile
from procession.net.socket_filter import attach_filter, check_unlocked, told_program
from procession.net.socket_options import ShortBuffer, get_socket_option, set_socket_option
from procession.net.unix.socket import UnixSocket
from procession.syscalls.declaration import syscall
from procession.syscalls.option_length import LONGEST_VALUE, PACKET_RINGS, read_bytes
from procession.syscalls.parameters import Choice, Fd, InOut, Int, OptionName, OptionValue, OutOptionValue
from procession.syscalls.socket import opened_file, socket_file
from procession.syscalls.socket_control import ControlWriter

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.net.socket import Socket

_PACKET_HEADER_LENGTH = (int(SocketLevel.SOL_PACKET), int(PacketOption.PACKET_HDRLEN))
_SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
_SOL_PACKET = int(SocketLevel.SOL_PACKET)
_SOL_IP = int(SocketLevel.SOL_IP)
_SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_SO_PEERPIDFD = int(SocketOption.SO_PEERPIDFD)
_SO_DETACH_REUSEPORT_BPF = int(SocketOption.SO_DETACH_REUSEPORT_BPF)
_FLOW_LABELS = (int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_FLOWLABEL_MGR))
_LABEL, _LABEL_END = 16, 20
"""Where struct in6_flowlabel_req has the label."""
_FANOUT_DATA = (int(SocketLevel.SOL_PACKET), int(PacketOption.PACKET_FANOUT_DATA))
_SO_ATTACH_REUSEPORT_CBPF = int(SocketOption.SO_ATTACH_REUSEPORT_CBPF)
_SO_ATTACH_BPF = (int(SocketOption.SO_ATTACH_BPF), int(SocketOption.SO_ATTACH_REUSEPORT_EBPF))
_SO_ATTACH_FILTER = _SO_GET_FILTER = int(SocketOption.SO_ATTACH_FILTER)
_SO_BINDTODEVICE = int(SocketOption.SO_BINDTODEVICE)
_SOCK_RAW = int(SocketType.SOCK_RAW)
_PACKET_INFORMATION = int(Ipv6Option.IPV6_PKTINFO)
_OF_RAW_SOCKETS = (int(Ipv6Option.IPV6_CHECKSUM), int(Ipv6Option.IPV6_HDRINCL))
_NO_HEADER = b"\0"
"""What is no extension header, as it's too short."""
_INT_SIZE = 4


@syscall(54)
def setsockopt(
    task: Task, fd: Fd, level: Choice[SocketLevel], name: OptionName, value: OptionValue, length: Int
) -> int:
    """setsockopt(2). Linux: net/socket.c, __sys_setsockopt."""
    file = socket_file(task, fd)
    if length < 0:
        raise EINVAL("a negative length")
    if level != _SOL_SOCKET:
        file.socket.check_option(level, name, is_set=True)
    elif name != _SO_BINDTODEVICE and length < _INT_SIZE:
        raise EINVAL("an int is needed")
    is_raw = file.socket.kind == _SOCK_RAW and name in _OF_RAW_SOCKETS
    if level == _SOL_IPV6 and name in EXTENSIONS and length and (not value or length > LONGEST_EXTENSION):
        data = _NO_HEADER
    elif level == _SOL_IPV6 and not value and not is_raw:
        # IPv6's options take that for 0. Linux: net/ipv6/ipv6_sockglue.c, do_ipv6_setsockopt.
        if name == _PACKET_INFORMATION and length:
            raise EINVAL("no struct in6_pktinfo")
        if read_bytes(file.socket, level, name, length) > _INT_SIZE or (name == OLD_OPTIONS and length):
            raise EFAULT("no structure")
        data = bytes(min(length, LONGEST_VALUE))
    else:
        data = _read_value(task, file.socket, level, name, value, length)
    if level == _SOL_SOCKET and name in (_SO_ATTACH_FILTER, _SO_ATTACH_REUSEPORT_CBPF):
        attach = attach_filter if name == _SO_ATTACH_FILTER else attach_reuse_program
        attach(file.socket, _read_program(task, file, data))
    elif level == _SOL_SOCKET and name in _SO_ATTACH_BPF:
        _refuse_program(task, file, data)
    elif (level, name) == _FANOUT_DATA and isinstance(file.socket, PacketSocket):
        if kind_with_program(file.socket) == BY_EBPF:
            _refuse_program(task, file, data)
        attach_fanout_program(file.socket, _read_program(task, file, data))
    elif level == _SOL_SOCKET and name == _SO_DETACH_REUSEPORT_BPF:
        detach_reuse_program(file.socket)
    elif (level, name) == _FLOW_LABELS and isinstance(file.socket, InternetSocket):
        label = manage_labels(file.socket, data)
        if not any(data[_LABEL:_LABEL_END]):
            # Which one it was: whoever can't be told has it all the same.
            with suppress(EFAULT):
                task.mm.write(value + _LABEL, pack_address(label, 4))
    elif level == _SOL_SOCKET:
        set_socket_option(file.socket, name, data)
    else:
        file.socket.set_option(level, name, data)
    return 0


def _read_value(task: Task, socket: Socket, level: int, name: int, value: int, length: int) -> bytes:
    """What there is to read of a value, filled up with zeros. Raises EFAULT; EINVAL for packets' rings."""
    count = read_bytes(socket, level, name, length)
    try:
        data = task.mm.read(value, count) if count else b""
    except EFAULT:
        if level == _SOL_PACKET and name in PACKET_RINGS:
            raise EINVAL("no structure") from None
        raise
    return data.ljust(min(length, LONGEST_VALUE), b"\0")


def _read_program(task: Task, file: SocketFile, data: bytes) -> list[SockFilter]:
    """What is to be attached. Raises EINVAL, EPERM, EFAULT. Linux: net/core/filter.c, __get_filter."""
    if len(data) != SockFprog.SIZE:
        raise EINVAL("a struct sock_fprog is needed")
    header = SockFprog.unpack(data)
    check_unlocked(file.socket)
    if not header.filter:
        raise EINVAL("no program")
    check_length(header.len)
    instructions = task.mm.read(header.filter, header.len * SockFilter.SIZE)
    return SockFilter.unpack_array(instructions)


def _refuse_program(task: Task, file: SocketFile, data: bytes) -> NoReturn:
    """SO_ATTACH_BPF, PACKET_FANOUT_DATA: programs of bpf(2) are for devices alone here, and no descriptor is
    one for packets.

    Raises EINVAL, EPERM, EBADF. Linux: net/core/filter.c, __get_bpf.
    """
    if len(data) != _INT_SIZE:
        raise EINVAL("an int is needed")
    check_unlocked(file.socket)
    opened_file(task, int.from_bytes(data, "little", signed=True))
    raise EINVAL("no program for packets")


@syscall(55)
def getsockopt(
    task: Task,
    fd: Fd,
    level: Choice[SocketLevel],
    name: OptionName,
    value: OutOptionValue,
    length: InOut[I32],
) -> int:
    """getsockopt(2). Linux: net/socket.c, __sys_getsockopt."""
    file = socket_file(task, fd)
    if level != _SOL_SOCKET:
        file.socket.check_option(level, name, is_set=False)
    room = length.get()
    if level == _SOL_SOCKET:
        if room < 0:
            raise EINVAL("a negative length")
        if name == _SO_GET_FILTER:
            return _tell_filter(task, file, value, length)
        if name == _SO_PEERPIDFD:
            data = _peer_pidfd(task, file)
        else:
            try:
                data = get_socket_option(file.socket, name, room)
            except ShortBuffer as short:
                length.put(short.needed)
                raise
    elif isinstance(file.socket, InternetSocket) and tells_sources(file.socket, level, name):
        return _tell_sources(task, file.socket, level, name, value, length)
    elif (level, name) in PACKET_OPTIONS and isinstance(file.socket, TcpSocket):
        return _tell_of_packets(task, file.socket, level, value, length)
    elif (level, name) == MEMBERSHIPS and isinstance(file.socket, NetlinkSocket):
        if room < 0:
            raise EINVAL("a negative length")
        data = file.socket.listed_groups()
        task.mm.write(value, data[: room & -_INT_SIZE])
        length.put(len(data))
        return 0
    elif (level, name) == _FLOW_LABELS and isinstance(file.socket, InternetSocket):
        data = _flow_label(task, file.socket, value, room)
    elif (level, name) == _PACKET_HEADER_LENGTH:
        data = _ring_header(task, value, room)
    else:
        data = file.socket.get_option(level, name, room)
    if room >= 0:
        data = data[:room]
    if level != _SOL_SOCKET:
        # The protocols tell the length first: it stays told where the value can't be.
        length.put(len(data))
    if data:
        task.mm.write(value, data)
    if level == _SOL_SOCKET:
        length.put(len(data))
    return 0


def _tell_of_packets(task: Task, socket: TcpSocket, level: int, value: int, length: InOut[I32]) -> int:
    """IP_PKTOPTIONS, IPV6_2292PKTOPTIONS: what finds no place that can be written to is left out."""
    room = length.get()
    if room < 0:
        if level == _SOL_IP:
            raise EINVAL("a negative length")
        room = LONGEST_VALUE
    writer = ControlWriter(task, value, room)
    for message in told_of_packets(socket, level):
        with suppress(EFAULT):
            writer.put(*message)
    length.put(writer.used)
    return 0


def _flow_label(task: Task, socket: InternetSocket, value: int, room: int) -> bytes:
    """IPV6_FLOWLABEL_MGR: the buffer says what is asked; a negative length is a long one. Raises EINVAL."""
    if 0 <= room < In6FlowlabelReq.SIZE:
        raise EINVAL("a struct in6_flowlabel_req is needed")
    return told_label(socket, task.mm.read(value, In6FlowlabelReq.SIZE))


def _tell_sources(
    task: Task, socket: InternetSocket, level: int, name: int, value: int, length: InOut[I32]
) -> int:
    """Whom a group is heard from: the buffer says which group, and how many sources there is room for."""
    asked = task.mm.read(value, asked_bytes(name, length.get()))
    told = told_sources(socket, level, name, asked)
    length.put(len(told))
    task.mm.write(value, told)
    return 0


def _tell_filter(task: Task, file: SocketFile, value: int, length: InOut[I32]) -> int:
    """SO_GET_FILTER, whose length counts instructions. Linux: net/core/filter.c, sk_get_filter."""
    program, count = told_program(file.socket, length.get())
    if program:
        task.mm.write(value, program)
    length.put(count)
    return 0


def _ring_header(task: Task, value: int, room: int) -> bytes:
    """PACKET_HDRLEN: how long the header of the version is that the buffer names. Raises EINVAL.

    Linux: net/packet/af_packet.c, packet_getsockopt.
    """
    if room < 4:
        raise EINVAL("an int is needed")
    found = HEADER_BYTES.get(int.from_bytes(task.mm.read(value, 4), "little"))
    if found is None:
        raise EINVAL("no such version")
    return pack_u32(found)


def _peer_pidfd(task: Task, file: SocketFile) -> bytes:
    """SO_PEERPIDFD: a pidfd of who is at the other end. Raises ENODATA. Linux: net/core/sock.c."""
    socket = file.socket
    identity = socket.peer_identity if isinstance(socket, UnixSocket) else None
    if identity is None:
        raise ENODATA
    process = identity.process
    assert isinstance(process, ThreadGroup)
    pidfd = open_pidfd(process.leader, 0, task.credentials)
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    fd = task.files.install(pidfd, close_on_exec=True, limit=limit)
    return pack_u32(fd)
