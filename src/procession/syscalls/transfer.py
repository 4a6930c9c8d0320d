"""Bytes moved between files inside the kernel: sendfile, copy_file_range, splice, tee, vmsplice."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.errno import (
    EAGAIN,
    EBADF,
    EFAULT,
    EFBIG,
    EINVAL,
    EISDIR,
    EOVERFLOW,
    EPIPE,
    ESPIPE,
    EXDEV,
    Errno,
)
from procession.abi.splice import SpliceFlag
from procession.abi.structure import I64
from procession.fs.devices import DeviceFile
from procession.fs.file import (
    O_APPEND,
    O_NOATIME,
    O_NONBLOCK,
    SEEK_CUR,
    STREAM_CHUNK,
    File,
    verify_area,
)
from procession.fs.file_events import note_access, note_modification
from procession.fs.host_stream import InputFile, OutputFile, StreamInode
from procession.fs.pipe import PipeFile
from procession.fs.regular_file import frames_spliced
from procession.fs.terminal.tty import TtyFile
from procession.fs.wait_queue import Sleep
from procession.hardware.page_table import ADDRESS_MASK
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, OutOfFrames
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_FSIZE
from procession.mm.remote_access import is_secret
from procession.net.socket import MSG_DONTWAIT
from procession.net.socket_file import SocketFile
from procession.net.unix.stream import UnixStream
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Fd, Flags, InOut, InVector, Size, UInt
from procession.syscalls.read_write import (
    CHUNK,
    PIECES_AT_ONCE,
    count_calls,
    limited_count,
    readable_file,
    send_sigpipe,
    whole_length,
    writable_file,
)
from procession.syscalls.user_vector import MAX_RW_COUNT, UserVector, import_vector

if TYPE_CHECKING:
    from procession.kernel.task import Task

_MOST_PIECES = 1 << 15
"""How many pieces one call copies: what the most bytes that a call may move take."""
_SPLICE_F_NONBLOCK = int(SpliceFlag.SPLICE_F_NONBLOCK)
_SPLICE_FLAGS = 0xF
_UNSIGNED_64 = (1 << 64) - 1


def _note_transfer(source: File, target: File) -> None:
    """Bytes have been read here and written there."""
    note_access(source)
    note_modification(target)


def _check_can_splice(file: File) -> None:
    """Raise EINVAL for files that only their own calls read or write: event counters, directories."""
    if (
        file.inode.is_directory
        or file.inode.superblock.type_name == "anon_inodefs"
        or (isinstance(file, TtyFile) and file.is_hung_up)
    ):
        raise EINVAL


def _check_can_splice_from(file: File) -> None:
    """Raise EINVAL for a file that isn't read by pages (in Linux, has no splice_read)."""
    _check_can_splice(file)
    if not (file.takes_read_flags and file.has_splice_read) or isinstance(file, PipeFile):
        raise EINVAL("there is nothing to take pages from")


def _check_can_splice_to(file: File) -> None:
    """Raise EINVAL for a file that isn't written by pages (in Linux, has no splice_write)."""
    _check_can_splice(file)
    if not (file.takes_write_flags and file.has_splice_write and file.has_write):
        raise EINVAL("it takes no pages")


def _limit(task: Task, file: File, count: int, offset: int | None = None) -> int:
    """How much of `count` bytes RLIMIT_FSIZE lets the task write; SIGXFSZ and EFBIG if nothing."""
    limit = task.group.limits.soft[RLIMIT_FSIZE]
    if limit == RLIM_INFINITY or not count:
        return count
    start = file.next_write_offset() if offset is None else offset
    return count if start is None else limited_count(task, start, count, limit)


