"""TCP's SYNs: where they go, what answers, and how often they are sent again (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.errno import ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT, Errno
from procession.abi.socket import TcpState
from procession.net.internet.flow import DELIVERED, REFUSED, UNRESOLVED, Flow
from procession.net.internet.passage import SYN
from procession.net.internet.tcp_backlog import become_acceptable, establish, find_way_back, refuses_attempts
from procession.net.internet.tcp_connection import find_listener
from procession.net.internet.tcp_distance import is_choosy
from procession.net.internet.tcp_fastopen import data_in_syn
from procession.net.internet.tcp_filter import arrival, lets_connect, send_again
from procession.net.internet.tcp_poll import wake_writer
from procession.net.internet.tcp_retries import most_retries, wait_s
from procession.net.socket import SYN_SENT

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_FIN_WAIT2 = int(TcpState.TCP_FIN_WAIT2)
_NEIGHBOUR_FAILS_AFTER = 3
"""So many SYNs, a second apart, is a neighbour asked for (mcast_solicit)."""


def send_syn(socket: TcpSocket, flow: Flow) -> None:
    """Try to reach the other end. Linux: net/ipv4/tcp_output.c, tcp_connect."""
    socket.flow = flow
    if flow.is_filtered:
        # What refuses it looks for who has sent it.
        socket.state = SYN_SENT
    arrived = arrival(socket, flow, SYN)
    if arrived is None:
        _wait_unless_refused(socket)
        return
    way, seen_as = arrived
    if way.outcome == REFUSED and socket.syn_count == 0:
        assert way.error is not None
        socket.end(way.error.number)
        return
    count = socket.syn_count
    if way.outcome == UNRESOLVED and count >= _NEIGHBOUR_FAILS_AFTER:
        socket.end(EHOSTUNREACH.number)
        return
    if way.outcome == DELIVERED and not _is_anycast(way):
        network = way.network
        socket.seen_as = seen_as
        way_back = find_way_back(socket, network)
        if way_back is not None:
            flow.packet_count += 1
            listener = find_listener(network.tcp, seen_as, way.interface, data_in_syn(socket))
            is_filtered = flow.is_filtered or way_back.is_filtered or is_choosy(socket)
            if listener is not None and is_choosy(listener):
                is_filtered = True
            if is_filtered:
                socket.state = SYN_SENT
            if is_filtered and not lets_connect(listener, socket, seen_as, flow, way, way_back):
                _wait_unless_refused(socket)
            elif listener is not None and refuses_attempts(listener):
                network.count("TcpExtListenOverflows")
                network.count("TcpExtListenDrops")
                # It's as good as lost, and will be sent again.
                socket.state = SYN_SENT
                _wait_for_answer(socket)
            elif listener is None:
                way_back.packet_count += 1
                socket.incoming_processor = network.host.processor
                socket.end(ECONNREFUSED.number)
            else:
                way_back.packet_count += 1
                establish(socket, listener, way_back)
            return
    socket.state = SYN_SENT
    _wait_for_answer(socket)


def _is_anycast(way: Flow) -> bool:
    """Whether others may have the address too: who listens there takes no SYN, as the next segment may go
    elsewhere. Linux: net/ipv6/tcp_ipv6.c, tcp_v6_conn_request.
    """
    return bool(way.network.anycasts) and way.network.routes.is_anycast(way.target)


def _wait_unless_refused(socket: TcpSocket) -> None:
    """A filter has dropped something: it's sent again, unless the filter has said so."""
    if socket.state == SYN_SENT:
        _wait_for_answer(socket)


def _wait_for_answer(socket: TcpSocket) -> None:
    count = socket.syn_count
    socket.syn_count = count + 1
    socket.network.tcp.start_timer(socket, wait_s(socket, count) * NS_PER_S)


def connection_timed_out(socket: TcpSocket) -> None:
    """Nobody has answered the SYN: send it again, or give up.

    Linux: net/ipv4/tcp_timer.c, tcp_retransmit_timer, tcp_write_err.
    """
    socket.timer = None
    if socket.state != SYN_SENT:
        _look_again(socket)
        return
    if socket.syn_count > most_retries(socket):
        socket.end(ETIMEDOUT.number)
        return
    assert socket.remote_address is not None
    try:
        traffic = socket.traffic_to(socket.remote_address, socket.remote_port)
        flow = socket.flow_to(socket.remote_address, socket.local_address, traffic=traffic)
    except Errno:
        _wait_for_answer(socket)
        return
    send_syn(socket, flow)


def _look_again(socket: TcpSocket) -> None:
    """A connection has waited long enough: for data, for the other end's FIN, or to send again."""
    listener = socket.listener
    if listener is not None and socket in listener.deferred:
        become_acceptable(socket)
    elif socket.is_orphan and socket.state == _FIN_WAIT2:
        socket.end(0)
        socket.let_go()
    else:
        send_again(socket)
        wake_writer(socket)
