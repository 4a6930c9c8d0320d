"""Next hops as objects of their own, and groups of them, to which routes lead (ip-nexthop(8))."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.abi.netlink import NetlinkFlag, RouteType
from procession.net.cause import NO_REQUEST, Cause
from procession.net.internet.routing import SCOPE_LINK, Route

if TYPE_CHECKING:
    from procession.net.internet.multipath import PathChoice
    from procession.net.internet.routing_rule import Traffic
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_BLACKHOLE = int(RouteType.RTN_BLACKHOLE)
_REPLACED = int(NetlinkFlag.NLM_F_REPLACE)


Teller = Callable[["NextHop", bool], None]
"""Tells who listens of a next hop, and whether it's there."""


class NextHop:
    """One next hop, or a group (Linux: include/net/nexthop.h, struct nexthop).

    `family` is AF_INET or AF_INET6, of a group 0; `scope` is how far its gateway is. `members` are those of a
    group, with their weights. `is_fdb` says that it isn't for routes. `groups` are those that it's in, and
    `routes` those that lead to it."""

    __slots__ = (
        "family",
        "flags",
        "gateway",
        "groups",
        "interface",
        "is_blackhole",
        "is_fdb",
        "members",
        "network",
        "number",
        "protocol",
        "routes",
        "scope",
    )

    def __init__(
        self,
        network: Network,
        number: int,
        *,
        family: int = 0,
        protocol: int = 0,
        flags: int = 0,
        scope: int = 0,
        interface: Interface | None = None,
        gateway: bytes | None = None,
        is_blackhole: bool = False,
        is_fdb: bool = False,
        members: tuple[tuple[NextHop, int], ...] = (),
    ) -> None:
        self.network = network
        self.number = number
        self.family = family
        self.protocol = protocol
        self.flags = flags
        self.scope = scope
        self.interface = interface
        self.gateway = gateway
        self.is_blackhole = is_blackhole
        self.is_fdb = is_fdb
        self.members = members
        self.groups: dict[NextHop, None] = {}
        self.routes: dict[Route, None] = {}

    @property
    def next_address(self) -> bytes | None:
        """Who gets the packets, None for those to whom they go."""
        return self.gateway if self.scope == SCOPE_LINK else None

    @property
    def is_group(self) -> bool:
        """Whether it's a group: one without members isn't there."""
        return bool(self.members)

    @property
    def paths(self) -> tuple[tuple[NextHop, int], ...]:
        """The next hops that packets choose among, with their weights."""
        return self.members or ((self, 1),)

    @property
    def leads_nowhere(self) -> bool:
        """Linux: include/net/nexthop.h, nexthop_is_blackhole."""
        return len(self.paths) == 1 and self.paths[0][0].is_blackhole

    @property
    def account_size(self) -> int:
        """What it takes, in routes."""
        return 1 + len(self.members)

    def ways_of(self, route: Route) -> list[Route]:
        """`route` by each of its paths, as routes that are in no table."""
        return [_way(route, *path) for path in self.paths]

    def chosen_way(self, route: Route, choice: PathChoice | None, target: bytes, traffic: Traffic) -> Route:
        """`route` by the path that packets of `traffic` take: no others are made for each of them."""
        paths = self.paths
        if choice is None or len(paths) == 1:
            return _way(route, *paths[0])
        return _way(route, *choice.path(paths, target, traffic))

    def remove(self) -> None:
        """It isn't there any more, which is told nobody."""
        if self.network.next_hops.get(self.number) is self:
            remove_next_hop(self.network, self)

    def take(self, new: NextHop) -> None:
        """It's as `new` from now on, with its own number, groups and routes."""
        for member, _ in self.members:
            member.groups.pop(self, None)
        self.family, self.protocol, self.flags, self.scope = new.family, new.protocol, new.flags, new.scope
        self.interface, self.gateway = new.interface, new.gateway
        self.is_blackhole, self.is_fdb, self.members = new.is_blackhole, new.is_fdb, new.members
        for member, _ in self.members:
            member.groups[self] = None


def _way(route: Route, member: NextHop, weight: int) -> Route:
    way = Route(
        *(route.destination, route.prefix_length, member.interface),
        kind=_BLACKHOLE if member.is_blackhole else route.kind,
        table=route.table,
        scope=route.scope,
        protocol=route.protocol,
        priority=route.priority,
        gateway=member.gateway,
        hop_scope=member.scope,
        preferred_source=route.preferred_source,
        tos=route.tos,
        metrics=route.metrics,
        preference=route.preference,
        deadline_ns=route.deadline_ns,
        is_onlink=bool(member.flags),
        weight=weight,
    )
    way.whole = route
    return way


def add_next_hop(network: Network, new: NextHop, tell: Teller) -> None:
    """`new` is there from now on, which is told by `tell`. Raises ENOBUFS.

    Linux: net/ipv4/nexthop.c, insert_nexthop.
    """
    network.account_address(new.account_size)
    network.next_hops[new.number] = new
    for member, _ in new.members:
        member.groups[new] = None
    tell(new, True)


def replace_next_hop(network: Network, old: NextHop, new: NextHop, cause: Cause, tell: Teller) -> None:
    """`old` is as `new` from now on, and so are the routes that lead to it, alone or in a group.

    Raises ENOBUFS. Linux: net/ipv4/nexthop.c, replace_nexthop, nexthop_replace_notify.
    """
    network.account_address(new.account_size - old.account_size)
    old.take(new)
    network.topology_changed()
    tell(old, True)
    if network.sysctls.tells_next_hops:
        for each in (old, *old.groups):
            for route in list(each.routes):
                network.tell_of_route(route, is_there=True, flags=_REPLACED, cause=cause)


def remove_next_hop(
    network: Network, gone: NextHop, cause: Cause = NO_REQUEST, tell: Teller | None = None
) -> None:
    """`gone` isn't there any more, nor the routes that led to it, nor groups of which it was the last. What
    becomes of next hops is told by `tell`.

    Linux: net/ipv4/nexthop.c, remove_nexthop, remove_nexthop_from_groups.
    """
    network.next_hops.pop(gone.number)
    if tell is not None:
        tell(gone, False)
    for route in list(gone.routes):
        is_told = route.is_ipv6 and bool(network.sysctls.tells_next_hops)
        network.remove_route(route, is_told=is_told, cause=cause)
    network.account_address(-gone.account_size)
    for member, _ in gone.members:
        member.groups.pop(gone, None)
    for group in list(gone.groups):
        network.host.clock.spend_looking(len(group.members))
        left = tuple(path for path in group.members if path[0] is not gone)
        if not left:
            remove_next_hop(network, group, cause, tell)
            continue
        group.members = left
        network.account_address(-1)
        if tell is not None:
            tell(group, True)
    network.topology_changed()
