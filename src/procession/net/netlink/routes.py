"""RTM_NEWROUTE and its kin: routes listed, looked up, added and removed (rtnetlink(7))."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.errno import EHOSTUNREACH, EINVAL, ENETUNREACH, ENODEV, ENOENT, EOPNOTSUPP, TOLD
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.netlink import (
    RTM_F_CLONED,
    RTM_F_FIB_MATCH,
    RTM_F_LOOKUP_TABLE,
    RTNH_F_DEAD,
    RTNH_F_LINKDOWN,
    RTNH_F_ONLINK,
    RouteAttribute,
    RouteMessageType,
    RouteType,
    Rtmsg,
    Rtnexthop,
)
from procession.abi.word import pack_u8, pack_u16
from procession.net.internet.address import AF_INET, AF_INET6, BROADCAST_4, LOOPBACK_4, is_multicast
from procession.net.internet.device_address import addresses_of
from procession.net.internet.flow import ERRORS_OF_ROUTES, check_way_out, is_martian, source_for
from procession.net.internet.group import is_joined
from procession.net.internet.packet import ICMP, ICMP6, TCP, UDP
from procession.net.internet.routing import (
    BROADCAST,
    LOCAL,
    LOCAL_TABLE,
    MAIN_TABLE,
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    UNICAST,
    Route,
)
from procession.net.internet.routing_rule import OWN, Traffic
from procession.net.internet.source_address import select_source
from procession.net.netlink.attributes import Answer, Message, Request, attribute, number, number_in
from procession.net.netlink.policy import checked_attributes
from procession.net.netlink.route_policy import POLICY_4, POLICY_6

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.net.link.interface import Interface
    from procession.net.network import Network

_DST, _SRC = int(RouteAttribute.RTA_DST), int(RouteAttribute.RTA_SRC)
_IIF = int(RouteAttribute.RTA_IIF)
_OIF, _TABLE = int(RouteAttribute.RTA_OIF), int(RouteAttribute.RTA_TABLE)
_MARK, _UID = int(RouteAttribute.RTA_MARK), int(RouteAttribute.RTA_UID)
_PROTOCOL = int(RouteAttribute.RTA_IP_PROTO)
_SPORT, _DPORT = int(RouteAttribute.RTA_SPORT), int(RouteAttribute.RTA_DPORT)
_NOBODY = 0xFFFFFFFF
"""INVALID_UID."""
_QUESTIONS = frozenset(
    int(kind)
    for kind in (
        *(RouteAttribute.RTA_IIF, RouteAttribute.RTA_OIF, RouteAttribute.RTA_SRC, RouteAttribute.RTA_DST),
        *(RouteAttribute.RTA_IP_PROTO, RouteAttribute.RTA_SPORT, RouteAttribute.RTA_DPORT),
        *(RouteAttribute.RTA_MARK, RouteAttribute.RTA_UID),
    )
)
"""What may be said of a packet whose way is asked for."""
_NEWROUTE = int(RouteMessageType.RTM_NEWROUTE)
_IS_LOCAL, _IS_BROADCAST = 0x80000000, 0x10000000
"""RTCF_LOCAL and RTCF_BROADCAST among a route's flags."""
_MULTICAST, _BLACKHOLE = int(RouteType.RTN_MULTICAST), int(RouteType.RTN_BLACKHOLE)
_LOCAL_GROUPS = bytes((224, 0, 0))
_CAST_FLAGS = {BROADCAST: _IS_BROADCAST, _MULTICAST: 0x20000000}
_CLONED, _PREFIX, _NOTIFY, _NOTIFIES = RTM_F_CLONED, 0x800, 0x100, 0x10000
_SHORT_TABLE, _NO_TABLE = 255, 0
_CACHE_BYTES = 32


