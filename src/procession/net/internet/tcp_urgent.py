"""TCP's urgent byte: MSG_OOB, and the mark that it leaves in the stream (tcp(7), sockatmark(3))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOTCONN
from procession.abi.socket import SocketOption
from procession.abi.word import pack_u8
from procession.net.message import Received
from procession.net.socket import CLOSED, MSG_OOB, MSG_PEEK, MSG_TRUNC, URGENT_SIGNAL_TIMER

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_SO_OOBINLINE = int(SocketOption.SO_OOBINLINE)


class UrgentByte:
    """The last urgent byte that has come to a socket (in Linux, tcp_sock's urg_data and urg_seq).

    `position` is where in the stream it is. `is_pending` until the stream has been read past it, `is_unread`
    until it has been received with MSG_OOB.
    """

    __slots__ = ("byte", "is_pending", "is_unread", "position")

    def __init__(self) -> None:
        self.byte = 0
        self.position = 0
        self.is_pending = False
        self.is_unread = False

    def arrive(self, socket: TcpSocket, byte: int, position: int) -> None:
        """A byte is there; who owns the socket's file gets SIGURG.

        Linux: net/ipv4/tcp_input.c, tcp_check_urg.
        """
        if self.is_at_mark(socket) and not socket.options.get(_SO_OOBINLINE):
            # The one before, which the stream has come to, is no part of it and goes.
            socket.take(1)
        self.byte = byte
        self.position = position
        self.is_pending = self.is_unread = True
        if socket.file is not None and socket.file.owner is not None:
            host = socket.network.host
            host.timers.add(host.clock.now_ns, URGENT_SIGNAL_TIMER, socket.file)
        socket.read_queue.wake_all()

    def is_at_mark(self, socket: TcpSocket) -> bool:
        """Whether the urgent byte is the next one of the stream."""
        return self.is_pending and self.position == socket.read_position

    def bytes_before(self, socket: TcpSocket) -> int:
        """How many bytes may be received at once: a read stops before the mark, and begins at it."""
        before = self.position - socket.read_position
        return before if before > 0 else socket.arrived.length

    def pass_by(self, socket: TcpSocket) -> None:
        """Something has been received: the mark may lie behind now."""
        if self.is_pending and socket.read_position > self.position:
            self.is_pending = self.is_unread = False

    def receive(self, socket: TcpSocket, length: int, flags: int) -> Received:
        """recv(2) with MSG_OOB. Raises EINVAL, ENOTCONN. Linux: net/ipv4/tcp.c, tcp_recv_urg."""
        if socket.options.get(_SO_OOBINLINE) or not self.is_pending or not self.is_unread:
            raise EINVAL("no urgent data")
        if socket.state == CLOSED and not socket.has_ended:
            raise ENOTCONN
        if not flags & MSG_PEEK:
            self.is_unread = False
        if not length:
            return Received(b"", 0, MSG_OOB | MSG_TRUNC)
        return Received(pack_u8(self.byte), 1, MSG_OOB)
