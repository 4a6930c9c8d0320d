"""Sockets of all families: state, errors, timeouts, queues, and the answers of one that can do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NoReturn

from procession.abi.errno import BY_NUMBER, EAGAIN, EINTR, EOPNOTSUPP, EPIPE, ERESTARTSYS, Errno
from procession.abi.poll import PollEvent
from procession.abi.socket import MessageFlag, TcpState
from procession.fs.file import STREAM_CHUNK
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.net.message import Received
from procession.net.socket_filter import drop_filter, set_reuse_program

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.hardware.frame_owner import FrameOwner
    from procession.mm.page_cache import PageCache
    from procession.net.bpf import Program
    from procession.net.host import Caller
    from procession.net.message import Control
    from procession.net.network import Network
    from procession.net.socket_file import SocketFile

# Plain ints: the arithmetic of IntFlag is slow on the paths that use these.
POLLIN = int(PollEvent.POLLIN | PollEvent.POLLRDNORM)
POLLPRI = int(PollEvent.POLLPRI)
POLLOUT = int(PollEvent.POLLOUT | PollEvent.POLLWRNORM)
POLLWRBAND = int(PollEvent.POLLWRBAND)
POLLERR = int(PollEvent.POLLERR)
POLLHUP = int(PollEvent.POLLHUP)
POLLRDHUP = int(PollEvent.POLLRDHUP)

MSG_OOB = int(MessageFlag.MSG_OOB)
MSG_PEEK = int(MessageFlag.MSG_PEEK)
MSG_CTRUNC = int(MessageFlag.MSG_CTRUNC)
MSG_TRUNC = int(MessageFlag.MSG_TRUNC)
MSG_DONTWAIT = int(MessageFlag.MSG_DONTWAIT)
MSG_WAITALL = int(MessageFlag.MSG_WAITALL)
MSG_ERRQUEUE = int(MessageFlag.MSG_ERRQUEUE)
MSG_FASTOPEN = int(MessageFlag.MSG_FASTOPEN)
MSG_ZEROCOPY = int(MessageFlag.MSG_ZEROCOPY)
MSG_MORE = int(MessageFlag.MSG_MORE)
MSG_PROBE = int(MessageFlag.MSG_PROXY)
MSG_NOT_LAST = 0x20000
"""More bytes of the same call follow: the kernel's own, no program can say so."""
MSG_NOSIGNAL = int(MessageFlag.MSG_NOSIGNAL)
MSG_CMSG_COMPAT = 0x80000000
"""For programs of 32 bits; no header that a program sees has it."""
MSG_CMSG_CLOEXEC = int(MessageFlag.MSG_CMSG_CLOEXEC)

# The state of a connection, of whatever family (Linux: include/net/sock.h, sk_state).
ESTABLISHED = int(TcpState.TCP_ESTABLISHED)
SYN_SENT = int(TcpState.TCP_SYN_SENT)
CLOSED = int(TcpState.TCP_CLOSE)
LISTENING = int(TcpState.TCP_LISTEN)

OWN, PEER, ANY_PEER = 0, 1, 2
"""Whose address `Socket.getname` tells."""

# What shutdown(2) has ended, in `Socket.ended` (Linux: include/net/sock.h, sk_shutdown).
RECEIVING = 1
SENDING = 2
BOTH_WAYS = RECEIVING | SENDING

NO_PROCESSOR = -1
"""SO_INCOMING_CPU of a socket for which nothing has arrived."""
MINIMUM_SEND_BUFFER = 4608
MINIMUM_RECEIVE_BUFFER = 2304

URGENT_SIGNAL_TIMER = "urgent-signal"
"""The kind of the timer that tells a socket's owner of an urgent byte: after the call that has sent it."""


class QuietBrokenPipe(Errno):
    """EPIPE of datagram sockets: no SIGPIPE goes with it."""

    number = EPIPE.number
    text = EPIPE.text

    @property
    def name(self) -> str:
        return "EPIPE"


