"""TCP: connections whose bytes go straight from one end to the other; tcp(7)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import ECONNREFUSED, ECONNRESET, EFAULT, EINVAL, ENOTCONN, EPIPE
from procession.abi.socket import SocketOption
from procession.abi.word import pack_u32
from procession.hardware.kernel_memory import SOCKET_BUFFER
from procession.net.byte_queue import ByteQueue
from procession.net.internet.address import any_of
from procession.net.internet.error_queue import queue_copied, receive_error
from procession.net.internet.flow import Flow
from procession.net.internet.socket import InternetSocket
from procession.net.internet.tcp_acknowledgement import bytes_were_read
from procession.net.internet.tcp_backlog import admit, leave_listener, listen, move_payer
from procession.net.internet.tcp_close import (
    CAN_SEND,
    CLOSE_WAIT,
    close,
    disconnect,
    send_end,
    send_reset,
    shut_down,
    wait_for_end,
)
from procession.net.internet.tcp_connect import connect, send_to_open
from procession.net.internet.tcp_connection import Key
from procession.net.internet.tcp_fastopen import FastOpen
from procession.net.internet.tcp_filter import current_flow
from procession.net.internet.tcp_held import hold, push_held
from procession.net.internet.tcp_ioctl import told_number
from procession.net.internet.tcp_negotiation import NOT_YET
from procession.net.internet.tcp_options import CORK, INQUEUE, NOT_SENT_LOW_WATER, take_defaults
from procession.net.internet.tcp_passing import meet_nobody, pass_on
from procession.net.internet.tcp_phase import CONNECTED, NO_ROLE, UNCONNECTED
from procession.net.internet.tcp_poll import ready_events, wake_writer
from procession.net.internet.tcp_rejoin import be_repaired, look_at_queue, send_alone, send_under_repair
from procession.net.internet.tcp_repair import Repair, is_under_repair
from procession.net.internet.tcp_room import grow_receive_room, room_left, room_of_call
from procession.net.internet.tcp_segment import WIDEST_WINDOW, told_segment_bytes
from procession.net.internet.tcp_stamps import Stamps, chosen_stamping, note_stamp, start_numbering, tell_gone
from procession.net.internet.tcp_urgent import UrgentByte
from procession.net.message import Received
from procession.net.socket import (
    BOTH_WAYS,
    CLOSED,
    LISTENING,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_FASTOPEN,
    MSG_MORE,
    MSG_NOT_LAST,
    MSG_OOB,
    MSG_PEEK,
    RECEIVING,
    SENDING,
    SYN_SENT,
    Socket,
)
from procession.net.sysctls import RECEIVE_ROOMS
from procession.net.timestamp import (
    STAMP_REQUESTS,
    stream_stages,
    tell_stamp,
    timestamp_items,
)

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.internet.port_table import PortTable
    from procession.net.message import Control
    from procession.net.network import Network

_PAGE_FRAGMENT = 32_768
PRESSED_ROOM = 4096
"""How much a connection may have on the way when all the machine's buffers are full."""

_SO_OOBINLINE = int(SocketOption.SO_OOBINLINE)


