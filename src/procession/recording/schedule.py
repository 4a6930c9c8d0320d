"""Machines whose schedule is chosen: by a searcher, or by what was written down of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from procession.kernel.decider import Decider
from procession.kernel.sched.explored import NEXT_TASK, WAKE_ORDER, ExploredScheduler
from procession.machine import Machine
from procession.syscalls.permitted import FAULTS

SIGNAL_THREAD, TIMER, MEMORY = "signal", "timer", "memory"
KINDS = {
    NEXT_TASK: "who runs next, at each system call and wake-up",
    SIGNAL_THREAD: "which thread takes a signal that was sent to its process",
    WAKE_ORDER: "which of those who wait for a futex is woken",
    MEMORY: "who runs next after an access to memory that tasks share, between two system calls too",
    TIMER: "how late the work is when a timer fires",
    FAULTS: "whether a call fails in a way that Linux permits: short transfers, EINTR, no memory or process",
}
"""What can be branched over, by the name under which it's chosen."""


def explored_machine(settings: Mapping[str, Any], kinds: Iterable[str], decider: Decider) -> Machine:
    """A machine with `settings` whose scheduler asks `decider` wherever it may matter; nothing is started.

    Raises what `Machine` raises.
    """
    machine = Machine(**{**settings, "decider": decider})
    kernel = machine.kernel
    kernel.scheduler = scheduler = ExploredScheduler(
        kernel,
        len(kernel.scheduler.processors),
        offers_timers=TIMER in kinds,
        has_faults=FAULTS in kinds,
    )
    if MEMORY in kinds:
        from procession.recording.shared_accesses import SharedAccesses

        machine.accesses = scheduler.accesses = SharedAccesses(machine, scheduler)
    return machine
