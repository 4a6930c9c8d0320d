"""What TCP keeps back until a segment is full: MSG_MORE and TCP_CORK (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.net.internet.tcp_filter import current_flow, lose
from procession.net.internet.tcp_options import CORK
from procession.net.internet.tcp_passing import meet_nobody, pass_on
from procession.net.internet.tcp_rejoin import meet
from procession.net.internet.tcp_repair import is_under_repair
from procession.net.internet.tcp_segment import segment_bytes
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
    whole = len(held) if is_last else len(held) - len(held) % segment_bytes(socket)
    socket.held = held[whole:]
    if whole:
        if not socket.lost_count:
            socket.network.tcp.stop_timer(socket)
        pass_on(socket, held[:whole])
    if socket.held and socket.timer is None:
        socket.network.tcp.start_timer(socket, LONGEST_HOLD_NS)


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
    held, socket.held = socket.held, b""
    pass_on(socket, held)
