"""read and write, at the position and at offsets, and lseek."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from procession.abi.errno import EBADF, EFAULT, EFBIG, EINVAL, EPIPE, ESPIPE, Errno
from procession.abi.open_flags import Whence
from procession.abi.signals import Signal
from procession.fs.file import O_APPEND, STREAM_CHUNK, File, PathFile, verify_area
from procession.fs.file_events import note_access, note_modification
from procession.fs.giving_way import give_way
from procession.fs.wait_queue import Sleep
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import PAGE_MASK, OutOfFrames
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_FSIZE
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SI_USER
from procession.kernel.signal.kill import sender_info
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import (
    Choice,
    Fd,
    InBuffer,
    Long,
    OutBuffer,
    Size,
)
from procession.syscalls.user_vector import (
    MAX_RW_COUNT,
    UserVector,
    single_buffer,
    write_prefix,
)

if TYPE_CHECKING:
    from procession.kernel.task import Task

CHUNK: Final = 1 << 20
"""How much of a long read or write of a regular file is handled at a time."""
MUCH: Final = 4096
"""From where on the copying of bytes is felt."""
PIECES_AT_ONCE: Final = 4
"""After how many of these a file that gives way lets others run."""

_SIGPIPE: Final = int(Signal.SIGPIPE)
_SIGXFSZ: Final = int(Signal.SIGXFSZ)


@syscall(0)
def read(task: Task, fd: Fd, buffer: OutBuffer, count: Size) -> int:
    """read(2). Linux: fs/read_write.c, vfs_read."""
    frame = task.frame
    file = task.files.files.get(fd) if frame is None else task.file_of_call(fd)
    if file is None or not file.is_readable:
        raise EBADF
    if buffer + count > USER_END:
        raise EFAULT if file.has_read else EINVAL
    io = task.io
    if frame is None:
        io.read_calls += 1
    if count > STREAM_CHUNK and file.is_seekable:
        verify_area(file, file.position, count)
        return read_at_position(task, file, single_buffer(task.mm, buffer, count), file.position, True)
    count = min(count, MAX_RW_COUNT)
    if file.reads_whole and ((buffer ^ buffer + count - 1) > PAGE_MASK or file.has_packet):
        count = whole_length(file, UserVector(task.mm, [(buffer, count)], count))
    data = file.read(count)
    done = len(data)
    if done:
        try:
            task.mm.write(buffer, data)
        except EFAULT:
            return deliver_part(file, UserVector(task.mm, [(buffer, done)], done), data)
        if task.kernel.vfs.file_events is not None:
            note_access(file)
        if done > MUCH:
            task.kernel.clock.spend_copying(done)
        io.bytes_read += done
    return done


@syscall(1)
def write(task: Task, fd: Fd, buffer: InBuffer, count: Size) -> int:
    """write(2). Linux: fs/read_write.c, vfs_write."""
    frame = task.frame
    file = task.files.files.get(fd) if frame is None else task.file_of_call(fd)
    if file is None or not file.is_writable:
        raise EBADF
    if buffer + count > USER_END:
        file.check_can_write()
        raise EFAULT
    io = task.io
    if frame is None:
        io.write_calls += 1
    if (
        frame is not None
        or count > STREAM_CHUNK
        or file.discards_writes
        or task.group.limits.soft[RLIMIT_FSIZE] != RLIM_INFINITY
    ):
        return write_whole(task, file, single_buffer(task.mm, buffer, count))
    try:
        done = file.write(task.mm.read(buffer, count))
    except EPIPE:
        send_sigpipe(task)
        raise
    except EFAULT:
        return write_whole(task, file, single_buffer(task.mm, buffer, count))
    if count > MUCH:
        task.kernel.clock.spend_copying(count)
    io.bytes_written += done
    if done and task.kernel.vfs.file_events is not None:
        note_modification(file)
    if done < count and file.writes_whole and not file.has_failed:
        return write_whole(task, file, single_buffer(task.mm, buffer, count), done)
    return done


def whole_length(file: File, target: UserVector) -> int:
    """How much of `file` to read so that `target` holds it in whole pieces. Raises EFAULT for nothing.

    Linux: fs/pipe.c, anon_pipe_read: of a piece that doesn't fit the program gets the beginning all the same.
    """
    room = target.writable_length()
    if room < target.total:
        target.write(0, file.copied_ahead(room))
    return file.whole_length(target.total, room)


def deliver_part(file: File, target: UserVector, data: bytes) -> int:
    """A read has given `data`, but the program's memory can't hold all: hand over what can be.

    A pipe keeps everything, as its pages aren't emptied by halves. Raises EFAULT if nothing was handed over.
    """
    done = target.write(0, data)
    if not file.is_seekable:
        counted = file.counted_part(done)
        if counted is None:
            file.put_back(data)
        if not counted:
            raise EFAULT
        note_access(file)
        return counted
    if done < len(data):
        if file.is_copied_whole:
            done = 0
        file.put_back(data[done:])
        if not done:
            raise EFAULT
    note_access(file)
    return done


def read_at_position(task: Task, file: File, target: UserVector, offset: int, is_moving: bool) -> int:
    """Read a seekable file from `offset` into `target` piece by piece; the position moves along or stays.

    Others run in the middle of a long read, as far as nobody else could move the position meanwhile: on Linux
    they would wait for it. Linux: mm/filemap.c, filemap_read.
    """
    frame, clock = task.frame, task.kernel.clock
    done = before = frame.progress if frame is not None and frame.progress is not None else 0
    gives_way = not is_moving or _has_position_alone(task, file)
    began_ns = clock.kernel_work_ns
    while done < target.total:
        if gives_way and done > before:
            try:
                give_way(task.kernel.clock, began_ns, done)
            except Sleep:
                task.io.bytes_read += done - before
                raise
        wanted = min(target.total - done, CHUNK)
        data = file.read(wanted) if is_moving else file.read_at(offset + done, wanted)
        if not data:
            break
        count = target.write(done, data)
        done += count
        if count > MUCH:
            clock.spend_copying(count)
        if count < len(data):
            if file.is_copied_whole:
                done = count = 0
            if is_moving:
                file.put_back(data[count:])
            if not done:
                raise EFAULT
            break
        if count < wanted:
            break
    if done:
        note_access(file)
        task.io.bytes_read += done - before
    return done


def _has_position_alone(task: Task, file: File) -> bool:
    """Whether nobody but `task` could ask for the position of `file`. Linux: fs/file.c, fdget_pos."""
    return task.files.reference_count == 1 and file.reference_count == 1


def write_whole(
    task: Task,
    file: File,
    source: UserVector,
    done: int = 0,
    *,
    offset: int | None = None,
    is_quiet: bool = False,
) -> int:
    """Write all of `source`, as far as it goes, at the position or at `offset`; the number of bytes.

    `done` is how much of it this call has written. A blocking write to a pipe or stream remembers how far it
    has come in the frame; a signal then ends the call with that. No SIGPIPE is sent if it `is_quiet`.
    Linux: fs/read_write.c, vfs_write.
    """
    frame = task.frame
    if frame is not None and isinstance(frame.progress, int):
        done = frame.progress
    total = source.total
    file.check_can_write()
    if file.is_seekable:
        verify_area(file, file.position if offset is None else offset, total)
    if file.discards_writes:
        if total:
            note_modification(file)
        task.io.bytes_written += total
        return total
    limit = task.group.limits.soft[RLIMIT_FSIZE]
    if limit != RLIM_INFINITY and total > done:
        start = file.next_write_offset() if offset is None or file.flags & O_APPEND else offset
        if start is not None:
            total = done + limited_count(task, start, total - done, limit)
    fetched = file.fetched_at_once(total)
    if fetched is not None and fetched < total:
        count = write_beginning(file, source, total, fetched, offset)
        task.kernel.clock.spend_copying(fetched)
        task.io.bytes_written += count
        note_modification(file)
        return count
    chunk = CHUNK if file.is_seekable else MAX_RW_COUNT
    if file.writes_whole:
        total = done + file.room_of_call(total - done)
        chunk = file.write_chunk(total - done)
    elif chunk == MAX_RW_COUNT:
        file.check_length(total)
    pieces = 0
    while True:
        if pieces == PIECES_AT_ONCE and file.gives_way:
            raise Sleep(deadline_ns=task.kernel.clock.now_ns, progress=done, interrupted=done)
        pieces += 1
        wanted = min(total - done, chunk)
        try:
            data = gathered(file, source, done, wanted, offset)
            count = file.write(data) if offset is None else file.write_at(offset + done, data)
            task.kernel.clock.spend_copying(count)
            task.io.bytes_written += count
            if count:
                note_modification(file)
        except Sleep as sleep:
            if done:
                sleep.progress = sleep.interrupted = done
            raise
        except EPIPE:
            if not is_quiet:
                send_sigpipe(task)
            if done:
                return done
            raise
        except (Errno, OutOfFrames):
            if done:
                return done
            raise
        done += count
        if file.writes_whole:
            chunk = file.write_chunk(total - done)
        if len(data) < wanted and count == len(data):
            with suppress(Errno):
                file.begin_write(None if offset is None else offset + done)
            return done
        if done >= total or not count or (count < wanted and not file.writes_whole) or file.has_failed:
            return done


def write_beginning(file: File, source: UserVector, total: int, fetched: int, offset: int | None) -> int:
    """Write the first `fetched` bytes to a file that doesn't look at the rest of `total`; how many count.

    Raises what `gathered` does, and what the file refuses.
    """
    data = gathered(file, source, 0, fetched, offset)
    count = file.counted_at_once(total)
    if offset is None:
        file.position += count - file.write(data)
    else:
        file.write_at(offset, data)
    return count


def gathered(file: File, source: UserVector, done: int, wanted: int, offset: int | None = None) -> bytes:
    """What is to be written: as much of `wanted` bytes as can be read, to a pipe or stream in whole pieces.

    Raises EFAULT, after the file has got ready for what would have come at `offset` or its position, or what
    the file refuses before.
    """
    fetched = file.fetched_at_once(wanted)
    try:
        if fetched is not None:
            data = source.read(done, fetched)
            if len(data) < fetched:
                raise EFAULT
            return data
        data = source.read(done, wanted)
        if len(data) < wanted and not file.is_seekable:
            data = data[: file.whole_write(len(data), done, source.total)]
            if not data:
                raise EFAULT
    except EFAULT:
        file.check_message(source.total)
        file.begin_write(None if offset is None else offset + done)
        raise
    return data


def limited_count(task: Task, start: int, count: int, limit: int) -> int:
    """How many of `count` bytes at `start` RLIMIT_FSIZE allows; SIGXFSZ and EFBIG if none.

    Linux: fs/read_write.c, generic_write_check_limits.
    """
    if start >= limit:
        send_signal(task.kernel, task, sender_info(task, _SIGXFSZ, SI_USER))
        raise EFBIG("over RLIMIT_FSIZE")
    return min(count, limit - start)


def send_sigpipe(task: Task) -> None:
    """Nobody reads any more what `task` writes. In Linux, send_sig(SIGPIPE, current, 0)."""
    send_signal(task.kernel, task, sender_info(task, _SIGPIPE, SI_USER))


def count_calls(task: Task, *, reads: int = 0, writes: int = 0) -> None:
    """A call is made, or goes on after it has slept.

    Linux: include/linux/sched/xacct.h, inc_syscr, inc_syscw.
    """
    if task.frame is None:
        task.io.read_calls += reads
        task.io.write_calls += writes


def readable_file(task: Task, fd: int) -> File:
    """The file behind `fd`. Raises EBADF unless it's open for reading."""
    file = task.file_of_call(fd)
    if file is None or not file.is_readable:
        raise EBADF
    return file


