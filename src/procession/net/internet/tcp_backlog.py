"""A listening TCP socket's backlog: connections that wait to be accepted, and SYNs that find no place."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, Errno
from procession.abi.socket import SocketOption
from procession.hardware.kernel_memory import SOCKET, SOCKET_BUFFER, SOCKET_BYTES
from procession.net.internet.address import ANY_6, is_link_local
from procession.net.internet.control import CONGESTION_BITS, MARK, SERVICES
from procession.net.internet.flow import Flow, find_flow
from procession.net.internet.packet_options import keep_arrival
from procession.net.internet.reuseport import join_group
from procession.net.internet.routing_rule import ANY_TRAFFIC
from procession.net.internet.tcp_acknowledgement import begin, forget
from procession.net.internet.tcp_distance import ttl_of
from procession.net.internet.tcp_fastopen import FAST_OPEN_QUEUE, take_opening
from procession.net.internet.tcp_filter import leads_to
from procession.net.internet.tcp_options import DEFER_ACCEPT, seconds_of
from procession.net.internet.tcp_phase import CONNECTOR, LISTENER, UNCONNECTED
from procession.net.internet.tcp_room import raise_send_room
from procession.net.internet.tcp_segment import agree_on_segments
from procession.net.socket import CLOSED, ESTABLISHED, LISTENING, SENDING
from procession.net.socket_filter import copy_filter

if TYPE_CHECKING:
    from procession.hardware.frame_owner import FrameOwner
    from procession.net.internet.tcp import TcpSocket
    from procession.net.network import Network

_SO_PRIORITY = int(SocketOption.SO_PRIORITY)
_ALWAYS_COOKIES = 2
"""What tcp_syncookies says if each SYN is answered by one."""


def listen(socket: TcpSocket, backlog: int) -> None:
    """Linux: net/ipv4/inet_connection_sock.c, inet_csk_listen_start."""
    if socket.state == LISTENING:
        socket.backlog = backlog
        admit(socket)
        return
    if socket.state != CLOSED or socket.phase != UNCONNECTED:
        raise EINVAL("the socket has a connection")
    if socket.has_port:
        # It may share its port only as long as nobody listens.
        socket.network.host.clock.spend_looking(socket.ports.count_at(socket.local_port))
        socket.ports.check_bind(socket, socket.local_address, socket.local_port)
    else:
        socket.bind_automatically()
    if socket.role == CONNECTOR:
        raise EINVAL("the socket had a connection, or tried to have one")
    socket.state, socket.role = LISTENING, LISTENER
    socket.backlog = backlog
    if socket.reuses_port:
        join_group(socket)
    socket.state_changed()


def establish(socket: TcpSocket, listener: TcpSocket, way_back: Flow) -> None:
    """The handshake with `listener`: its end of the connection waits to be accepted."""
    assert socket.seen_as is not None
    connection = type(listener)(
        listener.network, listener.family, listener.kind, socket.protocol, listener.owner_uid
    )
    _pass_on(listener, connection)
    _take_from_syn(connection, socket, way_back)
    connection.local_address, connection.local_port = socket.seen_as[:2]
    connection.remote_address, connection.remote_port = socket.seen_as[2:]
    connection.peer, socket.peer = socket, connection
    agree_on_segments(socket, connection)
    connection.flow, connection.role = way_back, CONNECTOR
    connection.has_port = True
    connection.ports.add(connection)
    forget(socket)
    if is_link_local(socket.seen_as[2]):
        # Linux: net/ipv6/tcp_ipv6.c, tcp_v6_init_req.
        connection.bound_index = way_back.out.index
    listener.network.tcp.connections[connection.key] = connection
    listener.network.count("TcpPassiveOpens")
    for end in (socket, connection):
        end.state = ESTABLISHED
        raise_send_room(end)
        begin(end, has_called=end is socket)
    connection.listener = listener
    if socket.fast_open is not None:
        take_opening(socket, connection, listener)
    retries = listener.protocol_options.get(DEFER_ACCEPT, 0)
    # What is answered by a cookie isn't remembered, and so not deferred.
    has_cookie = listener.network.sysctls.syn_cookies >= _ALWAYS_COOKIES
    if retries and not has_cookie and len(listener.deferred) <= listener.backlog:
        listener.deferred[connection] = None
        listener.network.tcp.start_timer(connection, seconds_of(retries) * 10**9)
    else:
        listener.connections.append(connection)
        listener.read_queue.wake_all()
    if connection.ended & SENDING:
        # The listening socket was shut down. Linux: net/ipv4/tcp_input.c, tcp_rcv_state_process.
        connection.send_end()
    socket.state_changed()


def become_acceptable(connection: TcpSocket) -> None:
    """The other end of a deferred connection has said something, or had its time (TCP_DEFER_ACCEPT).

    Where there's no place it waits for one, or is told so (tcp_abort_on_overflow).
    Linux: net/ipv4/tcp_minisocks.c, tcp_check_req.
    """
    listener = connection.listener
    assert listener is not None
    if listener.is_backlog_full:
        network = listener.network
        network.count("TcpExtListenOverflows")
        network.count("TcpExtListenDrops")
        if network.sysctls.aborts_on_overflow:
            network.count("TcpExtEmbryonicRsts")
            del listener.deferred[connection]
            connection.listener = None
            connection.abort()
        return
    del listener.deferred[connection]
    connection.network.tcp.stop_timer(connection)
    listener.connections.append(connection)
    listener.read_queue.wake_all()


def leave_listener(socket: TcpSocket, listener: TcpSocket) -> None:
    """`socket` is over, and deferred by `listener` no more.

    Linux: net/ipv4/inet_connection_sock.c, inet_csk_reqsk_queue_drop.
    """
    if socket in listener.deferred:
        del listener.deferred[socket]
        socket.listener = None
        socket.is_orphan = True


def _pass_on(listener: TcpSocket, connection: TcpSocket) -> None:
    """A new connection has what the listening socket was set to, but for SO_PRIORITY and TCP_FASTOPEN.

    Linux: net/core/sock.c, sk_clone_lock; net/ipv4/inet_connection_sock.c, inet_csk_clone_lock.
    """
    connection.options = listener.options.copy()
    connection.options.pop(_SO_PRIORITY, None)
    connection.protocol_options = listener.protocol_options.copy()
    connection.protocol_options.pop(FAST_OPEN_QUEUE, None)
    connection.peek_offset = listener.peek_offset
    connection.send_room, connection.receive_room = listener.send_room, listener.receive_room
    connection.send_timeout_ns, connection.receive_timeout_ns = (
        listener.send_timeout_ns,
        listener.receive_timeout_ns,
    )
    connection.receive_low_water = listener.receive_low_water
    connection.is_ipv6_only = listener.is_ipv6_only
    connection.window_clamp = listener.window_clamp
    connection.answer_count = listener.answer_count
    if listener.filter is not None:
        copy_filter(listener, connection)
    connection.ended = listener.ended


def _take_from_syn(connection: TcpSocket, socket: TcpSocket, way_back: Flow) -> None:
    """What a connection answers with may be what the SYN came with (tcp_reflect_tos, tcp_fwmark_accept).

    How it came is told by IP_PKTOPTIONS.

    Linux: net/ipv4/tcp_ipv4.c, tcp_v4_syn_recv_sock; include/net/inet_sock.h, inet_request_mark.
    """
    sysctls = connection.network.sysctls
    assert socket.seen_as is not None
    length = len(socket.seen_as[0])
    key = SERVICES[length]
    service = max(socket.protocol_options.get(key, 0), 0) & ~CONGESTION_BITS
    if sysctls.reflects_service:
        connection.protocol_options[key] = service
    ttl = ttl_of(socket, way_back) - len(way_back.routers)
    keep_arrival(connection, ttl, service, way_back.out.index, is_ipv6=length == len(ANY_6))
    is_within = connection.network is socket.network
    if sysctls.takes_marks and is_within and socket.mark and not connection.mark:
        connection.options[MARK] = socket.mark


def find_way_back(socket: TcpSocket, network: Network, listener: TcpSocket | None = None) -> Flow | None:
    """How what `listener`, if there is one, answers `socket` in `network` comes back to it; None if it
    doesn't. Linux: net/ipv4/inet_connection_sock.c, inet_csk_route_req."""
    assert socket.seen_as is not None
    source, port, target, target_port = socket.seen_as
    traffic = ANY_TRAFFIC
    if network.system.aspects and listener is not None:
        traffic = listener.traffic_to(target, target_port)._replace(source_port=port)
    flow = socket.flow
    device = flow.interface if flow is not None and is_link_local(target) else None
    try:
        found = find_flow(network, target, source, device, traffic)
    except Errno:
        return None
    return found if leads_to(found, socket.network) else None


