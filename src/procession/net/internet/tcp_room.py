"""How the buffers of TCP's connections grow: SO_SNDBUF at first, SO_RCVBUF with what is read (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.socket import SocketOption
from procession.net.internet.tcp_segment import first_window, told_segment_bytes

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_SO_BUF_LOCK = int(SocketOption.SO_BUF_LOCK)
_SEND_LOCK, _RECEIVE_LOCK = 1, 2
FIRST_WINDOW_SEGMENTS = 10
"""How many segments go before any is acknowledged (in Linux, TCP_INIT_CWND)."""
SEND_ROOM = 2_626_560
"""What SO_SNDBUF has grown to once there is a connection, on the loopback, if tcp_wmem lets it."""


def raise_send_room(socket: TcpSocket) -> None:
    """There is a connection: its buffer grows, unless SO_SNDBUF was set. Linux: net/ipv4/tcp_input.c,
    tcp_init_buffer_space."""
    socket.measured_from = 0
    socket.measured_bytes = min(first_window(socket), FIRST_WINDOW_SEGMENTS * told_segment_bytes(socket))
    if not socket.options.get(_SO_BUF_LOCK, 0) & _SEND_LOCK:
        socket.send_room = min(SEND_ROOM, socket.network.sysctls.send_rooms[2])


def grow_receive_room(socket: TcpSocket, copied: int) -> None:
    """The program has read all that there was: `copied` bytes, more than ever between two such times. The
    buffer grows, so that twice as much may come. Linux: net/ipv4/tcp_input.c, tcp_rcv_space_adjust."""
    old, socket.measured_bytes = socket.measured_bytes, copied
    sysctls = socket.network.sysctls
    if not sysctls.moderates_room or socket.options.get(_SO_BUF_LOCK, 0) & _RECEIVE_LOCK:
        return
    window = 2 * copied
    window += window * (copied - old) // max(old, 1) << 1
    socket.receive_room = max(socket.receive_room, min(2 * window, sysctls.receive_rooms[2]))
