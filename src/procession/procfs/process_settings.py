"""What may be set of a process by a file of proc: its name, its OOM score, its timers' slack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EACCES, EINVAL, EPERM, ERANGE
from procession.fs.mounts.context import parse_number
from procession.kernel.oom import badness
from procession.kernel.sched.priority import BEFORE_FAIR
from procession.kernel.security.ptrace_access import has_memory
from procession.procfs.access import require_attachment
from procession.procfs.parse_integer import INT_MAX, INT_MIN, NUMBER_SIZE, parse_stripped

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem

_CAP_SYS_RESOURCE = int(Capability.CAP_SYS_RESOURCE)
LONG_LONG_SIZE, _ULLONG_MAX = 66, (1 << 64) - 1
"""How much of a long number is read, with every bit a digit, and the largest (Linux: lib/kstrtox.c,
kstrto_from_user)."""
LONGEST_COMMAND_NAME = 15
_OOM_DISABLE, _OOM_ADJUST_MAX, _OOM_SCORE_MAX = 17, 15, 1000


def show_command_name(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/comm."""
    return task.command_name + b"\n"


def store_command_name(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Rename a thread of the caller's own process. Linux: fs/proc/base.c, comm_write."""
    current = system.kernel.current
    if current is None or current.group is not task.group:
        raise EINVAL("a thread of another process")
    task.command_name = data[:LONGEST_COMMAND_NAME].partition(b"\0")[0]
    if task.kernel.process_connector is not None:
        task.kernel.process_connector.tell_of_name(task)


def show_oom_score(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/oom_score: from 0 to 2000. Linux: fs/proc/base.c, proc_oom_score."""
    adjustment = task.group.oom_score_adj
    owner = next((thread for thread in task.group.threads if has_memory(thread)), None)
    if adjustment == -1000 or owner is None:
        return b"0\n"
    total = system.kernel.memory.frame_count
    points = badness(owner, total) * 1000 // total
    return b"%d\n" % ((1000 + points) * 2 // 3)


def show_oom_adjustment(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/oom_adj, the old scale: from -17 to 15. Linux: fs/proc/base.c, oom_adj_read."""
    value = task.group.oom_score_adj
    if value == _OOM_SCORE_MAX:
        return b"%d\n" % _OOM_ADJUST_MAX
    scaled = abs(value) * _OOM_DISABLE // _OOM_SCORE_MAX
    return b"%d\n" % min(scaled if value >= 0 else -scaled, _OOM_ADJUST_MAX)


def store_oom_adjustment(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Set the OOM score's adjustment by the old scale. Linux: fs/proc/base.c, oom_adj_write."""
    value = parse_stripped(data[:NUMBER_SIZE], INT_MIN, INT_MAX)
    if not -_OOM_DISABLE <= value <= _OOM_ADJUST_MAX:
        raise EINVAL("outside -17 to 15")
    scaled = abs(value) * _OOM_SCORE_MAX // _OOM_DISABLE
    scaled = _OOM_SCORE_MAX if value == _OOM_ADJUST_MAX else scaled if value >= 0 else -scaled
    group = task.group
    subject = system.kernel.vfs.acting_subject(subject)
    if scaled < group.oom_score_adj and not subject.capable(_CAP_SYS_RESOURCE):
        raise EACCES("lowering it needs CAP_SYS_RESOURCE")
    group.oom_score_adj = scaled


def show_oom_score_adjustment(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/oom_score_adj."""
    return b"%d\n" % task.group.oom_score_adj


def store_oom_score_adjustment(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Set it, to less than who had CAP_SYS_RESOURCE set it last only with that.

    Linux: fs/proc/base.c, __set_oom_adj.
    """
    value = parse_stripped(data[:NUMBER_SIZE], INT_MIN, INT_MAX)
    if not -1000 <= value <= 1000:
        raise EINVAL("outside -1000 to 1000")
    group = task.group
    subject = system.kernel.vfs.acting_subject(subject)
    if value < group.oom_score_adj_min and not subject.capable(_CAP_SYS_RESOURCE):
        raise EACCES("lowering it needs CAP_SYS_RESOURCE")
    group.oom_score_adj = value
    if subject.has_capability(_CAP_SYS_RESOURCE):
        group.oom_score_adj_min = value


def show_personality(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/personality. Linux: fs/proc/base.c, proc_pid_personality."""
    require_attachment(subject, task)
    return b"%08x\n" % task.personality


def _check_timer_slack(system: ProcFileSystem, task: Task, subject: Subject) -> None:
    """Raise EPERM if it's another task's that isn't the caller's business."""
    who = system.kernel.vfs.acting_subject(subject)
    if system.kernel.current is not task and not who.ns_capable(
        task.credentials.user_namespace, int(Capability.CAP_SYS_NICE)
    ):
        raise EPERM("another task's needs CAP_SYS_NICE")


def show_timer_slack(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/timerslack_ns. Linux: fs/proc/base.c, timerslack_ns_show."""
    _check_timer_slack(system, task, subject)
    return b"%d\n" % task.timer_slack_ns


def store_timer_slack(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Set how late a task's timers may be, in nanoseconds; 0 for the default.

    Linux: fs/proc/base.c, timerslack_ns_write.
    """
    value = parse_number(data[:LONG_LONG_SIZE].partition(b"\0")[0], 10)
    if value is None:
        raise EINVAL("no number")
    if value > _ULLONG_MAX:
        raise ERANGE("too large a number")
    _check_timer_slack(system, task, subject)
    # Real-time tasks have none.
    if task.policy not in BEFORE_FAIR:
        task.timer_slack_ns = value or task.default_timer_slack_ns
