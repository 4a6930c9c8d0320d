"""The routing tables of a network: which way a packet to an address goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.netlink import RTAX_MTU, RTPROT_KERNEL, NetlinkFlag, RouteScope, RouteTable, RouteType
from procession.abi.word import pack_address
from procession.net.internet.routing_rule import (
    ANY_TRAFFIC,
    FIRST_RULES,
    JUMP,
    NOTHING,
    PROHIBIT,
    SERVICE_BITS,
    TO_TABLE,
    UNREACHABLE,
    Rules,
    Traffic,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from procession.net.internet.multipath import PathChoice
    from procession.net.internet.next_hop import NextHop
    from procession.net.link.interface import Interface

LOCAL_TABLE, MAIN_TABLE = int(RouteTable.RT_TABLE_LOCAL), int(RouteTable.RT_TABLE_MAIN)
UNICAST, LOCAL, BROADCAST = int(RouteType.RTN_UNICAST), int(RouteType.RTN_LOCAL), int(RouteType.RTN_BROADCAST)
THROW, ANYCAST = int(RouteType.RTN_THROW), int(RouteType.RTN_ANYCAST)
HERE = (LOCAL, ANYCAST)
"""Routes to the machine itself."""
_NOWHERE, _FORBIDDEN = int(RouteType.RTN_BLACKHOLE), int(RouteType.RTN_PROHIBIT)
ROUTE_TIMER = "route"
NEW_ROUTE = int(NetlinkFlag.NLM_F_CREATE | NetlinkFlag.NLM_F_EXCL)
APPENDED_ROUTE = int(NetlinkFlag.NLM_F_CREATE | NetlinkFlag.NLM_F_APPEND)
"""How a route came to be: the first to its net, or one more."""
SCOPE_UNIVERSE, SCOPE_LINK = int(RouteScope.RT_SCOPE_UNIVERSE), int(RouteScope.RT_SCOPE_LINK)
SCOPE_HOST = int(RouteScope.RT_SCOPE_HOST)


class Route:
    """One route (Linux: net/ipv4/fib_lookup.h, struct fib_alias; include/net/ip6_fib.h, struct fib6_info).

    `destination` is an address of 4 or 16 bytes whose first `prefix_length` bits count. `interface` is None
    for those that lead nowhere (`kind` RTN_BLACKHOLE ...). `hop_scope` is how far its gateway is. `metrics`
    are what is known of the way, RTAX_* and their data in their order, of which `mtu` is one, 0 for the
    interface's. `realm` is what classifies packets (RTA_FLOW), `preference` that of a router of IPv6
    (RTA_PREF); one that has a `deadline_ns` isn't there any more from then on, which `timer` sees to.

    A route of IPv4 may have several `ways`, each a route like it that is in no table and whose `whole` it is;
    it has the interface and gateway of the first itself. Of IPv6 each is a route in the table, beside its
    siblings. `weight` is how often one is taken, and one that `is_dead` isn't. One that leads to a `next_hop`
    has its interfaces and gateways, and none itself."""

    __slots__ = (
        "deadline_ns",
        "destination",
        "gateway",
        "hop_scope",
        "interface",
        "is_dead",
        "is_onlink",
        "kind",
        "metrics",
        "mtu",
        "next_hop",
        "preference",
        "preferred_source",
        "prefix_length",
        "priority",
        "protocol",
        "realm",
        "scope",
        "table",
        "timer",
        "tos",
        "ways",
        "weight",
        "whole",
    )

    def __init__(
        self,
        destination: bytes,
        prefix_length: int,
        interface: Interface | None,
        *,
        kind: int = UNICAST,
        table: int = MAIN_TABLE,
        scope: int = SCOPE_UNIVERSE,
        protocol: int = RTPROT_KERNEL,
        priority: int = 0,
        gateway: bytes | None = None,
        hop_scope: int = SCOPE_LINK,
        preferred_source: bytes | None = None,
        tos: int = 0,
        metrics: tuple[tuple[int, bytes], ...] = (),
        realm: int = 0,
        preference: int = 0,
        deadline_ns: int = 0,
        is_onlink: bool = False,
        weight: int = 1,
        next_hop: NextHop | None = None,
    ) -> None:
        self.destination = destination
        self.prefix_length = prefix_length
        self.interface = interface
        self.kind = kind
        self.table = table
        self.scope = scope
        self.protocol = protocol
        self.priority = priority
        self.gateway = gateway
        self.hop_scope = hop_scope
        self.preferred_source = preferred_source
        self.tos = tos
        self.metrics = metrics
        self.mtu = next((int.from_bytes(data, "little") for name, data in metrics if name == RTAX_MTU), 0)
        self.realm = realm
        self.preference = preference
        self.deadline_ns = deadline_ns
        self.timer: Any = None
        self.is_onlink = is_onlink
        self.weight = weight
        self.next_hop = next_hop
        self.is_dead = False
        self.ways: tuple[Route, ...] = ()
        self.whole: Route | None = None

    @property
    def is_ipv6(self) -> bool:
        """Whether it's a route of IPv6."""
        return len(self.destination) == 16

    @property
    def is_open(self) -> bool:
        """Whether packets may go this way now: the machine itself is reached without a wire."""
        if self.is_dead:
            return False
        out = self.interface
        return (
            out is None
            or self.kind != UNICAST
            or not out.ignores_lost_wire(is_ipv6=len(self.destination) == 16)
        )

    @property
    def has_siblings(self) -> bool:
        """Whether packets choose among it and others to the same net, of the same metric.

        Linux: include/net/ip6_route.h, rt6_qualify_for_ecmp.
        """
        return self.gateway is not None and len(self.destination) == 16

    @property
    def next_address(self) -> bytes | None:
        """Who gets the packets, None for those to whom they go: a gateway that is this machine gets none.

        Linux: net/ipv4/route.c, rt_set_nexthop.
        """
        return self.gateway if self.hop_scope == SCOPE_LINK else None

    @property
    def interfaces(self) -> list[Interface]:
        """By which packets may go, each once."""
        if self.ways or self.next_hop is not None:
            return list(dict.fromkeys(way.interface for way in self.paths if way.interface is not None))
        return [] if self.interface is None else [self.interface]

    @property
    def paths(self) -> Sequence[Route]:
        """Its ways, itself if it has one alone: those by a next hop are made for who asks."""
        if self.next_hop is not None:
            return self.next_hop.ways_of(self)
        return self.ways or (self,)

    @property
    def led_by(self) -> list[Interface]:
        """By which interfaces it leads as long as they are up: to a next hop while that's there."""
        return self.interfaces if self.next_hop is None else []

    def divide(self, ways: list[Route]) -> None:
        """From now on it has these ways."""
        self.ways = tuple(ways)
        for way in ways:
            way.whole = self

    def has_way_of(self, other: Route) -> bool:
        """Whether both are one route, told by what else than the destination."""
        return (
            (self.kind, self.tos, self.priority) == (other.kind, other.tos, other.priority)
            and self.next_hop is other.next_hop
            and (self.gateway, self.interface) == (other.gateway, other.interface)
            and self.preferred_source == other.preferred_source
            and self._told_ways() == other._told_ways()
        )

    def _told_ways(self) -> list[tuple[Interface | None, bytes | None, int, int, int, bool]]:
        """By what ways differ. Linux: net/ipv4/fib_semantics.c, nh_comp."""
        return [
            (way.interface, way.gateway, way.hop_scope, way.weight, way.realm, way.is_onlink)
            for way in self.ways or (self,)
        ]

    def is_told_as(self, other: Route) -> bool:
        """Whether both are one route of IPv4, told by all that is said of them but the type.

        Linux: net/ipv4/fib_semantics.c, fib_find_info.
        """
        return (
            self.has_way_of(other)
            and (self.protocol, self.scope, self.is_onlink) == (other.protocol, other.scope, other.is_onlink)
            and (self.metrics, self.realm) == (other.metrics, other.realm)
        )


