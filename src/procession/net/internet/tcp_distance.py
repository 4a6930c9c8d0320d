"""How far the segments of TCP have come: sockets drop those that have come too far (IP_MINTTL, RFC 5082)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.internet import IpOption, Ipv6Option
from procession.abi.socket import SocketLevel

if TYPE_CHECKING:
    from procession.net.internet.flow import Flow
    from procession.net.internet.tcp import TcpSocket

_LEAST_TTL = {
    4: (int(SocketLevel.SOL_IP), int(IpOption.IP_MINTTL)),
    16: (int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_MINHOPCOUNT)),
}
_TTL = {
    4: (int(SocketLevel.SOL_IP), int(IpOption.IP_TTL)),
    16: (int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_UNICAST_HOPS)),
}
"""Options by the length of an address."""


def is_choosy(socket: TcpSocket) -> bool:
    """Whether there are segments that the socket doesn't let in: by a filter, or from too far away."""
    if socket.filter is not None:
        return True
    options = socket.protocol_options
    return _LEAST_TTL[4] in options or _LEAST_TTL[16] in options


def comes_too_far(ttl: int, receiver: TcpSocket, flow: Flow) -> bool:
    """Whether `receiver` drops what was sent with `ttl` and has come along `flow`.

    Linux: net/ipv4/tcp_ipv4.c, tcp_v4_rcv; net/ipv6/tcp_ipv6.c, tcp_v6_rcv.
    """
    least = receiver.protocol_options.get(_LEAST_TTL[len(flow.target)], 0)
    if least <= ttl - len(flow.routers):
        return False
    receiver.network.count("TcpExtTCPMinTTLDrop")
    return True


def ttl_of(sender: TcpSocket, flow: Flow) -> int:
    """What the segments of `sender` along `flow` have as time to live."""
    size = len(flow.target)
    chosen = sender.protocol_options.get(_TTL[size])
    return flow.default_ttl if chosen is None else chosen
