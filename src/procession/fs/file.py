"""Open file descriptions, and those of directories and of O_PATH."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from procession.abi.errno import (
    EBADF,
    EINVAL,
    EISDIR,
    ENOENT,
    ENOTDIR,
    ENOTTY,
    ENXIO,
    EOPNOTSUPP,
    EOVERFLOW,
    ESPIPE,
)
from procession.abi.open_flags import O_ACCMODE, OpenFlag, Whence
from procession.abi.poll import PollEvent
from procession.fs.inode import S_IFDIR, DirectoryEntry
from procession.fs.landlock import EVERY_RIGHT
from procession.mm.page_cache import write_back

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file_events import Watcher
    from procession.fs.permission import Subject
    from procession.fs.wait_queue import WaitQueue
    from procession.mm.page_cache import PageCache

# open(2)'s flags as plain ints: the arithmetic of IntFlag is slow on the paths that use these.
O_RDONLY: Final = int(OpenFlag.O_RDONLY)
O_WRONLY: Final = int(OpenFlag.O_WRONLY)
O_RDWR: Final = int(OpenFlag.O_RDWR)
O_CREAT: Final = int(OpenFlag.O_CREAT)
O_EXCL: Final = int(OpenFlag.O_EXCL)
O_NOCTTY: Final = int(OpenFlag.O_NOCTTY)
O_TRUNC: Final = int(OpenFlag.O_TRUNC)
O_APPEND: Final = int(OpenFlag.O_APPEND)
O_NONBLOCK: Final = int(OpenFlag.O_NONBLOCK)
O_DSYNC: Final = int(OpenFlag.O_DSYNC)
FASYNC: Final = int(OpenFlag.FASYNC)
O_DIRECT: Final = int(OpenFlag.O_DIRECT)
O_LARGEFILE: Final = int(OpenFlag.O_LARGEFILE)
O_DIRECTORY: Final = int(OpenFlag.O_DIRECTORY)
O_NOFOLLOW: Final = int(OpenFlag.O_NOFOLLOW)
O_NOATIME: Final = int(OpenFlag.O_NOATIME)
O_CLOEXEC: Final = int(OpenFlag.O_CLOEXEC)
O_SYNC: Final = int(OpenFlag.O_SYNC)
O_PATH: Final = int(OpenFlag.O_PATH)
O_TMPFILE: Final = int(OpenFlag.O_TMPFILE)

# What fcntl(F_SETFL) can change.
SETTABLE_FLAGS: Final = O_APPEND | O_NONBLOCK | FASYNC | O_DIRECT | O_NOATIME
# What an open file description doesn't remember.
_FORGOTTEN_FLAGS: Final = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC

SEEK_SET: Final = int(Whence.SEEK_SET)
SEEK_CUR: Final = int(Whence.SEEK_CUR)
SEEK_END: Final = int(Whence.SEEK_END)
SEEK_DATA: Final = int(Whence.SEEK_DATA)
SEEK_HOLE: Final = int(Whence.SEEK_HOLE)

POLLIN: Final = int(PollEvent.POLLIN)
POLLPRI: Final = int(PollEvent.POLLPRI)
POLLOUT: Final = int(PollEvent.POLLOUT)
POLLERR: Final = int(PollEvent.POLLERR)
POLLHUP: Final = int(PollEvent.POLLHUP)
POLLNVAL: Final = int(PollEvent.POLLNVAL)
POLLRDNORM: Final = int(PollEvent.POLLRDNORM)
POLLWRNORM: Final = int(PollEvent.POLLWRNORM)
POLLRDHUP: Final = int(PollEvent.POLLRDHUP)
ALWAYS_READY: Final = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM

MAXIMUM_SIZE: Final = (1 << 63) - 1
STREAM_CHUNK: Final = 1 << 16
"""How much is handed to a pipe or stream socket at a time."""


class UserMemory(Protocol):
    """The memory of the calling process, as an ioctl sees it."""

    def read(self, address: int, length: int) -> bytes:
        """The bytes there. Raises EFAULT."""

    def write(self, address: int, data: bytes) -> None:
        """Put `data` there. Raises EFAULT."""


class File:
    """An open file description (Linux: include/linux/fs.h, struct file).

    It is born with no references. Every descriptor, mapping or message that holds it takes one with
    `acquire` and gives it back with `put`; the last `put` calls `release`. Who opens a file and then can't
    use it calls `release_if_unheld`.

    `flags` are open(2)'s without those that act at the open alone. Callers check `is_readable` before they
    read and `is_writable` before they write (EBADF). What can't be done now raises Sleep, or EAGAIN under
    O_NONBLOCK; a write may write a part. The methods here answer as Linux does for a file that can't do it.
    """

    __slots__ = (
        "flags",
        "inode",
        "is_created",
        "is_readable",
        "is_writable",
        "landlock_rights",
        "owner",
        "path",
        "position",
        "reference_count",
        "subject",
        "watchers",
    )

    is_seekable: ClassVar[bool] = False
    """Whether what is read and written depends on where: it has bytes at offsets, and a position."""
    counts_as_writer: ClassVar[bool] = False
    """Whether who opens it to write keeps others from leases, and its mount from becoming read-only. Nobody
    counts who has a special file, or one that was made open (Linux: fs/open.c, do_dentry_open)."""
    has_unsigned_offsets: ClassVar[bool] = False
    """Whether offsets are addresses: the negative ones are those of the upper half (FOP_UNSIGNED_OFFSET)."""
    has_read: ClassVar[bool] = True
    """Whether it can be read at all, if it's open for that; else EINVAL before all else (FMODE_CAN_READ)."""
    has_write: ClassVar[bool] = True
    """As `has_read`, for writing."""
    is_silent: ClassVar[bool] = False
    """Whether nobody who watches it hears of what is done with it (FMODE_NONOTIFY)."""
    knows_nowait: ClassVar[bool] = True
    """Whether preadv2(2) may ask it not to wait; else EOPNOTSUPP, as for files in memory (FMODE_NOWAIT)."""
    is_copied_whole: ClassVar[bool] = False
    """Whether a read of it fails if only a part of what it gave can be handed over."""
    takes_read_flags: ClassVar[bool] = True
    """Whether preadv2(2) may ask for something special; else EOPNOTSUPP (in Linux, no read_iter)."""
    takes_write_flags: ClassVar[bool] = True
    """Whether pwritev2(2) may ask for something special; else EOPNOTSUPP, and writev(2) writes one after the
    other (in Linux, no write_iter)."""
    takes_offset: ClassVar[bool] = False
    """Whether pread(2) works; else ESPIPE (FMODE_PREAD). Of what is `is_seekable` or has only forgotten to
    refuse: an offset then says nothing."""
    takes_write_offset: ClassVar[bool] = True
    """Whether pwrite(2) works where pread(2) does; else ESPIPE (FMODE_PWRITE)."""
    has_splice_read: ClassVar[bool] = True
    """Whether splice(2) and sendfile(2) take from it, if it `takes_read_flags`; else EINVAL."""
    has_splice_write: ClassVar[bool] = True
    """Whether splice(2) and sendfile(2) put into it, if it `takes_write_flags`; else EINVAL."""
    can_be_direct: ClassVar[bool] = False
    """Whether open(2) takes O_DIRECT (FMODE_CAN_ODIRECT)."""
    can_poll: ClassVar[bool] = True
    """Whether an epoll instance can watch it; else EPERM. Regular files and directories can't be watched."""
    knows_async: ClassVar[bool] = False
    """Whether it knows O_ASYNC (in Linux, has fasync): pipes, sockets, terminals and few others do."""
    reads_whole: ClassVar[bool] = False
    """Whether what a read can't hand over depends on pieces: `whole_length` is asked for them."""
    writes_whole: ClassVar[bool] = False
    """Whether a blocking write(2) calls `write` until all is written, as for pipes and stream sockets."""
    gives_way: ClassVar[bool] = False
    """Whether others run in the middle of a long write, and a signal ends it there: a terminal that throws
    away what it has no room for takes any number of bytes. Linux: drivers/tty/tty_io.c, iterate_tty_write."""
    discards_writes: ClassVar[bool] = False
    """Whether writing does nothing at all: write(2) doesn't even read the bytes from the program's memory."""

    mapped_flags: ClassVar[int] = 0
    """The flags of areas (`mm.vma`) that map it."""
    maps_zeros: ClassVar[bool] = False
    """Whether mmap(2) of it gives anonymous memory, whatever the offset: /dev/zero."""

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.path.dentry.name.decode(errors='replace')}, flags {self.flags:#o}>"
        )

    def __init__(self, path: Path, flags: int, subject: Subject) -> None:
        self.path = path
        self.inode = inode = path.dentry.inode
        inode.superblock.vfs.accounts.add_file()
        self.flags = flags & ~_FORGOTTEN_FLAGS
        self.is_readable = flags & O_ACCMODE in (O_RDONLY, O_RDWR)
        self.is_writable = flags & O_ACCMODE in (O_WRONLY, O_RDWR)
        self.is_created = False
        self.position = 0
        self.reference_count = 0
        # Who opened it (Linux: include/linux/fs.h, f_cred).
        self.subject = subject
        # Whom SIGIO goes to: what fcntl(F_SETOWN) and F_SETSIG said (Linux: include/linux/fs.h, f_owner);
        # the kernel's.
        self.owner: object = None
        # What watches it until it is closed, in the order in which they came: epoll instances' items.
        self.watchers: dict[Watcher, None] | None = None
        # What the opener's domain left it at the open.
        self.landlock_rights = EVERY_RIGHT
        inode.open_count += 1
        path.mount.user_count += 1
        if self.is_writable:
            if self.counts_as_writer:
                self._count_writer(1)
        elif self.is_readable:
            inode.reader_count += 1

    def acquire(self) -> None:
        """Take one more reference."""
        self.reference_count += 1

    def put(self) -> None:
        """Give one reference back; the last one closes the file. Linux: fs/file_table.c, fput."""
        self.reference_count -= 1
        if self.reference_count <= 0:
            self.close()

    def release_if_unheld(self) -> None:
        """Close a file that was opened and never came to be held."""
        if self.reference_count == 0:
            self.close()

    def close(self) -> None:
        """Nobody holds this any more. Linux: fs/file_table.c, __fput."""
        inode = self.inode
        if inode.superblock.vfs.file_events is not None and not self.flags & O_PATH:
            inode.superblock.vfs.file_events.closed(self)
        if self.watchers is not None:
            for watcher in list(self.watchers):
                watcher.file_closed()
        if inode.locks is not None:
            inode.locks.release_file(self)
        self.release()
        if self.is_writable:
            if self.counts_as_writer:
                self._count_writer(-1)
        elif self.is_readable:
            inode.reader_count -= 1
        inode.open_count -= 1
        inode.superblock.vfs.accounts.remove_file()
        self.path.mount.put_user()
        if inode.link_count <= 0:
            inode.evict_if_unused()

    def _count_writer(self, change: int) -> None:
        """Linux: include/linux/fs.h, get_write_access; fs/namespace.c, mnt_get_write_access."""
        self.inode.writer_count += change
        self.inode.superblock.writer_count += change
        self.path.mount.writer_count += change

    def release(self) -> None:
        """What this kind of file does at its last close."""

    @property
    def has_packet(self) -> bool:
        """Whether a packet is next, of which a read takes all or nothing. Asked of what `reads_whole`."""
        return False

    def whole_length(self, length: int, room: int) -> int:
        """How much to read of `length` bytes if only `room` can be handed over: pieces that fit, whole.

        Asked of what `reads_whole`. Raises EFAULT if the first piece doesn't fit.
        """
        return length

    def copied_ahead(self, room: int) -> bytes:
        """What a read copies to the program's `room` bytes before it finds that the next piece doesn't fit,
        whether or not it takes them. Asked of what `reads_whole`.
        """
        return b""

    def counted_part(self, length: int) -> int | None:
        """How many bytes a read counts that could hand over `length` of those it took: the rest is lost. None
        for a file that counts nothing, and puts all of it back if it can. Asked of what can't seek.
        """
        return None

    def whole_write(self, length: int, done: int, total: int) -> int:
        """How many of `length` bytes, behind `done`, a write of `total` takes if the next one can't be read:
        whole pieces.

        Asked of what `writes_whole`; 0 if there is no such piece.
        """
        return 0

    def write_chunk(self, left: int) -> int:
        """How much of the `left` bytes of a write is handed over first: whole pieces. Asked of what
        `writes_whole`.
        """
        return STREAM_CHUNK

    def room_of_call(self, length: int) -> int:
        """How much of `length` bytes one write may take at most, that doesn't wait. Asked of what
        `writes_whole`.
        """
        return length

    def fetched_at_once(self, length: int) -> int | None:
        """How many of the first bytes of a write of `length` are fetched from the program, all or none; None
        for a file that takes as many as can be had.
        """
        return None

    def counted_at_once(self, length: int) -> int:
        """How many bytes count as written of `length`, of which fewer were fetched."""
        return length

    @property
    def has_failed(self) -> bool:
        """Whether an error waits to be told, which a write that has written a part leaves to the next."""
        return False

    @property
    def cache(self) -> PageCache | None:
        """What of it is in memory (in Linux, f_mapping)."""
        return self.inode.pages

    def check_can_write(self) -> None:
        """Raise EINVAL if there is no way to write it, which comes before all else (FMODE_CAN_WRITE)."""
        if not self.has_write:
            raise EINVAL

    def check_message(self, length: int) -> None:
        """Raise what a write does before it looks at the bytes: asked when they can't be read."""

    def begin_write(self, offset: int | None) -> None:
        """Get ready for bytes at `offset`, None for the position, that then can't be had of the program."""

    def check_length(self, length: int) -> None:
        """Raise EMSGSIZE if nothing so long can be written at once, before it's read from the program."""

    def flush(self) -> None:
        """Called at every close of a descriptor, before the reference is given back."""

    @property
    def is_blocking(self) -> bool:
        """Whether O_NONBLOCK is unset."""
        return not self.flags & O_NONBLOCK

    def read(self, length: int) -> bytes:
        """Up to `length` bytes from the current position, b"" at the end. Raises Sleep, EAGAIN, EISDIR ..."""
        raise EINVAL

    def write(self, data: bytes) -> int:
        """Write `data` at the current position; how many bytes were written. Raises Sleep, EAGAIN ..."""
        raise EINVAL

    def put_back(self, data: bytes) -> None:
        """Undo the end of a `read`: `data`, its last bytes, couldn't be handed to the program (EFAULT).

        Some files lose them, as on Linux.
        """
        if self.is_seekable:
            self.position -= len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; the position stays. Only if it `takes_offset`."""
        return self.read(length)

    def write_at(self, offset: int, data: bytes) -> int:
        """Write `data` at `offset`; the position stays. Only if it `takes_offset`."""
        return self.write(data)

    def next_write_offset(self) -> int | None:
        """Where `write` would begin, for RLIMIT_FSIZE; None for a file that has no size."""
        return None

    def seek(self, offset: int, whence: int) -> int:
        """Set the position; the new one. Raises ESPIPE, EINVAL, ENXIO. In Linux, lseek(2)."""
        raise ESPIPE

    def truncate(self, size: int) -> None:
        """ftruncate(2). Raises EINVAL unless it's a regular file that is open for writing."""
        raise EINVAL

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """fallocate(2) of a regular file, for arguments that have been checked for sign."""
        raise EOPNOTSUPP

    def list_directory(self) -> list[DirectoryEntry]:
        """The entries from the current position on, "." and ".." included. Raises ENOTDIR.

        The caller who takes some of them goes on at `position_behind` the last one.
        """
        raise ENOTDIR

    def position_behind(self, index: int) -> int:
        """The position behind entry `index` of those that `list_directory` gave: its d_off."""
        return self.position + index + 1

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """ioctl(2) for what isn't the same for all files. Raises ENOTTY."""
        raise ENOTTY

    def poll_mask(self) -> int:
        """What poll(2) would say now: POLLIN, POLLOUT ..., whatever was asked for."""
        return ALWAYS_READY

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        """What is woken when `poll_mask` may have changed."""
        return ()

    def check_mapping(self, *, is_shared: bool, is_writable: bool) -> bool:
        """Whether a mapping may ever become writable; EPERM if a seal forbids the one that is asked for.

        Linux: mm/mmap.c, do_mmap; mm/memfd.c, memfd_check_seals_mmap.
        """
        return self.is_writable or not is_shared

    def mappable(self) -> PageCache | None:
        """The pages that mmap(2) maps; None if this can't be mapped (ENODEV)."""
        return None

    def check_mapped_range(self, offset: int, size: int) -> None:
        """Raise EINVAL unless so many bytes from `offset` on can be mapped: any of files on file systems."""

    def sync(self) -> None:
        """fsync(2). Raises EINVAL for files that can't be synced."""
        pages = self.pages_to_sync()
        if pages is not None:
            write_back({pages: self.inode.size})

    def pages_to_sync(self) -> PageCache | None:
        """What is mapped and is to be clean when the file is synced. Raises EINVAL if it can't be."""
        raise EINVAL

    def may_signal(self, events: int) -> bool:
        """Whether O_ASYNC's SIGIO is due when a queue that is woken for `events` has been woken."""
        return True

    def show_details(self) -> bytes:
        """The lines of /proc/PID/fdinfo/N that only this kind of file has, each ended by a newline."""
        return b""