def route_body(route: Route, table: int = 0) -> bytes:
    """A message about a route. Linux: net/ipv4/fib_semantics.c, fib_dump_info; net/ipv6/route.c,
    rt6_fill_node."""
    family = AF_INET6 if route.is_ipv6 else AF_INET
    interface = route.interface
    next_hop = route.next_hop
    ways = route.paths
    if route.has_siblings and interface is not None:
        ways = interface.network.routes.siblings(route)
    has_several = len(ways) > 1 or (next_hop is not None and next_hop.is_group and route.is_ipv6)
    kind = _BLACKHOLE if next_hop is not None and next_hop.leads_nowhere else route.kind
    if has_several:
        flags = RTNH_F_ONLINK if route.is_onlink and not route.is_ipv6 else 0
        if not route.is_ipv6 and all(_flags_of(way) & RTNH_F_LINKDOWN for way in ways):
            flags |= RTNH_F_LINKDOWN
    else:
        flags = _flags_of(ways[0])
    whole_table = table or route.table
    table = whole_table if whole_table <= _SHORT_TABLE else 252
    header = Rtmsg(
        *(family, route.prefix_length, 0, route.tos, table, route.protocol, route.scope, kind, flags)
    )
    found: list[tuple[RouteAttribute, bytes]] = [(RouteAttribute.RTA_TABLE, number(whole_table))]
    if route.prefix_length:
        found.append((RouteAttribute.RTA_DST, route.destination))
    priority = [(RouteAttribute.RTA_PRIORITY, number(route.priority))]
    if route.priority and not route.is_ipv6:
        found += priority
    metrics = [(RouteAttribute.RTA_METRICS, metrics_list(route))] if route.metrics else []
    source = [(RouteAttribute.RTA_PREFSRC, route.preferred_source)] if route.preferred_source else []
    found += source + metrics + priority if route.is_ipv6 else metrics + source
    if next_hop is not None:
        found.append((RouteAttribute.RTA_NH_ID, number(next_hop.number)))
    if next_hop is not None and not next_hop.network.sysctls.tells_next_hops:
        pass
    elif has_several:
        found.append((RouteAttribute.RTA_MULTIPATH, b"".join(_hop(way) for way in ways)))
    else:
        way = ways[0]
        if way.gateway is not None:
            found.append(_told_gateway(way, way.gateway))
        if way.interface is not None:
            found.append((RouteAttribute.RTA_OIF, number(way.interface.index)))
        if route.realm and next_hop is None:
            found.append((RouteAttribute.RTA_FLOW, number(route.realm)))
    if route.is_ipv6:
        found.append((RouteAttribute.RTA_CACHEINFO, _cache_of(route)))
        found.append((RouteAttribute.RTA_PREF, pack_u8(route.preference)))
    return header.pack() + b"".join(attribute(int(name), data) for name, data in found)


def _flags_of(way: Route) -> int:
    """RTNH_F_* of one way. Linux: net/ipv4/fib_semantics.c, fib_nexthop_info."""
    flags = RTNH_F_ONLINK if way.is_onlink else 0
    out = way.interface
    if way.is_dead:
        flags |= RTNH_F_DEAD | RTNH_F_LINKDOWN
    elif out is not None and way.kind != LOCAL and out.is_up:
        # IPv6 asks for more than a wire. Linux: net/ipv6/addrconf.c, addrconf_notify.
        works = out.has_carrier and (out.is_running or not way.is_ipv6)
        flags |= 0 if works else RTNH_F_LINKDOWN
    return flags


def _told_gateway(way: Route, gateway: bytes) -> tuple[RouteAttribute, bytes]:
    if len(gateway) == len(way.destination):
        return RouteAttribute.RTA_GATEWAY, gateway
    return RouteAttribute.RTA_VIA, pack_u16(AF_INET6) + gateway


def _hop(way: Route) -> bytes:
    """A struct rtnexthop and what belongs to it. Linux: net/ipv4/fib_semantics.c, fib_add_nexthop."""
    told = b""
    if way.gateway is not None:
        name, gateway = _told_gateway(way, way.gateway)
        told = attribute(int(name), gateway)
    if way.realm:
        told += attribute(int(RouteAttribute.RTA_FLOW), number(way.realm))
    index = way.interface.index if way.interface is not None else 0
    return Rtnexthop(Rtnexthop.SIZE + len(told), _flags_of(way), (way.weight - 1) & 0xFF, index).pack() + told


