"""Clocks and sleeping: clock_gettime, nanosleep, gettimeofday, adjtimex and their relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S, NS_PER_US
from procession.abi.errno import (
    EINVAL,
    EOPNOTSUPP,
    EPERM,
    ERESTART_RESTARTBLOCK,
    ERESTARTNOHAND,
)
from procession.abi.structure import I64
from procession.abi.time import (
    AdjustmentMode,
    Clock,
    ClockStatus,
    TimerFlag,
    Timespec,
    Timeval,
    Timex,
    Timezone,
)
from procession.abi.word import Words
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.kernel.security.capability import CAP_SYS_TIME, CAP_WAKE_ALARM
from procession.kernel.task import RestartBlock
from procession.kernel.time.posix_clock import (
    ALARM_CLOCKS,
    CLOCK_BOOTTIME,
    CLOCK_MONOTONIC,
    CLOCK_OF_FILE,
    CLOCK_REALTIME,
    CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID,
    KTIME_MAX,
    WALL_CLOCKS,
    clock_resolution_ns,
    find_cpu_clock,
    read_clock,
    set_realtime,
)
from procession.kernel.time.steering import MAXIMUM_FREQUENCY, USUAL_TICK_US, Steering
from procession.kernel.timers.interval import watch_cpu_clock
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Choice, Flags, In, InOut, Out

if TYPE_CHECKING:
    from procession.kernel.task import Task

_TIMER_ABSTIME = int(TimerFlag.TIMER_ABSTIME)
_SLEEPING_CLOCKS = (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, *ALARM_CLOCKS)
_LARGEST_S = KTIME_MAX // NS_PER_S
"""As many whole seconds as fit, which are told from longer times no more (in Linux, KTIME_SEC_MAX)."""
_LARGEST_SETTABLE_S = KTIME_MAX // NS_PER_S - 30 * 365 * 24 * 3600
"""TIME_SETTOD_SEC_MAX: thirty years of uptime must fit behind it."""
_PAIR = Words("<2q").pack

_ADJ_OFFSET = int(AdjustmentMode.ADJ_OFFSET)
_ADJ_FREQUENCY = int(AdjustmentMode.ADJ_FREQUENCY)
_ADJ_SETOFFSET = int(AdjustmentMode.ADJ_SETOFFSET)
_ADJ_NANO = int(AdjustmentMode.ADJ_NANO)
_ADJ_TICK = int(AdjustmentMode.ADJ_TICK)
_ADJ_ADJTIME = int(AdjustmentMode.ADJ_OFFSET_SINGLESHOT) & ~_ADJ_OFFSET
"""It's about adjtime(3)'s offset; with the next one that is asked for alone."""
_ADJ_OFFSET_READONLY = int(AdjustmentMode.ADJ_OFFSET_SS_READ) & ~int(AdjustmentMode.ADJ_OFFSET_SINGLESHOT)
_STA_NANO = int(ClockStatus.STA_NANO)
_LARGEST_FREQUENCY = ((1 << 63) - 1) // (1000 << 16)


def nanoseconds_of(time: Timespec) -> int:
    """A duration or time in nanoseconds, the largest if it doesn't fit. Raises EINVAL for an invalid one.

    Linux: include/linux/time64.h, timespec64_valid; include/linux/ktime.h, timespec64_to_ktime.
    """
    if time.tv_sec < 0 or not 0 <= time.tv_nsec < NS_PER_S:
        raise EINVAL(f"no time: {time.tv_sec} s {time.tv_nsec} ns")
    if time.tv_sec >= _LARGEST_S:
        return KTIME_MAX
    return time.tv_sec * NS_PER_S + time.tv_nsec


@syscall(228)
def clock_gettime(task: Task, clock: Choice[Clock], time: Out[Timespec]) -> None:
    """clock_gettime(2). Linux: kernel/time/posix-timers.c, SYSCALL_DEFINE2(clock_gettime)."""
    # The two that programs ask for all the time, without a look at the others.
    if clock == CLOCK_MONOTONIC:
        now_ns = task.kernel.clock.now_ns + task.namespaces.time.monotonic_offset_ns
    elif clock == CLOCK_REALTIME:
        now_ns = task.kernel.clock.realtime_ns
    else:
        now_ns = read_clock(task, clock)
    time.memory.write(time.address, _PAIR(now_ns // NS_PER_S, now_ns % NS_PER_S))


@syscall(229)
def clock_getres(task: Task, clock: Choice[Clock], resolution: Out[Timespec]) -> None:
    """clock_getres(2). Linux: kernel/time/posix-timers.c, SYSCALL_DEFINE2(clock_getres)."""
    resolution_ns = clock_resolution_ns(task, clock)
    if resolution:
        resolution.put(Timespec(0, resolution_ns))


def _check_settable(realtime_ns: int) -> None:
    """Raise EINVAL for a time that nobody may set. Linux: include/linux/time64.h, timespec64_valid_settod."""
    if realtime_ns >= _LARGEST_SETTABLE_S * NS_PER_S:
        raise EINVAL("too far in the future")


def _set_time_of_day(task: Task, realtime_ns: int) -> None:
    """Raises EINVAL and EPERM. Linux: kernel/time/time.c, do_sys_settimeofday64."""
    _check_settable(realtime_ns)
    if not task.credentials.capable(CAP_SYS_TIME):
        raise EPERM("setting the time takes CAP_SYS_TIME")
    if realtime_ns < task.kernel.clock.now_ns:
        raise EINVAL("the machine would have started before 1970")
    set_realtime(task.kernel, realtime_ns)


@syscall(227)
def clock_settime(task: Task, clock: Choice[Clock], time: In[Timespec]) -> None:
    """clock_settime(2). Linux: kernel/time/posix-timers.c, SYSCALL_DEFINE2(clock_settime)."""
    if clock != CLOCK_REALTIME:
        if clock >= 0:
            raise EINVAL(f"clock {clock} can't be set")
        time.get()
        find_cpu_clock(task, clock)
        raise EPERM("nobody sets what has been used of the processor")
    _set_time_of_day(task, nanoseconds_of(time.get()))


@syscall(96)
def gettimeofday(task: Task, time: Out[Timeval], zone: Out[Timezone]) -> None:
    """gettimeofday(2). Linux: kernel/time/time.c, SYSCALL_DEFINE2(gettimeofday)."""
    clock = task.kernel.clock
    if time:
        now_ns = clock.realtime_ns
        time.put(Timeval(now_ns // NS_PER_S, now_ns % NS_PER_S // NS_PER_US))
    if zone:
        zone.put(Timezone(*clock.time_zone))


@syscall(164)
def settimeofday(task: Task, time: In[Timeval], zone: In[Timezone]) -> None:
    """settimeofday(2). Linux: kernel/time/time.c, SYSCALL_DEFINE2(settimeofday)."""
    realtime_ns: int | None = None
    if time:
        value = time.get()
        if not 0 <= value.tv_usec < 1_000_000:
            raise EINVAL("no time")
        realtime_ns = value.tv_sec * NS_PER_S + value.tv_usec * NS_PER_US
    new_zone = zone.get() if zone else None
    if realtime_ns is not None:
        if value.tv_sec < 0:
            raise EINVAL("no time")
        _check_settable(realtime_ns)
    if not task.credentials.capable(CAP_SYS_TIME):
        raise EPERM("setting the time takes CAP_SYS_TIME")
    if new_zone is not None:
        if not -15 * 60 <= new_zone.tz_minuteswest <= 15 * 60:
            raise EINVAL("no time zone")
        # It stays set if the time is refused below: Linux has done the one before it looks at the other.
        task.kernel.clock.time_zone = (new_zone.tz_minuteswest, new_zone.tz_dsttime)
    if realtime_ns is not None:
        _set_time_of_day(task, realtime_ns)


@syscall(201)
def time(task: Task, seconds: Out[I64]) -> int:
    """time(2). Linux: kernel/time/time.c, SYSCALL_DEFINE1(time)."""
    now_s = task.kernel.clock.realtime_ns // NS_PER_S
    if seconds:
        seconds.put(now_s)
    return now_s


def _adjust(task: Task, buffer: InOut[Timex]) -> int:
    """Linux: kernel/time/timekeeping.c, do_adjtimex."""
    asked = buffer.get()
    modes = asked.modes
    _check_adjustment(task, asked)
    clock = task.kernel.clock
    if modes & _ADJ_SETOFFSET:
        part_ns = asked.time.tv_usec * (1 if modes & _ADJ_NANO else NS_PER_US)
        realtime_ns = clock.realtime_ns + asked.time.tv_sec * NS_PER_S + part_ns
        if realtime_ns < clock.now_ns:
            raise EINVAL("the machine would have started before 1970")
        _check_settable(realtime_ns)
        set_realtime(task.kernel, realtime_ns)
    steering = clock.steering
    if steering is None:
        steering = Steering(clock.now_ns)
        if modes and not (modes & _ADJ_ADJTIME and modes & _ADJ_OFFSET_READONLY):
            clock.steering = steering
    else:
        clock.steer()
    offset = steering.shown_offset
    if modes & _ADJ_ADJTIME:
        offset = steering.single_shot_us
        if not modes & _ADJ_OFFSET_READONLY:
            steering.single_shot_us = asked.offset
    elif modes:
        steering.adjust(asked, clock.now_ns)
        offset = steering.shown_offset
    now_ns = clock.realtime_ns
    is_fine = steering.status & _STA_NANO
    part = now_ns % NS_PER_S if is_fine else now_ns % NS_PER_S // NS_PER_US
    buffer.put(
        Timex(
            modes=modes,
            offset=offset,
            freq=steering.frequency,
            maxerror=steering.maximum_error_us,
            esterror=steering.estimated_error_us,
            status=steering.status,
            constant=steering.constant,
            precision=1,
            tolerance=MAXIMUM_FREQUENCY,
            time=Timeval(now_ns // NS_PER_S, part),
            tick=steering.tick_us,
            tai=steering.tai_s,
        )
    )
    return steering.shown_state


def _check_adjustment(task: Task, asked: Timex) -> None:
    """Raise EINVAL or EPERM. Linux: kernel/time/timekeeping.c, timekeeping_validate_timex."""
    modes = asked.modes
    may_change = modes == 0 or task.credentials.capable(CAP_SYS_TIME)
    if modes & _ADJ_ADJTIME:
        if not modes & _ADJ_OFFSET:
            raise EINVAL("adjtime(3) is about an offset")
        if not modes & _ADJ_OFFSET_READONLY and not may_change:
            raise EPERM("steering the clock takes CAP_SYS_TIME")
    elif not may_change:
        raise EPERM("steering the clock takes CAP_SYS_TIME")
    elif modes & _ADJ_TICK and not USUAL_TICK_US * 9 // 10 <= asked.tick <= USUAL_TICK_US * 11 // 10:
        raise EINVAL("more than a tenth too fast or too slow")
    if modes & _ADJ_SETOFFSET:
        if not may_change:
            raise EPERM("setting the time takes CAP_SYS_TIME")
        if not 0 <= asked.time.tv_usec < (NS_PER_S if modes & _ADJ_NANO else NS_PER_S // NS_PER_US):
            raise EINVAL("no part of a second")
    if modes & _ADJ_FREQUENCY and abs(asked.freq) > _LARGEST_FREQUENCY:
        raise EINVAL("a frequency that no number holds")


@syscall(159)
def adjtimex(task: Task, buffer: InOut[Timex]) -> int:
    """adjtimex(2). Linux: kernel/time/time.c, SYSCALL_DEFINE1(adjtimex)."""
    return _adjust(task, buffer)


@syscall(305)
def clock_adjtime(task: Task, clock: Choice[Clock], buffer: InOut[Timex]) -> int:
    """clock_adjtime(2). Linux: kernel/time/posix-timers.c, SYSCALL_DEFINE2(clock_adjtime)."""
    buffer.get()
    if clock != CLOCK_REALTIME:
        if clock >= 0 or clock & 7 == CLOCK_OF_FILE:
            clock_resolution_ns(task, clock)
        raise EOPNOTSUPP(f"clock {clock} can't be adjusted")
    return _adjust(task, buffer)


@syscall(35)
def nanosleep(task: Task, duration: In[Timespec], left: Out[Timespec]) -> int:
    """nanosleep(2). Linux: kernel/time/hrtimer.c, SYSCALL_DEFINE2(nanosleep)."""
    if task.frame is None:
        deadline_ns = min(task.kernel.clock.now_ns + nanoseconds_of(duration.get()), KTIME_MAX)
    else:
        assert task.frame.deadline_ns is not None
        deadline_ns = task.frame.deadline_ns
    return _sleep_until(task, 35, (duration, left), deadline_ns, left)


@syscall(230)
def clock_nanosleep(
    task: Task, clock: Choice[Clock], flags: Flags[TimerFlag], request: In[Timespec], left: Out[Timespec]
) -> int:
    """clock_nanosleep(2). Linux: kernel/time/posix-timers.c, SYSCALL_DEFINE4(clock_nanosleep)."""
    is_absolute = bool(flags & _TIMER_ABSTIME)
    if clock not in _SLEEPING_CLOCKS:
        return _sleep_on_cpu_clock(task, clock, flags, request, left)
    wanted_ns = nanoseconds_of(request.get()) if is_absolute or task.frame is None else 0
    if clock in ALARM_CLOCKS and not task.credentials.capable(CAP_WAKE_ALARM):
        raise EPERM("alarm clocks take CAP_WAKE_ALARM")
    kernel = task.kernel
    if not is_absolute:
        if task.frame is None:
            deadline_ns = min(kernel.clock.now_ns + wanted_ns, KTIME_MAX)
        else:
            assert task.frame.deadline_ns is not None
            deadline_ns = task.frame.deadline_ns
        return _sleep_until(task, 230, (clock, flags, request, left), deadline_ns, left)
    queues: tuple[WaitQueue, ...] = ()
    deadline_ns = wanted_ns
    if clock in WALL_CLOCKS:
        deadline_ns -= kernel.clock.realtime_offset_ns
        # Who sets this clock brings the time nearer, or takes it further away.
        queues = (kernel.clock.set_queue,)
    else:
        deadline_ns = task.namespaces.time.to_machine_ns(clock, wanted_ns)
    if kernel.clock.now_ns >= deadline_ns:
        return 0
    # A time can be waited for again by the same call, so nothing is told of what is left, and
    # restart_syscall(2) isn't needed.
    raise Sleep(*queues, deadline_ns=deadline_ns, interrupted=ERESTARTNOHAND)


def _sleep_until(
    task: Task, number: int, arguments: tuple[object, ...], deadline_ns: int, left: Out[Timespec]
) -> int:
    """Sleep to `deadline_ns`; interrupted, tell what's left and let restart_syscall(2) go on.

    Linux: kernel/time/hrtimer.c, do_nanosleep.
    """
    left_ns = deadline_ns - task.kernel.clock.now_ns
    if left_ns <= 0:
        return 0
    if task.has_pending_signal:
        if left:
            # Told in any case: whether a handler runs, so that the program sees it, isn't known yet.
            left.put(Timespec(left_ns // NS_PER_S, left_ns % NS_PER_S))
        task.restart_block = RestartBlock(number, arguments, deadline_ns)
        raise ERESTART_RESTARTBLOCK
    raise Sleep(deadline_ns=deadline_ns, interrupted=ERESTART_RESTARTBLOCK)


def _sleep_on_cpu_clock(
    task: Task, clock: int, flags: int, request: In[Timespec], left: Out[Timespec]
) -> int:
    """Sleep until a process has used so much processor time.

    The deadline that a relative sleep goes on with is of that clock. Linux: kernel/time/posix-cpu-timers.c,
    posix_cpu_nsleep.
    """
    if clock >= 0:
        clock_resolution_ns(task, clock)
    elif clock & 7 == CLOCK_OF_FILE:
        raise EOPNOTSUPP("nobody sleeps on the clock of a file")
    if (clock >= 0 and find_cpu_clock(task, clock) is None) or clock == CLOCK_THREAD_CPUTIME_ID:
        raise EOPNOTSUPP(f"nobody sleeps on clock {clock}")
    frame = task.frame
    is_absolute = bool(flags & _TIMER_ABSTIME)
    wanted_ns = nanoseconds_of(request.get()) if is_absolute or frame is None else 0
    cpu_clock = find_cpu_clock(task, clock)
    if cpu_clock is None or cpu_clock.owner is task:
        raise EINVAL("a thread can't use processor time asleep")
    now_ns = read_clock(task, clock)
    if is_absolute:
        deadline_ns = wanted_ns
    elif frame is None:
        deadline_ns = min(now_ns + wanted_ns, KTIME_MAX)
    else:
        # After restart_syscall(2) the deadline is in its usual place.
        deadline_ns = frame.progress if frame.progress is not None else frame.deadline_ns or 0
    is_interrupted = frame is not None and task.has_pending_signal
    if now_ns >= deadline_ns and not is_interrupted:
        return 0
    if task.has_pending_signal:
        if is_absolute:
            raise ERESTARTNOHAND
        # What is over isn't before the tick has seen it.
        left_ns = max(deadline_ns - now_ns, 1)
        if left:
            left.put(Timespec(left_ns // NS_PER_S, left_ns % NS_PER_S))
        task.restart_block = RestartBlock(230, (clock, flags, request, left), deadline_ns)
        raise ERESTART_RESTARTBLOCK
    raise Sleep(watch_cpu_clock(cpu_clock.group).queue, progress=deadline_ns, interrupted=ERESTARTNOHAND)
