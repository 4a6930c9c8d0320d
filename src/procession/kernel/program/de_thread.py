"""How a thread that executes a program gets its process to itself, and who has to wait for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.wait_queue import Abandonable, Sleep, WaitQueue
from procession.kernel.exit import replace_leader
from procession.kernel.signal.generation import kill_thread
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from procession.kernel.task import Task, ThreadGroup


class GroupExec:
    """A thread of a process executes a program and waits for the others to be gone (in Linux,
    signal_struct.group_exec_task and the lock cred_guard_mutex, which it holds).

    `attaching` is where those wait that want to trace a thread of the process: who it is is about to change.
    """

    __slots__ = ("attaching",)

    def __init__(self) -> None:
        self.attaching = WaitQueue()


class LonelyExec(Abandonable):
    """A progress of execve(2), which may wait for the other threads of `group`."""

    __slots__ = ("group",)

    def __init__(self, group: ThreadGroup) -> None:
        self.group = group

    def abandon(self) -> None:
        """The thread was killed while it waited for the others to end."""
        self.let_attach()

    def let_attach(self) -> None:
        """The process has its new program, or won't get it: who waited to attach looks again."""
        waited, self.group.exec = self.group.exec, None
        if waited is not None:
            waited.attaching.wake_all()


def de_thread(task: Task, progress: LonelyExec) -> None:
    """End the other threads and take the leader's place. Linux: fs/exec.c, de_thread.

    Raises Sleep while there are any: there's no way back, so the call goes on with `progress`. A thread that
    has ended is there until its tracer has reaped it; but the leader's place is taken.
    """
    group = task.group
    waiting = [
        thread
        for thread in group.threads
        if thread is not task and not (thread.state is TaskState.ZOMBIE and thread.is_leader)
    ]
    if waiting:
        # Once: who has stopped for its tracer at its end stays so.
        if group.exec is None:
            group.exec = GroupExec()
            for thread in waiting:
                if thread.state is not TaskState.ZOMBIE:
                    kill_thread(thread)
        raise Sleep(group.wait_queue, progress=progress, is_interruptible=False)
    if not task.is_leader:
        replace_leader(task)
