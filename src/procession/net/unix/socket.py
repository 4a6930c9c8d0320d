"""Local sockets (AF_UNIX): what those of streams and of datagrams have in common; unix(7)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EADDRINUSE, ECONNRESET, EINVAL, ENOTCONN, EOPNOTSUPP, EPERM
from procession.abi.ioctls import SocketIoctl
from procession.abi.socket import AddressFamily, SocketOption, SocketType
from procession.abi.word import pack_u32
from procession.fs.landlock import SCOPE_SOCKETS, is_out_of_scope
from procession.fs.wait_queue import WaitQueue
from procession.net.message import Received
from procession.net.peer_identity import SenderCredentials, credentials_of
from procession.net.socket import BOTH_WAYS, LISTENING, POLLOUT, RECEIVING, SENDING, Socket
from procession.net.unix.garbage import add_flight, discard, end_flight, note_closed
from procession.net.unix.names import (
    forget_socket_file,
    format_address,
    make_socket_file,
    parse_address,
    wants_automatic_name,
)

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import UserMemory
    from procession.fs.landlock import Domain
    from procession.net.message import Control, Message
    from procession.net.network import Network
    from procession.net.peer_identity import PeerIdentity

AF_UNIX = int(AddressFamily.AF_UNIX)
STREAM = int(SocketType.SOCK_STREAM)

_SO_PASSSEC = int(SocketOption.SO_PASSSEC)
_SO_PASSCRED = int(SocketOption.SO_PASSCRED)
_SO_PASSPIDFD = int(SocketOption.SO_PASSPIDFD)
_SO_PASSRIGHTS = int(SocketOption.SO_PASSRIGHTS)
_SIOCINQ = int(SocketIoctl.SIOCINQ)
_SIOCOUTQ = int(SocketIoctl.SIOCOUTQ)
_SIOCATMARK = int(SocketIoctl.SIOCATMARK)


class UnixSocket(Socket):
    """A local socket (Linux: include/net/af_unix.h, struct unix_sock).

    `name` is its address: a path, or an abstract name with its NUL; `path` is the file of the former.
    `peer` is whom it sends to. `messages` wait to be received, `connections` to be accepted, each up to
    `backlog`; who waits for a place there is in `place_queue`. `peer_identity` is who was at the other end
    when the connection was made. `passes_credentials` says whether SO_PASSCRED or SO_PASSPIDFD is set:
    messages tell who sent them.
    """

    __slots__ = (
        "backlog",
        "connections",
        "domain",
        "is_dead",
        "messages",
        "name",
        "passes_credentials",
        "path",
        "peer",
        "peer_identity",
        "place_queue",
    )

    prototype: ClassVar[bytes] = b"UNIX"
    can_peek_at_offset: ClassVar[bool] = True

    def __init__(self, network: Network, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, AF_UNIX, kind, protocol, owner_uid)
        self.name: bytes | None = None
        self.path: Path | None = None
        self.peer: UnixSocket | None = None
        self.messages: deque[Message] = deque()
        self.connections: deque[UnixSocket] = deque()
        self.backlog = network.sysctls.queue_length
        self.place_queue = WaitQueue(POLLOUT)
        self.peer_identity: PeerIdentity | None = None
        self.domain: Domain = ()
        self.passes_credentials = False
        self.is_dead = False
        network.unix.sockets[self] = None

    # Names

    def bind(self, address: bytes) -> None:
        """Linux: net/unix/af_unix.c, unix_bind."""
        if wants_automatic_name(address):
            self.bind_automatically()
            return
        name = parse_address(address)
        if name[0] == 0:
            if self.name is not None:
                raise EINVAL("the socket has a name")
            key = self.kind, name
            if key in self.network.unix.abstract:
                raise EADDRINUSE
            self.network.unix.abstract[key] = self
        else:
            path = make_socket_file(self, name, self.caller)
            if self.name is not None:
                # Linux too finds out only when the file is there.
                self._remove_file(path)
                raise EINVAL("the socket has a name")
            self.path = path
        self.name = name

    def _remove_file(self, path: Path) -> None:
        """Undo `make_socket_file`."""
        dentry = path.dentry
        dentry.parent.inode.unlink(dentry.name)
        dentry.parent.remove(dentry)
        forget_socket_file(path)

    def bind_automatically(self) -> None:
        """Get a name unless there is one. Linux: net/unix/af_unix.c, unix_autobind."""
        if self.name is None:
            names = self.network.unix
            self.name = names.automatic_name(self.kind)
            names.abstract[self.kind, self.name] = self

    def check_scope(self, other: UnixSocket) -> None:
        """Raise EPERM where the caller's Landlock domain keeps it from `other`, which has an abstract name.

        Linux: security/landlock/task.c, hook_unix_stream_connect, hook_unix_may_send.
        """
        domain = self.caller.credentials.landlock
        if (
            domain
            and other.name is not None
            and other.name[0] == 0
            and is_out_of_scope(domain, other.domain, SCOPE_SOCKETS)
        ):
            raise EPERM("the Landlock domain doesn't reach so far")

    def bind_for_credentials(self) -> None:
        """Who wants to know of senders has a name itself, for their answers (SO_PASSCRED of unix(7))."""
        if self.passes_credentials:
            self.bind_automatically()

    def getname(self, peer: int) -> bytes:
        """Linux: net/unix/af_unix.c, unix_getname."""
        named = self.peer if peer else self
        if named is None:
            raise ENOTCONN
        return format_address(named.name)

    # Credentials and files

    def set_plain_option(self, name: int, value: int) -> None:
        """SO_PASSCRED, SO_PASSSEC or SO_PASSPIDFD has been set to `value`."""
        self.options[name] = value
        self.passes_credentials = bool(self.options.get(_SO_PASSCRED) or self.options.get(_SO_PASSPIDFD))

    def inherit_options(self, listener: UnixSocket) -> None:
        """Linux: net/unix/af_unix.c, unix_sock_inherit_flags."""
        for name in (_SO_PASSCRED, _SO_PASSSEC, _SO_PASSPIDFD):
            if listener.options.get(name):
                self.set_plain_option(name, 1)
        if not listener.takes_files:
            self.options[_SO_PASSRIGHTS] = 0

    @property
    def takes_files(self) -> bool:
        """Whether files may be sent to it (SO_PASSRIGHTS)."""
        return bool(self.options.get(_SO_PASSRIGHTS, 1))

    def check_files(self, receiver: UnixSocket, control: Control | None) -> None:
        """Raise EPERM for files that the receiver doesn't take. Linux: net/unix/af_unix.c,
        unix_stream_sendmsg, unix_dgram_sendmsg."""
        if control is not None and control.files is not None and not receiver.takes_files:
            raise EPERM("the receiver takes no files")

    def credentials_for(self, receiver: UnixSocket, control: Control | None) -> SenderCredentials | None:
        """What a message to `receiver` says of its sender; None if nobody asks.

        Linux: net/unix/af_unix.c, unix_maybe_add_creds.
        """
        if control is not None and control.credentials is not None:
            return control.credentials
        if self.passes_credentials or receiver.passes_credentials or receiver.file is None:
            return credentials_of(self.caller)
        return None

    def queue(self, message: Message, receiver: UnixSocket, control: Control | None) -> None:
        """Put a message at the end of the receiver's queue, with the files of `control`, and wake it."""
        if control is not None and control.files is not None:
            message.files = control.files
            control.files = None
            add_flight(self.network.system, message.files)
        receiver.messages.append(message)
        if receiver.read_queue.waiters:
            receiver.read_queue.wake_all()

    def take_files(self, message: Message, received: Received) -> None:
        """The files of `message` are now the receiver's."""
        files, message.files = message.files, None
        if files is not None:
            end_flight(self.network.system, files)
            received.files = files

    def copy_files(self, message: Message, received: Received) -> None:
        """MSG_PEEK gives the files of `message` without taking them."""
        if message.files is not None:
            received.files = message.files.copy()

    def discard_messages(self) -> None:
        """Nobody will receive what waits."""
        messages, self.messages = self.messages, deque()
        for message in messages:
            message.charged.uncharge(message.charge)
            files, message.files = message.files, None
            if files is not None:
                discard(self.network.system, files)

    # The rest

    def shutdown(self, how: int) -> None:
        """Linux: net/unix/af_unix.c, unix_shutdown."""
        self.ended |= how
        peer = self.peer
        if peer is not None and self.is_connection_based:
            if how & RECEIVING:
                peer.ended |= SENDING
            if how & SENDING:
                peer.ended |= RECEIVING
            peer.state_changed()
        self.state_changed()
        self.place_queue.wake_all()

    def release(self) -> None:
        """Linux: net/unix/af_unix.c, unix_sock_destructor, unix_release_sock."""
        names = self.network.unix
        names.sockets.pop(self, None)
        self.forget()
        if self.name is not None and self.path is None and names.abstract.get((self.kind, self.name)) is self:
            del names.abstract[self.kind, self.name]
        path, self.path = self.path, None
        self.is_dead = True
        self.leave_peer()
        self.ended = BOTH_WAYS
        self.discard_messages()
        while self.connections:
            self.connections.popleft().abort()
        self.state_changed()
        self.place_queue.wake_all()
        if path is not None:
            forget_socket_file(path)
        if self.network.system.in_flight:
            note_closed(self.network.system)

    def leave_peer(self) -> None:
        """This end is about to be gone; tell the other one."""
        self.peer = None

    def abort(self) -> None:
        """This connection will never be accepted."""
        peer = self.peer
        if peer is not None:
            peer.error = ECONNRESET.number
        self.release()

    @property
    def has_unread(self) -> bool:
        """Whether anything waits to be received. Linux takes an empty packet in front for an urgent byte that
        was read: only what is behind it counts.
        """
        messages = self.messages
        return len(messages) > 1 or any(message.offset < len(message.data) for message in messages)

    @property
    def unread_bytes(self) -> int:
        return sum(len(message.data) - message.offset for message in self.messages)

    @property
    def waiting_bytes(self) -> int:
        """What FIONREAD says."""
        return self.unread_bytes

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: net/unix/af_unix.c, unix_ioctl."""
        if request == _SIOCOUTQ:
            memory.write(argument, pack_u32(self.used_room))
            return 0
        if request == _SIOCINQ:
            if self.state == LISTENING:
                raise EINVAL
            memory.write(argument, pack_u32(self.waiting_bytes))
            return 0
        if request == _SIOCATMARK:
            raise EOPNOTSUPP("only streams have a mark")
        return super().ioctl(request, argument, memory)

    def show_details(self) -> bytes:
        """Linux: net/unix/af_unix.c, unix_show_fdinfo."""
        count = sum(len(message.files.files) for message in self.messages if message.files is not None)
        return b"scm_fds: %u\n" % count
