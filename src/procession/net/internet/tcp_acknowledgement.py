"""When an end of a TCP connection acknowledges: at once, or with what it answers; TCP_QUICKACK (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_MS, TICK_NS
from procession.net.socket import ESTABLISHED

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_WAIT_NS = 40 * NS_PER_MS
"""How long what the program sends is waited for (in Linux, TCP_ATO_MIN)."""
_MOST_COUNTED = 255


def begin(socket: TcpSocket) -> None:
    """There is a connection. Linux: net/ipv4/tcp_input.c, tcp_finish_connect; net/ipv4/tcp_minisocks.c,
    tcp_create_openreq_child."""
    host = socket.network.host
    socket.sent_at_ns = socket.heard_at_ns = host.clock.now_ns
    socket.incoming_processor = host.processor


def forget(socket: TcpSocket) -> None:
    """Linux: include/net/inet_connection_sock.h, inet_csk_delack_init."""
    socket.answer_count = socket.owes_since_ns = 0


def segment_passes(sender: TcpSocket, receiver: TcpSocket) -> None:
    """Data goes to the other end, which may be an answer to what came from there, and is acknowledged.

    Linux: net/ipv4/tcp_output.c, tcp_event_data_sent; net/ipv4/tcp_input.c, tcp_event_data_recv.
    """
    host = sender.network.host
    now_ns = host.clock.now_ns
    since_ns = sender.owes_since_ns
    if since_ns:
        if now_ns - since_ns >= TICK_NS:
            is_answering(sender)
        sender.owes_since_ns = 0
    if (
        now_ns - sender.heard_at_ns < _WAIT_NS
        and sender.bytes_received
        and sender.answer_count < _MOST_COUNTED
    ):
        sender.answer_count += 1
    sender.sent_at_ns = receiver.heard_at_ns = now_ns
    if receiver.answer_count:
        since_ns = receiver.owes_since_ns
        if not since_ns:
            receiver.owes_since_ns = now_ns
        elif now_ns - since_ns >= TICK_NS:
            is_answering(receiver)
    sender.incoming_processor = receiver.incoming_processor = host.processor


def end_arrives(receiver: TcpSocket) -> None:
    """The other end's FIN: what there still is to say is waited for. Linux: net/ipv4/tcp_input.c, tcp_fin."""
    host = receiver.network.host
    receiver.incoming_processor = host.processor
    if receiver.state == ESTABLISHED:
        is_answering(receiver)
        receiver.answer_count = receiver.network.sysctls.answers_needed
        receiver.owes_since_ns = receiver.owes_since_ns or host.clock.now_ns


def is_answering(socket: TcpSocket) -> bool:
    """Whether what arrives is acknowledged along with an answer; not any more once none came in time.

    Linux: net/ipv4/tcp_timer.c, tcp_delack_timer_handler.
    """
    since_ns = socket.owes_since_ns
    needed = socket.network.sysctls.answers_needed
    if since_ns and socket.answer_count >= needed:
        # Where no data has told how fast the program answers, as long as a tick.
        wait_ns = _WAIT_NS if socket.bytes_received else TICK_NS
        if socket.network.host.clock.now_ns - since_ns >= wait_ns:
            forget(socket)
    return socket.answer_count >= needed


def choose_answering(socket: TcpSocket, *, is_quick: bool) -> None:
    """TCP_QUICKACK. Linux: net/ipv4/tcp.c, __tcp_sock_set_quickack."""
    socket.answer_count = 0 if is_quick else socket.network.sysctls.answers_needed
    if is_quick:
        socket.owes_since_ns = 0
