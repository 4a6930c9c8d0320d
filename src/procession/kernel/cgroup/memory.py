"""The memory controller: what the tasks of a control group have taken, and what becomes of too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from procession.hardware.kernel_memory import GROUP_BYTES, STACK_BYTES, TASK_BYTES
from procession.hardware.physical_memory import PAGE_SIZE, OutOfFrames
from procession.kernel.cgroup.event_file import EventFile
from procession.kernel.task import MEMORY_HIGH
from procession.kernel.task_state import ENDED, TaskState, set_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from procession.hardware.physical_memory import FrameOwner
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

NO_LIMIT = (1 << 63) - PAGE_SIZE
"""No limit, in bytes (Linux: include/linux/page_counter.h, PAGE_COUNTER_MAX)."""
EVENT_NAMES = (b"low", b"high", b"max", b"oom", b"oom_kill", b"oom_group_kill")
"""In the order of memory.events."""
LOW, HIGH, MAX, OOM, OOM_KILL, OOM_GROUP_KILL = range(len(EVENT_NAMES))

_BATCH = 64
"""A task that is over memory.high waits after so many pages (Linux: include/linux/memcontrol.h,
MEMCG_CHARGE_BATCH)."""
_HZ = 250
_JIFFY_NS = 10**9 // _HZ
_LONGEST_WAIT_NS = 2 * 10**9
_SHORTEST_WAIT_NS = 10**7
_FEWEST_TO_RECLAIM = 32
_WORKING_SET = 2048


class MemoryCounter:
    """What a group and those below have taken, in bytes.

    Linux: include/linux/memcontrol.h, struct mem_cgroup.

    `usage` is of frames and of the kernel's objects, of which `kernel_usage` are the latter. A frame is the
    group's whose task got it first, until it's free again, whoever uses it. `parent` is the counter of the
    next group above that has one. `events` and `local_events` count as EVENT_NAMES, here and below or here.
    """

    __slots__ = (
        "event_file",
        "events",
        "group",
        "high",
        "kernel",
        "kernel_usage",
        "kills_together",
        "local_event_file",
        "local_events",
        "low",
        "maximum",
        "minimum",
        "parent",
        "peak",
        "reclaimed_count",
        "swap_high",
        "swap_maximum",
        "usage",
    )

    def __init__(self, kernel: Kernel, group: Cgroup, parent: MemoryCounter | None) -> None:
        self.kernel = kernel
        self.group = group
        self.parent = parent
        self.usage = 0
        self.kernel_usage = 0
        self.peak = 0
        self.minimum = 0
        self.low = 0
        self.high = NO_LIMIT
        self.maximum = NO_LIMIT
        self.swap_high = NO_LIMIT
        self.swap_maximum = NO_LIMIT
        self.kills_together = False
        self.events = [0] * len(EVENT_NAMES)
        self.local_events = [0] * len(EVENT_NAMES)
        self.event_file = EventFile()
        self.local_event_file = EventFile()
        self.reclaimed_count = 0

    def chain(self) -> Iterator[MemoryCounter]:
        """This and those of the groups above."""
        counter: MemoryCounter | None = self
        while counter is not None:
            yield counter
            counter = counter.parent

    @property
    def is_protected(self) -> bool:
        """Whether memory.min or memory.low keeps what it has, from the top of the hierarchy down to it.

        With memory_recursiveprot, the protection of a group above is enough.
        Linux: mm/page_counter.c, effective_protection.
        """
        is_enough_above = self.kernel.cgroups.protects_recursively
        for counter in reversed(list(self.chain())):
            if counter.usage > max(counter.minimum, counter.low):
                return False
            if is_enough_above:
                return True
        return True

    @property
    def working_set(self) -> int:
        """How many pages of files it keeps at least, an eighth of its limit: what a few programs run from."""
        return min(self.maximum >> 15, _WORKING_SET)

    def is_below(self, other: FrameOwner) -> bool:
        """Whether `other` is this or one of a group above."""
        return any(counter is other for counter in self.chain())

    def note(self, event: int) -> None:
        """Linux: include/linux/memcontrol.h, memcg_memory_event."""
        self.local_events[event] += 1
        self.local_event_file.notify()
        for counter in self.chain():
            counter.events[event] += 1
            counter.event_file.notify()

    # Charging

    def charge(self, size: int) -> None:
        """`size` bytes more. Raises OutOfFrames, nothing charged.

        Linux: mm/memcontrol.c, try_charge_memcg.
        """
        counter: MemoryCounter | None = self
        while counter is not None:
            if counter.usage + size > counter.maximum and not counter._make_room(size):
                self._refuse(counter)
            counter = counter.parent
        self.charge_always(size)

    def charge_always(self, size: int) -> None:
        """`size` bytes more, whatever the limits are."""
        counter: MemoryCounter | None = self
        while counter is not None:
            usage = counter.usage = counter.usage + size
            counter.peak = max(counter.peak, usage)
            if usage > counter.high:
                counter._is_over_high()
            counter = counter.parent

    def uncharge(self, size: int) -> None:
        """`size` bytes less."""
        counter: MemoryCounter | None = self
        while counter is not None:
            counter.usage -= size
            counter = counter.parent

    def take_over(self, tasks: Iterable[Task]) -> None:
        """The counter is new, and its group has `tasks`: they have been charged to those above.

        They go along where they move, and are given back where they end; their pages stay.
        """
        self.usage = self.kernel_usage = self.peak = sum(map(task_bytes, tasks))

    def can_charge(self, size: int) -> bool:
        """Whether `size` bytes could be charged now, once pages are let go for it."""
        return all(
            counter.usage + size <= counter.maximum or counter._make_room(size) for counter in self.chain()
        )

    def charge_kernel(self, size: int) -> None:
        """Objects of the kernel take `size` bytes more. Raises OutOfFrames, nothing charged."""
        self.charge(size)
        for counter in self.chain():
            counter.kernel_usage += size

    def charge_kernel_always(self, size: int) -> None:
        """As `charge_kernel` for what can't fail."""
        self.charge_always(size)
        for counter in self.chain():
            counter.kernel_usage += size

    def uncharge_kernel(self, size: int) -> None:
        """Objects that a task of this group has forgotten took `size` bytes.

        Whoever made them may have been in another group, or this one had no counter yet: each gives back no
        more than it has.
        """
        counter: MemoryCounter | None = self
        while counter is not None:
            given_back = min(size, counter.kernel_usage)
            counter.usage -= given_back
            counter.kernel_usage -= given_back
            counter = counter.parent

    # When there is too much

    def _make_room(self, size: int) -> bool:
        """Let go of pages of files that this group and those below have; whether `size` bytes fit now."""
        self.note(MAX)
        self.reclaim(max(size // PAGE_SIZE, min(self.maximum >> 19, _WORKING_SET), _FEWEST_TO_RECLAIM))
        return self.usage + size <= self.maximum

    def reclaim(self, wanted: int) -> int:
        """Let go of about `wanted` pages of files that belong to this group; how many it were."""
        memory = self.kernel.memory
        if memory.reclaimer is None:
            return 0
        count = memory.reclaimer.reclaim(memory, wanted, self)
        self.reclaimed_count += count
        return count

    def _refuse(self, full: MemoryCounter) -> NoReturn:
        """There is no room in the group of `full`: its OOM killer is to act."""
        memory = self.kernel.memory
        memory.is_exhausted = True
        memory.exhausted_owner = full
        raise OutOfFrames

    def _is_over_high(self) -> None:
        """The running task is to wait before it goes on in user mode, once it has taken a batch more."""
        kernel = self.kernel
        kernel.pages_over_high += 1
        if kernel.pages_over_high >= _BATCH and kernel.current is not None:
            kernel.current.work |= MEMORY_HIGH

    def penalty_ns(self) -> int:
        """How long a task has to wait that has taken a batch of pages more.

        Linux: mm/memcontrol.c, calculate_high_delay.
        """
        if self.usage <= self.high:
            return 0
        overage = (self.usage - self.high << 20) // max(self.high, PAGE_SIZE)
        return (overage * overage * _HZ >> 34) * _JIFFY_NS


def task_bytes(task: Task) -> int:
    """What is charged for `task` itself: less for one that has ended and is to be reaped."""
    size = TASK_BYTES + GROUP_BYTES if task.is_leader else TASK_BYTES
    return size - STACK_BYTES if task.state in ENDED else size


def throttle_over_high(kernel: Kernel, task: Task) -> None:
    """The running task's group is over memory.high: pages are let go, and the task waits if that's too few.

    Linux: mm/memcontrol.c, mem_cgroup_handle_over_high.
    """
    task.work &= ~MEMORY_HIGH
    pages, kernel.pages_over_high = kernel.pages_over_high, 0
    own = task.cgroup.memory
    if own is None:
        return
    penalty_ns = 0
    for counter in own.chain():
        if counter.usage > counter.high:
            counter.note(HIGH)
            counter.reclaim(max((counter.usage - counter.high) // PAGE_SIZE, _FEWEST_TO_RECLAIM))
            penalty_ns = max(penalty_ns, counter.penalty_ns())
    penalty_ns = min(penalty_ns * pages // _BATCH, _LONGEST_WAIT_NS)
    if penalty_ns > _SHORTEST_WAIT_NS:
        until_ns = kernel.clock.now_ns + penalty_ns
        if kernel.pressure is not None:
            kernel.pressure.waits_for_memory(task, until_ns)
        task.sleep_timer = kernel.timers.add(until_ns, "wake", task)
        set_state(task, TaskState.KILLABLE)