def masked(address: bytes, prefix_length: int) -> bytes:
    """The first bits of `address`, the others 0."""
    bits = 8 * len(address)
    number = int.from_bytes(address, "big") >> bits - prefix_length << bits - prefix_length
    return pack_address(number, len(address))


def last_of(address: bytes, prefix_length: int) -> bytes:
    """The last address of a net: its broadcast address."""
    bits = 8 * len(address)
    number = int.from_bytes(address, "big") | (1 << bits - prefix_length) - 1
    return pack_address(number, len(address))


def is_within(address: bytes, net: bytes, prefix_length: int) -> bool:
    """Whether `address` begins as `net` does."""
    shift = 8 * len(net) - prefix_length
    return len(address) == len(net) and not (
        (int.from_bytes(address, "big") ^ int.from_bytes(net, "big")) >> shift
    )


class Routes:
    """All routes of a network.

    `tables` has them by the number of the table, the length of the address and of the prefix, and the
    destination; those with the same in the order in which they are tried. `by_interface` has those that lead
    to an interface, `by_source` those that prefer an address of ours. `has_local_table` says whether there
    has been an address of IPv4: before, any counts as good to bind to. How packets choose among several ways
    is `choice`, None until a program makes routes. `known` are the tables of which a
    program has spoken, and those that were always there, by the length of the address too. `rules` say which
    tables are looked into, by that length."""

    __slots__ = (
        "by_interface",
        "by_source",
        "count",
        "has_local_table",
        "known",
        "rules",
        "choice",
        "tables",
    )

    def __init__(self) -> None:
        self.choice: PathChoice | None = None
        self.by_interface: dict[Interface, dict[Route, None]] = {}
        self.by_source: dict[bytes, dict[Route, None]] = {}
        self.count = 0
        self.known = {(table, size) for table in (LOCAL_TABLE, MAIN_TABLE) for size in (4, 16)}
        self.has_local_table = False
        self.rules = {4: Rules(FIRST_RULES), 16: Rules(FIRST_RULES[:2])}
        self.tables: dict[int, dict[tuple[int, int], dict[bytes, list[Route]]]] = {}

    def has_table(self, table: int, size: int) -> bool:
        """Whether the protocol whose addresses have so many bytes has had a route in `table`."""
        return (table, size) in self.known

    def same_destination(self, route: Route) -> list[Route]:
        """Those of its table that go where `route` does."""
        key = len(route.destination), route.prefix_length
        return self.tables.get(route.table, {}).get(key, {}).get(route.destination, [])

    def like(self, route: Route) -> Route | None:
        """The one that is `route` in all but name, which leads to an interface."""
        assert route.interface is not None
        same = self.same_destination(route)
        led = self.by_interface.get(route.interface)
        if led is None:
            return None
        if len(same) > len(led):
            same = [
                other
                for other in led
                if (other.table, other.destination, other.prefix_length)
                == (route.table, route.destination, route.prefix_length)
            ]
        return next((other for other in same if route.has_way_of(other)), None)

    def concerned_by(self, interface: Interface, source: bytes, destinations: set[bytes]) -> list[Route]:
        """Those that lead to `interface` and are from `source` or to one of `destinations`, in the order of
        `all`.
        """
        led = self.by_interface.get(interface)
        if led is None:
            return []
        size = len(source)
        lists: list[Collection[Route]] = [self.by_source.get(source, {})]
        for by_length in self.tables.values():
            for key, by_destination in by_length.items():
                if key[0] == size:
                    lists += [by_destination.get(destination, []) for destination in destinations]
        if sum(map(len, lists)) < len(led):
            found = {route for routes in lists for route in routes if route in led}
        else:
            found = {
                route
                for route in led
                if route.preferred_source == source or route.destination in destinations
            }
        return sorted(found, key=self._place_of)

    def forget_source(self, address: bytes) -> None:
        """No route prefers it any more."""
        for route in self.by_source.pop(address, ()):
            route.preferred_source = None

    def of(self, interface: Interface) -> list[Route]:
        """Those that lead to `interface`, in the order of `all`."""
        return sorted(self.by_interface.get(interface, ()), key=self._place_of)

    def _place_of(self, route: Route) -> tuple[int, int, tuple[bytes, int], int]:
        destination = route.destination
        found = self.same_destination(route)
        index = 0 if len(found) == 1 else found.index(route)
        return len(destination), route.table, _place((destination, route.prefix_length, found)), index

    def siblings(self, route: Route) -> list[Route]:
        """The routes of IPv6 of which `route` is one that packets choose among: itself, those behind it and
        those before it.
        """
        if route.has_siblings:
            found = self.same_destination(route)
            if len(found) > 1 and route in found:
                same = [other for other in found if other.has_siblings and other.priority == route.priority]
                at = same.index(route)
                return same[at:] + same[:at]
        return [route]

    def is_passed_over(self, route: Route, interface: Interface) -> bool:
        """Whether a route is between siblings of which some are left without `interface`: nobody looks at it
        then. Linux: net/ipv6/ip6_fib.c, fib6_clean_node."""
        found = self.same_destination(route)
        if route.has_siblings or len(found) < 3:
            return False
        siblings = [other for other in found if other.has_siblings and other.priority == route.priority]
        if len(siblings) < 2 or all(way.is_dead or way.interface is interface for way in siblings):
            return False
        return found.index(siblings[0]) < found.index(route) < found.index(siblings[-1])

    def add(self, route: Route, *, is_last: bool = False, place: int | None = None) -> None:
        """`route` is there from now on, before or after those of the same priority, or at a place."""
        key = len(route.destination), route.prefix_length
        found = self.tables.setdefault(route.table, {}).setdefault(key, {}).setdefault(route.destination, [])
        # IPv6's come behind their like. Linux: net/ipv6/ip6_fib.c, fib6_add_rt2node.
        is_last = is_last or route.is_ipv6
        position = next(
            (
                index
                for index, other in enumerate(found)
                if (-route.tos, route.priority) < (-other.tos, other.priority)
                or (not is_last and (route.tos, route.priority) == (other.tos, other.priority))
            ),
            len(found),
        )
        found.insert(position if place is None else place, route)
        if route.table == LOCAL_TABLE and not route.is_ipv6:
            self.has_local_table = True
        for interface in route.led_by:
            self.by_interface.setdefault(interface, {})[route] = None
        if route.next_hop is not None:
            route.next_hop.routes[route] = None
        if route.preferred_source is not None:
            self.by_source.setdefault(route.preferred_source, {})[route] = None
        self.count += 1

    def remove(self, route: Route) -> None:
        """`route` is gone."""
        key = len(route.destination), route.prefix_length
        by_length = self.tables[route.table]
        by_destination = by_length[key]
        found = by_destination[route.destination]
        found.remove(route)
        if route.next_hop is not None:
            del route.next_hop.routes[route]
        for interface in route.led_by:
            led = self.by_interface[interface]
            del led[route]
            if not led:
                del self.by_interface[interface]
        source = route.preferred_source
        if source is not None:
            led = self.by_source[source]
            del led[route]
            if not led:
                del self.by_source[source]
        self.count -= 1
        if not found:
            del by_destination[route.destination]
            if not by_destination:
                del by_length[key]

    def all(self) -> Iterator[Route]:
        """Every route as programs are told: IPv4's before IPv6's, by table and address, shorter prefixes
        first for the same address but for the default route."""
        for size in (4, 16):
            for table in sorted(self.tables, key=_chain_of):
                found = [
                    (destination, length, routes)
                    for (bytes_, length), by_destination in self.tables[table].items()
                    if bytes_ == size
                    for destination, routes in by_destination.items()
                ]
                for _, _, routes in sorted(found, key=_place if size == 4 else _place_6):
                    yield from routes

    def lookup(
        self,
        target: bytes,
        interface: Interface | None = None,
        least_scope: int = SCOPE_UNIVERSE,
        traffic: Traffic = ANY_TRAFFIC,
    ) -> Route | None:
        """The route that a packet to `target` takes, of those through `interface` if that is given, and not
        of wider scope than `least_scope`; of the rest of it the rules see `traffic`, and routes of IPv4 its
        type of service.

        Linux: net/core/fib_rules.c, fib_rules_lookup; net/ipv4/fib_rules.c, __fib_lookup, fib4_rule_action,
        fib4_rule_suppress; net/ipv4/fib_trie.c, fib_table_lookup.
        """
        rules = self.rules[len(target)]
        at = 0
        while at < len(rules.rules):
            rule = rules.rules[at]
            at += 1
            if not rule.is_for(target, traffic) or rule.action == NOTHING:
                continue
            if rule.action == TO_TABLE:
                route = self.lookup_in(rule.table, target, interface, least_scope, traffic)
                if route is None or route.kind == THROW:
                    continue
                out = route.interface
                if out is None or (route.prefix_length > rule.shortest and rule.unwanted_group != out.group):
                    return route
            elif rule.action == JUMP:
                at = rules.places.get(rule.jump, at)
            elif rule.action == UNREACHABLE:
                return None
            else:
                kind = _FORBIDDEN if rule.action == PROHIBIT else _NOWHERE
                return Route(target, 8 * len(target), None, kind=kind)
        return None

    def lookup_in(
        self,
        table: int,
        target: bytes,
        interface: Interface | None = None,
        least_scope: int = SCOPE_UNIVERSE,
        traffic: Traffic = ANY_TRAFFIC,
    ) -> Route | None:
        """The longest prefix of `target` in one table; of several ways the one that `traffic` takes."""
        by_length = self.tables.get(table)
        if not by_length:
            return None
        size = len(target)
        for key in sorted(by_length, reverse=True):
            if key[0] != size:
                continue
            for route in by_length[key].get(masked(target, key[1]), ()):
                if size == 4 and (
                    route.scope < least_scope or route.tos not in (0, traffic.tos & SERVICE_BITS)
                ):
                    continue
                way = self._way(route, target, interface, traffic)
                if way is not None:
                    return way
        return None

    def _way(
        self, route: Route, target: bytes, interface: Interface | None, traffic: Traffic
    ) -> Route | None:
        """The way of `route` that packets of `traffic` take, None if there is none by `interface`.

        Linux: net/ipv4/fib_trie.c, fib_lookup_good_nhc; net/ipv6/route.c, rt6_device_match.
        """
        if interface is not None:
            ways = (way for way in route.paths if way.interface in (interface, None))
            return next((way for way in ways if way.is_open), None)
        if route.next_hop is not None:
            return route.next_hop.chosen_way(route, self.choice, target, traffic)
        if route.ways:
            ways_alive = [way for way in route.ways if way.is_open]
        elif not route.is_open:
            return None
        else:
            ways_alive = [way for way in self.siblings(route) if way.is_open]
        if len(ways_alive) > 1 and self.choice is not None:
            return self.choice.way(ways_alive, target, traffic)
        return ways_alive[0] if ways_alive else None

    def is_local(self, address: bytes) -> bool:
        """Whether it's one of the network's own addresses."""
        route = self.lookup_in(LOCAL_TABLE, address)
        return route is not None and route.kind == LOCAL

    def takes(self, address: bytes) -> bool:
        """Whether it's one of the network's own, or one that others have too."""
        route = self.lookup_in(LOCAL_TABLE, address)
        return route is not None and route.kind in HERE

    def is_anycast(self, address: bytes) -> bool:
        """Whether others have it too."""
        route = self.lookup_in(LOCAL_TABLE, address)
        return route is not None and route.kind == ANYCAST

    def is_broadcast(self, address: bytes) -> bool:
        """Whether it's the address of everybody in a net that the network is in."""
        route = self.lookup_in(LOCAL_TABLE, address)
        return route is not None and route.kind == BROADCAST


def _chain_of(table: int) -> int:
    """Linux: include/net/ip_fib.h, FIB_TABLE_HASHSZ."""
    return table & 0xFF


def _place_6(found: tuple[bytes, int, list[Route]]) -> tuple[bytes, int]:
    """A net of IPv6 comes behind those within it. Linux: net/ipv6/ip6_fib.c, fib6_walk_continue."""
    destination, length, _ = found
    return last_of(destination, length), -length


def _place(found: tuple[bytes, int, list[Route]]) -> tuple[bytes, int]:
    destination, length, _ = found
    return destination, -length if any(destination) else length
