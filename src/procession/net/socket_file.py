"""Open sockets as files, and sockfs, where their inodes are."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import ENFILE
from procession.abi.statfs import Magic
from procession.fs.file import O_NONBLOCK, O_RDWR, File
from procession.fs.inode import S_IFDIR, S_IFSOCK, Inode
from procession.fs.mounts.mount import KernelMount
from procession.fs.superblock import Superblock
from procession.hardware.kernel_memory import SOCKET, SOCKET_BUFFER, SOCKET_BYTES
from procession.hardware.physical_memory import OutOfBuffers, OutOfFrames
from procession.net.network import Network
from procession.net.socket import MSG_DONTWAIT, POLLIN, POLLOUT

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs
    from procession.fs.wait_queue import WaitQueue
    from procession.hardware.frame_owner import FrameOwner
    from procession.mm.page_cache import PageCache
    from procession.net.message import PassedFiles
    from procession.net.netlink.socket import NetlinkSocket
    from procession.net.network import Network
    from procession.net.socket import Socket
    from procession.net.unix.socket import UnixSocket

SOCKETS_LIMIT = 131_072
_PROTOCOL_NAME = b"system.sockprotoname"
"""The attribute with the name of a socket's protocol, its end marked by a NUL."""


_MOST_CONNECTIONS = 65_536
_FIRST_ROOM, _MOST_ROOM = 212_992, 4 << 20


