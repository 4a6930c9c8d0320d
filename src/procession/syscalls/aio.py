"""io_setup, io_submit, io_getevents and their kin: reads and writes of which a ring of events tells.

As on Linux without direct access to a disk, most requests are done when io_submit(2) returns; those that wait
for a file to be ready aren't.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.aio import Iocb, IocbCommand, IocbFlag
from procession.abi.duration import NS_PER_S
from procession.abi.errno import (
    EAGAIN,
    EBADF,
    EFAULT,
    EINPROGRESS,
    EINTR,
    EINVAL,
    ERESTART_RESTARTBLOCK,
    ERESTARTNOHAND,
    ERESTARTNOINTR,
    ERESTARTSYS,
    Errno,
)
from procession.abi.time import Timespec
from procession.abi.word import Words, pack_u32, pack_u64
from procession.fs.aio import EVENT_SIZE, NUMBER_BYTES, AioContext, PollRequest, ring_file, ring_size
from procession.fs.eventfd import EventFile
from procession.fs.file import POLLERR, POLLHUP, File, PathFile, verify_area
from procession.fs.giving_way import give_way
from procession.fs.wait_queue import Abandonable, Sleep
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.sched.priority import check_io_priority
from procession.kernel.signal.mask import set_temporary_mask
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.time.costs import AIO_REQUEST_NS
from procession.mm.ring_table import RingTable
from procession.mm.unmapped_area import unmapped_area
from procession.mm.vma import DONT_EXPAND, PROT_READ, PROT_WRITE, VirtualMemoryArea
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, In, Long, UInt
from procession.syscalls.read_write import read_at_position, write_whole
from procession.syscalls.read_write_vector import (
    RWF_APPEND,
    RWF_NOAPPEND,
    RWF_NOWAIT,
    check_rw_flags,
    read_vector,
    write_with_append,
)
from procession.syscalls.user_vector import UserVector, import_vector, single_buffer

if TYPE_CHECKING:
    from procession.kernel.task import Task

_MOST_REQUESTS = 0x10000000 // EVENT_SIZE // 2
_RESFD = int(IocbFlag.IOCB_FLAG_RESFD)
_IOPRIO = int(IocbFlag.IOCB_FLAG_IOPRIO)
_KEY = 0
_READS = (IocbCommand.IOCB_CMD_PREAD, IocbCommand.IOCB_CMD_PREADV)
_WRITES = (IocbCommand.IOCB_CMD_PWRITE, IocbCommand.IOCB_CMD_PWRITEV)
_VECTORS = (IocbCommand.IOCB_CMD_PREADV, IocbCommand.IOCB_CMD_PWRITEV)
_SYNCS = (IocbCommand.IOCB_CMD_FSYNC, IocbCommand.IOCB_CMD_FDSYNC)
_SIGNAL_MASK = Words("<QQ")
_SIGNAL_SET_SIZE = 8
_POLL_EVENTS = 0xFFFF
_RESTARTS = (ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK)


@syscall(206)
def io_setup(task: Task, event_count: UInt, context: Address) -> int:
    """io_setup(2). Linux: fs/aio.c, ioctx_alloc."""
    mm, accounts = task.mm, task.kernel.vfs.accounts
    if mm.read_word(context) or not event_count:
        raise EINVAL("a context that isn't 0, or no events")
    if event_count > _MOST_REQUESTS:
        raise EINVAL("more events than a ring can have")
    if accounts.aio_requests + event_count > accounts.maximum_aio_requests:
        raise EAGAIN("fs.aio-max-nr")
    size = ring_size(event_count, len(task.kernel.scheduler.processors))
    contexts = mm.aio_contexts or RingTable()
    made = AioContext(mm.memory, accounts, contexts.free_number(), size, event_count)
    try:
        made.address = start = unmapped_area(mm, size)
        file = ring_file(task.kernel.vfs, made.pages, task.credentials)
        ring = VirtualMemoryArea(
            start,
            start + size,
            PROT_READ | PROT_WRITE,
            is_shared=True,
            pages=made.pages,
            file=file,
            flags=DONT_EXPAND,
        )
        try:
            mm.map(ring)
        finally:
            file.release_if_unheld()
        try:
            mm.write(context, pack_u64(start))
        except (EFAULT, OutOfFrames):
            mm.unmap(start, start + size)
            raise
    except (Errno, OutOfFrames):
        made.release()
        raise
    contexts.add(made)
    mm.aio_contexts = contexts
    return 0


def _context(task: Task, address: int) -> AioContext:
    """The context whose ring is at `address`. Raises EINVAL. Linux: fs/aio.c, lookup_ioctx."""
    try:
        number = int.from_bytes(task.mm.read(address, NUMBER_BYTES), "little")
    except EFAULT:
        raise EINVAL("no ring") from None
    contexts = task.mm.aio_contexts
    found = None if contexts is None else contexts.numbered.get(number)
    if not isinstance(found, AioContext) or found.address != address:
        raise EINVAL("no such context")
    return found


@syscall(207)
def io_destroy(task: Task, context: Address) -> int:
    """io_destroy(2). Linux: fs/aio.c, kill_ioctx."""
    found = _context(task, context)
    assert task.mm.aio_contexts is not None
    task.mm.aio_contexts.remove(found)
    found.release()
    # What the program has put there instead of the ring goes too, and nobody hears if it can't.
    with suppress(Errno, OutOfFrames):
        task.mm.unmap(context, context + found.size)
    return 0


@syscall(209)
def io_submit(task: Task, context: Address, count: Long, requests: Address) -> int:
    """io_submit(2): how many were begun; an error only of the first. Linux: fs/aio.c,
    SYSCALL_DEFINE3(io_submit).
    """
    if count < 0:
        raise EINVAL("a negative number of requests")
    found = _context(task, context)
    frame = task.frame
    done, address = 0, 0
    request: Iocb | None = None
    if frame is not None and frame.progress is not None:
        done, address, request, frame.progress = frame.progress
    count = min(count, found.capacity)
    began_ns = task.kernel.clock.kernel_work_ns
    while done < count:
        if request is None:
            give_way(task.kernel.clock, began_ns, (done, 0, None, None))
        try:
            if request is None:
                address = task.mm.read_word(requests + 8 * done)
                request = _admit(task, found, address)
            _submit_one(task, found, request, address)
        except Sleep as sleep:
            assert request is not None
            # How many requests are done, which one has begun, and how much of it has been done.
            sleep.progress = (done, address, request, sleep.progress)
            sleep.fds = (
                (request.aio_fildes, request.aio_resfd)
                if request.aio_flags & _RESFD
                else (request.aio_fildes,)
            )
            raise
        except (Errno, OutOfFrames):
            if not done:
                raise
            break
        done += 1
        task.kernel.clock.spend(AIO_REQUEST_NS)
        request = None
        if frame is not None:
            frame.progress = frame.deadline_ns = None
            frame.release()
    return done


def _admit(task: Task, context: AioContext, address: int) -> Iocb:
    """The request at `address`, for which a place in the ring is kept. Linux: fs/aio.c, io_submit_one."""
    request = Iocb.unpack(task.mm.read(address, Iocb.SIZE))
    if request.aio_reserved2:
        raise EINVAL("a reserved field")
    if request.aio_nbytes >> 63:
        raise EINVAL("a negative length")
    if not context.has_room():
        raise EAGAIN("as many requests as the ring has places")
    context.used += 1
    return request


def _submit_one(task: Task, context: AioContext, request: Iocb, address: int) -> None:
    """Do what a request asks for, or begin it; it keeps its place only if it's done or has begun."""
    try:
        _do_or_begin(task, context, request, address)
    except (Errno, OutOfFrames):
        context.used -= 1
        raise


