"""How a process has been scheduled, in proc: sched, schedstat and autogroup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.sched.autogroup import set_autogroup_nice
from procession.kernel.sched.priority import SCHED_DEADLINE
from procession.kernel.sched.run_queue import weight_of
from procession.kernel.task_state import TaskState
from procession.procfs.parse_integer import INT_MAX, INT_MIN, NUMBER_SIZE, parse_stripped
from procession.procfs.process_status import priority

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem

_WEIGHT_SHIFT = 10
"""Weights are kept with these more bits (Linux: include/linux/sched.h, SCHED_FIXEDPOINT_SHIFT)."""


def run_time_ns(system: ProcFileSystem, task: Task) -> int:
    """How long `task` has run, until now. Linux: kernel/sched/core.c, task_sched_runtime."""
    times = task.times
    run_ns = times.user_ns + times.system_ns
    return run_ns + system.kernel.uncharged_ns if task.state is TaskState.RUNNING else run_ns


def show_sched(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/sched, without the averages of its load and what NUMA machines have.

    Linux: kernel/sched/debug.c, proc_sched_show_task.
    """
    times, entity = task.times, task.entity
    heading = b"%s (%d, #threads: %d)\n" % (
        task.command_name,
        system.number_of(task),
        len(task.group.threads),
    )
    switches = times.voluntary_switches + times.involuntary_switches
    rows: list[tuple[bytes, bytes]] = [
        (b"se.exec_start", milliseconds(entity.run_since_ns)),
        (b"se.vruntime", milliseconds(entity.virtual_runtime_ns)),
        (b"se.sum_exec_runtime", milliseconds(run_time_ns(system, task))),
        (b"se.nr_migrations", b"%d" % entity.move_count),
        (b"nr_switches", b"%d" % switches),
        (b"nr_voluntary_switches", b"%d" % times.voluntary_switches),
        (b"nr_involuntary_switches", b"%d" % times.involuntary_switches),
        (b"se.load.weight", b"%d" % (weight_of(task) << _WEIGHT_SHIFT)),
        (b"policy", b"%d" % task.policy),
        (b"prio", b"%d" % (100 + priority(task))),
    ]
    if task.policy == SCHED_DEADLINE:
        rows += (
            (b"dl.runtime", b"%d" % entity.budget_left_ns),
            (b"dl.deadline", b"%d" % entity.deadline_ns),
        )
    elif priority(task) >= 0:
        rows.append((b"se.slice", b"%d" % (entity.slice_ns or system.kernel.scheduler.base_slice_ns)))
    return heading + b"-" * 67 + b"\n" + b"".join(b"%-45s:%21s\n" % row for row in rows)


def store_sched(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Take anything: what it sets to zero is counted only with kernel.sched_schedstats, which isn't built.

    Linux: kernel/sched/debug.c, proc_sched_set_task.
    """


def show_autogroup(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/autogroup. Linux: kernel/sched/autogroup.c, proc_sched_autogroup_show_task."""
    autogroup = task.group.autogroup
    return b"" if autogroup is None else b"/autogroup-%d nice %d\n" % (autogroup.number, autogroup.nice)


def store_autogroup(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Set the nice value of the autogroup. Linux: fs/proc/base.c, sched_autogroup_write."""
    caller = system.kernel.current
    assert caller is not None
    set_autogroup_nice(caller, task, parse_stripped(data[:NUMBER_SIZE], INT_MIN, INT_MAX))


def milliseconds(time_ns: int) -> bytes:
    """Milliseconds with six decimals, as the scheduler's debug files have them."""
    return b"%d.%06d" % (time_ns // 1_000_000, time_ns % 1_000_000)


def show_schedstat(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/schedstat: nanoseconds run, nanoseconds that it waited to, how often it was let run.

    Linux: fs/proc/base.c, proc_pid_schedstat.
    """
    entity = task.entity
    return b"%d %d %d\n" % (run_time_ns(system, task), entity.waited_ns, entity.run_count)
