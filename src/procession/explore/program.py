"""What is explored: a command, the machine that it runs on, and what is branched over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from procession.abi.named_tuple import NamedTuple
from procession.kernel.decider import Decider, NamedChoice
from procession.kernel.sched.explored import NEXT_TASK, WAKE_ORDER
from procession.machine import Machine
from procession.recording.schedule import SIGNAL_THREAD, explored_machine

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
        """A machine for it, with nothing started, that asks `decider`. Raises what `Machine` does."""
        settings = {"memory": DEFAULT_MEMORY_BYTES, **self.settings}
        return explored_machine(settings, self.kinds, decider)


class Schedule(NamedTuple):
    """All that was chosen in a run, from its beginning; what comes after the last choice is the default."""

    choices: tuple[NamedChoice, ...] = ()

    def trimmed(self) -> Schedule:
        """The same without what would be chosen by default at the end."""
        count = len(self.choices)
        while count and not self.choices[count - 1].option:
            count -= 1
        return Schedule(self.choices[:count])
