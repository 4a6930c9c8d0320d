"""/proc/net: the sockets of a network, its interface and its routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.socket import AddressFamily, SocketType, TcpState
from procession.net.buffer_charge import stream_charge
from procession.net.internet.tcp_connection import TimeWait
from procession.procfs.system import SystemFile, SystemTree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.kernel.kernel import Kernel
    from procession.net.internet.port_table import PortTable
    from procession.net.internet.tcp import TcpSocket
    from procession.net.internet.udp import UdpSocket
    from procession.net.network import Network
    from procession.net.socket import Socket
    from procession.net.unix.socket import UnixSocket

_AF_INET = int(AddressFamily.AF_INET)
_AF_INET6 = int(AddressFamily.AF_INET6)
_STREAM = int(SocketType.SOCK_STREAM)
_ESTABLISHED = int(TcpState.TCP_ESTABLISHED)
_LISTEN = int(TcpState.TCP_LISTEN)
_CLOSE = int(TcpState.TCP_CLOSE)
_TIME_WAIT = int(TcpState.TCP_TIME_WAIT)
_TIMER_OF_TIME_WAIT = 3
_TICKS_PER_S = 100
_SO_ACCEPTCON = 0x10000
_UNCONNECTED, _CONNECTING, _CONNECTED, _DISCONNECTING = 1, 2, 3, 4
"""In Linux, socket_state of include/uapi/linux/net.h."""
_LINE_LENGTH, _LINE_LENGTH_6 = 149, 0


def network_of(kernel: Kernel) -> Network:
    """The network that is shown: the running task's."""
    return kernel.seen_namespaces.network


def inode_of(socket: Socket) -> int:
    """The number of a socket's inode, 0 for one that hasn't been accepted or is closed."""
    return socket.file.inode.number if socket.file is not None else 0


# Local sockets


def show_unix(kernel: Kernel) -> bytes:
    """Linux: net/unix/af_unix.c, unix_seq_show."""
    lines = [b"Num       RefCount Protocol Flags    Type St Inode Path\n"]
    lines += [_unix_line(socket) for socket in network_of(kernel).unix.sockets]
    return b"".join(lines)


def _unix_line(socket: UnixSocket) -> bytes:
    is_established = socket.state == _ESTABLISHED
    if socket.file is not None:
        state = _CONNECTED if is_established else _UNCONNECTED
    else:
        state = _CONNECTING if is_established else _DISCONNECTING
    flags = _SO_ACCEPTCON if socket.state == _LISTEN else 0
    references = 2 + (socket.peer is not None)
    line = b"%016x: %08X %08X %08X %04X %02X %5d" % (
        *(socket.cookie, references, 0, flags, socket.kind, state, inode_of(socket)),
    )
    name = socket.name
    if name is not None:
        line += b" " + (b"@" + name[1:].replace(b"\0", b"@") if name[0] == 0 else name)
    return line + b"\n"


# Internet sockets


def _endpoint(address: bytes, port: int, family: int) -> bytes:
    """An address as words in the processor's order, and the port."""
    if family == _AF_INET6 and len(address) == 4:
        address = bytes(10) + b"\xff\xff" + address
    words = (
        b"%08X" % int.from_bytes(address[start : start + 4], "little") for start in range(0, len(address), 4)
    )
    return b"%s:%04X" % (b"".join(words), port)


def _any_address(family: int) -> bytes:
    return bytes(4 if family == _AF_INET else 16)


def _tcp_line(position: int, socket: TcpSocket | TimeWait, now_ns: int) -> bytes:
    """Linux: net/ipv4/tcp_ipv4.c, get_tcp4_sock, get_timewait4_sock; net/ipv6/tcp_ipv6.c."""
    family = socket.family
    local = _endpoint(socket.local_address, socket.local_port, family)
    if isinstance(socket, TimeWait):
        _, _, address, port = socket.key
        remote = _endpoint(address, port, family)
        left = max(socket.expiry_ns - now_ns, 0) * _TICKS_PER_S // 10**9
        return b"%4d: %s %s %02X %08X:%08X %02X:%08X %08X %5d %8d %d %d %016x" % (
            *(position, local, remote, _TIME_WAIT, 0, 0, _TIMER_OF_TIME_WAIT, left, 0, 0, 0, 0, 3, 0),
        )
    remote = _endpoint(socket.remote_address or _any_address(family), socket.remote_port, family)
    if socket.state == _LISTEN:
        sending, waiting = 0, len(socket.connections)
    else:
        sending, waiting = socket.on_the_way, min(socket.arrived.length, socket.receive_room)
    inode = inode_of(socket)
    tail = b"100 0 0 10 0" if socket.state == _LISTEN else b"20 4 30 10 -1"
    return b"%4d: %s %s %02X %08X:%08X %02X:%08X %08X %5d %8d %d %d %016x %s" % (
        *(position, local, remote, socket.state, sending, waiting, 0, 0, 0),
        *(socket.owner_uid, 0, inode, 1 + (inode != 0), socket.cookie, tail),
    )


