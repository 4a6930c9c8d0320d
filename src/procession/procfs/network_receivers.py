"""/proc/net/ptype and softnet_stat: who receives packets, and how many have come; icmp and icmp6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.flow import settle_all
from procession.procfs.network_endpoint import HEADING, HEADING6, MORE_COLUMNS, any_address, endpoint

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.net.internet.raw import PingSocket
    from procession.net.network import Network
    from procession.net.packet.socket import PacketSocket

_EVERY_TYPE = 0x0003
"""Linux: include/uapi/linux/if_ether.h, ETH_P_ALL."""
_OWN = ((0x0800, b"ip_rcv"), (0x0806, b"arp_rcv"), (0x86DD, b"ipv6_rcv"))
_SOFTNET_COLUMNS = 15
_NUMBER_COLUMN = 12
_LINE_LENGTH = 127
_BUCKETS = 64


def _network(kernel: Kernel) -> Network:
    """That of the running task."""
    return kernel.seen_namespaces.network


def show_packet_types(kernel: Kernel) -> bytes:
    """/proc/net/ptype: those who hear one type at one interface alone aren't told, as in Linux.

    Linux: net/core/net-procfs.c, ptype_seq_show.
    """
    network = _network(kernel)
    sockets = [socket for socket in network.packet_sockets if socket.protocol]
    lines = [b"Type Device      Function\n"]
    every = [socket for socket in sockets if socket.protocol == _EVERY_TYPE]
    for socket in sorted(every, key=lambda each: not each.interface_index):
        interface = network.interfaces.get(socket.interface_index)
        name = interface.name if interface is not None else b""
        lines.append(b"ALL  %-8s %s\n" % (name, _function(socket)))
    of_types = list(_OWN)
    of_types += [
        (socket.protocol, _function(socket))
        for socket in sockets
        if socket.protocol != _EVERY_TYPE and not socket.interface_index
    ]
    lines += [b"%04x %-8s %s\n" % (kind, b"", name) for kind, name in of_types]
    return b"".join(lines)


def _function(socket: PacketSocket) -> bytes:
    return b"packet_rcv" if socket.ring is None else b"tpacket_rcv"


def show_packet_counts(kernel: Kernel) -> bytes:
    """/proc/net/softnet_stat: the first processor receives the packets of the reader's network, and none
    waits or is dropped there. Linux: net/core/net-procfs.c, softnet_seq_show.
    """
    network = _network(kernel)
    settle_all(network)
    received = sum(interface.received_packets for interface in network.interfaces.values())
    lines = []
    for number in range(len(kernel.scheduler.processors)):
        columns = [0] * _SOFTNET_COLUMNS
        columns[0] = received & 0xFFFFFFFF if number == 0 else 0
        columns[_NUMBER_COLUMN] = number
        lines.append(b" ".join(b"%08x" % column for column in columns) + b"\n")
    return b"".join(lines)


def show_icmp(kernel: Kernel) -> bytes:
    """/proc/net/icmp: sockets that send echo requests. Linux: net/ipv4/ping.c, ping_v4_seq_show."""
    heading = HEADING + MORE_COLUMNS
    return b"".join(line.ljust(_LINE_LENGTH) + b"\n" for line in (heading, *_ping_lines(kernel, AF_INET)))


def show_icmp6(kernel: Kernel) -> bytes:
    """/proc/net/icmp6. Linux: net/ipv6/ping.c, ping_v6_seq_show."""
    heading = HEADING6 + MORE_COLUMNS
    return b"".join(line + b"\n" for line in (heading, *_ping_lines(kernel, AF_INET6)))


def _ping_lines(kernel: Kernel, family: int) -> list[bytes]:
    return [_ping_line(socket) for socket in _network(kernel).ping_sockets if socket.family == family]


def _ping_line(socket: PingSocket) -> bytes:
    return b"%5d: %s %s %02X %08X:%08X %02X:%08X %08X %5d %8d %d %d %016x %d" % (
        socket.local_port % _BUCKETS,
        endpoint(socket.local_address, socket.local_port, socket.family),
        endpoint(socket.remote_address or any_address(socket.family), socket.remote_port, socket.family),
        *(socket.state, 0, socket.arrived_bytes, 0, 0, 0, socket.owner_uid, 0),
        *(socket.inode_number, 2, socket.cookie, socket.drop_count),
    )
