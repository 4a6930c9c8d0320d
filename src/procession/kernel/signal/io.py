"""Signal-driven I/O: who gets SIGIO for an open file (F_SETOWN, F_SETSIG, O_ASYNC of fcntl(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENOTTY
from procession.abi.file_mode import S_IFMT
from procession.abi.open_flags import OwnerType
from procession.abi.poll import PollEvent
from procession.abi.signals import PollCode, Signal
from procession.fs.file import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, File
from procession.fs.inode import S_IFSOCK
from procession.fs.landlock import SCOPE_SIGNALS, is_out_of_scope
from procession.fs.terminal.tty import TtyFile
from procession.fs.wait_queue import SignalWaiter
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SI_KERNEL, SigInfo
from procession.kernel.task import Task, ThreadGroup
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.fs.fd_table import FdTable
    from procession.fs.landlock import Domain
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.kernel import Kernel
    from procession.kernel.pid import Pid
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.session import ProcessGroup

_SIGIO = int(Signal.SIGIO)
_SIGURG = int(Signal.SIGURG)
_POLL_IN, _POLL_OUT, _POLL_MSG, _POLL_HUP = map(
    int, (PollCode.POLL_IN, PollCode.POLL_OUT, PollCode.POLL_MSG, PollCode.POLL_HUP)
)
_POLLMSG, _POLLWRBAND = int(PollEvent.POLLMSG), int(PollEvent.POLLWRBAND)
_BANDS = {
    _POLL_IN: POLLIN | POLLRDNORM,
    _POLL_OUT: POLLOUT | POLLWRNORM | _POLLWRBAND,
    _POLL_MSG: POLLIN | POLLRDNORM | _POLLMSG,
    _POLL_HUP: POLLHUP | POLLERR,
}


class FileOwner:
    """Whom an open file's signals go to, and which signal (Linux: include/linux/fs.h, struct fown_struct).

    `kind` is an OwnerType, `pid` names a thread, a process or a process group, None when nobody is set.
    `signo` is F_SETSIG's, 0 for a plain SIGIO. `credentials` are those of who set it, `domain` its Landlock
    domain, as far as it bounds signals to the owner, and `setter` the number of its process.
    """

    __slots__ = ("credentials", "domain", "kind", "pid", "setter", "signo")

    def __init__(self) -> None:
        self.kind = int(OwnerType.F_OWNER_TID)
        self.pid: Pid | None = None
        self.signo = 0
        self.credentials: Credentials | None = None
        self.domain: Domain = ()
        self.setter: Pid | None = None

    def set(self, kind: int, pid: Pid | None, setter: Task) -> None:
        """Let signals go there.

        Linux: fs/fcntl.c, __f_setown; security/landlock/fs.c, hook_file_set_fowner.
        """
        self.kind = kind
        self.pid = pid
        self.credentials = setter.credentials
        self.setter = setter.group.pid
        # A process may always signal itself. Of a process group each member is looked at when it's signalled.
        target = self.target
        if isinstance(target, Task):
            target = target.group
        self.domain = () if target is setter.group else setter.credentials.landlock

    @property
    def target(self) -> Task | ThreadGroup | ProcessGroup | None:
        """Who that is; None if it's gone, or the id never was of that kind. Linux: kernel/pid.c, pid_task."""
        pid = self.pid
        if pid is None:
            return None
        if self.kind == OwnerType.F_OWNER_PGRP:
            return pid.process_group
        task = pid.task
        if task is None or self.kind == OwnerType.F_OWNER_TID:
            return task
        return task.group if task.is_leader else None


def owner_of(file: File) -> FileOwner:
    """The owner of `file`, made at first use."""
    owner = file.owner
    if not isinstance(owner, FileOwner):
        owner = file.owner = FileOwner()
    return owner


class ReadinessSignal:
    """The waiter that signals a file's owner when one of its queues is woken.

    Linux: include/linux/fs.h, fasync_struct.
    """

    __slots__ = ("fd", "file", "kernel", "queues")

    def __init__(self, kernel: Kernel, file: File, fd: int) -> None:
        self.kernel = kernel
        self.file = file
        self.fd = fd
        self.queues: list[QueueSignal] = []

    def descriptor_closed(self, table: FdTable) -> None:
        """It's the open file that is signalled, until nobody holds it."""

    def file_closed(self) -> None:
        """Nothing is signalled any more."""
        for waiter in self.queues:
            waiter.queue.remove(waiter)
        self.queues.clear()
        if self.file.watchers is not None:
            self.file.watchers.pop(self, None)


