"""RTM_NEWROUTE, RTM_DELROUTE: routes added, replaced and removed (ip-route(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import (
    EEXIST,
    EINVAL,
    ENOENT,
    EOPNOTSUPP,
    ESRCH,
    TOLD,
    Errno,
)
from procession.abi.netlink import (
    RTM_F_CLONED,
    RTPROT_KERNEL,
    NetlinkFlag,
    Nlmsghdr,
    Rtmsg,
)
from procession.hardware.physical_memory import OutOfFrames
from procession.net.cause import NO_REQUEST, Cause
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.routing import (
    MAIN_TABLE,
    Route,
    masked,
)
from procession.net.netlink.attributes import Request, attribute_offset, list_in, number_in
from procession.net.netlink.hop_list import (
    Hop,
    check_encapsulation_type,
    check_encapsulation_types,
    checked_hops_6,
    gateway_4,
    has_ways,
    hops_in,
)
from procession.net.netlink.policy import (
    checked_attributes,
)
from procession.net.netlink.route_metrics import have_metrics
from procession.net.netlink.route_policy import (
    DST,
    ENCAPSULATION,
    ENCAPSULATION_TYPE,
    FLOW_LABEL,
    GATEWAY,
    LAST_TYPE,
    METRICS,
    MULTIPATH,
    NEXT_HOP,
    OIF,
    POLICY_4,
    POLICY_6,
    PREFSRC,
    PRIORITY,
    REALM,
    SRC,
    TABLE,
    VIA,
)
from procession.net.netlink.sibling_routes import (
    add_siblings,
    described_hop,
    remove_siblings,
    wanted_siblings,
)
from procession.net.netlink.wanted_route import (
    UnknownEncapsulation,
    check_6,
    check_prefix,
    wanted_route,
)

if TYPE_CHECKING:
    from procession.net.network import Network

_ECN_BITS = 3
_SCOPE_NOWHERE = 255


def change_route(request: Request, *, is_new: bool) -> None:
    """RTM_NEWROUTE, RTM_DELROUTE. Raises EINVAL, EEXIST, ESRCH, ENETUNREACH, ENODEV ...

    Linux: net/ipv4/fib_frontend.c, inet_rtm_newroute, rtm_to_fib_config; net/ipv6/route.c,
    rtm_to_fib6_config."""
    network = request.network
    family = request.body[0]
    if family not in (AF_INET, AF_INET6):
        raise EOPNOTSUPP("no such protocol")
    if len(request.body) < Rtmsg.SIZE:
        # IPv4 says no more (in Linux, rtm_to_fib_config).
        raise EINVAL("Invalid header length", *((TOLD,) if family == AF_INET6 else ()))
    header = Rtmsg.unpack_from(request.body)
    found = checked_attributes(request, Rtmsg.SIZE, POLICY_4 if family == AF_INET else POLICY_6)
    if family == AF_INET:
        _check_4(header, found)
        destination = found.get(DST, bytes(4))[:4]
    else:
        destination = _checked_6(header, found)
    hops: list[Hop] = []
    if family == AF_INET:
        _check_in_order_4(request)
        hops, _ = hops_in(found.get(MULTIPATH, b""))
        check_prefix(destination, header.rtm_dst_len)
        _check_ways_4(found)
    else:
        if MULTIPATH in found:
            hops = checked_hops_6(found[MULTIPATH], has_gateway=GATEWAY in found, is_new=is_new)
            check_encapsulation_types(hops)
        check_encapsulation_type(found)
    table = number_in(found, TABLE)
    if table is None:
        table = header.rtm_table
    wanted_hop = number_in(found, NEXT_HOP)
    if not is_new and wanted_hop and wanted_hop not in network.next_hops:
        raise EINVAL("Nexthop id does not exist", TOLD)
    if is_new:
        if family == AF_INET6:
            check_6(header)
        network.know_table(table or MAIN_TABLE, len(destination))
        try:
            if hops and family == AF_INET6:
                table = table or MAIN_TABLE
                routes = wanted_siblings(network, header, found, hops, destination, table)
                add_siblings(network, routes, request.flags, request.cause, _insert_6)
                return
            route = wanted_route(network, header, found, destination, table or MAIN_TABLE)
        except UnknownEncapsulation:
            request.blamed = Nlmsghdr.SIZE + attribute_offset(request.body, Rtmsg.SIZE, ENCAPSULATION)
            raise
        add_route(network, route, request.flags, request.cause)
    elif hops and family == AF_INET6:
        _remove_hops(network, header, found, hops, destination, table or MAIN_TABLE, request.cause)
    else:
        remove_route(network, header, found, destination, table or MAIN_TABLE, request.cause)


def _remove_hops(
    network: Network,
    header: Rtmsg,
    found: dict[int, bytes],
    hops: list[Hop],
    destination: bytes,
    table: int,
    cause: Cause,
) -> None:
    """Remove these ways of a route of IPv6; the last error is told. Linux: net/ipv6/route.c,
    ip6_route_multipath_del."""
    failure: Errno | None = None
    for hop in hops:
        told, own = described_hop(header, found, hop)
        try:
            remove_route(network, told, own, destination, table, cause, has_all=False)
        except Errno as error:
            failure = error
    if failure is not None:
        raise failure


def _check_4(header: Rtmsg, found: dict[int, bytes]) -> None:
    """Linux: net/ipv4/fib_frontend.c, rtm_to_fib_config."""
    if header.rtm_tos & _ECN_BITS:
        raise EINVAL("Invalid dsfield (tos): ECN bits must be 0", TOLD)
    if header.rtm_type > LAST_TYPE:
        raise EINVAL("Invalid route type", TOLD)


def _check_in_order_4(request: Request) -> None:
    """The same of each attribute by itself: of two bad ones the first is told."""
    for kind, data in list_in(request.body[Rtmsg.SIZE :]):
        if kind == MULTIPATH:
            hops, _ = hops_in(data)
            check_encapsulation_types(hops)
        elif kind in (VIA, ENCAPSULATION_TYPE):
            found = {kind: data}
            gateway_4(found)
            check_encapsulation_type(found)


def _check_ways_4(found: dict[int, bytes]) -> None:
    """The same of what attributes say, once each has been looked at."""
    has_way = gateway_4(found) is not None or number_in(found, OIF)
    if number_in(found, NEXT_HOP) and (has_way or MULTIPATH in found or ENCAPSULATION in found):
        raise EINVAL("Nexthop specification and nexthop id are mutually exclusive", TOLD)
    if GATEWAY in found and VIA in found:
        raise EINVAL("Nexthop configuration can not contain both GATEWAY and VIA", TOLD)


def _checked_6(header: Rtmsg, found: dict[int, bytes]) -> bytes:
    """The destination that a request says."""
    if header.rtm_tos:
        raise EINVAL("Invalid dsfield (tos): option not available for IPv6", TOLD)
    if FLOW_LABEL in found:
        raise EINVAL("Flow label cannot be specified for this operation", TOLD)
    if NEXT_HOP in found and any(kind in found for kind in (OIF, GATEWAY, MULTIPATH)):
        raise EINVAL("Nexthop specification and nexthop id are mutually exclusive", TOLD)
    if VIA in found:
        raise EINVAL("IPv6 does not support RTA_VIA attribute", TOLD)
    destination = bytes(16)
    for kind, length in ((DST, header.rtm_dst_len), (SRC, header.rtm_src_len)):
        data = found.get(kind)
        if data is not None:
            size = length + 7 >> 3
            if len(data) < size:
                raise EINVAL("fewer bytes than the prefix has")
            if kind == DST:
                destination = data[: min(size, 16)].ljust(16, b"\0")
    return destination


def add_route(network: Network, route: Route, flags: int, cause: Cause) -> None:
    """Add `route`, as the NLM_F_* of `flags` want it. Raises EEXIST, ENOENT ..."""
    if route.is_ipv6:
        _insert_6(network, route, flags, cause, is_told=True)
    else:
        _add_4(network, route, flags, cause)


def _add_4(network: Network, route: Route, flags: int, cause: Cause) -> None:
    """Linux: net/ipv4/fib_trie.c, fib_table_insert."""
    same = [
        other
        for other in network.routes.same_destination(route)
        if (other.priority, other.tos) == (route.priority, route.tos)
    ]
    if same:
        if flags & NetlinkFlag.NLM_F_EXCL:
            raise EEXIST("there is such a route")
        match = next((other for other in same if other.kind == route.kind and other.is_told_as(route)), None)
        if flags & NetlinkFlag.NLM_F_REPLACE:
            if match is None:
                _replace(network, same[0], route, cause)
            elif match is not same[0]:
                raise EEXIST("there is such a route behind the first")
            return
        if match is not None:
            raise EEXIST("there is such a route")
    if not flags & NetlinkFlag.NLM_F_CREATE:
        raise ENOENT("there is no such route")
    appended = flags & NetlinkFlag.NLM_F_APPEND
    told = NetlinkFlag.NLM_F_CREATE | (appended if same else NetlinkFlag.NLM_F_EXCL)
    network.add_route(route, is_last=bool(appended), flags=int(told), cause=cause)


def _replace(network: Network, old: Route, new: Route, cause: Cause, *, is_told: bool = True) -> None:
    """`new` is where `old` was, and its siblings are gone too."""
    place = network.routes.same_destination(old).index(old)
    siblings = network.routes.siblings(old)[1:]
    network.remove_route(old, is_told=False)
    try:
        network.add_route(new, place=place, is_told=False)
    except (Errno, OutOfFrames):
        network.add_route(old, place=place, is_told=False)
        raise
    for sibling in siblings:
        network.remove_route(sibling, is_told=False)
    if is_told:
        network.tell_of_route(new, is_there=True, flags=int(NetlinkFlag.NLM_F_REPLACE), cause=cause)


def _insert_6(
    network: Network, route: Route, flags: int, cause: Cause = NO_REQUEST, *, is_told: bool = False
) -> None:
    """Linux: net/ipv6/ip6_fib.c, fib6_add_rt2node."""
    is_replacing = bool(flags & NetlinkFlag.NLM_F_REPLACE)
    at_place = network.routes.same_destination(route)
    same = [other for other in at_place if other.priority == route.priority]
    if same and flags & NetlinkFlag.NLM_F_EXCL:
        raise EEXIST("there is such a route")
    if same and is_replacing:
        # If none is of the same kind, by a gateway or without, it's the first.
        alike = (other for other in same if other.has_siblings == route.has_siblings)
        _replace(network, next(alike, same[0]), route, cause, is_told=is_told)
        return
    for other in same:
        if (other.interface, other.gateway, other.next_hop) == (
            *(route.interface, route.gateway),
            route.next_hop,
        ):
            if other.deadline_ns:
                network.set_deadline(other, route.deadline_ns)
            raise EEXIST("there is such a route")
    if is_replacing and not flags & NetlinkFlag.NLM_F_CREATE:
        if at_place or not route.prefix_length:
            raise ENOENT("there is no such route")
        raise ENOENT("Can not replace route - no match found", TOLD)
    told = NetlinkFlag.NLM_F_CREATE | flags & NetlinkFlag.NLM_F_APPEND
    if not same:
        told |= NetlinkFlag.NLM_F_EXCL
    network.add_route(route, is_last=True, is_told=is_told, flags=int(told), cause=cause)


def remove_route(
    network: Network,
    header: Rtmsg,
    found: dict[int, bytes],
    destination: bytes,
    table: int,
    cause: Cause,
    *,
    has_all: bool = True,
) -> None:
    """Remove the first route that a request describes; of IPv6, if no gateway was told, with its siblings if
    it `has_all`. Raises ESRCH.

    Linux: net/ipv4/fib_trie.c, fib_table_delete; net/ipv6/route.c, ip6_route_del.
    """
    is_ipv6 = len(destination) == 16
    if is_ipv6:
        destination = masked(destination, min(header.rtm_dst_len, 128))
    else:
        check_prefix(destination, header.rtm_dst_len)
    if not network.routes.has_table(table, len(destination)):
        raise ESRCH("FIB table does not exist", TOLD)
    example = Route(destination, header.rtm_dst_len, None, table=table)
    matches = _matches_6 if is_ipv6 else _matches_4
    if is_ipv6 and header.rtm_flags & RTM_F_CLONED:
        # What was learnt of ways goes, and nothing is.
        return
    for route in network.routes.same_destination(example):
        if matches(route, header, found):
            if has_all and GATEWAY not in found and route.has_siblings:
                remove_siblings(network, route, cause)
            else:
                network.remove_route(route, cause=cause)
            return
    if is_ipv6 and not header.rtm_dst_len and not network.routes.same_destination(example):
        _check_nothing(network, header, found)
    raise ESRCH("there is no such route")


def _check_nothing(network: Network, header: Rtmsg, found: dict[int, bytes]) -> None:
    """Raise ENOENT for the route that IPv6 has where there is none: it stays. Linux: net/ipv6/route.c,
    fib6_null_entry_template, __ip6_del_rt."""
    if (
        number_in(found, OIF) in (None, 0, network.loopback.index)
        and not any(found.get(GATEWAY, b""))
        and number_in(found, PRIORITY) in (None, 0, 0xFFFFFFFF)
        and header.rtm_protocol in (0, RTPROT_KERNEL)
    ):
        raise ENOENT("the route to nowhere stays")


def _matches_4(route: Route, header: Rtmsg, found: dict[int, bytes]) -> bool:
    """Linux: net/ipv4/fib_semantics.c, fib_nh_match."""
    gateway, source, index = gateway_4(found), found.get(PREFSRC, b""), number_in(found, OIF)
    priority, realm = number_in(found, PRIORITY), number_in(found, REALM)
    if not _has_next_hop(route, found, is_told=bool(index or gateway is not None or MULTIPATH in found)):
        return False
    if index or gateway is not None:
        if realm and realm != route.realm:
            return False
    elif MULTIPATH in found and not has_ways(route, hops_in(found[MULTIPATH])[0]):
        return False
    return (
        route.tos == header.rtm_tos
        and (not header.rtm_type or route.kind == header.rtm_type)
        and header.rtm_scope in (_SCOPE_NOWHERE, route.scope)
        and (not any(source) or route.preferred_source == source[:4])
        and (not header.rtm_protocol or route.protocol == header.rtm_protocol)
        and (not priority or route.priority == priority)
        and (not index or (route.interface is not None and route.interface.index == index))
        and (gateway is None or route.gateway == gateway)
        and have_metrics(found.get(METRICS, b""), route.metrics)
    )


def _has_next_hop(route: Route, found: dict[int, bytes], *, is_told: bool) -> bool:
    """Whether it leads where a request says, or the request says nothing of its way. Linux:
    net/ipv4/fib_semantics.c, fib_nh_match."""
    wanted = number_in(found, NEXT_HOP)
    if route.next_hop is None:
        return not wanted
    return route.next_hop.number == wanted if wanted else not is_told


def _matches_6(route: Route, header: Rtmsg, found: dict[int, bytes]) -> bool:
    index, priority = number_in(found, OIF), number_in(found, PRIORITY)
    wanted = number_in(found, NEXT_HOP)
    if route.next_hop is not None:
        return wanted in (None, 0, route.next_hop.number)
    if wanted:
        return False
    return (
        (not index or (route.interface is not None and route.interface.index == index))
        and (GATEWAY not in found or (route.gateway or bytes(16)) == found[GATEWAY][:16])
        and (not priority or route.priority == priority)
        and (not header.rtm_protocol or route.protocol == header.rtm_protocol)
    )
