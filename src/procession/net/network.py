"""A network: its interfaces, addresses and routes, the sockets in it, and what they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import ENOBUFS
from procession.fs.namespace import CLONE_NEWNET, Namespace
from procession.hardware.kernel_memory import (
    INTERFACE,
    INTERFACE_BYTES,
    NAME_BYTES,
    PACKET_FILTER,
    ROUTE_BYTES,
    SETTING_BYTES,
    SOCKET,
)
from procession.hardware.physical_memory import OutOfFrames
from procession.net.cause import NO_REQUEST, Cause
from procession.net.internet.address_label import Labels
from procession.net.internet.flow_label import LEASE_BYTES
from procession.net.internet.interface_event import interface_came_up
from procession.net.internet.port_table import PortTable
from procession.net.internet.routing import (
    LOCAL,
    LOCAL_TABLE,
    NEW_ROUTE,
    ROUTE_TIMER,
    SCOPE_HOST,
    UNICAST,
    Routes,
)
from procession.net.internet.routing_rule import OWN, PROTOCOL, SERVICE, Traffic
from procession.net.internet.tcp_connection import TcpConnections
from procession.net.link.interface import IFF_UP, LOOPBACK, LOOPBACK_INDEX, LOOPBACK_NAME, Interface
from procession.net.link_change import delete_interface
from procession.net.sysctls import (
    ACCEPT_LOCAL,
    FORCE_FORWARDING,
    FORWARDING,
    MARKED_SOURCES,
    REVERSE_PATH,
    ROUTE_LOCALNET,
    NetworkSysctls,
)
from procession.net.unix.names import UnixNames

if TYPE_CHECKING:
    from procession.fs.superblock import Superblock
    from procession.fs.user_namespace import UserNamespace
    from procession.net.host import Host
    from procession.net.internet.device_address import DeviceAddress
    from procession.net.internet.flow import Flow, FlowKey
    from procession.net.internet.flow_label import FlowLabel
    from procession.net.internet.icmp_limit import IcmpLimit
    from procession.net.internet.neighbour import Neighbour, Proxy
    from procession.net.internet.next_hop import NextHop
    from procession.net.internet.port_table import PortTable
    from procession.net.internet.raw import PingSocket, RawSocket
    from procession.net.internet.routing import Route
    from procession.net.internet.tcp_connection import TcpConnections
    from procession.net.link.bridge import FdbEntry
    from procession.net.link.own_address import OwnAddress
    from procession.net.netfilter.hooks import PacketHooks
    from procession.net.netfilter.ruleset import Ruleset
    from procession.net.netfilter.tracking import Tracker
    from procession.net.netlink.socket import NetlinkSocket
    from procession.net.packet.socket import PacketSocket
    from procession.net.socket_file import SocketFileSystem
    from procession.net.unix.names import UnixNames

FREE_ROUTES = 8
"""So many come with the network: the loopback's."""
_STRICT, _LOOSE = 1, 2
MOST_ROUTES = 65_536
_KEY_BYTES = 16
"""Of routes, addresses and neighbours that a network may have."""


