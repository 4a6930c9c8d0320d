"""What TCP keeps back until a segment is full: with MSG_MORE and TCP_CORK, and without TCP_NODELAY as long as
a short one hasn't been acknowledged (tcp(7), RFC 896)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.net.internet.tcp_acknowledgement import answer_delay_ns, settle
from procession.net.internet.tcp_filter import current_flow, lose
from procession.net.internet.tcp_options import CORK, NO_DELAY
from procession.net.internet.tcp_passing import meet_nobody, pass_on
from procession.net.internet.tcp_rejoin import meet
from procession.net.internet.tcp_repair import is_under_repair
from procession.net.internet.tcp_segment import segment_bytes, told_segment_bytes
from procession.net.socket import MSG_MORE, MSG_OOB

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

LONGEST_HOLD_NS = 200_000_000
"""After so long a short segment goes all the same (TCP_RTO_MIN)."""


def hold(socket: TcpSocket, data: bytes, flags: int) -> None:
    """Send what fills segments of `data` behind what is held, and keep the rest if more is to come.

    Linux: net/ipv4/tcp.c, tcp_push; net/ipv4/tcp_output.c, tcp_nagle_test.
    """
    held = socket.held + data
    is_last = flags & MSG_OOB or not (flags & MSG_MORE or socket.protocol_options.get(CORK))
    is_short = bool(is_last and not flags & MSG_OOB and waits_for_answer(socket))
    if is_short:
        whole = len(held) - len(held) % told_segment_bytes(socket)
    else:
        whole = len(held) if is_last else len(held) - len(held) % segment_bytes(socket)
    socket.held = held[whole:]
    socket.waits_for_answer = is_short and whole < len(held)
    if whole:
        if not socket.lost_count:
            socket.network.tcp.stop_timer(socket)
        pass_on(socket, held[:whole])
    if socket.waits_for_answer and socket.held and not socket.lost_count:
        assert socket.peer is not None
        socket.network.tcp.stop_timer(socket)
        socket.network.tcp.start_timer(socket, answer_delay_ns(socket.peer))
    elif socket.held and socket.timer is None:
        socket.network.tcp.start_timer(socket, LONGEST_HOLD_NS)


def waits_for_answer(socket: TcpSocket) -> bool:
    """Whether what is short waits until the last that was short is acknowledged.

    Linux: net/ipv4/tcp_output.c, tcp_nagle_check, tcp_minshall_check.
    """
    peer = socket.peer
    if peer is None or socket.protocol_options.get(NO_DELAY):
        return False
    settle(peer)
    return peer.owes_short


def push_held(socket: TcpSocket) -> None:
    """Let go what is held: it has waited long enough, or nothing more will come."""
    peer = socket.peer
    if not socket.held or is_under_repair(socket):
        return
    if peer is None:
        if not meet(socket):
            lose(socket)
        return
    if current_flow(socket) is None:
        lose(socket)
        return
    if peer.is_orphan:
        meet_nobody(socket, peer, len(socket.held))
        return
    if socket.waits_for_answer:
        socket.waits_for_answer = False
        if not socket.lost_count:
            socket.network.tcp.stop_timer(socket)
    held, socket.held = socket.held, b""
    pass_on(socket, held)