def _show_tcp(kernel: Kernel, family: int) -> list[bytes]:
    """Those that listen, then the others."""
    from procession.net.internet.tcp import TcpSocket

    connections = network_of(kernel).tcp
    connections.expire()
    holders = [holder for holder in connections.ports.all_holders() if holder.family == family]
    listeners = [holder for holder in holders if holder.state == _LISTEN and isinstance(holder, TcpSocket)]
    ends: Iterable[TcpSocket] = (
        end for end in connections.connections.values() if end.family == family and end.state != _CLOSE
    )
    over = [wait for wait in connections.waiting if wait.family == family]
    now_ns = kernel.clock.now_ns
    shown: list[TcpSocket | TimeWait] = [*listeners, *ends, *over]
    return [_tcp_line(position, socket, now_ns) for position, socket in enumerate(shown)]


def show_tcp(kernel: Kernel) -> bytes:
    """/proc/net/tcp."""
    heading = (
        b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
    )
    return b"".join(line.ljust(_LINE_LENGTH) + b"\n" for line in (heading, *_show_tcp(kernel, _AF_INET)))


def show_tcp6(kernel: Kernel) -> bytes:
    """/proc/net/tcp6."""
    heading = (
        b"  sl  local_address                         remote_address                        st tx_queue"
        b" rx_queue tr tm->when retrnsmt   uid  timeout inode"
    )
    return b"".join(line + b"\n" for line in (heading, *_show_tcp(kernel, _AF_INET6)))


def _udp_lines(ports: PortTable, family: int) -> list[bytes]:
    """Linux: net/ipv4/udp.c, udp4_format_sock."""
    from procession.net.internet.udp import UdpSocket

    holders = ports.all_holders()
    sockets = [holder for holder in holders if isinstance(holder, UdpSocket) and holder.family == family]
    return [_udp_line(socket) for socket in sockets]


def _udp_line(socket: UdpSocket) -> bytes:
    family = socket.family
    return b"%5d: %s %s %02X %08X:%08X %02X:%08X %08X %5d %8d %d %d %016x %d" % (
        socket.local_port,
        _endpoint(socket.local_address, socket.local_port, family),
        _endpoint(socket.remote_address or _any_address(family), socket.remote_port, family),
        *(socket.state, 0, socket.arrived_bytes, 0, 0, 0, socket.owner_uid, 0),
        *(inode_of(socket), 2, socket.cookie, socket.drop_count),
    )


def show_udp(kernel: Kernel) -> bytes:
    """/proc/net/udp."""
    return _show_udp(network_of(kernel).udp_ports)


def show_udp_lite(kernel: Kernel) -> bytes:
    """/proc/net/udplite."""
    return _show_udp(network_of(kernel).udp_lite_ports)


def _show_udp(ports: PortTable) -> bytes:
    heading = (
        b"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
        b" ref pointer drops"
    )
    return b"".join(line.ljust(127) + b"\n" for line in (heading, *_udp_lines(ports, _AF_INET)))


def show_udp6(kernel: Kernel) -> bytes:
    """/proc/net/udp6."""
    return _show_udp6(network_of(kernel).udp_ports)


def show_udp_lite6(kernel: Kernel) -> bytes:
    """/proc/net/udplite6."""
    return _show_udp6(network_of(kernel).udp_lite_ports)


def _show_udp6(ports: PortTable) -> bytes:
    heading = (
        b"  sl  local_address                         remote_address                        st tx_queue"
        b" rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
    )
    return b"".join(line + b"\n" for line in (heading, *_udp_lines(ports, _AF_INET6)))


def show_raw(kernel: Kernel) -> bytes:
    """/proc/net/raw: there are no raw sockets."""
    return (
        b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
        b" ref pointer drops\n"
    )


def show_raw6(kernel: Kernel) -> bytes:
    """/proc/net/raw6."""
    return (
        b"  sl  local_address                         remote_address                        st tx_queue"
        b" rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
    )


def show_netlink(kernel: Kernel) -> bytes:
    """/proc/net/netlink. Linux: net/netlink/af_netlink.c, netlink_native_seq_show."""
    lines = [
        b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n",
    ]
    lines += [
        b"%016x %-3d %-10d %08x %-8d %-8d %-5d %-8d %-8d %-8d\n"
        % (
            *(socket.cookie, socket.protocol, port_id, socket.groups, socket.answer_bytes),
            *(0, 0, 2, 0, inode_of(socket)),
        )
        for port_id, socket in network_of(kernel).netlink_sockets.items()
    ]
    return b"".join(lines)