def set_position(file: File, offset: int, whence: int, end: int | None, most: int = MAXIMUM_SIZE) -> int:
    """lseek(2) in a file that ends at `end`, None if nothing counts from its end, to `most` at most. Raises
    EINVAL.

    Linux: fs/read_write.c, generic_file_llseek_size.
    """
    if whence == SEEK_CUR:
        if not offset:
            return file.position
        offset += file.position
    elif whence == SEEK_END and end is not None:
        offset += end
    elif whence != SEEK_SET:
        raise EINVAL
    if not 0 <= offset <= most:
        raise EINVAL
    file.position = offset
    return offset


def seek_sized(file: File, offset: int, whence: int, size: int) -> int:
    """lseek(2) in a file of `size` bytes without holes, whatever can be read of it. Raises EINVAL, ENXIO.

    Linux: fs/read_write.c, generic_file_llseek.
    """
    if whence in (SEEK_DATA, SEEK_HOLE):
        if not 0 <= offset < size:
            raise ENXIO
        offset, whence = offset if whence == SEEK_DATA else size, SEEK_SET
    return set_position(file, offset, whence, size, file.inode.superblock.largest_file)


def seek_by_default(file: File, offset: int, whence: int, size: int) -> int:
    """The same where nothing but the sign of a position is looked at. Raises EINVAL, ENXIO.

    Linux: fs/read_write.c, default_llseek.
    """
    if whence in (SEEK_DATA, SEEK_HOLE):
        if offset >= size:
            raise ENXIO
        offset, whence = offset if whence == SEEK_DATA else size, SEEK_SET
    return set_position(file, offset, whence, size)


