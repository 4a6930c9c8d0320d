"""Clock ids: what each clock says, how fine it is, and whose processor time a dynamic id stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S, TICK_NS
from procession.abi.errno import EINVAL
from procession.abi.time import Clock
from procession.kernel.pid import find_task
from procession.kernel.task import Task
from procession.kernel.time.costs import CPU_CLOCK_NS, SEEN_THREAD_NS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import ThreadGroup

CLOCK_REALTIME = int(Clock.CLOCK_REALTIME)
CLOCK_MONOTONIC = int(Clock.CLOCK_MONOTONIC)
CLOCK_PROCESS_CPUTIME_ID = int(Clock.CLOCK_PROCESS_CPUTIME_ID)
CLOCK_THREAD_CPUTIME_ID = int(Clock.CLOCK_THREAD_CPUTIME_ID)
CLOCK_MONOTONIC_RAW = int(Clock.CLOCK_MONOTONIC_RAW)
CLOCK_REALTIME_COARSE = int(Clock.CLOCK_REALTIME_COARSE)
CLOCK_MONOTONIC_COARSE = int(Clock.CLOCK_MONOTONIC_COARSE)
CLOCK_BOOTTIME = int(Clock.CLOCK_BOOTTIME)
CLOCK_REALTIME_ALARM = int(Clock.CLOCK_REALTIME_ALARM)
CLOCK_BOOTTIME_ALARM = int(Clock.CLOCK_BOOTTIME_ALARM)
CLOCK_TAI = int(Clock.CLOCK_TAI)

KTIME_MAX = (1 << 63) - 1
"""No time is later than this; what would be is this."""

WALL_CLOCKS = (CLOCK_REALTIME, CLOCK_REALTIME_ALARM, CLOCK_TAI)
"""The clocks that jump when CLOCK_REALTIME is set."""
ALARM_CLOCKS = (CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM)
_FINE = (CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM)
_COARSE = (CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE)

CLOCK_OF_FILE = 3
"""The lowest three bits of a negative id that stands for a file descriptor, not for processor time."""
CPUCLOCK_PROF, CPUCLOCK_VIRT, CPUCLOCK_SCHED = range(3)
"""What a processor time clock counts: user and system time, user time, time on the processor."""


class CpuClock:
    """The processor time of `owner`, a task or a whole process; `kind` is CPUCLOCK_*."""

    __slots__ = ("kind", "owner")

    def __init__(self, owner: Task | ThreadGroup, kind: int) -> None:
        self.owner = owner
        self.kind = kind

    def read_ns(self) -> int:
        """What has been used up to the last charge, in nanoseconds."""
        if isinstance(self.owner, Task):
            user_ns, system_ns = self.owner.times.user_ns, self.owner.times.system_ns
        else:
            user_ns, system_ns = process_times(self.owner)
        return user_ns if self.kind == CPUCLOCK_VIRT else user_ns + system_ns

    @property
    def group(self) -> ThreadGroup:
        """The process whose time it counts, or whose thread's."""
        return self.owner.group if isinstance(self.owner, Task) else self.owner


def process_times(group: ThreadGroup) -> tuple[int, int]:
    """User and system time of all threads of a process, ended ones included, in nanoseconds.

    Linux: kernel/sched/cputime.c, thread_group_cputime.
    """
    user_ns, system_ns = group.times.user_ns, group.times.system_ns
    for thread in group.threads:
        user_ns += thread.times.user_ns
        system_ns += thread.times.system_ns
    return user_ns, system_ns


def find_cpu_clock(task: Task, clock_id: int, *, is_reading: bool = False) -> CpuClock | None:
    """The processor time clock that `clock_id` names to `task`; None if it names another kind of clock.

    A negative id is ~pid << 3, with 4 for one thread's time, and the kind. Raises EINVAL when it names
    nothing. Linux: kernel/time/posix-cpu-timers.c, pid_for_clock.
    """
    if clock_id == CLOCK_PROCESS_CPUTIME_ID:
        return CpuClock(task.group, CPUCLOCK_SCHED)
    if clock_id == CLOCK_THREAD_CPUTIME_ID:
        return CpuClock(task, CPUCLOCK_SCHED)
    if clock_id >= 0:
        return None
    kind, pid = clock_id & 3, ~(clock_id >> 3)
    if kind > CPUCLOCK_SCHED:
        raise EINVAL("no clock of that kind")
    is_thread = bool(clock_id & 4)
    if pid == 0:
        return CpuClock(task if is_thread else task.group, kind)
    target = find_task(task.pid_namespace, pid)
    if target is None:
        raise EINVAL(f"no task {pid}")
    if is_thread:
        if target.group is not task.group:
            raise EINVAL(f"task {pid} is of another process")
        return CpuClock(target, kind)
    if not target.is_leader and not (is_reading and target is task):
        raise EINVAL(f"task {pid} is no process")
    return CpuClock(target.group, kind)


def charge_running(kernel: Kernel) -> None:
    """Bring the running task's processor time up to date."""
    if kernel.current is not None:
        kernel.charge(kernel.current)


def read_clock(task: Task, clock_id: int) -> int:
    """What the clock says, in nanoseconds. Raises EINVAL. Linux: kernel/time/posix-timers.c."""
    clock = task.kernel.clock
    if clock_id in _FINE:
        return clock.now_ns + task.namespaces.time.offset_ns(clock_id)
    if clock_id in WALL_CLOCKS:
        if clock_id == CLOCK_TAI and clock.steering is not None:
            return clock.realtime_ns + clock.steering.tai_s * NS_PER_S
        return clock.realtime_ns
    if clock_id in _COARSE:
        now_ns = clock.now_ns
        at_tick_ns = now_ns - now_ns % TICK_NS
        if clock_id == CLOCK_REALTIME_COARSE:
            return at_tick_ns + clock.realtime_offset_ns
        return at_tick_ns + task.namespaces.time.offset_ns(clock_id)
    cpu_clock = find_cpu_clock(task, clock_id, is_reading=True)
    if cpu_clock is None:
        raise EINVAL(f"no clock {clock_id}")
    clock.spend(CPU_CLOCK_NS)
    if not isinstance(cpu_clock.owner, Task):
        clock.spend((len(cpu_clock.owner.threads) - 1) * SEEN_THREAD_NS)
    charge_running(task.kernel)
    return cpu_clock.read_ns()


def clock_resolution_ns(task: Task, clock_id: int) -> int:
    """How fine the clock is, in nanoseconds. Raises EINVAL. clock_getres(2)."""
    if clock_id in _FINE or clock_id in WALL_CLOCKS:
        return 1
    if clock_id in _COARSE:
        return TICK_NS
    cpu_clock = find_cpu_clock(task, clock_id)
    if cpu_clock is None:
        raise EINVAL(f"no clock {clock_id}")
    return 1 if cpu_clock.kind == CPUCLOCK_SCHED else TICK_NS


def set_realtime(kernel: Kernel, realtime_ns: int) -> None:
    """Set CLOCK_REALTIME; whoever waits for a time of day looks again.

    Linux: kernel/time/timekeeping.c, do_settimeofday64.
    """
    clock = kernel.clock
    clock.realtime_offset_ns = realtime_ns - clock.now_ns
    if clock.steering is not None:
        clock.steering.clear()
    clock.set_queue.wake_all()
