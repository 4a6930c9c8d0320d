"""Local datagram sockets, and those of sequenced packets: messages that keep their boundaries; unix(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import (
    EAGAIN,
    ECONNREFUSED,
    ECONNRESET,
    EMSGSIZE,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
    Errno,
)
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_u16
from procession.net.buffer_charge import datagram_charge
from procession.net.message import Message, Received, is_passed_over
from procession.net.peer_identity import PeerIdentity
from procession.net.socket import (
    BOTH_WAYS,
    CLOSED,
    ESTABLISHED,
    LISTENING,
    MSG_DONTWAIT,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLWRBAND,
    RECEIVING,
    SENDING,
    QuietBrokenPipe,
    Socket,
)
from procession.net.socket_filter import FilteredPacket, accepted_bytes
from procession.net.timestamp import is_told_time, timestamp_items
from procession.net.unix import connection as unix_connection
from procession.net.unix.names import find_socket, format_address, parse_address
from procession.net.unix.socket import UnixSocket

if TYPE_CHECKING:
    from procession.net.message import Control

_UNSPECIFIED = pack_u16(AddressFamily.AF_UNSPEC)
_MESSAGE_OVERHEAD = 32


def _sender_of(message: Message) -> bytes | None:
    """The sender's address as it is now, which may be later than the message.

    Linux: net/unix/af_unix.c, unix_copy_addr.
    """
    sender = message.charged
    if isinstance(sender, UnixSocket) and sender.name is not None:
        return format_address(sender.name)
    return None


class UnixMessageSocket(UnixSocket):
    """A local socket whose messages keep their boundaries."""

    __slots__ = ()

    def check_length(self, length: int, address: bytes | None = None) -> None:
        if length > self.send_room - _MESSAGE_OVERHEAD:
            raise EMSGSIZE("more than the buffer for sending holds")

    def get_room(self, length: int, flags: int) -> None:
        """Make sure that a message may go, whoever shall receive it. Raises Sleep, EAGAIN, EMSGSIZE, EPIPE.

        Linux: net/core/sock.c, sock_alloc_send_pskb.
        """
        self.check_length(length)
        self.raise_error()
        if self.ended & SENDING:
            raise QuietBrokenPipe("the socket was shut down")
        if not self.has_send_room():
            self.wait_to_send(flags)

    def deliver(self, receiver: UnixSocket, data: bytes, flags: int, control: Control | None) -> int:
        """Queue a message for `receiver`, once there is room. Raises Sleep, EAGAIN, EPERM, EPIPE.

        Linux: net/unix/af_unix.c, unix_dgram_sendmsg.
        """
        if receiver.peer is not None and receiver.peer is not self:
            raise EPERM("the receiver is connected to another socket")
        if receiver.ended & RECEIVING:
            raise QuietBrokenPipe("nobody reads")
        if receiver is not self.peer:
            self.check_scope(receiver)
        if receiver.peer is not self and self.is_full(receiver):
            if flags & MSG_DONTWAIT:
                raise EAGAIN("the receiver's queue is full")
            self.sleep(receiver.place_queue, self.send_timeout_ns)
        length = len(data)
        if receiver.filter is not None:
            # Linux: net/unix/af_unix.c, unix_dgram_sendmsg: the sender isn't told.
            accepted = accepted_bytes(receiver, FilteredPacket(data))
            if not accepted:
                self.sent_is_freed()
                return length
            data = data[:accepted]
        self.check_files(receiver, control)
        charge = datagram_charge(len(data))
        self.charge(charge)
        message = Message(data, charge, self, self.credentials_for(receiver, control))
        if receiver.options and is_told_time(receiver.options):
            message.time_ns = self.network.host.clock.realtime_ns
        self.queue(message, receiver, control)
        return length

    @staticmethod
    def is_full(receiver: UnixSocket) -> bool:
        """Whether `receiver` has as many messages as may wait (in Linux, unix_recvq_full)."""
        return len(receiver.messages) > receiver.backlog

    def receive(self, length: int, flags: int) -> Received:
        """Linux: net/unix/af_unix.c, __unix_dgram_recvmsg."""
        if flags & MSG_OOB:
            raise EOPNOTSUPP("no urgent data here")
        # Linux: net/core/datagram.c, __skb_try_recv_datagram: an error goes before what waits.
        self.raise_error()
        messages = self.messages
        if not messages:
            if self.ended & RECEIVING and (self.is_connection_based or not flags & MSG_DONTWAIT):
                received = Received(b"", 0)
                received.is_end = True
                return received
            self.wait_to_receive(flags)
        if flags & MSG_PEEK and self.peek_offset >= 0:
            return self._peek_at_offset(length, flags)
        message = messages[0]
        data = message.data
        full = len(data)
        received = Received(data if full <= length else data[:length], full, 0, _sender_of(message))
        if full > length:
            received.flags = MSG_TRUNC
        if self.passes_credentials:
            received.credentials = message.credentials
        if self.options:
            if not message.time_ns and is_told_time(self.options):
                # It was sent before that was asked for. Linux: net/socket.c, __sock_recv_timestamp.
                message.time_ns = self.network.host.clock.realtime_ns
            received.items = timestamp_items(self.options, message.time_ns)
        if flags & MSG_PEEK:
            message.is_peeked = not full
            self.copy_files(message, received)
            return received
        messages.popleft()
        self.take_files(message, received)
        if self.peek_offset > 0:
            self.peek_offset = max(self.peek_offset - full, 0)
        message.charged.uncharge(message.charge)
        if self.place_queue.waiters:
            self.place_queue.wake_all()
        return received

    def _peek_at_offset(self, length: int, flags: int) -> Received:
        """MSG_PEEK with SO_PEEK_OFF: past so many bytes.

        Linux: net/core/datagram.c, __skb_try_recv_from_queue.
        """
        skipped = self.peek_offset
        for chosen in self.messages:
            if not is_passed_over(len(chosen.data), skipped, is_peeked=chosen.is_peeked):
                break
            skipped -= len(chosen.data)
        else:
            if self.ended & RECEIVING and self.is_connection_based:
                return Received(b"", 0)
            self.wait_to_receive(flags)
        chosen.is_peeked = not chosen.data
        data = chosen.data[skipped : skipped + length]
        received = Received(data, len(chosen.data) - skipped, 0, _sender_of(chosen))
        if len(data) < received.length:
            received.flags = MSG_TRUNC
        if self.passes_credentials:
            received.credentials = chosen.credentials
        self.copy_files(chosen, received)
        self.peek_offset += len(data)
        return received

    @property
    def can_send_now(self) -> bool:
        """Whether poll(2) says POLLOUT."""
        return self.is_writable

    def poll_mask(self) -> int:
        """Linux: net/unix/af_unix.c, unix_dgram_poll."""
        ended = self.ended
        mask = POLLERR if self.error else 0
        if ended:
            if ended == BOTH_WAYS:
                mask |= POLLHUP
            if ended & RECEIVING:
                mask |= POLLRDHUP | POLLIN
        if self.messages or self.connections:
            mask |= POLLIN
        if self.is_connection_based and self.state == CLOSED:
            mask |= POLLHUP
        if self.state != LISTENING and self.can_send_now:
            mask |= POLLOUT | POLLWRBAND
        else:
            self.is_short_of_room = True
        return mask

    @property
    def waiting_bytes(self) -> int:
        """The length of the next message."""
        return len(self.messages[0].data) if self.messages else 0


class UnixDatagram(UnixMessageSocket):
    """A local datagram socket."""

    __slots__ = ()

    def connect(self, address: bytes, flags: int) -> None:
        """Linux: net/unix/af_unix.c, unix_dgram_connect."""
        receiver: UnixDatagram | None = None
        if address[:2] != _UNSPECIFIED:
            name = parse_address(address)
            self.bind_for_credentials()
            found = find_socket(self.network.unix, name, self.kind, self.caller)
            assert isinstance(found, UnixDatagram)
            if found.peer is not None and found.peer is not self:
                raise EPERM("the receiver is connected to another socket")
            receiver = found
        if receiver is not None:
            if self.peer is receiver:
                return
            self.check_scope(receiver)
        self._disconnect()
        if receiver is not None:
            self.peer = receiver
            self.state = ESTABLISHED
        self.write_queue.wake_all()

    def _disconnect(self) -> None:
        """Forget whom this sends to. Linux: net/unix/af_unix.c, unix_dgram_disconnected."""
        old, self.peer = self.peer, None
        self.state = CLOSED
        if old is None:
            return
        old.place_queue.remove(self)
        if self.messages:
            self.discard_messages()
            self.place_queue.wake_all()
            # Who can't reach this socket any more is told.
            if not old.is_dead and old.peer is self:
                old.error = ECONNRESET.number
                old.state_changed()
        elif not old.is_dead and old.peer is self:
            old.state_changed()

    def connect_pair(self, other: Socket) -> None:
        assert isinstance(other, UnixDatagram)
        self.peer, other.peer = other, self
        self.peer_identity = other.peer_identity = PeerIdentity(self.caller)
        self.state = other.state = ESTABLISHED

    def leave_peer(self) -> None:
        old, self.peer = self.peer, None
        if old is not None:
            old.place_queue.remove(self)

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        if flags & MSG_OOB:
            raise EOPNOTSUPP("no urgent data here")
        if address:
            parse_address(address)
        self.bind_for_credentials()
        self.get_room(length, flags)

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/unix/af_unix.c, unix_dgram_sendmsg."""
        if flags & MSG_OOB:
            raise EOPNOTSUPP("no urgent data here")
        name = parse_address(address) if address else None
        self.bind_for_credentials()
        self.get_room(len(data), flags)
        try:
            return self.deliver(self._receiver_of(name), data, flags, control)
        except Errno:
            # There was a message already, which is thrown away.
            self.sent_is_freed()
            raise

    def _receiver_of(self, name: bytes | None) -> UnixSocket:
        """Who has that name, or whom this is connected to. Raises ECONNREFUSED, ENOTCONN ..."""
        if name is not None:
            return find_socket(self.network.unix, name, self.kind, self.caller)
        receiver = self.peer
        if receiver is None:
            raise ENOTCONN
        if receiver.is_dead:
            self._disconnect()
            raise ECONNREFUSED("the receiver is gone")
        return receiver

    @property
    def can_send_now(self) -> bool:
        if not self.is_writable:
            return False
        peer = self.peer
        if peer is None or peer.peer is self or peer.is_dead or not self.is_full(peer):
            return True
        # Linux: net/unix/af_unix.c, unix_dgram_peer_wake_me.
        peer.place_queue.add(self)
        return False

    def wake(self) -> None:
        """The receiver's queue has a place: whoever polls this looks again.

        Linux: net/unix/af_unix.c, unix_dgram_peer_wake_relay.
        """
        if self.peer is not None:
            self.peer.place_queue.remove(self)
        self.write_queue.wake_all()


