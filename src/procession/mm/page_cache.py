"""The pages of one file in memory: filled from what backs the file at first use, shared by all who map it."""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

from procession.abi.word import pack_array
from procession.hardware import page_table as pte
from procession.hardware.kernel_memory import AREA, AREA_BYTES
from procession.hardware.physical_memory import (
    PAGE_MASK,
    PAGE_SHIFT,
    PAGE_SIZE,
    OutOfFrames,
    PhysicalMemory,
)
from procession.mm.policy import SharedPolicies

_MANY_PAGES: Final = 4
"""From how many pages on they are charged one by one: with fewer the call's own price is that."""
_MOST_AT_ONCE: Final = 512
"""How many pages of zeros are added at a time."""
_SPARE_SHIFT: Final = 3
"""Where less than one in 1 << that of the machine's frames is free, they're taken one at a time."""
_READ_AT_ONCE: Final = 32
"""So many pages of a file are read for a control group before it's looked again whether it may have more."""
_FEW_AREAS, _AREAS_AS_A_CHANGE = 1024, 32
"""So many are looked at in the time of the call; and from there on so many in that of one changed entry."""
MAXIMUM_PAGES: Final = 1 << 52
"""No file has a page of this index."""


class FileSystemFull(OutOfFrames):
    """There are frames, but the file's file system may take no more of them."""


class Backing(Protocol):
    """Where the pages of a file come from that aren't in memory yet."""

    def read_page(self, index: int) -> bytes:
        """The bytes of page `index` (from offset index * 4096), at most 4,096; fewer at the file's end."""

    def read_pages(self, first: int, count: int) -> bytes:
        """The bytes of `count` pages from page `first` on; fewer at the file's end."""

    def has_page(self, index: int) -> bool:
        """Whether page `index` comes from here; what lies beyond is zeros."""

    @property
    def page_count(self) -> int:
        """How many pages, from the first on, come from here."""


def write_back(caches: dict[PageCache, int]) -> None:
    """Files of so many bytes each are synced: what is mapped is clean now, and its next write is noticed.

    All at once, as each address space is gone through for it. Linux: mm/page-writeback.c,
    folio_clear_dirty_for_io.
    """
    for cache, size in caches.items():
        cache.cut_tail(size)
    for cache in caches:
        _note_search(cache.memory)
        for space in cache.memory.address_spaces:
            space.protect_shared_pages(caches)
        break


