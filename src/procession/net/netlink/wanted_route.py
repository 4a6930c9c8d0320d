"""The route that a request of netlink or of ioctl(2) describes, and what makes it none (ip-route(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.errno import (
    EACCES,
    EHOSTUNREACH,
    EINVAL,
    ENETDOWN,
    ENETUNREACH,
    ENODEV,
    TOLD,
)
from procession.abi.netlink import (
    RTM_F_CLONED,
    RTNH_F_DEAD,
    RTNH_F_LINKDOWN,
    RTNH_F_ONLINK,
    RTNH_F_PERVASIVE,
    RouteType,
    Rtmsg,
)
from procession.abi.word import pack_u32
from procession.net.internet.address import AF_INET, is_any, is_link_local, is_multicast
from procession.net.internet.device_address import addresses_of, scope_of_6
from procession.net.internet.flow import ERRORS_OF_ROUTES
from procession.net.internet.multipath import PathChoice
from procession.net.internet.routing import (
    LOCAL,
    MAIN_TABLE,
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    UNICAST,
    Route,
    masked,
)
from procession.net.link.interface import IFF_LOOPBACK, LEAST_IPV6_MTU
from procession.net.netlink.attributes import number_in
from procession.net.netlink.hop_list import (
    Hop,
    check_flags,
    checked_hops_4,
    gateway_4,
    gateway_of_hop,
    has_wrapping,
    realm_of_hop,
)
from procession.net.netlink.route_metrics import wanted_metrics
from procession.net.netlink.route_policy import (
    ENCAPSULATION,
    EXPIRES,
    GATEWAY,
    LAST_TYPE,
    METRICS,
    MULTIPATH,
    NEXT_HOP,
    OIF,
    PREFERENCE,
    PREFSRC,
    PRIORITY,
    REALM,
)
from procession.net.sysctls import DISABLE_IPV6

if TYPE_CHECKING:
    from procession.net.internet.next_hop import NextHop
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_THROW = int(RouteType.RTN_THROW)
NOWHERE = (
    int(RouteType.RTN_BLACKHOLE),
    int(RouteType.RTN_UNREACHABLE),
    int(RouteType.RTN_PROHIBIT),
    _THROW,
)
"""The types that lead nowhere."""
_TYPES_OF_OTHERS = (int(RouteType.RTN_NAT), int(RouteType.RTN_XRESOLVE))
_LEADING_NOWHERE_4 = (*NOWHERE, *_TYPES_OF_OTHERS)
"""For IPv4 those too of which others decide, who aren't there. Linux: net/ipv4/fib_semantics.c, fib_props."""
_LINK_TYPES = (int(RouteType.RTN_BROADCAST), int(RouteType.RTN_ANYCAST))
_SCOPE_NOWHERE = 255
_IPV6_PRIORITY = 1_024
"""IP6_RT_PRIO_USER."""
_BOOT = 3
_LOW, _HIGH = 3, 1


class UnknownEncapsulation(EINVAL):
    """A request tells how packets are to be wrapped up and not in what: its attribute RTA_ENCAP is blamed."""


def wanted_route(
    network: Network, header: Rtmsg, found: dict[int, bytes], destination: bytes, table: int
) -> Route:
    """The route that a request describes. Raises EINVAL, ENETDOWN, ENETUNREACH, ENODEV ..."""
    if network.routes.choice is None:
        network.routes.choice = PathChoice(network.sysctls)
    make = _wanted_4 if len(destination) == 4 else _wanted_6
    return make(network, header, found, destination, table)


def _check_encapsulation(found: dict[int, bytes]) -> None:
    """Raise UnknownEncapsulation if packets are to be wrapped up in nobody knows what.

    Linux: net/core/lwtunnel.c, lwtunnel_build_state.
    """
    if ENCAPSULATION in found:
        raise UnknownEncapsulation("Unknown LWT encapsulation type", TOLD)


def check_prefix(destination: bytes, length: int) -> None:
    """Raise EINVAL for what is no net of IPv4. Linux: net/ipv4/fib_trie.c, fib_table_insert."""
    if length > 32:
        raise EINVAL("Invalid prefix length", TOLD)
    if masked(destination, length) != destination:
        raise EINVAL("Invalid prefix for given prefix length", TOLD)


def _interface(network: Network, found: dict[int, bytes]) -> Interface | None:
    index = number_in(found, OIF)
    if not index:
        return None
    interface = network.interfaces.get(index)
    if interface is None:
        raise ENODEV
    return interface


