"""Sending packets on their way, and what becomes of those that don't arrive (ip(7), icmp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EHOSTUNREACH, EINVAL, EPERM, Errno
from procession.abi.internet import ETHERTYPES
from procession.abi.word import pack_port
from procession.net.internet.address import BROADCAST_4, is_multicast
from procession.net.internet.arp import EVERYBODY, question
from procession.net.internet.crossing import show_packet
from procession.net.internet.device_address import is_onlink
from procession.net.internet.extension_headers import UNIT_BYTES as EXTENSION_UNIT_BYTES
from procession.net.internet.extension_headers import flaw_in
from procession.net.internet.flow import (
    DELIVERED,
    LOST,
    REFUSED,
    TAKEN,
    TO_ALL,
    TRANSLATED,
    UNRESOLVED,
    Flow,
    find_flow,
    find_onward,
    owner_of,
    traffic_of,
)
from procession.net.internet.fragment import pieces_of
from procession.net.internet.header_options import is_routed_by_source, recorded
from procession.net.internet.icmp_error import (
    HOST_UNREACHABLE,
    NET_UNREACHABLE,
    PARAMETER_PROBLEM,
    PROHIBITED,
    TIME_EXCEEDED,
    IcmpError,
)
from procession.net.internet.neighbour import (
    DELAY,
    FAILED,
    INCOMPLETE,
    PROBE,
    REACHABLE,
    Neighbour,
    doubt,
    learn,
    look_again,
)
from procession.net.internet.packet import header_bytes
from procession.net.internet.passage import (
    PRE_ROUTING,
    attach,
    enter,
    leave,
    pass_whole_way,
    passes_in,
    passes_on,
)
from procession.net.internet.routing import SCOPE_LINK
from procession.net.internet.source_address import select_source
from procession.net.link.interface import LOOPBACK
from procession.net.link.segment import reach
from procession.net.marks import reflected_mark
from procession.net.sysctls import ARP_ANNOUNCE

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_OF_NET, _BEST = 1, 2
"""arp_announce: one of the net of who is asked for, and whichever is best."""
_NO_NUMBER, _WHOLE_BIT = bytes(2), 0x40
"""Of the identification of IPv4, and that a packet isn't to be taken apart."""

_FRAGMENT_HEADER_BYTES = 8
"""IPv6's extension header of a piece."""


