"""Resource limits and resource use: getrlimit, setrlimit, prlimit64, getrusage, times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.errno import EINVAL
from procession.abi.resource import Rlimit64, RlimitResource, Rusage, RusageWho
from procession.abi.time import Tms
from procession.kernel.rlimit import change_limit, check_limit_access
from procession.kernel.sched.priority import task_or_self
from procession.kernel.task import CpuTimes
from procession.kernel.time.costs import SEEN_THREAD_NS
from procession.kernel.time.posix_clock import charge_running, process_times
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Choice, In, Int, Out
from procession.syscalls.process import rusage_of

if TYPE_CHECKING:
    from procession.kernel.task import Task

_RUSAGE_SELF = int(RusageWho.RUSAGE_SELF)
_RUSAGE_CHILDREN = int(RusageWho.RUSAGE_CHILDREN)
_RUSAGE_THREAD = int(RusageWho.RUSAGE_THREAD)
_FIRST_CLOCK_TICK = ((1 << 32) - 300 * 250) * 100 // 250
"""Linux starts its tick counter five minutes before it overflows 32 bits."""


@syscall(97)
def getrlimit(task: Task, resource: Choice[RlimitResource], limit: Out[Rlimit64]) -> None:
    """getrlimit(2). Linux: kernel/sys.c, SYSCALL_DEFINE2(getrlimit)."""
    limit.put(Rlimit64(*change_limit(task, task.group, resource, None)))


@syscall(160)
def setrlimit(task: Task, resource: Choice[RlimitResource], limit: In[Rlimit64]) -> None:
    """setrlimit(2). Linux: kernel/sys.c, SYSCALL_DEFINE2(setrlimit)."""
    new = limit.get()
    change_limit(task, task.group, resource, (new.rlim_cur, new.rlim_max))


@syscall(302)
def prlimit64(
    task: Task, pid: Int, resource: Choice[RlimitResource], new: In[Rlimit64], old: Out[Rlimit64]
) -> None:
    """prlimit(2). Linux: kernel/sys.c, SYSCALL_DEFINE4(prlimit64)."""
    wanted: tuple[int, int] | None = None
    if new:
        limit = new.get()
        wanted = limit.rlim_cur, limit.rlim_max
    target = task_or_self(task, pid)
    check_limit_access(task, target)
    before = change_limit(task, target.group, resource, wanted)
    if old:
        old.put(Rlimit64(*before))


@syscall(98)
def getrusage(task: Task, who: Choice[RusageWho], usage: Out[Rusage]) -> None:
    """getrusage(2). Linux: kernel/sys.c, getrusage."""
    charge_running(task.kernel)
    times = CpuTimes()
    if who == _RUSAGE_THREAD:
        times.add(task.times)
    elif who == _RUSAGE_SELF:
        times.add(task.group.times)
        threads = task.group.threads
        task.kernel.clock.spend((len(threads) - 1) * SEEN_THREAD_NS)
        for thread in threads:
            times.add(thread.times)
    elif who == _RUSAGE_CHILDREN:
        times.add(task.group.children_times)
    else:
        raise EINVAL(f"nobody is {who}")
    if who != _RUSAGE_CHILDREN:
        times.max_resident_pages = max(times.max_resident_pages, task.mm.peak_resident_pages)
    usage.put(rusage_of(times))


@syscall(100)
def times(task: Task, buffer: Out[Tms]) -> int:
    """times(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(times)."""
    if buffer:
        charge_running(task.kernel)
        children = task.group.children_times
        task.kernel.clock.spend((len(task.group.threads) - 1) * SEEN_THREAD_NS)
        figures = (*process_times(task.group), children.user_ns, children.system_ns)
        buffer.put(Tms(*(figure_ns // NS_PER_CLOCK_TICK for figure_ns in figures)))
    return _FIRST_CLOCK_TICK + task.kernel.clock.now_ns // NS_PER_CLOCK_TICK