def metrics_list(route: Route) -> bytes:
    """What is known of the way. Linux: net/core/rtnetlink.c, rtnetlink_put_metrics."""
    return b"".join(attribute(name, data) for name, data in route.metrics)


def _cache_of(route: Route) -> bytes:
    """A struct rta_cacheinfo. Linux: net/core/rtnetlink.c, rtnl_put_cacheinfo."""
    ticks = 0
    if route.deadline_ns and route.timer is not None:
        out = route.paths[0].interface
        if out is not None:
            ticks = max(route.deadline_ns - out.network.host.clock.now_ns, 0) // NS_PER_CLOCK_TICK
    return bytes(8) + number(ticks) + bytes(_CACHE_BYTES - 12)


def route_message(route: Route, *, is_there: bool) -> Message:
    """What listeners are told."""
    kind = RouteMessageType.RTM_NEWROUTE if is_there else RouteMessageType.RTM_DELROUTE
    return int(kind), route_body(route)


def list_routes(request: Request) -> Answer:
    """RTM_GETROUTE of all. Linux: net/ipv4/fib_frontend.c, inet_dump_fib, ip_valid_fib_dump_req;
    net/ipv6/ip6_fib.c, inet6_dump_fib."""
    network = request.network
    family = request.body[0]
    if family not in (AF_INET, AF_INET6):
        family = 0
    wanted = Rtmsg()
    index = 0
    if request.is_strict:
        wanted, index = _wanted_routes(request, family)
    elif len(request.body) >= Rtmsg.SIZE:
        wanted.rtm_flags = Rtmsg.unpack_from(request.body).rtm_flags & _PREFIX
    if wanted.rtm_table and family:
        size = ADDRESS_BYTES[family]
        if not network.routes.has_table(wanted.rtm_table, size):
            raise ENOENT(f"ipv{4 if family == AF_INET else 6}: FIB table does not exist", TOLD)
    if wanted.rtm_flags & _CLONED:
        return []
    return [
        (_NEWROUTE, route_body(route))
        for route in _told_at_once(network)
        if family in (0, AF_INET6 if route.is_ipv6 else AF_INET)
        and not wanted.rtm_flags & _PREFIX
        and wanted.rtm_table in (0, route.table)
        and wanted.rtm_protocol in (0, route.protocol)
        and wanted.rtm_type in (0, route.kind)
        and (not index or any(out.index == index for out in _interfaces_of(route)))
    ]


def _told_at_once(network: Network) -> Iterator[Route]:
    """All routes, but of siblings the first alone: those between it and the last aren't told either.

    Linux: net/ipv6/ip6_fib.c, fib6_dump_node.
    """
    last: Route | None = None
    for route in network.routes.all():
        if last is None:
            yield route
            last = network.routes.siblings(route)[-1] if route.has_siblings else None
        if route is last:
            last = None


def _interfaces_of(route: Route) -> list[Interface]:
    if not route.has_siblings or route.interface is None:
        return route.interfaces
    return [out for way in route.interface.network.routes.siblings(route) for out in way.interfaces]