class Network(Namespace):
    """One network namespace (in Linux, struct net; network_namespaces(7)).

    `interfaces` are by their indexes, of which `last_index` was given last; `loopback` is one of them, which
    is down at first but in the machine's first network. `flows` are the ways that packets have gone lately,
    as of `flow_generation` (net/internet/flow.py). `numbers` are what it calls other networks (RTM_GETNSID).
    `next_hops` are by their numbers, of which `last_next_hop` was given last.
    `proxies` are the neighbours for whom this machine answers, by an interface or by any.
    `groups` counts, by an interface's index and a multicast address, how many sockets listen there.
    `counters` are those of /proc/net/snmp and netstat by their names, each behind its group's.

    `ruleset` are the packet filter's rules, and `hooks` the chains that see packets: None until there are;
    `tracker` knows the connections, None unless a rule asks for them, and `icmp_limit` how many messages of
    ICMP may still go, None before the first.

    `unix` has the local sockets and their abstract names, `tcp` the connections and `udp_ports` who holds
    UDP's ports. What isn't used is never made. `netlink_sockets` are by protocol and port id. `sysfs` is
    what shows it, None while it's nowhere.
    """

    __slots__ = (
        "_local",
        "_ping_ports",
        "_tcp",
        "_udp_lite_ports",
        "_udp_ports",
        "address_count",
        "cookie",
        "counters",
        "flow_generation",
        "flows",
        "anycasts",
        "groups",
        "flow_labels",
        "has_private_labels",
        "hooks",
        "host",
        "icmp_limit",
        "identification",
        "interfaces",
        "labels",
        "last_index",
        "loopback",
        "named",
        "neighbours",
        "netlink_sockets",
        "next_hops",
        "last_next_hop",
        "numbers",
        "packet_sockets",
        "ping_sockets",
        "proxies",
        "raw_sockets",
        "routes",
        "ruleset",
        "sysctls",
        "sysfs",
        "system",
        "tracker",
    )

    kind: ClassVar[int] = CLONE_NEWNET
    type_name: ClassVar[str] = "net"

    def __init__(self, system: SocketFileSystem, host: Host, owner: UserNamespace, number: int = 0) -> None:
        super().__init__(system.vfs.namespaces, owner, number)
        self.system = system
        self.host = host
        self.sysfs: Superblock | None = None
        system.network_count = self.cookie = system.network_count + 1
        self.sysctls: NetworkSysctls = NetworkSysctls()
        self.routes = Routes()
        self.flows: dict[FlowKey, Flow] = {}
        self.flow_generation = 0
        self.neighbours: dict[tuple[Interface, bytes], Neighbour] = {}
        self.proxies: dict[tuple[Interface | None, bytes], Proxy] = {}
        self.address_count = 0
        self.ruleset: Ruleset | None = None
        self.hooks: PacketHooks | None = None
        self.tracker: Tracker | None = None
        self.next_hops: dict[int, NextHop] = {}
        self.last_next_hop = 0
        self.numbers: dict[Network, int] = {}
        self.counters: dict[str, int] = {}
        self.groups: dict[tuple[int, bytes], int] = {}
        # How many want which address of IPv6 to be that of an interface as of others elsewhere.
        self.anycasts: dict[tuple[int, bytes], int] = {}
        self.netlink_sockets: dict[tuple[int, int], NetlinkSocket] = {}
        self.raw_sockets: dict[RawSocket, None] = {}
        self.ping_sockets: dict[PingSocket, None] = {}
        self.packet_sockets: dict[PacketSocket, None] = {}
        self._local: UnixNames | None = None
        self._tcp: TcpConnections | None = None
        self._udp_ports: PortTable | None = None
        self._udp_lite_ports: PortTable | None = None
        self._ping_ports: PortTable | None = None
        loopback = Interface(self, LOOPBACK, LOOPBACK_NAME, LOOPBACK_INDEX)
        self.loopback: Interface = loopback
        self.interfaces: dict[int, Interface] = {LOOPBACK_INDEX: loopback}
        self.named: dict[bytes, Interface] = {LOOPBACK_NAME: loopback}
        self.flow_labels: dict[int, FlowLabel] = {}
        self.has_private_labels = False
        self.last_index = LOOPBACK_INDEX
        self.labels = Labels()
        self.identification = 0
        self.icmp_limit: IcmpLimit | None = None
        if number:
            loopback.flags |= IFF_UP
            loopback.was_up = True
            interface_came_up(loopback)

    def inherit(self, first: NetworkSysctls) -> None:
        """It begins with IPv4's settings of the machine's first network. Raises ENOBUFS.

        Linux: net/ipv4/devinet.c, devinet_init_net; net/core/neighbour.c, neigh_parms_alloc.
        """
        self.sysctls.inherit(first)
        self.account_settings(self.sysctls.of_new.inherited_count)
        self.loopback.settings = self.loopback.first_settings()

    @property
    def unix(self) -> UnixNames:
        """The local sockets."""
        if self._local is None:
            self._local = UnixNames()
        return self._local

    @property
    def tcp(self) -> TcpConnections:
        """TCP's connections and ports."""
        if self._tcp is None:
            self._tcp = TcpConnections(self.host, self.sysctls)
        return self._tcp

    @property
    def udp_ports(self) -> PortTable:
        """UDP's ports."""
        if self._udp_ports is None:
            self._udp_ports = self._new_port_table()
        return self._udp_ports

    @property
    def udp_lite_ports(self) -> PortTable:
        """UDP-Lite's ports."""
        if self._udp_lite_ports is None:
            self._udp_lite_ports = self._new_port_table()
        return self._udp_lite_ports

    @property
    def ping_ports(self) -> PortTable:
        """The identifiers of echo requests."""
        if self._ping_ports is None:
            self._ping_ports = self._new_port_table()
        return self._ping_ports

    def _new_port_table(self) -> PortTable:
        return PortTable(self.sysctls, is_stream=False)

    def next_identification(self) -> int:
        """What tells a packet of IPv4 from others whose pieces come at the same time; not 0."""
        self.identification = self.identification % 0xFFFF + 1
        return self.identification

    def count(self, name: str) -> None:
        """One more of what the counter `name` counts."""
        self.counters[name] = self.counters.get(name, 0) + 1

    # Interfaces

    def interface_named(self, name: bytes) -> Interface | None:
        """The interface called `name`, be it by another of its names."""
        return self.named.get(name)

    def add_interface(self, interface: Interface) -> None:
        """`interface` is in this network from now on."""
        self.interfaces[interface.index] = interface
        for name in (interface.name, *interface.other_names):
            self.named[name] = interface

    def forget_interface(self, interface: Interface) -> None:
        """`interface` isn't in this network any more."""
        del self.interfaces[interface.index]
        for name in (interface.name, *interface.other_names):
            del self.named[name]

    def rename_interface(self, interface: Interface, name: bytes) -> None:
        """`interface` is called `name` from now on, as no other is."""
        del self.named[interface.name]
        interface.name = name
        self.named[name] = interface

    def add_other_name(self, interface: Interface, name: bytes) -> None:
        """`interface` is called `name` too, as no other is."""
        interface.other_names.append(name)
        self.named[name] = interface

    def forget_other_name(self, interface: Interface, name: bytes) -> None:
        """`interface` isn't called `name` any more."""
        interface.other_names.remove(name)
        del self.named[name]

    def forwards(self, interface: Interface, *, is_ipv6: bool) -> bool:
        """Whether packets for others that come by `interface` are passed on."""
        if is_ipv6:
            # Linux: net/ipv6/ip6_output.c, ip6_forward.
            return bool(self.sysctls.forwards_6 or interface.settings[FORCE_FORWARDING])
        return bool(interface.settings[FORWARDING[0]])

    @property
    def translates(self) -> bool:
        """Whether rules may change the addresses of packets."""
        return self.hooks is not None and bool(self.hooks.translating)

    def routes_loopback(self, interface: Interface) -> bool:
        """Whether the loopback's addresses count behind `interface` too."""
        return bool(interface.settings[ROUTE_LOCALNET] or self.sysctls.of_every[ROUTE_LOCALNET])

    def is_set(self, interface: Interface, key: bytes) -> bool:
        """Whether it's set for `interface` or for all. Linux: include/linux/inetdevice.h, IN_DEV_ORCONF."""
        return bool(interface.settings[key] or self.sysctls.of_every[key])

    def setting_of(self, interface: Interface, key: bytes) -> int:
        """What is set for `interface` or for all, whichever is more. Linux: include/linux/inetdevice.h,
        IN_DEV_MAXCONF."""
        return max(interface.settings[key], self.sysctls.of_every[key])

    def expects(self, source: bytes, target: bytes, interface: Interface, traffic: Traffic) -> bool:
        """Whether `interface` may bring packets from `source` to `target`: by rp_filter 1 if answers go out
        there, by 2 if they go anywhere; from this network's own addresses if accept_local says so. What is
        asked of rules is for such answers, which have the packet's mark only by src_valid_mark.

        Linux: net/ipv4/fib_frontend.c, fib_validate_source, __fib_validate_source.
        """
        if interface.kind == LOOPBACK or not any(source):
            return True
        mode = max(interface.settings[REVERSE_PATH], self.sysctls.of_every[REVERSE_PATH])
        own = self.routes.lookup_in(LOCAL_TABLE, source)
        if own is not None and own.kind == LOCAL:
            if not (interface.settings[ACCEPT_LOCAL] or self.sysctls.of_every[ACCEPT_LOCAL]):
                return False
            return mode != _STRICT or own.interface is interface
        if mode <= 0:
            return True
        has_mark = interface.settings[MARKED_SOURCES] or self.sysctls.of_every[MARKED_SOURCES]
        mark = traffic.mark if has_mark else 0
        back = traffic._replace(source=target, arrived=OWN, out=b"", mark=mark)
        route = self.routes.lookup(source, traffic=back)
        if route is None or route.kind != UNICAST:
            return False
        return mode == _LOOSE or interface in (route.whole or route).interfaces

    def number_of(self, other: Network) -> int:
        """What this network calls `other`; it gets the least free number the first time.

        Linux: net/core/net_namespace.c, peernet2id_alloc.
        """
        found = self.numbers.get(other)
        if found is None:
            taken = set(self.numbers.values())
            found = next(value for value in range(len(taken) + 1) if value not in taken)
            self.numbers[other] = found
        return found

    def called(self, number: int) -> Network | None:
        """What this network calls so; None if it calls none so. Linux: net/core/net_namespace.c,
        get_net_ns_by_id."""
        return next((other for other, value in self.numbers.items() if value == number), None)

    @property
    def has_listeners(self) -> bool:
        """Whether there is anybody who could listen to netlink's groups."""
        return bool(self.netlink_sockets or self.system.listeners_everywhere)

    def topology_changed(self) -> None:
        """Something has changed that may lead packets another way: every flow of the machine is over."""
        self.system.topology += 1

    def end(self) -> None:
        """Linux: net/core/net_namespace.c, cleanup_net; net/core/dev.c, default_device_exit_batch."""
        for interface in list(self.interfaces.values()):
            if self.interfaces.get(interface.index) is interface and interface is not self.loopback:
                delete_interface(interface)
        self.account_names(-len(self.loopback.other_names))
        self.account_settings(-len(self.loopback.settings.changed))
        if self.icmp_limit is not None:
            self._account(-self.icmp_limit.size)
        self.account_address(-self.address_count)
        if self.ruleset is not None:
            self.system.account.uncharge(PACKET_FILTER, self.ruleset.size)
            self.ruleset = self.hooks = None
        # No socket is left: what stays of labels is that they linger.
        self.system.account.uncharge(SOCKET, len(self.flow_labels) * LEASE_BYTES)
        self.flow_labels.clear()
        if self.tracker is not None:
            self.tracker.end()
            self.tracker = None
        for other in self.system.networks():
            other.numbers.pop(self, None)
        self.flows.clear()

    def join_group(self, index: int, group: bytes) -> None:
        """One more listens to a group by the interface with this index."""
        self.groups[index, group] = self.groups.get((index, group), 0) + 1

    def leave_group(self, index: int, group: bytes) -> None:
        """One doesn't any more."""
        key = index, group
        self.groups[key] -= 1
        if not self.groups[key]:
            del self.groups[key]

    # What a network has takes memory.

    def account_interface(self, count: int, setting_count: int) -> None:
        """There are `count` interfaces more, with so many settings of their own. Raises ENOBUFS."""
        self._account(count * INTERFACE_BYTES + setting_count * SETTING_BYTES)

    def account_settings(self, count: int) -> None:
        """There are `count` more settings that interfaces have of their own, or addresses that messages of
        ICMP have gone to. Raises ENOBUFS."""
        self._account(count * SETTING_BYTES)

    def account_names(self, count: int) -> None:
        """There are `count` more names of interfaces, beside their first. Raises ENOBUFS."""
        self._account(count * NAME_BYTES)

    def account_address(self, count: int) -> None:
        """There are `count` addresses, routes or neighbours more. Raises ENOBUFS."""
        if count > 0 and self.address_count >= MOST_ROUTES:
            raise ENOBUFS("the network has too many routes")
        before, after = self.address_count, self.address_count + count
        self._account((max(after, FREE_ROUTES) - max(before, FREE_ROUTES)) * ROUTE_BYTES)
        self.address_count = after

    def account_neighbour(self, count: int) -> None:
        """There are `count` neighbours more, whatever there is room for: their number is bounded."""
        before, after = self.address_count, self.address_count + count
        size = (max(after, FREE_ROUTES) - max(before, FREE_ROUTES)) * ROUTE_BYTES
        if size > 0:
            self.system.account.charge_always(INTERFACE, size)
        elif size:
            self.system.account.uncharge(INTERFACE, -size)
        self.address_count = after

    def _account(self, size: int) -> None:
        account = self.system.account
        if size > 0:
            try:
                account.charge(INTERFACE, size)
            except OutOfFrames:
                raise ENOBUFS("no memory") from None
        elif size:
            account.uncharge(INTERFACE, -size)

    # Routes

    def know_table(self, table: int, size: int) -> None:
        """There is this table of the protocol whose addresses have so many bytes. Raises ENOBUFS.

        Linux: net/ipv4/fib_frontend.c, fib_new_table.
        """
        if not self.routes.has_table(table, size):
            self.account_address(1)
            self.routes.known.add((table, size))

    def add_route(
        self,
        route: Route,
        *,
        is_last: bool = False,
        place: int | None = None,
        is_told: bool = True,
        flags: int = NEW_ROUTE,
        cause: Cause = NO_REQUEST,
    ) -> None:
        """`route` is there from now on, and those are told who listen: by NLM_F_* how it came. Raises
        ENOBUFS."""
        self.account_address(1 + len(route.ways))
        self.host.clock.spend_looking(len(self.routes.same_destination(route)))
        self.routes.add(route, is_last=is_last, place=place)
        if route.tos:
            self.system.aspects |= SERVICE
        if route.ways or route.has_siblings or route.next_hop is not None:
            self._divide_flows(route)
        self.set_deadline(route, route.deadline_ns)
        self.topology_changed()
        if is_told:
            self.tell_of_route(route, is_there=True, flags=flags, cause=cause)

    def _divide_flows(self, route: Route) -> None:
        """Packets may choose among ways by what they carry."""
        sysctls, has_several = self.sysctls, bool(route.ways) or route.next_hop is not None
        if not sysctls.multipath_key and (has_several or len(self.routes.siblings(route)) > 1):
            self.system.aspects |= PROTOCOL
            sysctls.multipath_key = self.host.random_bytes(_KEY_BYTES)

    def remove_route(self, route: Route, *, is_told: bool = True, cause: Cause = NO_REQUEST) -> None:
        """`route` is gone."""
        self.host.clock.spend_looking(len(self.routes.same_destination(route)) - 1)
        self.routes.remove(route)
        if route.timer is not None:
            self.host.timers.cancel(route.timer)
            route.timer = None
        self.account_address(-1 - len(route.ways))
        self.topology_changed()
        if is_told:
            self.tell_of_route(route, is_there=False, flags=0, cause=cause)

    def lose_ways(self, interface: Interface, *, is_ipv6: bool, is_forced: bool = False) -> None:
        """Nothing goes by `interface` any more: routes are gone with the last of their ways, which IPv4 tells
        nobody. Its routes to this machine itself stay, unless it `is_forced`.

        Linux: net/ipv4/fib_semantics.c, fib_sync_down_dev; net/ipv6/route.c, fib6_ifdown.
        """
        gone: dict[Route, None] = {}
        for route in self.routes.of(interface):
            if route.is_ipv6 != is_ipv6 or route in gone:
                continue
            if not is_ipv6 and route.scope == SCOPE_HOST and not is_forced:
                continue
            if is_ipv6 and self.routes.is_passed_over(route, interface):
                continue
            ways = route.ways or tuple(self.routes.siblings(route))
            for way in ways:
                if way.interface is interface:
                    way.is_dead = len(ways) > 1
            if len(ways) == 1 or all(way.is_dead for way in ways):
                lost = (route,) if route.ways else ways
                gone.update(dict.fromkeys(lost))
                for each in lost:
                    self.remove_route(each, is_told=is_ipv6)

    def revive_ways(self, interface: Interface, *, is_ipv6: bool) -> None:
        """Packets may go by `interface` again. Linux: net/ipv4/fib_semantics.c, fib_sync_up;
        net/ipv6/route.c, fib6_ifup."""
        for route in self.routes.by_interface.get(interface, ()):
            if route.is_ipv6 == is_ipv6:
                for way in route.ways or (route,):
                    if way.is_dead and way.interface is interface:
                        way.is_dead = False
                        self.topology_changed()

    def lose_next_hops(self, interface: Interface, *, is_gone: bool = False) -> None:
        """No next hop is by `interface` any more; what leads nowhere is until it `is_gone`. Nobody is told.

        Linux: net/ipv4/nexthop.c, nexthop_flush_dev.
        """
        for each in list(self.next_hops.values()):
            if each.interface is interface and (is_gone or not each.is_blackhole):
                each.remove()

    def set_deadline(self, route: Route, deadline_ns: int) -> None:
        """From then on `route` isn't there any more; 0 for never."""
        if route.timer is not None:
            self.host.timers.cancel(route.timer)
        route.deadline_ns = deadline_ns
        route.timer = self.host.timers.add(deadline_ns, ROUTE_TIMER, route) if deadline_ns else None

    # Who listens is told of changes (rtnetlink(7)).

    def link_changed(
        self, interface: Interface, *, is_there: bool = True, change: int = 0, cause: Cause = NO_REQUEST
    ) -> None:
        """`interface` is another one than before, or gone; in `change` are the flags that are others."""
        if self.has_listeners:
            from procession.net.netlink.notification import tell_of_link

            tell_of_link(self, interface, is_there=is_there, change=change, cause=cause)

    def device_event(self, interface: Interface, action: bytes) -> None:
        """`interface` was made here ("add"), or is gone ("remove")."""
        if self.has_listeners:
            from procession.net.netlink.uevent import tell_of_device

            tell_of_device(self, interface, action)

    def address_changed(self, address: DeviceAddress, *, is_there: bool, cause: Cause = NO_REQUEST) -> None:
        """`address` is new, or gone."""
        if self.has_listeners:
            from procession.net.netlink.notification import tell_of_address

            tell_of_address(self, address, is_there=is_there, cause=cause)

    def neighbour_changed(self, neighbour: Neighbour, *, is_there: bool, port_id: int = 0) -> None:
        """`neighbour` is another one than before, or gone; `port_id` is the socket's that said so."""
        if self.has_listeners:
            from procession.net.netlink.notification import tell_of_neighbour

            tell_of_neighbour(self, neighbour, is_there=is_there, port_id=port_id)

    def ask_programs(self, neighbour: Neighbour) -> None:
        """Who has the address of `neighbour`? Those who listen may say."""
        if self.has_listeners:
            from procession.net.netlink.notification import ask_for_neighbour

            ask_for_neighbour(self, neighbour)

    def fdb_changed(self, bridge: Interface, entry: FdbEntry | OwnAddress, *, is_there: bool) -> None:
        """`entry` of `bridge`, or of another interface, is new, or leads elsewhere, or is gone."""
        if self.has_listeners:
            from procession.net.netlink.notification import tell_of_fdb

            tell_of_fdb(self, bridge, entry, is_there=is_there)

    def port_changed(self, port: Interface) -> None:
        """`port` of a bridge is another one than before."""
        if self.has_listeners:
            from procession.net.netlink.notification import tell_of_port

            tell_of_port(self, port)

    def tell_of_route(self, route: Route, *, is_there: bool, flags: int, cause: Cause) -> None:
        """`route` is new, as the NLM_F_* of `flags` say, or gone."""
        if self.has_listeners:
            from procession.net.netlink.notification import tell_of_route

            tell_of_route(self, route, is_there=is_there, flags=flags, cause=cause)
