"""mqueue: the file system of POSIX message queues, each a file that tells its state (mq_overview(7))."""

from __future__ import annotations

from bisect import insort_right
from typing import TYPE_CHECKING, ClassVar, Protocol

from procession.abi.capability import Capability
from procession.abi.errno import (
    EACCES,
    EEXIST,
    EINVAL,
    EMFILE,
    ENAMETOOLONG,
    ENOENT,
    ENOSPC,
    EOVERFLOW,
)
from procession.abi.limits import NAME_MAX
from procession.abi.mqueue import MQ_PRIO_MAX
from procession.abi.open_flags import O_ACCMODE
from procession.abi.resource import RlimitResource
from procession.fs.attributes import truncate_opened
from procession.fs.dentry import Path
from procession.fs.file import (
    O_CLOEXEC,
    O_CREAT,
    O_EXCL,
    POLLIN,
    POLLOUT,
    POLLRDNORM,
    POLLWRNORM,
    File,
    PositionedFile,
    seek_by_default,
)
from procession.fs.inode import S_IFDIR, S_IFREG, DirectoryEntry, Inode
from procession.fs.mounts.mount import KernelMount
from procession.fs.namei import look_up_entry
from procession.fs.permission import MAY_EXEC, MAY_READ, MAY_WRITE, check_maker, check_sticky
from procession.fs.superblock import LARGEST_OF_OLD, Superblock
from procession.fs.wait_queue import WaitQueue

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

MQUEUE_MAGIC = 0x19800202
CAP_SYS_RESOURCE = int(Capability.CAP_SYS_RESOURCE)
_DIRECTORY_ENTRY_SIZE = 20
_FILE_SIZE = 80
_RLIMIT_MSGQUEUE = int(RlimitResource.RLIMIT_MSGQUEUE)
_HARD_MESSAGES = 65_536
_HARD_LENGTH = 16 << 20
_LARGEST_SIZE = (1 << 64) - 1
# What RLIMIT_MSGQUEUE counts for a message and for a priority in use (in Linux, sizeof(struct msg_msg), and
# of struct posix_msg_tree_node).
_BYTES_FOR_MESSAGE = 48
_BYTES_FOR_PRIORITY = 48
_ACCESS = (MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE)


class QueueLimits(Protocol):
    """The limits on the queues of one file system: those of an IPC namespace."""

    most_queues: int
    most_messages: int
    longest_message: int
    default_messages: int
    default_length: int
    posix_queue_count: int

    def charge(self, byte_count: int) -> None:
        """So many bytes of queued messages more, or fewer. Raises ENOMEM."""


class QueuePayer(Protocol):
    """Whose user the largest size of a queue is charged to."""

    def count(self, resource: int, amount: int, /) -> None:
        """So many bytes more, or fewer, of RLIMIT_MSGQUEUE."""


class QueueKeeper(Protocol):
    """What the queues need of the kernel."""

    def charge_queue(self, byte_count: int) -> QueuePayer:
        """Charge a new queue to the calling task's user. Raises EMFILE (RLIMIT_MSGQUEUE)."""


class QueueNotice(Protocol):
    """Who is to be told that an empty queue has got a message (mq_notify(3))."""

    how: int
    signo: int

    @property
    def number_seen(self) -> int:
        """The process that asked for it, as the calling task sees it."""

    def is_callers(self) -> bool:
        """Whether that is the calling task's process."""

    def tell(self) -> None:
        """A message has come."""

    def withdraw(self) -> None:
        """It isn't to be told any more."""


class QueueSleeper(Protocol):
    """A sender that waits for room, or a receiver that waits for a message.

    The lower `priority`, the sooner its turn. `message` is what a sender brings or a receiver has got.
    """

    priority: int
    message: QueuedMessage | None

    def finish(self) -> None:
        """It has been served."""


class QueuedMessage:
    """One message: its bytes and its priority, 0 to 32,767."""

    __slots__ = ("data", "priority")

    def __init__(self, priority: int, data: bytes) -> None:
        self.priority = priority
        self.data = data


def _turn(message: QueuedMessage) -> int:
    """What messages are sorted by."""
    return -message.priority


