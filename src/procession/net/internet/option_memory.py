"""What a socket's memberships of IPv6 take of net.core.optmem_max, as Linux counts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket

GROUP_BYTES, LIST_BYTES, SOURCE_BYTES, ANYCAST_BYTES = 56, 24, 16, 32
"""A membership of a group, its list of sources, each source, and an anycast address.

Linux: include/net/if_inet6.h, struct ipv6_mc_socklist, struct ip6_sf_socklist, struct ipv6_ac_socklist.
"""


def has_room(socket: InternetSocket, size: int) -> bool:
    """Whether there may be `size` bytes more. Linux: net/core/sock.c, sock_kmalloc."""
    taken = ANYCAST_BYTES * len(socket.anycasts)
    for found in socket.memberships:
        if len(found.group) == 16:
            taken += GROUP_BYTES
            if found.room:
                taken += LIST_BYTES + SOURCE_BYTES * found.room
    return taken + size < socket.network.sysctls.option_bytes