class QueueSignal(SignalWaiter):
    """The part of a ReadinessSignal that waits on one queue, and knows what its wakes mean."""

    __slots__ = ("queue", "signal")

    def __init__(self, signal: ReadinessSignal, queue: WaitQueue) -> None:
        self.signal = signal
        self.queue = queue

    def wake(self) -> None:
        """Linux: fs/fcntl.c, kill_fasync."""
        signal = self.signal
        events = self.queue.events
        if not signal.file.may_signal(events):
            return
        mask = signal.file.poll_mask()
        if mask & POLLHUP and signal.file.inode.mode & S_IFMT == S_IFSOCK:
            # Linux: net/unix/af_unix.c, unix_release_sock.
            reason = _POLL_HUP
        elif events:
            reason = _POLL_IN if events & POLLIN else _POLL_OUT
        else:
            reason = _POLL_IN if mask & POLLIN else _POLL_OUT
        send_readiness(signal.kernel, signal.file, signal.fd, reason)


def can_signal_readiness(file: File) -> bool:
    """Whether this kind of file knows O_ASYNC. Raises ENOTTY for a terminal that is hung up.

    Linux: drivers/tty/tty_io.c, hung_up_tty_fasync.
    """
    if isinstance(file, TtyFile) and file.is_hung_up:
        raise ENOTTY("the terminal is hung up")
    return file.knows_async


def readiness_signal(file: File) -> ReadinessSignal | None:
    """What signals the readiness of `file`, None unless O_ASYNC is on."""
    for watcher in file.watchers or ():
        if isinstance(watcher, ReadinessSignal):
            return watcher
    return None


def set_async(kernel: Kernel, file: File, fd: int, is_on: bool) -> None:
    """Switch O_ASYNC on or off. Linux: fs/fcntl.c, fasync_helper."""
    present = readiness_signal(file)
    if not is_on:
        if present is not None:
            present.file_closed()
        return
    if present is not None:
        present.fd = fd
        return
    if isinstance(file, TtyFile):
        _own_by_terminal(kernel, file)
    signal = ReadinessSignal(kernel, file, fd)
    for queue in file.wait_queues():
        waiter = QueueSignal(signal, queue)
        queue.add(waiter)
        signal.queues.append(waiter)
    if file.watchers is None:
        file.watchers = {}
    file.watchers[signal] = None


def _own_by_terminal(kernel: Kernel, file: TtyFile) -> None:
    """A terminal's signals go to its foreground, or to who asks, unless somebody has been chosen.

    Linux: drivers/tty/tty_io.c, __tty_fasync.
    """
    owner = owner_of(file)
    current = kernel.current
    if owner.pid is not None or current is None:
        return
    pid: Pid | None = file.tty.foreground
    if pid is not None:
        # Perhaps of nobody yet: who is to lead it may be put in the foreground before.
        owner.set(int(OwnerType.F_OWNER_PGRP), pid, current)
    else:
        owner.set(int(OwnerType.F_OWNER_PID), current.group.pid, current)


def send_readiness(kernel: Kernel, file: File, fd: int, reason: int) -> None:
    """Tell the owner of `file`. Linux: fs/fcntl.c, send_sigio."""
    owner = file.owner
    if not isinstance(owner, FileOwner) or owner.target is None:
        return
    target = owner.target
    for receiver in _receivers(target):
        task = receiver if isinstance(receiver, Task) else receiver.leader
        if task.state in ENDED or not _may_signal(owner, task):
            continue
        if owner.signo:
            info = SigInfo(owner.signo, reason)
            info.band = _BANDS[reason]
            info.fd = fd
            if not send_signal(kernel, receiver, info):
                # The queue of real-time signals is full: SIGIO says that something was lost.
                send_signal(kernel, receiver, SigInfo(_SIGIO, SI_KERNEL))
        else:
            send_signal(kernel, receiver, SigInfo(_SIGIO, SI_KERNEL))


def send_urgent(kernel: Kernel, file: File) -> None:
    """An urgent byte has come to a socket: its owner gets SIGURG. Linux: fs/fcntl.c, send_sigurg."""
    owner = file.owner
    if not isinstance(owner, FileOwner) or owner.target is None:
        return
    for receiver in _receivers(owner.target):
        task = receiver if isinstance(receiver, Task) else receiver.leader
        if task.state not in ENDED and _may_signal(owner, task):
            send_signal(kernel, receiver, SigInfo(_SIGURG, SI_KERNEL))


def _receivers(target: Task | ThreadGroup | ProcessGroup) -> list[Task | ThreadGroup]:
    return [target] if isinstance(target, (Task, ThreadGroup)) else list(target.members)


def _may_signal(owner: FileOwner, task: Task) -> bool:
    """Linux: fs/fcntl.c, sigio_perm; security/landlock/task.c, hook_file_send_sigiotask."""
    mine, theirs = owner.credentials, task.credentials
    is_own = task.group.pid is owner.setter
    if owner.domain and not is_own and is_out_of_scope(owner.domain, theirs.landlock, SCOPE_SIGNALS):
        return False
    return mine is not None and (
        mine.euid == 0 or mine.euid in (theirs.suid, theirs.uid) or mine.uid in (theirs.suid, theirs.uid)
    )
