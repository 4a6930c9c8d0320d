"""What tasks have read and written: /proc/PID/io."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.kernel.task import ThreadGroup


class IoCounts:
    """Bytes and calls of a task, or of those that are gone.

    Linux: include/linux/task_io_accounting.h, struct task_io_accounting.
    """

    __slots__ = ("bytes_read", "bytes_written", "read_calls", "write_calls")

    def __init__(self) -> None:
        self.bytes_read = 0
        self.bytes_written = 0
        self.read_calls = 0
        self.write_calls = 0

    def add(self, other: IoCounts) -> None:
        """Add another's figures to these."""
        self.bytes_read += other.bytes_read
        self.bytes_written += other.bytes_written
        self.read_calls += other.read_calls
        self.write_calls += other.write_calls

    def moved(self, count: int) -> None:
        """`count` bytes have been read here and written there, in one call."""
        self.bytes_read += count
        self.bytes_written += count


def process_io(group: ThreadGroup) -> IoCounts:
    """What all threads of a process did, the ended ones and its waited-for children too."""
    total = IoCounts()
    total.add(group.io)
    for thread in group.threads:
        total.add(thread.io)
    return total
