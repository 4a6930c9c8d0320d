"""Process ids: given in a cycle, and not again while a task, group or session bears one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN
from procession.kernel.task import Tid

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

PID_MAX = 32768
"""kernel.pid_max as Linux sets it for a machine of up to 32 processors."""
RESERVED_PIDS = 300
"""After the first time round, ids below this are left alone (Linux: include/linux/pid.h, RESERVED_PIDS)."""
MAXIMUM_TASKS = 63_000
"""kernel.threads-max."""


class PidAllocator:
    """Gives the ids of one machine (Linux: kernel/pid.c, alloc_pid).

    `pid_max` is the first id that isn't given. `task_limit` is how many tasks there may be at once, zombies
    included: kernel.threads-max, or less where something contains the machine (a cgroup's pids.max).
    """

    __slots__ = ("kernel", "last", "pid_max", "task_limit")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.last = 0
        self.pid_max = PID_MAX
        self.task_limit = MAXIMUM_TASKS

    def allocate(self) -> Tid:
        """The next free id. Raises EAGAIN when all are in use.

        An id stays in use while a task, zombies included, has it, or a process group or session is named by
        it. The caller publishes a task with it before it asks for another.
        """
        kernel = self.kernel
        tasks, groups, sessions = kernel.tasks, kernel.process_groups, kernel.sessions
        number = self.last + 1
        for _ in range(self.pid_max):
            if number >= self.pid_max:
                number = RESERVED_PIDS
            if number not in tasks and number not in groups and number not in sessions:
                self.last = number
                return Tid(number)
            number += 1
        raise EAGAIN("every process id is in use")
