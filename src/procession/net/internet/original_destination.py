"""Where a connection was meant to go before its addresses were translated (SO_ORIGINAL_DST)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT, ENOPROTOOPT
from procession.net.internet.address import AF_INET, AF_INET6, any_of, format_sockaddr
from procession.net.internet.packet import TCP

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket

ORIGINAL_DESTINATION = 80
"""SO_ORIGINAL_DST at SOL_IP and IP6T_SO_ORIGINAL_DST at SOL_IPV6."""
_SIZES = {AF_INET: 16, AF_INET6: 28}


def original_destination(socket: InternetSocket, family: int, length: int) -> bytes:
    """The address as a struct sockaddr of `family`. Raises ENOPROTOOPT, EINVAL; ENOENT for a connection that
    isn't tracked.

    Linux: net/netfilter/nf_conntrack_proto.c, getorigdst, ipv6_getorigdst.
    """
    if socket.protocol != TCP:
        raise ENOPROTOOPT("of TCP alone")
    if length < _SIZES[family]:
        raise EINVAL("no room for an address")
    tracker = socket.network.tracker
    other = socket.remote_address or any_of(family)
    key = (TCP, socket.local_address, socket.local_port, other, socket.remote_port)
    found = None if tracker is None else tracker.find(key)
    if found is None:
        raise ENOENT("no connection that is tracked")
    _, _, _, target, port = found.original
    if (len(target) == 16) != (family == AF_INET6):
        raise ENOENT("a connection of the other protocol")
    return format_sockaddr(target, port, family, socket.bound_index)
