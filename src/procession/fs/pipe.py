"""The ends of pipes and FIFOs, how they are opened, and pipefs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.capability import Capability
from procession.abi.errno import EAGAIN, EINVAL, ENFILE, ENOTTY, ENXIO, EPIPE
from procession.abi.ioctls import FileIoctl
from procession.abi.open_flags import O_ACCMODE
from procession.abi.statfs import Magic
from procession.abi.word import pack_u32
from procession.fs.file import (
    O_DIRECT,
    O_NOATIME,
    O_NONBLOCK,
    O_RDONLY,
    O_WRONLY,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDNORM,
    POLLWRNORM,
    STREAM_CHUNK,
    File,
)
from procession.fs.inode import S_IFDIR, S_IFIFO, Inode
from procession.fs.mounts.mount import MS_NOATIME, KernelMount
from procession.fs.pipe_buffer import Pipe, PipeAccounts, new_pipe
from procession.fs.superblock import Superblock
from procession.fs.wait_queue import Abandonable, Sleep, WaitQueue
from procession.hardware.physical_memory import OutOfFrames

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

PIPEFS_MAGIC = int(Magic.PIPEFS_MAGIC)
FIONREAD = int(FileIoctl.FIONREAD)
CAP_SYS_RESOURCE = int(Capability.CAP_SYS_RESOURCE)


class PipeFile(File):
    """An open end, or both, of a pipe.

    `seen_openings` is set for a FIFO that was opened with O_NONBLOCK and without a writer: until there is
    one, poll(2) doesn't report a hang-up. `has_been_spliced` keeps RWF_NOWAIT out.
    """

    __slots__ = ("has_been_spliced", "pipe", "seen_openings")

    knows_async = True

    reads_whole = True
    writes_whole = True

    def __init__(self, path: Path, flags: int, subject: Subject, pipe: Pipe) -> None:
        super().__init__(path, flags, subject)
        self.pipe = pipe
        self.seen_openings = 0
        self.has_been_spliced = False
        if self.is_readable:
            pipe.reader_count += 1
            pipe.reader_openings += 1
        if self.is_writable:
            pipe.writer_count += 1
            pipe.writer_openings += 1

    def release(self) -> None:
        """Linux: fs/pipe.c, pipe_release."""
        pipe = self.pipe
        if self.is_readable:
            pipe.reader_count -= 1
        if self.is_writable:
            pipe.writer_count -= 1
        if pipe.reader_count:
            if not pipe.writer_count:
                pipe.read_queue.wake_all()
                pipe.write_queue.wake_all()
        elif pipe.writer_count:
            # Who waits to write learns that nobody will read any more: EPIPE.
            pipe.read_queue.wake_all()
            pipe.write_queue.wake_all()
        else:
            self.inode.pipe = None
            pipe.discard()

    def read(self, length: int) -> bytes:
        """Linux: fs/pipe.c, anon_pipe_read."""
        pipe = self.pipe
        if pipe.chunks:
            return pipe.take(length)
        if not length:
            return b""
        if pipe.write_queue.waiters:
            # Whatever comes of it, Linux signals the other side.
            pipe.write_queue.wake_signals()
        if not pipe.writer_count:
            return b""
        if self.flags & O_NONBLOCK:
            raise EAGAIN
        raise Sleep(pipe.read_queue)

    def write(self, data: bytes) -> int:
        """Linux: fs/pipe.c, anon_pipe_write."""
        pipe = self.pipe
        if not data:
            return 0
        if not pipe.reader_count:
            raise EPIPE
        count = pipe.put(data, bool(self.flags & O_DIRECT))
        if count:
            return count
        if pipe.read_queue.waiters:
            pipe.read_queue.wake_signals()
        if self.flags & O_NONBLOCK:
            raise EAGAIN
        raise Sleep(pipe.write_queue)

    def put_back(self, data: bytes) -> None:
        self.pipe.put_back(data)

    @property
    def has_packet(self) -> bool:
        chunks = self.pipe.chunks
        return bool(chunks) and chunks[0][2]

    def whole_length(self, length: int, room: int) -> int:
        return length if room >= min(length, self.pipe.length) else self.pipe.whole_length(length, room)

    def copied_ahead(self, room: int) -> bytes:
        return self.pipe.peek(room) if room < self.pipe.length else b""

    def write_chunk(self, left: int) -> int:
        return STREAM_CHUNK + self.pipe.merged_length(left)

    def whole_write(self, length: int, done: int, total: int) -> int:
        return self.pipe.whole_write(length, total - done)

    def check_message(self, length: int) -> None:
        """Linux looks for a reader and for room before it copies a page."""
        pipe = self.pipe
        if not pipe.reader_count:
            raise EPIPE
        if not pipe.room(length):
            if self.flags & O_NONBLOCK:
                raise EAGAIN
            raise Sleep(pipe.write_queue)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: fs/pipe.c, pipe_ioctl."""
        if request != FIONREAD:
            raise ENOTTY
        memory.write(argument, pack_u32(self.pipe.length))
        return 0

    def poll_mask(self) -> int:
        """Linux: fs/pipe.c, pipe_poll."""
        pipe = self.pipe
        mask = 0
        if self.is_readable:
            if pipe.chunks:
                mask = POLLIN | POLLRDNORM
            if not pipe.writer_count and self.seen_openings != pipe.writer_openings:
                mask |= POLLHUP
        if self.is_writable:
            # Room is counted in pages. What would still fit into the last one doesn't count, so that a short
            # write may go where this says that none would.
            if pipe.used_slots < pipe.slot_count:
                mask |= POLLOUT | POLLWRNORM
            if not pipe.reader_count:
                mask |= POLLERR
        return mask

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        pipe = self.pipe
        if not self.is_writable:
            return (pipe.read_queue,)
        if not self.is_readable:
            return (pipe.write_queue,)
        return (pipe.read_queue, pipe.write_queue)


