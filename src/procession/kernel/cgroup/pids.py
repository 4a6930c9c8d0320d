"""The pids controller: how many tasks there may be in a control group and below."""

from __future__ import annotations

from procession.abi.errno import EAGAIN
from procession.kernel.cgroup.event_file import EventFile

MAXIMUM = (1 << 22) + 1
"""No limit (Linux: kernel/cgroup/pids.c, PIDS_MAX)."""


class PidsCounter:
    """The tasks of a group and those below, zombies included.

    Linux: kernel/cgroup/pids.c, struct pids_cgroup.

    `parent` is the counter of the next group above that has one. `failures` are the forks that failed for a
    limit of this group or one below, `local_failures` those for this very group's, and `refused` the forks of
    the group's own tasks that failed for whichever limit.
    """

    __slots__ = (
        "count",
        "events",
        "failures",
        "limit",
        "local_events",
        "local_failures",
        "parent",
        "peak",
        "refused",
    )

    def __init__(self, parent: PidsCounter | None) -> None:
        self.parent = parent
        self.limit = MAXIMUM
        self.count = 0
        self.peak = 0
        self.failures = 0
        self.local_failures = 0
        self.refused = 0
        self.events = EventFile()
        self.local_events = EventFile()

    def charge(self) -> None:
        """One more task, whatever the limits are. Linux: kernel/cgroup/pids.c, pids_charge."""
        counter: PidsCounter | None = self
        while counter is not None:
            counter.count += 1
            counter.peak = max(counter.peak, counter.count)
            counter = counter.parent

    def uncharge(self) -> None:
        """One task less. Linux: kernel/cgroup/pids.c, pids_uncharge."""
        counter: PidsCounter | None = self
        while counter is not None:
            counter.count -= 1
            counter = counter.parent


def check_limits(own: PidsCounter, *, has_local_events: bool) -> None:
    """Raise EAGAIN if there can't be one task more in the group of `own`.

    Linux: kernel/cgroup/pids.c, pids_can_fork.
    """
    counter: PidsCounter | None = own
    while counter is not None:
        if counter.count >= counter.limit:
            _note_failure(own, counter, has_local_events)
            raise EAGAIN("pids.max")
        counter = counter.parent


def _note_failure(own: PidsCounter, over: PidsCounter, has_local_events: bool) -> None:
    """A fork has failed for the limit of `over`. Linux: kernel/cgroup/pids.c, pids_event."""
    own.refused += 1
    if has_local_events:
        own.local_events.notify()
        return
    over.local_failures += 1
    over.local_events.notify()
    counter: PidsCounter | None = over
    while counter is not None:
        counter.failures += 1
        counter.events.notify()
        counter = counter.parent
