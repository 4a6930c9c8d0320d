"""Addresses of interfaces, and the routes that come and go with them (ip-address(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EACCES, EADDRNOTAVAIL, EEXIST, EINVAL, TOLD
from procession.abi.netlink import (
    IFA_F_DEPRECATED,
    IFA_F_MCAUTOJOIN,
    IFA_F_NOPREFIXROUTE,
    IFA_F_PERMANENT,
    IFA_F_SECONDARY,
    IFAPROT_KERNEL_LO,
    RTPROT_KERNEL,
)
from procession.net.cause import NO_REQUEST, Cause
from procession.net.internet.address import LOOPBACK_6, is_link_local, is_multicast
from procession.net.internet.address_lifetime import INFINITY_S, stop_waiting
from procession.net.internet.routing import (
    APPENDED_ROUTE,
    BROADCAST,
    LOCAL,
    LOCAL_TABLE,
    MAIN_TABLE,
    NEW_ROUTE,
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    UNICAST,
    Route,
    is_within,
    last_of,
    masked,
)
from procession.net.link.interface import IFF_NOARP, LOOPBACK
from procession.net.sysctls import DISABLE_IPV6, PROMOTE_SECONDARIES

if TYPE_CHECKING:
    from collections.abc import Collection

    from procession.net.link.interface import Interface
    from procession.net.network import Network

LINK_LOCAL_PREFIX = bytes((0xFE, 0x80)) + bytes(6)
IPV6_METRIC = 256
"""The priority of IPv6's routes that the kernel makes (IP6_RT_PRIO_ADDRCONF)."""
_LONGEST_PREFIX_WITH_BROADCAST = 30
LOOKS_PER_ADDRESS = 100
"""What it takes to forget one of many addresses, with its routes, in looks at an object."""


class DeviceAddress:
    """One address of an interface (Linux: include/linux/inetdevice.h, struct in_ifaddr;
    include/net/if_inet6.h, struct inet6_ifaddr).

    `peer` is whose net the prefix is of: the address itself, or that of the other end (`has_peer`); `net` the
    address of that net, by which each new address is compared with all that are there. `broadcast` and
    `label` are IPv4's. `flags` are IFA_F_*. `metric` is the priority of the route to the net, or 0.
    `preferred_s` and `valid_s` are its lifetimes from `updated_ns` on, at whose ends `timer` is due.
    `has_joined` is whether the machine listens to it as a group (IFA_F_MCAUTOJOIN). `source` is the address
    from which what goes by its routes is sent: of a secondary one that of the first of its net.
    """

    __slots__ = (
        "address",
        "broadcast",
        "created_ns",
        "flags",
        "has_joined",
        "has_peer",
        "interface",
        "is_ipv6",
        "label",
        "metric",
        "net",
        "peer",
        "preferred_s",
        "prefix_length",
        "protocol",
        "scope",
        "source",
        "timer",
        "updated_ns",
        "valid_s",
    )

    def __init__(
        self,
        interface: Interface,
        address: bytes,
        prefix_length: int,
        *,
        peer: bytes | None = None,
        broadcast: bytes | None = None,
        label: bytes | None = None,
        scope: int = SCOPE_UNIVERSE,
        protocol: int = 0,
        metric: int = 0,
        flags: int = 0,
    ) -> None:
        self.interface = interface
        self.address = self.source = address
        self.is_ipv6 = len(address) == 16
        self.prefix_length = prefix_length
        self.peer = address if peer is None else peer
        self.has_peer = self.peer != address
        self.net = masked(address if self.is_ipv6 else self.peer, min(prefix_length, 8 * len(address)))
        self.broadcast = broadcast
        self.label = interface.name if label is None else label
        self.scope = scope
        self.protocol = protocol
        self.metric = metric
        self.flags = flags | IFA_F_PERMANENT
        self.preferred_s = self.valid_s = INFINITY_S
        self.created_ns = self.updated_ns = interface.network.host.clock.now_ns
        self.timer: Any = None
        self.has_joined = False

    @property
    def peer_net(self) -> bytes:
        """The net of a peer of IPv6 that an address was given after it was made."""
        return masked(self.peer, self.prefix_length)

    @property
    def group(self) -> bytes:
        """What IFA_F_MCAUTOJOIN joins. Linux: net/ipv4/devinet.c, ip_mc_autojoin_config."""
        return self.address if self.is_ipv6 else self.peer

    @property
    def is_secondary(self) -> bool:
        """Whether there was another address of the same net before this one."""
        return bool(self.flags & IFA_F_SECONDARY)

    @property
    def has_net_route(self) -> bool:
        """Whether a route to its net comes and goes with it."""
        return not self.flags & IFA_F_NOPREFIXROUTE


