"""poll, ppoll, select and pselect6: wait until one of many descriptors is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EBADF, EFAULT, EINTR, EINVAL, ERESTART_RESTARTBLOCK, ERESTARTNOHAND
from procession.abi.personality import PersonalityFlag
from procession.abi.poll import PollEvent, Pollfd
from procession.abi.time import Timespec, Timeval
from procession.abi.word import Words, pack_bits, wrap_signed
from procession.fs.file import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, File, PathFile
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.sched.many_queues import check_wait_room
from procession.kernel.signal.mask import set_temporary_mask
from procession.kernel.task import RestartBlock
from procession.kernel.time.costs import POLLED_FILE_NS
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import ARRAY, Address, In, InOut, Int, SignalSet, Size, UInt
from procession.syscalls.user_vector import check_user_range

if TYPE_CHECKING:
    from procession.kernel.task import Task

_POLL = 7
_FOR_EVER = -1
_PAIR = Words("<qq")
_POLLFD = Words("<iHH")
_REVENTS = Words("<H")
_SIGNAL_SET_SIZE = 8
_TIME_MAXIMUM_NS = ((1 << 63) - 1) * NS_PER_S
"""The last second that a time can name: later deadlines are at it.

Linux: kernel/time/time.c, timespec64_add_safe.
"""
_STICKY_TIMEOUTS = int(PersonalityFlag.STICKY_TIMEOUTS)
# What select(2) calls readable, writable and exceptional (Linux: fs/select.c, POLLIN_SET ...).
_SELECT_EVENTS = (
    int(PollEvent.POLLRDNORM | PollEvent.POLLRDBAND) | POLLNVAL | POLLIN | POLLHUP | POLLERR,
    int(PollEvent.POLLWRNORM | PollEvent.POLLWRBAND) | POLLNVAL | POLLOUT | POLLERR,
    POLLNVAL | POLLPRI,
)


@syscall(7)
def poll(task: Task, descriptors: InOut[Annotated[Pollfd, ARRAY]], count: UInt, timeout: Int) -> int:
    """poll(2); a stop signal doesn't end it, nor start its time again.

    Linux: fs/select.c, SYSCALL_DEFINE3(poll).
    """
    deadline_ns = _deadline_after(task, None if timeout < 0 else timeout * 1_000_000)
    try:
        return _poll(task, descriptors.address, count, deadline_ns)
    except Sleep as sleep:
        sleep.interrupted = ERESTART_RESTARTBLOCK
        block_deadline_ns = _FOR_EVER if deadline_ns is None else deadline_ns
        task.restart_block = RestartBlock(_POLL, (descriptors, count, timeout), block_deadline_ns)
        raise


@syscall(271)
def ppoll(
    task: Task,
    descriptors: InOut[Annotated[Pollfd, ARRAY]],
    count: UInt,
    timeout: InOut[Timespec],
    mask: In[SignalSet],
    mask_size: Size,
) -> int:
    """ppoll(2). Linux: fs/select.c, SYSCALL_DEFINE5(ppoll)."""
    deadline_ns = _deadline_after(task, timespec_ns(timeout) if task.frame is None else None)
    use_mask(task, mask, mask_size)
    try:
        ready = _poll(task, descriptors.address, count, deadline_ns)
    except Sleep as sleep:
        _sleep_or_interrupt(task, sleep, timeout, deadline_ns)
    _put_remaining(task, timeout, deadline_ns)
    return ready


def use_mask(task: Task, mask: In[SignalSet], size: int) -> None:
    """Block `mask` for this call, if it isn't NULL. Raises EINVAL, EFAULT.

    Linux: kernel/signal.c, set_user_sigmask.
    """
    if not mask:
        return
    if size != _SIGNAL_SET_SIZE:
        raise EINVAL
    set_temporary_mask(task, mask.get())


def _deadline_after(task: Task, timeout_ns: int | None) -> int | None:
    """When a call that may last `timeout_ns` ends; a call that slept keeps its deadline."""
    frame = task.frame
    if frame is not None:
        deadline_ns = frame.deadline_ns
        return None if deadline_ns == _FOR_EVER else deadline_ns
    return None if timeout_ns is None else min(task.kernel.clock.now_ns + timeout_ns, _TIME_MAXIMUM_NS)


def timespec_ns(timeout: In[Timespec]) -> int | None:
    """A timeout in nanoseconds, None for NULL. Raises EINVAL, EFAULT.

    Linux: include/linux/time64.h, timespec64_valid.
    """
    if not timeout:
        return None
    value = timeout.get()
    if value.tv_sec < 0 or not 0 <= value.tv_nsec < NS_PER_S:
        raise EINVAL
    return value.tv_sec * NS_PER_S + value.tv_nsec


def _timeval_ns(timeout: InOut[Timeval]) -> int | None:
    """As `timespec_ns`; microseconds beyond a second are carried over. Linux: fs/select.c, kern_select."""
    if not timeout:
        return None
    value = timeout.get()
    seconds, microseconds = value.tv_sec, value.tv_usec
    # C's division rounds towards zero.
    carried = abs(microseconds) // 1_000_000 * (1 if microseconds >= 0 else -1)
    microseconds -= carried * 1_000_000
    # The sum wraps; what is negative then isn't valid.
    seconds = wrap_signed(seconds + carried, 64)
    if seconds < 0 or microseconds < 0:
        raise EINVAL
    return seconds * NS_PER_S + microseconds * 1000


def _sleep_or_interrupt(
    task: Task,
    sleep: Sleep,
    timeout: InOut[Timespec] | InOut[Timeval],
    deadline_ns: int | None,
    unit_ns: int = 1,
) -> NoReturn:
    """Sleep; but if a signal is pending, leave the time that was left for the call's restart."""
    if task.has_pending_signal:
        if _put_remaining(task, timeout, deadline_ns, unit_ns):
            raise ERESTARTNOHAND
        raise EINTR
    sleep.interrupted = ERESTARTNOHAND
    raise sleep


