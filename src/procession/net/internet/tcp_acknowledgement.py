"""When an end of a TCP connection acknowledges: at once, or with what it answers; TCP_QUICKACK (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_MS, TICK_NS
from procession.abi.socket import TcpState
from procession.net.buffer_charge import SMALL_PACKET_CHARGE
from procession.net.internet.tcp_negotiation import window_scale
from procession.net.internet.tcp_segment import (
    UNCONNECTED_SEGMENT_BYTES,
    WIDEST_WINDOW,
    segment_bytes,
    told_segment_bytes,
)
from procession.net.socket import ESTABLISHED

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_FIN_WAIT1, _FIN_WAIT2 = int(TcpState.TCP_FIN_WAIT1), int(TcpState.TCP_FIN_WAIT2)
_WAIT_NS = 40 * NS_PER_MS
"""How long what the program sends is waited for (in Linux, TCP_ATO_MIN)."""
_LONG_SILENCE_NS = 204 * NS_PER_MS
"""What is said after so long is answered at once again (in Linux, icsk_rto)."""
_MOST_COUNTED = 255
_MOST_QUICK, _LEAST_QUICK = 16, 2
"""How many answers are given at once where a program begins to be spoken to (in Linux, TCP_MAX_QUICKACKS)."""


def begin(socket: TcpSocket, *, has_called: bool) -> None:
    """There is a connection. Linux: net/ipv4/tcp_input.c, tcp_finish_connect; net/ipv4/tcp_minisocks.c,
    tcp_create_openreq_child."""
    host = socket.network.host
    socket.sent_at_ns = socket.heard_at_ns = host.clock.now_ns
    socket.incoming_processor = host.processor
    # Who is called answers the SYN before there is a socket.
    socket.segments_sent, socket.segments_heard = (2 + socket.syn_count, 1) if has_called else (0, 2)
    socket.data_segments_sent = socket.data_segments_heard = socket.quick_answers = 0


def forget(socket: TcpSocket) -> None:
    """Linux: include/net/inet_connection_sock.h, inet_csk_delack_init."""
    socket.answer_count = 0
    _owe_nothing(socket)


def _owe_nothing(socket: TcpSocket) -> None:
    socket.owed_bytes = socket.owed_segments = socket.owes_since_ns = 0
    socket.owes_short = False


def _acknowledge(socket: TcpSocket) -> None:
    """Whatever is sent says how far all has come. Linux: net/ipv4/tcp_output.c, tcp_event_ack_sent."""
    if socket.owed_segments:
        if socket.quick_answers:
            socket.quick_answers -= 1
        _owe_nothing(socket)


def _answer(socket: TcpSocket) -> None:
    """Send a segment that says nothing else. Linux: net/ipv4/tcp_output.c, __tcp_send_ack."""
    _acknowledge(socket)
    socket.segments_sent += 1
    peer = socket.peer
    if peer is not None:
        peer.segments_heard += 1
        if peer.waits_for_answer:
            peer.push_held()


def _is_much(socket: TcpSocket) -> bool:
    """Whether more than a segment is to be acknowledged."""
    return socket.owed_bytes > UNCONNECTED_SEGMENT_BYTES and socket.owed_bytes > heard_segment_bytes(socket)


def _keeps_window(socket: TcpSocket) -> bool:
    """Whether what is unread leaves the window as it was offered, in the units in which it's told.

    Linux: net/ipv4/tcp_input.c, __tcp_ack_snd_check; net/ipv4/tcp_output.c, __tcp_select_window.
    """
    return socket.arrived.length + SMALL_PACKET_CHARGE < 2 << window_scale(socket)


def heard_segment_bytes(socket: TcpSocket) -> int:
    """How long the other end's segments are taken to be. Linux: net/ipv4/tcp_input.c, tcp_measure_rcv_mss."""
    return min(max(UNCONNECTED_SEGMENT_BYTES, socket.arrived.largest), segment_bytes(socket))


