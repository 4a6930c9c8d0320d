"""The files of the memory controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EINVAL
from procession.abi.named_tuple import NamedTuple
from procession.fs.mounts.context import parse_size
from procession.hardware.kernel_memory import ABSENT_NAME, CGROUP, SOCKET_BUFFER, STACK_BYTES
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SIZE
from procession.kernel.cgroup.group import Controller
from procession.kernel.cgroup.memory import NO_LIMIT, MemoryCounter
from procession.kernel.cgroup.memory_event import EVENT_NAMES
from procession.kernel.oom import out_of_memory
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.time.costs import SEEN_FRAME_NS
from procession.procfs.cgroup.control_file import ControlFile, Opener, Show, Store, parse_integer, show_limit

if TYPE_CHECKING:
    from procession.kernel.cgroup.event_file import EventFile
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel

MEMORY = int(Controller.MEMORY)
_MOST_SWAPPINESS = 200


def _counter(group: Cgroup) -> MemoryCounter:
    assert group.memory is not None
    return group.memory


def parse_limit(data: bytes) -> int:
    """A number of bytes in whole pages, or `max`. Raises EINVAL. Linux: mm/page_counter.c,
    page_counter_memparse."""
    text = data.strip()
    if text == b"max":
        return NO_LIMIT
    number, rest = parse_size(text)
    if rest or not text:
        raise EINVAL("no size")
    return min(number // PAGE_SIZE * PAGE_SIZE, NO_LIMIT)


def _in_pages(size: int) -> int:
    """`size` bytes as Linux counts them, which charges whole pages."""
    return (size + PAGE_MASK) & ~PAGE_MASK


def show_current(group: Cgroup, opener: Opener) -> bytes:
    """memory.current; the root has no such file."""
    return b"%d\n" % _in_pages(_counter(group).usage)


def show_peak(group: Cgroup, opener: Opener) -> bytes:
    """memory.peak: since the group was made, or the open file was written to."""
    return b"%d\n" % _in_pages(_counter(group).shown_peak(opener.peak))


def store_peak(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Whatever is written lets this open file count anew."""
    _counter(group).reset_peak(opener.peak)


def _limit(name: str) -> tuple[Show, Store]:
    """How the limit that a counter has as `name` is shown and set."""

    def show(group: Cgroup, opener: Opener) -> bytes:
        return show_limit(getattr(_counter(group), name), NO_LIMIT)

    def store(group: Cgroup, data: bytes, opener: Opener) -> None:
        setattr(_counter(group), name, parse_limit(data))

    return show, store


def store_high(group: Cgroup, data: bytes, opener: Opener) -> None:
    """What is above it is let go at once, as far as it can be. Linux: mm/memcontrol.c, memory_high_write."""
    counter = _counter(group)
    counter.high = parse_limit(data)
    counter.reclaim_down_to(counter.high)