def show_packet(kernel: Kernel) -> bytes:
    """/proc/net/packet: there are no packet sockets."""
    return b"sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"


# The interface


def show_dev(kernel: Kernel) -> bytes:
    """/proc/net/dev. Linux: net/core/net-procfs.c, dev_seq_show."""
    network = network_of(kernel)
    size, count = network.byte_count, network.packet_count
    return (
        b"Inter-|   Receive                                                |  Transmit\n"
        b" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo"
        b" colls carrier compressed\n"
        b"    lo: %7d %7d    0    0    0     0          0         0 %8d %7d    0    0    0     0       0"
        b"          0\n" % (size, count, size, count)
    )


def show_addresses_6(kernel: Kernel) -> bytes:
    """/proc/net/if_inet6. Linux: net/ipv6/addrconf.c, if6_seq_show."""
    return b"00000000000000000000000000000001 01 80 10 80       lo\n"


def show_route(kernel: Kernel) -> bytes:
    """/proc/net/route: the loopback isn't in the main table.

    Linux: net/ipv4/fib_trie.c, fib_route_seq_show.
    """
    heading = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
    return heading.ljust(127) + b"\n"


def show_route_6(kernel: Kernel) -> bytes:
    """/proc/net/ipv6_route. Linux: net/ipv6/ip6_fib.c, ipv6_route_native_seq_show."""
    nowhere = b"0" * 32
    default = b"%s 00 %s 00 %s ffffffff 00000001 00000000 00200200       lo\n" % (nowhere, nowhere, nowhere)
    loopback = nowhere[:-1] + b"1"
    return (
        default
        + b"%s 80 %s 00 %s 00000000 00000002 00000000 80200001       lo\n" % (loopback, nowhere, nowhere)
        + default
    )


def show_arp(kernel: Kernel) -> bytes:
    """/proc/net/arp: the loopback needs no hardware addresses."""
    return b"IP address       HW type     Flags       HW address            Mask     Device\n"


def show_sockstat(kernel: Kernel) -> bytes:
    """/proc/net/sockstat. Linux: net/ipv4/proc.c, sockstat_seq_show."""
    network = network_of(kernel)
    network.tcp.expire()
    ends = [end for end in network.tcp.connections.values() if end.state != _CLOSE]
    orphans = sum(end.is_orphan for end in ends)
    listening = sum(holder.state == _LISTEN for holder in network.tcp.ports.all_holders())
    in_use = len(ends) + listening - orphans
    pages = -(-network.system.buffered_bytes // stream_charge(4096))
    return b"".join(
        (
            b"sockets: used %d\n" % network.system.socket_count,
            b"TCP: inuse %d orphan %d tw %d alloc %d mem %d\n"
            % (in_use, orphans, len(network.tcp.over), in_use + orphans, pages),
            b"UDP: inuse %d mem 0\n" % len(network.udp_ports.all_holders()),
            b"UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
        )
    )


def show_sockstat6(kernel: Kernel) -> bytes:
    """/proc/net/sockstat6. Linux: net/ipv6/proc.c, sockstat6_seq_show."""
    network = network_of(kernel)
    tcp = sum(holder.family == _AF_INET6 for holder in network.tcp.ports.all_holders())
    udp = sum(holder.family == _AF_INET6 for holder in network.udp_ports.all_holders())
    return b"TCP6: inuse %d\nUDP6: inuse %d\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n" % (
        tcp,
        udp,
    )


NETWORK_TREE: SystemTree = {
    b"arp": SystemFile(0o444, show_arp),
    b"dev": SystemFile(0o444, show_dev),
    b"if_inet6": SystemFile(0o444, show_addresses_6),
    b"ipv6_route": SystemFile(0o444, show_route_6),
    b"netlink": SystemFile(0o444, show_netlink),
    b"packet": SystemFile(0o444, show_packet),
    b"raw": SystemFile(0o444, show_raw),
    b"raw6": SystemFile(0o444, show_raw6),
    b"route": SystemFile(0o444, show_route),
    b"sockstat": SystemFile(0o444, show_sockstat),
    b"sockstat6": SystemFile(0o444, show_sockstat6),
    b"tcp": SystemFile(0o444, show_tcp),
    b"tcp6": SystemFile(0o444, show_tcp6),
    b"udp": SystemFile(0o444, show_udp),
    b"udp6": SystemFile(0o444, show_udp6),
    b"udplite": SystemFile(0o444, show_udp_lite),
    b"udplite6": SystemFile(0o444, show_udp_lite6),
    b"unix": SystemFile(0o444, show_unix),
}
"""What is in /proc/PID/net."""
