"""RTM_NEWROUTE and its kin: routes listed, looked up, added and removed; and the rules (rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import (
    EEXIST,
    EINVAL,
    ENETDOWN,
    ENETUNREACH,
    ENODEV,
    ENOENT,
    EOPNOTSUPP,
    ESRCH,
    TOLD,
    Errno,
)
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.netlink import (
    RTAX_MTU,
    RTM_F_CLONED,
    RTNH_F_LINKDOWN,
    RTNH_F_ONLINK,
    RTPROT_KERNEL,
    FibRuleHdr,
    NetlinkFlag,
    RouteAttribute,
    RouteMessageType,
    RouteType,
    Rtmsg,
    RuleAttribute,
)
from procession.abi.word import pack_u8
from procession.hardware.physical_memory import OutOfFrames
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.flow import find_flow
from procession.net.internet.routing import (
    LOCAL,
    MAIN_TABLE,
    RULE_PRIORITIES,
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    UNICAST,
    Route,
    masked,
)
from procession.net.netlink.attributes import (
    Answer,
    Message,
    Request,
    attribute,
    attributes_in,
    number,
    number_in,
)

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_DST, _GATEWAY = int(RouteAttribute.RTA_DST), int(RouteAttribute.RTA_GATEWAY)
_OIF, _PRIORITY = int(RouteAttribute.RTA_OIF), int(RouteAttribute.RTA_PRIORITY)
_PREFSRC, _TABLE = int(RouteAttribute.RTA_PREFSRC), int(RouteAttribute.RTA_TABLE)
_SRC, _METRICS, _MULTIPATH = (
    int(RouteAttribute.RTA_SRC),
    int(RouteAttribute.RTA_METRICS),
    int(RouteAttribute.RTA_MULTIPATH),
)
_VIA = int(RouteAttribute.RTA_VIA)
_NEWROUTE = int(RouteMessageType.RTM_NEWROUTE)
_IS_LOCAL = 0x80000000
"""RTCF_LOCAL among a route's flags."""
_LAST_TYPE = int(RouteType.RTN_THROW)
_NOWHERE = (
    int(RouteType.RTN_BLACKHOLE),
    int(RouteType.RTN_UNREACHABLE),
    int(RouteType.RTN_PROHIBIT),
    _LAST_TYPE,
)
_IPV6_PRIORITY = 1_024
"""IP6_RT_PRIO_USER."""
_SHORT_TABLE = 255
_CACHE_BYTES = 32


def route_body(route: Route) -> bytes:
    """A message about a route. Linux: net/ipv4/fib_semantics.c, fib_dump_info; net/ipv6/route.c,
    rt6_fill_node."""
    family = AF_INET6 if route.is_ipv6 else AF_INET
    interface = route.interface
    flags = RTNH_F_ONLINK if route.is_onlink else 0
    if interface is not None and route.kind == UNICAST and not interface.has_carrier:
        flags |= RTNH_F_LINKDOWN
    table = route.table if route.table <= _SHORT_TABLE else 252
    header = Rtmsg(
        *(family, route.prefix_length, 0, route.tos, table, route.protocol, route.scope, route.kind, flags)
    )
    found: list[tuple[RouteAttribute, bytes]] = [(RouteAttribute.RTA_TABLE, number(route.table))]
    if route.prefix_length:
        found.append((RouteAttribute.RTA_DST, route.destination))
    if route.priority or route.is_ipv6:
        found.append((RouteAttribute.RTA_PRIORITY, number(route.priority)))
    if route.mtu:
        found.append((RouteAttribute.RTA_METRICS, attribute(RTAX_MTU, number(route.mtu))))
    if route.preferred_source is not None:
        found.append((RouteAttribute.RTA_PREFSRC, route.preferred_source))
    if route.gateway is not None:
        found.append((RouteAttribute.RTA_GATEWAY, route.gateway))
    if interface is not None:
        found.append((RouteAttribute.RTA_OIF, number(interface.index)))
    if route.is_ipv6:
        found += [(RouteAttribute.RTA_CACHEINFO, bytes(_CACHE_BYTES)), (RouteAttribute.RTA_PREF, pack_u8(0))]
    return header.pack() + b"".join(attribute(int(name), data) for name, data in found)


def route_message(route: Route, *, is_there: bool) -> Message:
    """What listeners are told."""
    kind = RouteMessageType.RTM_NEWROUTE if is_there else RouteMessageType.RTM_DELROUTE
    return int(kind), route_body(route)


def list_routes(request: Request) -> Answer:
    """RTM_GETROUTE of all. Linux: net/ipv4/fib_frontend.c, inet_dump_fib."""
    family = request.body[0] if request.body else 0
    return [
        (_NEWROUTE, route_body(route))
        for route in request.network.routes.all()
        if family in (0, AF_INET6 if route.is_ipv6 else AF_INET)
    ]


