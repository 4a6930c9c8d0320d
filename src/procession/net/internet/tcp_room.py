"""How the buffers of TCP's connections grow: SO_SNDBUF at first, SO_RCVBUF with what is read (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.socket import SocketOption
from procession.net.buffer_charge import SMALL_PACKET_CHARGE
from procession.net.internet.tcp_segment import bound_to_half_window, first_window, told_segment_bytes

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_SO_BUF_LOCK = int(SocketOption.SO_BUF_LOCK)
_SEND_LOCK, _RECEIVE_LOCK = 1, 2
FIRST_WINDOW_SEGMENTS = 10
"""How many segments go before any is acknowledged (in Linux, TCP_INIT_CWND)."""
SEND_ROOM = 2_626_560
"""What SO_SNDBUF has grown to once there is a connection, on the loopback, if tcp_wmem lets it."""
_LONGEST_PACKET = 65_535
"""Up to how long segments go to the interface together."""
_PACKETS_BETWEEN_LOOKS = 16
"""After so many packets a call looks at what was acknowledged meanwhile (in Linux, process_backlog)."""


def _packet_bytes(socket: TcpSocket) -> int:
    """How much of the stream goes to the interface at once: whole segments, not beyond half of the window.

    Linux: net/ipv4/tcp.c, tcp_xmit_size_goal.
    """
    segment = told_segment_bytes(socket)
    longest = bound_to_half_window(socket, _LONGEST_PACKET)
    return max(longest - longest % segment, segment)


def room_left(socket: TcpSocket, waiting: int) -> int:
    """How many bytes may follow the `waiting` ones: a packet is begun as long as they take less than
    SO_SNDBUF, and filled all the same.

    Linux: net/ipv4/tcp.c, tcp_sendmsg_locked; include/net/sock.h, sk_stream_memory_free.
    """
    packet = _packet_bytes(socket)
    begun = waiting % packet
    left = packet - begun if begun else 0
    free = socket.send_room - waiting - (waiting + packet - 1) // packet * SMALL_PACKET_CHARGE
    if free > 0:
        left += -(-free // (packet + SMALL_PACKET_CHARGE)) * packet
    return left


def room_of_call(socket: TcpSocket, length: int) -> int:
    """How much of `length` bytes a call takes that doesn't wait: it sees nothing acknowledged of what it
    sends, unless it's long."""
    left = room_left(socket, socket.on_the_way)
    if left >= _PACKETS_BETWEEN_LOOKS * _packet_bytes(socket):
        return length
    # Without any room it's the sending that says so.
    return min(length, left) if left else length


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