def verify_area(file: File, offset: int, count: int) -> None:
    """Raise EINVAL or EOVERFLOW unless `file` can have `count` bytes from `offset`.

    Linux: fs/read_write.c, rw_verify_area.
    """
    if not file.has_unsigned_offsets:
        if count >> 63 or offset < 0 or offset + count >> 63:
            raise EINVAL
    elif count >> 63:
        raise EINVAL
    elif offset < 0 <= offset + count:
        raise EOVERFLOW("beyond the last address")


class PositionedFile(File):
    """An open file that read(2) reads as pread(2) does at the position, which then is behind that."""

    __slots__ = ()

    is_seekable = True
    takes_offset = True
    counts_as_writer: ClassVar[bool] = True

    def read(self, length: int) -> bytes:
        position = self.position
        if position < 0 or position + length > MAXIMUM_SIZE:
            verify_area(self, position, length)
        data = self.read_at(self.position, length)
        self.position += len(data)
        return data

    def truncate(self, size: int) -> None:
        self.inode.truncate(size)


class DirectoryFile(File):
    """An open directory.

    Its listing is taken when it is read from the beginning, so that positions stay valid whatever is
    created or removed meanwhile (unless too many directories are being read: then it's taken anew).
    """

    __slots__ = ("listing",)

    is_seekable = True
    takes_offset = True
    takes_read_flags: ClassVar[bool] = False
    knows_nowait: ClassVar[bool] = False
    can_poll = False

    def __init__(self, path: Path, flags: int, subject: Subject) -> None:
        super().__init__(path, flags, subject)
        self.listing: list[DirectoryEntry] | None = None

    def list_directory(self) -> list[DirectoryEntry]:
        if self.path.dentry.is_deleted:
            # Even where all was read before. Linux: fs/readdir.c, iterate_dir.
            raise ENOENT
        if self.listing is None or self.position == 0:
            listing = [
                DirectoryEntry(b".", self.inode.number, S_IFDIR >> 12),
                DirectoryEntry(b"..", self.path.dentry.parent.inode.number, S_IFDIR >> 12),
                *self.inode.list_entries(),
            ]
            vfs = self.inode.superblock.vfs
            vfs.accounts.add_listing(self, len(listing))
            vfs.clock.spend_listing(len(listing))
            self.listing = listing
        return self.listing[self.position :]

    def release(self) -> None:
        if self.listing is not None:
            self.inode.superblock.vfs.accounts.remove_listing(self)

    def read(self, length: int) -> bytes:
        raise EISDIR

    def read_at(self, offset: int, length: int) -> bytes:
        raise EISDIR

    def seek(self, offset: int, whence: int) -> int:
        # The size that stat(2) tells of some of them isn't the inode's.
        return (
            seek_sized(self, offset, whence, 0)
            if self.inode.seeks_from_end
            else set_position(self, offset, whence, None)
        )

    def pages_to_sync(self) -> PageCache | None:
        """Nothing to do: what is in memory is the directory. Raises EINVAL where none can be synced."""
        if not self.inode.can_be_synced:
            raise EINVAL
        return None


class PathFile(File):
    """What O_PATH opens: a place, not the file that is there. open(2)."""

    __slots__ = ()

    def __init__(self, path: Path, flags: int, subject: Subject) -> None:
        super().__init__(path, flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW), subject)
        # O_PATH without more is an open for reading, by its access mode.
        self.is_readable = False
        self.inode.reader_count -= 1

    def seek(self, offset: int, whence: int) -> int:
        raise EBADF

    def truncate(self, size: int) -> None:
        raise EBADF

    def list_directory(self) -> list[DirectoryEntry]:
        raise EBADF

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        raise EBADF

    def pages_to_sync(self) -> PageCache | None:
        raise EBADF
