"""readv, writev and their relatives: reads and writes with vectors of buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EBADF, EFAULT, EINVAL, EOPNOTSUPP, Errno
from procession.abi.uio import RwFlag
from procession.fs.file import O_APPEND, O_NONBLOCK, File, verify_area
from procession.fs.file_events import note_access, note_modification
from procession.fs.pipe import PipeFile
from procession.fs.wait_queue import Sleep
from procession.hardware.physical_memory import OutOfFrames
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import U64, Fd, Flags, InVector, Long, OutVector, Size
from procession.syscalls.read_write import (
    count_calls,
    deliver_part,
    file_to_write_at,
    file_with_offsets,
    gathered,
    read_at_position,
    readable_file,
    whole_length,
    writable_file,
    write_beginning,
    write_whole,
)
from procession.syscalls.user_vector import UserVector, import_vector

if TYPE_CHECKING:
    from procession.kernel.task import Task

_RWF_HIPRI = int(RwFlag.RWF_HIPRI)
RWF_NOWAIT = int(RwFlag.RWF_NOWAIT)
RWF_APPEND = int(RwFlag.RWF_APPEND)
RWF_NOAPPEND = int(RwFlag.RWF_NOAPPEND)
_RWF_NOSIGNAL = int(RwFlag.RWF_NOSIGNAL)
_RWF_SUPPORTED = (
    _RWF_HIPRI
    | int(RwFlag.RWF_DSYNC | RwFlag.RWF_SYNC)
    | (RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND | _RWF_NOSIGNAL)
)
_CURRENT_POSITION = -1


def _import_target(task: Task, file: File, vector: int, count: int) -> UserVector:
    """The buffers of a vectored read. Raises EBADF, EINVAL, EFAULT. Linux: fs/read_write.c, vfs_readv."""
    if not file.is_readable:
        raise EBADF
    if not file.has_read:
        raise EINVAL
    count_calls(task, reads=1)
    return import_vector(task.mm, vector, count)


def _import_source(task: Task, file: File, vector: int, count: int) -> UserVector:
    """The buffers of a vectored write. Raises EBADF, EINVAL, EFAULT. Linux: fs/read_write.c, vfs_writev."""
    if not file.is_writable:
        raise EBADF
    file.check_can_write()
    count_calls(task, writes=1)
    return import_vector(task.mm, vector, count)


def read_vector(task: Task, file: File, target: UserVector) -> int:
    """Read at the position into `target`, in one go. Raises Sleep, EFAULT ..."""
    if not target.total:
        return 0
    if not file.takes_read_flags:
        return _by_pieces(task, file, target, is_read=True)
    if not file.is_seekable:
        wanted = target.total
        if file.reads_whole:
            wanted = whole_length(file, target)
        data = file.read(wanted)
        if data and target.write(0, data) < len(data):
            return deliver_part(file, target, data)
        if data:
            note_access(file)
            task.io.bytes_read += len(data)
        return len(data)
    return read_at_position(task, file, target, file.position, True)


def _by_pieces(
    task: Task, file: File, vector: UserVector, *, is_read: bool, offset: int | None = None
) -> int:
    """A file that knows only single buffers is read or written with one after the other, as far as they go.

    It's read and written at its position, or at `offset`. Linux: fs/read_write.c, do_loop_readv_writev.
    """
    frame = task.frame
    done = frame.progress if frame is not None and frame.progress is not None else 0
    before = 0
    for address, length in vector.segments:
        before += length
        if length and before <= done:
            # It was full before the call slept.
            continue
        piece = UserVector(task.mm, [(address, length)], length)
        try:
            if is_read:
                data = file.read(length) if offset is None else file.read_at(offset + done, length)
                count = piece.write(0, data)
                if count < len(data):
                    if file.is_copied_whole:
                        count = 0
                    if offset is None:
                        file.put_back(data[count:])
                    if not count:
                        raise EFAULT
            else:
                file.check_length(length)
                at = None if offset is None else offset + done
                fetched = file.fetched_at_once(length)
                if fetched is not None and fetched < length:
                    count = write_beginning(file, piece, length, fetched, at)
                else:
                    data = gathered(file, piece, 0, length)
                    count = file.write(data) if at is None else file.write_at(at, data)
        except Sleep as sleep:
            if done:
                sleep.progress = sleep.interrupted = done
            raise
        except (Errno, OutOfFrames):
            if not done:
                raise
            break
        done += count
        if count < length or done == vector.total:
            break
    if done and is_read:
        note_access(file)
        task.io.bytes_read += done
    elif done:
        note_modification(file)
        task.io.bytes_written += done
    return done


@syscall(19)
def readv(task: Task, fd: Fd, vector: OutVector, count: Size) -> int:
    """readv(2). Linux: fs/read_write.c, do_readv."""
    file = readable_file(task, fd)
    return _noted(file, read_vector(task, file, _import_target(task, file, vector, count)))


def _noted(file: File, count: int) -> int:
    """The `count` that a read gave: with buffers in a vector that tells of an access even if it's 0.

    Linux: fs/read_write.c, vfs_readv.
    """
    if not count:
        note_access(file)
    return count


@syscall(20)
def writev(task: Task, fd: Fd, vector: InVector, count: Size) -> int:
    """writev(2). Linux: fs/read_write.c, do_writev."""
    file = writable_file(task, fd)
    return _write_vector(task, file, _import_source(task, file, vector, count))


def _write_vector(task: Task, file: File, source: UserVector, flags: int = 0) -> int:
    """Write `source` at the position. Raises what `write_whole` does."""
    if not source.total:
        return 0
    if not file.takes_write_flags:
        return _by_pieces(task, file, source, is_read=False)
    return write_whole(task, file, source, is_quiet=bool(flags & _RWF_NOSIGNAL))


@syscall(295)
def preadv(task: Task, fd: Fd, vector: OutVector, count: Size, offset: Long, offset_high: U64) -> int:
    """preadv(2). `offset_high` is for 32-bit programs. Linux: fs/read_write.c, do_preadv."""
    return _read_at(task, fd, vector, count, offset)


@syscall(296)
def pwritev(task: Task, fd: Fd, vector: InVector, count: Size, offset: Long, offset_high: U64) -> int:
    """pwritev(2). Linux: fs/read_write.c, do_pwritev."""
    return _write_at(task, fd, vector, count, offset)


@syscall(327)
def preadv2(
    task: Task, fd: Fd, vector: OutVector, count: Size, offset: Long, offset_high: U64, flags: Flags[RwFlag]
) -> int:
    """preadv2(2). Offset -1 is the position. Linux: fs/read_write.c, SYSCALL_DEFINE6(preadv2)."""
    if offset != _CURRENT_POSITION:
        return _read_at(task, fd, vector, count, offset, flags)
    file = readable_file(task, fd)
    target = _import_target(task, file, vector, count)
    if not target.total:
        return _noted(file, 0)
    if file.is_seekable:
        verify_area(file, file.position, target.total)
    _check_read_flags(file, flags)
    if not flags & RWF_NOWAIT or file.is_seekable:
        return _noted(file, read_vector(task, file, target))
    # Linux: net/socket.c, sock_read_iter.
    kept = file.flags
    file.flags = kept | O_NONBLOCK
    try:
        return _noted(file, read_vector(task, file, target))
    finally:
        file.flags = kept


@syscall(328)
def pwritev2(
    task: Task, fd: Fd, vector: InVector, count: Size, offset: Long, offset_high: U64, flags: Flags[RwFlag]
) -> int:
    """pwritev2(2). Offset -1 is the position. Linux: fs/read_write.c, SYSCALL_DEFINE6(pwritev2)."""
    if offset != _CURRENT_POSITION:
        return _write_at(task, fd, vector, count, offset, flags)
    file = writable_file(task, fd)
    source = _import_source(task, file, vector, count)
    if not source.total:
        return 0
    if file.is_seekable:
        verify_area(file, file.position, source.total)
    _check_write_flags(file, flags)
    if not file.is_seekable or not flags & (RWF_APPEND | RWF_NOAPPEND):
        try:
            return _write_vector(task, file, source, flags)
        except Sleep as sleep:
            if not flags & RWF_NOWAIT:
                raise
            if isinstance(sleep.interrupted, int):
                return sleep.interrupted
            raise EAGAIN from None
    with_append = bool(flags & RWF_APPEND)
    start = file.inode.size if with_append else file.position
    done = write_with_append(task, file, source, start, with_append)
    file.position = start + done
    return done


def _read_at(task: Task, fd: int, vector: int, count: int, offset: int, flags: int = 0) -> int:
    file = file_with_offsets(task, fd, offset)
    target = _import_target(task, file, vector, count)
    if not target.total:
        return _noted(file, 0)
    verify_area(file, offset, target.total)
    _check_read_flags(file, flags)
    if not file.takes_read_flags:
        return _noted(file, _by_pieces(task, file, target, is_read=True, offset=offset))
    try:
        return _noted(file, read_at_position(task, file, target, offset, False))
    except Sleep:
        if flags & RWF_NOWAIT and not file.is_seekable:
            raise EAGAIN from None
        raise


def _write_at(task: Task, fd: int, vector: int, count: int, offset: int, flags: int = 0) -> int:
    file = file_to_write_at(task, fd, offset)
    source = _import_source(task, file, vector, count)
    if not source.total:
        return 0
    verify_area(file, offset, source.total)
    _check_write_flags(file, flags)
    if not file.takes_write_flags:
        return _by_pieces(task, file, source, is_read=False, offset=offset)
    if flags & (RWF_APPEND | RWF_NOAPPEND):
        return write_with_append(task, file, source, offset, bool(flags & RWF_APPEND))
    return write_whole(task, file, source, offset=offset)


def write_with_append(task: Task, file: File, source: UserVector, offset: int, with_append: bool) -> int:
    """Write as if O_APPEND were set, or were not, for this call alone."""
    flags = file.flags
    file.flags = flags | O_APPEND if with_append else flags & ~O_APPEND
    try:
        return write_whole(task, file, source, offset=offset)
    finally:
        file.flags = flags


def check_rw_flags(file: File, flags: int) -> None:
    """Linux: include/linux/fs.h, kiocb_set_rw_flags."""
    if flags & ~_RWF_SUPPORTED:
        raise EOPNOTSUPP
    if flags & RWF_APPEND and flags & RWF_NOAPPEND:
        raise EINVAL
    if flags & RWF_NOWAIT and (
        not file.knows_nowait
        or not ((file.has_read and file.takes_read_flags) or (file.has_write and file.takes_write_flags))
        or (isinstance(file, PipeFile) and (file.has_been_spliced or not file.inode.superblock.is_internal))
    ):
        raise EOPNOTSUPP


def _check_read_flags(file: File, flags: int) -> None:
    """Linux: fs/read_write.c, vfs_readv, do_loop_readv_writev."""
    if flags & ~_RWF_HIPRI and not file.takes_read_flags:
        raise EOPNOTSUPP
    check_rw_flags(file, flags)


def _check_write_flags(file: File, flags: int) -> None:
    """Linux: fs/read_write.c, vfs_writev, do_loop_readv_writev."""
    if flags & ~_RWF_HIPRI and not file.takes_write_flags:
        raise EOPNOTSUPP
    check_rw_flags(file, flags)
