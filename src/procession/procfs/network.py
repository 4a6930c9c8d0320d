"""/proc/net: the sockets of a network, its interfaces and its routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.route_entry import RouteFlag
from procession.abi.socket import TcpState
from procession.abi.word import pack_address
from procession.net.buffer_charge import stream_charge
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.device_address import addresses_of
from procession.net.internet.flow import settle_all
from procession.net.internet.neighbour import PERMANENT
from procession.net.internet.routing import LOCAL, MAIN_TABLE, SCOPE_HOST, SCOPE_LINK
from procession.net.internet.tcp import TcpSocket
from procession.net.internet.tcp_acknowledgement import told_state, unacknowledged_bytes
from procession.net.internet.tcp_connection import TimeWait
from procession.net.internet.udp import UdpSocket
from procession.procfs.network_counters import (
    show_netstat,
    show_snmp,
    show_snmp6,
)
from procession.procfs.network_endpoint import HEADING, HEADING6, MORE_COLUMNS, any_address, endpoint
from procession.procfs.network_flow_labels import show_flow_labels
from procession.procfs.network_groups import (
    show_anycast,
    show_device_groups,
    show_filters,
    show_filters_6,
    show_igmp,
    show_igmp6,
)
from procession.procfs.network_protocols import show_protocols
from procession.procfs.network_receivers import show_icmp, show_icmp6, show_packet_counts, show_packet_types
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.kernel.kernel import Kernel
    from procession.net.internet.port_table import PortTable
    from procession.net.internet.tcp import TcpSocket
    from procession.net.internet.udp import UdpSocket
    from procession.net.link.interface import Interface
    from procession.net.network import Network
    from procession.net.unix.socket import UnixSocket

_ESTABLISHED = int(TcpState.TCP_ESTABLISHED)
_LISTEN = int(TcpState.TCP_LISTEN)
_CLOSE = int(TcpState.TCP_CLOSE)
_TIME_WAIT = int(TcpState.TCP_TIME_WAIT)
_TIMER_OF_TIME_WAIT = 3
_TICKS_PER_S = 100
_SO_ACCEPTCON = 0x10000
_UNCONNECTED, _CONNECTING, _CONNECTED, _DISCONNECTING = 1, 2, 3, 4
"""In Linux, socket_state of include/uapi/linux/net.h."""
_LINE_LENGTH = 149


def network_of(kernel: Kernel) -> Network:
    """The network that is shown: the running task's."""
    return kernel.seen_namespaces.network


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
        *(socket.cookie, references, 0, flags, socket.kind, state, socket.inode_number),
    )
    name = socket.name
    if name is not None:
        line += b" " + (b"@" + name[1:].replace(b"\0", b"@") if name[0] == 0 else name)
    return line + b"\n"


# Internet sockets


def _tcp_line(position: int, socket: TcpSocket | TimeWait, now_ns: int) -> bytes:
    """Linux: net/ipv4/tcp_ipv4.c, get_tcp4_sock, get_timewait4_sock; net/ipv6/tcp_ipv6.c."""
    family = socket.family
    local = endpoint(socket.local_address, socket.local_port, family)
    if isinstance(socket, TimeWait):
        _, _, address, port = socket.key
        remote = endpoint(address, port, family)
        left = max(socket.expiry_ns - now_ns, 0) * _TICKS_PER_S // 10**9
        return b"%4d: %s %s %02X %08X:%08X %02X:%08X %08X %5d %8d %d %d %016x" % (
            *(position, local, remote, _TIME_WAIT, 0, 0, _TIMER_OF_TIME_WAIT, left, 0, 0, 0, 0, 3, 0),
        )
    remote = endpoint(socket.remote_address or any_address(family), socket.remote_port, family)
    if socket.state == _LISTEN:
        sending, waiting = 0, len(socket.connections)
    else:
        sending, waiting = unacknowledged_bytes(socket), min(socket.arrived.length, socket.receive_room)
    inode = socket.inode_number
    tail = b"100 0 0 10 0" if socket.state == _LISTEN else b"20 4 30 10 -1"
    return b"%4d: %s %s %02X %08X:%08X %02X:%08X %08X %5d %8d %d %d %016x %s" % (
        *(position, local, remote, told_state(socket), sending, waiting, 0, 0, 0),
        *(socket.owner_uid, 0, inode, 1 + (inode != 0), socket.cookie, tail),
    )


def _show_tcp(kernel: Kernel, family: int) -> list[bytes]:
    """Those that listen, then the others."""
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
    return b"".join(line.ljust(_LINE_LENGTH) + b"\n" for line in (HEADING, *_show_tcp(kernel, AF_INET)))