def fragment_count(size: int, flow: Flow) -> int:
    """Into how many pieces a packet of `size` bytes is cut. Linux: net/ipv4/ip_output.c, ip_do_fragment."""
    header = header_bytes(flow.target)
    piece = flow.mtu - header - (_FRAGMENT_HEADER_BYTES if len(flow.target) == 16 else 0)
    return -(-(size - header) // max(piece & ~7, 8))


def record_passage(packet: Packet, router: Network) -> bool:
    """`router` writes itself into the header's options; whether it passes the packet on.

    Linux: net/ipv4/ip_options.c, ip_forward_options.
    """
    if len(packet.target) == 16:
        return True
    onward = router.routes.lookup(packet.target)
    out = onward.interface if onward is not None else None
    addresses = out.addresses if out is not None else []
    own = next((found.address for found in addresses if not found.is_ipv6), packet.source)
    return _record(packet, router, own)


def record_arrival(packet: Packet, network: Network) -> bool:
    """The same of who receives it; whether it's taken in. Linux: net/ipv4/ip_input.c, ip_rcv_options;
    net/ipv6/exthdrs.c, ipv6_parse_hopopts."""
    if len(packet.target) == 16:
        network.host.clock.spend_looking(len(packet.options) // EXTENSION_UNIT_BYTES)
        is_dropped, error = flaw_in(packet, network.sysctls)
        if error is not None:
            send_error(network, packet, error)
        return not is_dropped
    is_local = network.routes.is_local(packet.target)
    return _record(packet, network, packet.target if is_local else packet.source)


def _record(packet: Packet, network: Network, own: bytes) -> bool:
    if is_routed_by_source(packet.options):
        return False
    try:
        packet.options = recorded(packet.options, own, packet.time_ns, network.routes.is_local)
    except EINVAL:
        send_error(network, packet, PARAMETER_PROBLEM)
        return False
    return True


def send_packet(network: Network, packet: Packet, flow: Flow, *, is_looped: bool = True) -> None:
    """Let `packet` go from `network` along `flow`. Raises EPERM if the packet filter doesn't let it.

    Unless `is_looped` the sender's own network doesn't hear what goes to a group on another link.
    Linux: net/ipv4/ip_output.c, ip_output.
    """
    if packet.place[:2] == _NO_NUMBER and not packet.place[2] & _WHOLE_BIT:
        # What may come in pieces has a number. Linux: include/net/ip.h, ip_select_ident_segs.
        packet.place = pack_port(network.next_identification()) + packet.place[2:]
    if flow.is_filtered:
        way = leave(network, packet, flow)
        if way is None:
            raise EPERM("the packet filter drops it")
        flow = way
    _carry(network, packet, flow, is_looped=is_looped)


def _carry(network: Network, packet: Packet, flow: Flow, *, is_looped: bool = True) -> None:
    """`packet` has left its sender."""
    while _is_brought(packet, flow):
        if flow.outcome != TRANSLATED:
            _end(network, packet, flow, is_looped=is_looped)
            return
        packet.ttl -= len(flow.routers)
        network = flow.network
        onward = enter(packet, flow)
        if onward is None:
            return
        flow = onward


def receive_frame(network: Network, packet: Packet, interface: Interface) -> None:
    """`packet`, which a program has made, comes by `interface`. Linux: net/ipv4/ip_input.c, ip_rcv."""
    hooks = network.hooks
    if hooks is not None and not hooks.lets_pass(PRE_ROUTING, packet, interface, None):
        return
    target, routes = packet.target, network.routes
    if is_multicast(target) or target == BROADCAST_4 or routes.is_broadcast(target):
        if passes_in(network, packet, interface, is_onward=True):
            _receive(network, packet, interface, is_for_all=True)
        return
    _carry(network, packet, find_onward(network, interface, packet))


def send_astray(network: Network, packet: Packet, flow: Flow) -> None:
    """`packet` goes along `flow`, but its header names another target: who is next there looks where it goes
    from there. On the loopback the way has been found. Linux: net/ipv4/ip_input.c, ip_rcv_finish_core.
    """
    if flow.out.kind == LOOPBACK or (flow.outcome in (TO_ALL, TAKEN, UNRESOLVED) and not flow.routers):
        send_packet(network, packet, flow)
        return
    if flow.is_filtered and leave(network, packet, flow) is None:
        raise EPERM("the packet filter drops it")
    flow.packet_count += 1
    flow.byte_count += packet.wire_bytes
    next_network, arrival = flow.routers[0] if flow.routers else (flow.network, flow.interface)
    receive_frame(next_network, packet, arrival)


def _is_brought(packet: Packet, flow: Flow) -> bool:
    """Whether `packet` gets to the end of `flow`."""
    outcome = flow.outcome
    size = packet.wire_bytes
    count = 1 if size <= flow.mtu else fragment_count(size, flow)
    if outcome != UNRESOLVED or flow.routers:
        flow.packet_count += count
        flow.byte_count += size
    passed = len(flow.routers)
    if flow.is_filtered and outcome != UNRESOLVED:
        show_packet(packet, flow, 0)
    if passed and flow.is_filtered and not passes_on(packet, flow):
        return False
    if passed and packet.ttl <= passed:
        router, _ = flow.routers[packet.ttl - 1]
        send_error(router, packet, TIME_EXCEEDED)
        return False
    if packet.options and not all(record_passage(packet, router) for router, _ in flow.routers):
        return False
    if flow.neighbours or flow.learnt:
        flow.confirm()
    return True


def _receive(network: Network, packet: Packet, interface: Interface, *, is_for_all: bool = False) -> None:
    # What arrives is answered by what is sent.
    from procession.net.internet.input import receive_packet

    receive_packet(network, packet, interface, is_for_all=is_for_all)


def _end(network: Network, packet: Packet, flow: Flow, *, is_looped: bool) -> None:
    """`packet` is at the end of `flow`."""
    outcome = flow.outcome
    if outcome == DELIVERED:
        packet.ttl -= len(flow.routers)
        if flow.is_filtered and not passes_in(flow.network, packet, flow.interface, is_onward=flow.is_onward):
            return
        _receive(flow.network, packet, flow.interface)
    elif outcome == TO_ALL:
        for heard in flow.heard:
            if heard.interface is flow.out and not is_looped and flow.out.kind != LOOPBACK:
                continue
            copy, network = packet.copy(), heard.interface.network
            if not flow.is_filtered or passes_in(network, copy, heard.interface):
                _receive(network, copy, heard.interface, is_for_all=True)
        if flow.devices:
            take_out(packet, flow)
    elif outcome == TAKEN:
        if flow.doubted is not None:
            doubt(flow.doubted)
        take_out(packet, flow)
    elif outcome == REFUSED:
        router, _ = flow.routers[-1]
        kind = NET_UNREACHABLE
        if flow.error is EHOSTUNREACH:
            kind = HOST_UNREACHABLE
        elif flow.error is not None and flow.error.number == _EACCES:
            kind = PROHIBITED
        send_error(router, packet, kind)
    elif outcome == UNRESOLVED:
        assert flow.unresolved is not None
        _wait_for_neighbour(network, packet, flow.unresolved)
    else:
        assert outcome == LOST


_EACCES = 13


def send_error(router: Network, packet: Packet, error: IcmpError, *, is_attached: bool = False) -> None:
    """`router` tells the sender of `packet` what became of it, if it has a way there; never of an error.

    What rules answer is attached to the packet's connection.
    Linux: net/ipv4/icmp.c, __icmp_send; net/ipv6/icmp.c, icmp6_send.
    """
    from procession.net.internet.icmp import (
        count_message,
        is_error_message,
        lets_error,
        message_about,
        quoted_packet,
        traffic_of_error,
    )
    from procession.net.internet.input import receive_error

    if not any(packet.source) or is_error_message(packet):
        return
    try:
        flow = find_flow(router, packet.source, None, None, traffic_of_error(router, packet))
    except Errno:
        return
    if flow.outcome not in (DELIVERED, TRANSLATED, TAKEN) or not lets_error(router, flow, error):
        return
    network, offender = flow.network, flow.source
    if flow.is_filtered or flow.outcome == TAKEN:
        message = message_about(packet, error, flow.source)
        message.mark = reflected_mark(router, packet)
        if is_attached:
            attach(message, packet, router, is_error=True)
        way = pass_whole_way(router, message, flow)
        if way is not None and way.outcome == TAKEN:
            count_message(router, packet.target, error.counter, "Out")
            take_out(message, way)
        if way is None or way.outcome != DELIVERED:
            return
        network, offender = way.network, message.source
        if message.is_quoting_anew:
            packet = quoted_packet(message)
    flow.packet_count += 1
    flow.byte_count += 56 + (len(packet.target) - 4)
    count_message(router, packet.target, error.counter, "Out")
    receive_error(network, packet, error, offender)


def take_out(packet: Packet, flow: Flow) -> None:
    """Programs get `packet`, cut into pieces if it's too long.

    Linux: net/ipv4/ip_output.c, ip_finish_output2.
    """
    last = flow.crossings[-1]
    header = last.target + last.source + pack_port(ETHERTYPES[len(packet.target)])
    packet.ttl -= len(flow.routers)
    for whole in pieces_of(packet, flow.mtu):
        for device in flow.devices:
            assert device.tun is not None
            device.tun.take(header, whole)


def _ask(entry: Neighbour) -> None:
    """Who has this address? Nobody of whom we know: so programs are asked. Linux: net/ipv4/arp.c,
    arp_solicit."""
    interface = entry.interface
    if len(entry.address) != 4 or not interface.has_frames:
        return
    from procession.net.internet.frame import transmit

    is_known = entry.probe_count < entry.unicast_count and entry.state == PROBE
    is_for_programs = 0 <= entry.probe_count - entry.unicast_count < interface.settings[entry.keys.programs]
    own = _asking_address(entry)
    entry.probe_count += 1
    if is_for_programs:
        interface.network.ask_programs(entry)
        return
    asked = entry.hardware_address if is_known else EVERYBODY
    transmit(interface, *question(interface, own, entry.address, asked))


def _asking_address(entry: Neighbour) -> bytes:
    """Who asks: whose packet waits, if it's this network's own and arp_announce lets it."""
    interface, network = entry.interface, entry.interface.network
    mode = network.setting_of(interface, ARP_ANNOUNCE)
    if entry.waiting and mode != _BEST:
        _, newest = entry.waiting[-1]
        if network.routes.is_local(newest.source) and (
            mode != _OF_NET or is_onlink(interface, entry.address, newest.source)
        ):
            return newest.source
    return select_source(list(network.interfaces.values()), interface, entry.address, SCOPE_LINK) or bytes(4)


def _wait_for_neighbour(network: Network, packet: Packet, entry: Neighbour) -> None:
    """Linux: net/core/neighbour.c, __neigh_event_send."""
    entry.keep(network, packet)
    if entry.timer is None:
        _begin_asking(entry)


def _begin_asking(entry: Neighbour) -> None:
    settings, keys = entry.interface.settings, entry.keys
    if not settings[keys.unknown] + settings[keys.programs]:
        # Nobody may be asked.
        entry.state = FAILED
        entry.take()
        return
    entry.state = INCOMPLETE
    entry.probe_count = entry.unicast_count
    entry.updated_ns = entry.interface.network.host.clock.now_ns
    look_again(entry, entry.answer_ns)
    _ask(entry)


def use(entry: Neighbour) -> None:
    """Find out who has the address of `entry`, as if there were a packet for it.

    Linux: include/net/neighbour.h, neigh_event_send.
    """
    doubt(entry)
    if entry.is_resolved or entry.timer is not None:
        return
    everybody, _ = reach(entry.interface)
    owner = owner_of(everybody, entry.address, _asking_address(entry))
    if owner is None:
        _begin_asking(entry)
    else:
        learn(entry.interface, entry.address, owner.interface.hardware_address, REACHABLE)


def send_waiting(entry: Neighbour) -> list[tuple[Network, Packet]]:
    """Send what has waited for `entry`, and return what has to wait on."""
    still: list[tuple[Network, Packet]] = []
    for sender, packet in entry.take():
        try:
            flow = find_flow(sender, packet.target, packet.source, None, traffic_of(packet))
        except Errno:
            continue
        if flow.outcome == UNRESOLVED and flow.unresolved is entry:
            still.append((sender, packet))
        else:
            _carry(sender, packet, flow)
    return still


def _probe(entry: Neighbour) -> None:
    """Ask whether who was believed to have the address of `entry` still has it, and give up if he doesn't
    say so."""
    interface = entry.interface
    everybody, _ = reach(interface)
    known = [heard for heard in everybody if heard.interface.hardware_address == entry.hardware_address]
    if owner_of(known, entry.address, _asking_address(entry)) is not None:
        learn(interface, entry.address, entry.hardware_address, REACHABLE)
        interface.network.topology_changed()
    elif entry.state == DELAY or entry.probe_count < entry.most_questions:
        if entry.state == DELAY:
            entry.state = PROBE
            entry.probe_count = 0
            entry.updated_ns = interface.network.host.clock.now_ns
            interface.network.neighbour_changed(entry, is_there=True)
        look_again(entry, entry.answer_ns)
        _ask(entry)
    else:
        give_up(entry, [])
        interface.network.topology_changed()


def give_up(entry: Neighbour, waiting: list[tuple[Network, Packet]], port_id: int = 0) -> None:
    """Nobody answers, or somebody says so: who sent what waits is told. Linux: net/core/neighbour.c,
    neigh_invalidate."""
    network = entry.interface.network
    entry.state = FAILED
    entry.updated_ns = network.host.clock.now_ns
    network.neighbour_changed(entry, is_there=True, port_id=port_id)
    for _, packet in waiting:
        send_error(network, packet, HOST_UNREACHABLE)


def neighbour_timed_out(entry: Neighbour) -> None:
    """A question wasn't answered: ask again, or give up; by now somebody may be there.

    Linux: net/core/neighbour.c, neigh_timer_handler, neigh_probe.
    """
    entry.timer = None
    still = send_waiting(entry)
    if entry.state in (DELAY, PROBE):
        if entry.timer is None:
            _probe(entry)
    elif entry.state == INCOMPLETE and entry.timer is None:
        if entry.probe_count < entry.most_questions:
            for sender, packet in still:
                entry.keep(sender, packet)
            look_again(entry, entry.answer_ns)
            _ask(entry)
            return
        give_up(entry, still)
