"""What doesn't get to a TCP socket: by filters, SO_ATTACH_FILTER's and those of networks on the way, or as
there is no way.

It's as if lost, and sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ETIMEDOUT, Errno
from procession.abi.socket import TcpState
from procession.net.internet.crossing import show_packet
from procession.net.internet.flow import DELIVERED, TAKEN, TRANSLATED
from procession.net.internet.output import take_out
from procession.net.internet.passage import (
    ACKNOWLEDGED,
    FIN,
    PUSH,
    RESET,
    SYN,
    pass_whole_way,
    receiver_key,
    segment,
)
from procession.net.internet.tcp_distance import comes_too_far, is_choosy, ttl_of
from procession.net.internet.tcp_negotiation import (
    ECHO,
    EVERYTHING,
    REDUCED,
    TELLS_CONGESTION,
    asks_for_news,
    segment_options,
    spoken,
    syn_options,
    takes_news,
)
from procession.net.internet.tcp_repair import received_number, sent_number
from procession.net.internet.tcp_segment import SEGMENT_CLAMP, longest_segment, segment_bytes
from procession.net.socket import CLOSED, ESTABLISHED
from procession.net.socket_filter import FilteredPacket, accepted_bytes

if TYPE_CHECKING:
    from procession.net.internet.flow import Flow
    from procession.net.internet.packet import Packet
    from procession.net.internet.tcp import TcpSocket
    from procession.net.internet.tcp_connection import Key
    from procession.net.network import Network

FIN_WAIT1, LAST_ACK = int(TcpState.TCP_FIN_WAIT1), int(TcpState.TCP_LAST_ACK)
_FIRST_TIMEOUT_NS, _LONGEST_TIMEOUT_NS = 200_000_000, 120_000_000_000
_CAPABLE = 2
"""What data has in the type of service if routers may tell of congestion (ECT(0))."""
_ORPHAN_RETRIES = 8
"""How often is tried for nobody (tcp_orphan_retries) where that isn't said."""


def kept_bytes(receiver: TcpSocket, sender: TcpSocket, flow: Flow, flags: int, data: bytes = b"") -> int:
    """How many bytes of a segment's data come through all filters, -1 if one drops the segment.

    Segments aren't made: programs see a header with the ports, the flags, and how far the stream is.
    Linux: net/ipv4/tcp_ipv4.c, tcp_filter.
    """
    packet = _segment_of(sender, flags, data)
    if comes_too_far(ttl_of(sender, flow), receiver, flow):
        return -1
    if flow.is_filtered and not _reaches(receiver, sender.network, packet, flow):
        return -1
    return _let_in(receiver, packet, flow.interface.index, len(data))


def _segment_of(sender: TcpSocket, flags: int, data: bytes = b"") -> Packet:
    assert sender.remote_address is not None
    if flags & SYN and asks_for_news(sender):
        flags |= ECHO | REDUCED
    packet = segment(
        *((sender.local_address, sender.local_port), (sender.remote_address, sender.remote_port)),
        *(sent_number(sender) - bool(flags & SYN), received_number(sender), flags),
        *(_options_of_syn(sender) if flags & SYN else segment_options(sender), data),
    )
    if data and spoken(sender) & TELLS_CONGESTION:
        packet.tos |= _CAPABLE
    return packet


def _options_of_syn(sender: TcpSocket, heard: int = EVERYTHING) -> bytes:
    chosen: int = sender.protocol_options.get(SEGMENT_CLAMP, 0)
    longest = longest_segment(sender)
    return syn_options(sender, min(chosen, longest) if chosen else longest, heard)


def _reaches(receiver: TcpSocket, network: Network, packet: Packet, flow: Flow) -> bool:
    """Whether a segment gets from `network` to `receiver`, where it mayn't be known by its addresses."""
    way = pass_whole_way(network, packet, flow)
    return (
        way is not None
        and way.outcome == DELIVERED
        and way.network is receiver.network
        and receiver_key(packet) == receiver.key
    )


def _let_in(receiver: TcpSocket, packet: Packet, interface_index: int, length: int) -> int:
    """How many of the `length` bytes of a segment the filter of `receiver` takes, -1 if it drops all."""
    if receiver.filter is None:
        return length
    whole = packet.with_header() if len(packet.target) == 4 else packet.with_header_6()
    seen = FilteredPacket(packet.data, whole, len(packet.target), interface_index)
    accepted = accepted_bytes(receiver, seen)
    size = len(packet.data) - length
    return min(max(accepted - size, 0), length) if accepted else -1


