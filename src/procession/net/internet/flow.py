"""Flows: where packets from one address to another go, over all interfaces and routers on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH, Errno
from procession.abi.netlink import RouteType
from procession.abi.word import Words
from procession.net.internet.address import is_multicast
from procession.net.internet.arp import REQUEST, ArpMessage, answer, ignores_question, question, speaks_for
from procession.net.internet.crossing import Crossing, crossings, group_hardware_address, show_frame
from procession.net.internet.device_address import has_arp, has_own_6
from procession.net.internet.neighbour import (
    FAILED,
    INCOMPLETE,
    PERMANENT,
    REACHABLE,
    STALE,
    Neighbour,
    doubt,
    learn,
)
from procession.net.internet.packet import TCP, UDP, UDP_LITE
from procession.net.internet.routing import (
    BROADCAST,
    HERE,
    LOCAL,
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    Route,
)
from procession.net.internet.routing_rule import ANY_TRAFFIC, OWN, Traffic
from procession.net.internet.source_address import select_source
from procession.net.link.bridge import learn_behind
from procession.net.link.interface import LOOPBACK, TUN
from procession.net.link.segment import Hearer, reach
from procession.net.sysctls import HOP_LIMIT

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.link.interface import Interface
    from procession.net.network import Network

DELIVERED = 0
"""Packets arrive in `network`, at `interface`."""
TO_ALL = 1
"""They arrive at all of `heard`."""
LOST = 2
"""They vanish, and nobody says so."""
REFUSED = 3
"""The last router on the way has no route: it answers with `error`."""
UNRESOLVED = 4
"""The last router, or the sender, asks for a hardware address, and nobody answers yet."""
TAKEN = 6
"""They go to programs behind `devices`."""
TRANSLATED = 5
"""They arrive in `network`, at `interface`, where their addresses may be changed before they go on."""

FlowKey = tuple[bytes, bytes | None, "Interface | None", bool, Traffic | None]
"""What flows are told by: where they go, from where, by which interface they leave or have come, which of the
two, and what rules see beside that."""
MOST_HOPS = 255
ETHERNET_HEADER_BYTES = 14
_HEADERS_4, _HEADERS_6 = 28, 48
"""The headers of UDP with those of IPv4 and IPv6."""
_MOST_FLOWS = 4_096
_WITH_PORTS = (TCP, UDP, UDP_LITE)
_PORTS = Words(">HH")
ERRORS_OF_ROUTES: dict[int, type[Errno]] = {
    int(RouteType.RTN_BLACKHOLE): EINVAL,
    int(RouteType.RTN_UNREACHABLE): EHOSTUNREACH,
    int(RouteType.RTN_PROHIBIT): EACCES,
    int(RouteType.RTN_NAT): EINVAL,
    int(RouteType.RTN_XRESOLVE): EINVAL,
}


class Flow:
    """The way of packets, as the networks are now.

    `network` and `interface` are where it ends; `routers` are the networks that pass packets on, each with
    the interface at which they arrive. `senders` and `receivers` are the interfaces that it goes out and in
    by, in their order among `crossings`. `packet_count` and `byte_count` are what has gone, which is added to
    theirs when somebody asks, or when anything changes: `generation` tells. `neighbours` are the entries that
    it confirms, `devices` the interfaces to whose programs they go, `doubted` the entry that says to whom.
    `learnt` is who is behind which ports of bridges, as its packets and the answers show.
    `is_filtered` says that a network on the way has a packet filter, or sockets that hear its packets.
    `traffic` is what rules may look at of its packets. `is_onward` are those that begin where another has
    ended: its packets are in the first of `routers`, or at their end, and have passed PRE_ROUTING there.
    """

    __slots__ = (
        "byte_count",
        "crossings",
        "devices",
        "doubted",
        "error",
        "generation",
        "heard",
        "interface",
        "is_filtered",
        "is_onward",
        "learnt",
        "mtu",
        "neighbours",
        "network",
        "out",
        "outcome",
        "packet_count",
        "receivers",
        "routers",
        "senders",
        "source",
        "target",
        "traffic",
        "unresolved",
    )

    def __init__(self, network: Network, source: bytes, target: bytes) -> None:
        self.network = network
        self.source = source
        self.target = target
        self.interface: Interface = network.loopback
        self.out: Interface = network.loopback
        self.outcome = LOST
        self.error: type[Errno] | None = None
        self.mtu: int = network.loopback.mtu
        self.senders: tuple[Interface, ...] = ()
        self.receivers: tuple[Interface, ...] = ()
        self.routers: list[tuple[Network, Interface]] = []
        self.neighbours: list[Neighbour] = []
        self.learnt: list[tuple[Interface, bytes]] = []
        self.unresolved: Neighbour | None = None
        self.doubted: Neighbour | None = None
        self.heard: list[Hearer] = []
        self.devices: list[Interface] = []
        self.crossings: list[Crossing] = []
        self.packet_count = 0
        self.byte_count = 0
        self.generation = network.system.topology
        self.is_filtered = False
        self.is_onward = False
        self.traffic = ANY_TRAFFIC

    @property
    def is_short(self) -> bool:
        """Whether it leads over no router and confirms no neighbour."""
        return not self.routers and not self.neighbours and not self.learnt

    @property
    def header_bytes(self) -> int:
        """How long the headers of a datagram are."""
        return _HEADERS_4 if len(self.target) == 4 else _HEADERS_6

    @property
    def default_ttl(self) -> int:
        """The time to live of packets whose sender hasn't chosen any."""
        out = self.out
        return out.network.sysctls.time_to_live if len(self.target) == 4 else out.settings[HOP_LIMIT]

    def settle(self) -> None:
        """Add what has gone to the counters of the interfaces."""
        packets, size = self.packet_count, self.byte_count
        if packets:
            self.packet_count = self.byte_count = 0
            if self.out.kind != LOOPBACK:
                size += packets * ETHERNET_HEADER_BYTES
            for sender in self.senders:
                sender.sent_packets += packets
                sender.sent_bytes += size
            for receiver in self.receivers:
                receiver.received_packets += packets
                receiver.received_bytes += size

    def confirm(self) -> None:
        """Packets go there and back: the neighbours are where they are thought to be."""
        now_ns = self.network.host.clock.now_ns
        for entry in self.neighbours:
            entry.used_ns = now_ns
            if entry.state == REACHABLE:
                entry.confirmed_ns = now_ns
        self.teach()

    def teach(self) -> None:
        """Bridges learn who is behind their ports."""
        for port, address in self.learnt:
            learn_behind(port, address)


