"""Where tasks wait: queues, and the one way in which a system call blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol

from procession.abi.errno import ERESTARTSYS, Errno


class Waiter(Protocol):
    """Who can wait on a queue: a task, or an epoll instance on the files that it watches."""

    def wake(self) -> None:
        """Called when something has changed; a task leaves all its queues and becomes runnable."""


class SignalWaiter:
    """One who sends a signal when it's woken (O_ASYNC). In Linux, fasync_struct."""

    __slots__ = ()

    def wake(self) -> None:
        """Send it."""
        raise NotImplementedError


class WaitQueue:
    """Waiters in the order in which they came (Linux: include/linux/wait.h, wait_queue_head).

    `events` says for which of POLLIN, POLLOUT ... it is woken, 0 for any: an edge-triggered epoll instance
    that watches for others must not hear of it.
    """

    __slots__ = ("events", "waiters")

    def __init__(self, events: int = 0) -> None:
        self.events = events
        self.waiters: dict[Waiter, None] = {}

    def __repr__(self) -> str:
        return f"<WaitQueue of {list(self.waiters)}>"

    def add(self, waiter: Waiter) -> None:
        """Put `waiter` at the end of the queue."""
        self.waiters[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        """Take `waiter` out, if it is in."""
        self.waiters.pop(waiter, None)

    def wake_signals(self) -> None:
        """Wake who sends signals, though nothing has changed for others. In Linux, kill_fasync."""
        for waiter in list(self.waiters):
            if isinstance(waiter, SignalWaiter):
                waiter.wake()

    def wake_all(self) -> None:
        """Wake every waiter: each looks again at what it waits for."""
        if self.waiters:
            for waiter in list(self.waiters):
                waiter.wake()


class Abandonable:
    """A progress that must be undone when a signal ends the call: the handler won't run again."""

    __slots__ = ()

    def abandon(self) -> None:
        """Undo it."""
        raise NotImplementedError


class Turn:
    """Somebody waits for his turn at something, whose `era` then tells whether he's sent away since."""

    __slots__ = ("era",)

    def __init__(self, era: int) -> None:
        self.era = era


class Sleep(Exception):
    """Raised by a system call's handler, or by what it calls, to block the calling task.

    The kernel puts the task on every one of `queues` and leaves. When one of them is woken, or at
    `deadline_ns` of the virtual monotonic clock, the handler runs again with the same decoded arguments,
    and finds a `CallFrame` in `task.frame` with the `deadline_ns` and `progress` given here. Before it
    raises this, a handler has only looked: it has changed nothing but its progress.

    If a signal is pending, the task doesn't sleep: the call ends with `interrupted`, an errno class
    (ERESTARTSYS, ERESTARTNOHAND, ERESTART_RESTARTBLOCK, EINTR ...) or, when part of the work is done, an
    int, the value to return. With `is_interruptible=False` only a fatal signal ends the sleep, and with
    `is_killable=False` besides no signal at all. A progress that is Abandonable is abandoned when a signal
    ends the call.

    The open files behind the call's arguments of the kind `Fd`, and behind `fds`, are held until it ends.

    With `is_fault` it's an access to user memory that waits, at whatever point of the call.
    """

    is_fault: ClassVar[bool] = False

    __slots__ = ("deadline_ns", "fds", "interrupted", "is_interruptible", "is_killable", "progress", "queues")

    def __init__(
        self,
        *queues: WaitQueue,
        deadline_ns: int | None = None,
        progress: object = None,
        interrupted: type[Errno] | int = ERESTARTSYS,
        is_interruptible: bool = True,
        is_killable: bool = True,
        fds: Iterable[int] = (),
    ) -> None:
        self.queues = queues
        self.deadline_ns = deadline_ns
        self.progress = progress
        self.interrupted = interrupted
        self.is_interruptible = is_interruptible
        self.is_killable = is_killable
        self.fds = fds
