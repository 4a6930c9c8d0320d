"""Interval timers of a process, and the processor time that is checked against timers and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.duration import NS_PER_S, NS_PER_US, TICK_NS, US_PER_S
from procession.abi.named_tuple import NamedTuple
from procession.abi.sched import SchedFlag
from procession.abi.signals import Signal
from procession.abi.word import wrap_signed
from procession.fs.wait_queue import WaitQueue
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_CPU, RLIMIT_RTTIME
from procession.kernel.sched.run_queue import CLASS_DEADLINE, CLASS_REALTIME, class_of
from procession.kernel.signal.generation import running_thread, send_group_signal, send_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.time.costs import TIMER_NS
from procession.kernel.time.posix_clock import (
    KTIME_MAX,
    charge_running,
    process_times,
)
from procession.kernel.time.queue import TIMER_ACTIONS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, ThreadGroup, Timer

ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF = range(3)
_CPU_WATCH = 3
"""Where ThreadGroup.itimers has the CpuWatch."""

_SIGKILL = int(Signal.SIGKILL)
_SIGALRM = int(Signal.SIGALRM)
_TELLS_OVERRUN = int(SchedFlag.SCHED_FLAG_DL_OVERRUN)
_SIGXCPU = int(Signal.SIGXCPU)
_SIGVTALRM = int(Signal.SIGVTALRM)
_SIGPROF = int(Signal.SIGPROF)


class ItimerSetting(NamedTuple):
    """An interval timer's `struct itimerval`, in nanoseconds."""

    interval_ns: int
    value_ns: int


class IntervalTimer:
    """ITIMER_REAL of a process: due at `deadline_ns`; `timer` is None once that has fired."""

    __slots__ = ("deadline_ns", "group", "interval_ns", "timer")

    def __init__(self, group: ThreadGroup, interval_ns: int, deadline_ns: int) -> None:
        self.group = group
        self.interval_ns = interval_ns
        self.deadline_ns = deadline_ns
        self.timer: Timer | None = None

    def arm(self, kernel: Kernel) -> Timer:
        """Let it fire at its deadline."""
        self.timer = timer = kernel.timers.add(self.deadline_ns, "itimer", self)
        return timer


class CpuIntervalTimer:
    """ITIMER_VIRTUAL or ITIMER_PROF; `expires_ns` is of the process's processor time, 0 when disarmed.

    Once it has fired it isn't looked at before `quiet_until_ns`, the next tick.
    """

    __slots__ = ("expires_ns", "interval_ns", "quiet_until_ns")

    def __init__(self, interval_ns: int, expires_ns: int) -> None:
        self.interval_ns = interval_ns
        self.expires_ns = expires_ns
        self.quiet_until_ns = 0


class CpuTimer(Protocol):
    """A POSIX timer on a processor time clock."""

    def left_ns(self) -> int:
        """How much of that time is left until its expiry."""

    def is_due(self) -> bool:
        """Whether its clock has come to its expiry."""

    def fire(self, kernel: Kernel, /) -> None:
        """It's due, and has been taken off the watch."""


class CpuWatch:
    """Who else waits for a process's processor time: armed POSIX timers, and sleepers on its clocks.

    `seen_ns` is how much the process had used when the sleepers were woken last.
    """

    __slots__ = ("queue", "seen_ns", "timers")

    def __init__(self, seen_ns: int) -> None:
        self.timers: dict[CpuTimer, None] = {}
        self.queue = WaitQueue()
        self.seen_ns = seen_ns


def watch_cpu_clock(group: ThreadGroup) -> CpuWatch:
    """The watch of `group`, made on need."""
    watch: CpuWatch | None = group.itimers.get(_CPU_WATCH)
    if watch is None:
        watch = group.itimers[_CPU_WATCH] = CpuWatch(sum(process_times(group)))
    return watch


def unwatch_cpu_timer(group: ThreadGroup, timer: CpuTimer) -> None:
    """Take a POSIX timer off the watch of `group`."""
    watch: CpuWatch | None = group.itimers.get(_CPU_WATCH)
    if watch is not None:
        watch.timers.pop(timer, None)


def get_itimer(kernel: Kernel, group: ThreadGroup, which: int) -> ItimerSetting:
    """getitimer(2) of a known timer. Linux: kernel/time/itimer.c, do_getitimer."""
    entry = group.itimers.get(which)
    if isinstance(entry, IntervalTimer):
        if entry.timer is None:
            return ItimerSetting(entry.interval_ns, 0)
        left_ns = entry.deadline_ns - kernel.clock.now_ns
        return ItimerSetting(entry.interval_ns, left_ns if left_ns > 0 else NS_PER_US)
    if isinstance(entry, CpuIntervalTimer):
        if not entry.expires_ns:
            return ItimerSetting(entry.interval_ns, 0)
        charge_running(kernel)
        if not entry.expires_ns:
            return ItimerSetting(entry.interval_ns, 0)
        left_ns = entry.expires_ns - _cpu_sample(group, which)
        # With the tick the longest time is one more than Linux's number of nanoseconds takes.
        return ItimerSetting(entry.interval_ns, wrap_signed(left_ns, 64) if left_ns > 0 else TICK_NS)
    return ItimerSetting(0, 0)


