"""Local stream sockets: connections, and bytes that keep neither boundaries nor losses; unix(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import (
    EFAULT,
    EINVAL,
    EISCONN,
    ENOTCONN,
    EOPNOTSUPP,
    EPIPE,
)
from procession.abi.ioctls import SocketIoctl
from procession.abi.socket import SocketLevel, SocketOption
from procession.abi.word import pack_u32
from procession.net.buffer_charge import STREAM_PIECE, stream_charge
from procession.net.message import Message, Received
from procession.net.socket import (
    BOTH_WAYS,
    CLOSED,
    ESTABLISHED,
    LISTENING,
    MSG_OOB,
    MSG_PEEK,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLPRI,
    POLLRDHUP,
    POLLWRBAND,
    RECEIVING,
    SENDING,
    Socket,
)
from procession.net.unix import connection as unix_connection
from procession.net.unix.names import format_address
from procession.net.unix.socket import UnixSocket
from procession.net.unix.urgent import (
    is_at_mark,
    next_readable,
    receive_urgent_byte,
    remove_first,
    send_urgent_byte,
)

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.message import Control
    from procession.net.network import Network
    from procession.net.peer_identity import SenderCredentials

_SIOCATMARK = int(SocketIoctl.SIOCATMARK)
_SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
_SO_INQ = int(SocketOption.SO_INQ)
_PIECE_OVERHEAD = 64
"""What of half of the buffer no piece takes (in Linux, unix_stream_sendmsg)."""


class UnixStream(UnixSocket):
    """A local stream socket.

    `urgent` is the byte that MSG_OOB sent last, as a message, until it's received; `marked` are messages in
    the queue that are or were such bytes.
    """

    __slots__ = ("last_sender", "marked", "urgent")

    prototype: ClassVar[bytes] = b"UNIX-STREAM"
    is_connection_based: ClassVar[bool] = True
    is_stream: ClassVar[bool] = True
    stream_chunk: ClassVar[int] = 2 * STREAM_PIECE

    def __init__(self, network: Network, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, kind, protocol, owner_uid)
        self.urgent: Message | None = None
        # Whose bytes were received last, if that was told.
        self.last_sender: SenderCredentials | None = None
        self.marked: dict[Message, None] = {}

    def listen(self, backlog: int) -> None:
        unix_connection.listen(self, backlog)

    def connect(self, address: bytes, flags: int) -> None:
        unix_connection.connect(self, address, flags)

    def accept(self, flags: int) -> Socket:
        return unix_connection.accept(self, flags)

    def connect_pair(self, other: Socket) -> None:
        unix_connection.join_pair(self, other)

    def leave_peer(self) -> None:
        unix_connection.leave_peer(self)

    def poll_mask(self) -> int:
        """Linux: net/unix/af_unix.c, unix_poll."""
        ended = self.ended
        mask = POLLERR if self.error else 0
        if ended:
            if ended == BOTH_WAYS:
                mask |= POLLHUP
            if ended & RECEIVING:
                mask |= POLLRDHUP | POLLIN
        if self.messages or self.connections:
            mask |= POLLIN
        if self.urgent is not None:
            mask |= POLLPRI
        if self.state == CLOSED:
            mask |= POLLHUP
        if self.state != LISTENING and self.is_writable:
            mask |= POLLOUT | POLLWRBAND
        else:
            self.is_short_of_room = True
        return mask

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        if address:
            raise EISCONN if self.state == ESTABLISHED else EOPNOTSUPP
        if self.peer is None:
            raise ENOTCONN
        if self.ended & SENDING:
            raise EPIPE("the socket was shut down")
        if length:
            self.raise_error()
            if not self.has_send_room():
                self.wait_to_send(flags)

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/unix/af_unix.c, unix_stream_sendmsg."""
        if flags & MSG_OOB and not data:
            raise EOPNOTSUPP("no byte to be urgent")
        if address:
            raise EISCONN if self.state == ESTABLISHED else EOPNOTSUPP
        peer = self.peer
        if peer is None:
            raise ENOTCONN
        if self.ended & SENDING:
            raise EPIPE("the socket was shut down")
        if not data:
            return 0
        self.raise_error()
        if peer.is_dead or peer.ended & RECEIVING:
            raise EPIPE("nobody reads")
        if not self.has_send_room():
            self.wait_to_send(flags)
        self.check_files(peer, control)
        if flags & MSG_OOB:
            if len(data) == 1:
                send_urgent_byte(self, data, control)
                return 1
            # The last byte goes by itself, once there is room for it.
            data = data[:-1]
        length = len(data)
        longest = (self.send_room >> 1) - _PIECE_OVERHEAD
        if longest < STREAM_PIECE and length > longest:
            data = data[:longest]
            length = longest
        charge = stream_charge(length)
        if charge + self.used_room > self.send_room and length > STREAM_PIECE:
            data, charge = self._what_fits(data)
            length = len(data)
        credentials = self.credentials_for(peer, control)
        self.charge(charge)
        self.queue(Message(data, charge, self, credentials), peer, control)
        return length

    def _what_fits(self, data: bytes) -> tuple[bytes, int]:
        """As many pieces of `data` as begin within the room, and what they take."""
        room = self.send_room - self.used_room
        if self.network.system.is_under_pressure:
            room = 1
        piece_charge = stream_charge(STREAM_PIECE)
        taken = min(-(-room // piece_charge) * STREAM_PIECE, len(data))
        taken_data = data if taken == len(data) else data[:taken]
        return taken_data, stream_charge(taken)

    def receive(self, length: int, flags: int) -> Received:
        """What has been sent, with how much is left if SO_INQ is on."""
        received = self._receive(length, flags)
        if self.options and self.options.get(_SO_INQ) and received.length:
            received.items = [(_SOL_SOCKET, _SO_INQ, pack_u32(self.unread_bytes))]
        return received

    def _receive(self, length: int, flags: int) -> Received:
        """Linux: net/unix/af_unix.c, unix_stream_read_generic."""
        if self.state != ESTABLISHED:
            raise EINVAL("not connected")
        if flags & MSG_OOB:
            return receive_urgent_byte(self, length, flags)
        messages = self.messages
        if flags & MSG_PEEK and messages:
            return self._peek(length, flags)
        if self.marked:
            # What is passed by here is gone, even if nothing is behind it.
            next_readable(self, 0, flags, has_read=False)
        if not messages:
            if self.error:
                self.raise_error()
            if self.ended & RECEIVING:
                return Received(b"", 0)
            self.wait_to_receive(flags)
        if self.peek_offset > 0:
            self.peek_offset = max(self.peek_offset - min(length, self.unread_bytes), 0)
        message = messages[0]
        data, offset = message.data, message.offset
        left = len(data) - offset
        if left <= length and len(messages) == 1:
            messages.popleft()
            if self.marked:
                self.marked.pop(message, None)
            received = Received(data[offset:] if offset else data, left)
            message.charged.uncharge(message.charge)
        elif left > length:
            received = Received(data[offset : offset + length], length)
            message.offset = offset + length
        else:
            return self._gather(length)
        self._describe(message, received)
        self.take_files(message, received)
        return received

    def _describe(self, message: Message, received: Received) -> None:
        """Say who sent the first bytes."""
        sender = message.charged
        if isinstance(sender, UnixSocket) and sender.name is not None:
            received.address = format_address(sender.name)
        if self.passes_credentials:
            received.credentials = self.last_sender = message.credentials

    def _gather(self, length: int) -> Received:
        """Receive from several messages, up to one with files or the mark or, if that is told, of another
        sender."""
        messages = self.messages
        first: Message | None = None
        parts: list[bytes] = []
        taken = 0
        received = Received(b"", 0)
        while taken < length:
            if next_readable(self, 0, 0, has_read=taken > 0) or not messages:
                break
            message = messages[0]
            if first is None:
                first = message
                self._describe(first, received)
            elif self.passes_credentials and not _is_same_sender(first.credentials, message):
                break
            data, offset = message.data, message.offset
            end = min(len(data), offset + length - taken)
            parts.append(data[offset:end])
            taken += end - offset
            had_files = message.files is not None
            self.take_files(message, received)
            if end < len(data):
                message.offset = end
                break
            remove_first(self)
            if had_files:
                break
        received.data = b"".join(parts)
        received.length = taken
        return received

    def _find_nothing(self, flags: int) -> Received:
        """There's nothing to be seen: the end, an error, or what is to come."""
        self.raise_error()
        if not self.ended & RECEIVING:
            self.wait_to_receive(flags)
        return Received(b"", 0)

    def _peek(self, length: int, flags: int) -> Received:
        """What `receive` would give, left where it is; past the SO_PEEK_OFF there may be nothing yet."""
        if self.peek_offset >= self.unread_bytes or (
            self.marked and next_readable(self, 0, flags, has_read=False) >= len(self.messages)
        ):
            return self._find_nothing(flags)
        parts: list[bytes] = []
        taken = 0
        skipped = max(self.peek_offset, 0)
        received = Received(b"", 0)
        first: Message | None = None
        position = -1
        while True:
            position = next_readable(self, position + 1, MSG_PEEK, has_read=taken > 0)
            if not 0 <= position < len(self.messages):
                break
            message = self.messages[position]
            start = message.offset + skipped
            if start >= len(message.data):
                skipped = start - len(message.data)
                continue
            skipped = 0
            if first is None:
                first = message
                self._describe(message, received)
            elif self.passes_credentials and not _is_same_sender(first.credentials, message):
                break
            end = min(len(message.data), start + length - taken)
            parts.append(message.data[start:end])
            taken += end - start
            if message.files is not None:
                self.copy_files(message, received)
                break
            if taken >= length:
                break
        if first is None:
            return self._find_nothing(flags)
        if self.peek_offset >= 0:
            self.peek_offset += taken
        received.data = b"".join(parts)
        received.length = taken
        return received

    def whole_write(self, length: int) -> int:
        """Linux: net/unix/af_unix.c, unix_stream_sendmsg."""
        return length - length % STREAM_PIECE

    def copied_ahead(self, room: int) -> bytes:
        ahead = bytearray()
        if not self.marked:
            for message in self.messages:
                if len(ahead) >= room:
                    break
                ahead += message.data[message.offset : message.offset + room - len(ahead)]
        return bytes(ahead)

    def whole_length(self, length: int, room: int) -> int:
        """Linux: net/unix/af_unix.c, unix_stream_read_generic."""
        whole = 0
        for message in self.messages:
            offset, end = message.offset, len(message.data)
            while offset < end and whole < length:
                piece = min(STREAM_PIECE - offset % STREAM_PIECE, end - offset, length - whole)
                if whole + piece > room:
                    if not whole:
                        raise EFAULT
                    return whole
                whole += piece
                offset += piece
            if whole >= length:
                break
        return whole or length

    @property
    def stream_peer(self) -> UnixStream | None:
        """The other end."""
        peer = self.peer
        assert peer is None or isinstance(peer, UnixStream)
        return peer

    @property
    def is_at_other_sender(self) -> bool:
        messages = self.messages
        return (
            self.passes_credentials and bool(messages) and not _is_same_sender(self.last_sender, messages[0])
        )

    @property
    def is_at_mark(self) -> bool:
        return is_at_mark(self)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: net/unix/af_unix.c, unix_ioctl."""
        if request == _SIOCATMARK:
            memory.write(argument, pack_u32(is_at_mark(self)))
            return 0
        return super().ioctl(request, argument, memory)

    def put_back(self, data: bytes) -> None:
        message = Message(data, 0, self)
        self.messages.appendleft(message)


def _is_same_sender(first: SenderCredentials | None, message: Message) -> bool:
    """Whether bytes of `message` may follow those of `first`. Linux: net/unix/af_unix.c, unix_skb_scm_eq."""
    second = message.credentials
    return first is second if first is None or second is None else first.is_same(second)