def find_flow(
    network: Network,
    target: bytes,
    source: bytes | None,
    device: Interface | None,
    traffic: Traffic = ANY_TRAFFIC,
) -> Flow:
    """The flow to `target` from `source`, or from the address that the route says, out of `device` if given,
    of packets which rules see as `traffic` beside that.

    Raises ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL when the sender itself has no route.
    Linux: net/ipv4/route.c, ip_route_output_key_hash_rcu; net/ipv6/route.c, ip6_route_output_flags.
    """
    flows = network.flows
    if network.flow_generation != network.system.topology:
        _forget_flows(network)
    aspects = network.system.aspects
    seen = traffic.narrowed(aspects) if aspects else None
    key = target, source, device, False, seen
    found = flows.get(key)
    if found is None:
        found = _trace(network, source, target, device, seen or ANY_TRAFFIC)
        _keep(network, key, found)
    return found


def traffic_of(packet: Packet) -> Traffic:
    """What rules may look at of a packet. Linux: include/net/ip_fib.h, fib4_rules_early_flow_dissect."""
    protocol, port, target_port = packet.protocol, packet.source_port, packet.target_port
    if protocol in _WITH_PORTS and not (port or target_port) and len(packet.data) >= _PORTS.size:
        port, target_port = _PORTS.unpack_from(packet.data)
    return Traffic(b"", OWN, b"", packet.mark, packet.tos, 0, protocol, port, target_port)


def find_onward(network: Network, interface: Interface, packet: Packet) -> Flow:
    """The flow of `packet`, which is in `network`, has come by `interface`, and goes on now.

    Linux: net/ipv4/ip_input.c, ip_rcv_finish_core; net/ipv4/route.c, ip_route_input_slow.
    """
    flows = network.flows
    if network.flow_generation != network.system.topology:
        _forget_flows(network)
    source, target, aspects = packet.source, packet.target, network.system.aspects
    seen = traffic_of(packet).narrowed(aspects) if aspects else None
    key = target, source, interface, True, seen
    found = flows.get(key)
    if found is None:
        found = Flow(network, source, target)
        found.traffic = seen or ANY_TRAFFIC
        found.is_onward = True
        found.interface = interface
        found.mtu = interface.mtu
        onward = _pass_on(found)
        if onward is not None:
            assert onward.interface is not None
            found.out = onward.interface
            _follow(found, onward)
        _keep(network, key, found)
    return found


def _forget_flows(network: Network) -> None:
    """Anything may lead another way now."""
    settle_flows(network)
    network.flows.clear()
    network.flow_generation = network.system.topology