def show_tcp6(kernel: Kernel) -> bytes:
    """/proc/net/tcp6."""
    return b"".join(line + b"\n" for line in (HEADING6, *_show_tcp(kernel, AF_INET6)))


def _udp_lines(ports: PortTable, family: int) -> list[bytes]:
    """Linux: net/ipv4/udp.c, udp4_format_sock."""
    holders = ports.all_holders()
    sockets = [holder for holder in holders if isinstance(holder, UdpSocket) and holder.family == family]
    return [_udp_line(socket) for socket in sockets]


def _udp_line(socket: UdpSocket) -> bytes:
    family = socket.family
    return b"%5d: %s %s %02X %08X:%08X %02X:%08X %08X %5d %8d %d %d %016x %d" % (
        socket.local_port,
        endpoint(socket.local_address, socket.local_port, family),
        endpoint(socket.remote_address or any_address(family), socket.remote_port, family),
        *(socket.state, 0, socket.arrived_bytes, 0, 0, 0, socket.owner_uid, 0),
        *(socket.inode_number, 2, socket.cookie, socket.drop_count),
    )


def show_udp(kernel: Kernel) -> bytes:
    """/proc/net/udp."""
    return _show_udp(network_of(kernel).udp_ports)


def show_udp_lite(kernel: Kernel) -> bytes:
    """/proc/net/udplite."""
    return _show_udp(network_of(kernel).udp_lite_ports)


def _show_udp(ports: PortTable) -> bytes:
    heading = b" " + HEADING + MORE_COLUMNS
    return b"".join(line.ljust(127) + b"\n" for line in (heading, *_udp_lines(ports, AF_INET)))


def show_udp6(kernel: Kernel) -> bytes:
    """/proc/net/udp6."""
    return _show_udp6(network_of(kernel).udp_ports)


def show_udp_lite6(kernel: Kernel) -> bytes:
    """/proc/net/udplite6."""
    return _show_udp6(network_of(kernel).udp_lite_ports)


def _show_udp6(ports: PortTable) -> bytes:
    heading = HEADING6 + MORE_COLUMNS
    return b"".join(line + b"\n" for line in (heading, *_udp_lines(ports, AF_INET6)))


def show_raw(kernel: Kernel) -> bytes:
    """/proc/net/raw. Linux: net/ipv4/raw.c, raw_sock_seq_show."""
    return HEADING + MORE_COLUMNS + b"\n" + b"".join(_raw_lines(kernel, AF_INET))


def show_raw6(kernel: Kernel) -> bytes:
    """/proc/net/raw6."""
    return HEADING6 + MORE_COLUMNS + b"\n" + b"".join(_raw_lines(kernel, AF_INET6))


def _raw_lines(kernel: Kernel, family: int) -> list[bytes]:
    return [
        b"%4d: %s %s %02X %08X:%08X %02X:%08X %08X %5d %8d %d %d %016x %d\n"
        % (
            socket.protocol,
            endpoint(socket.local_address, socket.protocol, family),
            endpoint(socket.remote_address or any_address(family), 0, family),
            *(socket.state, 0, socket.arrived_bytes, 0, 0, 0, socket.owner_uid, 0),
            *(socket.inode_number, 2, socket.cookie, socket.drop_count),
        )
        for socket in network_of(kernel).raw_sockets
        if socket.family == family
    ]


def show_netlink(kernel: Kernel) -> bytes:
    """/proc/net/netlink. Linux: net/netlink/af_netlink.c, netlink_native_seq_show."""
    lines = [
        b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n",
    ]
    lines += [
        b"%016x %-3d %-10d %08x %-8d %-8d %-5d %-8d %-8d %-8d\n"
        % (
            *(socket.cookie, socket.protocol, port_id, socket.groups & 0xFFFFFFFF, socket.answer_bytes),
            *(0, 0, 2, 0, socket.inode_number),
        )
        for (_, port_id), socket in network_of(kernel).netlink_sockets.items()
    ]
    return b"".join(lines)


def show_packet(kernel: Kernel) -> bytes:
    """/proc/net/packet. Linux: net/packet/af_packet.c, packet_seq_show."""
    return b"sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n" + b"".join(
        b"%016x %-6d %-4d %04x   %-5d %1d %-6d %-6d %-6d\n"
        % (
            *(socket.cookie, 3, socket.kind, socket.protocol, socket.interface_index),
            *(int(socket.protocol != 0), socket.heard_bytes, socket.owner_uid, socket.inode_number),
        )
        for socket in network_of(kernel).packet_sockets
    )