def _do_or_begin(task: Task, context: AioContext, request: Iocb, address: int) -> None:
    """Linux: fs/aio.c, __io_submit_one."""
    file = task.file_of_call(request.aio_fildes)
    if file is None or isinstance(file, PathFile):
        raise EBADF
    event_file: EventFile | None = None
    if request.aio_flags & _RESFD:
        chosen = task.file_of_call(request.aio_resfd)
        if chosen is None or isinstance(chosen, PathFile):
            raise EBADF
        if not isinstance(chosen, EventFile):
            raise EINVAL("not an eventfd")
        event_file = chosen
    task.mm.write(address + Iocb.OFFSETS["aio_key"], pack_u32(_KEY))
    if request.aio_lio_opcode == IocbCommand.IOCB_CMD_POLL:
        _poll(context, file, request, address, event_file)
        return
    result = _do_request(task, file, request)
    context.complete(address, request.aio_data, result, event_file)


def _poll(context: AioContext, file: File, request: Iocb, address: int, event_file: EventFile | None) -> None:
    """Linux: fs/aio.c, aio_poll."""
    if request.aio_buf & ~_POLL_EVENTS or request.aio_offset or request.aio_nbytes or request.aio_rw_flags:
        raise EINVAL("more than events to wait for")
    if not file.wait_queues() and not file.poll_mask() & (request.aio_buf | POLLERR | POLLHUP):
        raise EINVAL("nothing will ever tell that the file is ready")
    waiting = PollRequest(context, file, request.aio_buf, address, request.aio_data, event_file)
    waiting.begin()


