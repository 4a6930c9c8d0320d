"""What filters don't let a TCP socket have: SO_ATTACH_FILTER's, and those of networks on the way.

It's as if lost, and sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ETIMEDOUT, Errno
from procession.abi.socket import TcpState
from procession.net.internet.flow import DELIVERED
from procession.net.internet.passage import (
    ACKNOWLEDGED,
    FIN,
    PUSH,
    RESET,
    SEGMENT_HEADER,
    SYN,
    passes_whole_way,
    segment,
)
from procession.net.internet.tcp_options import segment_bytes
from procession.net.socket import CLOSED, ESTABLISHED
from procession.net.socket_filter import FilteredPacket, accepted_bytes

if TYPE_CHECKING:
    from procession.net.internet.flow import Flow
    from procession.net.internet.tcp import TcpSocket

FIN_WAIT1, LAST_ACK = int(TcpState.TCP_FIN_WAIT1), int(TcpState.TCP_LAST_ACK)
_OPTIONS, _SYN_OPTIONS = bytes(12), bytes(20)
_FIRST_TIMEOUT_NS, _LONGEST_TIMEOUT_NS = 200_000_000, 120_000_000_000
_MOST_TIMES = 15
"""net.ipv4.tcp_retries2: so often a segment is sent again."""


def kept_bytes(receiver: TcpSocket, sender: TcpSocket, flow: Flow, flags: int, data: bytes = b"") -> int:
    """How many bytes of a segment's data come through all filters, -1 if one drops the segment.

    Segments aren't made: programs see a header with the ports, the flags, and how far the stream is.
    Linux: net/ipv4/tcp_ipv4.c, tcp_filter.
    """
    target: tuple[bytes, int]
    if sender.remote_address is None:
        # A listening socket answers: `receiver` has the addresses.
        assert receiver.remote_address is not None
        source = receiver.remote_address, receiver.remote_port
        target = receiver.local_address, receiver.local_port
    else:
        source = sender.local_address, sender.local_port
        target = sender.remote_address, sender.remote_port
    options = _SYN_OPTIONS if flags & SYN else _OPTIONS
    packet = segment(source, target, sender.bytes_sent, sender.bytes_received, flags, options, data)
    if flow.is_filtered and not passes_whole_way(sender.network, packet, flow):
        return -1
    if receiver.filter is None:
        return len(data)
    whole = packet.with_header() if len(target[0]) == 4 else packet.with_header_6()
    seen = FilteredPacket(packet.data, whole, len(target[0]), flow.interface.index)
    accepted = accepted_bytes(receiver, seen)
    size = SEGMENT_HEADER.size + len(options)
    return min(max(accepted - size, 0), len(data)) if accepted else -1


def lets_connect(listener: TcpSocket | None, socket: TcpSocket, flow: Flow, way_back: Flow) -> bool:
    """Whether the SYN of `socket`, what answers it and the ACK of that get through.

    Without a `listener` it is answered by a RST.
    """
    assert socket.remote_address is not None
    if listener is None:
        return not way_back.is_filtered or passes_whole_way(
            flow.network,
            segment(
                *((socket.remote_address, socket.remote_port), (socket.local_address, socket.local_port)),
                *(0, 0, RESET | ACKNOWLEDGED),
            ),
            way_back,
        )
    if listener.filter is not None and kept_bytes(listener, socket, flow, SYN) < 0:
        return False
    if (socket.filter is not None or way_back.is_filtered) and kept_bytes(
        socket, listener, way_back, SYN | ACKNOWLEDGED
    ) < 0:
        return False
    return not flow.is_filtered or _passes(socket, flow, ACKNOWLEDGED)


def syn_passes(socket: TcpSocket, flow: Flow) -> bool:
    """Whether networks on the way let the SYN of `socket` through, which may have been refused then."""
    return _passes(socket, flow, SYN)


def _passes(socket: TcpSocket, flow: Flow, flags: int) -> bool:
    assert socket.remote_address is not None
    options = _SYN_OPTIONS if flags & SYN else _OPTIONS
    packet = segment(
        (socket.local_address, socket.local_port),
        (socket.remote_address, socket.remote_port),
        socket.bytes_sent,
        socket.bytes_received,
        flags,
        options,
    )
    return passes_whole_way(socket.network, packet, flow)


def current_flow(sender: TcpSocket) -> Flow | None:
    """Where the segments of `sender` go, looked for again if anything has changed: rules, for instance."""
    flow = sender.flow
    if flow is None or flow.generation == sender.network.system.topology:
        return flow
    try:
        found: Flow = sender.flow_to(flow.target, flow.source, sender.remote_scope)
    except Errno:
        return flow
    if found.outcome == DELIVERED and found.network is flow.network:
        flow.settle()
        sender.flow = flow = found
    return flow


def split(sender: TcpSocket, receiver: TcpSocket, flow: Flow, data: bytes) -> tuple[bytes, bytes]:
    """What of `data` gets through to `receiver`, and what has to be sent again."""
    size = segment_bytes(sender)
    done = 0
    while done < len(data):
        segment = data[done : done + size]
        kept = kept_bytes(receiver, sender, flow, PUSH | ACKNOWLEDGED, segment)
        done += max(kept, 0)
        if kept < len(segment):
            return data[:done], data[done:]
    sender.lost_count = 0
    return data, b""


def lose(sender: TcpSocket, data: bytes = b"") -> None:
    """A FIN or `data` didn't get through: it's sent again after a while, or given up.

    Linux: net/ipv4/tcp_timer.c, tcp_retransmit_timer, tcp_write_timeout.
    """
    if sender.state == CLOSED:
        # It was refused, and is over.
        sender.network.system.uncharge_buffer(len(data))
        return
    sender.held = data + sender.held
    if sender.timer is not None:
        return
    if sender.lost_count >= _MOST_TIMES:
        peer = sender.peer
        sender.end(ETIMEDOUT.number)
        if sender.is_orphan:
            sender.let_go()
        if peer is not None and peer is not sender:
            # In Linux it hears of it only when it sends something.
            peer.reset()
        return
    delay_ns = min(_FIRST_TIMEOUT_NS << sender.lost_count, _LONGEST_TIMEOUT_NS)
    sender.lost_count += 1
    sender.network.tcp.start_timer(sender, delay_ns)


def loses_end(sender: TcpSocket, receiver: TcpSocket | None, *, was_closing: bool) -> bool:
    """Whether the FIN of `sender` can't arrive yet: what goes before it didn't, or it's dropped itself."""
    flow = current_flow(sender)
    if receiver is None or flow is None or not (receiver.filter is not None or flow.is_filtered):
        return False
    if not sender.held and kept_bytes(receiver, sender, flow, FIN | ACKNOWLEDGED) >= 0:
        sender.lost_count = 0
        return False
    if sender.state != CLOSED:
        sender.state = LAST_ACK if was_closing else FIN_WAIT1
        lose(sender)
    return True


def send_again(sender: TcpSocket) -> None:
    """It's time to send again what didn't get through."""
    sender.push_held()
    if sender.state in (FIN_WAIT1, LAST_ACK) and not sender.held:
        sender.state = ESTABLISHED if sender.state == FIN_WAIT1 else int(TcpState.TCP_CLOSE_WAIT)
        sender.send_end()
        if sender.is_orphan:
            sender.wait_for_end()
