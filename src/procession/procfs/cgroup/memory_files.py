"""The files of the memory controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EINVAL
from procession.fs.mounts.context import parse_size
from procession.hardware.kernel_memory import STACK_BYTES
from procession.hardware.physical_memory import PAGE_SIZE
from procession.kernel.cgroup.group import Controller
from procession.kernel.cgroup.memory import EVENT_NAMES, NO_LIMIT, MemoryCounter
from procession.kernel.oom import out_of_memory
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.time.costs import SEEN_FRAME_NS
from procession.procfs.cgroup.control_file import ControlFile, Opener, Show, Store, parse_integer, show_limit

if TYPE_CHECKING:
    from procession.kernel.cgroup.event_file import EventFile
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel

MEMORY = int(Controller.MEMORY)


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


def show_current(group: Cgroup, opener: Opener) -> bytes:
    """memory.current; the root has no such file."""
    return b"%d\n" % _counter(group).usage


def show_peak(group: Cgroup, opener: Opener) -> bytes:
    """memory.peak."""
    return b"%d\n" % _counter(group).peak


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
    if counter.usage > counter.high:
        counter.reclaim((counter.usage - counter.high) // PAGE_SIZE + 1)


def store_maximum(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Below what is used, pages are let go, and then somebody is killed.

    Linux: mm/memcontrol.c, memory_max_write.
    """
    counter = _counter(group)
    counter.maximum = parse_limit(data)
    if counter.usage <= counter.maximum:
        return
    counter.reclaim((counter.usage - counter.maximum) // PAGE_SIZE + 1)
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
    """Let go of so many bytes of pages. Raises EAGAIN if there are fewer.

    Linux: mm/memcontrol.c, memory_reclaim.
    """
    wanted = parse_limit(data) // PAGE_SIZE
    kernel = opener.kernel
    if group.parent is None:
        reclaimer = kernel.memory.reclaimer
        count = 0 if reclaimer is None else reclaimer.reclaim(kernel.memory, wanted)
    else:
        count = _counter(group).reclaim(wanted)
    if count < wanted:
        raise EAGAIN("no more pages to let go")


def _page_counts(kernel: Kernel, group: Cgroup) -> tuple[int, int]:
    """How many pages of files and how many others were taken by the group and those below."""
    memory = kernel.memory
    if group.parent is None:
        file = len(memory.reclaimable)
        return file, memory.used_frames - file
    counter = _counter(group)
    kernel.clock.spend(len(memory.owners) * SEEN_FRAME_NS)
    owned = [frame for frame, owner in memory.owners.items() if owner.is_below(counter)]
    file = sum(1 for frame in owned if frame in memory.reclaimable)
    return file, len(owned) - file


def show_stat(group: Cgroup, opener: Opener) -> bytes:
    """memory.stat, what of it is counted. Page tables and files in memory are among what is anonymous.

    Linux: mm/memcontrol.c, memcg_stat_format.
    """
    kernel = opener.kernel
    file, anonymous = _page_counts(kernel, group)
    tasks = [task for each in group.subtree() for task in each.tasks]
    kernel_bytes = kernel.memory.account.used_bytes if group.parent is None else _counter(group).kernel_usage
    reclaimed = 0 if group.parent is None else _counter(group).reclaimed_count
    rows = (
        (b"anon", anonymous * PAGE_SIZE),
        (b"file", file * PAGE_SIZE),
        (b"kernel", kernel_bytes),
        (b"kernel_stack", len(tasks) * STACK_BYTES),
        (b"slab", max(kernel_bytes - len(tasks) * STACK_BYTES, 0)),
        (b"pgfault", sum(task.times.minor_faults + task.times.major_faults for task in tasks)),
        (b"pgmajfault", sum(task.times.major_faults for task in tasks)),
        (b"pgsteal", reclaimed),
    )
    return b"".join(b"%s %d\n" % row for row in rows)


def show_numa_stat(group: Cgroup, opener: Opener) -> bytes:
    """memory.numa_stat: there is one node."""
    file, anonymous = _page_counts(opener.kernel, group)
    return b"anon N0=%d\nfile N0=%d\n" % (anonymous * PAGE_SIZE, file * PAGE_SIZE)


def show_no_swap(group: Cgroup, opener: Opener) -> bytes:
    """memory.swap.current and memory.swap.peak: there is no swap space."""
    return b"0\n"


def show_swap_events(group: Cgroup, opener: Opener) -> bytes:
    """memory.swap.events."""
    return b"high 0\nmax 0\nfail 0\n"


def _events_of(group: Cgroup) -> EventFile:
    return _counter(group).event_file


def _local_events_of(group: Cgroup) -> EventFile:
    return _counter(group).local_event_file


MEMORY_FILES: dict[bytes, ControlFile] = {
    b"memory.current": ControlFile(show_current, None, MEMORY),
    b"memory.peak": ControlFile(show_peak, None, MEMORY),
    b"memory.min": ControlFile(*_limit("minimum"), MEMORY),
    b"memory.low": ControlFile(*_limit("low"), MEMORY),
    b"memory.high": ControlFile(_limit("high")[0], store_high, MEMORY),
    b"memory.max": ControlFile(_limit("maximum")[0], store_maximum, MEMORY),
    b"memory.events": ControlFile(show_events, None, MEMORY, event=_events_of),
    b"memory.events.local": ControlFile(show_local_events, None, MEMORY, event=_local_events_of),
    b"memory.stat": ControlFile(show_stat, None, MEMORY, is_on_root=True),
    b"memory.numa_stat": ControlFile(show_numa_stat, None, MEMORY, is_on_root=True),
    b"memory.oom.group": ControlFile(show_oom_group, store_oom_group, MEMORY),
    b"memory.reclaim": ControlFile(None, store_reclaim, MEMORY, is_on_root=True),
    b"memory.swap.current": ControlFile(show_no_swap, None, MEMORY),
    b"memory.swap.peak": ControlFile(show_no_swap, None, MEMORY),
    b"memory.swap.high": ControlFile(*_limit("swap_high"), MEMORY),
    b"memory.swap.max": ControlFile(*_limit("swap_maximum"), MEMORY),
    b"memory.swap.events": ControlFile(show_swap_events, None, MEMORY),
}