class SocketFileSystem(Superblock):
    """Where the inodes of sockets are (in Linux, sockfs), and what the machine's sockets share.

    `cookie_count` numbers all sockets that there have been, `socket_count` counts the open ones, and
    `live_count` those too that are the ends of connections and aren't open.
    `buffered_bytes` counts what waits in all sockets; from `maximum_buffered_bytes` on each may have only
    one message on the way. `account` has what sockets and buffers take of the memory. `in_flight` counts,
    for each local socket, how many queued messages hold it; `files_in_flight` all files in messages by the
    user that sent them. `topology` counts the changes of all networks, and `network_count` those that there
    have been. `listeners_everywhere` are netlink sockets with NETLINK_LISTEN_ALL_NSID.
    `uevent_count` numbers the events of devices. `discarded` are the files of messages that nobody
    will receive, while they're given back; `closed_count` how many local sockets have been closed since there
    was a look for garbage. `aspects` is what rules and routes of any network have looked at (MARK ... of
    net/internet/routing_rule.py). The rooms are core/wmem_default and rmem_default, wmem_max and rmem_max of
    /proc/sys/net: what a socket has for messages at first, and may ask for.
    """

    __slots__ = (
        "account",
        "aspects",
        "buffered_bytes",
        "closed_count",
        "cookie_count",
        "discarded",
        "files_in_flight",
        "first_receive_room",
        "first_send_room",
        "in_flight",
        "is_collecting",
        "listeners_everywhere",
        "live_count",
        "maximum_buffered_bytes",
        "mld_robustness",
        "most_connections",
        "most_receive_room",
        "most_send_room",
        "most_sources_6",
        "mount",
        "network_count",
        "restricted_congestion_controls",
        "socket_count",
        "topology",
        "uevent_count",
    )

    forbids_execution: ClassVar[bool] = True
    leaves_security_to_modules: ClassVar[bool] = True

    def __init__(self, vfs: Vfs) -> None:
        super().__init__(vfs, "sockfs", int(Magic.SOCKFS_MAGIC))
        self.is_internal = True
        self.root = Inode(self, S_IFDIR | 0o555)
        self.mount = KernelMount(self)
        self.account = vfs.memory.account
        # Those that net.ipv4.tcp_allowed_congestion_control lacks: who chooses them administers a network.
        self.restricted_congestion_controls: tuple[bytes, ...] = ()
        # How many connections of each network are tracked: net.netfilter.nf_conntrack_max.
        self.most_connections = _MOST_CONNECTIONS
        # net.ipv6.mld_qrv and mld_max_msf.
        self.mld_robustness, self.most_sources_6 = 2, 64
        self.cookie_count = 0
        self.buffered_bytes = 0
        self.maximum_buffered_bytes = max(vfs.memory.frame_count << 12 >> 3, 4 << 20)
        self.first_receive_room = self.first_send_room = _FIRST_ROOM
        self.most_receive_room = self.most_send_room = _MOST_ROOM
        self.in_flight: dict[UnixSocket, int] = {}
        self.files_in_flight: dict[int, int] = {}
        self.is_collecting = False
        self.discarded: deque[PassedFiles] = deque()
        self.closed_count = 0
        self.socket_count = 0
        self.live_count = 0
        self.listeners_everywhere: dict[NetlinkSocket, None] = {}
        self.topology = 1
        self.aspects = 0
        self.network_count = 0
        self.uevent_count = 0

    def networks(self) -> list[Network]:
        """All networks of the machine."""
        return [found for found in self.vfs.namespaces.live.values() if isinstance(found, Network)]

    @property
    def is_full(self) -> bool:
        """Whether there may be no more sockets."""
        return self.live_count >= SOCKETS_LIMIT

    def add_socket(self) -> int:
        """One more socket: its number. Raises ENFILE when there are too many."""
        if self.is_full:
            raise ENFILE("the machine has too many sockets")
        self.account.charge(SOCKET, SOCKET_BYTES)
        self.live_count += 1
        self.cookie_count = count = self.cookie_count + 1
        return count

    def remove_socket(self, payer: FrameOwner | None) -> None:
        """Nothing leads to a socket any more, which was charged for `payer`."""
        self.live_count -= 1
        self.account.uncharge_for(payer, SOCKET, SOCKET_BYTES)

    # What waits in the buffers of sockets, in bytes that Linux allocates for it.

    def charge_buffer(self, size: int, payer: FrameOwner | None = None) -> None:
        """`size` bytes are to wait, for `payer`. Raises OutOfBuffers.

        Linux: net/core/skbuff.c, __alloc_skb; net/core/sock.c, __sk_mem_raise_allocated.
        """
        try:
            self.account.charge_for(payer, SOCKET_BUFFER, size)
        except OutOfFrames:
            raise OutOfBuffers from None
        self.buffered_bytes += size

    def charge_arrived(self, size: int, payer: FrameOwner | None = None) -> bool:
        """A message of `size` bytes has arrived; whether there is room for it (GFP_ATOMIC)."""
        if not self.account.can_charge(size):
            return False
        try:
            self.charge_buffer(size, payer)
        except OutOfBuffers:
            # The machine has room, but the payer hasn't.
            return False
        return True

    def uncharge_buffer(self, size: int, payer: FrameOwner | None = None) -> None:
        """A message, which was charged for `payer`, was received or dropped."""
        self.buffered_bytes -= size
        self.account.uncharge_for(payer, SOCKET_BUFFER, size)

    def move_charge(
        self, kind: int, size: int, payer: FrameOwner | None, new_payer: FrameOwner | None
    ) -> None:
        """What was charged for one is another's from now on, who may get above its limit by that."""
        if payer is not new_payer:
            self.account.uncharge_for(payer, kind, size)
            self.account.charge_for(new_payer, kind, size, always=True)

    @property
    def is_under_pressure(self) -> bool:
        """Whether all sockets together hold as much as they may."""
        return self.buffered_bytes >= self.maximum_buffered_bytes


def socket_file_system(vfs: Vfs) -> SocketFileSystem:
    """The machine's sockfs, made at first use."""
    mount = vfs.pseudo_mounts.get("sockfs")
    if mount is None:
        mount = vfs.pseudo_mounts["sockfs"] = SocketFileSystem(vfs).mount
    system = mount.superblock
    assert isinstance(system, SocketFileSystem)
    return system


