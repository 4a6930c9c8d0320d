"""The hooks that a packet passes on its way, of those networks that have a packet filter (nft(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import Errno
from procession.abi.nftables import Hook
from procession.abi.word import Words
from procession.net.internet.flow import DELIVERED, REFUSED, find_flow
from procession.net.internet.packet import TCP, Packet

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
_FLAGS_PLACE = 13


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


def passes_out(network: Network, packet: Packet, flow: Flow) -> bool:
    """Whether `packet` leaves its sender. Linux: net/ipv4/ip_output.c, __ip_local_out, ip_output."""
    hooks = network.hooks
    return hooks is None or (
        hooks.lets_pass(LOCAL_OUT, packet, None, flow.out)
        and hooks.lets_pass(POST_ROUTING, packet, None, flow.out)
    )


def passes_on(packet: Packet, flow: Flow) -> bool:
    """Whether the routers pass `packet` on, as far as it lives. Linux: net/ipv4/ip_forward.c, ip_forward."""
    last = len(flow.routers)
    before = packet.ttl
    for hop, (router, arrived) in enumerate(flow.routers, 1):
        hooks = router.hooks
        if hooks is None:
            continue
        packet.ttl = before - hop + 1
        is_passed = hooks.lets_pass(PRE_ROUTING, packet, arrived, None)
        if is_passed and packet.ttl > 1 and not (flow.outcome == REFUSED and hop == last):
            packet.ttl -= 1
            onward = router.routes.lookup(packet.target)
            out = onward.interface if onward is not None else None
            is_passed = hooks.lets_pass(FORWARD, packet, arrived, out) and hooks.lets_pass(
                POST_ROUTING, packet, None, out
            )
        is_over = packet.ttl <= 1
        packet.ttl = before
        if not is_passed:
            return False
        if is_over:
            break
    return True


def passes_in(network: Network, packet: Packet, interface: Interface) -> bool:
    """Whether `packet`, which has arrived at `interface`, is taken in.

    Linux: net/ipv4/ip_input.c, ip_rcv, ip_local_deliver.
    """
    hooks = network.hooks
    is_passed = hooks is None or (
        hooks.lets_pass(PRE_ROUTING, packet, interface, None)
        and hooks.lets_pass(LOCAL_IN, packet, interface, None)
    )
    packet.tracked = None
    return is_passed


def passes_whole_way(network: Network, packet: Packet, flow: Flow) -> bool:
    """Whether `packet`, which is made only to be looked at, would get from `network` to the end of `flow`."""
    if not passes_out(network, packet, flow) or not passes_on(packet, flow):
        return False
    return flow.outcome != DELIVERED or passes_in(flow.network, packet, flow.interface)


def send_reset(network: Network, packet: Packet) -> None:
    """`network` answers a segment of TCP by a RST, which ends the connection that sent it.

    Segments that raw sockets made belong to no connection, unless they say how far its stream is.
    Linux: net/ipv4/netfilter/nf_reject_ipv4.c, nf_send_reset; net/ipv4/tcp_input.c, tcp_reset.
    """
    data = packet.data
    if packet.protocol != TCP or len(data) < SEGMENT_HEADER.size or data[_FLAGS_PLACE] & RESET:
        return
    port, other_port, sequence, acknowledged = SEGMENT_HEADER.unpack_from(data)[:4]
    try:
        flow = find_flow(network, packet.source, None, None)
    except Errno:
        return
    if flow.outcome != DELIVERED:
        return
    if flow.is_filtered:
        answer = segment(
            *((packet.target, other_port), (packet.source, port)),
            *(acknowledged, sequence, RESET | ACKNOWLEDGED),
        )
        if not passes_whole_way(network, answer, flow):
            return
    sender = flow.network.tcp.connections.get((packet.source, port, packet.target, other_port))
    if sender is None or (sender.bytes_sent & _WORD, sender.bytes_received & _WORD) != (
        sequence,
        acknowledged,
    ):
        return
    peer = sender.peer
    sender.reset()
    if peer is not None and peer is not sender:
        # In Linux it hears of it only when it sends something.
        peer.reset()