# Interfaces and routes


def _interfaces(kernel: Kernel) -> list[Interface]:
    """All of the network, their counters up to date."""
    network = network_of(kernel)
    settle_all(network)
    return [network.interfaces[index] for index in sorted(network.interfaces)]


def show_dev(kernel: Kernel) -> bytes:
    """/proc/net/dev. Linux: net/core/net-procfs.c, dev_seq_show."""
    return (
        b"Inter-|   Receive                                                |  Transmit\n"
        b" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo"
        b" colls carrier compressed\n"
    ) + b"".join(
        b"%6s: %7d %7d    0    0    0     0          0         0 %8d %7d    0 %4d    0     0       0"
        b"          0\n"
        % (
            interface.name,
            *(interface.received_bytes, interface.received_packets),
            *(interface.sent_bytes, interface.sent_packets, interface.drop_count),
        )
        for interface in _interfaces(kernel)
    )


def show_addresses_6(kernel: Kernel) -> bytes:
    """/proc/net/if_inet6. Linux: net/ipv6/addrconf.c, if6_seq_show."""
    return b"".join(
        b"%s %02x %02x %02x %02x %8s\n"
        % (
            address.address.hex().encode(),
            *(interface.index, address.prefix_length, _SCOPES_6.get(address.scope, 0), address.flags & 0xFF),
            interface.name,
        )
        for interface in _interfaces(kernel)
        for address in addresses_of(interface, is_ipv6=True)
    )


_SCOPES_6 = {SCOPE_HOST: 0x10, SCOPE_LINK: 0x20}
_RTF_UP, _RTF_GATEWAY = int(RouteFlag.RTF_UP), int(RouteFlag.RTF_GATEWAY)
_RTF_HOST, _RTF_REJECT = int(RouteFlag.RTF_HOST), int(RouteFlag.RTF_REJECT)


def show_route(kernel: Kernel) -> bytes:
    """/proc/net/route: IPv4's main table. Linux: net/ipv4/fib_trie.c, fib_route_seq_show."""
    heading = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
    lines = [heading]
    for route in network_of(kernel).routes.all():
        if route.is_ipv6 or route.table != MAIN_TABLE:
            continue
        way = route.paths[0]
        gateway = way.gateway or b""
        flags = _RTF_UP | (_RTF_GATEWAY if gateway else 0)
        flags |= _RTF_HOST if route.prefix_length == 32 else 0
        flags |= _RTF_REJECT if route.interface is None and route.next_hop is None else 0
        mask = pack_address(0xFFFF_FFFF << 32 - route.prefix_length, 4)
        lines.append(
            b"%s\t%s\t%s\t%04X\t0\t0\t%d\t%s\t%d\t0\t0"
            % (
                way.interface.name if way.interface is not None else b"*",
                *(
                    _word(route.destination),
                    _word(gateway if len(gateway) == 4 else bytes(4)),
                    flags,
                    route.priority,
                ),
                *(_word(mask), route.mtu),
            )
        )
    return b"".join(line.ljust(127) + b"\n" for line in lines)


def _word(address: bytes) -> bytes:
    return b"%08X" % int.from_bytes(address, "little")


def show_route_6(kernel: Kernel) -> bytes:
    """/proc/net/ipv6_route. Linux: net/ipv6/ip6_fib.c, ipv6_route_native_seq_show."""
    nowhere = b"0" * 32
    network = network_of(kernel)
    lines: list[bytes] = []
    for route in network.routes.all():
        way = route.paths[0]
        if not route.is_ipv6 or way.interface is None:
            continue
        flags = 0x80200001 if route.kind == LOCAL else _RTF_UP
        flags |= _RTF_GATEWAY if way.gateway is not None else 0
        lines.append(
            b"%s %02x %s 00 %s %08x 00000002 00000000 %08x %8s\n"
            % (
                *(route.destination.hex().encode(), route.prefix_length, nowhere),
                (way.gateway or bytes(16)).hex().encode(),
                *(route.priority, flags, way.interface.name),
            )
        )
    default = b"%s 00 %s 00 %s ffffffff 00000001 00000000 00200200       lo\n" % (nowhere, nowhere, nowhere)
    return default + b"".join(lines) + default