def refuses_attempts(listener: TcpSocket) -> bool:
    """Whether a SYN isn't answered: there's no place, or none for one more that waits to say something.

    Linux: net/ipv4/tcp_input.c, tcp_conn_request.
    """
    if listener.is_backlog_full:
        return True
    sysctls, waiting = listener.network.sysctls, len(listener.deferred)
    if sysctls.syn_cookies or not waiting:
        return False
    return waiting > listener.backlog or sysctls.most_requests - waiting < sysctls.most_requests >> 2


def admit(listener: TcpSocket) -> None:
    """There is a place for a connection that has said something and was waiting for one."""
    for connection in list(listener.deferred) if listener.deferred else ():
        if (connection.arrived.length or connection.has_ended) and not listener.is_backlog_full:
            become_acceptable(connection)


def stop_listening(listener: TcpSocket) -> None:
    """Linux: net/ipv4/inet_connection_sock.c, inet_csk_listen_stop."""
    connections, listener.connections = [*listener.connections, *listener.deferred], deque()
    listener.deferred = {}
    listener.state = CLOSED
    for connection in connections:
        connection.listener = None
        connection.abort()


def move_payer(socket: TcpSocket, payer: FrameOwner | None) -> None:
    """Who accepts a connection pays for it from now on, and not who made it.

    Linux: net/ipv4/inet_connection_sock.c, inet_csk_accept.
    """
    system = socket.network.system
    system.move_charge(SOCKET, SOCKET_BYTES, socket.payer, payer)
    system.move_charge(SOCKET_BUFFER, socket.arrived.length + len(socket.held), socket.payer, payer)
    socket.payer = payer
