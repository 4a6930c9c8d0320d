"""Interval timers, POSIX timers and timerfds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S, NS_PER_US
from procession.abi.errno import EBADF, EFAULT, EINVAL, EPERM
from procession.abi.structure import I32
from procession.abi.time import (
    Clock,
    Itimerspec,
    Itimerval,
    ItimerWhich,
    Sigevent,
    TimerFlag,
    Timespec,
    Timeval,
)
from procession.abi.timerfd import TimerfdFlag, TimerfdSettimeFlag
from procession.fs.file import PathFile
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.security.capability import CAP_WAKE_ALARM
from procession.kernel.time.posix_clock import (
    ALARM_CLOCKS,
    CLOCK_BOOTTIME,
    CLOCK_MONOTONIC,
    CLOCK_REALTIME,
)
from procession.kernel.timers.descriptor import TimerFile
from procession.kernel.timers.interval import ITIMER_REAL, ItimerSetting, get_itimer, set_itimer
from procession.kernel.timers.posix import (
    TimerSetting,
    bind_to_clock,
    check_notification,
    check_timer_clock,
    create_posix_timer,
    delete_posix_timer,
    find_posix_timer,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Choice, Fd, Flags, In, Int, Out, UInt
from procession.syscalls.time import nanoseconds_of

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.kernel.timers.descriptor import TimerFile

_TIMER_ABSTIME = int(TimerFlag.TIMER_ABSTIME)
_TFD_NONBLOCK = int(TimerfdFlag.TFD_NONBLOCK)
_TFD_CLOEXEC = int(TimerfdFlag.TFD_CLOEXEC)
_TFD_SETTIME_FLAGS = int(TimerfdSettimeFlag.TFD_TIMER_ABSTIME | TimerfdSettimeFlag.TFD_TIMER_CANCEL_ON_SET)
_TIMERFD_CLOCKS = (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, *ALARM_CLOCKS)


def _timeval(time_ns: int) -> Timeval:
    return Timeval(time_ns // NS_PER_S, time_ns % NS_PER_S // NS_PER_US)


def _timespec(time_ns: int) -> Timespec:
    return Timespec(time_ns // NS_PER_S, time_ns % NS_PER_S)


def _itimerval(setting: ItimerSetting) -> Itimerval:
    return Itimerval(_timeval(setting.interval_ns), _timeval(setting.value_ns))


def _itimerspec(setting: TimerSetting) -> Itimerspec:
    return Itimerspec(_timespec(setting.interval_ns), _timespec(setting.value_ns))


def _timer_setting(value: Itimerspec) -> TimerSetting:
    return TimerSetting(nanoseconds_of(value.it_interval), nanoseconds_of(value.it_value))


def _nanoseconds_of_timeval(time: Timeval) -> int:
    if time.tv_sec < 0 or not 0 <= time.tv_usec < 1_000_000:
        raise EINVAL("no time")
    return nanoseconds_of(Timespec(time.tv_sec, time.tv_usec * NS_PER_US))


@syscall(37)
def alarm(task: Task, seconds: UInt) -> int:
    """alarm(2). Linux: kernel/time/itimer.c, alarm_setitimer."""
    old = set_itimer(task.kernel, task.group, ITIMER_REAL, ItimerSetting(0, seconds * NS_PER_S))
    left_s, left_ns = divmod(old.value_ns, NS_PER_S)
    # 0 would mean that there was none.
    return left_s + 1 if left_ns >= NS_PER_S // 2 or (left_s == 0 and left_ns) else left_s


@syscall(36)
def getitimer(task: Task, which: Choice[ItimerWhich], value: Out[Itimerval]) -> None:
    """getitimer(2). Linux: kernel/time/itimer.c, SYSCALL_DEFINE2(getitimer)."""
    _check_which(which)
    value.put(_itimerval(get_itimer(task.kernel, task.group, which)))


@syscall(38)
def setitimer(task: Task, which: Choice[ItimerWhich], new: In[Itimerval], old: Out[Itimerval]) -> None:
    """setitimer(2). Linux: kernel/time/itimer.c, SYSCALL_DEFINE3(setitimer)."""
    setting = ItimerSetting(0, 0)
    if new:
        value = new.get()
        setting = ItimerSetting(
            value_ns=_nanoseconds_of_timeval(value.it_value),
            interval_ns=_nanoseconds_of_timeval(value.it_interval),
        )
    _check_which(which)
    before = set_itimer(task.kernel, task.group, which, setting)
    if old:
        old.put(_itimerval(before))


def _check_which(which: int) -> None:
    if not 0 <= which <= 2:
        raise EINVAL(f"no interval timer {which}")


@syscall(222)
def timer_create(task: Task, clock: Choice[Clock], event: In[Sigevent], timer: Out[I32]) -> None:
    """timer_create(2). Linux: kernel/time/posix-timers.c, do_timer_create."""
    asked = event.get() if event else None
    check_timer_clock(task, clock)
    wanted_id = None
    if task.group.chooses_timer_ids:
        wanted_id = int.from_bytes(task.mm.read(timer.address, 4), "little", signed=True)
        if wanted_id < 0:
            raise EINVAL("a negative number")
    # What is refused from here on has taken a number.
    created = create_posix_timer(task, clock, wanted_id)
    try:
        if asked is not None:
            created.notify(
                check_notification(
                    task,
                    asked.sigev_notify,
                    asked.sigev_signo,
                    asked.sigev_value,
                    asked.sigev_notify_thread_id,
                )
            )
        timer.put(created.id)
        bind_to_clock(task, created)
    except (EFAULT, EINVAL, EPERM):
        delete_posix_timer(created)
        raise


@syscall(223)
def timer_settime(
    task: Task, timer: Int, flags: Flags[TimerFlag], new: In[Itimerspec], old: Out[Itimerspec]
) -> None:
    """timer_settime(2). Linux: kernel/time/posix-timers.c, SYSCALL_DEFINE4(timer_settime)."""
    if not new:
        raise EINVAL("no new setting")
    setting = _timer_setting(new.get())
    before = find_posix_timer(task, timer).set(setting, is_absolute=bool(flags & _TIMER_ABSTIME))
    if old:
        old.put(_itimerspec(before))


@syscall(224)
def timer_gettime(task: Task, timer: Int, value: Out[Itimerspec]) -> None:
    """timer_gettime(2). Linux: kernel/time/posix-timers.c, SYSCALL_DEFINE2(timer_gettime)."""
    value.put(_itimerspec(find_posix_timer(task, timer).get()))


@syscall(225)
def timer_getoverrun(task: Task, timer: Int) -> int:
    """timer_getoverrun(2). Linux: kernel/time/posix-timers.c, SYSCALL_DEFINE1(timer_getoverrun)."""
    return min(find_posix_timer(task, timer).last_overrun, 0x7FFFFFFF)


@syscall(226)
def timer_delete(task: Task, timer: Int) -> None:
    """timer_delete(2). Linux: kernel/time/posix-timers.c, SYSCALL_DEFINE1(timer_delete)."""
    delete_posix_timer(find_posix_timer(task, timer))


@syscall(283)
def timerfd_create(task: Task, clock: Choice[Clock], flags: Flags[TimerfdFlag]) -> int:
    """timerfd_create(2). Linux: fs/timerfd.c, SYSCALL_DEFINE2(timerfd_create)."""
    if flags & ~(_TFD_NONBLOCK | _TFD_CLOEXEC):
        raise EINVAL(f"unknown flags {flags:#x}")
    if clock not in _TIMERFD_CLOCKS:
        raise EINVAL(f"clock {clock} has no timerfds")
    if clock in ALARM_CLOCKS and not task.credentials.capable(CAP_WAKE_ALARM):
        raise EPERM("alarm clocks take CAP_WAKE_ALARM")
    file = TimerFile(task.kernel, clock, flags & _TFD_NONBLOCK, task.credentials)
    return task.files.install(
        file, close_on_exec=bool(flags & _TFD_CLOEXEC), limit=task.group.limits.soft[RLIMIT_NOFILE]
    )


def _find_timerfd(task: Task, fd: int) -> TimerFile:
    file = task.files.file(fd)
    if isinstance(file, PathFile):
        raise EBADF("opened with O_PATH")
    if not isinstance(file, TimerFile):
        raise EINVAL(f"file {fd} is no timerfd")
    return file


@syscall(286)
def timerfd_settime(
    task: Task, fd: Fd, flags: Flags[TimerfdSettimeFlag], new: In[Itimerspec], old: Out[Itimerspec]
) -> None:
    """timerfd_settime(2). Linux: fs/timerfd.c, SYSCALL_DEFINE4(timerfd_settime)."""
    value = new.get()
    if flags & ~_TFD_SETTIME_FLAGS:
        raise EINVAL(f"unknown flags {flags:#x}")
    setting = _timer_setting(value)
    file = _find_timerfd(task, fd)
    if file.clock_id in ALARM_CLOCKS and not task.credentials.capable(CAP_WAKE_ALARM):
        raise EPERM("alarm clocks take CAP_WAKE_ALARM")
    before = file.set(setting, flags)
    if old:
        old.put(_itimerspec(before))


@syscall(287)
def timerfd_gettime(task: Task, fd: Fd, value: Out[Itimerspec]) -> None:
    """timerfd_gettime(2). Linux: fs/timerfd.c, SYSCALL_DEFINE2(timerfd_gettime)."""
    value.put(_itimerspec(_find_timerfd(task, fd).get()))