def _wanted_4(
    network: Network, header: Rtmsg, found: dict[int, bytes], destination: bytes, table: int
) -> Route:
    """Linux: net/ipv4/fib_semantics.c, fib_create_info."""
    check_prefix(destination, header.rtm_dst_len)
    kind, scope = header.rtm_type, header.rtm_scope
    if _least_scope(kind) > scope:
        raise EINVAL("Invalid scope", TOLD)
    if header.rtm_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN):
        raise EINVAL("Invalid rtm_flags - can not contain DEAD or LINKDOWN", TOLD)
    next_hop = _next_hop(network, found)
    listed = checked_hops_4(found[MULTIPATH]) if MULTIPATH in found else []
    metrics = wanted_metrics(found.get(METRICS, b""))
    gateway = gateway_4(found)
    ways = _wanted_ways(found, listed, gateway) if listed else [_only_way(header, found, gateway)]
    if kind in _LEADING_NOWHERE_4:
        if gateway is not None or number_in(found, OIF) or listed:
            raise EINVAL("Gateway, device and multipath can not be specified for this route type", TOLD)
    else:
        if not UNICAST <= kind <= int(RouteType.RTN_MULTICAST):
            raise EINVAL("Invalid route type", TOLD)
        if scope > SCOPE_HOST:
            raise EINVAL("Invalid scope", TOLD)
        if next_hop is None:
            _find_ways(network, ways, scope, table)
        else:
            check_next_hop_4(next_hop, scope)
    source = found.get(PREFSRC)
    if source is not None:
        source = source[:4] if any(source[:4]) else None
    if (
        source is not None
        and kind not in _LEADING_NOWHERE_4
        and not network.routes.is_local(source)
        and (kind != LOCAL or source != destination)
    ):
        raise EINVAL("Invalid prefsrc address", TOLD)
    made = [
        Route(
            *(destination, header.rtm_dst_len, way.interface),
            kind=kind,
            table=table,
            scope=scope,
            protocol=header.rtm_protocol,
            priority=number_in(found, PRIORITY) or 0,
            gateway=way.gateway,
            preferred_source=source,
            tos=header.rtm_tos,
            metrics=metrics,
            hop_scope=way.hop_scope,
            realm=way.realm,
            is_onlink=bool(way.flags & RTNH_F_ONLINK),
            weight=way.weight,
            next_hop=next_hop,
        )
        for way in [*ways, ways[0]]
    ]
    route = made.pop()
    if len(made) > 1:
        route.is_onlink = bool(header.rtm_flags & RTNH_F_ONLINK)
        route.divide(made)
    return route


class _Way:
    """One way of a route of IPv4 as it's wanted; `interface` and `hop_scope` are found later."""

    __slots__ = ("flags", "gateway", "hop_scope", "index", "interface", "realm", "weight")

    def __init__(self, index: int, gateway: bytes | None, flags: int, realm: int, weight: int) -> None:
        self.index = index
        self.gateway = gateway
        self.flags = flags
        self.realm = realm
        self.weight = weight
        self.interface: Interface | None = None
        self.hop_scope = SCOPE_LINK


def _only_way(header: Rtmsg, found: dict[int, bytes], gateway: bytes | None) -> _Way:
    """Linux: net/ipv4/fib_semantics.c, fib_nh_init."""
    _check_encapsulation(found)
    return _Way(number_in(found, OIF) or 0, gateway, header.rtm_flags, number_in(found, REALM) or 0, 1)


def _wanted_ways(found: dict[int, bytes], listed: list[Hop], gateway: bytes | None) -> list[_Way]:
    """Raises EINVAL. Linux: net/ipv4/fib_semantics.c, fib_get_nhs."""
    ways: list[_Way] = []
    for hop in listed:
        check_flags(hop)
        gateway_of_way, realm = gateway_of_hop(hop), realm_of_hop(hop)
        if has_wrapping(hop):
            raise EINVAL("Unknown LWT encapsulation type", TOLD)
        ways.append(_Way(hop.interface_index, gateway_of_way, hop.flags, realm, hop.weight))
    first, index, realm_of_all = ways[0], number_in(found, OIF), number_in(found, REALM)
    if index and first.index != index:
        raise EINVAL("Nexthop device index does not match RTA_OIF", TOLD)
    if gateway is not None and first.gateway != gateway:
        raise EINVAL("Nexthop gateway does not match RTA_GATEWAY or RTA_VIA", TOLD)
    if realm_of_all and first.realm != realm_of_all:
        raise EINVAL("Nexthop class id does not match RTA_FLOW", TOLD)
    return ways