def writable_file(task: Task, fd: int) -> File:
    """The file behind `fd`. Raises EBADF unless it's open for writing."""
    file = task.file_of_call(fd)
    if file is None or not file.is_writable:
        raise EBADF
    return file


def file_with_offsets(task: Task, fd: int, offset: int) -> File:
    """The file behind `fd`, for a call at `offset`. Raises EINVAL for a negative one, EBADF, ESPIPE."""
    if offset < 0:
        raise EINVAL("a negative offset")
    file = task.file_of_call(fd)
    if file is None:
        raise EBADF
    if not file.takes_offset:
        if not (file.is_readable or file.is_writable):
            raise EBADF
        raise ESPIPE
    return file


def file_to_write_at(task: Task, fd: int, offset: int) -> File:
    """As `file_with_offsets`, for a write."""
    file = file_with_offsets(task, fd, offset)
    if not file.takes_write_offset:
        raise ESPIPE("it's written from the beginning on")
    return file


@syscall(17)
def pread64(task: Task, fd: Fd, buffer: OutBuffer, count: Size, offset: Long) -> int:
    """pread(2). Linux: fs/read_write.c, ksys_pread64."""
    file = file_with_offsets(task, fd, offset)
    if not file.is_readable:
        raise EBADF
    count_calls(task, reads=1)
    if buffer + count > USER_END:
        raise EFAULT if file.has_read else EINVAL
    verify_area(file, offset, count)
    if count > STREAM_CHUNK:
        return read_at_position(task, file, single_buffer(task.mm, buffer, count), offset, False)
    data = file.read_at(offset, count)
    if data:
        try:
            task.mm.write(buffer, data)
        except EFAULT:
            done = write_prefix(task.mm, buffer, data)
            if not done or file.is_copied_whole:
                raise
            note_access(file)
            return done
        note_access(file)
        if len(data) > MUCH:
            task.kernel.clock.spend_copying(len(data))
        task.io.bytes_read += len(data)
    return len(data)