@syscall(40)
def sendfile(task: Task, output: Fd, input: Fd, offset: InOut[I64], count: Size) -> int:
    """sendfile(2). Linux: fs/read_write.c, do_sendfile."""
    start = offset.get() if offset else None
    source = readable_file(task, input)
    if start is not None and not source.takes_offset:
        raise ESPIPE
    position = source.position if start is None else start
    verify_area(source, position, count)
    count = min(count, MAX_RW_COUNT)
    target = writable_file(task, output)
    largest = min(source.inode.superblock.largest_file, target.inode.superblock.largest_file)
    if position + count & _UNSIGNED_64 > largest:
        if position >= largest:
            raise EOVERFLOW("past the end of any file")
        count = largest - position
    if isinstance(target, PipeFile):
        count_calls(task, reads=1, writes=1)
        moved = _fill_pipe(task, source, start, target, count, _blocks(0, source, target))
        if start is not None:
            _sent(source, offset, start, moved)
        task.io.moved(moved)
        return moved
    if target.is_seekable:
        verify_area(target, target.position, count)
    # Only what has a position can be read again if the other side doesn't take it.
    if target.flags & O_APPEND or not _has_position(source):
        raise EINVAL
    if not count:
        if source.inode.is_regular and not source.flags & O_NOATIME:
            # Linux: fs/splice.c, splice_direct_to_actor.
            source.inode.touch_accessed(source.path.mount.flags)
        return 0
    _check_can_splice_from(source)
    if not source.is_seekable:
        raise EINVAL
    frame = task.frame
    count_calls(task, reads=1, writes=1)
    done = frame.progress if frame is not None and frame.progress is not None else 0
    # Where the call began: the place has moved on with what was sent before it slept.
    position -= done
    total = min(count, MAX_RW_COUNT)
    try:
        done = _send(task, source, target, position, done, total)
    except Sleep as sleep:
        moved = sleep.progress if isinstance(sleep.progress, int) else 0
        _sent(source, offset, position, moved)
        raise
    _sent(source, offset, position, done)
    return done


def _has_position(file: File) -> bool:
    """Whether lseek(2) works, if only by doing nothing (FMODE_LSEEK)."""
    try:
        file.seek(0, SEEK_CUR)
    except ESPIPE:
        return False
    return True


def _sent(source: File, offset: InOut[I64], position: int, done: int) -> None:
    """Leave the place behind what was sent where the caller wants it; reads of a device don't move it."""
    if offset:
        offset.put(position + (0 if isinstance(source, DeviceFile) else done))
    else:
        source.position = position + done


def _send(task: Task, source: File, target: File, position: int, done: int, total: int) -> int:
    """Write what is in `source` from `position + done` on; up to `total` bytes in all of this call."""
    chunk = CHUNK if target.is_seekable else STREAM_CHUNK
    pieces = 0
    # A small file that is sent to its own end never ends, and each piece is as small: Linux is busy with it
    # for as long as it likes, but here nobody else would run meanwhile.
    while done < total and pieces < _MOST_PIECES:
        if pieces == PIECES_AT_ONCE and target.gives_way:
            raise Sleep(deadline_ns=task.kernel.clock.now_ns, progress=done, interrupted=done)
        pieces += 1
        data = source.read_at(position + done, min(total - done, chunk))
        if not data:
            break
        if not done:
            _check_can_splice_to(target)
        try:
            # Not before there is something to write: what has ended breaks no limit. What comes up to one is
            # written, and the rest tried as well, so that there is a signal in any case.
            data = data[: _limit(task, target, len(data))]
            count = target.write(data)
            task.kernel.clock.spend_copying(count)
            task.io.moved(count)
            _note_transfer(source, target)
        except Sleep as sleep:
            if done:
                sleep.progress = sleep.interrupted = done
            raise
        except EPIPE:
            send_sigpipe(task)
            if done:
                break
            raise
        except (Errno, OutOfFrames):
            if done:
                break
            raise
        done += count
        if count < len(data) and not target.writes_whole:
            break
    return done


