"""What a process does about each signal: the table of actions that threads share."""

from __future__ import annotations

from typing import NamedTuple

from procession.fs.wait_queue import WaitQueue
from procession.kernel.signal_set import SIGNAL_COUNT

SIG_DFL = 0
SIG_IGN = 1

SA_NOCLDSTOP = 0x1
SA_NOCLDWAIT = 0x2
SA_SIGINFO = 0x4
SA_EXPOSE_TAGBITS = 0x800
SA_RESTORER = 0x04000000
SA_ONSTACK = 0x08000000
SA_RESTART = 0x10000000
SA_NODEFER = 0x40000000
SA_RESETHAND = 0x80000000
SA_IMMUTABLE = 0x00800000
"""The kernel's own: the signal kills whatever the program and its tracer want."""


class SignalAction(NamedTuple):
    """What is done about one signal (Linux: struct k_sigaction). It is replaced whole, never changed.

    `handler` is SIG_DFL, SIG_IGN or an address; `mask` what is blocked while the handler runs.
    """

    handler: int = SIG_DFL
    flags: int = 0
    restorer: int = 0
    mask: int = 0


DEFAULT_ACTION = SignalAction()
IGNORE_ACTION = SignalAction(SIG_IGN)


class SignalHandlers:
    """The actions for all signals, by number from 1 (Linux: struct sighand_struct).

    `reference_count` counts the tasks that share it (CLONE_SIGHAND). `wait_queue` is where readers and
    pollers of signalfds wait (Linux: signalfd_wqh).
    """

    __slots__ = ("actions", "reference_count", "wait_queue")

    def __init__(self, actions: list[SignalAction] | None = None) -> None:
        self.actions = actions if actions is not None else [DEFAULT_ACTION] * (SIGNAL_COUNT + 1)
        self.reference_count = 1
        self.wait_queue = WaitQueue()

    def copy(self) -> SignalHandlers:
        """A table of its own with the same actions. Linux: kernel/fork.c, copy_sighand."""
        return SignalHandlers(self.actions.copy())

    def reset_for_exec(self) -> None:
        """Handlers become the default, ignored signals stay ignored (execve(2), CLONE_CLEAR_SIGHAND).

        Linux: kernel/signal.c, flush_signal_handlers.
        """
        actions = self.actions
        for signal, action in enumerate(actions):
            if action is not DEFAULT_ACTION:
                actions[signal] = IGNORE_ACTION if action.handler == SIG_IGN else DEFAULT_ACTION