class UnixSequenced(UnixMessageSocket):
    """A local socket of sequenced packets: connections that keep the boundaries of messages."""

    __slots__ = ()

    is_connection_based: ClassVar[bool] = True

    @property
    def waiting_bytes(self) -> int:
        """What FIONREAD says: all messages, as of a stream. Linux: net/unix/af_unix.c, unix_inq_len."""
        return self.unread_bytes

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

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        """It goes to the other end, whatever `address` says."""
        self.check_before_control()
        if flags & MSG_OOB:
            raise EOPNOTSUPP("no urgent data here")
        if self.peer is None:
            raise ENOTCONN
        self.bind_for_credentials()
        self.get_room(length, flags)

    def check_length(self, length: int, address: bytes | None = None) -> None:
        self.check_before_control()
        super().check_length(length)

    def check_before_control(self) -> None:
        """Linux: net/unix/af_unix.c, unix_seqpacket_sendmsg."""
        self.raise_error()
        if self.state != ESTABLISHED:
            raise ENOTCONN

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/unix/af_unix.c, unix_seqpacket_sendmsg."""
        self.check_message(len(data), flags, None)
        peer = self.peer
        assert peer is not None
        return self.deliver(peer, data, flags, control)

    def receive(self, length: int, flags: int) -> Received:
        """Linux: net/unix/af_unix.c, unix_seqpacket_recvmsg."""
        if self.state != ESTABLISHED:
            raise ENOTCONN
        return super().receive(length, flags)