@syscall(326)
def copy_file_range(
    task: Task,
    input: Fd,
    input_offset: InOut[I64],
    output: Fd,
    output_offset: InOut[I64],
    length: Size,
    flags: UInt,
) -> int:
    """copy_file_range(2). Linux: fs/read_write.c, vfs_copy_file_range."""
    source, target = opened_file(task, input), opened_file(task, output)
    start = input_offset.get() if input_offset else source.position
    target_start = output_offset.get() if output_offset else target.position
    if flags:
        raise EINVAL
    if source.inode.is_directory or target.inode.is_directory:
        raise EISDIR
    if not (source.inode.is_regular and target.inode.is_regular):
        raise EINVAL
    if not source.is_readable or not target.is_writable or target.flags & O_APPEND:
        raise EBADF
    if source.inode.superblock is not target.inode.superblock:
        raise EXDEV
    for position in (start, target_start):
        if (position & _UNSIGNED_64) + length > _UNSIGNED_64:
            raise EOVERFLOW
    count = min(length, max(source.inode.size - start, 0), MAX_RW_COUNT)
    limit = task.group.limits.soft[RLIMIT_FSIZE]
    if limit != RLIM_INFINITY:
        # Even if there is nothing to copy.
        count = limited_count(task, target_start, count, limit)
    largest = target.inode.superblock.largest_file
    if target_start >= largest:
        raise EFBIG("past the end of any file")
    count = min(count, largest - target_start)
    if source.inode is target.inode and start < target_start + count and target_start < start + count:
        raise EINVAL("the ranges overlap")
    if start < 0 or target_start < 0:
        raise EINVAL
    count_calls(task, reads=1, writes=1)
    done = 0
    while done < count:
        data = source.read_at(start + done, min(count - done, CHUNK))
        if not data:
            break
        try:
            written = target.write_at(target_start + done, data)
            task.kernel.clock.spend_copying(written)
            task.io.moved(written)
            _note_transfer(source, target)
        except (Errno, OutOfFrames):
            if done:
                break
            raise
        done += written
        if written < len(data):
            break
    for pointer, file, position in (
        (input_offset, source, start),
        (output_offset, target, target_start),
    ):
        if pointer:
            pointer.put(position + done)
        else:
            file.position = position + done
    return done


@syscall(275)
def splice(
    task: Task,
    input: Fd,
    input_offset: InOut[I64],
    output: Fd,
    output_offset: InOut[I64],
    length: Size,
    flags: Flags[SpliceFlag],
) -> int:
    """splice(2). Linux: fs/splice.c, do_splice."""
    if not length:
        return 0
    if flags & ~_SPLICE_FLAGS:
        raise EINVAL
    source, target = opened_file(task, input), opened_file(task, output)
    is_source_pipe, is_target_pipe = isinstance(source, PipeFile), isinstance(target, PipeFile)
    if is_source_pipe:
        if input_offset:
            raise ESPIPE
        _forbid_nowait(source)
    if is_target_pipe:
        if output_offset:
            raise ESPIPE
        _forbid_nowait(target)
    for offset in (output_offset, input_offset):
        if offset:
            # What can't be read is told before what the files are. Linux: fs/splice.c, __do_splice.
            offset.get()
    if not source.is_readable or not target.is_writable:
        raise EBADF
    blocks = _blocks(flags, *(file for file in (source, target) if isinstance(file, PipeFile)))
    if isinstance(source, PipeFile):
        if isinstance(target, PipeFile):
            return _pipe_to_pipe(task, source, target, min(length, MAX_RW_COUNT), blocks, consumes=True)
        return _pipe_to_file(task, source, target, output_offset, length, blocks)
    if isinstance(target, PipeFile):
        return _file_to_pipe(task, source, input_offset, target, length, blocks)
    raise EINVAL("neither is a pipe")


def _forbid_nowait(file: File) -> None:
    """What is in a pipe may be another file's from now on, which has to be waited for.

    Linux: fs/splice.c, pipe_clear_nowait.
    """
    if isinstance(file, PipeFile):
        file.has_been_spliced = True


def _blocks(flags: int, *pipes: File) -> bool:
    """Whether a call waits for its pipes, each of which may have been told not to."""
    return not (flags & _SPLICE_F_NONBLOCK or any(file.flags & O_NONBLOCK for file in pipes))


def _wait_for_bytes(source: PipeFile, blocks: bool) -> bool:
    """Whether there is something in a pipe to move; False at its end. Raises EAGAIN, Sleep."""
    pipe = source.pipe
    if pipe.chunks:
        return True
    if not pipe.writer_count:
        return False
    if not blocks:
        raise EAGAIN
    raise Sleep(pipe.read_queue)


def _wait_for_room(task: Task, target: PipeFile, blocks: bool, offset: int = 0) -> int:
    """How many bytes a pipe can take in new pages, from `offset` in the first. Raises EPIPE, EAGAIN, Sleep.

    Linux: fs/splice.c, wait_for_space.
    """
    pipe = target.pipe
    if not pipe.reader_count:
        send_sigpipe(task)
        raise EPIPE
    free_slots = pipe.slot_count - pipe.used_slots
    if free_slots > 0:
        return (free_slots << PAGE_SHIFT) - offset
    if not blocks:
        raise EAGAIN
    raise Sleep(pipe.write_queue)