def show_arp(kernel: Kernel) -> bytes:
    """/proc/net/arp. Linux: net/ipv4/arp.c, arp_format_neigh_entry."""
    lines = [b"IP address       HW type     Flags       HW address            Mask     Device\n"]
    for entry in network_of(kernel).neighbours.values():
        if len(entry.address) != 4:
            continue
        flags = 0x2 if entry.is_resolved else 0
        flags |= 0x4 if entry.state == PERMANENT else 0
        hardware = b":".join(b"%02x" % byte for byte in entry.hardware_address.ljust(6, b"\0"))
        address = b".".join(b"%d" % byte for byte in entry.address)
        lines.append(
            b"%-16s 0x%-10x0x%-10x%s     *        %s\n"
            % (address, entry.interface.hardware_type, flags, hardware, entry.interface.name)
        )
    return b"".join(lines)


def show_sockstat(kernel: Kernel) -> bytes:
    """/proc/net/sockstat. Linux: net/ipv4/proc.c, sockstat_seq_show."""
    network = network_of(kernel)
    network.tcp.expire()
    ends = [end for end in network.tcp.connections.values() if end.state != _CLOSE]
    orphans = sum(end.is_orphan for end in ends)
    listening = sum(holder.state == _LISTEN for holder in network.tcp.ports.all_holders())
    in_use = len(ends) + listening - orphans
    kernel.clock.spend_looking(len(ends) + len(network.tcp.ports.holders))
    pages = -(-network.system.buffered_bytes // stream_charge(4096))
    return b"".join(
        (
            b"sockets: used %d\n" % network.system.socket_count,
            b"TCP: inuse %d orphan %d tw %d alloc %d mem %d\n"
            % (in_use, orphans, len(network.tcp.over), in_use + orphans, pages),
            b"UDP: inuse %d mem 0\n" % len(network.udp_ports.all_holders()),
            b"UDPLITE: inuse 0\nRAW: inuse %d\nFRAG: inuse 0 memory 0\n" % len(network.raw_sockets),
        )
    )


def show_sockstat6(kernel: Kernel) -> bytes:
    """/proc/net/sockstat6. Linux: net/ipv6/proc.c, sockstat6_seq_show."""
    network = network_of(kernel)
    tcp = sum(holder.family == AF_INET6 for holder in network.tcp.ports.all_holders())
    udp = sum(holder.family == AF_INET6 for holder in network.udp_ports.all_holders())
    return b"TCP6: inuse %d\nUDP6: inuse %d\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n" % (
        tcp,
        udp,
    )


NETWORK_TREE: SystemTree = {
    b"arp": SystemFile(0o444, show_arp),
    b"dev": SystemFile(0o444, show_dev),
    b"dev_mcast": SystemFile(0o444, show_device_groups),
    b"icmp": SystemFile(0o444, show_icmp),
    b"icmp6": SystemFile(0o444, show_icmp6),
    b"igmp": SystemFile(0o444, show_igmp),
    b"anycast6": SystemFile(0o444, show_anycast),
    b"igmp6": SystemFile(0o444, show_igmp6),
    b"if_inet6": SystemFile(0o444, show_addresses_6),
    b"ipv6_route": SystemFile(0o444, show_route_6),
    b"ip6_flowlabel": SystemFile(0o444, show_flow_labels),
    b"mcfilter": SystemFile(0o444, show_filters),
    b"mcfilter6": SystemFile(0o444, show_filters_6),
    b"netstat": SystemFile(0o444, show_netstat),
    b"netlink": SystemFile(0o444, show_netlink),
    b"packet": SystemFile(0o444, show_packet),
    b"protocols": SystemFile(0o444, show_protocols),
    b"ptype": SystemFile(0o444, show_packet_types),
    b"raw": SystemFile(0o444, show_raw),
    b"raw6": SystemFile(0o444, show_raw6),
    b"route": SystemFile(0o444, show_route),
    b"snmp": SystemFile(0o444, show_snmp),
    b"snmp6": SystemFile(0o444, show_snmp6),
    b"sockstat": SystemFile(0o444, show_sockstat),
    b"sockstat6": SystemFile(0o444, show_sockstat6),
    b"softnet_stat": SystemFile(0o444, show_packet_counts),
    b"tcp": SystemFile(0o444, show_tcp),
    b"tcp6": SystemFile(0o444, show_tcp6),
    b"udp": SystemFile(0o444, show_udp),
    b"udp6": SystemFile(0o444, show_udp6),
    b"udplite": SystemFile(0o444, show_udp_lite),
    b"udplite6": SystemFile(0o444, show_udp_lite6),
    b"unix": SystemFile(0o444, show_unix),
}
"""What is in /proc/PID/net."""
