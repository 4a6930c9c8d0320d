"""Connections of local sockets, of streams and of sequenced packets; unix(7)."""

from __future__ import annotations

from procession.abi.errno import EAGAIN, ECONNREFUSED, ECONNRESET, EINVAL, EISCONN
from procession.net.peer_identity import PeerIdentity
from procession.net.socket import BOTH_WAYS, CLOSED, ESTABLISHED, LISTENING, MSG_DONTWAIT, RECEIVING, Socket
from procession.net.unix.names import find_socket, parse_address
from procession.net.unix.socket import UnixSocket


def listen(socket: UnixSocket, backlog: int) -> None:
    """Linux: net/unix/af_unix.c, unix_listen."""
    if socket.name is None or socket.state not in (CLOSED, LISTENING):
        raise EINVAL("the socket has no name, or a connection")
    if backlog > socket.backlog:
        socket.place_queue.wake_all()
    socket.backlog = backlog
    socket.state = LISTENING
    socket.peer_identity = PeerIdentity(socket.caller)


def connect(socket: UnixSocket, address: bytes, flags: int) -> None:
    """Linux: net/unix/af_unix.c, unix_stream_connect."""
    name = parse_address(address)
    socket.bind_for_credentials()
    listener = find_socket(socket.network.unix, name, socket.kind, socket.caller)
    if listener.state != LISTENING or listener.ended & RECEIVING:
        raise ECONNREFUSED("nobody listens")
    if len(listener.connections) > listener.backlog:
        if flags & MSG_DONTWAIT:
            raise EAGAIN("the backlog is full")
        socket.sleep(listener.place_queue, socket.send_timeout_ns)
    if socket.state != CLOSED:
        raise EISCONN if socket.state == ESTABLISHED else EINVAL
    socket.check_scope(listener)
    connection = type(socket)(socket.network, socket.kind, socket.protocol, listener.owner_uid)
    connection.name = listener.name
    connection.peer = socket
    connection.peer_identity = PeerIdentity(socket.caller)
    socket.peer = connection
    socket.peer_identity = listener.peer_identity
    socket.state = connection.state = ESTABLISHED
    listener.connections.append(connection)
    listener.read_queue.wake_all()
    socket.state_changed()


def accept(socket: UnixSocket, flags: int) -> UnixSocket:
    """Linux: net/unix/af_unix.c, unix_accept."""
    if socket.state != LISTENING:
        raise EINVAL("the socket doesn't listen")
    connections = socket.connections
    if not connections:
        if socket.ended & RECEIVING and not flags & MSG_DONTWAIT:
            raise EINVAL("the socket was shut down")
        socket.wait_to_receive(flags)
    connection = connections.popleft()
    connection.inherit_options(socket)
    socket.place_queue.wake_all()
    return connection


def join_pair(socket: UnixSocket, other: Socket) -> None:
    """Linux: net/unix/af_unix.c, unix_socketpair."""
    assert isinstance(other, UnixSocket)
    socket.peer, other.peer = other, socket
    socket.peer_identity = other.peer_identity = PeerIdentity(socket.caller)
    socket.state = other.state = ESTABLISHED


def leave_peer(socket: UnixSocket) -> None:
    """Linux: net/unix/af_unix.c, unix_release_sock."""
    peer, socket.peer = socket.peer, None
    if peer is not None:
        peer.ended = BOTH_WAYS
        if socket.has_unread:
            peer.error = ECONNRESET.number
        peer.state_changed()
