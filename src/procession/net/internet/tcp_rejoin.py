"""Ends of TCP connections that leave without a word, and that find another one where it was (TCP_REPAIR)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOMEM, EPERM
from procession.abi.socket import TcpState
from procession.net.internet.flow import DELIVERED
from procession.net.internet.passage import ACKNOWLEDGED
from procession.net.internet.tcp_backlog import find_way_back
from procession.net.internet.tcp_filter import FIN_WAIT1, LAST_ACK, arrival, current_flow, lets_connect, lose
from procession.net.internet.tcp_repair import (
    NO_QUEUE,
    RECEIVE_QUEUE,
    SEND_QUEUE,
    received_number,
    sent_number,
)
from procession.net.message import Received
from procession.net.socket import CLOSED, ESTABLISHED, MSG_PEEK

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket
    from procession.net.internet.tcp_repair import Repair

_WORD = 0xFFFFFFFF
HAVE_CONNECTION = (
    *(ESTABLISHED, FIN_WAIT1, int(TcpState.TCP_FIN_WAIT2)),
    *(int(TcpState.TCP_CLOSE_WAIT), LAST_ACK),
)
"""The states in which there is another end."""


def vanish(socket: TcpSocket) -> None:
    """The connection of a socket under repair is over, and the other end isn't told.

    Linux: net/ipv4/tcp.c, tcp_disconnect.
    """
    peer = socket.peer
    if peer is not None and peer.peer is socket:
        peer.peer = None
    socket.end(0)


def meet(socket: TcpSocket) -> bool:
    """Find the other end again, or another one that was made in its place: whether there is one that goes on
    where it was. If nobody is there, it's answered by a RST.
    """
    flow = current_flow(socket)
    if flow is None:
        return False
    arrived = arrival(socket, flow, ACKNOWLEDGED)
    if arrived is None:
        return False
    way, key = arrived
    if way.outcome != DELIVERED:
        return False
    other = way.network.tcp.connections.get(key)
    if other is None or other.state not in HAVE_CONNECTION:
        socket.seen_as = key
        way_back = find_way_back(socket, way.network)
        if way_back is not None and lets_connect(None, socket, key, flow, way, way_back):
            socket.reset()
        return False
    if other.peer is not None or not (_continues(socket, other) and _continues(other, socket)):
        return False
    for one, another in ((socket, other), (other, socket)):
        one.peer, one.lost_count = another, 0
        _forget_arrived(one, another)
    for one in (other, socket):
        if one.held:
            one.push_held()
    return True


def _continues(sender: TcpSocket, receiver: TcpSocket) -> bool:
    """Whether what `sender` has to send begins where `receiver` is, or before that."""
    return received_number(receiver) - sent_number(sender) & _WORD <= len(sender.held)


def _forget_arrived(sender: TcpSocket, receiver: TcpSocket) -> None:
    """What `receiver` has got already isn't sent once more."""
    count = received_number(receiver) - sent_number(sender) & _WORD
    sender.network.system.uncharge_buffer(count, sender.payer)
    sender.held = sender.held[count:]
    sender.bytes_sent += count


def be_repaired(socket: TcpSocket, *, is_probed: bool) -> None:
    """The repair is over. If `is_probed`, the other end is asked for its window at once.

    Linux: net/ipv4/tcp_output.c, tcp_send_window_probe.
    """
    if socket.state not in HAVE_CONNECTION:
        return
    if socket.peer is not None:
        socket.push_held()
    elif not (is_probed and meet(socket)) and socket.held:
        lose(socket)


def send_alone(socket: TcpSocket, data: bytes, flags: int) -> int:
    """Send to an other end that has left, or was never met."""
    if not data:
        return 0
    if meet(socket):
        return socket.send(data, flags, None, None)
    if socket.state == CLOSED:
        # It has found nobody, and that is known only now that it has been sent.
        return len(data)
    count = _keep(socket, data, flags)
    lose(socket)
    return count


def send_under_repair(socket: TcpSocket, repair: Repair, data: bytes, flags: int) -> int:
    """Fill one of the queues. Raises EINVAL, ENOMEM. Linux: net/ipv4/tcp.c, tcp_sendmsg_locked;
    net/ipv4/tcp_input.c, tcp_send_rcvq."""
    if repair.queue == NO_QUEUE:
        raise EINVAL("no queue was chosen")
    if not data:
        return 0
    if repair.queue == SEND_QUEUE:
        return _keep(socket, data, flags)
    count = len(data)
    if socket.waiting_bytes + count > socket.receive_room:
        raise ENOMEM("no room in the queue")
    socket.network.system.charge_buffer(count, socket.payer)
    socket.arrived.append(data)
    socket.bytes_received += count
    return count


def _keep(socket: TcpSocket, data: bytes, flags: int) -> int:
    """Put `data` behind what is to be sent, as far as there is room."""
    room = socket.send_room - socket.on_the_way
    if room <= 0:
        socket.wait_to_send(flags)
    data = data[:room]
    socket.network.system.charge_buffer(len(data), socket.payer)
    socket.held += data
    return len(data)


def look_at_queue(socket: TcpSocket, repair: Repair, length: int, flags: int) -> Received | None:
    """What is in the queue that the other end hasn't acknowledged; None if the other one is to be looked at.

    Raises EPERM for what would take bytes out, EINVAL. Linux: net/ipv4/tcp.c, tcp_peek_sndq.
    """
    if not flags & MSG_PEEK:
        raise EPERM("bytes of a socket under repair can only be looked at")
    if repair.queue == RECEIVE_QUEUE:
        return None
    if repair.queue == NO_QUEUE:
        raise EINVAL("no queue was chosen")
    peer = socket.peer
    data = socket.held
    count = socket.on_the_way - len(data)
    if peer is not None and count:
        data = peer.arrived.peek(count, peer.arrived.length - count) + data
    return Received(data[:length], len(data[:length]))


def end_alone(socket: TcpSocket, *, was_closing: bool) -> bool:
    """Whether the FIN of a socket finds no other end, which has left: it's sent again, or was refused."""
    if socket.peer is not None or meet(socket):
        return False
    if socket.state in HAVE_CONNECTION:
        socket.state = LAST_ACK if was_closing else FIN_WAIT1
        lose(socket)
    return True