def _next_hop(network: Network, found: dict[int, bytes]) -> NextHop | None:
    """The one that a request names. Raises EINVAL."""
    wanted = number_in(found, NEXT_HOP)
    if not wanted:
        return None
    next_hop = network.next_hops.get(wanted)
    if next_hop is None:
        raise EINVAL("Nexthop id does not exist", TOLD)
    return next_hop


def check_next_hop_4(next_hop: NextHop, scope: int) -> None:
    """Raise EINVAL unless a route of IPv4 may lead there. Linux: net/ipv4/nexthop.c, fib_check_nexthop,
    nexthop_check_scope."""
    if next_hop.is_fdb:
        raise EINVAL("Route cannot point to a fdb nexthop", TOLD)
    if next_hop.is_group and scope == SCOPE_HOST:
        raise EINVAL("Route with host scope can not have multiple nexthops", TOLD)
    first = next_hop.paths[0][0]
    if scope == SCOPE_HOST and first.gateway is not None:
        raise EINVAL("Route with host scope can not have a gateway", TOLD)
    if first.flags & RTNH_F_ONLINK and scope >= SCOPE_LINK:
        raise EINVAL("Scope mismatch with nexthop", TOLD)


def check_next_hop_6(next_hop: NextHop) -> None:
    """Raise EINVAL unless a route of IPv6 may lead there. Linux: net/ipv4/nexthop.c, fib6_check_nexthop."""
    if any(len(path.gateway or bytes(16)) == 4 or path.family == AF_INET for path, _ in next_hop.paths):
        raise EINVAL("IPv6 routes can not use an IPv4 nexthop", TOLD)
    if next_hop.is_fdb:
        raise EINVAL("Route cannot point to a fdb nexthop", TOLD)


def _find_ways(network: Network, ways: list[_Way], scope: int, table: int) -> None:
    """By which interface each way is. Raises EINVAL, ENODEV, ENETDOWN, ENETUNREACH.

    Linux: net/ipv4/fib_semantics.c, fib_create_info, fib_check_nh.
    """
    if scope == SCOPE_HOST:
        if len(ways) != 1:
            raise EINVAL("Route with host scope can not have multiple nexthops", TOLD)
        if ways[0].gateway is not None:
            raise EINVAL("Route with host scope can not have a gateway", TOLD)
    for way in ways:
        if way.gateway is not None and len(way.gateway) == 16:
            # Linux: net/ipv4/fib_semantics.c, fib_check_nh_v6_gw.
            told, is_onlink = {OIF: pack_u32(way.index)}, bool(way.flags & RTNH_F_ONLINK)
            way.interface = way_6(network, told, bytes(16), UNICAST, way.gateway, table, is_onlink=is_onlink)
        elif way.gateway is not None:
            is_onlink = bool(way.flags & RTNH_F_ONLINK)
            way.interface, way.hop_scope = way_to_gateway(
                network, way.gateway, way.index, scope, is_onlink=is_onlink
            )
        elif scope == SCOPE_HOST:
            way.interface = network.interfaces.get(way.index)
            if way.interface is None:
                raise ENODEV
        else:
            is_odd = bool(way.flags & (RTNH_F_ONLINK | RTNH_F_PERVASIVE))
            way.interface = way_without_gateway(network, way.index, is_odd=is_odd)


def _least_scope(kind: int) -> int:
    """The widest scope that a type may have. Linux: net/ipv4/fib_semantics.c, fib_props."""
    if kind == LOCAL:
        return SCOPE_HOST
    if kind in _LINK_TYPES:
        return SCOPE_LINK
    return _SCOPE_NOWHERE if kind in _TYPES_OF_OTHERS or not kind else SCOPE_UNIVERSE


def way_without_gateway(network: Network, index: int, *, is_odd: bool) -> Interface:
    """The interface of a way of IPv4 without a gateway. Raises EINVAL, ENODEV, ENETDOWN.

    Linux: net/ipv4/fib_semantics.c, fib_check_nh_nongw.
    """
    if is_odd:
        raise EINVAL("Invalid flags for nexthop - PERVASIVE and ONLINK can not be set", TOLD)
    interface = network.interfaces.get(index)
    if interface is None:
        raise ENODEV("no interface")
    if not interface.has_protocol(is_ipv6=False):
        raise ENODEV("the interface is too small for IPv4")
    if not interface.is_up:
        raise ENETDOWN("Device for nexthop is not up", TOLD)
    return interface