def _note_search(memory: PhysicalMemory) -> None:
    """Every area of every address space is looked at, where Linux has a tree of those that map a file."""
    count = sum(space.area_count for space in memory.address_spaces)
    if count > _FEW_AREAS:
        memory.note_changed(count // _AREAS_AS_A_CHANGE)


_MOST_RUNS: Final = 64
"""A program may map a file's pages in as many ways as it likes; those of most are few."""


class EntryRun:
    """Page table entries for pages in a row: `entries` as bytes, of which `present_count` aren't 0.

    `frame_count` is how many frames the cache had then; it never shrinks without forgetting its runs.
    """

    __slots__ = ("entries", "frame_count", "present_count")

    def __init__(self, entries: list[int], frame_count: int) -> None:
        self.entries = pack_array("Q", entries)
        self.present_count = sum(map(bool, entries))
        self.frame_count = frame_count


class PageCache:
    """The frames that hold a file's contents, by page index (Linux: include/linux/fs.h, struct
    address_space).

    It belongs to the inode, never to an open file, so that every mapping and every read sees the same
    bytes, and a second exec of a program finds its pages at the frames for which code was translated.
    Without a backing, absent pages are holes that read as zeros (tmpfs).

    `area_count` counts the areas that map it. Page table entries hold no references to its frames, so what
    is truncated while there are areas waits in `orphans` until the last one has gone. `is_executed` says
    that an executable area maps or has mapped it. `unwritten` are the pages that are kept by fallocate(2) and
    nobody has written to or touched since (in Linux, folios that aren't up to date): to lseek(2) they are
    holes, and to mincore(2) they aren't there. `holes` are frames of pages that were
    only read and are nowhere: they hold zeros, and are there to be counted as what a read takes. `policies`
    are what mbind(2) said of pages of memory, None for nothing.
    """

    __slots__ = (
        "area_count",
        "backing",
        "entry_runs",
        "frames",
        "holes",
        "is_executed",
        "memory",
        "orphans",
        "policies",
        "unwritten",
    )

    is_secret: ClassVar[bool] = False
    """Whether only those who map it reach it (`fs.secret_memory`)."""

    def __init__(self, memory: PhysicalMemory, backing: Backing | None = None) -> None:
        self.memory = memory
        self.backing = backing
        self.frames: dict[int, int] = {}
        self.holes: dict[int, int] = {}
        self.area_count = 0
        self.orphans: list[int] = []
        self.is_executed = False
        self.unwritten: set[int] = set()
        self.policies: SharedPolicies | None = None
        self.entry_runs: dict[tuple[int, int, int], EntryRun] = {}

    def entry_run(self, first: int, count: int, bits: int) -> EntryRun:
        """The page table entries, with `bits`, of those of `count` pages from `first` on that are in memory.

        They are kept: every exec of a program maps the same pages in the same way.
        """
        key = (first, count, bits)
        run = self.entry_runs.get(key)
        if run is None or run.frame_count != len(self.frames):
            entries = self.entries(first, count, bits)
            if len(self.entry_runs) >= _MOST_RUNS:
                self.entry_runs.clear()
            run = self.entry_runs[key] = EntryRun(entries, len(self.frames))
        return run

    def entries(self, first: int, count: int, bits: int) -> list[int]:
        """As `entry_run`, to be used once: 0 for pages that aren't in memory."""
        indexes = range(first, first + count)
        entries = [
            0 if frame is None else frame << PAGE_SHIFT | bits for frame in map(self.frames.get, indexes)
        ]
        for index in self.unwritten.intersection(indexes):
            entries[index - first] = 0
        if not bits & pte.NO_EXECUTE:
            self.memory.executable.update([entry >> PAGE_SHIFT for entry in entries if entry])
        return entries

    def note_executable_area(self) -> None:
        """An executable area maps this.

        An engine sees by itself that translated code is overwritten only where the store's own page is
        executable. So a shared writable page of an executed file is mapped executable too (see fault.py).
        """
        if not self.is_executed:
            self.is_executed = True
            if self.area_count:
                _note_search(self.memory)
                for space in self.memory.address_spaces:
                    space.forget_shared_pages(self)

    def acquire_area(self) -> None:
        """One more area maps this."""
        self.area_count += 1

    def release_area(self) -> None:
        """An area is gone, and its page table entries with it."""
        self.area_count -= 1
        if self.area_count == 0 and self.orphans:
            for frame in self.orphans:
                self.memory.release(frame)
            self.orphans.clear()

    def _drop(self, frame: int) -> None:
        self.memory.reclaimable.pop(frame, None)
        if self.area_count:
            self.orphans.append(frame)
        else:
            self.memory.release(frame)
        self.entry_runs.clear()

    def frame(self, index: int) -> int:
        """The frame of page `index`, brought in if need be; the cache keeps its own reference.

        Raises OutOfFrames when memory is used up.
        """
        frame = self.frames.get(index)
        if frame is None:
            return self._add(index, None)
        if self.unwritten:
            self._note_touched(index)
        return frame

    def _note_touched(self, index: int) -> None:
        """Page `index` isn't one that was only reserved any more."""
        if index in self.unwritten:
            self.unwritten.discard(index)
            self.entry_runs.clear()

    def bring_in(self, near: range) -> None:
        """Have all of the pages `near` in memory, what is kept elsewhere read in one go.

        Raises OutOfFrames, and what the backing raises.
        """
        frames, backing = self.frames, self.backing
        assert backing is not None
        contents = backing.read_pages(near.start, len(near))
        start = 0
        for index in near:
            if index not in frames:
                self._add(index, contents[start : start + PAGE_SIZE])
            start += PAGE_SIZE

    def _add(self, index: int, contents: bytes | None) -> int:
        """A frame for page `index`, which has none; with `contents` if these have been read already."""
        backing, memory = self.backing, self.memory
        if self.holes and index in self.holes:
            frame = self.holes.pop(index)
            memory.reclaimable.pop(frame, None)
            self.frames[index] = frame
            return frame
        if backing is None:
            frame = memory.allocate()
        else:
            frame = memory.allocate_with(backing.read_page(index) if contents is None else contents)
            if backing.has_page(index):
                memory.reclaimable[frame] = self, index
        self.frames[index] = frame
        if memory.payer is not None:
            if self.is_kept_elsewhere:
                memory.payer.note_file(frame, self)
            else:
                memory.payer.note_shared_memory(frame)
        return frame

    def _add_several(self, indexes: list[int]) -> int:
        """Frames of zeros for the first of the pages `indexes`, which have none, as far as nobody has to make
        room or to pay for them; how many.
        """
        memory = self.memory
        count = min(len(indexes), memory.unheld_frames - (memory.frame_count >> _SPARE_SHIFT))
        if count <= 1 or self.backing is not None or self.holes or memory.payer is not None:
            return 0
        frames = memory.allocate_several(count)
        self.frames.update(zip(indexes, frames, strict=False))
        return len(frames)

    @property
    def is_kept_elsewhere(self) -> bool:
        """Whether pages that aren't in memory are on a disk, as far as the machine knows."""
        return self.backing is not None

    def bring_in_read(self, offset: int, length: int) -> None:
        """A task in a control group reads `length` bytes from `offset`: they're in memory from now on.

        Who is in no group would pay nothing for them, and reads past the cache. As much as there is room for;
        raises what the backing raises. Linux: mm/filemap.c, filemap_get_pages.
        """
        frames, backing, holes = self.frames, self.backing, self.holes
        payer = self.memory.payer
        last = (offset + length - 1) >> PAGE_SHIFT
        backed_count = self.backed_count
        index = offset >> PAGE_SHIFT
        while index <= last:
            if index in frames or index in holes:
                index += 1
                continue
            if payer is None or not payer.can_charge(PAGE_SIZE):
                return
            try:
                if backing is not None and index < backed_count:
                    past = index + 1
                    while past <= min(last, backed_count - 1) and past - index < _READ_AT_ONCE:
                        if past in frames:
                            break
                        past += 1
                    self.bring_in(range(index, past))
                    index = past
                    continue
                frame = self.memory.allocate()
            except FileSystemFull:
                return
            holes[index] = frame
            self.memory.reclaimable[frame] = self, index
            payer.note_file(frame, self)
            index += 1

    def _drop_holes(self, first: int, past: int) -> None:
        """What lies from page `first` to before `past` isn't a hole that was read any more."""
        for index in [index for index in self.holes if first <= index < past]:
            self.evict_hole(index)

    def evict_hole(self, index: int) -> None:
        """Forget that page `index`, a hole, was read."""
        frame = self.holes.pop(index)
        self.memory.reclaimable.pop(frame, None)
        self.memory.release(frame)

    def _note_changed(self, page_count: int) -> None:
        """So many pages are cleared or forgotten: that takes time."""
        if page_count >= _MANY_PAGES:
            self.memory.note_changed(page_count)

    def reserve(self, first: int, last: int) -> None:
        """Have frames for the pages from `first` to `last`, whatever is written to them.

        Raises OutOfFrames, and then has none that it hadn't before. Linux: mm/shmem.c, shmem_fallocate.
        """
        added = [index for index in range(first, last + 1) if index not in self.frames]
        position = 0
        while position < len(added):
            try:
                done = self._add_several(added[position : position + _MOST_AT_ONCE])
                if not done:
                    self.frame(added[position])
                    done = 1
            except OutOfFrames:
                for undone in added[:position]:
                    self.drop(undone)
                raise
            self.memory.note_filled(done)
            position += done
        # What was kept before counts as touched by that. Linux: mm/shmem.c, shmem_get_folio_gfp.
        if self.unwritten:
            self.unwritten.difference_update(range(first, last + 1))
            self.entry_runs.clear()
        self.unwritten.update(added)

    def drop(self, index: int) -> None:
        """Forget page `index`, whatever it holds."""
        self._drop(self.frames.pop(index))

    @property
    def backed_count(self) -> int:
        """How many pages, from the first on, come from elsewhere where they aren't in memory."""
        return 0 if self.backing is None else self.backing.page_count

    def cached_between(self, first: int, last: int) -> list[int]:
        """Which pages from `first` to before `last` are in memory, in order, found by what there is less of:
        such pages or indexes between.
        """
        if last - first > len(self.frames):
            return sorted(index for index in self.frames if first <= index < last)
        return [index for index in range(first, last) if index in self.frames]

    def has_data(self, index: int) -> bool:
        """Whether there is more at page `index` than a hole. Linux: mm/filemap.c, mapping_seek_hole_data."""
        return index in self.frames and index not in self.unwritten

    def note_written(self, frame: int) -> None:
        """The contents of `frame`, one of this cache's, exist nowhere else from now on."""
        self.memory.reclaimable.pop(frame, None)

    def cut_tail(self, size: int) -> None:
        """What a mapping has put past the end of a file of `size` bytes isn't kept.

        Linux: fs/buffer.c, block_write_full_folio.
        """
        tail = size & PAGE_MASK
        frame = self.frames.get(size >> PAGE_SHIFT)
        if tail and frame is not None:
            base = frame << PAGE_SHIFT
            self.memory.bytes[base + tail : base + PAGE_SIZE] = bytes(PAGE_SIZE - tail)

    def evict(self, index: int) -> None:
        """Forget page `index`, which nobody maps and which can be read again."""
        if index in self.holes:
            self.evict_hole(index)
            return
        self.memory.release(self.frames.pop(index))
        self.entry_runs.clear()

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; the caller has clipped them to the file's size."""
        data = self.memory.bytes
        parts: list[bytes] = []
        while length > 0:
            index, start = offset >> PAGE_SHIFT, offset & PAGE_MASK
            count = min(length, PAGE_SIZE - start)
            frame = self.frames.get(index)
            if frame is not None:
                base = (frame << PAGE_SHIFT) + start
                parts.append(data[base : base + count])
            elif self.backing is not None:
                page = self.backing.read_page(index)[start : start + count]
                parts.append(page.ljust(count, b"\0"))
            else:
                parts.append(bytes(count))
            offset += count
            length -= count
        return b"".join(parts)

    def write(self, offset: int, contents: bytes) -> None:
        """Put `contents` at `offset`. Raises OutOfFrames, having written a page-aligned prefix."""
        data, executable = self.memory.bytes, self.memory.executable
        is_long = len(contents) >= _MANY_PAGES << PAGE_SHIFT
        done = 0
        while done < len(contents):
            index, start = offset >> PAGE_SHIFT, offset & PAGE_MASK
            count = min(len(contents) - done, PAGE_SIZE - start)
            if is_long and index not in self.frames:
                self.memory.note_filled()
            frame = self.frame(index)
            self.note_written(frame)
            base = (frame << PAGE_SHIFT) + start
            data[base : base + count] = contents[done : done + count]
            if frame in executable:
                self.memory.code_changed(frame)
            offset += count
            done += count

    def truncate(self, size: int) -> None:
        """Forget what lies past `size` bytes: whole pages are dropped, the tail of the last one is zeroed."""
        first_dropped = (size + PAGE_MASK) >> PAGE_SHIFT
        if self.area_count:
            for space in self.memory.address_spaces:
                space.unmap_pages(self, first_dropped)
        dropped = [index for index in self.frames if index >= first_dropped]
        for index in dropped:
            self._drop(self.frames.pop(index))
            self.unwritten.discard(index)
        self._note_changed(len(dropped))
        if self.holes:
            self._drop_holes(first_dropped, MAXIMUM_PAGES)
        tail = size & PAGE_MASK
        if tail and (size >> PAGE_SHIFT) in self.frames:
            base = self.frames[size >> PAGE_SHIFT] << PAGE_SHIFT
            self.memory.bytes[base + tail : base + PAGE_SIZE] = bytes(PAGE_SIZE - tail)

    def zero(self, start: int, end: int) -> None:
        """Make zeros of the bytes from `start` up to `end`; what isn't in memory must be a hole already.

        Where the file has nothing behind it, whole pages go, and the next access to a mapped one faults.
        Raises OutOfFrames, nothing changed. Linux: mm/shmem.c, shmem_fallocate.
        """
        data = self.memory.bytes
        first, last = start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT
        cached = self.cached_between(first, last + 1)
        if cached and self.area_count and self.backing is None:
            for space in self.memory.address_spaces:
                space.unmap_cached(self, -(-start >> PAGE_SHIFT), end >> PAGE_SHIFT)
        self._note_changed(len(cached))
        for index in cached:
            base = index << PAGE_SHIFT
            since, until = max(start - base, 0), min(end - base, PAGE_SIZE)
            if until - since == PAGE_SIZE and self.backing is None:
                # No entry leads to it any more: it needn't wait for the areas to go.
                frame = self.frames.pop(index)
                self.memory.reclaimable.pop(frame, None)
                self.memory.release(frame)
                self.entry_runs.clear()
                self.unwritten.discard(index)
            else:
                frame = self.frames[index]
                self.note_written(frame)
                base = frame << PAGE_SHIFT
                data[base + since : base + until] = bytes(until - since)
                if frame in self.memory.executable:
                    self.memory.code_changed(frame)

    def set_policy(self, first: int, past: int, policy: int) -> None:
        """Let pages `first` to before `past` have a policy of memory, 0 for none. Raises OutOfFrames.

        Linux: mm/mempolicy.c, mpol_set_shared_policy.
        """
        if self.policies is None:
            if not policy:
                return
            self.policies = SharedPolicies()
        low, high, runs = self.policies.replacement(first, past, policy)
        more = len(runs) - (high - low)
        self.memory.note_changed(high - low)
        if more > 0:
            self.memory.account.charge(AREA, more * AREA_BYTES)
        else:
            self.memory.account.uncharge(AREA, -more * AREA_BYTES)
        self.policies.runs[low:high] = runs

    def release(self) -> None:
        """Give every frame back: the file is gone."""
        if self.policies is not None:
            self.memory.account.uncharge(AREA, len(self.policies.runs) * AREA_BYTES)
            self.policies = None
        self._note_changed(len(self.frames))
        for frame in self.frames.values():
            self._drop(frame)
        self.frames.clear()
        if self.holes:
            self._drop_holes(0, MAXIMUM_PAGES)
