"""What poll(2) tells of a TCP socket, and who waits for room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.socket import SocketOption
from procession.net.socket import (
    BOTH_WAYS,
    CLOSED,
    LISTENING,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLPRI,
    POLLRDHUP,
    RECEIVING,
    SENDING,
    SYN_SENT,
)

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_SO_OOBINLINE = int(SocketOption.SO_OOBINLINE)


def ready_events(socket: TcpSocket) -> int:
    """POLLIN, POLLOUT ... as far as they are true now. Linux: net/ipv4/tcp.c, tcp_poll."""
    state = socket.state
    if state == LISTENING:
        return POLLIN if socket.connections else 0
    ended = socket.ended
    mask = POLLERR if socket.error or socket.error_queue else 0
    if ended == BOTH_WAYS or state == CLOSED:
        mask |= POLLHUP
    if ended & RECEIVING:
        mask |= POLLIN | POLLRDHUP
    if state == SYN_SENT:
        # What is sent connects (TCP_FASTOPEN_CONNECT).
        return mask | POLLOUT if socket.is_deferred else mask
    urgent = socket.urgent
    if socket.arrived.length - (urgent.is_at_mark(socket) and not socket.options.get(_SO_OOBINLINE)) >= (
        socket.receive_low_water
    ):
        mask |= POLLIN
    if urgent.is_unread:
        mask |= POLLPRI
    if ended & SENDING or socket.is_writable:
        mask |= POLLOUT
    else:
        socket.is_short_of_room = True
    return mask


def wake_writer(socket: TcpSocket) -> None:
    """There may be room to send again. Linux: net/core/stream.c, sk_stream_write_space."""
    if socket.is_short_of_room and socket.is_writable:
        # Who signals looks at that too.
        socket.write_queue.wake_all()
        socket.is_short_of_room = False