def list_rules(request: Request) -> Answer:
    """RTM_GETRULE: the three that there are. Linux: net/core/fib_rules.c, fib_nl_fill_rule."""
    family = request.body[0] if request.body else 0
    found: Answer = []
    for protocol in (AF_INET, AF_INET6):
        if family not in (0, protocol):
            continue
        for table, priority in RULE_PRIORITIES.items():
            if protocol == AF_INET6 and table not in (255, 254):
                continue
            header = FibRuleHdr(protocol, 0, 0, 0, table, 0, 0, 1, 0)
            attributes = attribute(int(RuleAttribute.FRA_TABLE), number(table))
            attributes += attribute(int(RuleAttribute.FRA_SUPPRESS_PREFIXLEN), number(0xFFFFFFFF))
            attributes += attribute(int(RuleAttribute.FRA_PROTOCOL), pack_u8(RTPROT_KERNEL))
            if priority:
                attributes += attribute(int(RuleAttribute.FRA_PRIORITY), number(priority))
            found.append((int(RouteMessageType.RTM_NEWRULE), header.pack() + attributes))
    return found


def _header(request: Request) -> Rtmsg:
    if len(request.body) < Rtmsg.SIZE:
        raise EINVAL("a struct rtmsg is needed")
    return Rtmsg.unpack_from(request.body)


def route_to(request: Request) -> Answer:
    """The route that a packet of the caller would take. Raises ENETUNREACH, EINVAL, ENODEV.

    Linux: net/ipv4/route.c, inet_rtm_getroute, rt_fill_info.
    """
    network = request.network
    header = _header(request)
    family = header.rtm_family
    found = attributes_in(request.body, Rtmsg.SIZE)
    target = found.get(_DST, b"")
    if len(target) != ADDRESS_BYTES.get(family):
        raise EINVAL("an address is needed")
    index = number_in(found, _OIF)
    device: Interface | None = None
    if index:
        device = network.interfaces.get(index)
        if device is None:
            raise ENODEV
    route = network.routes.lookup(target, device)
    if route is None:
        raise ENETUNREACH
    source = found.get(_SRC)
    flow = find_flow(network, target, source if source is not None and any(source) else None, device)
    is_local = route.kind == LOCAL
    out = network.loopback if is_local else route.interface
    assert out is not None
    flags = RTM_F_CLONED | (_IS_LOCAL if is_local and family == AF_INET else 0)
    kind = route.kind
    table = MAIN_TABLE if family == AF_INET else route.table
    answer = Rtmsg(family, 8 * len(target), 0, header.rtm_tos, table, 0, SCOPE_UNIVERSE, kind, flags)
    attributes = [(RouteAttribute.RTA_TABLE, number(table)), (RouteAttribute.RTA_DST, target)]
    if route.gateway is not None:
        attributes.append((RouteAttribute.RTA_GATEWAY, route.gateway))
    attributes += [
        (RouteAttribute.RTA_OIF, number(out.index)),
        (RouteAttribute.RTA_PREFSRC, flow.source),
        (RouteAttribute.RTA_UID, number(request.credentials.uid)),
        (RouteAttribute.RTA_CACHEINFO, bytes(_CACHE_BYTES)),
    ]
    packed = b"".join(attribute(int(name), data) for name, data in attributes)
    return [(_NEWROUTE, answer.pack() + packed)]


def change_route(request: Request, *, is_new: bool) -> None:
    """RTM_NEWROUTE, RTM_DELROUTE. Raises EINVAL, EEXIST, ESRCH, ENETUNREACH, ENODEV ...

    Linux: net/ipv4/fib_trie.c, fib_table_insert, fib_table_delete; net/ipv6/ip6_fib.c, fib6_add.
    """
    network = request.network
    header = _header(request)
    found = attributes_in(request.body, Rtmsg.SIZE)
    if header.rtm_family not in (AF_INET, AF_INET6):
        raise EOPNOTSUPP("no such protocol")
    size = ADDRESS_BYTES[header.rtm_family]
    destination = found.get(_DST, bytes(size))
    if len(destination) != size or header.rtm_dst_len > 8 * size:
        raise EINVAL("the length of the destination")
    if masked(destination, header.rtm_dst_len) != destination:
        if size == 4:
            raise EINVAL("Invalid prefix for given prefix length", TOLD)
        destination = masked(destination, header.rtm_dst_len)
    if _MULTIPATH in found:
        raise EOPNOTSUPP("a route has one way")
    table = number_in(found, _TABLE)
    if not table:
        table = header.rtm_table or MAIN_TABLE
    if is_new:
        add_route(network, wanted_route(network, header, found, destination, table), request.flags)
    else:
        remove_route(network, header, found, destination, table)


def _interface(network: Network, found: dict[int, bytes]) -> Interface | None:
    index = number_in(found, _OIF)
    if not index:
        return None
    interface = network.interfaces.get(index)
    if interface is None:
        raise ENODEV
    return interface


