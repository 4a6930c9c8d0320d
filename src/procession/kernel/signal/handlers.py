"""What a process does about each signal: the table of actions that threads share."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import SIG_DFL, SIG_IGN, SigactionFlag
from procession.fs.wait_queue import WaitQueue
from procession.kernel.signal.set import SIGCHLD, SIGNAL_COUNT

SA_NOCLDSTOP = int(SigactionFlag.SA_NOCLDSTOP)
SA_NOCLDWAIT = int(SigactionFlag.SA_NOCLDWAIT)
SA_SIGINFO = int(SigactionFlag.SA_SIGINFO)
SA_RESTORER = int(SigactionFlag.SA_RESTORER)
SA_ONSTACK = int(SigactionFlag.SA_ONSTACK)
SA_RESTART = int(SigactionFlag.SA_RESTART)
SA_NODEFER = int(SigactionFlag.SA_NODEFER)
SA_RESETHAND = int(SigactionFlag.SA_RESETHAND)
SA_IMMUTABLE = 0x00800000
"""The kernel's own: the signal kills whatever the program and its tracer want."""


class SignalAction(NamedTuple):
    """What is done about one signal (Linux: include/linux/signal_types.h, struct k_sigaction). It is
    replaced whole, never changed.

    `handler` is SIG_DFL, SIG_IGN or an address; `mask` what is blocked while the handler runs.
    """

    handler: int = SIG_DFL
    flags: int = 0
    restorer: int = 0
    mask: int = 0


DEFAULT_ACTION = SignalAction()
IGNORE_ACTION = SignalAction(SIG_IGN)
_DEFAULT_ACTIONS = [DEFAULT_ACTION] * (SIGNAL_COUNT + 1)


class SignalHandlers:
    """The actions for all signals, by number from 1 (Linux: include/linux/sched/signal.h, struct
    sighand_struct).

    `reference_count` counts the thread groups that share it (CLONE_SIGHAND). `wait_queue` is where readers
    and pollers of signalfds wait (Linux: include/linux/sched/signal.h, signalfd_wqh).
    """

    __slots__ = ("actions", "reference_count", "wait_queue")

    def __init__(self, actions: list[SignalAction] | None = None) -> None:
        self.actions = actions if actions is not None else _DEFAULT_ACTIONS.copy()
        self.reference_count = 1
        self.wait_queue = WaitQueue()

    def copy(self) -> SignalHandlers:
        """A table of its own with the same actions. Linux: kernel/fork.c, copy_sighand."""
        return SignalHandlers(self.actions.copy())

    def ignores_children(self) -> bool:
        """Whether children that end leave no zombies. Linux: kernel/ptrace.c, ignoring_children."""
        action = self.actions[SIGCHLD]
        return action.handler == SIG_IGN or bool(action.flags & SA_NOCLDWAIT)

    def reset_for_exec(self) -> None:
        """Handlers become the default, ignored signals stay ignored (execve(2), CLONE_CLEAR_SIGHAND).

        Linux: kernel/signal.c, flush_signal_handlers.
        """
        if self.actions != _DEFAULT_ACTIONS:
            self.actions[:] = [
                DEFAULT_ACTION if action.handler != SIG_IGN else IGNORE_ACTION for action in self.actions
            ]
