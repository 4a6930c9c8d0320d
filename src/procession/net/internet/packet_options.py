"""What streams' packets bring, as messages in a value: IP_PKTOPTIONS, IPV6_2292PKTOPTIONS (RFC 2292)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.internet import In6Pktinfo, InPktinfo, IpOption, Ipv6Option
from procession.abi.socket import SocketLevel
from procession.abi.word import Words, pack_address
from procession.net.internet.address import AF_INET6, ANY_4, ANY_6, is_any, mapped, unmapped
from procession.net.internet.control import SERVICES
from procession.net.internet.group_options import MULTICAST_INTERFACE, MULTICAST_INTERFACE_6
from procession.net.socket import CLOSED, LISTENING, SYN_SENT
from procession.net.socket_options import pack_int

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

CONTROL_HEADER = Words("<QII")
"""A struct cmsghdr."""
_SOL_IP, _SOL_IPV6 = int(SocketLevel.SOL_IP), int(SocketLevel.SOL_IPV6)
PACKET_OPTIONS = (
    (_SOL_IP, int(IpOption.IP_PKTOPTIONS)),
    (_SOL_IPV6, int(Ipv6Option.IPV6_2292PKTOPTIONS)),
)
"""Those of streams whose values are messages."""
_SERVICE_OF_SYN = (_SOL_IP, -int(IpOption.IP_RECVTOS))
"""The type of service that a SYN had, in the same place as the options."""
_SIXTH_LOOPBACK = bytes((127, 0, 0, 6))
"""What Linux has in place of an address of IPv4 where there is one of IPv6 alone: LOOPBACK4_IPV6."""
_WANTED_4 = tuple(
    (int(switch), int(kind))
    for switch, kind in (
        (IpOption.IP_PKTINFO, IpOption.IP_PKTINFO),
        (IpOption.IP_RECVTTL, IpOption.IP_TTL),
        (IpOption.IP_RECVTOS, IpOption.IP_TOS),
    )
)
_HOPS_AT_FIRST = 1
"""Linux: include/net/ipv6.h, IPV6_DEFAULT_MCASTHOPS."""
_INFORMATION, _HOPS, _CLASS, _FLOW = range(4)
_WANTED = tuple(
    (int(switch), int(kind), what)
    for switch, kind, what in (
        (Ipv6Option.IPV6_RECVPKTINFO, Ipv6Option.IPV6_PKTINFO, _INFORMATION),
        (Ipv6Option.IPV6_RECVHOPLIMIT, Ipv6Option.IPV6_HOPLIMIT, _HOPS),
        (Ipv6Option.IPV6_RECVTCLASS, Ipv6Option.IPV6_TCLASS, _CLASS),
        (Ipv6Option.IPV6_2292PKTINFO, Ipv6Option.IPV6_2292PKTINFO, _INFORMATION),
        (Ipv6Option.IPV6_2292HOPLIMIT, Ipv6Option.IPV6_2292HOPLIMIT, _HOPS),
        (Ipv6Option.IPV6_FLOWINFO, Ipv6Option.IPV6_FLOWINFO, _FLOW),
    )
)
"""The switches, in the order in which they're told of; what the message is, and what it has."""


def told_of_packets(socket: TcpSocket, level: int) -> list[tuple[int, int, bytes]]:
    """What a connection's packet has brought of what is wanted; of a socket without one, what it begins with:
    level, type and value of each message.

    Linux: net/ipv6/ipv6_sockglue.c, do_ipv6_getsockopt; net/ipv4/ip_sockglue.c, do_ip_getsockopt.
    """
    options = socket.protocol_options
    if level == _SOL_IP:
        return [
            (_SOL_IP, kind, value)
            for (switch, kind), value in zip(_WANTED_4, _values_4(socket), strict=True)
            if options.get((_SOL_IP, switch))
        ]
    values = _values(socket)
    return [
        (_SOL_IPV6, kind, values[what]) for switch, kind, what in _WANTED if options.get((_SOL_IPV6, switch))
    ]


def keep_arrival(connection: TcpSocket, syn_ttl: int, syn_service: int, index: int, *, is_ipv6: bool) -> None:
    """Let a connection know how the SYN came that asked for it, in place of the choice for groups.

    Linux: net/ipv4/tcp_ipv4.c, tcp_v4_syn_recv_sock; net/ipv6/tcp_ipv6.c, tcp_v6_syn_recv_sock.
    """
    options = connection.protocol_options
    if connection.family == AF_INET6:
        options[_SOL_IPV6, int(Ipv6Option.IPV6_MULTICAST_HOPS)] = syn_ttl
        options[MULTICAST_INTERFACE_6] = index
    if is_ipv6:
        return
    options[_SOL_IP, int(IpOption.IP_MULTICAST_TTL)] = syn_ttl
    options[MULTICAST_INTERFACE] = index
    options[_SERVICE_OF_SYN] = syn_service


def _values_4(socket: TcpSocket) -> tuple[bytes, bytes, bytes]:
    options = socket.protocol_options
    own = unmapped(socket.local_address)
    if len(own) != len(ANY_4):
        own = ANY_4 if is_any(own) else _SIXTH_LOOPBACK
    where = InPktinfo(options.get(MULTICAST_INTERFACE, 0), own, own)
    hops = options.get((_SOL_IP, int(IpOption.IP_MULTICAST_TTL)), _HOPS_AT_FIRST)
    return where.pack(), pack_int(hops), pack_int(options.get(_SERVICE_OF_SYN, 0))


def _values(socket: TcpSocket) -> tuple[bytes, bytes, bytes, bytes]:
    other = socket.remote_address
    if other is None or socket.state in (CLOSED, LISTENING, SYN_SENT):
        where = In6Pktinfo(ANY_6, socket.bound_index)
        return where.pack(), pack_int(_HOPS_AT_FIRST), pack_int(0), bytes(4)
    way = socket.way_to_peer()
    peer = socket.peer
    service = 0 if peer is None else max(peer.protocol_options.get(SERVICES[16], 0), 0)
    where = In6Pktinfo(mapped(other), way.out.index)
    return where.pack(), pack_int(way.default_ttl), pack_int(service), pack_address(service << 20, 4)