def lets_connect(
    listener: TcpSocket | None, socket: TcpSocket, seen_as: Key, flow: Flow, way: Flow, way_back: Flow
) -> bool:
    """Whether the SYN of `socket`, what answers it and the ACK of that get through.

    It came by `way`, and is from the end that `seen_as` names. Without a `listener` it is answered by a RST.
    """
    flags, asked = RESET if listener is None else SYN, SYN
    if asks_for_news(socket):
        asked |= ECHO | REDUCED
        flags |= ECHO if listener is not None and takes_news(listener) else 0
    options = b"" if listener is None else _options_of_syn(listener, spoken(socket))
    number = 0 if listener is None else -1
    answer = segment(seen_as[:2], seen_as[2:], number, sent_number(socket), flags | ACKNOWLEDGED, options)
    if listener is not None and comes_too_far(ttl_of(socket, way), listener, way):
        return False
    answer_ttl = ttl_of(listener, way_back) if listener is not None else way_back.default_ttl
    if comes_too_far(answer_ttl, socket, way_back):
        return False
    if listener is not None and listener.filter is not None:
        syn = segment(seen_as[2:], seen_as[:2], -1, 0, asked, _options_of_syn(socket))
        if _let_in(listener, syn, way.interface.index, 0) < 0:
            return False
    if way_back.is_filtered and not _reaches(socket, way.network, answer, way_back):
        return False
    if listener is None:
        return True
    if _let_in(socket, answer, way_back.interface.index, 0) < 0:
        return False
    if not flow.is_filtered:
        return True
    last = pass_whole_way(socket.network, _segment_of(socket, ACKNOWLEDGED), flow)
    return last is not None and last.outcome == DELIVERED


def arrival(socket: TcpSocket, flow: Flow, flags: int) -> tuple[Flow, Key] | None:
    """The end of the way of a segment with these flags, and what it's for there; None if it's lost, and may
    have been refused then."""
    assert socket.remote_address is not None
    if not flow.is_filtered:
        if flow.outcome == TAKEN:
            take_out(_segment_of(socket, flags), flow)
        return flow, (
            *(socket.remote_address, socket.remote_port),
            *(socket.local_address, socket.local_port),
        )
    sent = _segment_of(socket, flags)
    way = pass_whole_way(socket.network, sent, flow)
    if way is not None and way.outcome == TAKEN:
        take_out(sent, way)
    return None if way is None else (way, receiver_key(sent))


def leads_to(flow: Flow, network: Network) -> bool:
    """Whether segments that follow `flow` may arrive in `network`: who translates them, sees to it."""
    return flow.outcome == TRANSLATED or (flow.outcome == DELIVERED and flow.network is network)


def current_flow(sender: TcpSocket) -> Flow | None:
    """Where the segments of `sender` go, looked for again if anything has changed: rules, for instance. None
    while there is no way.
    """
    flow = sender.flow
    if flow is None:
        return None
    system = sender.network.system
    traffic = sender.traffic_to(flow.target, sender.remote_port)
    if flow.generation == system.topology and (
        not system.aspects or flow.traffic == traffic.narrowed(system.aspects)
    ):
        return flow
    try:
        found: Flow = sender.flow_to(flow.target, flow.source, traffic=traffic)
    except Errno:
        return None
    if not leads_to(found, flow.network):
        return None
    flow.settle()
    sender.flow = found
    return found


def split(sender: TcpSocket, receiver: TcpSocket, flow: Flow, data: bytes) -> tuple[bytes, bytes]:
    """What of `data` gets through to `receiver`, and what has to be sent again."""
    size = segment_bytes(sender)
    done = 0
    while done < len(data):
        piece = data[done : done + size]
        kept = kept_bytes(receiver, sender, flow, PUSH | ACKNOWLEDGED, piece)
        done += max(kept, 0)
        if kept < len(piece):
            break
    if done:
        _show_acknowledgement(receiver, received_number(receiver) + done)
    if done == len(data):
        sender.lost_count = 0
    return data[:done], data[done:]


def _show_acknowledgement(receiver: TcpSocket, number: int) -> None:
    """Who listens to packets sees that `receiver` has got all before `number`. Nothing depends on it, and no
    rules see it."""
    flow = current_flow(receiver)
    if flow is None or receiver.remote_address is None:
        return
    packet = segment(
        *((receiver.local_address, receiver.local_port), (receiver.remote_address, receiver.remote_port)),
        *(sent_number(receiver), number, ACKNOWLEDGED),
        segment_options(receiver),
    )
    for hop in range(len(flow.routers) + 1):
        show_packet(packet, flow, hop)


def lose(sender: TcpSocket, data: bytes = b"") -> None:
    """A FIN or `data` didn't get through: it's sent again after a while, or given up.

    Linux: net/ipv4/tcp_timer.c, tcp_retransmit_timer, tcp_write_timeout, tcp_orphan_retries.
    """
    if sender.state == CLOSED:
        # It was refused, and is over.
        sender.network.system.uncharge_buffer(len(data), sender.payer)
        return
    sender.held = data + sender.held
    if sender.timer is not None:
        return
    sysctls = sender.network.sysctls
    most = sysctls.orphan_retries or _ORPHAN_RETRIES if sender.is_orphan else sysctls.retries
    if sender.lost_count >= most:
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
    """Whether the FIN of `sender` can't arrive yet: what goes before it didn't, it's dropped itself, or there
    is no way."""
    if receiver is None:
        return False
    flow = current_flow(sender)
    if flow is not None and not (sender.held or is_choosy(receiver) or flow.is_filtered):
        return False
    if flow is not None and not sender.held and kept_bytes(receiver, sender, flow, FIN | ACKNOWLEDGED) >= 0:
        sender.lost_count = 0
        _show_acknowledgement(receiver, received_number(receiver) + 1)
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