class MqueueFileSystem(Superblock):
    """The queues of one IPC namespace (Linux: ipc/mqueue.c).

    `mount` is the kernel's own, through which mq_open(3) finds them whether or not there is one at
    /dev/mqueue.
    """

    __slots__ = ("keeper", "limits", "mount")

    forbids_execution: ClassVar[bool] = True

    largest_file: ClassVar[int] = LARGEST_OF_OLD

    def __init__(self, vfs: Vfs, limits: QueueLimits, keeper: QueueKeeper) -> None:
        super().__init__(vfs, "mqueue", MQUEUE_MAGIC)
        self.limits = limits
        self.keeper = keeper
        self.root = QueueDirectory(self, S_IFDIR | 0o1777)
        self.mount = KernelMount(self)

    def forget(self, inode: Inode) -> None:
        self.vfs.accounts.remove_inodes()

    def end(self) -> None:
        """Its namespace ends: the queues go unless they're mounted elsewhere, or one is open still.

        Linux: ipc/namespace.c, free_ipc_ns.
        """
        self.mount.is_attached = False
        if not self.mount.user_count:
            self.mount.end()

    def shut_down(self) -> None:
        assert isinstance(self.root, QueueDirectory)
        queues, self.root.queues = self.root.queues, {}
        self.vfs.memory.note_changed(len(queues))
        for queue in queues.values():
            if not queue.is_evicted:
                queue.is_evicted = True
                queue.evict()


class QueueDirectory(Inode):
    """The one directory, of all queues."""

    __slots__ = ("file_system", "queues")

    def __init__(self, superblock: MqueueFileSystem, mode: int) -> None:
        super().__init__(superblock, mode)
        self.size = 2 * _DIRECTORY_ENTRY_SIZE
        self.file_system = superblock
        self.queues: dict[bytes, QueueInode] = {}

    def lookup(self, name: bytes) -> Inode:
        queue = self.queues.get(name)
        if queue is None:
            raise ENOENT
        return queue

    def list_entries(self) -> list[DirectoryEntry]:
        return [
            DirectoryEntry(name, queue.number, S_IFREG >> 12) for name, queue in reversed(self.queues.items())
        ]

    def create(self, name: bytes, mode: int, subject: Subject) -> Inode:
        return self.create_queue(name, mode, subject, None)

    def create_queue(
        self, name: bytes, mode: int, subject: Subject, attributes: tuple[int, int] | None
    ) -> QueueInode:
        """Make a queue for so many messages of so many bytes at most, or for as many as is usual.

        Raises ENAMETOOLONG, EACCES, ENOSPC, EINVAL, EOVERFLOW, EMFILE. Linux: ipc/mqueue.c,
        mqueue_create_attr.
        """
        if len(name) > NAME_MAX:
            raise ENAMETOOLONG
        superblock = self.file_system
        if not superblock.mount.is_attached:
            # Linux: ipc/mqueue.c, __get_ns_from_inode.
            raise EACCES("the namespace of the queues has ended")
        limits = superblock.limits
        if limits.posix_queue_count >= limits.most_queues and not subject.capable(CAP_SYS_RESOURCE):
            raise ENOSPC("fs.mqueue.queues_max")
        if attributes is None:
            attributes = (
                min(limits.most_messages, limits.default_messages),
                min(limits.longest_message, limits.default_length),
            )
        _check_attributes(limits, subject, *attributes)
        superblock.vfs.accounts.add_inode()
        try:
            queue = QueueInode(superblock, mode, subject, *attributes)
        except EMFILE:
            superblock.vfs.accounts.remove_inodes()
            raise
        limits.posix_queue_count += 1
        self.queues[name] = queue
        self.size += _DIRECTORY_ENTRY_SIZE
        self.atime_ns = self.now_ns()
        self.touch_modified()
        return queue

    def unlink(self, name: bytes) -> None:
        queue = self.queues.pop(name, None)
        if queue is None:
            raise ENOENT
        self.size -= _DIRECTORY_ENTRY_SIZE
        self.atime_ns = self.now_ns()
        self.touch_modified()
        queue.link_count -= 1
        queue.evict_if_unused()


def _check_attributes(limits: QueueLimits, subject: Subject, message_limit: int, length_limit: int) -> None:
    """Raises EINVAL, EOVERFLOW. Linux: ipc/mqueue.c, mqueue_get_inode."""
    if message_limit <= 0 or length_limit <= 0:
        raise EINVAL("a queue for nothing")
    if subject.capable(CAP_SYS_RESOURCE):
        most, longest = _HARD_MESSAGES, _HARD_LENGTH
    else:
        most, longest = limits.most_messages, limits.longest_message
    if message_limit > most or length_limit > longest:
        raise EINVAL(f"more than {most} messages of {longest} bytes")
    if message_limit * length_limit > _LARGEST_SIZE:
        raise EOVERFLOW


