"""/proc/PID/io: what a process has read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.io_accounting import IoCounts, process_io
from procession.procfs.access import require_inspection

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem


def show_process_io(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/io, for those who may inspect the process. Linux: fs/proc/base.c, do_io_accounting."""
    require_inspection(subject, task)
    return io_lines(process_io(task.group))


def show_thread_io(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/task/TID/io."""
    require_inspection(subject, task)
    return io_lines(task.io)


def io_lines(counts: IoCounts) -> bytes:
    """The figures. There are no disks, so nothing was read from them or written to them."""
    rows = (
        (b"rchar", counts.bytes_read),
        (b"wchar", counts.bytes_written),
        (b"syscr", counts.read_calls),
        (b"syscw", counts.write_calls),
        (b"read_bytes", 0),
        (b"write_bytes", 0),
        (b"cancelled_write_bytes", 0),
    )
    return b"".join(b"%s: %d\n" % row for row in rows)
