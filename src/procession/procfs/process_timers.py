"""The POSIX timers of a process in proc: /proc/PID/timers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.time.posix_clock import CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID
from procession.kernel.timers.posix import SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem

_HOW = {SIGEV_SIGNAL: b"signal", SIGEV_NONE: b"none", SIGEV_THREAD: b"thread"}
_CLOCKS = {CLOCK_PROCESS_CPUTIME_ID: -6, CLOCK_THREAD_CPUTIME_ID: -2}
"""The clocks of processor time are kept by the ids that mean the caller's own."""


def show_timers(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/timers: the newest first. Linux: fs/proc/base.c, show_timer."""
    group = task.group
    lines: list[bytes] = []
    for timer in reversed(group.posix_timers.values()):
        target = group.leader if timer.thread is None else timer.thread
        lines.append(
            b"ID: %d\nsignal: %d/%016x\nnotify: %s/%s.%d\nClockID: %d\n"
            % (
                timer.id,
                timer.info.signo,
                timer.info.value % (1 << 64),
                _HOW[timer.how & ~SIGEV_THREAD_ID],
                b"pid" if timer.thread is None else b"tid",
                system.number_of(target),
                _CLOCKS.get(timer.clock_id, timer.clock_id),
            )
        )
    return b"".join(lines)