class QueueInode(Inode):
    """One queue (Linux: ipc/mqueue.c, struct mqueue_inode_info).

    `messages` are in the order in which they're received: by priority, then by age. At most `message_limit`
    of `length_limit` bytes each fit. `senders` and `receivers` wait, the next one first.
    """

    __slots__ = (
        "byte_count",
        "charged_bytes",
        "file_system",
        "length_limit",
        "message_limit",
        "messages",
        "notice",
        "payer",
        "queue",
        "receivers",
        "senders",
    )

    def __init__(
        self,
        superblock: MqueueFileSystem,
        mode: int,
        subject: Subject,
        message_limit: int,
        length_limit: int,
    ) -> None:
        size = message_limit * (length_limit + _BYTES_FOR_MESSAGE)
        size += min(message_limit, MQ_PRIO_MAX) * _BYTES_FOR_PRIORITY
        self.payer = superblock.keeper.charge_queue(size)
        super().__init__(superblock, S_IFREG | mode & 0o7777, subject.fsuid, subject.fsgid)
        self.file_system = superblock
        self.size = _FILE_SIZE
        self.charged_bytes = size
        self.message_limit = message_limit
        self.length_limit = length_limit
        self.messages: list[QueuedMessage] = []
        self.byte_count = 0
        self.senders: list[QueueSleeper] = []
        self.receivers: list[QueueSleeper] = []
        self.notice: QueueNotice | None = None
        self.queue = WaitQueue()

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return QueueFile(path, flags, subject)

    def truncate(self, size: int) -> None:
        """A queue has no bytes, and any size that it's given. Linux: fs/libfs.c, simple_setattr."""
        self.size = size
        self.touch_modified()

    def evict(self) -> None:
        superblock = self.file_system
        self.payer.count(_RLIMIT_MSGQUEUE, -self.charged_bytes)
        superblock.limits.posix_queue_count -= 1
        for message in self.messages:
            superblock.limits.charge(-_BYTES_FOR_MESSAGE - len(message.data))
        self.messages = []
        super().evict()

    @property
    def is_full(self) -> bool:
        """Whether a sender must wait."""
        return len(self.messages) == self.message_limit

    def send(self, message: QueuedMessage) -> None:
        """Hand `message` to who waits for one, else queue it; there is room. Raises ENOMEM.

        Linux: ipc/mqueue.c, do_mq_timedsend.
        """
        if self.receivers:
            receiver = self.receivers.pop(0)
            receiver.message = message
            receiver.finish()
        else:
            self._insert(message)
            if self.notice is not None and len(self.messages) == 1:
                notice, self.notice = self.notice, None
                notice.tell()
            self.queue.wake_all()
        self.touch()

    def receive(self) -> QueuedMessage:
        """Take the first message, of which there is one; a sender who waits gets its place.

        Linux: ipc/mqueue.c, do_mq_timedreceive.
        """
        message = self.messages.pop(0)
        self.byte_count -= len(message.data)
        self.file_system.limits.charge(-_BYTES_FOR_MESSAGE - len(message.data))
        self.touch()
        if self.senders:
            sender = self.senders.pop(0)
            assert sender.message is not None
            self._insert(sender.message)
            sender.finish()
        else:
            self.queue.wake_all()
        return message

    def _insert(self, message: QueuedMessage) -> None:
        """Linux: ipc/mqueue.c, msg_insert."""
        self.file_system.limits.charge(_BYTES_FOR_MESSAGE + len(message.data))
        insort_right(self.messages, message, key=_turn)
        self.byte_count += len(message.data)

    def withdraw_notice(self) -> bool:
        """Don't tell the calling task's process any more; whether it was to be told."""
        notice = self.notice
        if notice is None or not notice.is_callers():
            return False
        self.notice = None
        notice.withdraw()
        return True

    def touch(self) -> None:
        """All three times are now."""
        self.atime_ns = self.mtime_ns = self.ctime_ns = self.now_ns()

    def touch_status(self) -> None:
        """Somebody has looked at the queue, or changed who is told: not what is in it."""
        self.atime_ns = self.ctime_ns = self.now_ns()

    def status(self) -> bytes:
        """What the file holds. Linux: ipc/mqueue.c, mqueue_read_file."""
        notice = self.notice
        how, signo, pid = (0, 0, 0) if notice is None else (notice.how, notice.signo, notice.number_seen)
        return b"QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n" % (self.byte_count, how, signo, pid)


