"""connect(2) of TCP sockets, and what connects by sending (MSG_FASTOPEN); tcp(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import (
    BY_NUMBER,
    EALREADY,
    ECONNABORTED,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENETUNREACH,
    EOPNOTSUPP,
    Errno,
)
from procession.net.internet.address import AF_UNSPEC, BROADCAST_4, family_of, is_multicast, parse, scope_of
from procession.net.internet.tcp_acknowledgement import begin
from procession.net.internet.tcp_close import disconnect
from procession.net.internet.tcp_connection import take_place
from procession.net.internet.tcp_fastopen import (
    CLIENT,
    KEPT_DATA,
    LONGEST_DATA,
    FastOpen,
    choose_cookie,
    defer_syn,
)
from procession.net.internet.tcp_handshake import send_syn
from procession.net.internet.tcp_negotiation import NOT_YET
from procession.net.internet.tcp_phase import (
    CONNECTED,
    CONNECTING,
    CONNECTOR,
    DISCONNECTING,
    LISTENER,
    UNCONNECTED,
)
from procession.net.internet.tcp_repair import is_under_repair
from procession.net.internet.tcp_room import raise_send_room
from procession.net.internet.tcp_segment import unanswered_segment_bytes
from procession.net.socket import CLOSED, ESTABLISHED, MSG_DONTWAIT, SENDING, SYN_SENT

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket


def connect(socket: TcpSocket, address: bytes, flags: int) -> None:
    """Linux: net/ipv4/af_inet.c, __inet_stream_connect; net/ipv4/tcp_ipv4.c, tcp_v4_connect."""
    if family_of(address) == AF_UNSPEC:
        disconnect(socket)
        return
    phase, frame = socket.phase, socket.caller.frame
    # A call that slept, and began what it waits for, isn't one that comes later.
    has_begun = frame is not None and frame.progress is not None
    if phase == DISCONNECTING:
        raise EINVAL("the socket was shut down before it was connected")
    if phase == CONNECTED or (phase == UNCONNECTED and socket.state != CLOSED):
        raise EISCONN
    if phase == UNCONNECTED:
        has_begun = True
        # What sending has tried before is no part of this.
        socket.fast_open = None
        start_connecting(socket, address)
        if socket.is_deferred:
            return
        if flags & MSG_DONTWAIT and not is_under_repair(socket):
            raise EINPROGRESS
    elif socket.is_deferred:
        raise EISCONN
    elif socket.state == SYN_SENT and flags & MSG_DONTWAIT:
        raise EALREADY
    wait_for_connection(
        socket, elapsed=EINPROGRESS if has_begun else EALREADY, progress=True if has_begun else None
    )


def wait_for_connection(
    socket: TcpSocket, *, elapsed: type[Errno] = EINPROGRESS, progress: object = None
) -> None:
    """Sleep until the SYN is answered. Raises what it was answered, and `elapsed` after SO_SNDTIMEO."""
    if socket.state == SYN_SENT:
        socket.sleep(socket.write_queue, socket.send_timeout_ns, elapsed=elapsed, progress=progress)
    if socket.state == CLOSED:
        error, socket.error = socket.error, 0
        disconnect(socket)
        raise BY_NUMBER.get(error, ECONNABORTED)
    socket.phase = CONNECTED


def start_connecting(socket: TcpSocket, address: bytes) -> None:
    """Send a SYN. Linux: net/ipv4/tcp_ipv4.c, tcp_v4_connect."""
    target, port = parse(address, socket.family)
    if is_multicast(target) or target == BROADCAST_4 or socket.network.routes.is_broadcast(target):
        raise ENETUNREACH
    if socket.is_ipv6_only and len(target) == 4:
        raise ENETUNREACH("only IPv6 here")
    socket.take_scope(target, scope_of(address))
    # A port from bind(2) is kept, even if that chose it; the last connection's went with it.
    socket.forget_addresses()
    flow = socket.way_with_source(socket.flow_to(target, traffic=socket.traffic_to(target, port)), port)
    if socket.role == LISTENER:
        raise EINVAL("the socket has listened")
    take_place(socket, flow.source, flow.target, port)
    if socket.network.system.aspects:
        # Rules may look at the port that was chosen. Linux: include/net/route.h, ip_route_newports.
        flow = socket.flow_to(flow.target, flow.source, traffic=socket.traffic_to(flow.target, port))
    socket.phase, socket.role = CONNECTING, CONNECTOR
    socket.error = 0
    socket.number_gaps = (0, 0)
    socket.agreed = NOT_YET
    socket.flow = flow
    socket.tried_segment_bytes = unanswered_segment_bytes(socket)
    repair = socket.repair
    if repair is not None:
        if repair.is_on:
            repair.shake_no_hands()
            socket.state = ESTABLISHED
            raise_send_room(socket)
            socket.state_changed()
            return
        repair.start_anew()
    if (flow.source, socket.local_port) == (flow.target, port):
        connect_to_itself(socket)
        return
    socket.syn_count = 0
    if defer_syn(socket, flow):
        socket.state = SYN_SENT
        return
    choose_cookie(socket, flow)
    socket.network.count("TcpActiveOpens")
    send_syn(socket, flow)


def connect_to_itself(socket: TcpSocket) -> None:
    """A socket's own address is where it connects to: its SYN meets itself, a simultaneous open (RFC 9293).

    Linux: net/ipv4/tcp_input.c, tcp_rcv_synsent_state_process.
    """
    socket.state = ESTABLISHED
    socket.peer = socket
    raise_send_room(socket)
    begin(socket, has_called=True)
    if socket.ended & SENDING:
        socket.send_end()
    socket.state_changed()


def send_to_open(socket: TcpSocket, data: bytes, flags: int, address: bytes | None) -> int | None:
    """Connect by sending `data`, to `address` if that wasn't said before (MSG_FASTOPEN). How many bytes are
    on their way; None if there is a connection now, and it's to be sent on that.

    Linux: net/ipv4/tcp.c, tcp_sendmsg_fastopen.
    """
    opening = socket.fast_open
    if not socket.network.sysctls.fast_open & CLIENT or (address and family_of(address) == AF_UNSPEC):
        raise EOPNOTSUPP("net.ipv4.tcp_fastopen has no client")
    size = min(len(data), LONGEST_DATA)
    if socket.caller.frame is None:
        if opening is not None and opening.is_deferred:
            opening.is_deferred = False
            opening.data = data[:size]
            assert socket.flow is not None
            send_syn(socket, socket.flow)
        elif socket.phase == UNCONNECTED and socket.state == CLOSED:
            opening = socket.fast_open = FastOpen(None, data[:size])
            start_connecting(socket, address or b"")
        elif socket.phase == CONNECTING:
            if socket.state == SYN_SENT and flags & MSG_DONTWAIT:
                raise EALREADY
        else:
            raise EISCONN if socket.phase in (UNCONNECTED, CONNECTED) else EINVAL
        # Who listens may be asked again later, when there is room: by what programs look at, as a rule.
        if opening is not None:
            opening.data = opening.data[:KEPT_DATA]
        if opening is not None and flags & MSG_DONTWAIT:
            if opening.cookie is None or not size or socket.state == SYN_SENT:
                raise EINPROGRESS
            return None if socket.peer is not None else size
    if socket.phase != CONNECTED:
        wait_for_connection(socket)
    return None
