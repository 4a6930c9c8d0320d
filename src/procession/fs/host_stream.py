"""The machine's standard streams as files: what comes from and goes to the world outside.

No descriptor of the host is here: the machine feeds a `HostInput`, and takes from a `HostOutput`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EAGAIN, ENOMEM, EPERM, EPIPE
from procession.abi.file_mode import S_IFMT
from procession.abi.ioctls import FileIoctl, TerminalIoctl
from procession.abi.limits import PIPE_BUF
from procession.abi.open_flags import O_ACCMODE
from procession.abi.word import pack_u32
from procession.fs.file import (
    O_RDONLY,
    O_WRONLY,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDNORM,
    POLLWRNORM,
    File,
    UserMemory,
)
from procession.fs.inode import S_IFIFO, Inode
from procession.fs.permission import CAP_SYS_ADMIN, CAP_SYS_RESOURCE
from procession.fs.pipe import pipe_file_system
from procession.fs.pipe_buffer import slots_for
from procession.fs.superblock import Superblock
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.hardware.physical_memory import PAGE_SHIFT

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

DEFAULT_OUTPUT_LIMIT = 1 << 20
CAPTURED_BYTES = 64 << 20
"""How much of what a program writes is kept unless the caller says otherwise."""
OUTPUT_LIMIT_REASON = "the output limit"
"""How the reason begins when more was written than is kept."""
_PIPE_BYTES = 1 << 16
_FIONREAD = int(FileIoctl.FIONREAD)


class HostInput:
    """Bytes from outside, as the machine has fed them so far.

    Who finds none sleeps on `queue` until there are more, or the machine says that it was all.
    """

    __slots__ = ("buffer", "is_at_end", "queue")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.is_at_end = False
        self.queue = WaitQueue(POLLIN | POLLRDNORM | POLLHUP)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for more."""
        return not self.buffer and not self.is_at_end and bool(self.queue.waiters)

    def feed(self, data: bytes) -> None:
        """More has come from outside."""
        if data:
            self.buffer += data
            self.queue.wake_all()

    def end(self) -> None:
        """Nothing more will come."""
        self.is_at_end = True
        self.queue.wake_all()

    def open(self, vfs: Vfs, subject: Subject, mode: int = S_IFIFO | 0o600, device: int = 0) -> File:
        """A new open file for it, on an inode of its own with this type and permissions."""
        return InputInode.make(vfs, self, mode, device).open_new(O_RDONLY, subject)


class HostOutput:
    """Bytes on their way out: `chunks` in the order in which they were written, each with the number
    of its stream.

    When `limit` bytes wait to be taken, writers sleep on `queue`. `broken` are the streams whose reader
    outside has gone.
    """

    __slots__ = ("broken", "chunks", "limit", "pending_bytes", "queue")

    def __init__(self, limit: int = DEFAULT_OUTPUT_LIMIT) -> None:
        self.chunks: deque[tuple[int, bytes]] = deque()
        self.pending_bytes = 0
        self.limit = limit
        self.broken: dict[int, None] = {}
        self.queue = WaitQueue(POLLOUT | POLLWRNORM | POLLERR)

    def take(self) -> list[tuple[int, bytes]]:
        """All that was written since the last call: pairs of a stream's number and bytes."""
        chunks = list(self.chunks)
        if chunks:
            self.chunks.clear()
            self.pending_bytes = 0
            self.queue.wake_all()
        return chunks

    def break_stream(self, number: int) -> None:
        """The reader of stream `number` outside has gone: writers get EPIPE."""
        self.broken[number] = None
        self.queue.wake_all()

    def open(
        self, vfs: Vfs, subject: Subject, number: int, mode: int = S_IFIFO | 0o600, device: int = 0
    ) -> File:
        """A new open file for stream `number`, on an inode of its own with this type and permissions."""
        return OutputInode.make(vfs, self, number, mode, device).open_new(O_WRONLY, subject)


class StreamInode(Inode):
    """The inode of a stream, nameless; opening /dev/stdout leads to it once more.

    `capacity` is what it's said to hold as a pipe: outside there may be room for more.
    """

    __slots__ = ("capacity",)

    def __init__(self, superblock: Superblock, mode: int, *, rdev: int) -> None:
        super().__init__(superblock, mode, rdev=rdev)
        self.capacity = _PIPE_BYTES

    @property
    def is_pipe(self) -> bool:
        """Whether it's a pipe outside too, for what only pipes can do."""
        return self.mode & S_IFMT == S_IFIFO

    def resize(self, size: int, subject: Subject) -> int:
        """Let it hold `size` bytes, rounded up; the new capacity. Raises EINVAL, EPERM, ENOMEM.

        Linux: fs/pipe.c, pipe_set_size.
        """
        wanted = slots_for(size) << PAGE_SHIFT
        if wanted > self.capacity:
            most = pipe_file_system(self.superblock.vfs).accounts.maximum_size
            if wanted > most and not subject.capable(CAP_SYS_RESOURCE):
                raise EPERM("over /proc/sys/fs/pipe-max-size")
            if wanted > DEFAULT_OUTPUT_LIMIT:
                raise ENOMEM("as much doesn't wait to be taken outside")
        self.capacity = wanted
        return wanted

    def open_new(self, flags: int, subject: Subject) -> File:
        """Open it the first time."""
        vfs = self.superblock.vfs
        mount = pipe_file_system(vfs).mount
        return self.open(vfs.pseudo_path(mount, b"pipe:[%d]" % self.number, self), flags, subject)