def add_sleeper(sleepers: list[QueueSleeper], sleeper: QueueSleeper) -> None:
    """Put `sleeper` behind all whose turn is not after its own. Linux: ipc/mqueue.c, wq_add."""
    place = len(sleepers)
    while place and sleepers[place - 1].priority > sleeper.priority:
        place -= 1
    sleepers.insert(place, sleeper)


class QueueFile(PositionedFile):
    """An open queue, which reads as a line about its state."""

    __slots__ = ()

    takes_read_flags: ClassVar[bool] = False
    has_write: ClassVar[bool] = False

    @property
    def message_queue(self) -> QueueInode:
        """The queue."""
        inode = self.inode
        assert isinstance(inode, QueueInode)
        return inode

    def read_at(self, offset: int, length: int) -> bytes:
        data = self.message_queue.status()[offset : offset + length]
        self.message_queue.touch_status()
        return data

    def truncate(self, size: int) -> None:
        truncate_opened(self.path, self.inode.superblock.vfs.acting_subject(self.subject), size)

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, default_llseek."""
        return seek_by_default(self, offset, whence, self.inode.size)

    def flush(self) -> None:
        """A process that closes any descriptor of the queue isn't told any more.

        Linux: ipc/mqueue.c, mqueue_flush_file.
        """
        self.message_queue.withdraw_notice()

    def poll_mask(self) -> int:
        """Linux: ipc/mqueue.c, mqueue_poll_file."""
        inode = self.message_queue
        mask = POLLIN | POLLRDNORM if inode.messages else 0
        return mask if inode.is_full else mask | POLLOUT | POLLWRNORM

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.message_queue.queue,)


def open_queue(
    system: MqueueFileSystem,
    subject: Subject,
    name: bytes,
    flags: int,
    mode: int,
    attributes: tuple[int, int] | None,
) -> File:
    """mq_open(2): `mode` is without what the umask takes away, `attributes` as of `create_queue`.

    Raises EACCES, ENOENT, EEXIST, EINVAL, EOVERFLOW, ENAMETOOLONG, EMFILE, ENFILE, ENOSPC.
    Linux: ipc/mqueue.c, prepare_open.
    """
    root = system.mount.root
    directory = system.root
    assert isinstance(directory, QueueDirectory)
    _check_name(name)
    system.vfs.accounts.check_files()
    try:
        entry = look_up_entry(root, name)
    except ENOENT:
        if not flags & O_CREAT:
            raise
        check_maker(subject, system)
        directory.check_permission(subject, MAY_WRITE | MAY_EXEC)
        entry = root.add(name, directory.create_queue(name, mode, subject, attributes))
    else:
        if flags & O_CREAT and flags & O_EXCL:
            raise EEXIST
        access = flags & O_ACCMODE
        if access == O_ACCMODE:
            raise EINVAL("no way of access")
        entry.inode.check_permission(subject, _ACCESS[access])
    file = entry.inode.open(Path(system.mount, entry), flags, subject)
    # Unlike open(2) this one doesn't take it out of what is remembered.
    file.flags |= flags & O_CLOEXEC
    if system.vfs.file_events is not None:
        system.vfs.file_events.opened(file)
    return file


def unlink_queue(system: MqueueFileSystem, subject: Subject, name: bytes) -> None:
    """mq_unlink(2). Raises EACCES, ENOENT, EPERM, ENAMETOOLONG.

    Linux: ipc/mqueue.c, SYSCALL_DEFINE1(mq_unlink).
    """
    root = system.mount.root
    directory = system.root
    _check_name(name)
    entry = look_up_entry(root, name)
    directory.check_permission(subject, MAY_WRITE | MAY_EXEC)
    check_sticky(directory, entry.inode, subject)
    directory.unlink(name)
    root.remove(entry)


def _check_name(name: bytes) -> None:
    """Raises EACCES for what is no name of a file. Linux: fs/namei.c, lookup_noperm_common."""
    if name in (b".", b"..") or b"/" in name:
        raise EACCES("not the name of a queue")