class SocketInode(Inode):
    """The inode of an open socket, which tells the name of its protocol, and whose owner is the socket's."""

    __slots__ = ("socket",)

    def __init__(self, system: SocketFileSystem, socket: Socket, subject: Subject) -> None:
        super().__init__(system, S_IFSOCK | 0o777, subject.fsuid, subject.fsgid)
        self.socket = socket
        # Linux gives sockets no times until something is set: net/socket.c, sock_alloc.
        self.atime_ns = self.mtime_ns = self.ctime_ns = 0

    def told_xattrs(self) -> dict[bytes, bytes]:
        """Linux: net/socket.c, sockfs_xattr_get, sockfs_listxattr."""
        return {_PROTOCOL_NAME: self.socket.protocol_name + b"\0"}

    def set_attributes(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Linux: net/socket.c, sockfs_setattr."""
        super().set_attributes(mode=mode, uid=uid, gid=gid, atime_ns=atime_ns, mtime_ns=mtime_ns)
        if uid is not None:
            self.socket.owner_uid = uid


class SocketFile(File):
    """An open socket."""

    __slots__ = ("socket",)

    knows_async: ClassVar[bool] = True

    def __init__(self, socket: Socket, flags: int, subject: Subject) -> None:
        system = socket.network.system
        inode = SocketInode(system, socket, subject)
        path = system.vfs.pseudo_path(system.mount, b"socket:[%d]" % inode.number, inode)
        super().__init__(path, O_RDWR | flags & O_NONBLOCK, subject)
        self.socket = socket
        socket.file = self
        system.socket_count += 1

    def release(self) -> None:
        socket = self.socket
        socket.file = None
        socket.network.system.socket_count -= 1
        socket.release()

    def read(self, length: int) -> bytes:
        """Linux: net/socket.c, sock_read_iter."""
        if not length:
            return b""
        received = self.socket.receive(length, MSG_DONTWAIT if self.flags & O_NONBLOCK else 0)
        if received.files is not None:
            received.release()
        return received.data

    def write(self, data: bytes) -> int:
        """Linux: net/socket.c, sock_write_iter."""
        return self.socket.send(data, MSG_DONTWAIT if self.flags & O_NONBLOCK else 0, None, None)

    @property
    def has_failed(self) -> bool:
        return self.socket.has_failed

    def check_message(self, length: int) -> None:
        self.socket.check_message(length, MSG_DONTWAIT if self.flags & O_NONBLOCK else 0, None)

    def check_length(self, length: int) -> None:
        self.socket.check_length(length)

    def put_back(self, data: bytes) -> None:
        self.socket.put_back(data)

    def whole_length(self, length: int, room: int) -> int:
        return length if room >= length else self.socket.whole_length(length, room)

    def copied_ahead(self, room: int) -> bytes:
        return self.socket.copied_ahead(room)

    def room_of_call(self, length: int) -> int:
        if self.flags & O_NONBLOCK and length > self.socket.send_room:
            return self.socket.room_of_call(length)
        return length

    def write_chunk(self, left: int) -> int:
        return self.socket.stream_chunk

    def whole_write(self, length: int, done: int, total: int) -> int:
        return self.socket.whole_write(length)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        return self.socket.ioctl(request, argument, memory)

    def poll_mask(self) -> int:
        return self.socket.poll_mask()

    def mappable(self) -> PageCache | None:
        return self.socket.mappable()

    def check_mapped_range(self, offset: int, size: int) -> None:
        self.socket.check_mapped_range(offset, size)

    def may_signal(self, events: int) -> bool:
        """Room for sending is told only to who found none.

        Linux: include/linux/net.h, SOCKWQ_ASYNC_NOSPACE.
        """
        socket = self.socket
        if events & POLLIN:
            return True
        if not events & POLLOUT:
            return False
        was_short, socket.is_short_of_room = socket.is_short_of_room, False
        return was_short

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        socket = self.socket
        return (socket.read_queue, socket.write_queue, socket.state_queue)

    def show_details(self) -> bytes:
        return self.socket.show_details()


class StreamSocketFile(SocketFile):
    """An open socket that carries bytes without boundaries."""

    __slots__ = ()

    reads_whole = True
    writes_whole = True


def open_socket(socket: Socket, flags: int, subject: Subject) -> SocketFile:
    """A file for `socket`, held by nobody yet. `flags` may hold O_NONBLOCK. Raises ENFILE.

    Linux: net/socket.c, sock_alloc_file.
    """
    return (StreamSocketFile if socket.is_stream else SocketFile)(socket, flags, subject)
