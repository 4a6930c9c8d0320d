"""POSIX timers of a process: timers that send a signal each time they expire, and count what was missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EBUSY, EINVAL, EOPNOTSUPP, EPERM
from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import SIGRTMAX, Signal
from procession.abi.time import SigevNotify
from procession.hardware.kernel_memory import POSIX_TIMER_BYTES, SIGNAL_BYTES, TIMER
from procession.kernel.pid import find_task
from procession.kernel.rlimit import RLIMIT_SIGPENDING
from procession.kernel.security.capability import CAP_WAKE_ALARM
from procession.kernel.signal.generation import send_timer_signal
from procession.kernel.signal.info import SI_TIMER, SigInfo
from procession.kernel.time.costs import PASSED_SIGNAL_NS, TIMER_NS
from procession.kernel.time.posix_clock import (
    ALARM_CLOCKS,
    CLOCK_BOOTTIME,
    CLOCK_MONOTONIC,
    CLOCK_OF_FILE,
    CLOCK_PROCESS_CPUTIME_ID,
    CLOCK_REALTIME,
    CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID,
    KTIME_MAX,
    WALL_CLOCKS,
    CpuClock,
    charge_running,
    clock_resolution_ns,
    find_cpu_clock,
)
from procession.kernel.time.queue import TIMER_ACTIONS
from procession.kernel.timers.interval import (
    next_tick_ns,
    note_armed,
    unwatch_cpu_timer,
    watch_cpu_clock,
)

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task, ThreadGroup, Timer

SIGEV_SIGNAL = int(SigevNotify.SIGEV_SIGNAL)
SIGEV_NONE = int(SigevNotify.SIGEV_NONE)
SIGEV_THREAD = int(SigevNotify.SIGEV_THREAD)
SIGEV_THREAD_ID = int(SigevNotify.SIGEV_THREAD_ID)
_SIGALRM = int(Signal.SIGALRM)
_INT_MAX = 0x7FFFFFFF
_OWN_CPU_CLOCKS = (CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID)
_PLAIN_CLOCKS = (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI)

DISARMED, ARMED, REQUEUE_PENDING = range(3)


class TimerSetting(NamedTuple):
    """A `struct itimerspec`, in nanoseconds."""

    interval_ns: int
    value_ns: int


class Notification(NamedTuple):
    """How an expiry is told: `how` is SIGEV_*, `thread` the one that SIGEV_THREAD_ID means."""

    how: int
    signo: int
    value: int
    thread: Task | None


class PosixTimer:
    """One timer of timer_create(2) (Linux: include/linux/posix-timers.h, struct k_itimer).

    `expires_ns` is of the timer's own clock: of CLOCK_REALTIME if `follows_realtime`, of the processor time
    `cpu_clock` if there is one, else of the monotonic clock. An interval timer that has expired isn't armed
    again before its signal is taken (`status` REQUEUE_PENDING); `overrun` counts the expiries in between,
    from -1, and `last_overrun` is what timer_getoverrun(2) gives. Its signal goes to `thread`, or to the
    process; `how` is SIGEV_*: `is_silent` timers send none and are never armed. One that `is_deleted` while
    its signal is pending is kept by it, and stays charged until then.
    """

    __slots__ = (
        "account",
        "clock_id",
        "cpu_clock",
        "expires_ns",
        "follows_realtime",
        "group",
        "how",
        "id",
        "info",
        "interval_ns",
        "is_deleted",
        "is_silent",
        "kernel",
        "last_overrun",
        "overrun",
        "quiet_until_ns",
        "status",
        "thread",
        "timer",
    )

    def __init__(
        self, kernel: Kernel, group: ThreadGroup, id: int, clock_id: int, notification: Notification
    ) -> None:
        self.kernel = kernel
        self.group = group
        self.id = id
        self.clock_id = clock_id
        self.notify(notification)
        self.cpu_clock: CpuClock | None = None
        self.account: Credentials
        self.expires_ns = 0
        self.quiet_until_ns = 0
        self.interval_ns = 0
        self.follows_realtime = False
        self.is_deleted = False
        self.overrun = -1
        self.last_overrun = 0
        self.status = DISARMED
        self.timer: Timer | None = None

    def notify(self, notification: Notification) -> None:
        """Let it tell of its expiries so."""
        self.how = notification.how
        self.is_silent = notification.how == SIGEV_NONE
        self.thread = notification.thread
        self.info = SigInfo(notification.signo, SI_TIMER, value=notification.value)
        self.info.timer_id = self.id
        self.info.timer = self

    def left_ns(self) -> int:
        """How much of its processor time clock is left until it fires."""
        if self.cpu_clock is None:
            return 0
        return max(self.expires_ns - self.cpu_clock.read_ns(), self.quiet_until_ns - self.kernel.clock.now_ns)

    def is_due(self) -> bool:
        """Whether its processor time clock has come to its expiry, and a tick since it fired last."""
        return (
            self.cpu_clock is not None
            and self.cpu_clock.read_ns() >= self.expires_ns
            and self.kernel.clock.now_ns >= self.quiet_until_ns
        )

    def now_ns(self) -> int:
        """What the timer's clock says."""
        if self.cpu_clock is not None:
            charge_running(self.kernel)
            return self.cpu_clock.read_ns()
        clock = self.kernel.clock
        return clock.realtime_ns if self.follows_realtime else clock.now_ns

    def arm(self) -> None:
        """Let it fire at `expires_ns`."""
        self.status = ARMED
        if self.cpu_clock is not None:
            watch_cpu_clock(self.cpu_clock.group).timers[self] = None
            note_armed(self.kernel, self.cpu_clock.group)
            return
        clock = self.kernel.clock
        deadline_ns = self.expires_ns
        if self.follows_realtime:
            deadline_ns -= clock.realtime_offset_ns
            clock.set_queue.add(self)
        self.timer = self.kernel.timers.add(deadline_ns, "posix-timer", self)

    def disarm(self) -> None:
        """Don't let it fire. Of a signal that wasn't taken yet nothing comes when it's its turn."""
        self.status = DISARMED
        if self.cpu_clock is not None:
            unwatch_cpu_timer(self.cpu_clock.group, self)
        elif self.timer is not None:
            self.kernel.timers.cancel(self.timer)
            self.timer = None
        if self.follows_realtime:
            self.kernel.clock.set_queue.remove(self)
        if self.info.is_queued:
            self.info.is_stale = True

    def wake(self) -> None:
        """CLOCK_REALTIME was set: the same time of day may be nearer or farther."""
        if self.status == ARMED and self.timer is not None:
            self.kernel.timers.cancel(self.timer)
            self.arm()

    def forward(self, now_ns: int) -> int:
        """Move the expiry past `now_ns` by intervals: how many.

        Linux: kernel/time/hrtimer.c, hrtimer_forward.
        """
        if now_ns < self.expires_ns:
            return 0
        count = (now_ns - self.expires_ns) // self.interval_ns + 1
        self.expires_ns += count * self.interval_ns
        return count

    def fire(self, kernel: Kernel) -> None:
        """It has expired. Linux: kernel/time/posix-timers.c, posix_timer_queue_signal."""
        self.timer = None
        if self.is_silent:
            self.status = DISARMED
            return
        if self.cpu_clock is not None:
            self.quiet_until_ns = next_tick_ns(kernel.clock.now_ns)
        kernel.clock.spend(TIMER_NS)
        self.status = REQUEUE_PENDING if self.interval_ns else DISARMED
        self.info.overrun = 0
        send_timer_signal(kernel, self.thread or self.group, self.info)

    def signal_taken(self, kernel: Kernel, info: SigInfo) -> None:
        """Put the overrun count into `info` and arm the timer again.

        Linux: kernel/time/posix-timers.c, posixtimer_deliver_signal.
        """
        if not self.interval_ns or self.status != REQUEUE_PENDING:
            return
        self.overrun += self.forward(self.now_ns())
        self.arm()
        self.last_overrun = self.overrun
        self.overrun = -1
        info.overrun = min(self.last_overrun, _INT_MAX)

    def signal_let_go(self) -> None:
        """Its signal isn't pending any more, taken or discarded.

        Linux: kernel/signal.c, sigqueue_free.
        """
        if self.is_deleted:
            self.release()

    def release(self) -> None:
        """Give back what it's charged for. Linux: kernel/time/posix-timers.c, posix_timer_free."""
        self.account.remove_signal()
        self.kernel.memory.account.uncharge(TIMER, POSIX_TIMER_BYTES)

    def get(self) -> TimerSetting:
        """timer_gettime(2). Linux: kernel/time/posix-timers.c, common_timer_get."""
        if not self.interval_ns and self.status == DISARMED and not (self.is_silent and self.expires_ns):
            return TimerSetting(0, 0)
        now_ns = self.now_ns()
        if self.interval_ns and self.status != ARMED:
            self.overrun += self.forward(now_ns)
        left_ns = self.expires_ns - now_ns
        if left_ns <= 0:
            # Its signal is still to come, so 0 would be wrong.
            left_ns = 0 if self.is_silent else 1
        return TimerSetting(self.interval_ns, left_ns)

    def set(self, new: TimerSetting, *, is_absolute: bool) -> TimerSetting:
        """timer_settime(2): what it was. Linux: kernel/time/posix-timers.c, common_timer_set."""
        old = self.get()
        self.disarm()
        self.interval_ns = new.interval_ns if new.value_ns else 0
        self.overrun = -1
        self.last_overrun = 0
        if not new.value_ns:
            # What tells of no expiry was never queued, and goes on to say when it was to be.
            if self.cpu_clock is not None:
                self.expires_ns = 0
            return old
        # A relative timer isn't moved when the time of day is set.
        self.follows_realtime = self.clock_id in WALL_CLOCKS and is_absolute
        if not is_absolute:
            self.expires_ns = min(self.now_ns() + new.value_ns, KTIME_MAX)
        elif self.cpu_clock is not None:
            self.expires_ns = new.value_ns
        else:
            self.expires_ns = self.kernel.seen_namespaces.time.to_machine_ns(self.clock_id, new.value_ns)
        if not self.is_silent:
            self.arm()
            if self.timer is not None:
                self.kernel.timers.fire_if_soon(self.timer)
        return old


