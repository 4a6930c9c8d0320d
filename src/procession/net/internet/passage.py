"""The hooks that a packet passes on its way, of those networks that have a packet filter (nft(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import Errno
from procession.abi.nftables import Hook
from procession.abi.word import Words
from procession.net.internet.address import LOOPBACK_4
from procession.net.internet.crossing import show_packet
from procession.net.internet.flow import (
    DELIVERED,
    REFUSED,
    TRANSLATED,
    find_flow,
    find_onward,
    traffic_of,
)
from procession.net.internet.packet import TCP, Packet
from procession.net.internet.tcp_repair import received_number, sent_number
from procession.net.link.interface import LOOPBACK
from procession.net.marks import reflected_mark

if TYPE_CHECKING:
    from procession.net.internet.flow import Flow
    from procession.net.link.interface import Interface
    from procession.net.network import Network

PRE_ROUTING, LOCAL_IN = int(Hook.NF_INET_PRE_ROUTING), int(Hook.NF_INET_LOCAL_IN)
FORWARD, LOCAL_OUT = int(Hook.NF_INET_FORWARD), int(Hook.NF_INET_LOCAL_OUT)
POST_ROUTING = int(Hook.NF_INET_POST_ROUTING)

FIN, SYN, RESET, PUSH, ACKNOWLEDGED = 1, 2, 4, 8, 16
"""The flags of a segment."""
SEGMENT_HEADER = Words(">HHIIBBHHH")
_WINDOW = 512
_TIME_TO_LIVE = 64
_WORD = 0xFFFFFFFF
FLAGS_PLACE = 13


def segment(
    source: tuple[bytes, int],
    target: tuple[bytes, int],
    sequence: int,
    acknowledged: int,
    flags: int,
    options: bytes = b"",
    data: bytes = b"",
) -> Packet:
    """A segment of TCP, for those that look at it: it isn't what carries the data."""
    header = SEGMENT_HEADER.pack(
        *(source[1], target[1], sequence & _WORD, acknowledged & _WORD),
        *(SEGMENT_HEADER.size + len(options) << 2, flags, _WINDOW, 0, 0),
    )
    return Packet(header + options + data, source[0], 0, target[0], 0, 0, 0, _TIME_TO_LIVE, TCP)


def leave(network: Network, packet: Packet, flow: Flow) -> Flow | None:
    """Where `packet` goes that `network` sends along `flow`, another way if its addresses are changed; None
    if it doesn't leave.

    Raises ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL. Linux: net/ipv4/ip_output.c, __ip_local_out, ip_output;
    net/ipv4/netfilter.c, ip_route_me_harder.
    """
    hooks = network.hooks
    if hooks is None:
        return flow
    source, target = packet.source, packet.target
    if not hooks.lets_pass(LOCAL_OUT, packet, None, flow.out):
        return None
    if packet.target != target:
        flow = find_flow(network, packet.target, packet.source, None, traffic_of(packet))
    if not hooks.lets_pass(POST_ROUTING, packet, None, flow.out):
        return None
    if packet.source != source and source[0] == LOOPBACK_4[0]:
        # It was a martian, and isn't any more.
        flow = find_flow(network, packet.target, packet.source, None, traffic_of(packet))
    return flow


def passes_on(packet: Packet, flow: Flow) -> bool:
    """Whether the routers pass `packet` on, as far as it lives. Linux: net/ipv4/ip_forward.c, ip_forward."""
    last = len(flow.routers)
    before = packet.ttl
    for hop, (router, arrived) in enumerate(flow.routers, 1):
        hooks = router.hooks
        if hooks is None:
            packet.ttl = before - hop
            if packet.ttl > 0:
                show_packet(packet, flow, hop)
            packet.ttl = before
            continue
        packet.ttl = before - hop + 1
        is_passed = True
        if hop > 1 or not flow.is_onward:
            packet.tracked, packet.mark = None, 0
            is_passed = hooks.lets_pass(PRE_ROUTING, packet, arrived, None)
        if is_passed and packet.ttl > 1 and not (flow.outcome == REFUSED and hop == last):
            packet.ttl -= 1
            seen = traffic_of(packet)._replace(source=packet.source, arrived=arrived.name)
            onward = router.routes.lookup(packet.target, traffic=seen)
            out = onward.interface if onward is not None else None
            is_passed = hooks.lets_pass(FORWARD, packet, arrived, out) and hooks.lets_pass(
                POST_ROUTING, packet, None, out
            )
        is_over = packet.ttl <= 1
        if is_passed and packet.ttl == before - hop:
            show_packet(packet, flow, hop)
        packet.ttl = before
        if not is_passed:
            return False
        if is_over:
            break
    return True