class Socket:
    """One endpoint (Linux: include/linux/net.h, struct socket; include/net/sock.h, struct sock).

    `state` is that of a connection; `ended` says which ways have been shut down; `error` is a pending errno
    that the next call reports (SO_ERROR). `file` is the open file, None before accept(2) and after the close.
    `options` holds the plain numbers of SOL_SOCKET by option; `send_room` and `receive_room` are SO_SNDBUF
    and SO_RCVBUF in bytes, `used_room` is what messages on their way take of the former.
    `is_short_of_room` is set when somebody found no room to send. `peek_offset` (SO_PEEK_OFF) is where the
    next MSG_PEEK begins, -1 for the beginning, whatever was peeked at before. Timeouts are None for none.
    `incoming_processor` (SO_INCOMING_CPU) is that on which a connection's last packet has arrived, or which
    was chosen since. `cookie` numbers the machine's sockets. `filter` decides what of that which arrives is
    let in: the program of SO_ATTACH_FILTER (Linux: include/linux/filter.h, struct sk_filter), None for none,
    and `reuse_program` who gets what arrives, of those that share a port (SO_ATTACH_REUSEPORT_CBPF).

    Readers, writers, and all who wait for a hang-up or an error have a queue each.

    Addresses come and go as the bytes of a sockaddr. `flags` are MSG_*; MSG_DONTWAIT is set for files with
    O_NONBLOCK too. The methods answer as a family that lacks the operation.
    """

    __slots__ = (
        "cookie",
        "ended",
        "error",
        "family",
        "file",
        "filter",
        "incoming_processor",
        "is_gone",
        "is_short_of_room",
        "kind",
        "network",
        "options",
        "owner_uid",
        "payer",
        "peek_offset",
        "protocol",
        "read_queue",
        "receive_low_water",
        "receive_room",
        "receive_timeout_ns",
        "reuse_program",
        "send_room",
        "send_timeout_ns",
        "state",
        "state_queue",
        "used_room",
        "write_queue",
    )

    is_stream: ClassVar[bool] = False
    """Whether bytes have no boundaries: a write may be taken in part and go on."""
    stream_chunk: ClassVar[int] = STREAM_CHUNK
    """How much of a stream is sent at a time: whole pieces."""
    is_connection_based: ClassVar[bool] = False
    keeps_error: ClassVar[bool] = False
    """Whether the next call is told of an error if this one has sent a part (in Linux, sk_stream_error)."""
    can_shut_down: ClassVar[bool] = True
    """Whether there is shutdown(2)."""
    prototype: ClassVar[bytes] = b""
    """The name of its kind (Linux: include/net/sock.h, struct proto)."""
    most_low_water: ClassVar[int] = 0x7FFFFFFF
    """What SO_RCVLOWAT is at most."""
    can_peek_at_offset: ClassVar[bool] = False
    """Whether there is SO_PEEK_OFF."""
    discards_truncated: ClassVar[bool] = False
    """Whether receiving with MSG_TRUNC throws the bytes away, as TCP does."""

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        self.network = network
        self.family = family
        self.kind = kind
        self.protocol = protocol
        self.owner_uid = owner_uid
        self.payer: FrameOwner | None = network.system.account.memory.payer
        self.cookie = network.system.add_socket()
        network.acquire()
        self.is_gone = False
        self.state = CLOSED
        self.ended = 0
        self.error = 0
        self.is_short_of_room = False
        self.file: SocketFile | None = None
        self.options: dict[int, int] = {}
        self.filter: Program | None = None
        self.reuse_program: Program | None = None
        self.send_room = network.system.first_send_room
        self.receive_room = network.system.first_receive_room
        self.send_timeout_ns: int | None = None
        self.receive_timeout_ns: int | None = None
        self.receive_low_water = 1
        self.used_room = 0
        self.incoming_processor = NO_PROCESSOR
        self.peek_offset = -1
        self.read_queue = WaitQueue(POLLIN | POLLRDHUP | POLLPRI)
        self.write_queue = WaitQueue(POLLOUT | POLLWRBAND)
        self.state_queue = WaitQueue(POLLERR | POLLHUP)

    @property
    def protocol_name(self) -> bytes:
        """What the file's attribute system.sockprotoname says."""
        return self.prototype

    @property
    def inode_number(self) -> int:
        """What lists of sockets call it; 0 unless it's open."""
        return self.file.inode.number if self.file is not None else 0

    def forget(self) -> None:
        """Nothing leads to this socket any more."""
        if not self.is_gone:
            self.is_gone = True
            if self.filter is not None:
                drop_filter(self)
            if self.reuse_program is not None:
                set_reuse_program(self, None)
            self.network.system.remove_socket(self.payer)
            self.network.put()

    # Blocking and errors

    @property
    def caller(self) -> Caller:
        """The task whose system call this is."""
        caller = self.network.host.current
        assert caller is not None
        return caller

    def sleep(
        self,
        queue: WaitQueue,
        timeout_ns: int | None,
        *,
        elapsed: type[Errno] = EAGAIN,
        progress: object = None,
    ) -> NoReturn:
        """Block on `queue`: raises Sleep, or `elapsed` once SO_RCVTIMEO or SO_SNDTIMEO is over.

        Linux: include/net/sock.h, sock_intr_errno: a call that has a timeout isn't restarted after a signal.
        """
        if timeout_ns is None:
            raise Sleep(queue, progress=progress, interrupted=ERESTARTSYS)
        host = self.network.host
        now_ns = host.clock.now_ns
        frame = self.caller.frame
        deadline_ns = frame.deadline_ns if frame is not None else None
        if deadline_ns is None:
            deadline_ns = now_ns + timeout_ns
        if deadline_ns <= now_ns:
            raise elapsed("the socket's timeout is over")
        raise Sleep(queue, deadline_ns=deadline_ns, progress=progress, interrupted=EINTR)

    def wait_to_receive(self, flags: int) -> NoReturn:
        """Nothing is there yet: raises EAGAIN, or Sleep."""
        if flags & MSG_DONTWAIT:
            raise EAGAIN
        self.sleep(self.read_queue, self.receive_timeout_ns)

    def wait_to_send(self, flags: int) -> NoReturn:
        """There is no room: raises EAGAIN, or Sleep."""
        self.is_short_of_room = True
        if flags & MSG_DONTWAIT:
            raise EAGAIN
        self.sleep(self.write_queue, self.send_timeout_ns)

    def raise_error(self) -> None:
        """Report the pending error, if there is one, and forget it.

        Linux: include/net/sock.h, sock_error.
        """
        number = self.error
        if number:
            self.error = 0
            raise BY_NUMBER[number]

    def state_changed(self) -> None:
        """Everybody looks again (Linux: net/core/sock.c, sock_def_wakeup)."""
        self.read_queue.wake_all()
        self.write_queue.wake_all()
        self.state_queue.wake_all()

    def tell_copied(self) -> None:
        """A call with MSG_ZEROCOPY has sent something, which was copied all the same."""

    # The room in buffers. Linux: include/net/sock.h, sk_wmem_alloc; net/core/sock.c.

    def has_send_room(self) -> bool:
        """Whether one more message may be queued: the buffer isn't full, nor all buffers of the machine.

        When the machine's are, a socket may still have one message on the way.
        """
        return self.used_room < self.send_room and (
            self.used_room == 0 or not self.network.system.is_under_pressure
        )

    def charge(self, size: int) -> None:
        """A message takes `size` bytes of this socket's room for sending. Raises OutOfBuffers."""
        self.network.system.charge_buffer(size, self.payer)
        self.used_room += size

    def uncharge(self, size: int) -> None:
        """A message has been received or dropped. Linux: net/core/sock.c, sock_wfree."""
        self.used_room = used = self.used_room - size
        self.network.system.uncharge_buffer(size, self.payer)
        if used << 2 <= self.send_room and self.write_queue.waiters and self.is_writable:
            self.write_queue.wake_all()

    def sent_is_freed(self) -> None:
        """What was sent takes no room any more, and may never have been seen to: who waits looks again, and
        edge-triggered epoll(7) tells that there is room. Linux: net/core/sock.c, sock_def_write_space.
        """
        if self.write_queue.waiters and self.is_writable:
            self.write_queue.wake_all()

    @property
    def is_writable(self) -> bool:
        """Whether poll(2) says so.

        Linux: include/net/sock.h, sock_writeable; net/unix/af_unix.c, unix_writable.
        """
        used = self.used_room
        return used << 2 <= self.send_room and (used == 0 or not self.network.system.is_under_pressure)

    @property
    def arrivals(self) -> tuple[int, int]:
        """How many bytes of the buffer what has arrived takes, and how many messages found no room there.

        Linux: net/core/sock.c, sk_get_meminfo.
        """
        return 0, 0

    # What a family does

    def start_numbering(self, flags: int) -> None:
        """What is sent is numbered from now on (SOF_TIMESTAMPING_OPT_ID; `flags` are all). Raises EINVAL."""

    def bind(self, address: bytes) -> None:
        """bind(2)."""
        raise EOPNOTSUPP

    def connect(self, address: bytes, flags: int) -> None:
        """connect(2)."""
        raise EOPNOTSUPP

    def connect_pair(self, other: Socket) -> None:
        """socketpair(2): this and `other`, both new, are each other's peers."""
        raise EOPNOTSUPP

    def listen(self, backlog: int) -> None:
        """listen(2), for a backlog that has been bounded."""
        raise EOPNOTSUPP

    def accept(self, flags: int) -> Socket:
        """The next connection. Raises Sleep, EAGAIN, EINVAL ..."""
        raise EOPNOTSUPP

    def getname(self, peer: int) -> bytes:
        """The address of the socket itself (OWN), of who it's connected to (PEER), or of whoever it has been
        connected to, who may be gone or hasn't answered yet (ANY_PEER). Raises ENOTCONN, EOPNOTSUPP.

        Linux: include/linux/net.h, struct proto_ops.
        """
        raise EOPNOTSUPP

    def room_of_call(self, length: int) -> int:
        """How much of `length` bytes, more than SO_SNDBUF, a call may take that doesn't wait."""
        return length

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Send `data`; how many bytes were taken. What was taken of `control` is no longer in it.

        `address` is empty where sendto(2) was given one without a length, which some protocols take for none.
        """
        raise EOPNOTSUPP

    @property
    def has_failed(self) -> bool:
        """Whether an error waits that a call leaves to the next one if it has sent a part."""
        return self.keeps_error and self.error != 0

    def check_length(self, length: int, address: bytes | None = None) -> None:
        """Raise EMSGSIZE unless a message to `address` may be so long, or what goes before that; asked before
        its bytes are read."""

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        """Raise what `send` does before it looks at a message's bytes: asked when they can't be read."""

    def check_before_control(self) -> None:
        """Raise what `send` does before it looks at control messages, which have been read; only asked where
        there are some."""

    def receive(self, length: int, flags: int) -> Received:
        """Receive up to `length` bytes."""
        raise EOPNOTSUPP

    @property
    def unread_bytes(self) -> int:
        """How many bytes wait to be received, in all messages."""
        return 0

    @property
    def is_at_mark(self) -> bool:
        """Whether a read that has got something ends here: the next byte of the stream is urgent."""
        return False

    @property
    def is_at_other_sender(self) -> bool:
        """Whether a read that has got something ends here, as the rest is another sender's, which is told."""
        return False

    def whole_length(self, length: int, room: int) -> int:
        """How much to read of `length` bytes if only `room` can be handed over. Raises EFAULT for nothing."""
        return length

    def copied_ahead(self, room: int) -> bytes:
        """What a call copies to the program's `room` bytes before it finds that the next piece won't fit."""
        return b""

    def whole_write(self, length: int) -> int:
        """How many of the first `length` bytes are taken if the next one can't be read; 0 for none."""
        return 0

    def put_back(self, data: bytes) -> None:
        """The end of what a `receive` gave couldn't be handed over; only streams keep it."""

    def shutdown(self, how: int) -> None:
        """shutdown(2) of the ways `how`: RECEIVING, SENDING or both."""
        raise EOPNOTSUPP

    def release(self) -> None:
        """The last reference to the file is gone."""

    def poll_mask(self) -> int:
        """What poll(2) says."""
        return 0

    @property
    def told_protocol(self) -> int:
        """SO_PROTOCOL."""
        return self.protocol

    def check_option(self, level: int, name: int, *, is_set: bool) -> None:
        """Raise EOPNOTSUPP or ENOPROTOOPT unless there may be such an option beyond SOL_SOCKET."""
        raise EOPNOTSUPP(f"no options of level {level} here")

    def mappable(self) -> PageCache | None:
        """The pages that mmap(2) maps, None for none (ENODEV)."""
        return None

    def check_mapped_range(self, offset: int, size: int) -> None:
        """Raise EINVAL unless so many bytes from `offset` on can be mapped."""

    def get_option(self, level: int, name: int, length: int) -> bytes:
        """getsockopt(2): the value, of which the caller may want less than it has room for: `length`, which
        may be negative. Raises ENOPROTOOPT, EINVAL ..."""
        raise EOPNOTSUPP(f"no options of level {level} here")

    def set_option(self, level: int, name: int, value: bytes) -> None:
        """setsockopt(2). Raises ENOPROTOOPT, EINVAL ..."""
        raise EOPNOTSUPP(f"no options of level {level} here")

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """What only this family answers. Raises ENOTTY."""
        from procession.net.link_ioctl import interface_ioctl

        return interface_ioctl(self, request, argument, memory)

    def show_details(self) -> bytes:
        """What /proc/PID/fdinfo/N shows beside the usual."""
        return b""
