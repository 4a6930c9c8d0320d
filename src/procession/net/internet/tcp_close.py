"""How TCP connections end: FIN and RST, shutdown(2), close(2), and what is left of an end nobody has open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ECONNABORTED, ECONNRESET, ENOENT, ENOTCONN
from procession.abi.socket import SocketOption, TcpState
from procession.net.internet.tcp_acknowledgement import end_arrives, forget
from procession.net.internet.tcp_backlog import become_acceptable, stop_listening
from procession.net.internet.tcp_connection import connection_is_over
from procession.net.internet.tcp_filter import FIN_WAIT1, LAST_ACK, loses_end
from procession.net.internet.tcp_ioctl import told_gaps
from procession.net.internet.tcp_options import LINGER_2
from procession.net.internet.tcp_phase import CONNECTED, UNCONNECTED, phase_after_shutdown
from procession.net.internet.tcp_rejoin import HAVE_CONNECTION, end_alone, meet, vanish
from procession.net.internet.tcp_repair import is_under_repair
from procession.net.internet.tcp_segment import widest_window_heard
from procession.net.internet.tcp_stamps import forget_stamps
from procession.net.socket import BOTH_WAYS, CLOSED, ESTABLISHED, LISTENING, RECEIVING, SENDING, SYN_SENT

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

FIN_WAIT2 = int(TcpState.TCP_FIN_WAIT2)
CLOSE_WAIT = int(TcpState.TCP_CLOSE_WAIT)
CAN_SEND = (ESTABLISHED, CLOSE_WAIT)
_OWE_NOTHING = (SYN_SENT, LAST_ACK, int(TcpState.TCP_CLOSING))
"""The other end needs no RST, as it isn't there or has ended too (in Linux, tcp_need_reset)."""
_SO_LINGER = int(SocketOption.SO_LINGER)


def shut_down(socket: TcpSocket, how: int) -> None:
    """shutdown(2) with the bits SENDING and RECEIVING of `how`. Raises ENOTCONN.

    Linux: net/ipv4/af_inet.c, inet_shutdown.
    """
    state = socket.state
    socket.phase = phase_after_shutdown(socket.phase, state)
    if state == CLOSED:
        socket.ended |= how
        socket.state_changed()
        raise ENOTCONN
    if state == LISTENING:
        if how & RECEIVING:
            disconnect(socket)
        return
    if state == SYN_SENT:
        disconnect(socket)
        return
    socket.ended |= how
    if how & SENDING and state in CAN_SEND:
        send_end(socket)
    socket.state_changed()


def send_end(socket: TcpSocket) -> None:
    """Send a FIN. Linux: net/ipv4/tcp.c, tcp_shutdown; net/ipv4/tcp_input.c, tcp_fin."""
    socket.push_held()
    if socket.state not in CAN_SEND:
        # What was held back was answered by a RST.
        return
    peer = socket.peer
    was_closing = socket.state == CLOSE_WAIT
    if peer is None and end_alone(socket, was_closing=was_closing):
        return
    peer = socket.peer
    if loses_end(socket, peer, was_closing=was_closing):
        return
    if peer is not None:
        end_arrives(peer, socket)
        peer.has_ended = True
        peer.ended |= RECEIVING
    if peer is socket:
        connection_is_over(socket)
        socket.end(0)
        return
    if was_closing:
        # The other end has been waiting for this: it keeps the port for a while.
        socket.end(0)
        if peer is not None and peer.state != CLOSED:
            connection_is_over(peer)
            peer.end(0)
            if peer.is_orphan:
                peer.let_go()
        return
    socket.state = FIN_WAIT2
    if peer is not None:
        peer.state = LAST_ACK if peer.state == FIN_WAIT1 else CLOSE_WAIT
        listener = peer.listener
        if listener is not None and peer in listener.deferred:
            become_acceptable(peer)
        peer.state_changed()


