"""Reclaim in a control group: which groups below give how many pages, and what of theirs is protected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.physical_memory import PAGE_SHIFT
from procession.kernel.cgroup.memory_event import LOW
from procession.kernel.time.costs import SEEN_FRAME_NS
from procession.mm.reclaim import GroupWork, PageReclaimer, pages_to_look_at, take_lazily_freed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.kernel.cgroup.memory import MemoryCounter

FEWEST_TO_RECLAIM = 32
"""So many pages are looked for at least (Linux: include/linux/swap.h, SWAP_CLUSTER_MAX)."""
_FIRST_PRIORITY = 12
"""Of each list so small a part, as a power of two, is looked at first (Linux: include/linux/mmzone.h,
DEF_PRIORITY)."""


def reclaim_pages(target: MemoryCounter, wanted: int) -> int:
    """Let go of about `wanted` pages of `target` and those below, and of absent names; how many it were.

    First what memory.low doesn't protect, then that too. The protection of `target` itself is no concern of
    those who reclaim in it. Linux: mm/vmscan.c, do_try_to_free_pages.
    """
    memory = target.kernel.memory
    reclaimer = memory.reclaimer
    if not isinstance(reclaimer, PageReclaimer):
        return 0
    wanted = max(wanted, FEWEST_TO_RECLAIM)
    members = list(subtree(target))
    work = GroupWork(sum(len(each.files) for each in members) - target.working_set)
    accounts = target.kernel.vfs.accounts
    reclaimed = freed_bytes = 0
    for may_take_low in (False, True):
        has_spared = False
        for priority in range(_FIRST_PRIORITY, -1, -1):
            for counter in members:
                names = accounts.owned_absent.get(counter)
                if names is not None:
                    freed_bytes += accounts.forget_absent_of(counter, names.count >> priority)
                if not counter.files:
                    continue
                calculate_protection(target, counter)
                count, spared = _scan_count(target, counter, priority, may_take_low=may_take_low)
                has_spared = has_spared or spared
                if count:
                    work.scanned = 0
                    less = reclaimer.shrink(memory, counter.files, min(count, wanted), work)
                    counter.note_reclaimed(work.scanned, less)
                    reclaimed += less
            if reclaimed + (freed_bytes >> PAGE_SHIFT) >= wanted:
                break
        if reclaimed or freed_bytes or not has_spared:
            break
    return reclaimed + (freed_bytes >> PAGE_SHIFT)


def take_lazily_freed_below(target: MemoryCounter, wanted: int) -> int:
    """Take about `wanted` pages of `target` and those below that programs have freed lazily, but nothing of
    groups that memory.min or memory.low protect; how many it were.

    Not in the middle of work on an address space. In Linux they are among the pages of files (mm/swap.c,
    lru_lazyfree).
    """
    kernel = target.kernel
    looked_at = pages_to_look_at(kernel.memory)
    taken = 0
    if not looked_at:
        return 0
    for counter in subtree(target):
        calculate_protection(target, counter)
        protected = max(counter.effective_minimum, counter.effective_low)
        if taken >= wanted or (counter is not target and protected and protected >= counter.usage):
            continue
        kernel.clock.spend(looked_at * SEEN_FRAME_NS)
        count = take_lazily_freed(kernel.memory, frozenset((counter,)), wanted - taken)
        counter.note_reclaimed(count, count)
        taken += count
    return taken


def subtree(target: MemoryCounter) -> Iterator[MemoryCounter]:
    """`target` and those below it, parents first; those of removed groups too, while they have pages."""
    waiting = [target]
    while waiting:
        counter = waiting.pop()
        yield counter
        counter.forget_empty()
        waiting.extend(counter.children)


def _scan_count(
    target: MemoryCounter, counter: MemoryCounter, priority: int, *, may_take_low: bool
) -> tuple[int, bool]:
    """How many pages of `counter` are looked at now, and whether memory.low spares others.

    Linux: mm/vmscan.c, shrink_node_memcgs, get_scan_count.
    """
    size = len(counter.files)
    if counter is target:
        return size >> priority, False
    usage, minimum, low = counter.usage, counter.effective_minimum, counter.effective_low
    if minimum >= usage:
        return 0, False
    if low >= usage:
        if not may_take_low:
            return 0, True
        counter.note(LOW)
    has_spared = not may_take_low and low > minimum
    protection = low if has_spared else minimum
    if protection:
        usage = max(usage, protection)
        size = max(size - size * protection // (usage + 1), FEWEST_TO_RECLAIM)
    return size >> priority or (FEWEST_TO_RECLAIM if counter.is_offline else 0), has_spared


def calculate_protection(target: MemoryCounter, counter: MemoryCounter) -> None:
    """Set what is protected of `counter` while pages of `target`, above it, are reclaimed, in bytes.

    Those between the two have theirs already. Linux: mm/page_counter.c, page_counter_calculate_protection.
    """
    parent = counter.parent
    if counter is target or not counter.usage or parent is None:
        return
    if parent is target:
        counter.effective_minimum = counter.minimum
        counter.effective_low = counter.low
        return
    if not parent.files:
        # It was passed over, as there is nothing to take from it.
        calculate_protection(target, parent)
    minimums = [min(each.usage, each.minimum) for each in parent.children]
    counter.effective_minimum = _effective_protection(
        counter, parent, counter.minimum, parent.effective_minimum, sum(minimums)
    )
    lows = [min(each.usage, each.low) for each in parent.children]
    counter.effective_low = _effective_protection(
        counter, parent, counter.low, parent.effective_low, sum(lows)
    )


def _effective_protection(
    counter: MemoryCounter,
    parent: MemoryCounter,
    setting: int,
    parent_effective: int,
    claimed: int,
) -> int:
    """A group's part of what is protected above it, in bytes: no more than it uses and asks for, unless what
    is claimed, by its siblings too, leaves something. Linux: mm/page_counter.c, effective_protection.
    """
    protected = min(counter.usage, setting)
    if claimed > parent_effective:
        return protected * parent_effective // claimed
    if (
        counter.kernel.cgroups.protects_recursively
        and parent_effective > claimed
        and parent.usage > claimed
        and counter.usage > protected
    ):
        unclaimed = parent_effective - claimed
        return protected + unclaimed * (counter.usage - protected) // (parent.usage - claimed)
    return protected