def segment_passes(sender: TcpSocket, receiver: TcpSocket, count: int) -> None:
    """`count` bytes of data go to the other end, which may be an answer to what came from there, and are
    acknowledged.

    Linux: net/ipv4/tcp_output.c, tcp_event_data_sent; net/ipv4/tcp_input.c, tcp_event_data_recv.
    """
    host = sender.network.host
    now_ns = host.clock.now_ns
    if sender.owed_segments:
        settle(sender)
        _acknowledge(sender)
    heard_at_ns = receiver.heard_at_ns
    if (
        now_ns - sender.heard_at_ns < _WAIT_NS
        and sender.bytes_received
        and sender.answer_count < _MOST_COUNTED
    ):
        sender.answer_count += 1
    sender.sent_at_ns = receiver.heard_at_ns = now_ns
    sender.incoming_processor = receiver.incoming_processor = host.processor
    segments, is_short = 1, True
    if count > UNCONNECTED_SEGMENT_BYTES:
        longest = told_segment_bytes(sender)
        segments, is_short = -(-count // longest), count % longest != 0
    sender.segments_sent += segments
    sender.data_segments_sent += segments
    receiver.segments_heard += segments
    if receiver.owed_segments:
        settle(receiver)
    if not receiver.data_segments_heard or now_ns - heard_at_ns > _LONG_SILENCE_NS:
        # Linux: net/ipv4/tcp_input.c, tcp_incr_quickack.
        quick = WIDEST_WINDOW // (2 * heard_segment_bytes(receiver)) or _LEAST_QUICK
        receiver.quick_answers = max(receiver.quick_answers, min(quick, _MOST_QUICK))
    receiver.data_segments_heard += segments
    receiver.owed_segments += segments
    receiver.owed_bytes += count
    if is_short:
        receiver.owes_short = True
    if receiver.waits_for_answer:
        # What waited for this goes now, and acknowledges. Linux: net/ipv4/tcp_input.c, tcp_rcv_established.
        receiver.push_held()
        if not receiver.owed_segments:
            return
    needed = receiver.network.sysctls.answers_needed
    is_quick = receiver.quick_answers and receiver.answer_count < needed
    if is_quick or (_is_much(receiver) and _keeps_window(receiver)):
        _answer(receiver)
    elif not receiver.owes_since_ns:
        receiver.owes_since_ns = now_ns


def bytes_were_read(socket: TcpSocket) -> None:
    """The program has received some of what is to be acknowledged.

    Linux: net/ipv4/tcp.c, __tcp_cleanup_rbuf.
    """
    settle(socket)
    owed = socket.owed_segments
    if owed and (
        _is_much(socket)
        or (not socket.arrived.length and (owed > 1 or not is_answering(socket)) and not socket.has_ended)
    ):
        _answer(socket)


def end_arrives(receiver: TcpSocket, sender: TcpSocket) -> None:
    """The other end's FIN: what there still is to say is waited for. Linux: net/ipv4/tcp_input.c, tcp_fin."""
    host = receiver.network.host
    settle(sender)
    _acknowledge(sender)
    sender.segments_sent += 1
    receiver.segments_heard += 1
    receiver.incoming_processor = host.processor
    settle(receiver)
    receiver.owed_segments += 1
    receiver.owed_bytes += 1
    if receiver.state == ESTABLISHED:
        receiver.answer_count = receiver.network.sysctls.answers_needed
        receiver.owes_since_ns = receiver.owes_since_ns or host.clock.now_ns
    else:
        _answer(receiver)


def _wait_ns(socket: TcpSocket) -> int:
    """Where no data has told how fast the program answers, as long as a tick."""
    return _WAIT_NS if socket.bytes_received else TICK_NS


def answer_delay_ns(socket: TcpSocket) -> int:
    """How long it is until what `socket` owes is acknowledged anyway."""
    return max(socket.owes_since_ns + _wait_ns(socket) - socket.network.host.clock.now_ns, 1)


def settle(socket: TcpSocket) -> None:
    """What is owed has been acknowledged if there was no answer in time; who lets the other end wait for
    that long isn't taken to be answering any more.

    Linux: net/ipv4/tcp_timer.c, tcp_delack_timer_handler.
    """
    since_ns = socket.owes_since_ns
    if not since_ns:
        return
    if socket.network.host.clock.now_ns - since_ns >= _wait_ns(socket):
        if socket.answer_count >= socket.network.sysctls.answers_needed:
            socket.answer_count = 0
        _answer(socket)


def is_answering(socket: TcpSocket) -> bool:
    """Whether what arrives is acknowledged along with an answer; not any more once none came in time."""
    settle(socket)
    return socket.answer_count >= socket.network.sysctls.answers_needed


def choose_answering(socket: TcpSocket, *, is_quick: bool) -> None:
    """TCP_QUICKACK. Linux: net/ipv4/tcp.c, __tcp_sock_set_quickack."""
    settle(socket)
    socket.answer_count = 0 if is_quick else socket.network.sysctls.answers_needed
    if is_quick and socket.owed_segments and not socket.arrived.length:
        _answer(socket)


def unanswered(socket: TcpSocket) -> tuple[int, int]:
    """How many segments, and bytes of the stream, the other end has and hasn't acknowledged; a FIN is one."""
    peer = socket.peer
    if peer is None:
        return 0, 0
    settle(peer)
    return peer.owed_segments, peer.owed_bytes


def unacknowledged_bytes(socket: TcpSocket) -> int:
    """What SIOCOUTQ tells: how many bytes wait for room there, or came and weren't acknowledged yet.

    Linux: net/ipv4/tcp.c, tcp_ioctl.
    """
    waiting = socket.on_the_way
    return waiting + unanswered(socket)[1] if waiting == len(socket.held) else waiting


def told_state(socket: TcpSocket) -> int:
    """The state, in which a FIN has to be acknowledged."""
    state = socket.state
    return _FIN_WAIT1 if state == _FIN_WAIT2 and unanswered(socket)[0] else state
