"""How a process has been scheduled, in proc: sched and schedstat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.procfs.process_status import priority

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem


def show_sched(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/sched, what of it has a meaning here. Linux: kernel/sched/debug.c, proc_sched_show_task."""
    times = task.times
    run_ns = times.user_ns + times.system_ns
    heading = b"%s (%d, #threads: %d)\n" % (
        task.command_name,
        system.number_of(task),
        len(task.group.threads),
    )
    switches = times.voluntary_switches + times.involuntary_switches
    virtual_ns = task.entity.virtual_runtime_ns
    rows = (
        (b"se.vruntime", milliseconds(virtual_ns)),
        (b"se.sum_exec_runtime", milliseconds(run_ns)),
        (b"nr_switches", b"%d" % switches),
        (b"nr_voluntary_switches", b"%d" % times.voluntary_switches),
        (b"nr_involuntary_switches", b"%d" % times.involuntary_switches),
        (b"policy", b"%d" % task.policy),
        (b"prio", b"%d" % (100 + priority(task))),
    )
    return heading + b"-" * 67 + b"\n" + b"".join(b"%-45s:%21s\n" % row for row in rows)


def milliseconds(time_ns: int) -> bytes:
    """Milliseconds with six decimals, as the scheduler's debug files have them."""
    return b"%d.%06d" % (time_ns // 1_000_000, time_ns % 1_000_000)


def show_schedstat(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/schedstat: nanoseconds run, nanoseconds waited, time slices."""
    times = task.times
    switches = times.voluntary_switches + times.involuntary_switches
    return b"%d 0 %d\n" % (times.user_ns + times.system_ns, switches)
