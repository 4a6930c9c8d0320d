"""What packets bring, as control messages in an option's value: IPV6_2292PKTOPTIONS of streams (RFC 2292)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.internet import In6Pktinfo, Ipv6Option
from procession.abi.socket import SocketLevel
from procession.abi.word import Words, pack_address
from procession.net.internet.address import ANY_6, mapped
from procession.net.internet.control import SERVICES
from procession.net.socket import CLOSED, LISTENING, SYN_SENT
from procession.net.socket_options import pack_int

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

CONTROL_HEADER = Words("<QII")
"""A struct cmsghdr."""
_SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_MOST_BYTES = 64
"""More than one of the messages takes."""
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


def told_packet_options(socket: TcpSocket, length: int) -> bytes:
    """What the last packet of a connection has brought of what is wanted; of a socket without one, what it
    begins with, as far as it has room in `length` bytes; a negative length is a long one.

    Linux: net/ipv6/ipv6_sockglue.c, do_ipv6_getsockopt; net/core/scm.c, put_cmsg.
    """
    options = socket.protocol_options
    values = _values(socket)
    told = b""
    for switch, kind, what in _WANTED:
        room = len(told) + _MOST_BYTES if length < 0 else length
        if not options.get((_SOL_IPV6, switch)) or room - len(told) < CONTROL_HEADER.size:
            continue
        value = values[what]
        size = min(CONTROL_HEADER.size + len(value), room - len(told))
        told += CONTROL_HEADER.pack(size, _SOL_IPV6, kind) + value + bytes(-len(value) % 8)
        told = told[:room]
    return told


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
