"""How the bytes that one end of a TCP connection sends get to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.kernel_memory import SOCKET_BUFFER
from procession.net.internet.tcp_acknowledgement import segment_passes
from procession.net.internet.tcp_backlog import become_acceptable
from procession.net.internet.tcp_close import FIN_WAIT2
from procession.net.internet.tcp_distance import is_choosy
from procession.net.internet.tcp_filter import FIN_WAIT1, lose, split
from procession.net.internet.tcp_stamps import tell_gone
from procession.net.socket import CLOSED, RECEIVING
from procession.net.timestamp import wants_time

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_HAVE_ENDED = (FIN_WAIT1, FIN_WAIT2)


def pass_on(socket: TcpSocket, data: bytes) -> None:
    """`data`, which has been charged, goes to the other end.

    Linux: net/ipv4/tcp_input.c, tcp_rcv_state_process.
    """
    peer, flow = socket.peer, socket.flow
    assert peer is not None
    assert flow is not None
    if flow.generation != socket.network.system.topology:
        # There is no way now.
        lose(socket, data)
        return
    if flow.neighbours:
        flow.confirm()
    if peer.is_orphan:
        socket.network.system.uncharge_buffer(len(data), socket.payer)
        meet_nobody(socket, peer, len(data))
        return
    lost = b""
    if flow.is_filtered or is_choosy(peer):
        data, lost = split(socket, peer, flow, data)
        if not data or socket.state == CLOSED:
            lose(socket, data + lost)
            return
        if lost:
            # Nothing goes before that.
            socket.waits_for_answer = False
    elif socket.lost_count:
        socket.lost_count = 0
    count = len(data)
    if peer.ended & RECEIVING and peer.state in _HAVE_ENDED:
        # Who was shut down both ways is reset by what comes.
        socket.network.system.uncharge_buffer(count + len(lost), socket.payer)
        peer.reset()
        socket.number_gaps = (count, 0)
        socket.reset()
        return
    if socket.payer is not peer.payer:
        socket.network.system.move_charge(SOCKET_BUFFER, count, socket.payer, peer.payer)
    peer.arrived.append(data)
    if peer.options:
        peer.arrival_ns = socket.network.host.clock.realtime_ns if wants_time(peer.options) else 0
    peer.bytes_received += count
    socket.bytes_sent += count
    flow.packet_count += 1
    flow.byte_count += count
    segment_passes(socket, peer, count)
    if socket.stamps is not None:
        tell_gone(socket, socket.stamps)
    listener = peer.listener
    if listener is not None and peer in listener.deferred:
        become_acceptable(peer)
    if peer.read_queue.waiters:
        peer.read_queue.wake_all()
    if lost:
        lose(socket, lost)


def meet_nobody(socket: TcpSocket, peer: TcpSocket, count: int) -> None:
    """The `count` bytes that were sent find nobody who receives them; that is known only when they have
    been."""
    socket.number_gaps = (count, 0)
    socket.reset()
    peer.end(0)
    peer.let_go()