def _keep(network: Network, key: FlowKey, flow: Flow) -> None:
    """`flow` is known from now on, unless finding it has changed something."""
    if len(network.flows) >= _MOST_FLOWS:
        settle_flows(network)
        network.flows.clear()
    flow.is_filtered = _is_filtered(network, flow)
    flow.teach()
    if flow.generation == network.system.topology:
        network.flows[key] = flow


def _is_filtered(sender: Network, flow: Flow) -> bool:
    networks = [sender, flow.network, *(router for router, _ in flow.routers)]
    networks += [heard.interface.network for heard in flow.heard]
    networks += [crossing.interface.network for crossing in flow.crossings]
    return any(network.hooks is not None or network.packet_sockets for network in networks)


def settle_flows(network: Network) -> None:
    """Make the counters of all interfaces true."""
    for flow in network.flows.values():
        flow.settle()


def settle_all(network: Network) -> None:
    """Make the counters of all interfaces of all networks true: packets of one are counted in others."""
    for each in network.system.networks():
        settle_flows(each)


def _first_route(
    network: Network, target: bytes, device: Interface | None, source: bytes | None, traffic: Traffic
) -> Route:
    if device is not None and not (
        device.is_up and (len(target) == 16 or device.has_protocol(is_ipv6=False))
    ):
        raise ENETUNREACH("the interface is down, or too small for IPv4")
    out = device.name if device is not None else b""
    network.host.clock.spend_looking(len(network.routes.rules[len(target)].rules))
    route = network.routes.lookup(target, device, traffic=traffic._replace(source=source or b"", out=out))
    if device is not None and len(target) == 4 and (route is None or route.kind in ERRORS_OF_ROUTES):
        # Linux: net/ipv4/route.c, ip_route_output_key_hash_rcu: the destination is assumed to be on the link.
        return Route(target, 32, device, scope=SCOPE_LINK)
    if route is None:
        raise ENETUNREACH("no route to this address")
    error = ERRORS_OF_ROUTES.get(route.kind)
    if error is not None:
        raise error("the route leads nowhere")
    return route


def _trace(
    network: Network, source: bytes | None, target: bytes, device: Interface | None, traffic: Traffic
) -> Flow:
    """Follow a packet through routes, wires and routers until it can't go any further."""
    if is_multicast(target):
        return _trace_to_group(network, source, target, device, traffic)
    route = _first_route(network, target, device, source, traffic)
    if source is None:
        source = source_for(network, route, target)
    flow = Flow(network, source, target)
    flow.traffic = traffic
    if route.kind in HERE:
        loopback = network.loopback
        if loopback.is_up:
            flow.outcome = DELIVERED
            flow.senders = flow.receivers = (loopback,)
            flow.crossings = crossings(flow.senders, flow.receivers, 0)
            if route.interface is not None:
                flow.interface = loopback
        return flow
    assert route.interface is not None
    check_way_out(route.interface, source)
    flow.mtu = route.mtu or _mtu_of(route.interface, flow.target)
    flow.out = route.interface
    _follow(flow, route)
    return flow


def _follow(flow: Flow, route: Route) -> None:
    """From `flow.network` by `route`, and on from there."""
    target = flow.target
    for _ in range(MOST_HOPS + 1):
        out = route.interface
        assert out is not None
        flow.mtu = min(flow.mtu, route.mtu or _mtu_of(out, flow.target))
        if route.kind == BROADCAST and len(target) == 4:
            _shout(flow, out)
            return
        if not _cross(flow, flow.network, out, route.next_address or target):
            return
        flow.network = flow.interface.network
        if flow.network.translates:
            flow.outcome = TRANSLATED
            return
        onward = _pass_on(flow)
        if onward is None:
            return
        route = onward


def check_way_out(out: Interface, source: bytes) -> None:
    """Raise EINVAL for an address of the loopback that would leave it. Linux: net/ipv4/route.c,
    __mkroute_output."""
    if (
        len(source) == 4
        and source[0] == 127
        and out.kind != LOOPBACK
        and not out.network.routes_loopback(out)
    ):
        raise EINVAL("an address of the loopback stays there")


def is_martian(source: bytes, target: bytes, network: Network, arrived: Interface, traffic: Traffic) -> bool:
    """Whether addresses of IPv4 can't be what they seem. Linux: net/ipv4/route.c, ip_route_input_slow."""
    if 127 in (source[0], target[0]) and not network.routes_loopback(arrived):
        return True
    return not network.expects(source, target, arrived, traffic)