def set_itimer(kernel: Kernel, group: ThreadGroup, which: int, new: ItimerSetting) -> ItimerSetting:
    """setitimer(2) of a known timer: what it was. Linux: kernel/time/itimer.c, do_setitimer."""
    old = get_itimer(kernel, group, which)
    if which == ITIMER_REAL:
        _disarm(kernel, group)
        if new.value_ns:
            deadline_ns = min(kernel.clock.now_ns + new.value_ns, KTIME_MAX)
            entry = group.itimers[ITIMER_REAL] = IntervalTimer(group, new.interval_ns, deadline_ns)
            timer = entry.arm(kernel)
            kernel.timers.fire_if_soon(timer)
    elif new.value_ns or new.interval_ns:
        charge_running(kernel)
        # A tick more, since Linux counts from the last one.
        expires_ns = _cpu_sample(group, which) + new.value_ns + TICK_NS if new.value_ns else 0
        group.itimers[which] = CpuIntervalTimer(new.interval_ns, expires_ns)
        note_armed(kernel, group)
    else:
        group.itimers.pop(which, None)
    return old


def _disarm(kernel: Kernel, group: ThreadGroup) -> None:
    entry = group.itimers.pop(ITIMER_REAL, None)
    if isinstance(entry, IntervalTimer) and entry.timer is not None:
        kernel.timers.cancel(entry.timer)


def cancel_all(kernel: Kernel, group: ThreadGroup) -> None:
    """Every interval timer ends, with the process."""
    _disarm(kernel, group)
    group.itimers.clear()


def _fire_itimer(kernel: Kernel, timer: Timer) -> None:
    """Linux: kernel/time/itimer.c, it_real_fn."""
    entry = timer.target
    entry.timer = None
    kernel.clock.spend(TIMER_NS)
    send_signal(kernel, entry.group, SigInfo(_SIGALRM))


TIMER_ACTIONS["itimer"] = _fire_itimer


