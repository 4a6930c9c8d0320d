"""Counts who holds which page frame of a machine, and says where the kernel's own books differ."""

from __future__ import annotations

import gc
from collections import Counter

from procession import Machine
from procession.fs.pipe_buffer import Pipe
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, ZERO_FRAME, PhysicalMemory
from procession.mm.address_space import MemoryDescriptor
from procession.mm.page_cache import PageCache
from procession.mm.page_tables import PageTables


class MemoryAudit:
    """What holds the frames of one machine between two steps.

    `holders` counts the references that there ought to be to each frame, `problems` says in words what is
    wrong. The page caches are found among all objects of this process: a file's can hang on a mapping or on
    an open file alone. So are pipes, which hold pages that are others' too.
    """

    def __init__(self, machine: Machine) -> None:
        self.memory: PhysicalMemory = machine.memory
        self.holders: Counter[int] = Counter()
        self.problems: list[str] = []
        tasks = machine.kernel.tasks
        self.spaces: list[MemoryDescriptor] = list(
            {id(task.mm): task.mm for task in tasks if task.mm.reference_count > 0}.values()
        )
        self.in_pipes: Counter[int] = Counter()
        self.caches: list[PageCache] = []
        for thing in gc.get_objects():
            if isinstance(thing, PageCache) and thing.memory is self.memory:
                self.caches.append(thing)
            elif isinstance(thing, Pipe) and thing.accounts.frames is self.memory:
                self.in_pipes.update(thing.borrowed.values())
        self.holders.update(self.in_pipes)
        self.cached: set[int] = set()
        for cache in self.caches:
            self._count_cache(cache)
        for space in self.spaces:
            self._count_tables(space.tables)
        self._count_leaves()
        self._compare()

    def _count_cache(self, cache: PageCache) -> None:
        held = [*cache.frames.values(), *cache.orphans]
        self.holders.update(held)
        self.cached.update(held)
        if cache.orphans and not cache.area_count:
            self.problems.append(f"{cache!r} keeps what nobody maps")
        for (first, count, bits), run in cache.entry_runs.items():
            if run.frame_count != len(cache.frames):
                continue
            pages = (cache.frames.get(index) for index in range(first, first + count))
            entries = [0 if frame is None else frame << PAGE_SHIFT | bits for frame in pages]
            if run.entries != b"".join(entry.to_bytes(8, "little") for entry in entries):
                self.problems.append(f"a run of {count} entries from page {first} on is of another time")

    def _count_tables(self, tables: PageTables) -> None:
        self.holders.update([tables.root, *tables.upper.values(), *tables.middle.values()])
        words = self.memory.words
        for region, leaf in tables.leaves.items():
            entry = words[(tables.middle[region >> 9] << 9) + (region & 511)]
            if (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT != leaf:
                self.problems.append(f"region {region:#x} has leaf {leaf}, but its table leads elsewhere")
            if entry & pte.WRITABLE and self.memory.references[leaf] > 1:
                self.problems.append(
                    f"leaf {leaf} of region {region:#x} is shared, but can be written through"
                )
        self.holders.update(tables.leaves.values())

    def _count_leaves(self) -> None:
        words, cached = self.memory.words, self.cached
        leaves = {leaf: region for space in self.spaces for region, leaf in space.tables.leaves.items()}
        writers: Counter[int] = Counter()
        if set(leaves) != set(self.memory.counted):
            self.problems.append("the tables that are kept and those that exist differ")
        for leaf, region in leaves.items():
            counted = self.memory.counted.get(leaf, {})
            for index, entry in enumerate(words[leaf << 9 : (leaf + 1) << 9].tolist()):
                if index in counted and (not entry or entry & pte.CACHED):
                    self.problems.append(f"page {region << 9 | index:#x} is counted, but not private")
                if not entry:
                    continue
                frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
                where = f"frame {frame}, mapped at {(region << 9 | index) << PAGE_SHIFT:#x},"
                if frame == ZERO_FRAME:
                    if entry & pte.WRITABLE or not entry & pte.CACHED:
                        self.problems.append(f"{where} is the page of zeros, and can be written or freed")
                elif entry & pte.CACHED:
                    if frame not in cached:
                        self.problems.append(f"{where} is in no page cache")
                    if entry & pte.WRITABLE and not entry & pte.SHARED:
                        self.problems.append(f"{where} is a file's page that can be written privately")
                else:
                    self.holders[frame] += 1
                    if index not in counted:
                        self.problems.append(f"{where} isn't counted in its table")
                    if entry & pte.WRITABLE:
                        writers[frame] += 1
                if not entry & pte.NO_EXECUTE and frame not in self.memory.executable:
                    self.problems.append(f"{where} is executable, but isn't remembered so")
        for frame in writers:
            if self.holders[frame] - self.in_pipes[frame] > 1:
                self.problems.append(f"frame {frame} can be written to and has {self.holders[frame]} holders")

    def _compare(self) -> None:
        memory = self.memory
        free = [*memory.free, *memory.free_executable]
        if len(free) != len(set(free)):
            self.problems.append("a frame is free twice")
        for frame in set(free) & set(self.holders):
            self.problems.append(f"frame {frame} is free and has {self.holders[frame]} holders")
        for frame in set(memory.free) & memory.executable:
            self.problems.append(f"frame {frame} may hold code and waits for other use")
        for frame in range(1, memory.next_fresh):
            count, expected = memory.references[frame], self.holders[frame]
            if count != expected:
                self.problems.append(f"frame {frame} has {expected} holders, but counts {count}")


def audit(machine: Machine) -> list[str]:
    """Return what is wrong with the frames of a machine that isn't running, at most 20 findings."""
    return MemoryAudit(machine).problems[:20]