def enter(packet: Packet, flow: Flow) -> Flow | None:
    """Where `packet` goes on that `flow` has led to a network which may change its addresses; None if it is
    dropped. Linux: net/ipv4/ip_input.c, ip_rcv."""
    network, interface = flow.network, flow.interface
    hooks = network.hooks
    packet.tracked, packet.mark = None, 0
    if hooks is not None and not hooks.lets_pass(PRE_ROUTING, packet, interface, None):
        return None
    return find_onward(network, interface, packet)


def passes_in(network: Network, packet: Packet, interface: Interface, *, is_onward: bool = False) -> bool:
    """Whether `packet`, which has arrived at `interface`, is taken in: it `is_onward` if it has passed the
    first hook.

    Linux: net/ipv4/ip_input.c, ip_rcv, ip_local_deliver.
    """
    hooks = network.hooks
    if hooks is None:
        packet.tracked = None
        return True
    if interface.kind != LOOPBACK and not is_onward:
        packet.tracked, packet.mark = None, 0
    is_passed = (is_onward or hooks.lets_pass(PRE_ROUTING, packet, interface, None)) and hooks.lets_pass(
        LOCAL_IN, packet, interface, None
    )
    packet.tracked = None
    return is_passed


def pass_whole_way(network: Network, packet: Packet, flow: Flow) -> Flow | None:
    """The last part of the way from `network` of `packet`, which is made only to be looked at; None if it is
    dropped. It's `packet` as it arrives then.
    """
    try:
        way = leave(network, packet, flow)
    except Errno:
        return None
    while way is not None:
        show_packet(packet, way, 0)
        if not passes_on(packet, way):
            return None
        if way is not flow:
            way.packet_count += 1
            way.byte_count += packet.wire_bytes
        if way.outcome == DELIVERED:
            is_in = passes_in(way.network, packet, way.interface, is_onward=way.is_onward)
            return way if is_in else None
        if way.outcome != TRANSLATED:
            return way
        packet.ttl -= len(way.routers)
        if packet.ttl <= 0:
            return None
        way = enter(packet, way)
    return None


def attach(answer: Packet, packet: Packet, network: Network, *, is_error: bool) -> None:
    """What `network` answers to `packet` belongs to its connection.

    Linux: net/netfilter/nf_conntrack_core.c, nf_conntrack_attach.
    """
    tracked = packet.tracked
    if tracked is not None and tracked[0] is network and tracked[1] is not None:
        answer.tracked = network, tracked[1].answered(is_error=is_error)


def receiver_key(segment: Packet) -> tuple[bytes, int, bytes, int]:
    """What tells the connection that a segment of TCP is for from others where it arrives."""
    port, target_port = SEGMENT_HEADER.unpack_from(segment.data)[:2]
    return segment.target, target_port, segment.source, port


def send_reset(network: Network, packet: Packet) -> None:
    """`network` answers a segment of TCP by a RST, which ends the connection that sent it.

    Segments that raw sockets made belong to no connection, unless they say how far its stream is.
    Linux: net/ipv4/netfilter/nf_reject_ipv4.c, nf_send_reset; net/ipv4/tcp_input.c, tcp_reset.
    """
    data = packet.data
    if packet.protocol != TCP or len(data) < SEGMENT_HEADER.size or data[FLAGS_PLACE] & RESET:
        return
    port, other_port, sequence, acknowledged = SEGMENT_HEADER.unpack_from(data)[:4]
    if data[FLAGS_PLACE] & SYN:
        # It counts as a byte.
        sequence = sequence + 1 & _WORD
    answer = segment(
        *((packet.target, other_port), (packet.source, port)),
        *(acknowledged, sequence, RESET | ACKNOWLEDGED),
    )
    answer.mark = reflected_mark(network, packet)
    try:
        flow = find_flow(network, packet.source, None, None, traffic_of(answer))
    except Errno:
        return
    attach(answer, packet, network, is_error=False)
    way = pass_whole_way(network, answer, flow) if flow.is_filtered else flow
    if way is None or way.outcome != DELIVERED:
        return
    sender = way.network.tcp.connections.get(receiver_key(answer))
    if sender is None or (sent_number(sender), received_number(sender)) != (
        sequence,
        acknowledged,
    ):
        return
    peer = sender.peer
    sender.reset()
    if peer is not None and peer is not sender:
        # In Linux it hears of it only when it sends something.
        peer.reset()