def alarm_taken(kernel: Kernel, group: ThreadGroup) -> None:
    """A SIGALRM of the process was taken: ITIMER_REAL is armed again if it repeats, and only now.

    So a process that blocks SIGALRM isn't interrupted in vain. Linux: kernel/signal.c, dequeue_signal.
    """
    entry = group.itimers.get(ITIMER_REAL)
    if isinstance(entry, IntervalTimer) and entry.timer is None and entry.interval_ns:
        overdue_ns = kernel.clock.now_ns - entry.deadline_ns
        entry.deadline_ns += (overdue_ns // entry.interval_ns + 1) * entry.interval_ns
        entry.arm(kernel)


def _cpu_sample(group: ThreadGroup, which: int) -> int:
    user_ns, system_ns = process_times(group)
    return user_ns if which == ITIMER_VIRTUAL else user_ns + system_ns


def next_tick_ns(now_ns: int) -> int:
    """When a timer of processor time that fires now may fire again.

    It's the tick that looks at those of Linux. So who has one that expires more often than its handler
    returns, does something beside.
    """
    return (now_ns // TICK_NS + 1) * TICK_NS


def cpu_time_left_ns(kernel: Kernel, group: ThreadGroup) -> int | None:
    """How much processor time is left to `group` until its next timer or limit; None without any."""
    user_ns, system_ns = process_times(group)
    now_ns = kernel.clock.now_ns
    left: list[int] = []
    itimers = group.itimers
    for which, sample_ns in ((ITIMER_PROF, user_ns + system_ns), (ITIMER_VIRTUAL, user_ns)):
        entry = itimers.get(which)
        if isinstance(entry, CpuIntervalTimer) and entry.expires_ns:
            left.append(max(entry.expires_ns - sample_ns, entry.quiet_until_ns - now_ns))
    watch = itimers.get(_CPU_WATCH)
    if isinstance(watch, CpuWatch):
        left += [timer.left_ns() for timer in watch.timers]
        if watch.queue.waiters:
            left.append(TICK_NS)
    limit_s = group.limits.soft[RLIMIT_CPU]
    if limit_s != RLIM_INFINITY:
        left_ns = limit_s * NS_PER_S - user_ns - system_ns
        left.append(left_ns if left_ns > 0 else TICK_NS)
    return min(left) if left else None


def note_armed(kernel: Kernel, group: ThreadGroup) -> None:
    """A timer of processor time was armed for `group`: the running slice may be too long for it."""
    running = kernel.current
    if running is not None and running.group is group:
        left_ns = cpu_time_left_ns(kernel, group)
        if left_ns is not None:
            kernel.clock.limit_slice(left_ns)


def account(kernel: Kernel, group: ThreadGroup, elapsed_ns: int) -> None:
    """A task of `group` has run for `elapsed_ns` until now, and that was charged: see which timers and limits
    the group has reached.

    Linux: kernel/time/posix-cpu-timers.c, run_posix_cpu_timers.
    """
    user_ns, system_ns = process_times(group)
    now_ns = kernel.clock.now_ns
    itimers = group.itimers
    has_ticked = now_ns // TICK_NS != (now_ns - elapsed_ns) // TICK_NS
    if itimers:
        for which, signo, sample_ns in (
            (ITIMER_PROF, _SIGPROF, user_ns + system_ns),
            (ITIMER_VIRTUAL, _SIGVTALRM, user_ns),
        ):
            entry = itimers.get(which)
            if (
                isinstance(entry, CpuIntervalTimer)
                and 0 < entry.expires_ns <= sample_ns
                and entry.quiet_until_ns <= now_ns
            ):
                entry.quiet_until_ns = next_tick_ns(now_ns)
                entry.expires_ns = entry.expires_ns + entry.interval_ns if entry.interval_ns else 0
                _signal(kernel, group, signo)
        watch = itimers.get(_CPU_WATCH)
        if isinstance(watch, CpuWatch):
            _check_watch(kernel, group, watch, user_ns + system_ns, has_ticked=has_ticked)
    if has_ticked and group.limits.soft[RLIMIT_CPU] != RLIM_INFINITY:
        # It's the tick that looks at limits: who always sleeps when it comes doesn't meet them.
        _check_cpu_limit(kernel, group, user_ns + system_ns)


def _check_watch(
    kernel: Kernel, group: ThreadGroup, watch: CpuWatch, used_ns: int, *, has_ticked: bool
) -> None:
    for timer in list(watch.timers):
        if timer.is_due():
            del watch.timers[timer]
            timer.fire(kernel)
    # Sleepers look at their clock themselves, at the tick of one that runs: so a process of which nobody runs
    # any more sleeps on, though falling asleep took as long. One that only looked hasn't made it go on.
    if has_ticked and used_ns != watch.seen_ns:
        watch.seen_ns = used_ns
        watch.queue.wake_all()
    if not watch.timers and not watch.queue.waiters:
        group.itimers.pop(_CPU_WATCH, None)


def _check_cpu_limit(kernel: Kernel, group: ThreadGroup, used_ns: int) -> None:
    """RLIMIT_CPU: SIGXCPU each second past the soft limit, SIGKILL at the hard one.

    Linux: kernel/time/posix-cpu-timers.c, check_process_timers.
    """
    limits = group.limits
    soft, hard = limits.soft[RLIMIT_CPU], limits.hard[RLIMIT_CPU]
    if hard != RLIM_INFINITY and used_ns >= hard * NS_PER_S:
        _signal(kernel, group, _SIGKILL)
    elif used_ns >= soft * NS_PER_S:
        limits.soft[RLIMIT_CPU] = soft + 1
        _signal(kernel, group, _SIGXCPU)


def check_realtime_limit(kernel: Kernel, task: Task) -> None:
    """RLIMIT_RTTIME: SIGXCPU each second past the soft limit for a real-time thread that doesn't sleep,
    SIGKILL at the hard one.

    Linux: kernel/time/posix-cpu-timers.c, check_thread_timers.
    """
    limits = task.group.limits
    soft, hard = limits.soft[RLIMIT_RTTIME], limits.hard[RLIMIT_RTTIME]
    used_us = task.entity.realtime_ns // NS_PER_US
    if not used_us or class_of(task) != CLASS_REALTIME:
        return
    if hard != RLIM_INFINITY and used_us >= hard:
        _signal(kernel, task.group, _SIGKILL)
    elif used_us >= soft:
        limits.soft[RLIMIT_RTTIME] = soft + US_PER_S
        _signal(kernel, task.group, _SIGXCPU)


def check_overrun(kernel: Kernel, task: Task) -> None:
    """SIGXCPU to who has used up its reservation and wants to know (SCHED_FLAG_DL_OVERRUN).

    Linux: kernel/time/posix-cpu-timers.c, check_dl_overrun.
    """
    entity = task.entity
    is_over = class_of(task) == CLASS_DEADLINE and entity.budget_left_ns <= 0 and not task.has_yielded
    if is_over and entity.deadline_flags & _TELLS_OVERRUN:
        _signal(kernel, task.group, _SIGXCPU)


def _signal(kernel: Kernel, group: ThreadGroup, signo: int) -> None:
    """Send a signal about time that the running thread has spent: it takes it, if it can."""
    send_group_signal(kernel, group, SigInfo(signo), running_thread(kernel, group))