def scope_of_6(address: bytes) -> int:
    """How far an address of IPv6 is known, as RT_SCOPE_* say it."""
    if address == LOOPBACK_6:
        return SCOPE_HOST
    return SCOPE_LINK if is_link_local(address) else SCOPE_UNIVERSE


def addresses_of(interface: Interface, *, is_ipv6: bool) -> list[DeviceAddress]:
    """Those of one protocol."""
    return [found for found in interface.addresses if found.is_ipv6 == is_ipv6]


def has_address_6(network: Network) -> bool:
    """Whether any interface has an address of IPv6."""
    return any(found.is_ipv6 for interface in network.interfaces.values() for found in interface.addresses)


def has_own_6(network: Network, target: bytes) -> bool:
    """Whether `target` is an address of IPv6 that an interface has."""
    return any(
        found.address == target for interface in network.interfaces.values() for found in interface.addresses
    )


def add_address(new: DeviceAddress, cause: Cause = NO_REQUEST) -> None:
    """Give an interface an address, and its network the routes that follow. Raises EEXIST, EINVAL, EACCES.

    Linux: net/ipv4/devinet.c, __inet_insert_ifa; net/ipv6/addrconf.c, ipv6_add_addr.
    """
    interface = new.interface
    if new.is_ipv6 and interface.settings[DISABLE_IPV6]:
        raise EACCES("IPv6 is disabled on this device")
    same = addresses_of(interface, is_ipv6=new.is_ipv6)
    interface.network.host.clock.spend_looking(len(same))
    net, prefix_length = new.net, new.prefix_length
    for other in same:
        if new.is_ipv6:
            if other.address == new.address:
                raise EEXIST("the interface has this address")
        elif other.prefix_length == prefix_length and other.net == net:
            if other.address == new.address:
                raise EEXIST("ipv4: Address already assigned", TOLD)
            if other.scope != new.scope:
                raise EINVAL("ipv4: Invalid scope value", TOLD)
            if not new.is_secondary:
                new.flags |= IFA_F_SECONDARY
                new.source = other.address
    if new.is_ipv6:
        # The newest of the narrowest scope is told first.
        position = next((index for index, found in enumerate(same) if found.scope >= new.scope), len(same))
        rest = [found for found in interface.addresses if not found.is_ipv6]
        interface.addresses = [*rest, *same[:position], new, *same[position:]]
    else:
        interface.addresses.insert(_position_of_4(new, same), new)
        interface.had_address = True
    network = interface.network
    network.account_address(1)
    if new.flags & IFA_F_MCAUTOJOIN:
        network.join_group(interface.index, new.group)
        new.has_joined = True
    network.address_changed(new, is_there=True, cause=cause)
    add_own_route(new)
    if interface.is_up:
        add_net_routes(new)
        if not new.is_ipv6:
            interface.network.revive_ways(interface, is_ipv6=False)
    network.topology_changed()
    if new.is_ipv6 and interface.listening_6 is not None:
        interface.listening_6.look_at_own()
        has_others = any(is_link_local(found.address) for found in same)
        if is_link_local(new.address) and not has_others and interface.is_up and interface.has_carrier:
            interface.listening_6.settle()


def _position_of_4(new: DeviceAddress, others: list[DeviceAddress]) -> int:
    """Where a new address comes among those of IPv4: the first ones of their nets before all others, the
    narrowest scope first.
    """
    if new.is_secondary:
        return len(others)
    before = [at for at, other in enumerate(others) if not other.is_secondary and new.scope <= other.scope]
    return before[-1] + 1 if before else 0


