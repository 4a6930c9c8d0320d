"""Urgent bytes of local streams: MSG_OOB, and the mark that one leaves (unix(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPIPE
from procession.abi.socket import SocketOption
from procession.net.buffer_charge import stream_charge
from procession.net.message import Message, Received
from procession.net.socket import MSG_OOB, MSG_PEEK, RECEIVING, URGENT_SIGNAL_TIMER
from procession.net.unix.garbage import discard

if TYPE_CHECKING:
    from procession.net.message import Control
    from procession.net.unix.stream import UnixStream

_SO_OOBINLINE = int(SocketOption.SO_OOBINLINE)


def send_urgent_byte(socket: UnixStream, byte: bytes, control: Control | None) -> None:
    """Queue one byte that is urgent; there is room. Raises EPIPE.

    The urgent byte before it becomes one like others. Linux: net/unix/af_unix.c, queue_oob.
    """
    peer = socket.stream_peer
    if peer is None or peer.is_dead or peer.ended & RECEIVING:
        raise EPIPE("nobody reads")
    charge = stream_charge(1)
    credentials = socket.credentials_for(peer, control)
    socket.charge(charge)
    message = Message(byte, charge, socket, credentials)
    peer.urgent = message
    peer.marked[message] = None
    if peer.file is not None and peer.file.owner is not None:
        host = socket.network.host
        host.timers.add(host.clock.now_ns, URGENT_SIGNAL_TIMER, peer.file)
    socket.queue(message, peer, control)


def receive_urgent_byte(socket: UnixStream, length: int, flags: int) -> Received:
    """recv(2) with MSG_OOB. Raises EINVAL. Linux: net/unix/af_unix.c, unix_stream_recv_urg."""
    message = socket.urgent
    if message is None or socket.options.get(_SO_OOBINLINE):
        raise EINVAL("no urgent byte")
    received = Received(message.data[:length], 1, MSG_OOB)
    # Nothing is told of who sent it.
    received.is_end = True
    if not flags & MSG_PEEK:
        socket.urgent = None
        message.offset = 1
    return received


def is_at_mark(socket: UnixStream) -> bool:
    """SIOCATMARK: whether the urgent byte is the next one. Linux: net/unix/af_unix.c, unix_ioctl."""
    if socket.connections:
        # What waits in a listener's queue has no bytes, as the place of a byte that was read has none.
        return True
    messages = socket.messages
    if not messages or not socket.marked:
        return False
    first, urgent = messages[0], socket.urgent
    if first is urgent:
        return True
    if first.offset < len(first.data):
        return False
    return urgent is None or (len(messages) > 1 and messages[1] is urgent)


def next_readable(socket: UnixStream, position: int, flags: int, *, has_read: bool) -> int:
    """The place in the queue of what is to be read next, from `position` on; -1 if a read ends before it.

    Without MSG_PEEK `position` is 0: what is passed by is removed. The result may be the queue's end.
    Linux: net/unix/af_unix.c, manage_oob.
    """
    messages = socket.messages
    if position >= len(messages) or not socket.marked:
        return position
    message = messages[position]
    is_peeked = bool(flags & MSG_PEEK)
    if message.offset == len(message.data) and message in socket.marked:
        # It was read by MSG_OOB: what is left is its place.
        if has_read and socket.urgent is None:
            return -1
        if is_peeked:
            position += 1
        else:
            remove_first(socket)
        if position >= len(messages):
            return position
        message = messages[position]
    if message is not socket.urgent:
        return position
    if has_read:
        return -1
    is_inline = bool(socket.options.get(_SO_OOBINLINE))
    if is_peeked:
        return position if is_inline else position + 1
    socket.urgent = None
    if is_inline:
        socket.marked.pop(message, None)
    else:
        remove_first(socket)
    return position


def remove_first(socket: UnixStream) -> None:
    """The first message leaves the queue."""
    message = socket.messages.popleft()
    socket.marked.pop(message, None)
    message.charged.uncharge(message.charge)
    files, message.files = message.files, None
    if files is not None:
        discard(socket.network.system, files)