def _fire_posix_timer(kernel: Kernel, timer: Timer) -> None:
    timer.target.fire(kernel)


TIMER_ACTIONS["posix-timer"] = _fire_posix_timer


def check_timer_clock(task: Task, clock_id: int) -> None:
    """Raise EINVAL for no clock, EOPNOTSUPP for one that has no timers.

    Linux: kernel/time/posix-timers.c, clockid_to_kclock.
    """
    if clock_id in _PLAIN_CLOCKS or clock_id in ALARM_CLOCKS or clock_id in _OWN_CPU_CLOCKS:
        return
    if clock_id < 0:
        if clock_id & 7 == CLOCK_OF_FILE:
            raise EOPNOTSUPP("the clock of a file has no timers")
        return
    clock_resolution_ns(task, clock_id)
    raise EOPNOTSUPP(f"clock {clock_id} has no timers")


def bind_to_clock(task: Task, timer: PosixTimer) -> None:
    """Let a new timer go by its clock. Raises EINVAL for no processor time, EPERM without CAP_WAKE_ALARM.

    Linux: kernel/time/posix-cpu-timers.c, posix_cpu_timer_create.
    """
    if timer.clock_id in ALARM_CLOCKS and not task.credentials.capable(CAP_WAKE_ALARM):
        raise EPERM("alarm clocks take CAP_WAKE_ALARM")
    timer.cpu_clock = find_cpu_clock(task, timer.clock_id)


