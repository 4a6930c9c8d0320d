"""pidfd: a file that stands for a process, however often its id is given again (pidfd_open(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBADF, EINVAL
from procession.fs.anonymous_inode import anonymous_path
from procession.fs.file import O_NONBLOCK, O_PATH, O_RDWR, POLLIN, POLLRDNORM, File
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, ThreadGroup

_ENDED = (TaskState.ZOMBIE, TaskState.DEAD)


class PidFile(File):
    """An open pidfd. It can be polled: the process has ended when it's readable (Linux: pidfd_poll)."""

    __slots__ = ("group",)

    def __init__(self, kernel: Kernel, group: ThreadGroup, flags: int, opener: Task) -> None:
        path = anonymous_path(kernel.vfs, "[pidfd]")
        super().__init__(path, O_RDWR | flags & O_NONBLOCK, opener.credentials)
        self.group = group

    @property
    def has_ended(self) -> bool:
        """Whether every thread of the process has."""
        group = self.group
        return len(group.threads) <= 1 and group.leader.state in _ENDED

    def poll_mask(self) -> int:
        return POLLIN | POLLRDNORM if self.has_ended else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.group.exit_queue,)

    def show_details(self) -> bytes:
        number = -1 if self.group.leader.state is TaskState.DEAD else self.group.pid
        return b"Pid:\t%d\nNSpid:\t%d\n" % (number, number)


def signalled_group_of(task: Task, fd: int) -> ThreadGroup:
    """The process that a signal through descriptor `fd` of `task` goes to. Raises EBADF.

    Linux: kernel/signal.c, pidfd_to_pid; fs/proc/base.c, tgid_pidfd_to_pid.
    """
    file = task.files.file(fd)
    if isinstance(file, PidFile):
        return file.group
    # The directory /proc/PID, which is procfs's, does for a pidfd; a single thread's directory doesn't.
    group: ThreadGroup | None = getattr(file.inode, "shown_group", None)
    if group is None or file.flags & O_PATH:
        raise EBADF(f"descriptor {fd} is neither a pidfd nor a process's directory")
    return group


def pid_file_of(task: Task, fd: int) -> PidFile:
    """The pidfd behind a descriptor of `task`. Raises EBADF."""
    file = task.file_of_call(fd)
    if file is None:
        raise EBADF
    if not isinstance(file, PidFile):
        raise EBADF(f"descriptor {fd} is no pidfd")
    return file


def group_for_pidfd(kernel: Kernel, pid: int) -> ThreadGroup:
    """The process `pid`, for a new pidfd. Raises EINVAL, ESRCH."""
    from procession.abi.errno import ESRCH

    if pid <= 0:
        raise EINVAL("a process id is above 0")
    task = kernel.tasks.get(pid)  # type: ignore[call-overload]
    if task is None:
        raise ESRCH(f"no process {pid}")
    found: Task = task
    if not found.is_leader:
        raise EINVAL(f"{pid} is a thread's id and not its process's")
    return found.group
