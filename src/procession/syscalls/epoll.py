"""epoll_create, epoll_ctl, epoll_wait and their relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from procession.abi.capability import Capability
from procession.abi.errno import EBADF, EFAULT, EINTR, EINVAL, EPERM
from procession.abi.poll import EpollEvent, EpollFlag, EpollOperation
from procession.abi.time import Timespec
from procession.abi.word import Words
from procession.fs.epoll import EPOLLWAKEUP, EpollFile
from procession.fs.file import PathFile
from procession.fs.wait_queue import Sleep
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.time.costs import READY_FILE_NS
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import ARRAY, Choice, Fd, Flags, In, Int, Out, SignalSet, Size
from procession.syscalls.poll import timespec_ns, use_mask
from procession.syscalls.user_vector import check_user_range, write_prefix

if TYPE_CHECKING:
    from procession.kernel.task import Task

_EVENT = Words("<IQ")
_MAXIMUM_EVENTS = 0x7FFFFFFF // 12
_EPOLL_CLOEXEC = int(EpollFlag.EPOLL_CLOEXEC)
_ADD = int(EpollOperation.EPOLL_CTL_ADD)
_DELETE = int(EpollOperation.EPOLL_CTL_DEL)
_MODIFY = int(EpollOperation.EPOLL_CTL_MOD)
_CAP_BLOCK_SUSPEND = int(Capability.CAP_BLOCK_SUSPEND)


@syscall(213)
def epoll_create(task: Task, size: Int) -> int:
    """epoll_create(2). Linux: fs/eventpoll.c, SYSCALL_DEFINE1(epoll_create)."""
    if size <= 0:
        raise EINVAL
    return _create(task, 0)


@syscall(291)
def epoll_create1(task: Task, flags: Flags[EpollFlag]) -> int:
    """epoll_create1(2). Linux: fs/eventpoll.c, do_epoll_create."""
    if flags & ~_EPOLL_CLOEXEC:
        raise EINVAL
    return _create(task, flags)


def _create(task: Task, flags: int) -> int:
    file = EpollFile(task.kernel.vfs, task.credentials)
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    return task.files.install(file, close_on_exec=bool(flags & _EPOLL_CLOEXEC), limit=limit)


@syscall(233)
def epoll_ctl(
    task: Task, instance: Fd, operation: Choice[EpollOperation], fd: Fd, event: In[EpollEvent]
) -> int:
    """epoll_ctl(2). Linux: fs/eventpoll.c, do_epoll_ctl."""
    events = data = 0
    if operation != _DELETE:
        events, data = _EVENT.unpack(task.mm.read(event.address, 12))
    watcher = opened_file(task, instance)
    file = opened_file(task, fd)
    if not file.can_poll:
        raise EPERM("such a file is always ready")
    if events & EPOLLWAKEUP and not task.credentials.capable(_CAP_BLOCK_SUSPEND):
        events &= ~EPOLLWAKEUP
    if watcher is file or not isinstance(watcher, EpollFile):
        raise EINVAL
    if operation == _ADD:
        watcher.add(file, fd, events, data)
    elif operation == _MODIFY:
        watcher.modify(file, fd, events, data)
    elif operation == _DELETE:
        watcher.remove(watcher.find(file, fd))
    else:
        raise EINVAL
    return 0


@syscall(232)
def epoll_wait(
    task: Task, instance: Fd, events: Out[Annotated[EpollEvent, ARRAY]], maximum: Int, timeout: Int
) -> int:
    """epoll_wait(2). Linux: fs/eventpoll.c, do_epoll_wait."""
    return _wait(task, instance, events.address, maximum, None if timeout < 0 else timeout * 1_000_000)


@syscall(281)
def epoll_pwait(
    task: Task,
    instance: Fd,
    events: Out[Annotated[EpollEvent, ARRAY]],
    maximum: Int,
    timeout: Int,
    mask: In[SignalSet],
    mask_size: Size,
) -> int:
    """epoll_pwait(2). Linux: fs/eventpoll.c, do_epoll_pwait."""
    use_mask(task, mask, mask_size)
    return _wait(task, instance, events.address, maximum, None if timeout < 0 else timeout * 1_000_000)


@syscall(441)
def epoll_pwait2(
    task: Task,
    instance: Fd,
    events: Out[Annotated[EpollEvent, ARRAY]],
    maximum: Int,
    timeout: In[Timespec],
    mask: In[SignalSet],
    mask_size: Size,
) -> int:
    """epoll_pwait2(2). Linux: fs/eventpoll.c, SYSCALL_DEFINE6(epoll_pwait2)."""
    timeout_ns = timespec_ns(timeout)
    use_mask(task, mask, mask_size)
    return _wait(task, instance, events.address, maximum, timeout_ns)


def _wait(task: Task, instance: int, address: int, maximum: int, timeout_ns: int | None) -> int:
    """Put at most `maximum` events at `address`. Linux: fs/eventpoll.c, ep_poll."""
    file = task.file_of_call(instance)
    if file is None:
        raise EBADF
    if isinstance(file, PathFile):
        raise EBADF("opened with O_PATH")
    if not 0 < maximum <= _MAXIMUM_EVENTS:
        raise EINVAL
    check_user_range(address, 12 * maximum)
    if not isinstance(file, EpollFile):
        raise EINVAL("no epoll instance")
    if file.ready:
        task.kernel.clock.spend((min(len(file.ready), maximum) - 1) * READY_FILE_NS)
        found = file.ready_events(maximum)
        if found:
            packed = b"".join([_EVENT.pack(events, item.data) for item, events in found])
            try:
                task.mm.write(address, packed)
            except EFAULT:
                found = found[: write_prefix(task.mm, address, packed) // 12]
                if not found:
                    raise
            file.reported(found)
            return len(found)
    frame = task.frame
    now_ns = task.kernel.clock.now_ns
    if frame is not None:
        deadline_ns = frame.deadline_ns
    else:
        deadline_ns = None if timeout_ns is None else now_ns + timeout_ns
    if deadline_ns is not None and deadline_ns <= now_ns:
        return 0
    raise Sleep(file.queue, deadline_ns=deadline_ns, interrupted=EINTR)
