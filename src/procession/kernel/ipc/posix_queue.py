"""POSIX message queues: waiting for room or a message, and telling that one has come (mq_notify(3))."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from procession.abi.errno import EBUSY, EMFILE, ERESTARTSYS, ETIMEDOUT
from procession.abi.mqueue import NOTIFY_COOKIE_LEN, NOTIFY_REMOVED, NOTIFY_WOKENUP
from procession.abi.signals import SignalCode
from procession.abi.time import SigevNotify
from procession.fs.mqueue import MqueueFileSystem, QueuedMessage, QueueInode, add_sleeper
from procession.fs.wait_queue import Abandonable, Sleep
from procession.kernel.rlimit import RLIMIT_MSGQUEUE
from procession.kernel.sched.priority import LARGEST_REAL_TIME_PRIORITY, REAL_TIME, SCHED_DEADLINE
from procession.kernel.signal.generation import send_group_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from procession.kernel.ipc.namespace import IpcNamespace
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task, ThreadGroup
    from procession.net.netlink.socket import NetlinkSocket

SIGEV_SIGNAL = int(SigevNotify.SIGEV_SIGNAL)
SIGEV_NONE = int(SigevNotify.SIGEV_NONE)
SIGEV_THREAD = int(SigevNotify.SIGEV_THREAD)
_SI_MESGQ = int(SignalCode.SI_MESGQ)
_FAIR_PRIORITY = 120


class QueueAccounts:
    """Who pays for the queues of a file system: the user of whoever makes them."""

    __slots__ = ("kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def charge_queue(self, byte_count: int) -> Credentials:
        """Raises EMFILE. Linux: ipc/mqueue.c, mqueue_get_inode."""
        task = self.kernel.current
        assert task is not None
        payer = task.credentials.counted
        if not payer.has_room(RLIMIT_MSGQUEUE, byte_count, task.group.limits.soft[RLIMIT_MSGQUEUE]):
            raise EMFILE(f"RLIMIT_MSGQUEUE: {byte_count} bytes more")
        payer.count(RLIMIT_MSGQUEUE, byte_count)
        return payer


def queues_of(kernel: Kernel, namespace: IpcNamespace) -> MqueueFileSystem:
    """The queues of an IPC namespace, their file system made at first use."""
    system = namespace.posix_queues
    if system is None:
        system = namespace.posix_queues = MqueueFileSystem(kernel.vfs, namespace, QueueAccounts(kernel))
        system.owner = namespace.owner
    return system


class QueueWait(Abandonable):
    """A send or receive that waits: the progress of its sleep (Linux: ipc/mqueue.c, struct ext_wait_queue).

    `deadline_ns` is of CLOCK_REALTIME, None for no timeout.
    """

    __slots__ = ("deadline_ns", "is_done", "is_sender", "message", "priority", "queue", "task")

    def __init__(
        self, task: Task, queue: QueueInode, message: QueuedMessage | None, deadline_ns: int | None
    ) -> None:
        self.task = task
        self.queue = queue
        self.message = message
        self.is_sender = message is not None
        self.deadline_ns = deadline_ns
        self.priority = turn_of(task)
        self.is_done = False
        add_sleeper(queue.senders if self.is_sender else queue.receivers, self)

    def finish(self) -> None:
        """The message is in the queue, or here."""
        self.is_done = True
        self.task.wake()

    def abandon(self) -> None:
        """A signal or the timeout has ended the wait."""
        sleepers = self.queue.senders if self.is_sender else self.queue.receivers
        if self in sleepers:
            sleepers.remove(self)

    def sleep(self) -> NoReturn:
        """Sleep (on). Raises ETIMEDOUT at the deadline, Sleep. Linux: ipc/mqueue.c, wq_sleep."""
        if self.deadline_ns is None:
            raise Sleep(progress=self, interrupted=ERESTARTSYS)
        clock = self.task.kernel.clock
        deadline_ns = self.deadline_ns - clock.realtime_offset_ns
        if clock.now_ns >= deadline_ns and not self.task.has_pending_signal:
            self.abandon()
            raise ETIMEDOUT
        raise Sleep(clock.set_queue, deadline_ns=deadline_ns, progress=self, interrupted=ERESTARTSYS)


def turn_of(task: Task) -> int:
    """The lower, the sooner a task's turn (in Linux, task_struct.prio)."""
    if task.policy == SCHED_DEADLINE:
        return -1
    if task.policy in REAL_TIME:
        return LARGEST_REAL_TIME_PRIORITY - task.realtime_priority
    return _FAIR_PRIORITY + task.nice


class QueueNotification:
    """The process that is told, by a signal or silently, when an empty queue gets a message.

    `how` is SIGEV_SIGNAL, SIGEV_NONE or SIGEV_THREAD. A program that was executed meanwhile gets no signal.
    """

    __slots__ = ("exec_id", "group", "how", "signo", "value")

    def __init__(self, task: Task, how: int, signo: int = 0, value: int = 0) -> None:
        self.group: ThreadGroup = task.group
        self.exec_id = task.self_exec_id
        self.how = how
        self.signo = signo
        self.value = value

    @property
    def number_seen(self) -> int:
        """The process that is told, as the calling task sees it. Linux: ipc/mqueue.c, mqueue_read_file."""
        return self.group.pid.number_in(self.group.leader.kernel.seen_pid_namespace)

    def is_callers(self) -> bool:
        """Whether it's the calling task's process."""
        current = self.group.leader.kernel.current
        return current is not None and current.group is self.group

    def tell(self) -> None:
        """Linux: ipc/mqueue.c, __do_notify."""
        leader = self.group.leader
        kernel = leader.kernel
        sender = kernel.current
        if not self.signo or sender is None or leader.state is TaskState.DEAD:
            return
        if leader.self_exec_id == self.exec_id:
            info = SigInfo(
                self.signo, _SI_MESGQ, sender=sender.group.pid, uid=sender.credentials.uid, value=self.value
            )
            send_group_signal(kernel, self.group, info)

    def withdraw(self) -> None:
        """The process isn't to be told any more: a signal needs nothing."""


class ThreadNotification(QueueNotification):
    """SIGEV_THREAD: a thread of the C library reads the `cookie` from a netlink socket, and what became."""

    __slots__ = ("cookie", "socket")

    def __init__(self, task: Task, socket: NetlinkSocket, cookie: bytes) -> None:
        super().__init__(task, SIGEV_THREAD)
        self.socket = socket
        self.cookie = cookie[: NOTIFY_COOKIE_LEN - 1]

    def tell(self) -> None:
        self.socket.tell(self.cookie + bytes([NOTIFY_WOKENUP]))

    def withdraw(self) -> None:
        """Linux: ipc/mqueue.c, remove_notification."""
        self.socket.tell(self.cookie + bytes([NOTIFY_REMOVED]))


def set_notification(task: Task, queue: QueueInode, notification: QueueNotification | None) -> None:
    """mq_notify(2) once its arguments are checked. Raises EBUSY. Linux: ipc/mqueue.c, do_mq_notify."""
    if notification is None:
        if queue.withdraw_notice():
            queue.touch_status()
        return
    if queue.notice is not None:
        raise EBUSY("another process is told already")
    queue.notice = notification
    queue.touch_status()