def _wanted_routes(request: Request, family: int) -> tuple[Rtmsg, int]:
    """Which routes are asked for, and through which interface. Raises EINVAL, ENODEV."""
    if len(request.body) < Rtmsg.SIZE:
        raise EINVAL("Invalid header for FIB dump request", TOLD)
    header = Rtmsg.unpack_from(request.body)
    if header.rtm_dst_len or header.rtm_src_len or header.rtm_tos or header.rtm_scope:
        raise EINVAL("Invalid values in header for FIB dump request", TOLD)
    if header.rtm_flags & ~(_CLONED | _PREFIX):
        raise EINVAL("Invalid flags for FIB dump request", TOLD)
    found = checked_attributes(request, Rtmsg.SIZE, POLICY_4, is_strict=True)
    for kind in sorted(found):
        if kind not in (_TABLE, _OIF):
            raise EINVAL("Unsupported attribute in dump request", TOLD)
    table, index = number_in(found, _TABLE), number_in(found, _OIF) or 0
    if _OIF in found and index not in request.network.interfaces:
        raise ENODEV
    if table is not None:
        header.rtm_table = table
    request.is_filtered = True
    narrowing = (header.rtm_flags, header.rtm_protocol, header.rtm_type, header.rtm_table, index)
    request.is_narrowed = any(narrowing)
    return header, index


def route_to(request: Request) -> Answer:
    """The route that a packet of the caller would take. Raises ENETUNREACH, EINVAL, ENODEV.

    Linux: net/ipv4/route.c, inet_rtm_getroute, rt_fill_info; net/ipv6/route.c, inet6_rtm_getroute.
    """
    network = request.network
    family = request.body[0]
    if family not in (AF_INET, AF_INET6):
        raise EOPNOTSUPP("no such protocol")
    header, found = _question(request, family)
    size = ADDRESS_BYTES[family]
    source, target = found.get(_SRC, bytes(size))[:size], found.get(_DST, bytes(size))[:size]
    if len(source) < size or len(target) < size:
        raise EINVAL("the length of an address")
    if _PROTOCOL in found and found[_PROTOCOL][0] not in (TCP, UDP, ICMP if family == AF_INET else ICMP6):
        raise EOPNOTSUPP("Unsupported ip proto", TOLD)
    found_route: Route | None
    arrived = number_in(found, _IIF)
    if family == AF_INET6:
        device = _device_of(network, found, family)
        traffic = _traffic(request, header, found, source, device)
        found_route = network.routes.lookup(target, device, traffic=traffic)
    elif not arrived:
        found_route = _way_out_4(request, header, found, source, target)
    else:
        device = network.interfaces.get(arrived)
        if device is None:
            raise ENODEV
        traffic = _traffic(request, header, found, source, None, device.name)
        _check_arrival(request, device, source, target, traffic)
        if not any(source) and not any(target):
            if header.rtm_flags & RTM_F_FIB_MATCH:
                raise EHOSTUNREACH("no table was looked into")
            return [(_NEWROUTE, _told_broadcast(request, header, found, arrived))]
        found_route = network.routes.lookup(target, None, traffic=traffic)
    if found_route is None:
        raise ENETUNREACH
    route = found_route
    error = ERRORS_OF_ROUTES.get(route.kind)
    if error is not None:
        raise error("the route leads nowhere")
    if family == AF_INET and not arrived:
        _check_way_out(route, source, target)
    if header.rtm_flags & RTM_F_FIB_MATCH:
        if route.table == _NO_TABLE:
            raise EHOSTUNREACH("no table has such a route")
        table = _told_table(request.network, header, route, target) if family == AF_INET else route.table
        return [(_NEWROUTE, route_body(route.whole or route, table))]
    fill = _filled_4 if family == AF_INET else _filled_6
    return [(_NEWROUTE, fill(request, header, found, route, target, source))]


def _traffic(
    request: Request,
    header: Rtmsg,
    found: dict[int, bytes],
    source: bytes,
    device: Interface | None,
    arrived: bytes = OWN,
) -> Traffic:
    """What rules see of the packet that is asked about: one of the asker's, unless it has arrived."""
    credentials = request.credentials
    uid, asked = number_in(found, _UID), found.get(_PROTOCOL)
    if uid is not None:
        kuid = credentials.user_namespace.make_kuid(uid)
    else:
        kuid = credentials.uid if arrived == OWN else _NOBODY
    protocol = asked[0] if asked is not None else UDP if len(source) == ADDRESS_BYTES[AF_INET] else 0
    ports = [int.from_bytes(found.get(kind, b"")[:2], "big") for kind in (_SPORT, _DPORT)]
    return Traffic(
        *(source if any(source) else b"", arrived, device.name if device is not None else b""),
        *(number_in(found, _MARK) or 0, header.rtm_tos, kuid, protocol, *ports),
    )