def modify_address(address: DeviceAddress, peer: bytes, metric: int, flags: int, protocol: int) -> None:
    """Change what an address is told with, and the route to its net. In `flags` are those that change.

    Linux: net/ipv4/fib_frontend.c, fib_modify_prefix_metric; net/ipv6/addrconf.c, inet6_addr_modify.
    """
    interface = address.interface
    network = interface.network
    old = _net_routes_of(address, address.net)
    if address.is_ipv6:
        of_peer = _net_routes_of(address, address.peer_net) if address.has_peer else []
        if peer not in (address.address, address.peer):
            for route in of_peer:
                network.remove_route(route)
            address.peer, address.has_peer = peer, True
            network.topology_changed()
        else:
            old += of_peer
    had_net_route = address.has_net_route
    if address.is_ipv6:
        metric = metric or address.metric
    is_other = metric != address.metric
    address.metric, address.protocol = metric, protocol
    if address.is_ipv6:
        address.flags = flags | address.flags & (IFA_F_PERMANENT | IFA_F_DEPRECATED | IFA_F_MCAUTOJOIN)
    if is_other or had_net_route != address.has_net_route:
        if had_net_route:
            for route in old:
                network.remove_route(route)
        if interface.is_up:
            add_net_routes(address, is_new=False)
        network.topology_changed()


def _net_routes_of(address: DeviceAddress, net: bytes) -> list[Route]:
    """The kernel's own routes to the net of an address, or of its peer."""
    interface = address.interface
    return [
        route
        for route in interface.network.routes.concerned_by(interface, address.address, {net})
        if (route.destination, route.prefix_length) == (net, address.prefix_length)
        and (route.protocol, route.gateway, route.kind) == (RTPROT_KERNEL, None, UNICAST)
        and route.priority == (address.metric or (IPV6_METRIC if address.is_ipv6 else 0))
    ]


def remove_address(old: DeviceAddress, cause: Cause = NO_REQUEST) -> None:
    """Take an address away, with the others of its net if it was their first, and the routes.

    Or the second comes in its place (promote_secondaries). Linux: net/ipv4/devinet.c, __inet_del_ifa.
    """
    interface = old.interface
    if old not in interface.addresses:
        raise EADDRNOTAVAIL("the interface hasn't this address")
    interface.network.host.clock.spend_looking(len(interface.addresses))
    others = _that_go_with(old, interface.addresses)
    is_promoting = bool(others) and interface.network.setting_of(interface, PROMOTE_SECONDARIES) > 0
    forget_addresses(interface, [*others, old], cause, others if is_promoting else [])
    if is_promoting:
        _promote(others)
    if not (old.is_ipv6 or addresses_of(interface, is_ipv6=False)):
        # Linux: net/ipv4/fib_frontend.c, fib_inetaddr_event: nothing of IPv4 goes by it any more.
        interface.network.lose_ways(interface, is_ipv6=False, is_forced=True)
    interface.network.topology_changed()


def _promote(others: list[DeviceAddress]) -> None:
    """The first of these is the first of its net from now on."""
    first, *rest = others
    interface = first.interface
    first.flags &= ~IFA_F_SECONDARY
    first.source = first.address
    interface.addresses.remove(first)
    interface.addresses.insert(_position_of_4(first, addresses_of(interface, is_ipv6=False)), first)
    interface.network.address_changed(first, is_there=True)
    for address in (first, *rest):
        address.source = first.address
        add_own_route(address)
        if interface.is_up:
            add_net_routes(address)


def is_onlink(interface: Interface, *addresses: bytes) -> bool:
    """Whether all of them are in the net of one address of `interface`. Linux: net/ipv4/devinet.c,
    inet_addr_onlink."""
    return any(
        all(is_within(address, own.net, own.prefix_length) for address in addresses)
        for own in addresses_of(interface, is_ipv6=False)
        if not own.is_secondary
    )


def remove_all_addresses(interface: Interface) -> None:
    """Take every address away, as one call after another of `remove_address` would.

    Linux: net/ipv4/devinet.c, inetdev_destroy; net/ipv6/addrconf.c, addrconf_ifdown.
    """
    if not interface.addresses:
        return
    secondary: dict[tuple[bytes, int], list[DeviceAddress]] = {}
    for address in interface.addresses:
        if address.is_secondary:
            secondary.setdefault((address.net, address.prefix_length), []).append(address)
    gone: dict[DeviceAddress, None] = {}
    for address in interface.addresses:
        if not address.is_ipv6 and not address.is_secondary:
            gone.update(dict.fromkeys(secondary.get((address.net, address.prefix_length), ())))
        gone[address] = None
    interface.network.host.clock.spend_looking(LOOKS_PER_ADDRESS * len(gone))
    forget_addresses(interface, list(gone), NO_REQUEST)
    interface.network.topology_changed()


