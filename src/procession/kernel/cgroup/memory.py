"""The memory controller: what the tasks of a control group have taken, and what becomes of too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from procession.abi.duration import HZ, TICK_NS
from procession.hardware.kernel_memory import GROUP_BYTES, KIND_NAMES, SIGNAL, STACK_BYTES, TASK, TASK_BYTES
from procession.hardware.physical_memory import PAGE_SIZE, OutOfFrames
from procession.kernel.cgroup.event_file import EventFile
from procession.kernel.cgroup.memory_event import EVENT_NAMES, HIGH, MAX
from procession.kernel.cgroup.memory_reclaim import FEWEST_TO_RECLAIM, reclaim_pages, take_lazily_freed_below
from procession.kernel.task import MEMORY_HIGH
from procession.kernel.task_state import ENDED, TaskState, set_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

NO_LIMIT = (1 << 63) - PAGE_SIZE
"""No limit, in bytes (Linux: include/linux/page_counter.h, PAGE_COUNTER_MAX)."""
_BATCH = 64
"""A task that is over memory.high waits after so many pages (Linux: include/linux/memcontrol.h,
MEMCG_CHARGE_BATCH)."""
_LONGEST_WAIT_NS = 2 * 10**9
_SHORTEST_WAIT_NS = 10**7
_PASSED_ON = (SIGNAL,)
"""What one task makes and another takes is charged to no group."""
_WORKING_SET = 2048
_MOST_TRIES = 16
"""How often reclaim is tried before a charge fails (Linux: mm/internal.h, MAX_RECLAIM_RETRIES)."""


class PeakWatch:
    """An open memory.peak: `value` is the most that was used since it was written to, None before, in bytes.

    Linux: include/linux/cgroup-defs.h, struct cgroup_of_peak.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: int | None = None