def check_notification(task: Task, how: int, signo: int, value: int, thread_id: int) -> Notification:
    """What `struct sigevent` asks for. Raises EINVAL. Linux: kernel/time/posix-timers.c, good_sigevent."""
    thread: Task | None = None
    if how == SIGEV_THREAD_ID:
        thread = find_task(task.pid_namespace, thread_id)
        if thread is None or thread.group is not task.group:
            raise EINVAL(f"{thread_id} is no thread of the process")
    if how in (SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID):
        if not 0 < signo <= SIGRTMAX:
            raise EINVAL(f"no signal {signo}")
    elif how != SIGEV_NONE:
        raise EINVAL(f"no notification {how}")
    return Notification(how, signo, value, thread)


def create_posix_timer(task: Task, clock_id: int, wanted_id: int | None = None) -> PosixTimer:
    """Make a timer, which sends SIGALRM with its id as long as nothing else was said. Raises EAGAIN, and
    EBUSY if there is one of the `wanted_id`.

    Linux: kernel/time/posix-timers.c, do_timer_create.
    """
    group = task.group
    if not task.credentials.has_room(RLIMIT_SIGPENDING, 1, group.limits.soft[RLIMIT_SIGPENDING]):
        raise EAGAIN("RLIMIT_SIGPENDING")
    account = task.kernel.memory.account
    if not account.can_charge(SIGNAL_BYTES + POSIX_TIMER_BYTES):
        raise EAGAIN("no memory for a timer")
    id = group.next_posix_timer_id if wanted_id is None else wanted_id
    if wanted_id is not None and id in group.posix_timers:
        raise EBUSY(f"there is a timer {id}")
    while id in group.posix_timers:
        id = (id + 1) & _INT_MAX
    group.next_posix_timer_id = (id + 1) & _INT_MAX
    timer = PosixTimer(task.kernel, group, id, clock_id, Notification(SIGEV_SIGNAL, _SIGALRM, id, None))
    timer.account = task.credentials.counted
    timer.account.add_signal()
    account.charge_always(TIMER, POSIX_TIMER_BYTES)
    group.posix_timers[id] = timer
    return timer