def store_maximum(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Below what is used, pages are let go, and then somebody is killed.

    Linux: mm/memcontrol.c, memory_max_write.
    """
    counter = _counter(group)
    counter.maximum = parse_limit(data)
    if counter.usage <= counter.maximum:
        return
    counter.reclaim_down_to(counter.maximum)
    if counter.usage > counter.maximum and not has_fatal_signal(opener.actor):
        kernel = opener.kernel
        kernel.memory.is_exhausted = True
        kernel.memory.exhausted_owner = counter
        out_of_memory(kernel)


def _show_events(counts: list[int]) -> bytes:
    return b"".join(b"%s %d\n" % pair for pair in zip(EVENT_NAMES, counts, strict=True))


def show_events(group: Cgroup, opener: Opener) -> bytes:
    """memory.events."""
    return _show_events(_counter(group).events)


def show_local_events(group: Cgroup, opener: Opener) -> bytes:
    """memory.events.local."""
    return _show_events(_counter(group).local_events)


def show_oom_group(group: Cgroup, opener: Opener) -> bytes:
    """memory.oom.group."""
    return b"%d\n" % _counter(group).kills_together


def store_oom_group(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: mm/memcontrol.c, memory_oom_group_write."""
    number = parse_integer(data)
    if number not in (0, 1):
        raise EINVAL("neither 0 nor 1")
    _counter(group).kills_together = bool(number)


def store_reclaim(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Let go of so many bytes of pages, whatever `swappiness=N` is. Raises EINVAL, EAGAIN if there are fewer.

    Linux: mm/memcontrol.c, memory_reclaim.
    """
    words = data.split()
    if not words:
        raise EINVAL("no size")
    number, rest = parse_size(words[0])
    if rest:
        raise EINVAL("no size")
    for word in words[1:]:
        name, _, value = word.partition(b"=")
        if name != b"swappiness" or not 0 <= parse_integer(value) <= _MOST_SWAPPINESS:
            raise EINVAL("no such option")
    wanted = number // PAGE_SIZE
    kernel = opener.kernel
    reclaimer = kernel.memory.reclaimer
    count = 0
    while count < wanted:
        if group.parent is None:
            more = 0 if reclaimer is None else reclaimer.reclaim(kernel.memory, wanted - count)
        else:
            # All at once would go far beyond it.
            more = _counter(group).reclaim_at_rest((wanted - count) // 4)
        if not more:
            raise EAGAIN("no more pages to let go")
        count += more


class MemoryStatistics(NamedTuple):
    """What a group and those below have now, in bytes, by what it is."""

    anonymous: int
    file: int
    shared: int
    tables: int
    kernel: int
    stacks: int
    buffers: int
    counters: int
    names: int
    scanned: int
    reclaimed: int
    minor_faults: int
    major_faults: int
    lazily_freed: int
    lazily_taken: int


def _statistics(kernel: Kernel, group: Cgroup) -> MemoryStatistics:
    """Tables are counted by looking at them, all else as it's charged."""
    memory = kernel.memory
    tasks = [task for each in group.subtree() for task in each.tasks]
    minor_faults = sum(task.times.minor_faults for task in tasks)
    major_faults = sum(task.times.major_faults for task in tasks)
    stacks = len(tasks) * STACK_BYTES
    tables = _table_frames(kernel)
    kernel.clock.spend(len(tables) * SEEN_FRAME_NS)
    if group.parent is None:
        file = len(memory.reclaimable) * PAGE_SIZE
        reclaimer = memory.reclaimer
        account = memory.account
        return MemoryStatistics(
            max(memory.used_frames - len(tables), 0) * PAGE_SIZE - file,
            file,
            0,
            len(tables) * PAGE_SIZE,
            account.used_bytes,
            stacks,
            account.kinds[SOCKET_BUFFER],
            account.kinds[CGROUP],
            account.kinds[ABSENT_NAME],
            0 if reclaimer is None else reclaimer.scanned_count,
            0 if reclaimer is None else reclaimer.reclaimed_count,
            minor_faults,
            major_faults,
            0 if reclaimer is None else reclaimer.lazily_freed_count,
            0 if reclaimer is None else reclaimer.lazily_taken_count,
        )
    counter = _counter(group)
    owners = memory.owners
    owned_tables = 0
    for frame in tables:
        owner = owners.get(frame)
        if isinstance(owner, MemoryCounter) and owner.is_below(counter):
            owned_tables += PAGE_SIZE
    file, shared = counter.file_count * PAGE_SIZE, counter.shared_count * PAGE_SIZE
    objects = counter.kernel_usage
    return MemoryStatistics(
        counter.usage - objects - file - shared - owned_tables,
        file,
        shared,
        owned_tables,
        objects,
        stacks,
        counter.kernel_kinds[SOCKET_BUFFER],
        counter.kernel_kinds[CGROUP],
        counter.kernel_kinds[ABSENT_NAME],
        counter.scanned_count,
        counter.reclaimed_count,
        counter.minor_faults + minor_faults,
        counter.major_faults + major_faults,
        counter.lazily_freed_count,
        counter.lazily_taken_count,
    )


def _table_frames(kernel: Kernel) -> set[int]:
    """The frames of all page tables: processes share some."""
    frames: set[int] = set()
    for mm in dict.fromkeys(task.mm for task in kernel.tasks if task.mm.reference_count > 0):
        tables = mm.tables
        frames.add(tables.root)
        frames.update(tables.upper.values(), tables.middle.values(), tables.leaves.values())
    return frames


def show_stat(group: Cgroup, opener: Opener) -> bytes:
    """memory.stat. There is no swap, and nothing is written back later: lines about these are of none.

    Of pages of files none is known to be more active than others before they are reclaimed.
    Linux: mm/memcontrol.c, memcg_stat_format.
    """
    now = _statistics(opener.kernel, group)
    objects = now.kernel - now.buffers
    slab = max(objects - now.stacks - now.counters, 0)
    rows = (
        (b"anon", now.anonymous),
        (b"file", now.file + now.shared),
        (b"kernel", objects + now.tables),
        (b"kernel_stack", now.stacks),
        (b"pagetables", now.tables),
        (b"sec_pagetables", 0),
        (b"percpu", now.counters),
        (b"sock", now.buffers),
        (b"vmalloc", 0),
        (b"shmem", now.shared),
        (b"file_dirty", 0),
        (b"file_writeback", 0),
        (b"swapcached", 0),
        (b"inactive_anon", now.anonymous + now.shared),
        (b"active_anon", 0),
        (b"inactive_file", now.file),
        (b"active_file", 0),
        (b"unevictable", 0),
        (b"slab_reclaimable", now.names),
        (b"slab_unreclaimable", slab - now.names),
        (b"slab", slab),
        (b"pgscan", now.scanned),
        (b"pgsteal", now.reclaimed),
        (b"pgfault", now.minor_faults + now.major_faults),
        (b"pgmajfault", now.major_faults),
        (b"pglazyfree", now.lazily_freed),
        (b"pglazyfreed", now.lazily_taken),
    )
    return b"".join(b"%s %d\n" % row for row in rows)


def show_numa_stat(group: Cgroup, opener: Opener) -> bytes:
    """memory.numa_stat: there is one node."""
    now = _statistics(opener.kernel, group)
    rows = (
        (b"anon", now.anonymous),
        (b"file", now.file + now.shared),
        (b"kernel_stack", now.stacks),
        (b"pagetables", now.tables),
        (b"shmem", now.shared),
        (b"inactive_anon", now.anonymous + now.shared),
        (b"active_anon", 0),
        (b"inactive_file", now.file),
        (b"active_file", 0),
    )
    return b"".join(b"%s N0=%d\n" % row for row in rows)


def show_no_swap(group: Cgroup, opener: Opener) -> bytes:
    """memory.swap.current and memory.swap.peak: there is no swap space."""
    return b"0\n"


def store_swap_peak(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Nothing is counted, from now on as before."""


def show_swap_events(group: Cgroup, opener: Opener) -> bytes:
    """memory.swap.events."""
    return b"high 0\nmax 0\nfail 0\n"


def _events_of(group: Cgroup) -> EventFile:
    return _counter(group).event_file


def _local_events_of(group: Cgroup) -> EventFile:
    return _counter(group).local_event_file


MEMORY_FILES: dict[bytes, ControlFile] = {
    b"memory.current": ControlFile(show_current, None, MEMORY),
    b"memory.peak": ControlFile(show_peak, store_peak, MEMORY),
    b"memory.min": ControlFile(*_limit("minimum"), MEMORY),
    b"memory.low": ControlFile(*_limit("low"), MEMORY),
    b"memory.high": ControlFile(_limit("high")[0], store_high, MEMORY),
    b"memory.max": ControlFile(_limit("maximum")[0], store_maximum, MEMORY),
    b"memory.events": ControlFile(show_events, None, MEMORY, event=_events_of),
    b"memory.events.local": ControlFile(show_local_events, None, MEMORY, event=_local_events_of),
    b"memory.stat": ControlFile(show_stat, None, MEMORY, is_on_root=True),
    b"memory.numa_stat": ControlFile(show_numa_stat, None, MEMORY, is_on_root=True),
    b"memory.oom.group": ControlFile(show_oom_group, store_oom_group, MEMORY, is_delegatable=True),
    b"memory.reclaim": ControlFile(None, store_reclaim, MEMORY, is_on_root=True, is_delegatable=True),
    b"memory.swap.current": ControlFile(show_no_swap, None, MEMORY),
    b"memory.swap.peak": ControlFile(show_no_swap, store_swap_peak, MEMORY),
    b"memory.swap.high": ControlFile(*_limit("swap_high"), MEMORY),
    b"memory.swap.max": ControlFile(*_limit("swap_maximum"), MEMORY),
    b"memory.swap.events": ControlFile(show_swap_events, None, MEMORY),
}