def _way_out_4(
    request: Request, header: Rtmsg, found: dict[int, bytes], source: bytes, target: bytes
) -> Route | None:
    """The route of a packet of this machine's, perhaps one that no table has. Raises EINVAL, ENETUNREACH,
    ENODEV. Linux: net/ipv4/route.c, ip_route_output_key_hash_rcu."""
    if is_multicast(source):
        raise EINVAL("groups send nothing")
    network = request.network
    has_source = any(source)
    if has_source and not network.routes.is_local(source):
        raise ENETUNREACH("not one of this machine's addresses")
    device = _device_of(network, found, AF_INET)
    if not any(target):
        own: bytes | None = source if has_source else None
        if device is not None and not has_source:
            own = select_source(list(network.interfaces.values()), device, bytes(4), SCOPE_HOST)
        own = own or LOOPBACK_4
        out = network.loopback
        return Route(own, 32, out, kind=LOCAL, scope=SCOPE_HOST, table=_NO_TABLE, preferred_source=own)
    is_for_many = is_multicast(target) or target == BROADCAST_4
    if device is None and has_source and is_for_many:
        # Who sends to many says by which interface.
        device = _owner_of(network, source)
    elif device is None or (target[:3] != _LOCAL_GROUPS and target != BROADCAST_4):
        traffic = _traffic(request, header, found, source, device)
        route = network.routes.lookup(target, device, traffic=traffic)
        if device is None or (route is not None and route.kind not in ERRORS_OF_ROUTES):
            return route
    kind = BROADCAST if target == BROADCAST_4 else _MULTICAST if is_for_many else UNICAST
    scope = SCOPE_LINK if is_for_many else SCOPE_UNIVERSE
    return Route(target, 32, device, kind=kind, scope=scope, table=_NO_TABLE)


def _check_way_out(route: Route, source: bytes, target: bytes) -> None:
    """Raise EINVAL if the source, given or chosen, can't leave by the route."""
    out = route.interface
    if out is not None and route.kind != LOCAL:
        check_way_out(out, source if any(source) else source_for(out.network, route, target))


def _owner_of(network: Network, source: bytes) -> Interface | None:
    """Linux: net/ipv4/devinet.c, __ip_dev_find."""
    for interface in network.interfaces.values():
        if any(own.address == source for own in addresses_of(interface, is_ipv6=False)):
            return interface
    route = network.routes.lookup_in(LOCAL_TABLE, source)
    return None if route is None else route.interface


def _device_of(network: Network, found: dict[int, bytes], family: int) -> Interface | None:
    """By which interface it's to go. Linux: net/ipv4/route.c, ip_route_output_key_hash_rcu."""
    index = number_in(found, _OIF)
    if not index:
        return None
    device = network.interfaces.get(index)
    if device is None:
        raise ENODEV if family == AF_INET else ENETUNREACH
    if family == AF_INET and not (device.is_up and device.has_protocol(is_ipv6=False)):
        raise ENETUNREACH
    return device


def _check_arrival(
    request: Request, interface: Interface, source: bytes, target: bytes, traffic: Traffic
) -> None:
    """Raise for a packet that comes by an interface and isn't passed on. Linux: net/ipv4/route.c,
    ip_route_input_slow."""
    network = request.network
    if not any(source) and not any(target):
        return
    if not any(source) or is_multicast(source) or is_martian(source, target, network, interface, traffic):
        raise EINVAL("no packet can come like this")
    if not network.routes.is_local(target) and not network.forwards(interface, is_ipv6=False):
        raise EHOSTUNREACH("packets aren't passed on")