def _that_go_with(old: DeviceAddress, others: list[DeviceAddress]) -> list[DeviceAddress]:
    """The others of the net of `old`, if it's their first."""
    if old.is_ipv6 or old.is_secondary:
        return []
    net, prefix_length = old.net, old.prefix_length
    return [
        other
        for other in others
        if other.is_secondary and other.prefix_length == prefix_length and other.net == net
    ]


class _WhatIsLeft:
    """How many addresses of an interface have the same address, broadcast address or net, from the same
    source: a route goes with the last of them.
    """

    __slots__ = ("addresses", "broadcasts", "nets")

    def __init__(self, left: list[DeviceAddress]) -> None:
        self.addresses: dict[tuple[bytes, bytes], int] = {}
        self.broadcasts: dict[tuple[bytes, bytes], int] = {}
        self.nets: dict[tuple[bytes, int], int] = {}
        for address in left:
            self.change(address, 1)

    def change(self, address: DeviceAddress, count: int) -> None:
        """`address` is counted once more, or once less."""
        net, own = (address.net, address.prefix_length), (address.address, address.source)
        self.addresses[own] = self.addresses.get(own, 0) + count
        if address.has_net_route:
            self.nets[net] = self.nets.get(net, 0) + count
        for target in _broadcasts_of(address):
            key = (target, address.source)
            self.broadcasts[key] = self.broadcasts.get(key, 0) + count


def _broadcasts_of(address: DeviceAddress) -> list[bytes]:
    """The addresses of everybody to which routes come with an address."""
    found = [] if address.broadcast is None else [address.broadcast]
    is_net = not address.is_secondary and address.prefix_length <= _LONGEST_PREFIX_WITH_BROADCAST
    if is_net and not address.is_ipv6 and any(address.net):
        found.append(last_of(address.peer, address.prefix_length))
    return found


def forget_addresses(
    interface: Interface, gone: list[DeviceAddress], cause: Cause, kept: Collection[DeviceAddress] = ()
) -> None:
    """Take `gone` away in this order, each with the routes that were there for it alone; of those that are
    `kept` only these."""
    network = interface.network
    left = _WhatIsLeft(interface.addresses)
    for old in gone:
        left.change(old, -1)
        if old not in kept:
            interface.addresses.remove(old)
            stop_waiting(old)
            if old.has_joined:
                network.leave_group(interface.index, old.group)
            network.account_address(-1)
            network.address_changed(old, is_there=False, cause=cause)
        destinations = {old.address, old.net, old.peer, *_broadcasts_of(old)}
        concerned = network.routes.concerned_by(interface, old.address, destinations)
        gone_routes = [route for route in concerned if _is_of(route, old, left)]
        if not old.is_ipv6:
            # Linux: net/ipv4/fib_frontend.c, fib_del_ifaddr: that to the address itself last.
            gone_routes.sort(key=lambda route: route.kind == LOCAL)
        for route in gone_routes:
            network.remove_route(route)
        if old not in kept:
            _forget_source(network, old.address)
    if interface.listening_6 is not None:
        interface.listening_6.look_at_own()


def _forget_source(network: Network, address: bytes) -> None:
    """Routes of the main table that prefer an address which is gone are gone too; those of IPv6 prefer none.

    Linux: net/ipv4/fib_semantics.c, fib_sync_down_addr; net/ipv6/route.c, fib6_remove_prefsrc.
    """
    routes = network.routes
    if address not in routes.by_source:
        return
    if len(address) == 16:
        if not has_own_6(network, address):
            routes.forget_source(address)
    elif not routes.is_local(address):
        for route in [route for route in routes.by_source[address] if route.table == MAIN_TABLE]:
            network.remove_route(route, is_told=False)


def _is_of(route: Route, old: DeviceAddress, left: _WhatIsLeft) -> bool:
    """Whether a route was there because of an address that is gone now.

    Linux: net/ipv4/fib_frontend.c, fib_del_ifaddr; net/ipv4/fib_semantics.c, fib_sync_down_addr.
    """
    if not old.is_ipv6 and route.preferred_source != old.source:
        return False
    if route.kind == LOCAL and route.prefix_length == 8 * len(old.address):
        own = (old.address, old.source)
        return route.destination == old.address and not left.addresses.get(own)
    if route.kind == BROADCAST:
        is_one = route.destination in _broadcasts_of(old)
        return is_one and not left.broadcasts.get((route.destination, old.source))
    if old.is_ipv6 and old.has_peer and (route.destination, route.prefix_length) == (old.peer, 128):
        return route.kind == UNICAST
    is_net = (route.destination, route.prefix_length) == (old.net, old.prefix_length)
    if not is_net or route.gateway is not None or route.protocol != RTPROT_KERNEL or not old.has_net_route:
        return False
    return not left.nets.get((old.net, old.prefix_length))