def _pipe_to_pipe(
    task: Task, source: PipeFile, target: PipeFile, length: int, blocks: bool, *, consumes: bool
) -> int:
    """Move or copy bytes between pipes. Linux: fs/splice.c, splice_pipe_to_pipe, link_pipe."""
    if source.pipe is target.pipe:
        raise EINVAL("the same pipe")
    if not _wait_for_bytes(source, blocks):
        # Who would read is asked for before the end is seen.
        if not target.pipe.reader_count:
            send_sigpipe(task)
            raise EPIPE
        return 0
    _wait_for_room(task, target, blocks)
    done = source.pipe.copy_pages(target.pipe, length)
    task.kernel.clock.spend_copying(done)
    if consumes:
        source.pipe.drop(done)
    return done


def _pipe_to_file(
    task: Task, source: PipeFile, target: File, offset: InOut[I64], length: int, blocks: bool
) -> int:
    """Linux: fs/splice.c, do_splice with a pipe as its input."""
    start: int | None = None
    if offset:
        if not (target.takes_offset and target.takes_write_offset):
            raise EINVAL
        start = offset.get()
    if target.flags & O_APPEND:
        raise EINVAL
    _verify_spliced(target, start, length)
    _check_can_splice_to(target)
    if not _wait_for_bytes(source, blocks):
        return 0
    available = min(length, MAX_RW_COUNT, source.pipe.length)
    data = source.pipe.peek(_limit(task, target, available, start), has_packets=False)
    try:
        done = target.write(data) if start is None else target.write_at(start, data)
    except EPIPE:
        send_sigpipe(task)
        raise
    source.pipe.take(done, has_packets=False)
    if done:
        task.kernel.clock.spend_copying(done)
        _note_transfer(source, target)
    if start is not None:
        offset.put(start + (0 if isinstance(target, DeviceFile) else done))
    if done == len(data) < available:
        # The rest is tried as well, and signalled for.
        with suppress(EFBIG):
            _limit(task, target, available - done, None if start is None else start + done)
    return done


def _verify_spliced(file: File, start: int | None, length: int) -> None:
    """Raise EINVAL, whatever the file, for more bytes than a signed number says; EOVERFLOW."""
    if length >> 63:
        raise EINVAL("a negative length")
    if file.is_seekable:
        verify_area(file, file.position if start is None else start, min(length, MAX_RW_COUNT))


def _file_to_pipe(
    task: Task, source: File, offset: InOut[I64], target: PipeFile, length: int, blocks: bool
) -> int:
    """Linux: fs/splice.c, splice_file_to_pipe."""
    start: int | None = None
    if offset:
        if not source.takes_offset:
            raise EINVAL
        start = offset.get()
    _verify_spliced(source, start, length)
    done = _fill_pipe(task, source, start, target, min(length, MAX_RW_COUNT), blocks)
    if start is not None and done:
        _sent(source, offset, start, done)
    return done


def _fill_pipe(
    task: Task, source: File, start: int | None, target: PipeFile, length: int, blocks: bool
) -> int:
    """Put what a pipe has room for into it, from `start` or the position on. Raises EINVAL, EAGAIN, Sleep.

    Linux: fs/splice.c, splice_file_to_pipe.
    """
    # A file's pages are handed over as they lie in it.
    begin = (source.position if start is None else start) if source.is_seekable else 0
    in_page = begin & PAGE_MASK
    wanted = min(length, _wait_for_room(task, target, blocks, in_page))
    if not length:
        return 0
    _check_can_splice_from(source)
    if start is not None:
        data = source.read_at(start, wanted)
    elif not blocks and source.inode.superblock.type_name == "sockfs":
        data = _read_at_once(source, wanted)
    else:
        data = source.read(wanted)
    if not data:
        return 0
    done = target.pipe.add_pages(data, in_page, frames_spliced(source, begin, len(data)))
    task.kernel.clock.spend_copying(done)
    _note_transfer(source, target)
    return done


def _read_at_once(source: File, length: int) -> bytes:
    """SPLICE_F_NONBLOCK is about the pipe, and for local streams alone about the socket too.

    Linux: net/unix/af_unix.c, unix_stream_splice_read.
    """
    if not (isinstance(source, SocketFile) and isinstance(source.socket, UnixStream)):
        return source.read(length)
    received = source.socket.receive(length, MSG_DONTWAIT)
    received.release()
    return received.data