def wanted_route(
    network: Network, header: Rtmsg, found: dict[int, bytes], destination: bytes, table: int
) -> Route:
    """The route that a request describes. Raises EINVAL, ENETDOWN, ENETUNREACH, ENODEV.

    Linux: net/ipv4/fib_semantics.c, fib_create_info, fib_check_nh.
    """
    kind = header.rtm_type or UNICAST
    if kind > _LAST_TYPE:
        raise EINVAL("no such type of route")
    size = len(destination)
    gateway = found.get(_GATEWAY)
    via = found.get(_VIA)
    if via is not None:
        if gateway is not None or size == 16 or int.from_bytes(via[:2], "little") != AF_INET:
            raise EINVAL("a gateway is of the destination's protocol")
        gateway = via[2:]
    if gateway is not None and len(gateway) != size:
        raise EINVAL("the length of the gateway")
    if gateway is not None and not any(gateway):
        gateway = None
    interface = _interface(network, found)
    source = found.get(_PREFSRC)
    if source is not None and (len(source) != size or not network.routes.is_local(source)):
        raise EINVAL("Invalid prefsrc address", TOLD)
    priority = number_in(found, _PRIORITY) or 0
    if size == 16 and not priority:
        priority = _IPV6_PRIORITY
    metrics = attributes_in(found.get(_METRICS, b""), 0)
    scope = header.rtm_scope
    is_onlink = bool(header.rtm_flags & RTNH_F_ONLINK)
    if kind in _NOWHERE:
        if gateway is not None or (interface is not None and size == 4):
            raise EINVAL("the route leads nowhere")
        interface = network.loopback if size == 16 else None
    elif gateway is not None:
        if size == 4 and scope >= SCOPE_LINK:
            raise EINVAL("the scope of a gateway")
        interface = _way_to_gateway(network, gateway, interface, is_onlink=is_onlink)
    elif interface is None:
        raise ENODEV("no interface")
    if interface is not None and not interface.is_up and kind not in _NOWHERE:
        raise ENETDOWN("Device for nexthop is not up", TOLD)
    if size == 4 and kind == LOCAL and scope < SCOPE_HOST:
        scope = SCOPE_HOST
    return Route(
        destination,
        header.rtm_dst_len,
        interface,
        kind=kind,
        table=table,
        scope=scope if size == 4 else SCOPE_UNIVERSE,
        protocol=header.rtm_protocol,
        priority=priority,
        gateway=gateway,
        preferred_source=source,
        tos=header.rtm_tos,
        mtu=number_in(metrics, RTAX_MTU) or 0,
        is_onlink=is_onlink,
    )


def _way_to_gateway(
    network: Network, gateway: bytes, interface: Interface | None, *, is_onlink: bool
) -> Interface:
    if is_onlink:
        if interface is None:
            raise EINVAL("Nexthop device required for onlink", TOLD)
        return interface
    route = network.routes.lookup(gateway, interface)
    if route is None or (route.kind == UNICAST and route.gateway is not None):
        raise ENETUNREACH("Nexthop has invalid gateway", TOLD)
    if route.kind != UNICAST or route.interface is None:
        raise EINVAL("Nexthop has invalid gateway", TOLD)
    return route.interface


def add_route(network: Network, route: Route, flags: int) -> None:
    """Add `route`, as the NLM_F_* of `flags` want it. Raises EEXIST, ENOENT ..."""
    same = [
        other
        for other in network.routes.same_destination(route)
        if (other.priority, other.tos) == (route.priority, route.tos)
    ]
    if same:
        if flags & NetlinkFlag.NLM_F_EXCL:
            raise EEXIST("there is such a route")
        if flags & NetlinkFlag.NLM_F_REPLACE:
            network.remove_route(same[0], is_told=False)
            try:
                network.add_route(route)
            except (Errno, OutOfFrames):
                network.add_route(same[0])
                raise
            return
        if any(other.has_way_of(route) and other.scope == route.scope for other in same):
            raise EEXIST("there is such a route")
    elif not flags & NetlinkFlag.NLM_F_CREATE:
        raise ENOENT("there is no such route")
    network.add_route(route, is_last=bool(flags & NetlinkFlag.NLM_F_APPEND))


def remove_route(
    network: Network, header: Rtmsg, found: dict[int, bytes], destination: bytes, table: int
) -> None:
    """Remove the first route that a request describes. Raises ESRCH, ENODEV.

    Linux: net/ipv4/fib_trie.c, fib_table_delete; net/ipv4/fib_semantics.c, fib_nh_match."""
    interface = _interface(network, found)
    gateway, source = found.get(_GATEWAY), found.get(_PREFSRC)
    priority = number_in(found, _PRIORITY)
    example = Route(destination, header.rtm_dst_len, interface, table=table)
    for route in network.routes.same_destination(example):
        if (
            (not header.rtm_type or route.kind == header.rtm_type)
            and (len(destination) == 16 or header.rtm_scope in (255, route.scope))
            and (not header.rtm_protocol or route.protocol == header.rtm_protocol)
            and (priority is None or not priority or route.priority == priority)
            and (interface is None or route.interface is interface)
            and (gateway is None or route.gateway == gateway)
            and (source is None or route.preferred_source == source)
            and (not header.rtm_tos or route.tos == header.rtm_tos)
        ):
            network.remove_route(route)
            return
    raise ESRCH("there is no such route")