class FifoFile(PipeFile):
    """An open FIFO, which has a name and keeps the times of its uses."""

    __slots__ = ()

    def read(self, length: int) -> bytes:
        data = super().read(length)
        if data and not (self.path.mount.flags & MS_NOATIME or self.flags & O_NOATIME):
            self.inode.touch_accessed()
        return data

    def write(self, data: bytes) -> int:
        count = super().write(data)
        if count:
            self.inode.touch_modified()
        return count


class FifoOpening(Abandonable):
    """An open(2) of a FIFO that waits for the other side: the progress of its Sleep.

    `file` counts as an end already, as on Linux. `partner_openings` is how often the other side had been
    opened before: it may come, and be gone again, before the waiting task runs.
    """

    __slots__ = ("file", "partner_openings")

    def __init__(self, file: PipeFile, partner_openings: int) -> None:
        self.file = file
        self.partner_openings = partner_openings

    def go_on(self) -> PipeFile:
        """The open file, once the other side has come; else Sleep. Linux: fs/pipe.c, wait_for_partner."""
        file, pipe = self.file, self.file.pipe
        openings = pipe.writer_openings if file.is_readable else pipe.reader_openings
        if openings != self.partner_openings:
            return file
        raise Sleep(pipe.read_queue if file.is_readable else pipe.write_queue, progress=self)

    def abandon(self) -> None:
        """A signal has ended the wait."""
        self.file.release_if_unheld()


def open_fifo(path: Path, flags: int, subject: Subject, progress: object = None) -> File:
    """Open a FIFO, or a pipe by its name in /proc.

    Raises Sleep until both sides are there, ENXIO for O_WRONLY | O_NONBLOCK without a reader, ENFILE.
    Linux: fs/pipe.c, fifo_open; fifo(7).
    """
    if isinstance(progress, FifoOpening):
        return progress.go_on()
    inode = path.dentry.inode
    access = flags & O_ACCMODE
    if access == O_ACCMODE:
        raise EINVAL
    pipe_system = pipe_file_system(inode.superblock.vfs)
    is_named = inode.superblock is not pipe_system
    inode.superblock.vfs.accounts.check_files()
    pipe = inode.pipe
    if not isinstance(pipe, Pipe):
        if is_named and access == O_WRONLY and flags & O_NONBLOCK:
            raise ENXIO
        pipe = new_pipe(pipe_system.accounts, subject)
        inode.pipe = pipe
    elif is_named and access == O_WRONLY and flags & O_NONBLOCK and not pipe.reader_count:
        raise ENXIO
    # Who opens both sides is its own partner, and never waits: POSIX leaves that open (fifo(7)). Nor does
    # who opens a pipe by its name in /proc, whose two ends have met.
    file = FifoFile(path, flags, subject, pipe) if is_named else PipeFile(path, flags, subject, pipe)
    if access != O_WRONLY and pipe.reader_count == 1:
        pipe.write_queue.wake_all()
    if access != O_RDONLY and pipe.writer_count == 1:
        pipe.read_queue.wake_all()
    if is_named and access == O_RDONLY and not pipe.writer_count:
        if not flags & O_NONBLOCK:
            return FifoOpening(file, pipe.writer_openings).go_on()
        file.seen_openings = pipe.writer_openings
    elif is_named and access == O_WRONLY and not pipe.reader_count:
        return FifoOpening(file, pipe.reader_openings).go_on()
    return file


class PipeFileSystem(Superblock):
    """Where the inodes of pipes without a name are (in Linux, pipefs)."""

    __slots__ = ("accounts", "mount")

    forbids_execution: ClassVar[bool] = True

    def __init__(self, vfs: Vfs) -> None:
        super().__init__(vfs, "pipefs", PIPEFS_MAGIC)
        self.is_internal = True
        self.root = Inode(self, S_IFDIR | 0o555)
        self.accounts = PipeAccounts(vfs.memory.frame_count, vfs.memory)
        self.mount = KernelMount(self)


def pipe_file_system(vfs: Vfs) -> PipeFileSystem:
    """The machine's pipefs, made at first use."""
    mount = vfs.pseudo_mounts.get("pipefs")
    if mount is None:
        mount = vfs.pseudo_mounts["pipefs"] = PipeFileSystem(vfs).mount
    system = mount.superblock
    assert isinstance(system, PipeFileSystem)
    return system


def create_pipe(vfs: Vfs, flags: int, subject: Subject) -> tuple[PipeFile, PipeFile]:
    """The read end and the write end of a new pipe, held by nobody yet.

    `flags` are O_NONBLOCK and O_DIRECT. Raises ENFILE. Linux: fs/pipe.c, create_pipe_files.
    """
    system = pipe_file_system(vfs)
    pipe = new_pipe(system.accounts, subject)
    inode = Inode(system, S_IFIFO | 0o600, subject.fsuid, subject.fsgid)
    inode.pipe = pipe
    path = vfs.pseudo_path(system.mount, b"pipe:[%d]" % inode.number, inode)
    try:
        reader = PipeFile(path, O_RDONLY | flags & O_NONBLOCK, subject, pipe)
    except (ENFILE, OutOfFrames):
        pipe.discard()
        raise
    try:
        writer = PipeFile(path, O_WRONLY | flags & (O_NONBLOCK | O_DIRECT), subject, pipe)
    except (ENFILE, OutOfFrames):
        reader.release_if_unheld()
        raise
    return reader, writer
