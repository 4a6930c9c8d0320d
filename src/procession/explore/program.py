"""What is explored: a command, the machine that it runs on, and what is branched over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from procession.kernel.decider import Decider, NamedChoice
from procession.kernel.sched.explored import NEXT_TASK, ExploredScheduler
from procession.machine import Machine

SIGNAL_THREAD, WAKE_ORDER, TIMER, FAULTS = "signal", "wake-order", "timer", "faults"
KINDS = {
    NEXT_TASK: "who runs next, at each system call and wake-up",
    SIGNAL_THREAD: "which thread takes a signal that was sent to its process",
    WAKE_ORDER: "which of those who wait for a futex is woken",
    TIMER: "how late the work is when a timer fires",
}
"""What can be branched over, and what each is."""
DEFAULT_KINDS = (NEXT_TASK, SIGNAL_THREAD, WAKE_ORDER)
DEFAULT_MEMORY_BYTES = 1 << 28


class Program(NamedTuple):
    """A program whose schedules are searched; plain values, so that it can be sent to another process.

    `settings` are `Machine`'s, `stdin` is all that it reads, `kinds` is what is branched over.
    """

    command: tuple[str, ...]
    settings: Mapping[str, Any]
    stdin: bytes = b""
    is_pid1: bool = False
    kinds: tuple[str, ...] = DEFAULT_KINDS

    def machine(self, decider: Decider) -> Machine:
        """A machine for it, with nothing started, whose choices are `decider`'s. Raises what `Machine` does."""
        return explored_machine(self.settings, self.kinds, decider)


class Schedule(NamedTuple):
    """All that was chosen in a run, from its beginning; what comes after the last choice is the default."""

    choices: tuple[NamedChoice, ...] = ()

    def trimmed(self) -> Schedule:
        """The same without what would be chosen by default at the end."""
        count = len(self.choices)
        while count and not self.choices[count - 1].option:
            count -= 1
        return Schedule(self.choices[:count])


def explored_machine(settings: Mapping[str, Any], kinds: tuple[str, ...], decider: Decider) -> Machine:
    """A machine with `settings` whose scheduler asks `decider` wherever it may matter."""
    machine = Machine(**{"memory": DEFAULT_MEMORY_BYTES, **settings, "decider": decider})
    kernel = machine.kernel
    kernel.scheduler = ExploredScheduler(
        kernel, len(kernel.scheduler.processors), offers_timers=TIMER in kinds
    )
    return machine