def disconnect(socket: TcpSocket) -> None:
    """Back to a socket without a connection. Linux: net/ipv4/tcp.c, tcp_disconnect."""
    was_closed = socket.state == CLOSED
    if socket.state == LISTENING:
        stop_listening(socket)
        socket.state = CLOSED
    elif not was_closed:
        is_silent = is_under_repair(socket)
        if is_silent:
            vanish(socket)
        else:
            send_reset(socket)
        socket.error = ECONNABORTED.number if is_silent else ECONNRESET.number
    had_connection = socket.phase == CONNECTED
    window = widest_window_heard(socket) if had_connection else 0
    unacknowledged, unsent = (0, 0) if had_connection else told_gaps(socket)
    # The numbers of the next connection are beyond all that the last one may have had.
    socket.number_gaps = (unacknowledged + window + 2, unsent + window + 2)
    socket.discard()
    socket.bytes_sent = socket.bytes_received = 0
    socket.peek_offset = -1
    socket.window_clamp = 0
    forget(socket)
    socket.ended = 0
    socket.has_ended = False
    socket.phase = UNCONNECTED
    socket.fast_open = None
    if was_closed:
        # Linux: net/ipv4/tcp.c, tcp_set_state gives a port up that bind(2) found.
        socket.forget_addresses()
    else:
        socket.forget_connection()
    socket.state_changed()


def close(socket: TcpSocket) -> None:
    """Nobody has this end open any more. Linux: net/ipv4/tcp.c, __tcp_close."""
    if socket.state == LISTENING:
        stop_listening(socket)
    had_unread = socket.arrived.length > 0
    socket.discard()
    forget_stamps(socket)
    socket.leave_groups()
    socket.is_orphan = True
    if socket.state == SYN_SENT:
        socket.end(0)
    elif socket.state in HAVE_CONNECTION:
        if is_under_repair(socket):
            vanish(socket)
        elif had_unread or socket.options.get(_SO_LINGER) == 0:
            # Who sent what was never read is to learn that it's lost (RFC 2525, 2.17).
            send_reset(socket)
        else:
            socket.ended = BOTH_WAYS
            if socket.state in CAN_SEND:
                send_end(socket)
    socket.state_changed()
    wait_for_end(socket)


def wait_for_end(socket: TcpSocket) -> None:
    """This end is closed: if the other one hasn't ended, it has a while for that.

    Linux: net/ipv4/tcp.c, __tcp_close; net/ipv4/tcp_timer.c, tcp_keepalive_timer.
    """
    if socket.state == CLOSED:
        socket.let_go()
    if socket.state != FIN_WAIT2:
        return
    linger_s = socket.protocol_options.get(LINGER_2, socket.network.sysctls.final_wait_s)
    if linger_s < 0:
        socket.end(0)
        socket.let_go()
    else:
        socket.network.tcp.stop_timer(socket)
        socket.network.tcp.start_timer(socket, linger_s * 10**9)


def destroy(socket: TcpSocket) -> None:
    """An administrator ends a listener, a connection, or the attempt to make one: who has it open hears that
    it was aborted. Raises ENOENT if there's none.

    Linux: net/ipv4/tcp.c, tcp_abort.
    """
    error = ECONNABORTED.number
    if socket.state == CLOSED:
        raise ENOENT("there's no connection")
    if socket.state == LISTENING:
        stop_listening(socket)
        socket.end(error)
        return
    if socket.state in _OWE_NOTHING:
        socket.end(error)
    else:
        send_reset(socket, error)
    if socket.is_orphan:
        socket.let_go()


def send_reset(socket: TcpSocket, error: int = 0) -> None:
    """Send a RST: the connection ends here, with an `error` for who has it open, and there. Linux:
    net/ipv4/tcp_output.c, tcp_send_active_reset."""
    if socket.peer is None and socket.state in HAVE_CONNECTION:
        meet(socket)
    peer = socket.peer
    socket.end(error)
    socket.network.count("TcpOutRsts")
    if peer is not None and peer is not socket:
        socket.segments_sent += 1
        peer.segments_heard += 1
        peer.reset()