def _told_broadcast(request: Request, header: Rtmsg, found: dict[int, bytes], arrived: int) -> bytes:
    """A packet from nobody to nobody is for everybody. Linux: net/ipv4/route.c, ip_route_input_slow."""
    flags = RTM_F_CLONED | _IS_LOCAL | _IS_BROADCAST
    table = 0 if header.rtm_flags & RTM_F_LOOKUP_TABLE else MAIN_TABLE
    mark, uid = number_in(found, _MARK), number_in(found, _UID)
    attributes = [
        (RouteAttribute.RTA_TABLE, number(table)),
        (RouteAttribute.RTA_DST, bytes(4)),
        (RouteAttribute.RTA_OIF, number(request.network.loopback.index)),
        *([(RouteAttribute.RTA_MARK, number(mark))] if mark else []),
        *([(RouteAttribute.RTA_UID, number(uid))] if uid is not None else []),
        (RouteAttribute.RTA_IIF, number(arrived)),
        (RouteAttribute.RTA_CACHEINFO, bytes(_CACHE_BYTES)),
    ]
    answer = Rtmsg(AF_INET, 32, 0, 0, table, 0, SCOPE_UNIVERSE, BROADCAST, flags)
    return answer.pack() + b"".join(attribute(int(name), data) for name, data in attributes)


def _question(request: Request, family: int) -> tuple[Rtmsg, dict[int, bytes]]:
    """What is asked. Raises EINVAL. Linux: net/ipv4/route.c, inet_rtm_valid_getroute_req; net/ipv6/route.c,
    inet6_rtm_valid_getroute_req."""
    is_4 = family == AF_INET
    before, about = ("ipv4: ", "route get") if is_4 else ("ipv6: ", "get route")
    if len(request.body) < Rtmsg.SIZE:
        raise EINVAL(f"{before}Invalid header for {about} request", TOLD)
    header = Rtmsg.unpack_from(request.body)
    policy, bits = (POLICY_4, 32) if is_4 else (POLICY_6, 128)
    if not request.is_strict:
        return header, checked_attributes(request, Rtmsg.SIZE, policy)
    lengths = (header.rtm_src_len, header.rtm_dst_len)
    if any(length not in (0, bits) for length in lengths) or any(
        (header.rtm_table, header.rtm_protocol, header.rtm_scope, header.rtm_type)
    ):
        raise EINVAL(f"{before}Invalid values in header for {about} request", TOLD)
    known = RTM_F_FIB_MATCH | (_NOTIFY | RTM_F_LOOKUP_TABLE if is_4 else 0)
    if header.rtm_flags & ~known:
        word = "Unsupported rtm_flags" if is_4 else "Invalid flags"
        raise EINVAL(f"{before}{word} for {about} request", TOLD)
    found = checked_attributes(request, Rtmsg.SIZE, policy, is_strict=True)
    if (_SRC in found and not lengths[0]) or (_DST in found and not lengths[1]):
        raise EINVAL(f"{before}rtm_src_len and rtm_dst_len must be {bits} for IPv{4 if is_4 else 6}", TOLD)
    for kind in sorted(found):
        if kind not in _QUESTIONS and (is_4 or kind != int(RouteAttribute.RTA_FLOWLABEL)):
            raise EINVAL(f"{before}Unsupported attribute in {about} request", TOLD)
    return header, found


def _told_table(network: Network, header: Rtmsg, route: Route, target: bytes) -> int:
    """Which table has it, for who asks. That of the machine's own addresses is a part of the main one until a
    program makes rules. Linux: net/ipv4/route.c, inet_rtm_getroute; net/ipv4/fib_frontend.c, fib_unmerge."""
    if not header.rtm_flags & RTM_F_LOOKUP_TABLE:
        return MAIN_TABLE
    if not any(target):
        # It means this machine, without a look into a table.
        return _NO_TABLE
    is_merged = not network.routes.rules[ADDRESS_BYTES[AF_INET]].were_changed
    return MAIN_TABLE if is_merged and route.table == LOCAL_TABLE else route.table