def _stream_superblock(vfs: Vfs) -> Superblock:
    return pipe_file_system(vfs)


class InputInode(StreamInode):
    """The inode of a HostInput."""

    __slots__ = ("stream",)
    stream: HostInput

    @classmethod
    def make(cls, vfs: Vfs, stream: HostInput, mode: int, device: int) -> InputInode:
        """An inode with this type and permissions."""
        inode = cls(_stream_superblock(vfs), mode, rdev=device)
        inode.stream = stream
        return inode

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        if flags & O_ACCMODE != O_RDONLY:
            raise EACCES("it comes from outside")
        return InputFile(path, flags, subject, self.stream)


class OutputInode(StreamInode):
    """The inode of one stream of a HostOutput."""

    __slots__ = ("stream", "stream_number")
    stream: HostOutput
    stream_number: int

    @classmethod
    def make(cls, vfs: Vfs, stream: HostOutput, number: int, mode: int, device: int) -> OutputInode:
        """An inode with this type and permissions."""
        inode = cls(_stream_superblock(vfs), mode, rdev=device)
        inode.stream = stream
        inode.stream_number = number
        return inode

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        if flags & O_ACCMODE != O_WRONLY:
            raise EACCES("it goes outside")
        return OutputFile(path, flags, subject, self.stream, self.stream_number)


class InputFile(File):
    """An open HostInput; it behaves as the reading end of a pipe."""

    __slots__ = ("stream",)

    knows_async = True

    def __init__(self, path: Path, flags: int, subject: Subject, stream: HostInput) -> None:
        super().__init__(path, flags, subject)
        self.stream = stream

    def put_back(self, data: bytes) -> None:
        self.stream.buffer[:0] = data

    def read(self, length: int) -> bytes:
        data = self.peek(length, blocks=self.is_blocking)
        del self.stream.buffer[: len(data)]
        return data

    def peek(self, length: int, *, blocks: bool) -> bytes:
        """What a read would give, which stays. Raises EAGAIN, Sleep."""
        stream = self.stream
        if stream.buffer:
            return bytes(stream.buffer[:length])
        if stream.is_at_end or not length:
            return b""
        if not blocks:
            raise EAGAIN
        raise Sleep(stream.queue)

    def poll_mask(self) -> int:
        mask = POLLIN | POLLRDNORM if self.stream.buffer else 0
        return mask | POLLHUP if self.stream.is_at_end else mask

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.stream.queue,)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        if request == _FIONREAD:
            memory.write(argument, pack_u32(len(self.stream.buffer)))
            return 0
        return super().ioctl(request, argument, memory)


class OutputFile(File):
    """An open stream of a HostOutput; it behaves as the writing end of a pipe."""

    __slots__ = ("number", "stream")

    knows_async = True

    writes_whole = True

    def __init__(self, path: Path, flags: int, subject: Subject, stream: HostOutput, number: int) -> None:
        super().__init__(path, flags, subject)
        self.stream = stream
        self.number = number

    def write(self, data: bytes) -> int:
        stream = self.stream
        if self.number in stream.broken:
            raise EPIPE
        if not data:
            return 0
        room = stream.limit - stream.pending_bytes
        if room < min(len(data), PIPE_BUF):
            if not self.is_blocking:
                raise EAGAIN
            raise Sleep(stream.queue)
        data = bytes(data[:room])
        stream.chunks.append((self.number, data))
        stream.pending_bytes += len(data)
        return len(data)

    def poll_mask(self) -> int:
        stream = self.stream
        mask = POLLOUT | POLLWRNORM if stream.limit - stream.pending_bytes >= PIPE_BUF else 0
        return mask | POLLERR if self.number in stream.broken else mask

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.stream.queue,)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        if request == _FIONREAD:
            memory.write(argument, bytes(4))
            return 0
        return super().ioctl(request, argument, memory)


class ConsoleFile(OutputFile):
    """/dev/console where no terminal is: what is written goes outside, or to the terminal that has asked for
    it, and nobody types.
    """

    __slots__ = ()

    def write(self, data: bytes) -> int:
        """Linux: drivers/tty/tty_io.c, redirected_tty_write."""
        target = self.inode.superblock.vfs.console_output()
        return super().write(data) if target is None else target.write(data)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: drivers/tty/tty_io.c, tioccons."""
        if request != TerminalIoctl.TIOCCONS:
            return super().ioctl(request, argument, memory)
        vfs = self.inode.superblock.vfs
        if not vfs.acting_subject(self.subject).capable(CAP_SYS_ADMIN):
            raise EPERM
        vfs.redirect_console(None)
        return 0

    def read(self, length: int) -> bytes:
        return b""