def _do_request(task: Task, file: File, request: Iocb) -> int:
    """The result of a request, a negative errno if it failed later than io_submit(2) would tell."""
    operation = request.aio_lio_opcode
    if operation in _SYNCS:
        if request.aio_buf or request.aio_offset or request.aio_nbytes or request.aio_rw_flags:
            raise EINVAL("more than a file to sync")
        file.sync()
        return 0
    if operation not in _READS and operation not in _WRITES:
        raise EINVAL("no such request")
    if request.aio_flags & _IOPRIO:
        check_io_priority(task, request.aio_reqprio & 0xFFFF)
    check_rw_flags(file, request.aio_rw_flags & 0xFFFFFFFF)
    is_read = operation in _READS
    if not (file.is_readable if is_read else file.is_writable):
        raise EBADF
    if not (
        file.has_read and file.takes_read_flags if is_read else file.has_write and file.takes_write_flags
    ):
        raise EINVAL("the file has no such operation")
    if operation in _VECTORS:
        vector = import_vector(task.mm, request.aio_buf, request.aio_nbytes)
    else:
        vector = single_buffer(task.mm, request.aio_buf, request.aio_nbytes)
    # Of a stream too, which has no use for it.
    verify_area(file, request.aio_offset, vector.total)
    outcome: type[Errno] | int
    try:
        return _transfer(task, file, vector, request, is_read=is_read)
    except Sleep as sleep:
        if request.aio_rw_flags & RWF_NOWAIT and not file.is_seekable:
            return -EAGAIN.number
        # What a signal ends is done; the requests after it are begun all the same.
        if not (task.has_pending_signal if sleep.is_interruptible else has_fatal_signal(task)):
            raise
        if isinstance(sleep.progress, Abandonable):
            sleep.progress.abandon()
        outcome = sleep.interrupted
    except Errno as error:
        outcome = type(error)
    if isinstance(outcome, int):
        return outcome
    # Linux: fs/aio.c, aio_rw_done.
    return -EINTR.number if issubclass(outcome, _RESTARTS) else -outcome.number


def _transfer(task: Task, file: File, vector: UserVector, request: Iocb, *, is_read: bool) -> int:
    if not vector.total:
        return 0
    offset, flags = request.aio_offset, request.aio_rw_flags
    if is_read:
        if file.is_seekable:
            return read_at_position(task, file, vector, offset, False)
        return read_vector(task, file, vector)
    if file.is_seekable and flags & (RWF_APPEND | RWF_NOAPPEND):
        return write_with_append(task, file, vector, offset, bool(flags & RWF_APPEND))
    return write_whole(task, file, vector, offset=offset if file.is_seekable else None)


@syscall(208)
def io_getevents(
    task: Task, context: Address, minimum: Long, maximum: Long, events: Address, timeout: In[Timespec]
) -> int:
    """io_getevents(2). Linux: fs/aio.c, do_io_getevents."""
    return _get_events(task, context, minimum, maximum, events, _patience_ns(timeout))


def _patience_ns(timeout: In[Timespec]) -> int | None:
    """How long is waited, None for ever, which is also what Linux makes of times below zero: it looks at none
    of them before.
    """
    if not timeout:
        return None
    value = timeout.get()
    patience_ns = value.tv_sec * NS_PER_S + value.tv_nsec
    return patience_ns if patience_ns >= 0 else None


@syscall(333)
def io_pgetevents(
    task: Task,
    context: Address,
    minimum: Long,
    maximum: Long,
    events: Address,
    timeout: In[Timespec],
    mask: Address,
) -> int:
    """io_pgetevents(2). `mask` is of a pointer and a size. Linux: fs/aio.c,
    SYSCALL_DEFINE6(io_pgetevents).
    """
    timeout_ns = _patience_ns(timeout)
    if mask:
        address, size = _SIGNAL_MASK.unpack(task.mm.read(mask, _SIGNAL_MASK.size))
        if address:
            if size != _SIGNAL_SET_SIZE:
                raise EINVAL("no size of a set of signals")
            set_temporary_mask(task, task.mm.read_word(address))
    return _get_events(task, context, minimum, maximum, events, timeout_ns, ERESTARTNOHAND)


def _get_events(
    task: Task,
    number: int,
    minimum: int,
    maximum: int,
    events: int,
    timeout_ns: int | None,
    interrupted: type[Errno] = EINTR,
) -> int:
    """Hand events over until there are `minimum`. Linux: fs/aio.c, read_events."""
    context = _context(task, number)
    if not 0 <= minimum <= maximum:
        raise EINVAL("no such numbers of events")
    frame = task.frame
    done = frame.progress if frame is not None and frame.progress is not None else 0
    while done < maximum:
        try:
            found = context.take(min(maximum - done, 64))
            if not found:
                break
            task.mm.write(events + done * EVENT_SIZE, found)
            context.drop(len(found) // EVENT_SIZE)
        except (EFAULT, OutOfFrames):
            if not done:
                raise
            return done
        done += len(found) // EVENT_SIZE
    if done >= minimum:
        return done
    now_ns = task.kernel.clock.now_ns
    if frame is not None:
        deadline_ns = frame.deadline_ns
    else:
        deadline_ns = None if timeout_ns is None else now_ns + timeout_ns
    if deadline_ns is not None and deadline_ns <= now_ns:
        return done
    raise Sleep(context.queue, deadline_ns=deadline_ns, progress=done, interrupted=done or interrupted)


@syscall(210)
def io_cancel(task: Task, context: Address, request: Address, result: Address) -> int:
    """io_cancel(2): its event tells of the end. Linux: fs/aio.c, SYSCALL_DEFINE3(io_cancel)."""
    key = int.from_bytes(task.mm.read(request + Iocb.OFFSETS["aio_key"], 4), "little")
    if key != _KEY:
        raise EINVAL("no request that was submitted")
    for waiting in _context(task, context).polls.values():
        if waiting.iocb == request:
            waiting.finish(0)
            raise EINPROGRESS
    raise EINVAL("nothing is awaited")