def _put_remaining(
    task: Task, timeout: InOut[Timespec] | InOut[Timeval], deadline_ns: int | None, unit_ns: int = 1
) -> bool:
    """Tell how much of the timeout was left; whether a restarted call can go on with what is there now.

    `unit_ns` is 1000 for a struct timeval.

    Linux: fs/select.c, poll_select_finish.
    """
    if not timeout or deadline_ns is None:
        return True
    if task.personality & _STICKY_TIMEOUTS:
        return False
    left_ns = max(deadline_ns - task.kernel.clock.now_ns, 0)
    try:
        task.mm.write(timeout.address, _PAIR.pack(left_ns // NS_PER_S, left_ns % NS_PER_S // unit_ns))
    except EFAULT:
        return False
    return True


def queues_for(file: File, events: int) -> list[WaitQueue]:
    """Which queues of `file` are woken for `events`."""
    return [queue for queue in file.wait_queues() if not queue.events or queue.events & events]


def _poll(task: Task, address: int, count: int, deadline_ns: int | None) -> int:
    """How many of the `count` struct pollfd at `address` are ready; else Sleep, or 0 at the deadline.

    Linux: fs/select.c, do_sys_poll, do_poll.
    """
    if count > task.group.limits.soft[RLIMIT_NOFILE]:
        raise EINVAL
    task.kernel.clock.spend(count * POLLED_FILE_NS)
    data = task.mm.read(address, 8 * count) if count else b""
    files = task.files.files
    found: list[int] = []
    ready = 0
    for fd, events, _ in _POLLFD.iter_unpack(data):
        revents = 0
        if fd >= 0:
            file = files.get(fd)
            if file is None or isinstance(file, PathFile):
                revents = POLLNVAL
            else:
                revents = file.poll_mask() & (events | POLLERR | POLLHUP)
            if revents:
                ready += 1
        found.append(revents)
    is_interrupted = not ready and task.has_pending_signal
    is_early = deadline_ns is None or deadline_ns > task.kernel.clock.now_ns
    if ready or is_interrupted or not is_early:
        check_user_range(address, 8 * count)
        for position, revents in enumerate(found):
            task.mm.write(address + 8 * position + 6, _REVENTS.pack(revents))
        if not is_interrupted:
            return ready
    waiting = {fd: 0 for fd, _, _ in _POLLFD.iter_unpack(data) if fd in files}
    for fd, events, _ in _POLLFD.iter_unpack(data):
        if fd in waiting:
            waiting[fd] |= events | POLLERR | POLLHUP
    raise _sleep_on(task, waiting, deadline_ns)


def _sleep_on(task: Task, waiting: dict[int, int], deadline_ns: int | None) -> Sleep:
    """A sleep until open files are ready for the events given by descriptor. Raises OutOfFrames."""
    files = task.files.files
    queues: dict[WaitQueue, None] = {}
    for fd, events in waiting.items():
        for queue in queues_for(files[fd], events):
            queues[queue] = None
    check_wait_room(task.kernel.memory.account, len(queues))
    return Sleep(*queues, deadline_ns=deadline_ns, interrupted=ERESTARTNOHAND, fds=waiting)


@syscall(23)
def select(
    task: Task,
    count: Int,
    readable: Address,
    writable: Address,
    exceptional: Address,
    timeout: InOut[Timeval],
) -> int:
    """select(2). Linux: fs/select.c, kern_select."""
    deadline_ns = _deadline_after(task, _timeval_ns(timeout) if task.frame is None else None)
    try:
        ready = _select(task, count, (readable, writable, exceptional), deadline_ns)
    except Sleep as sleep:
        _sleep_or_interrupt(task, sleep, timeout, deadline_ns, 1000)
    _put_remaining(task, timeout, deadline_ns, 1000)
    return ready


@syscall(270)
def pselect6(
    task: Task,
    count: Int,
    readable: Address,
    writable: Address,
    exceptional: Address,
    timeout: InOut[Timespec],
    mask: Address,
) -> int:
    """pselect(2); `mask` points to the address and size of the signal set. Linux: fs/select.c, do_pselect."""
    mask_address = mask_size = 0
    if mask:
        mask_address = task.mm.read_word(mask)
        mask_size = task.mm.read_word(mask + 8)
    deadline_ns = _deadline_after(task, timespec_ns(timeout) if task.frame is None else None)
    if mask_address:
        if mask_size != _SIGNAL_SET_SIZE:
            raise EINVAL
        set_temporary_mask(task, task.mm.read_word(mask_address))
    try:
        ready = _select(task, count, (readable, writable, exceptional), deadline_ns)
    except Sleep as sleep:
        _sleep_or_interrupt(task, sleep, timeout, deadline_ns)
    _put_remaining(task, timeout, deadline_ns)
    return ready


def _select(task: Task, count: int, addresses: tuple[int, int, int], deadline_ns: int | None) -> int:
    """How many bits of the three sets are ready; else Sleep, or 0 at the deadline.

    Linux: fs/select.c, core_sys_select, do_select.
    """
    if count < 0:
        raise EINVAL
    files = task.files.files
    count = min(count, _table_size(files))
    size = (count + 63) // 64 * 8
    limit = (1 << count) - 1
    given = [task.mm.read(address, size) if address else bytes(size) for address in addresses]
    numbers = [int.from_bytes(bits, "little") & limit for bits in given]
    sets = [pack_bits(number, size) for number in numbers]
    everything = pack_bits(numbers[0] | numbers[1] | numbers[2], size)
    results = [bytearray(size) for _ in sets]
    waiting: dict[int, int] = {}
    ready = asked = 0
    for index, byte in enumerate(everything):
        left = byte
        while left:
            bit = left & -left
            left ^= bit
            asked += 1
            fd = 8 * index + bit.bit_length() - 1
            file = files.get(fd)
            if file is None or isinstance(file, PathFile):
                if file is None and task.frame is None:
                    raise EBADF
                # What another thread has closed meanwhile is ready for everything, as what O_PATH opened is.
                mask = POLLNVAL
            else:
                mask = file.poll_mask()
            wanted = POLLHUP | POLLERR
            for kind in range(3):
                if sets[kind][index] & bit:
                    wanted |= _SELECT_EVENTS[kind]
                    if mask & _SELECT_EVENTS[kind]:
                        results[kind][index] |= bit
                        ready += 1
            waiting[fd] = wanted
    task.kernel.clock.spend(asked * POLLED_FILE_NS)
    is_early = deadline_ns is None or deadline_ns > task.kernel.clock.now_ns
    if not ready and (is_early or task.has_pending_signal):
        raise _sleep_on(task, waiting, deadline_ns)
    for address, result in zip(addresses, results, strict=True):
        if address:
            task.mm.write(address, bytes(result))
    return ready


def _table_size(files: dict[int, File]) -> int:
    """How many descriptors Linux's table would have room for: bits beyond are ignored."""
    highest = max(files, default=0)
    size = 64
    if highest >= size:
        size = 256
        while highest >= size:
            size *= 2
    return size
