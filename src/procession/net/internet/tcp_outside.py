"""Segments of TCP that programs have made, behind interfaces or by raw sockets: they are refused.

The two ends of a connection are joined directly, so that one with an end that isn't a socket can't be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ECONNREFUSED, Errno
from procession.net.internet.flow import find_flow, traffic_of
from procession.net.internet.output import send_packet
from procession.net.internet.passage import (
    ACKNOWLEDGED,
    FIN,
    FLAGS_PLACE,
    RESET,
    SEGMENT_HEADER,
    SYN,
    receiver_key,
    segment,
)
from procession.net.internet.tcp_repair import sent_number
from procession.net.socket import SYN_SENT

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.network import Network


def answer_segment(network: Network, packet: Packet) -> None:
    """A segment has arrived that no socket has sent.

    Linux: net/ipv4/tcp_ipv4.c, tcp_v4_rcv, tcp_v4_send_reset; net/ipv4/tcp_input.c,
    tcp_rcv_synsent_state_process.
    """
    data = packet.data
    if len(data) < SEGMENT_HEADER.size:
        return
    port, own_port, sequence, acknowledged, offset = SEGMENT_HEADER.unpack_from(data)[:5]
    flags = data[FLAGS_PLACE]
    socket = network.tcp.connections.get(receiver_key(packet))
    if socket is not None:
        if socket.state != SYN_SENT or not flags & ACKNOWLEDGED:
            return
        if acknowledged != sent_number(socket):
            return
        socket.end(ECONNREFUSED.number)
    if flags & RESET:
        return
    numbers = (acknowledged, 0, RESET)
    if not flags & ACKNOWLEDGED:
        length = len(data) - (offset >> 4) * 4 + bool(flags & SYN) + bool(flags & FIN)
        numbers = (0, sequence + length, RESET | ACKNOWLEDGED)
    try:
        answer = segment((packet.target, own_port), (packet.source, port), *numbers)
        flow = find_flow(network, packet.source, packet.target, None, traffic_of(answer))
        send_packet(network, answer, flow)
    except Errno:
        # There is no way back, or the packet filter drops it.
        return