def _filled_4(
    request: Request,
    header: Rtmsg,
    found: dict[int, bytes],
    route: Route,
    target: bytes,
    source: bytes,
) -> bytes:
    is_local = route.kind == LOCAL
    out = request.network.loopback if is_local else route.interface
    assert out is not None
    # Linux: net/ipv4/route.c, __mkroute_output: whatever table has it.
    kind = _MULTICAST if is_multicast(target) and is_local else route.kind
    flags = RTM_F_CLONED | _CAST_FLAGS.get(kind, 0)
    if kind == BROADCAST or (
        is_joined(request.network, out, target) if kind == _MULTICAST else out is request.network.loopback
    ):
        flags |= _IS_LOCAL
    if header.rtm_flags & _NOTIFY:
        flags |= _NOTIFY | _NOTIFIES
    table = _told_table(request.network, header, route, target)
    answer = Rtmsg(
        *(AF_INET, 32, 32 if any(source) else 0, route.tos, 252 if table > _SHORT_TABLE else table),
        *(0, SCOPE_UNIVERSE, kind, flags),
    )
    attributes = [(RouteAttribute.RTA_TABLE, number(table)), (RouteAttribute.RTA_DST, target)]
    if any(source):
        attributes.append((RouteAttribute.RTA_SRC, source))
    attributes.append((RouteAttribute.RTA_OIF, number(out.index)))
    if route.realm:
        attributes.append((RouteAttribute.RTA_FLOW, number(route.realm)))
    chosen = (
        source if any(source) else source_for(request.network, route, target if any(target) else LOOPBACK_4)
    )
    if chosen != source:
        attributes.append((RouteAttribute.RTA_PREFSRC, chosen))
    if route.next_address is not None:
        attributes.append(_told_gateway(route, route.next_address))
    if route.metrics:
        attributes.append((RouteAttribute.RTA_METRICS, metrics_list(route)))
    mark, uid = number_in(found, _MARK), number_in(found, _UID)
    if mark:
        attributes.append((RouteAttribute.RTA_MARK, number(mark)))
    attributes.append((RouteAttribute.RTA_UID, number(request.credentials.uid if uid is None else uid)))
    attributes.append((RouteAttribute.RTA_CACHEINFO, bytes(_CACHE_BYTES)))
    return answer.pack() + b"".join(attribute(int(name), data) for name, data in attributes)


def _filled_6(
    request: Request,
    header: Rtmsg,
    found: dict[int, bytes],
    route: Route,
    target: bytes,
    source: bytes,
) -> bytes:
    out = request.network.loopback if route.kind == LOCAL else route.interface
    assert out is not None
    table = route.table if route.table <= _SHORT_TABLE else 252
    answer = Rtmsg(AF_INET6, 128, 0, 0, table, route.protocol, SCOPE_UNIVERSE, route.kind, 0)
    attributes = [(RouteAttribute.RTA_TABLE, number(route.table)), (RouteAttribute.RTA_DST, target)]
    # Whatever source was asked for. Linux: include/net/ip6_route.h, ip6_route_get_saddr.
    with suppress(ENETUNREACH):
        attributes.append((RouteAttribute.RTA_PREFSRC, source_for(request.network, route, target)))
    if route.metrics:
        attributes.append((RouteAttribute.RTA_METRICS, metrics_list(route)))
    attributes.append((RouteAttribute.RTA_PRIORITY, number(route.priority)))
    if route.gateway is not None:
        attributes.append((RouteAttribute.RTA_GATEWAY, route.gateway))
    attributes.append((RouteAttribute.RTA_OIF, number(out.index)))
    attributes.append((RouteAttribute.RTA_CACHEINFO, bytes(_CACHE_BYTES)))
    attributes.append((RouteAttribute.RTA_PREF, pack_u8(route.preference)))
    return answer.pack() + b"".join(attribute(int(name), data) for name, data in attributes)