def way_to_gateway(
    network: Network, gateway: bytes, index: int, scope: int, *, is_onlink: bool
) -> tuple[Interface, int]:
    """The interface by which a gateway of IPv4 is reached, and how far that is (RT_SCOPE_*).

    Raises EINVAL, ENODEV, ENETDOWN, ENETUNREACH ...

    Linux: net/ipv4/fib_semantics.c, fib_check_nh_v4_gw.
    """
    interface = network.interfaces.get(index) if index else None
    if is_onlink:
        if scope >= SCOPE_LINK:
            raise EINVAL("Nexthop has invalid scope", TOLD)
        if interface is None:
            raise ENODEV("Nexthop device required for onlink", TOLD)
        if not interface.is_up:
            raise ENETDOWN("Nexthop device is down", TOLD)
        routes = network.routes
        if routes.is_local(gateway) or routes.is_broadcast(gateway) or is_multicast(gateway):
            raise EINVAL("Nexthop has invalid gateway", TOLD)
        return interface, SCOPE_LINK
    nearer = max(scope + 1, SCOPE_LINK)
    route = network.routes.lookup(gateway, interface, nearer)
    if index and interface is None and route is not None and route.kind not in ERRORS_OF_ROUTES:
        # Rules and routes that lead nowhere refuse it even so.
        route = None
    if route is None or route.kind in ERRORS_OF_ROUTES:
        refused = ENETUNREACH if route is None else ERRORS_OF_ROUTES[route.kind]
        raise refused("Nexthop has invalid gateway", TOLD)
    if route.kind not in (UNICAST, LOCAL) or route.interface is None:
        raise EINVAL("Nexthop has invalid gateway", TOLD)
    if not route.interface.is_up:
        raise ENETDOWN
    return route.interface, route.scope


def check_6(header: Rtmsg) -> None:
    """Raise EINVAL for what no route of IPv6 is, before there is a table for it.

    Linux: net/ipv6/route.c, fib6_config_validate.
    """
    if header.rtm_flags & RTM_F_CLONED:
        raise EINVAL("Userspace can not set RTF_CACHE", TOLD)
    if header.rtm_type > LAST_TYPE:
        raise EINVAL("Invalid route type", TOLD)
    if header.rtm_dst_len > 128:
        raise EINVAL("Invalid prefix length", TOLD)
    if header.rtm_src_len > 128:
        raise EINVAL("Invalid source address length", TOLD)
    if header.rtm_src_len:
        raise EINVAL("Specifying source address requires IPV6_SUBTREES to be enabled", TOLD)


def _wanted_6(
    network: Network, header: Rtmsg, found: dict[int, bytes], destination: bytes, table: int
) -> Route:
    """Metrics are looked at first, as by Linux 6.18: 6.12 looks for the next hop before.

    Linux: net/ipv6/route.c, ip6_route_info_create.
    """
    length = header.rtm_dst_len
    metrics = wanted_metrics(found.get(METRICS, b""))
    next_hop = _next_hop(network, found)
    if next_hop is not None:
        check_next_hop_6(next_hop)
    kind = header.rtm_type or UNICAST
    is_onlink = bool(header.rtm_flags & RTNH_F_ONLINK)
    gateway = found[GATEWAY][:16] if GATEWAY in found else None
    interface: Interface | None = None
    if next_hop is None:
        interface = way_6(network, found, destination, kind, gateway, table, is_onlink=is_onlink)
    source = found[PREFSRC][:16] if PREFSRC in found else None
    if source is not None and is_any(source):
        source = None
    is_near = source is not None and scope_of_6(source) != SCOPE_UNIVERSE
    out = interface if next_hop is None else next_hop.paths[0][0].interface
    if source is not None and not _is_own_6(network, source, out if is_near else None):
        raise EINVAL("Invalid source address", TOLD)
    is_rejected = next_hop is None and _is_rejected(kind, destination, interface)
    preference, deadline_ns = 0, 0
    seconds: int | None = None
    if not is_rejected:
        preference, seconds = found.get(PREFERENCE, b"\0")[0], number_in(found, EXPIRES)
    if seconds is not None and seconds != 0xFFFFFFFF:
        deadline_ns = network.host.clock.now_ns + seconds * NS_PER_S
    return Route(
        *(masked(destination, length), length, interface),
        kind=kind,
        table=table,
        scope=SCOPE_UNIVERSE,
        protocol=header.rtm_protocol or _BOOT,
        priority=number_in(found, PRIORITY) or _IPV6_PRIORITY,
        gateway=None if is_rejected else gateway,
        preferred_source=source,
        metrics=metrics,
        preference=preference if preference in (_LOW, _HIGH) else 0,
        deadline_ns=deadline_ns,
        is_onlink=is_onlink,
        next_hop=next_hop,
    )


