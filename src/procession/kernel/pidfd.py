"""pidfd: a file that stands for a process or thread, however often its id is given again (pidfd_open(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EBADF, EINVAL
from procession.abi.pidfd import PidfdFlag
from procession.fs.anonymous_inode import anonymous_path
from procession.fs.file import O_NONBLOCK, O_PATH, O_RDWR, POLLHUP, POLLIN, POLLRDNORM, File
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, ThreadGroup

_ENDED = (TaskState.ZOMBIE, TaskState.DEAD)
PIDFD_THREAD = int(PidfdFlag.PIDFD_THREAD)


class PidFile(File):
    """An open pidfd. It can be polled: what it stands for has ended when it's readable, and was reaped when
    it's hung up (Linux: fs/pidfs.c, pidfd_poll).

    It stands for the process `group` or, with PIDFD_THREAD, for its thread `thread`.
    """

    __slots__ = ("group", "thread", "thread_id")

    has_read: ClassVar[bool] = False
    has_write: ClassVar[bool] = False

    def __init__(
        self, kernel: Kernel, group: ThreadGroup, flags: int, opener: Task, thread: Task | None = None
    ) -> None:
        path = anonymous_path(kernel.vfs, "[pidfd]")
        super().__init__(path, O_RDWR | flags & O_NONBLOCK, opener.credentials)
        self.flags |= flags & PIDFD_THREAD
        self.stand_for(group, thread)

    def stand_for(self, group: ThreadGroup, thread: Task | None) -> None:
        """From now on."""
        self.group = group
        self.thread = thread
        self.thread_id = 0 if thread is None else thread.tid

    @property
    def target(self) -> Task | None:
        """The thread, or the leader of the process, that has the id still; None if it was reaped."""
        leader = self.group.leader
        task = self.thread or leader
        if task is not leader and task.tid != self.thread_id:
            # It has executed a program, and is its process's leader now.
            return None
        if task.state is TaskState.DEAD and self.thread_id == leader.tid:
            # The leader has gone, and another thread that executed a program has its place.
            task = leader
        return None if task.state is TaskState.DEAD else task

    @property
    def has_ended(self) -> bool:
        """Whether the thread has, or every thread of the process."""
        target = self.target
        if self.thread is not None:
            return target is None or target.state in _ENDED
        group = self.group
        return len(group.threads) <= 1 and group.leader.state in _ENDED

    def poll_mask(self) -> int:
        if not self.has_ended:
            return 0
        return POLLIN | POLLRDNORM | (POLLHUP if self.target is None else 0)

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.group.exit_queue,)

    def show_details(self) -> bytes:
        target = self.target
        number = -1 if target is None else target.tid
        return b"Pid:\t%d\nNSpid:\t%d\n" % (number, number)


def signalled_by(task: Task, fd: int) -> tuple[ThreadGroup, PidFile | None]:
    """The process that a signal through descriptor `fd` of `task` goes to, and the pidfd. Raises EBADF.

    Linux: kernel/signal.c, pidfd_to_pid; fs/proc/base.c, tgid_pidfd_to_pid.
    """
    file = task.files.file(fd)
    if isinstance(file, PidFile):
        return file.group, file
    # The directory /proc/PID, which is procfs's, does for a pidfd; a single thread's directory doesn't.
    group: ThreadGroup | None = getattr(file.inode, "shown_group", None)
    if group is None or file.flags & O_PATH:
        raise EBADF(f"descriptor {fd} is neither a pidfd nor a process's directory")
    return group, None


def pid_file_of(task: Task, fd: int) -> PidFile:
    """The pidfd behind a descriptor of `task`. Raises EBADF."""
    file = task.file_of_call(fd)
    if file is None:
        raise EBADF
    if not isinstance(file, PidFile):
        raise EBADF(f"descriptor {fd} is no pidfd")
    return file


def task_for_pidfd(kernel: Kernel, pid: int, *, is_thread: bool) -> Task:
    """The thread `pid`, or the leader of the process, for a new pidfd. Raises EINVAL, ESRCH."""
    from procession.abi.errno import ESRCH

    if pid <= 0:
        raise EINVAL("a process id is above 0")
    task = kernel.tasks.get(pid)  # type: ignore[call-overload]
    if task is None:
        raise ESRCH(f"no process {pid}")
    found: Task = task
    if not found.is_leader and not is_thread:
        raise EINVAL(f"{pid} is a thread's id and not its process's")
    return found