class TcpSocket(InternetSocket):
    """A TCP socket (Linux: include/linux/tcp.h, struct tcp_sock).

    `peer` is the other end, as long as it can be spoken to. `arrived` are the bytes that wait to be
    received, of which the last came at `arrival_ns`, 0 if nobody wanted to know: Linux too joins what waits,
    and tells the later time (tcp_try_coalesce). What is beyond `receive_room` is taken to be in the sender's
    buffer still. `urgent` is the byte that MSG_OOB sent last. `has_ended` says that the other end sends no
    more (its FIN), `is_orphan` that nobody has this socket open any more.

    Of a listening socket, `connections` wait to be accepted, up to `backlog`; `deferred` are connections that
    have said nothing yet (TCP_DEFER_ACCEPT).
    `phase` is how far connect(2) has come, `role` what it has been (tcp_phase.py), `syn_count` how many SYNs
    were sent, `seen_as` the key that the other end has for the last of them, and `flow` where the bytes go.
    `held` is what MSG_MORE and TCP_CORK keep back, and what the other end's filter doesn't let in, which was
    sent `lost_count` times in vain. `number_gaps` are how far the next number to send is ahead of the last
    one that was acknowledged, and of the last one that was sent, once there is no connection;
    `tried_segment_bytes` how long segments to the last one that was tried could have been; `segment_clamp`
    the length that either end of the connection chose (TCP_MAXSEG), 0 for none. `window_clamp` is
    TCP_WINDOW_CLAMP, 0 for none, `offered_window` what the other end had room for when there came to be a
    connection, `repair` what TCP_REPAIR has changed; `reordering` what tcp_reordering was.
    It has sent at `sent_at_ns` and heard at `heard_at_ns`; `answer_count` and `owes_since_ns` are of
    tcp_acknowledgement.py, as are `quick_answers`, and `owed_segments` with `owed_bytes`, which are to be
    acknowledged; it `owes_short` if one of them isn't full, for whose sake the other end `waits_for_answer`.
    Up to `measured_from` of what came everything has been read, and at most `measured_bytes` between two such
    moments.
    `stamps` are still to be told to the `error_queue`. `agreed` are the TCPI_OPT_* that both ends speak,
    NOT_YET before. `fast_open` goes with the SYN, `fast_open_keys` are those of it.
    """

    __slots__ = (
        "agreed",
        "answer_count",
        "arrival_ns",
        "arrived",
        "backlog",
        "bytes_received",
        "bytes_sent",
        "connections",
        "data_segments_heard",
        "data_segments_sent",
        "deferred",
        "fast_open",
        "fast_open_keys",
        "flow",
        "has_ended",
        "heard_at_ns",
        "held",
        "is_orphan",
        "listener",
        "lost_count",
        "measured_bytes",
        "measured_from",
        "number_gaps",
        "offered_window",
        "owed_bytes",
        "owed_segments",
        "owes_short",
        "owes_since_ns",
        "peer",
        "phase",
        "quick_answers",
        "reordering",
        "repair",
        "role",
        "seen_as",
        "segment_clamp",
        "segments_heard",
        "segments_sent",
        "sent_at_ns",
        "stamps",
        "syn_count",
        "timer",
        "tried_segment_bytes",
        "urgent",
        "waits_for_answer",
        "window_clamp",
    )

    prototype: ClassVar[bytes] = b"TCP"
    is_stream: ClassVar[bool] = True
    is_connection_based: ClassVar[bool] = True
    keeps_error: ClassVar[bool] = True
    discards_truncated: ClassVar[bool] = True
    can_peek_at_offset: ClassVar[bool] = True
    most_low_water: ClassVar[int] = RECEIVE_ROOMS[2] // 2

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, family, kind, protocol, owner_uid)
        take_defaults(self)
        self.send_room = network.sysctls.send_rooms[1]
        self.receive_room = network.sysctls.receive_rooms[1]
        self.peer: TcpSocket | None = None
        self.arrived = ByteQueue()
        self.has_ended = False
        self.is_orphan = False
        self.phase, self.role, self.reordering = UNCONNECTED, NO_ROLE, network.sysctls.reordering
        self.connections: deque[TcpSocket] = deque()
        self.deferred: dict[TcpSocket, None] = {}
        self.held = b""
        self.lost_count = self.window_clamp = 0
        self.listener: TcpSocket | None = None
        self.timer: object = None
        self.backlog = self.syn_count = 0
        self.number_gaps = (0, 0)
        self.tried_segment_bytes = self.segment_clamp = 0
        self.offered_window = WIDEST_WINDOW
        self.agreed: int = NOT_YET
        self.seen_as: Key | None = None
        self.flow: Flow | None = None
        self.fast_open: FastOpen | None = None
        self.fast_open_keys: tuple[bytes, ...] = ()
        self.urgent = UrgentByte()
        self.bytes_sent = self.bytes_received = 0
        self.stamps: Stamps | None = None
        self.repair: Repair | None = None
        self.arrival_ns = self.sent_at_ns = self.heard_at_ns = self.owes_since_ns = 0
        self.answer_count = self.measured_bytes = self.measured_from = 0
        self.segments_sent = self.segments_heard = self.data_segments_sent = self.data_segments_heard = 0
        self.owed_bytes = self.owed_segments = self.quick_answers = 0
        self.owes_short = self.waits_for_answer = False

    @property
    def ports(self) -> PortTable:
        return self.network.tcp.ports

    def start_numbering(self, flags: int) -> None:
        if self.state in (CLOSED, LISTENING):
            raise EINVAL("no connection whose bytes could be counted")
        start_numbering(self, flags)

    # Connecting

    def listen(self, backlog: int) -> None:
        listen(self, backlog)

    def connect(self, address: bytes, flags: int) -> None:
        connect(self, address, flags)

    @property
    def is_deferred(self) -> bool:
        """Whether it was connected, and nothing was sent to do that (TCP_FASTOPEN_CONNECT)."""
        return self.fast_open is not None and self.fast_open.is_deferred

    @property
    def key(self) -> Key:
        """What tells this connection from others."""
        assert self.remote_address is not None
        return self.local_address, self.local_port, self.remote_address, self.remote_port

    def accept(self, flags: int) -> Socket:
        """Linux: net/ipv4/inet_connection_sock.c, inet_csk_accept."""
        if self.state != LISTENING:
            raise EINVAL("the socket doesn't listen")
        if not self.connections:
            self.wait_to_receive(flags)
        connection = self.connections.popleft()
        connection.listener = None
        connection.phase = CONNECTED
        move_payer(connection, self.network.system.account.memory.payer)
        admit(self)
        return connection

    @property
    def is_backlog_full(self) -> bool:
        """Whether there is no place for one more connection.

        Linux: include/net/sock.h, sk_acceptq_is_full.
        """
        return len(self.connections) > self.backlog or self.network.system.is_full

    # Ending

    def end(self, error: int) -> None:
        """The connection is over: it was refused, reset or timed out, or (0) both ends are done with it.

        Linux: net/ipv4/tcp.c, tcp_done.
        """
        self.network.tcp.stop_timer(self)
        if self.held:
            self.network.system.uncharge_buffer(len(self.held), self.payer)
            self.held = b""
        if self.listener is not None:
            leave_listener(self, self.listener)
        if error:
            self.error = error
            self.network.count("TcpAttemptFails" if self.state == SYN_SENT else "TcpEstabResets")
        if self.remote_address is not None and self.network.tcp.connections.get(self.key) is self:
            del self.network.tcp.connections[self.key]
        if self.agreed != NOT_YET:
            self.tried_segment_bytes = told_segment_bytes(self)
        self.state = CLOSED
        self.ended = BOTH_WAYS
        self.peer = None
        if not self.has_chosen_port:
            self.give_up_port()
        self.state_changed()

    def reset(self) -> None:
        """The other end has sent a RST. Linux: net/ipv4/tcp_input.c, tcp_reset."""
        self.incoming_processor = self.network.host.processor
        if self.state == SYN_SENT:
            self.end(ECONNREFUSED.number)
        else:
            self.end(EPIPE.number if self.state == CLOSE_WAIT else ECONNRESET.number)
        if self.is_orphan:
            self.let_go()

    def send_end(self) -> None:
        send_end(self)

    def shutdown(self, how: int) -> None:
        shut_down(self, how)

    def disconnect(self) -> None:
        disconnect(self)

    def forget_connection(self) -> None:
        """There is no other end any more, and what bind(2) didn't name is free again."""
        self.forget_addresses()
        if not self.has_chosen_port:
            self.give_up_port()

    def forget_addresses(self) -> None:
        """There is no other end any more; this one has the address that bind(2) named."""
        self.remote_address, self.remote_port = None, 0
        if not self.has_chosen_address:
            self.local_address = any_of(self.family)

    def abort(self) -> None:
        """This connection will never be accepted."""
        self.discard()
        send_reset(self)
        self.let_go()

    def discard(self) -> None:
        """Throw away what waits to be received."""
        self.network.system.uncharge_buffer(self.arrived.length, self.payer)
        self.arrived.clear()
        self.urgent = UrgentByte()

    def release(self) -> None:
        close(self)

    def be_repaired(self, *, is_probed: bool) -> None:
        be_repaired(self, is_probed=is_probed)

    def wait_for_end(self) -> None:
        wait_for_end(self)

    def let_go(self) -> None:
        """Nobody has this socket open, and it has no connection: it's gone."""
        self.give_up_port()
        self.forget()

    # Bytes

    @property
    def read_position(self) -> int:
        """How many bytes of the stream have been received by the program."""
        return self.bytes_received - self.arrived.length

    @property
    def on_the_way(self) -> int:
        """How many bytes the other end's buffer hasn't had room for, and those that are held back."""
        peer = self.peer
        if peer is None:
            return len(self.held)
        window = peer.receive_room
        if peer.window_clamp and peer.window_clamp < window:
            window = peer.window_clamp
        waiting = peer.arrived.length - window
        return (waiting if waiting > 0 else 0) + len(self.held)

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/ipv4/tcp.c, tcp_sendmsg_locked."""
        if (flags & MSG_FASTOPEN or self.is_deferred) and not is_under_repair(self):
            gone = send_to_open(self, data, flags, address)
            if gone is not None:
                return gone
        if self.state not in CAN_SEND:
            self._refuse_to_send(flags)
        if self.repair is not None and self.repair.is_on:
            return send_under_repair(self, self.repair, data, flags)
        stamping = chosen_stamping(self, control) if control is not None else None
        if self.error or self.ended & SENDING:
            self.raise_error()
            raise EPIPE("the socket was shut down")
        peer = self.peer
        if peer is None:
            return send_alone(self, data, flags)
        if not data:
            return 0
        is_held = self.held or flags & MSG_MORE or peer.owes_short or self.protocol_options.get(CORK)
        if peer.is_orphan and not is_held and current_flow(self) is not None:
            # The answer to the first bytes isn't looked at before the call has sent the last.
            if not flags & MSG_NOT_LAST:
                meet_nobody(self, peer, len(data))
            return len(data)
        system = self.network.system
        waiting = self.on_the_way
        room = self.send_room - waiting
        if room < len(data):
            room = room_left(self, waiting)
        if system.is_under_pressure:
            room = PRESSED_ROOM - peer.arrived.length
        if room <= 0:
            self.push_held()
            self.wait_to_send(flags)
        count = min(len(data), room)
        if flags & MSG_DONTWAIT and not system.account.can_charge(count):
            # Linux: net/core/stream.c, sk_stream_wait_memory.
            self.wait_to_send(flags)
        system.charge_buffer(count, self.payer)
        if len(data) > room:
            data = data[:room]
        elif flags & MSG_OOB:
            peer.urgent.arrive(peer, data[-1], peer.bytes_received + len(self.held) + count - 1)
        if (self.options or stamping) and not flags & MSG_NOT_LAST and stream_stages(self.options, stamping):
            note_stamp(self, data, stamping)
        if is_held:
            hold(self, data, flags)
        else:
            pass_on(self, data)
        return count

    def room_of_call(self, length: int) -> int:
        return room_of_call(self, length) if self.state in CAN_SEND else length

    def push_held(self) -> None:
        """Let go what MSG_MORE or TCP_CORK held back."""
        if self.held:
            push_held(self)

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        if flags & MSG_FASTOPEN or self.is_deferred:
            return
        if self.state not in CAN_SEND:
            self._refuse_to_send(flags)
        if self.error or self.ended & SENDING:
            self.raise_error()
            raise EPIPE("the socket was shut down")

    def _refuse_to_send(self, flags: int) -> None:
        """There is no connection that could be sent to. Linux: net/core/stream.c, sk_stream_wait_connect."""
        self.raise_error()
        if self.state == SYN_SENT:
            self.wait_to_send(flags)
        raise EPIPE("no connection")

    def receive(self, length: int, flags: int) -> Received:
        """Linux: net/ipv4/tcp.c, tcp_recvmsg_locked."""
        if flags & MSG_ERRQUEUE:
            return receive_error(self, length)
        if self.state == LISTENING:
            raise ENOTCONN
        if flags & MSG_OOB:
            return self.urgent.receive(self, length, flags)
        if self.repair is not None and self.repair.is_on:
            waiting = look_at_queue(self, self.repair, length, flags)
            if waiting is not None:
                return waiting
        peeked = max(self.peek_offset, 0) if flags & MSG_PEEK else 0
        if self.arrived.length <= peeked:
            return self._find_nothing(flags)
        if self.urgent.is_pending:
            if self.urgent.position == self.read_position and self.caller.has_pending_signal:
                # The handler of SIGURG shall find the byte. Linux: net/ipv4/tcp.c, tcp_recvmsg_locked.
                self.wait_to_receive(flags)
            if self.urgent.position == self.read_position and not self.options.get(_SO_OOBINLINE):
                # The urgent byte isn't part of the stream.
                if flags & MSG_PEEK:
                    return self._peek(length, 1) if self.arrived.length > 1 else self._find_nothing(flags)
                self.take(1)
                self.urgent.pass_by(self)
                return self.receive(length, flags)
            length = min(length, self.urgent.bytes_before(self))
        if flags & MSG_PEEK:
            return self._peek(length, peeked)
        data = self.take(length)
        if self.peek_offset > 0:
            self.peek_offset = max(self.peek_offset - len(data), 0)
        self.urgent.pass_by(self)
        return self._received(data)

    def _find_nothing(self, flags: int) -> Received:
        """No bytes are left: the end, an error, or a wait. Raises ENOTCONN, EAGAIN, Sleep."""
        if self.has_ended:
            return self._received(b"")
        if self.error:
            self.raise_error()
        if not self.ended & RECEIVING:
            if self.state == CLOSED:
                raise ENOTCONN
            self.wait_to_receive(flags)
        return Received(b"", 0)

    def _received(self, data: bytes) -> Received:
        """What a call receives, when it came if that is asked for, and with TCP_INQ how much is left.

        Linux: net/ipv4/tcp.c, tcp_recv_timestamp.
        """
        received = Received(data, len(data))
        if self.arrival_ns and data:
            received.items = timestamp_items(self.options, self.arrival_ns)
        if self.protocol_options.get(INQUEUE):
            left = self.arrived.length
            if not left and self.has_ended:
                # Linux: net/ipv4/tcp.c, tcp_inq_hint: the end of the stream counts.
                left = 1
            received.items = [*(received.items or ()), (*INQUEUE, pack_u32(left))]
        return received

    def take(self, length: int) -> bytes:
        """Take up to `length` bytes out, and let the sender go on when half of its buffer is free."""
        data = self.arrived.take(length)
        self.network.system.uncharge_buffer(len(data), self.payer)
        if not self.arrived.length:
            position = self.bytes_received
            copied, self.measured_from = position - self.measured_from, position
            if copied > self.measured_bytes:
                grow_receive_room(self, copied)
        if self.owed_segments:
            bytes_were_read(self)
        peer = self.peer
        if peer is not None and peer.stamps is not None:
            tell_gone(peer, peer.stamps)
        if peer is not None and peer.is_short_of_room:
            wake_writer(peer)
        return data

    @property
    def is_writable(self) -> bool:
        """Whether a third of the buffer for sending is free.

        Linux: include/net/sock.h, __sk_stream_is_writeable.
        """
        peer = self.peer
        if peer is None:
            return self.send_room - len(self.held) >= len(self.held) >> 1
        if self.network.system.is_under_pressure and peer.arrived.length >= PRESSED_ROOM:
            return False
        waiting = self.on_the_way
        low_water = self.protocol_options.get(NOT_SENT_LOW_WATER) or self.network.sysctls.not_sent_low_water
        if waiting << 1 >= low_water & 0xFFFFFFFF:
            return False
        return self.send_room - waiting >= waiting >> 1

    def tell_copied(self) -> None:
        queue_copied(self)

    @property
    def waiting_bytes(self) -> int:
        """What is taken of the room for receiving."""
        return self.arrived.length + self.arrived_bytes

    @property
    def unread_bytes(self) -> int:
        return self.arrived.length

    @property
    def is_at_mark(self) -> bool:
        return self.urgent.is_at_mark(self)

    def _peek(self, length: int, skipped: int = 0) -> Received:
        data = self.arrived.peek(length, skipped)
        if self.peek_offset >= 0:
            self.peek_offset += len(data)
        return self._received(data)

    def copied_ahead(self, room: int) -> bytes:
        return self.arrived.peek(room) if not self.urgent.is_pending and room < self.arrived.length else b""

    def whole_length(self, length: int, room: int) -> int:
        """Linux: net/ipv4/tcp.c, tcp_recvmsg_locked."""
        whole = 0
        for size in self.arrived.chunk_lengths():
            if whole >= length:
                break
            piece = min(size, length - whole)
            if whole + piece > room:
                if not whole:
                    raise EFAULT
                break
            whole += piece
        return whole or length

    def whole_write(self, length: int) -> int:
        """Linux: net/ipv4/tcp.c, tcp_sendmsg_locked: bytes are copied into pages of this size."""
        return length - length % _PAGE_FRAGMENT

    def put_back(self, data: bytes) -> None:
        self.arrived.put_back(data)
        system = self.network.system
        system.account.charge_for(self.payer, SOCKET_BUFFER, len(data), always=True)
        system.buffered_bytes += len(data)

    # The rest

    def poll_mask(self) -> int:
        return ready_events(self)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        if request in STAMP_REQUESTS:
            return tell_stamp(0, request, argument, memory)
        value = told_number(self, request)
        if value is None:
            return super().ioctl(request, argument, memory)
        memory.write(argument, pack_u32(value))
        return 0