def _pass_on(flow: Flow) -> Route | None:
    """Where packets go that are in `flow.network` now, None if that is the end of `flow`."""
    target, current, arrived = flow.target, flow.network, flow.interface
    seen = flow.traffic
    if current.system.aspects and not (flow.is_onward and not flow.routers):
        # The mark has stayed behind, unless this is where it was set.
        seen = seen._replace(mark=0)
    if len(target) == 4 and is_martian(flow.source, target, current, arrived, seen):
        return None
    if current.routes.takes(target):
        flow.outcome = DELIVERED
        return None
    if not current.forwards(arrived, is_ipv6=len(target) == 16):
        return None
    flow.routers.append((current, arrived))
    current.host.clock.spend_looking(len(current.routes.rules[len(target)].rules))
    if current.system.aspects:
        # Nobody of this network has sent it.
        seen = seen._replace(uid=current.owner.make_kuid(0))
    seen = seen._replace(source=flow.source, arrived=arrived.name)
    onward = current.routes.lookup(target, traffic=seen)
    if onward is None or onward.kind in ERRORS_OF_ROUTES:
        flow.outcome = REFUSED
        flow.error = ENETUNREACH if onward is None else ERRORS_OF_ROUTES[onward.kind]
        return None
    return None if onward.kind == BROADCAST and len(target) == 4 else onward


def _trace_to_group(
    network: Network, source: bytes | None, target: bytes, device: Interface | None, traffic: Traffic
) -> Flow:
    """To a group's members on one link; routers don't pass it on.

    IPv4 sends where it's told even without a route, IPv6 by routes alone, of which the loopback has none for
    groups. Linux: net/ipv4/route.c, ip_route_output_key_hash_rcu; net/ipv6/route.c, ip6_route_output_flags.
    """
    if device is None:
        route = _first_route(network, target, None, source, traffic)
        device = route.interface
        assert device is not None
    elif not device.is_up:
        raise ENETUNREACH("the interface is down")
    elif len(target) == 16 and device.kind == LOOPBACK:
        raise ENETUNREACH("no route to this group")
    if source is None:
        # The loopback's address counts on this machine only, and isn't chosen.
        source = select_source([device], device, target, SCOPE_LINK) or bytes(len(target))
    check_way_out(device, source)
    flow = Flow(network, source, target)
    flow.traffic = traffic
    flow.out = device
    flow.mtu = _mtu_of(device, target)
    _shout(flow, device)
    return flow


def _mtu_of(out: Interface, target: bytes) -> int:
    """The longest packet to `target`. Linux: net/ipv6/route.c, ip6_mtu."""
    return out.mtu if len(target) == 4 else out.ipv6_mtu


def source_for(network: Network, route: Route, target: bytes) -> bytes:
    if route.preferred_source is not None:
        return route.preferred_source
    if route.kind == LOCAL and len(target) == 16 and has_own_6(network, target):
        return target
    out = route.interface
    assert out is not None
    scope = SCOPE_HOST if route.kind == LOCAL else SCOPE_UNIVERSE
    near = target
    if len(target) == 4:
        if route.gateway is None:
            scope = max(route.scope, scope)
        elif len(route.gateway) == 4:
            near = route.gateway
    found = select_source(list(network.interfaces.values()), out, near, scope)
    if found is None:
        if len(target) == 16:
            raise ENETUNREACH("no address to send from")
        return bytes(4)
    return found


