"""Routes of IPv6 with several ways, each a route of its own: added and removed together (ip-route(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EEXIST, EINVAL, TOLD, Errno
from procession.abi.netlink import RTNH_F_ONLINK, NetlinkFlag, Rtmsg
from procession.abi.word import pack_u32
from procession.net.netlink.hop_list import Hop, has_wrapping
from procession.net.netlink.route_policy import GATEWAY, MULTIPATH, OIF
from procession.net.netlink.wanted_route import wanted_route

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.net.cause import Cause
    from procession.net.internet.routing import Route
    from procession.net.network import Network

_REPLACED = "multipath route replace failed (check consistency of installed routes)"


def described_hop(header: Rtmsg, found: dict[int, bytes], hop: Hop) -> tuple[Rtmsg, dict[int, bytes]]:
    """What a request would say that was about one way alone."""
    own = {kind: data for kind, data in found.items() if kind != MULTIPATH}
    if hop.interface_index:
        own[OIF] = pack_u32(hop.interface_index)
    if GATEWAY in hop.found:
        own[GATEWAY] = hop.found[GATEWAY][:16]
    told = Rtmsg.unpack_from(header.pack())
    told.rtm_flags |= hop.flags & RTNH_F_ONLINK
    return told, own


def wanted_siblings(
    network: Network, header: Rtmsg, found: dict[int, bytes], hops: list[Hop], destination: bytes, table: int
) -> list[Route]:
    """The routes that a request with RTA_MULTIPATH describes. Raises EINVAL, EEXIST, ENODEV ...

    Linux: net/ipv6/route.c, ip6_route_multipath_add.
    """
    routes: list[Route] = []
    for hop in hops:
        told, own = described_hop(header, found, hop)
        route = wanted_route(network, told, own, destination, table)
        if has_wrapping(hop):
            raise EINVAL("Unknown LWT encapsulation type", TOLD)
        route.weight = hop.weight
        if any((other.interface, other.gateway) == (route.interface, route.gateway) for other in routes):
            raise EEXIST("one way twice")
        routes.append(route)
    return routes


def add_siblings(
    network: Network,
    routes: list[Route],
    flags: int,
    cause: Cause,
    insert: Callable[[Network, Route, int], None],
) -> None:
    """Add them as the NLM_F_* of `flags` want it, one after the other, and tell of all at once.

    Raises EEXIST, ENOENT, ENOBUFS. Linux: net/ipv6/route.c, ip6_route_multipath_add,
    ip6_route_mpath_notify.
    """
    is_replacing = bool(flags & NetlinkFlag.NLM_F_REPLACE)
    told = int(NetlinkFlag.NLM_F_REPLACE if is_replacing else NetlinkFlag.NLM_F_CREATE)
    told |= flags & int(NetlinkFlag.NLM_F_APPEND)
    added: list[Route] = []
    failure: Errno | None = None
    for route in routes:
        try:
            insert(network, route, flags)
        except Errno as error:
            failure = type(error)(_REPLACED, TOLD) if is_replacing and added else error
            break
        added.append(route)
        flags = flags & ~(NetlinkFlag.NLM_F_EXCL | NetlinkFlag.NLM_F_REPLACE) | NetlinkFlag.NLM_F_CREATE
    if added:
        first = added[0]
        if told & NetlinkFlag.NLM_F_APPEND:
            # The whole is told from its beginning.
            first = (network.routes.siblings(added[-1]) * 2)[1]
        network.tell_of_route(first, is_there=True, flags=told, cause=cause)
    if failure is not None:
        for route in added:
            network.remove_route(route, cause=cause)
        raise failure


def remove_siblings(network: Network, route: Route, cause: Cause) -> None:
    """`route` is gone with all its siblings, which is told at once. Linux: net/ipv6/route.c,
    __ip6_del_rt_siblings."""
    siblings = network.routes.siblings(route)
    if len(siblings) > 1:
        network.tell_of_route(route, is_there=False, flags=0, cause=cause)
    for each in siblings[1:] + siblings[:1]:
        network.remove_route(each, is_told=len(siblings) == 1, cause=cause)
