"""What ioctl(2) tells of a TCP socket: bytes that wait, bytes on the way, and whether the mark is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.ioctls import SocketIoctl
from procession.abi.socket import SocketOption
from procession.net.internet.tcp_acknowledgement import unacknowledged_bytes
from procession.net.internet.tcp_phase import CONNECTING
from procession.net.socket import CLOSED, LISTENING

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_SO_OOBINLINE = int(SocketOption.SO_OOBINLINE)
_SIOCINQ = int(SocketIoctl.SIOCINQ)
_SIOCOUTQ = int(SocketIoctl.SIOCOUTQ)
_SIOCOUTQNSD = int(SocketIoctl.SIOCOUTQNSD)
_SIOCATMARK = int(SocketIoctl.SIOCATMARK)


def told_gaps(socket: TcpSocket) -> tuple[int, int]:
    """`number_gaps` of a socket that has no connection, in which a SYN that was refused counts."""
    unacknowledged, unsent = socket.number_gaps
    return unacknowledged + (socket.phase == CONNECTING), unsent


def told_number(socket: TcpSocket, request: int) -> int | None:
    """The number that a request of TCP's asks for; None for another's. Raises EINVAL of a listening socket.

    Linux: net/ipv4/tcp.c, tcp_ioctl.
    """
    if request == _SIOCATMARK:
        return int(socket.urgent.is_at_mark(socket))
    if request not in (_SIOCINQ, _SIOCOUTQ, _SIOCOUTQNSD):
        return None
    if socket.state == LISTENING:
        raise EINVAL
    if request != _SIOCINQ:
        if socket.state == CLOSED:
            return told_gaps(socket)[request == _SIOCOUTQNSD]
        return unacknowledged_bytes(socket) if request == _SIOCOUTQ else socket.on_the_way
    value = min(socket.arrived.length, socket.receive_room)
    if socket.urgent.is_pending and not socket.options.get(_SO_OOBINLINE):
        value = min(value, socket.urgent.position - socket.read_position)
    return value