@syscall(18)
def pwrite64(task: Task, fd: Fd, buffer: InBuffer, count: Size, offset: Long) -> int:
    """pwrite(2). Linux: fs/read_write.c, ksys_pwrite64."""
    file = file_to_write_at(task, fd, offset)
    if not file.is_writable:
        raise EBADF
    task.io.write_calls += 1
    if buffer + count > USER_END:
        file.check_can_write()
        raise EFAULT
    verify_area(file, offset, count)
    if count <= STREAM_CHUNK and task.group.limits.soft[RLIMIT_FSIZE] == RLIM_INFINITY:
        try:
            data = task.mm.read(buffer, count)
        except EFAULT:
            # What can be read of it is written.
            return write_whole(task, file, single_buffer(task.mm, buffer, count), offset=offset)
        done = file.write_at(offset, data)
        if done > MUCH:
            task.kernel.clock.spend_copying(done)
        if done:
            note_modification(file)
            task.io.bytes_written += done
        return done
    return write_whole(task, file, single_buffer(task.mm, buffer, count), offset=offset)


@syscall(8)
def lseek(task: Task, fd: Fd, offset: Long, whence: Choice[Whence]) -> int:
    """lseek(2). Linux: fs/read_write.c, ksys_lseek."""
    file = task.files.file(fd)
    if not 0 <= whence <= 4:
        raise EBADF if isinstance(file, PathFile) else EINVAL
    return file.seek(offset, whence)