def _is_rejected(kind: int, destination: bytes, interface: Interface | None) -> bool:
    """Whether a route leads nowhere: one by the loopback would lead around. Linux: net/ipv6/route.c,
    fib6_is_reject."""
    if kind in NOWHERE:
        return True
    is_loopback = interface is not None and bool(interface.flags & IFF_LOOPBACK)
    return (
        is_loopback and destination != bytes(15) + b"\1" and kind not in (LOCAL, int(RouteType.RTN_ANYCAST))
    )


def way_6(
    network: Network,
    found: dict[int, bytes],
    destination: bytes,
    kind: int,
    gateway: bytes | None,
    table: int,
    *,
    is_onlink: bool,
) -> Interface:
    """The interface of a way of IPv6. Raises EINVAL, EACCES, ENODEV, ENETDOWN, EHOSTUNREACH.

    Linux: net/ipv6/route.c, fib6_nh_init.
    """
    interface = _interface(network, found)
    if is_onlink:
        if interface is None:
            raise ENODEV("Nexthop device required for onlink", TOLD)
        if not interface.is_up:
            raise ENETDOWN("Nexthop device is not up", TOLD)
    if gateway is not None and kind not in NOWHERE:
        interface = _way_to_gateway_6(network, gateway, interface, table, is_onlink=is_onlink)
    if _is_rejected(kind, destination, interface):
        return network.loopback
    if interface is None:
        raise ENODEV
    if interface.mtu < LEAST_IPV6_MTU:
        raise ENODEV("the interface is too small for IPv6")
    if interface.settings[DISABLE_IPV6]:
        raise EACCES("IPv6 is disabled on nexthop device", TOLD)
    if not interface.is_up:
        raise ENETDOWN("Nexthop device is not up", TOLD)
    _check_encapsulation(found)
    return interface


def _is_own_6(network: Network, address: bytes, interface: Interface | None) -> bool:
    """Linux: net/ipv6/addrconf.c, ipv6_chk_addr."""
    interfaces = network.interfaces.values() if interface is None else (interface,)
    return any(own.address == address for each in interfaces for own in addresses_of(each, is_ipv6=True))


def _check_onlink_6(network: Network, gateway: bytes, interface: Interface) -> None:
    """Raise EINVAL if a route says that a gateway is elsewhere. Linux: net/ipv6/route.c,
    ip6_route_check_nh_onlink."""
    route = network.routes.lookup_in(MAIN_TABLE, gateway)
    if route is None or route.kind in NOWHERE or not any(route.destination):
        return
    if route.kind != UNICAST or route.interface is not interface:
        raise EINVAL("Nexthop has invalid gateway or device mismatch", TOLD)


def _way_to_gateway_6(
    network: Network, gateway: bytes, interface: Interface | None, table: int, *, is_onlink: bool
) -> Interface:
    """Linux: net/ipv6/route.c, ip6_validate_gw."""
    is_near = is_link_local(gateway)
    if interface is not None and _is_own_6(network, gateway, interface if is_near else None):
        raise EINVAL("Gateway can not be a local address", TOLD)
    had_interface = interface is not None
    if not is_near:
        if is_any(gateway) or is_multicast(gateway):
            raise EINVAL("Invalid gateway address", TOLD)
        if is_onlink:
            assert interface is not None
            _check_onlink_6(network, gateway, interface)
        else:
            interface = _egress_6(network, gateway, interface, table)
    if interface is None:
        raise EINVAL("Egress device not specified", TOLD)
    if interface.flags & IFF_LOOPBACK:
        raise EINVAL("Egress device can not be loopback device for this route", TOLD)
    if not had_interface and _is_own_6(network, gateway, interface if is_near else None):
        raise EINVAL("Gateway can not be a local address", TOLD)
    return interface


def _egress_6(network: Network, gateway: bytes, interface: Interface | None, table: int) -> Interface:
    """Which interface a gateway is behind. Raises EHOSTUNREACH. Linux: net/ipv6/route.c,
    ip6_route_check_nh."""
    for route in (
        network.routes.lookup_in(table, gateway, interface),
        network.routes.lookup(gateway, interface),
    ):
        if route is not None and route.gateway is None:
            if _is_rejected(route.kind, route.destination, route.interface):
                break
            assert route.interface is not None
            if interface is not None and route.interface is not interface:
                break
            return route.interface
    raise EHOSTUNREACH