class MemoryCounter:
    """What a group and those below have taken, in bytes.

    Linux: include/linux/memcontrol.h, struct mem_cgroup.

    `usage` is of frames and of the kernel's objects; of these `kernel_kinds` has the bytes by kind.
    A frame is the group's whose task got it first, until it's free again, whoever uses it. Of the frames
    `file_count` and `shared_count` hold pages of files on a disk, and of files that are in memory alone.
    `files` are this very group's of the first sort, each with its page cache, those that are to be let
    go first in front; `shared` those of the second. `parent` is the counter of the next group above
    that has one, `children` are those below; who `is_offline` counts for a group that is no more, while pages
    are charged to it. `effective_minimum` and `effective_low` are what is protected of it as found last.
    `events` and `local_events` count as EVENT_NAMES, here and below or here. `minor_faults` and
    `major_faults` are of tasks that have left, here and below. `local_peak` is the most that was used since a
    file of `peak_watches` was written to last. So many pages, here and below, were freed lazily, and
    taken since (`lazily_freed_count`, `lazily_taken_count`).
    """

    __slots__ = (
        "children",
        "effective_low",
        "effective_minimum",
        "event_file",
        "events",
        "file_count",
        "files",
        "group",
        "high",
        "is_offline",
        "kernel",
        "kernel_kinds",
        "kills_together",
        "lazily_freed_count",
        "lazily_taken_count",
        "local_event_file",
        "local_events",
        "local_peak",
        "low",
        "major_faults",
        "maximum",
        "minimum",
        "minor_faults",
        "parent",
        "peak",
        "peak_watches",
        "reclaimed_count",
        "scanned_count",
        "shared",
        "shared_count",
        "swap_high",
        "swap_maximum",
        "usage",
    )

    def __init__(self, kernel: Kernel, group: Cgroup, parent: MemoryCounter | None) -> None:
        self.kernel = kernel
        self.group = group
        self.parent = parent
        self.children: dict[MemoryCounter, None] = {}
        self.is_offline = False
        self.usage = 0
        self.kernel_kinds = [0] * len(KIND_NAMES)
        self.file_count = 0
        self.files: dict[int, object] = {}
        self.shared_count = 0
        self.shared: dict[int, None] = {}
        self.peak = 0
        self.local_peak = 0
        self.peak_watches: dict[PeakWatch, None] = {}
        self.minimum = 0
        self.low = 0
        self.effective_minimum = 0
        self.effective_low = 0
        self.high = NO_LIMIT
        self.maximum = NO_LIMIT
        self.swap_high = NO_LIMIT
        self.swap_maximum = NO_LIMIT
        self.kills_together = False
        self.events = [0] * len(EVENT_NAMES)
        self.local_events = [0] * len(EVENT_NAMES)
        self.event_file = EventFile()
        self.local_event_file = EventFile()
        self.minor_faults = 0
        self.major_faults = 0
        self.reclaimed_count = 0
        self.scanned_count = 0
        self.lazily_freed_count = 0
        self.lazily_taken_count = 0
        if parent is not None:
            parent.forget_empty()
            parent.children[self] = None

    def chain(self) -> Iterator[MemoryCounter]:
        """This and those of the groups above."""
        counter: MemoryCounter | None = self
        while counter is not None:
            yield counter
            counter = counter.parent

    @property
    def kernel_usage(self) -> int:
        """What the kernel's objects take, in bytes."""
        return sum(self.kernel_kinds)

    def go_offline(self) -> None:
        """The group is no more, or has no counter of its own from now on; what it has is those' above.

        Linux: mm/memcontrol.c, mem_cgroup_css_offline.
        """
        accounts = self.kernel.vfs.accounts
        names = accounts.owned_absent.get(self)
        if names is not None:
            accounts.forget_absent_of(self, names.count)
        self.is_offline = True
        self.minimum = self.low = 0
        self.usage -= self.kernel_usage
        self.kernel_kinds = [0] * len(KIND_NAMES)
        if self.usage:
            self.kernel.cgroups.offline[self] = None
        if self.parent is not None:
            self.parent.forget_empty()

    def forget_empty(self) -> None:
        """Forget those of groups that are no more to which nothing is charged."""
        for child in [child for child in self.children if child.is_offline]:
            child.forget_empty()
            if not child.usage and not child.children:
                del self.children[child]

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

    def is_below(self, other: MemoryCounter) -> bool:
        """Whether `other` is this or one of a group above."""
        return any(counter is other for counter in self.chain())

    def with_all_below(self) -> list[MemoryCounter]:
        """This and those of all groups below."""
        found = [self]
        for counter in found:
            found += counter.children
        return found

    def note(self, event: int) -> None:
        """Linux: include/linux/memcontrol.h, memcg_memory_event."""
        self.local_events[event] += 1
        self.local_event_file.notify()
        for counter in self.chain():
            counter.events[event] += 1
            counter.event_file.notify()
            if self.kernel.cgroups.has_local_memory_events:
                break

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
            if usage > counter.peak:
                counter.peak = counter.local_peak = usage
            elif usage > counter.local_peak:
                counter.local_peak = usage
            if usage > counter.high:
                counter._is_over_high()
            counter = counter.parent

    def uncharge(self, size: int) -> None:
        """`size` bytes less."""
        counter: MemoryCounter | None = self
        while counter is not None:
            counter.usage -= size
            counter = counter.parent

    def note_file(self, frame: int, pages: object) -> None:
        """`frame`, which has been charged, is one of `pages`, the page cache of a file on a disk."""
        self.files[frame] = pages
        counter: MemoryCounter | None = self
        while counter is not None:
            counter.file_count += 1
            counter = counter.parent

    def note_shared_memory(self, frame: int) -> None:
        """`frame`, which has been charged, holds a page of a file in memory alone."""
        self.shared[frame] = None
        counter: MemoryCounter | None = self
        while counter is not None:
            counter.shared_count += 1
            counter = counter.parent

    def uncharge_frame(self, frame: int) -> None:
        """`frame` isn't this group's any more. Linux: mm/memcontrol.c, uncharge_folio."""
        is_file = self.files.pop(frame, None) is not None
        is_shared = not is_file and frame in self.shared
        if is_shared:
            del self.shared[frame]
        counter: MemoryCounter | None = self
        while counter is not None:
            counter.usage -= PAGE_SIZE
            if is_file:
                counter.file_count -= 1
            elif is_shared:
                counter.shared_count -= 1
            counter = counter.parent

    def take_over(self, tasks: Iterable[Task]) -> None:
        """The counter is new, and its group has `tasks`: they have been charged to those above.

        They go along where they move, and are given back where they end; their pages stay.
        """
        self.usage = self.kernel_kinds[TASK] = self.peak = self.local_peak = sum(map(task_bytes, tasks))

    def can_charge(self, size: int) -> bool:
        """Whether `size` bytes could be charged now, once pages are let go for it."""
        return all(
            counter.usage + size <= counter.maximum or counter._make_room(size) for counter in self.chain()
        )

    def charge_kernel(self, kind: int, size: int) -> None:
        """Objects of the kernel take `size` bytes more. Raises OutOfFrames, nothing charged."""
        if kind in _PASSED_ON:
            return
        self.charge(size)
        for counter in self.chain():
            counter.kernel_kinds[kind] += size

    def charge_kernel_always(self, kind: int, size: int) -> None:
        """As `charge_kernel` for what can't fail."""
        if kind in _PASSED_ON:
            return
        self.charge_always(size)
        for counter in self.chain():
            counter.kernel_kinds[kind] += size

    def uncharge_kernel(self, kind: int, size: int) -> None:
        """Objects that a task of this group has forgotten took `size` bytes.

        Whoever made them may have been in another group, or this one had no counter yet: each gives back no
        more than it has.
        """
        counter: MemoryCounter | None = self
        while counter is not None:
            given_back = min(size, counter.kernel_kinds[kind])
            counter.usage -= given_back
            counter.kernel_kinds[kind] -= given_back
            counter = counter.parent

    def count_faults(self, task: Task, sign: int) -> None:
        """`task` leaves with the faults that it has had (`sign` 1), or comes with them (-1)."""
        for counter in self.chain():
            counter.minor_faults += sign * task.times.minor_faults
            counter.major_faults += sign * task.times.major_faults

    # When there is too much

    def _make_room(self, size: int) -> bool:
        """Let go of pages of files that this group and those below have; whether `size` bytes fit now.

        Linux: mm/memcontrol.c, try_charge_memcg.
        """
        for _ in range(_MOST_TRIES):
            self.note(MAX)
            count = self.reclaim(max(size // PAGE_SIZE, min(self.maximum >> 19, _WORKING_SET)))
            if self.usage + size <= self.maximum:
                return True
            if not count:
                break
        return False

    def reclaim(self, wanted: int) -> int:
        """Let go of about `wanted` pages of files that belong to this group; how many it were."""
        return reclaim_pages(self, wanted)

    def reclaim_at_rest(self, wanted: int) -> int:
        """As `reclaim`, while nobody is in the middle of work on an address space: what programs have freed
        lazily goes first.
        """
        wanted = max(wanted, FEWEST_TO_RECLAIM)
        taken = take_lazily_freed_below(self, wanted)
        return taken + (self.reclaim(wanted - taken) if taken < wanted else 0)

    def reclaim_down_to(self, limit: int) -> None:
        """Let go of pages until `limit` bytes are used, or there are no more to let go."""
        while self.usage > limit and self.reclaim((self.usage - limit + PAGE_SIZE - 1) // PAGE_SIZE):
            pass

    def note_reclaimed(self, scanned_count: int, reclaimed_count: int) -> None:
        """So many pages of this group were looked at, and so many of them let go."""
        for counter in self.chain():
            counter.scanned_count += scanned_count
            counter.reclaimed_count += reclaimed_count

    def note_lazy(self, freed: int, taken: int) -> None:
        """So many pages of this group were freed lazily, and so many of such taken."""
        for counter in self.chain():
            counter.lazily_freed_count += freed
            counter.lazily_taken_count += taken

    # The most that was used

    def shown_peak(self, watch: PeakWatch) -> int:
        """What an open memory.peak says, in bytes. Linux: mm/memcontrol.c, peak_show."""
        return self.peak if watch.value is None else max(watch.value, self.local_peak)

    def reset_peak(self, watch: PeakWatch) -> None:
        """An open memory.peak counts anew from now on. Linux: mm/memcontrol.c, peak_write."""
        self.local_peak = self.usage
        for other in self.peak_watches:
            if other.value is not None:
                other.value = max(other.value, self.usage)
        self.peak_watches[watch] = None
        watch.value = self.usage

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
        return (overage * overage * HZ >> 34) * TICK_NS


def task_bytes(task: Task) -> int:
    """What is charged for `task` itself: less for one that has ended and is to be reaped."""
    size = TASK_BYTES + GROUP_BYTES if task.is_leader else TASK_BYTES
    return size - STACK_BYTES if task.state in ENDED else size


def throttle_over_high(kernel: Kernel, task: Task) -> None:
    """The running task's group is over memory.high: pages are let go, and it waits if that's too few."""
    penalty_ns = high_delay_ns(kernel, task)
    if penalty_ns:
        task.sleep_timer = kernel.timers.add(kernel.clock.now_ns + penalty_ns, "wake", task)
        set_state(task, TaskState.KILLABLE)


def high_delay_ns(kernel: Kernel, task: Task) -> int:
    """How long the running task has to wait as its group is over memory.high, after pages were let go.

    Linux: mm/memcontrol.c, mem_cgroup_handle_over_high.
    """
    task.work &= ~MEMORY_HIGH
    pages, kernel.pages_over_high = kernel.pages_over_high, 0
    own = task.cgroup.memory
    if own is None:
        return 0
    penalty_ns = 0
    for counter in own.chain():
        if counter.usage > counter.high:
            counter.note(HIGH)
            counter.reclaim_at_rest((counter.usage - counter.high) // PAGE_SIZE)
            penalty_ns = max(penalty_ns, counter.penalty_ns())
    penalty_ns = min(penalty_ns * pages // _BATCH, _LONGEST_WAIT_NS)
    if penalty_ns <= _SHORTEST_WAIT_NS:
        return 0
    if kernel.pressure is not None:
        kernel.pressure.waits_for_memory(task, kernel.clock.now_ns + penalty_ns)
    return penalty_ns