@syscall(276)
def tee(task: Task, input: Fd, output: Fd, length: Size, flags: Flags[SpliceFlag]) -> int:
    """tee(2). Linux: fs/splice.c, do_tee."""
    if flags & ~_SPLICE_FLAGS:
        raise EINVAL
    if not length:
        return 0
    source, target = opened_file(task, input), opened_file(task, output)
    if not source.is_readable or not target.is_writable:
        raise EBADF
    blocks = _blocks(flags, source, target)
    if isinstance(source, PipeFile) and isinstance(target, PipeFile):
        return _pipe_to_pipe(task, source, target, min(length, MAX_RW_COUNT), blocks, consumes=False)
    if not (_is_pipe(source) and _is_pipe(target)):
        raise EINVAL
    return _copy_through_stream(task, source, target, min(length, STREAM_CHUNK), blocks)


def _is_pipe(file: File) -> bool:
    """Whether it's a pipe, here or outside."""
    if isinstance(file, InputFile | OutputFile):
        return isinstance(file.inode, StreamInode) and file.inode.is_pipe
    return isinstance(file, PipeFile)


def _copy_through_stream(task: Task, source: File, target: File, length: int, blocks: bool) -> int:
    """tee(2) where one of the two is a pipe that leads outside. Raises EPIPE, EAGAIN, Sleep."""
    if isinstance(source, PipeFile):
        has_bytes = _wait_for_bytes(source, blocks)
        data = source.pipe.peek(min(length, source.pipe.length)) if has_bytes else b""
    else:
        assert isinstance(source, InputFile)
        data = source.peek(length, blocks=blocks)
    if not data:
        return 0
    if isinstance(target, PipeFile):
        done = target.pipe.add_pages(data[: _wait_for_room(task, target, blocks)], 0)
    else:
        try:
            done = target.write(data)
        except EPIPE:
            send_sigpipe(task)
            raise
    task.kernel.clock.spend_copying(done)
    return done


def _gift_pages(file: PipeFile, buffers: UserVector) -> int:
    """Put a program's pages, as they lie in its memory, into a pipe that has room. Raises EFAULT.

    It takes what the pipe holds at the most, and ends early where memory does. Linux: fs/splice.c,
    iter_to_pipe.
    """
    done = position = 0
    tables = buffers.mm.tables
    room = file.pipe.slot_count << PAGE_SHIFT
    for address, whole in buffers.segments:
        length = min(whole, room)
        try:
            if any(is_secret(area) for area in buffers.mm.areas_in(address, address + length)):
                raise EFAULT("secret memory")
            data = buffers.read(position, length) if length else b""
        except EFAULT:
            if not done:
                raise
            break
        pages = range(address >> PAGE_SHIFT, (address + len(data) + PAGE_MASK) >> PAGE_SHIFT)
        frames = [(tables.entry(page) & ADDRESS_MASK) >> PAGE_SHIFT for page in pages]
        added = file.pipe.add_pages(data, address & PAGE_MASK, frames)
        done += added
        position += whole
        if added < whole:
            break
    return done


@syscall(278)
def vmsplice(task: Task, fd: Fd, vector: InVector, count: Size, flags: Flags[SpliceFlag]) -> int:
    """vmsplice(2): the pages are the program's still, and what it writes to them is what is read later.

    Linux: fs/splice.c, SYSCALL_DEFINE4(vmsplice).
    """
    if flags & ~_SPLICE_FLAGS:
        raise EINVAL
    file = opened_file(task, fd)
    if not (file.is_readable or file.is_writable):
        raise EBADF
    buffers = import_vector(task.mm, vector, count)
    if not buffers.total:
        return 0
    if not isinstance(file, PipeFile):
        raise EBADF
    _forbid_nowait(file)
    # Here the pipe's own O_NONBLOCK doesn't count.
    blocks = _blocks(flags)
    if file.is_writable:
        _wait_for_room(task, file, blocks)
        return _gift_pages(file, buffers)
    if not _wait_for_bytes(file, blocks):
        return 0
    # Linux: fs/splice.c, pipe_to_user.
    data = file.pipe.peek(whole_length(file, buffers), has_packets=False)
    if buffers.write(0, data) < len(data):
        raise EFAULT
    file.pipe.take(len(data), has_packets=False)
    return len(data)