def _cross(flow: Flow, current: Network, out: Interface, next_hop: bytes) -> bool:
    """Go over one wire to the neighbour `next_hop`; whether that is where the flow is now."""
    if not out.is_up:
        return False
    hop = len(flow.routers)
    if not has_arp(out):
        flow.senders = (*flow.senders, out)
        flow.crossings.append(Crossing(out, True, hop, bytes(6), out.hardware_address or bytes(6)))
        if out.kind == TUN:
            _take_out(flow, current, out, [out])
        return False
    entry = current.neighbours.get((out, next_hop))
    everybody, devices = reach(out)
    is_believed = False
    if entry is not None and entry.state == PERMANENT:
        everybody = [
            heard for heard in everybody if heard.interface.hardware_address == entry.hardware_address
        ]
        if not everybody and not devices:
            flow.senders = (*flow.senders, out)
            return False
        found: Hearer | None = everybody[0] if everybody else None
    else:
        found = owner_of(everybody, next_hop, flow.source)
    if found is None and not devices and entry is not None and entry.is_resolved:
        # A program has told who has the address, as servers of DHCP do before they offer it.
        told = entry.hardware_address
        found = next((heard for heard in everybody if heard.interface.hardware_address == told), None)
        if found is not None:
            doubt(entry)
            is_believed = True
    if found is None and devices and entry is not None and entry.is_resolved:
        # A bridge that doesn't know where an address is, passes a frame on to all ports.
        devices = reach(out, entry.hardware_address).devices
        for device in dict.fromkeys((out, *devices)):
            flow.senders = (*flow.senders, device)
            flow.crossings.append(Crossing(device, True, hop, entry.hardware_address, out.hardware_address))
        flow.doubted = entry
        _take_out(flow, current, out, devices)
        return False
    if found is None:
        flow.outcome = UNRESOLVED
        flow.network = current
        flow.out = out
        if entry is None or entry.state not in (INCOMPLETE, FAILED):
            entry = learn(out, next_hop, b"", INCOMPLETE)
        flow.unresolved = entry
        return False
    other = found.interface
    own = select_source(list(current.interfaces.values()), out, next_hop, SCOPE_UNIVERSE)
    if (entry is None or not entry.is_resolved) and own is not None and len(own) == 4:
        _show_question(out, everybody, found, own, next_hop)
    if entry is None or not is_believed:
        entry = learn(out, next_hop, other.hardware_address, REACHABLE)
    flow.neighbours.append(entry)
    if own is not None and other.network.routes.is_local(next_hop):
        flow.neighbours.append(learn(other, own, out.hardware_address, STALE))
    flow.learnt += [
        *((port, out.hardware_address) for port in found.receivers if port.master is not None),
        *((port, other.hardware_address) for port in found.senders if port.master is not None),
    ]
    flow.senders += found.senders
    flow.receivers += found.receivers
    flow.crossings += crossings(
        found.senders, found.receivers, hop, other.hardware_address, out.hardware_address
    )
    flow.interface = other
    return True


def learn_on_way(everybody: list[Hearer], source: bytes, target: bytes) -> None:
    """Bridges on the way to all of these learn where a frame has come from."""
    for port in dict.fromkeys(port for heard in everybody for port in heard.receivers):
        if port.master is not None:
            learn_behind(port, source, target)


def owner_of(everybody: list[Hearer], address: bytes, asker: bytes) -> Hearer | None:
    """Who of those that hear a question of `asker` says that an address is his: whose it is, or who speaks
    for him."""
    return next(
        (
            heard
            for heard in everybody
            if heard.interface.network.routes.is_local(address)
            and not ignores_question(heard.interface, asker, address)
        ),
        None,
    ) or next(
        (heard for heard in everybody if speaks_for(heard.interface, asker, address)),
        None,
    )


def _take_out(flow: Flow, current: Network, out: Interface, devices: list[Interface]) -> None:
    """Programs get what follows `flow`."""
    flow.outcome = TAKEN
    flow.network, flow.interface = current, out
    flow.devices = devices


def _show_question(out: Interface, everybody: list[Hearer], found: Hearer, own: bytes, target: bytes) -> None:
    """Who listens hears the frames of ARP by which `found` is asked for. They aren't sent: it's known."""
    networks = (out.network, *(heard.interface.network for heard in everybody))
    if not any(network.packet_sockets for network in networks):
        return
    header, whole = question(out, own, target)
    show_frame(Crossing(out, True, 0), header, whole)
    for receiver in dict.fromkeys(other for heard in everybody for other in heard.receivers):
        show_frame(Crossing(receiver, False, 0), header, whole)
    asked = ArpMessage(REQUEST, out.hardware_address, own, b"", target)
    header, whole = answer(found.interface.hardware_address, asked)
    senders, receivers = found.receivers[::-1], found.senders[::-1]
    for crossing in crossings(senders, receivers, 0):
        show_frame(crossing, header, whole)


def _shout(flow: Flow, out: Interface) -> None:
    """What goes to everybody in a net reaches the sender's own network too."""
    if not out.is_up:
        return
    flow.outcome = TO_ALL
    flow.heard = [Hearer(out, (), ())]
    if out.kind != LOOPBACK:
        everybody = reach(out, group_hardware_address(out, flow.target))
        flow.heard += everybody.hearers
        ports = [port for heard in everybody.hearers for port in heard.receivers if port.master is not None]
        flow.learnt += [(port, out.hardware_address) for port in dict.fromkeys(ports)]
        flow.devices = everybody.devices
    flow.senders = tuple(dict.fromkeys(sender for heard in flow.heard for sender in heard.senders)) or (out,)
    flow.receivers = tuple(dict.fromkeys(other for heard in flow.heard for other in heard.receivers))
    if out.kind == LOOPBACK:
        flow.receivers = (out,)
    flow.crossings += crossings(
        *(flow.senders, flow.receivers, len(flow.routers)),
        *(group_hardware_address(out, flow.target), out.hardware_address or bytes(6)),
    )