def add_own_route(new: DeviceAddress) -> None:
    """What is sent to the address itself stays here, even while the interface is down, but for IPv6's."""
    interface = new.interface
    if new.is_ipv6 and not interface.is_up:
        return
    if interface.network.routes.is_local(new.address) and new.is_ipv6:
        return
    if new.is_ipv6:
        route = Route(new.address, 128, interface, kind=LOCAL, table=LOCAL_TABLE, scope=SCOPE_UNIVERSE)
    else:
        route = Route(
            new.address,
            32,
            interface,
            kind=LOCAL,
            table=LOCAL_TABLE,
            scope=SCOPE_HOST,
            preferred_source=new.source,
        )
    if interface.network.routes.like(route) is None:
        _append(interface.network, route)


def _append(network: Network, route: Route) -> None:
    """Linux: net/ipv4/fib_frontend.c, fib_magic; net/ipv4/fib_trie.c, fib_table_insert."""
    is_beside = not route.is_ipv6 and any(
        (other.priority, other.tos) == (route.priority, route.tos)
        for other in network.routes.same_destination(route)
    )
    network.add_route(route, is_last=True, flags=APPENDED_ROUTE if is_beside else NEW_ROUTE)


def add_net_routes(new: DeviceAddress, *, is_new: bool = True) -> None:
    """The routes to what can be reached by an address, unless they are there. To the peer alone leads that of
    an address of IPv6 which `is_new`, and to the peer's net that of one that is changed.

    Linux: net/ipv4/fib_frontend.c, fib_add_ifaddr; net/ipv6/addrconf.c, addrconf_prefix_route.
    """
    interface = new.interface
    network = interface.network
    wanted: list[Route] = []
    if new.is_ipv6:
        nets = []
        if new.has_peer and (is_new or new.has_net_route):
            nets.append((new.peer, 128) if is_new else (new.peer_net, new.prefix_length))
        if new.protocol != IFAPROT_KERNEL_LO and new.has_net_route:
            nets.insert(0, (new.net, new.prefix_length))
        deadline_ns = 0
        if new.valid_s != INFINITY_S and interface.kind != LOOPBACK:
            # They end with the address; those by the loopback lead nowhere, and don't.
            deadline_ns = new.updated_ns + new.valid_s * NS_PER_S
        priority = new.metric or IPV6_METRIC
        wanted = [Route(*net, interface, priority=priority, deadline_ns=deadline_ns) for net in nets]
    elif not is_multicast(new.address):
        if new.broadcast is not None and new.broadcast != b"\xff" * 4:
            wanted.append(_broadcast_route(new, new.broadcast))
        is_loopback = interface.kind == LOOPBACK
        if any(new.net) and not new.is_secondary and (new.prefix_length < 32 or new.peer != new.address):
            kind, table = (LOCAL, LOCAL_TABLE) if is_loopback else (1, 254)
            scope = SCOPE_HOST if is_loopback else SCOPE_LINK
            if new.has_net_route:
                wanted.append(
                    Route(
                        new.net,
                        new.prefix_length,
                        interface,
                        kind=kind,
                        table=table,
                        scope=scope,
                        priority=new.metric,
                        preferred_source=new.source,
                    )
                )
            if new.prefix_length <= _LONGEST_PREFIX_WITH_BROADCAST:
                wanted.append(_broadcast_route(new, last_of(new.peer, new.prefix_length)))
    for route in wanted:
        other = network.routes.like(route)
        if other is None:
            _append(network, route)
        elif new.is_ipv6:
            network.set_deadline(other, route.deadline_ns)


def _broadcast_route(new: DeviceAddress, target: bytes) -> Route:
    return Route(
        target,
        32,
        new.interface,
        kind=BROADCAST,
        table=LOCAL_TABLE,
        scope=SCOPE_LINK,
        preferred_source=new.source,
    )


def has_arp(interface: Interface) -> bool:
    """Whether neighbours must be asked for their hardware addresses."""
    return not interface.flags & IFF_NOARP and interface.kind != LOOPBACK and interface.has_frames
