"""What may be set of a process by a file of proc: its name, its OOM score, its timers' slack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EACCES, EINVAL, EPERM
from procession.kernel.oom import badness
from procession.kernel.sched.priority import BEFORE_FAIR
from procession.kernel.security.ptrace_access import has_memory
from procession.procfs.parse_integer import parse_integer

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem


def show_command_name(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/comm."""
    return task.command_name + b"\n"


def store_command_name(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Rename a thread of the caller's own process. Linux: fs/proc/base.c, comm_write."""
    current = system.kernel.current
    if current is None or current.group is not task.group:
        raise EINVAL("a thread of another process")
    task.command_name = data[:15].partition(b"\0")[0]


def show_oom_score(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/oom_score: from 0 to 2000. Linux: fs/proc/base.c, proc_oom_score."""
    adjustment = task.group.oom_score_adj
    if adjustment == -1000 or not has_memory(task):
        return b"0\n"
    total = system.kernel.memory.frame_count
    points = badness(task, total) * 1000 // total
    return b"%d\n" % ((1000 + points) * 2 // 3)


def show_oom_score_adjustment(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/oom_score_adj."""
    return b"%d\n" % task.group.oom_score_adj


def store_oom_score_adjustment(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Set it; below its least value so far takes CAP_SYS_RESOURCE. Linux: fs/proc/base.c, __set_oom_adj."""
    value = parse_integer(data)
    if not -1000 <= value <= 1000:
        raise EINVAL("outside -1000 to 1000")
    group = task.group
    if value < group.oom_score_adj and not subject.has_capability(int(Capability.CAP_SYS_RESOURCE)):
        raise EACCES("lowering it needs CAP_SYS_RESOURCE")
    group.oom_score_adj = value


def show_loginuid(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/loginuid: never set."""
    return b"4294967295"


def show_personality(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/personality."""
    return b"%08x\n" % task.personality


def show_timer_slack(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/timerslack_ns."""
    return b"%d\n" % task.timer_slack_ns


def store_timer_slack(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Set how late a task's timers may be, in nanoseconds; 0 for the default.

    Linux: fs/proc/base.c, timerslack_ns_write.
    """
    value = parse_integer(data)
    if value < 0:
        raise EINVAL("a negative time")
    if system.kernel.current is not task and not subject.ns_capable(
        task.credentials.user_namespace, int(Capability.CAP_SYS_NICE)
    ):
        raise EPERM("another task's needs CAP_SYS_NICE")
    # Real-time tasks have none.
    if task.policy not in BEFORE_FAIR:
        task.timer_slack_ns = value or task.default_timer_slack_ns