def find_posix_timer(task: Task, id: int) -> PosixTimer:
    """The timer `id` of the caller's process. Raises EINVAL."""
    timer: PosixTimer | None = task.group.posix_timers.get(id)
    if timer is None:
        raise EINVAL(f"no timer {id}")
    return timer


def delete_posix_timer(timer: PosixTimer) -> None:
    """timer_delete(2). Linux: kernel/time/posix-timers.c, posix_timer_delete."""
    timer.disarm()
    timer.is_deleted = True
    if not timer.info.is_queued:
        timer.release()
    del timer.group.posix_timers[timer.id]


def delete_all(group: ThreadGroup) -> None:
    """Every POSIX timer of a process goes: it ends or executes another program.

    Linux: kernel/time/posix-timers.c, exit_itimers.
    """
    for timer in list(group.posix_timers.values()):
        delete_posix_timer(timer)
    group.chooses_timer_ids = False


def flush_timer_signals(task: Task) -> None:
    """A thread that executes a program isn't told of timers that it had. Linux: kernel/signal.c,
    flush_itimer_signals."""
    count = task.pending.discard_timers() + task.group.shared_pending.discard_timers()
    if count:
        task.kernel.clock.spend(count * PASSED_SIGNAL_NS)


def signal_heeded(group: ThreadGroup, signo: int) -> None:
    """Signal `signo` isn't ignored any more: interval timers that expired meanwhile send it now.

    Linux: kernel/signal.c, posixtimer_sig_unignore.
    """
    for timer in group.posix_timers.values():
        if timer.status == REQUEUE_PENDING and timer.info.signo == signo:
            send_timer_signal(timer.kernel, timer.thread or group, timer.info)
