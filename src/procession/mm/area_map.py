"""What is mapped where in an address space: its areas, found, split and merged, and where there is room."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final, Protocol

from procession.abi.errno import ENOMEM
from procession.abi.resource import RlimitResource
from procession.hardware.physical_memory import PAGE_SHIFT, PhysicalMemory
from procession.hardware.translation.layout import RESERVED
from procession.mm.area_list import AreaList
from procession.mm.area_sequence import LONGEST_ROW
from procession.mm.page_tables import PageTables
from procession.mm.vma import COUNTED, STICKY, VirtualMemoryArea

RLIMIT_DATA: Final = int(RlimitResource.RLIMIT_DATA)
RLIMIT_STACK: Final = int(RlimitResource.RLIMIT_STACK)
RLIMIT_AS: Final = int(RlimitResource.RLIMIT_AS)
RLIM_INFINITY: Final = (1 << 64) - 1
MMAP_BASE: Final = 0x7FFF_F7FF_F000
"""Where mappings are placed downwards from, unless the stack may be long: the same in every run."""

_PAGES_OF_AREA: Final = 4
_AREAS_SHIFT: Final = 4
"""So many areas that are only looked at take as long as a page that is changed."""
"""Copying an area is as much work as changing so many pages."""
_HIGH: Final = RESERVED[0][0]
_HIGH_END: Final = RESERVED[0][1]
_LOW: Final = RESERVED[1][0]
_LOW_END: Final = RESERVED[1][1]


class MemoryLimits(Protocol):
    """The resource limits that bound an address space; both are indexed by RLIMIT_*, in bytes."""

    soft: list[int]
    hard: list[int]


class AreaMap:
    """The areas of an address space, in whose page tables `tables` they show.

    `areas` are sorted by address and free of overlaps. They belong to `area_list`, which may be another's
    too: whoever changes an area calls `own_areas` before it looks for it. New ones go below `mmap_base`, or
    upwards from a lower one if `grows_up`.

    `anonymous_count` is how many names were given to what has pages of its own; while the areas are as fork
    left them (`inherits_areas`) they have the parent's names.
    """

    __slots__ = (
        "anonymous_count",
        "area_list",
        "areas",
        "grows_up",
        "inherits_areas",
        "limits",
        "memory",
        "mmap_base",
        "tables",
    )

    def __init__(self, memory: PhysicalMemory, limits: MemoryLimits, tables: PageTables) -> None:
        self.memory = memory
        self.limits = limits
        self.tables = tables
        self.area_list = AreaList(memory.account, [])
        self.areas = self.area_list.areas
        self.mmap_base = MMAP_BASE
        self.grows_up = False
        self.anonymous_count = 0
        self.inherits_areas = False

    def use_areas(self, area_list: AreaList) -> None:
        """Have the areas of `area_list`."""
        self.area_list = area_list
        self.areas = area_list.areas

    def inherit(self, parent: AreaMap) -> None:
        """Have the areas of `parent`, from which this is forked."""
        parent.area_list.owner_count += 1
        self.use_areas(parent.area_list)
        self.inherits_areas, self.anonymous_count = True, parent.anonymous_count

    def own_areas(self) -> None:
        """Make the areas this address space's alone, before one is changed. Raises OutOfFrames."""
        shared = self.area_list
        if shared.owner_count > 1:
            self.use_areas(shared.copy())
            self.memory.note_changed(_PAGES_OF_AREA * len(self.areas))
            shared.put()
        if self.inherits_areas:
            self.inherits_areas = False
            for area in self.areas:
                if area.anonymous_id:
                    # Linux: mm/rmap.c, anon_vma_fork.
                    self.anonymous_count += 1
                    area.anonymous_id = -self.anonymous_count

    def prepare_anonymous(self, area: VirtualMemoryArea) -> None:
        """`area` is to have the first page of its own: it shares a name with a neighbour that it could be one
        with but for its rights. Raises OutOfFrames.

        Linux: mm/rmap.c, __anon_vma_prepare; mm/vma.c, find_mergeable_anon_vma.
        """
        if self.area_list.owner_count > 1 or self.inherits_areas:
            self.own_areas()
            found = self.find(area.start)
            assert found is not None
            area = found
        above, below = self.find(area.end), self.find(area.start - 1)
        if above is not None and above.anonymous_id > 0 and area.can_be_followed_by(above, 0):
            area.anonymous_id = above.anonymous_id
        elif below is not None and below.anonymous_id > 0 and below.can_be_followed_by(area, 0):
            area.anonymous_id = below.anonymous_id
        else:
            self.anonymous_count += 1
            area.anonymous_id = self.anonymous_count

    # Finding areas

    def find(self, address: int) -> VirtualMemoryArea | None:
        """The area that holds `address`."""
        areas = self.areas
        if len(areas.rows) > 1:
            return areas.find(address)
        index = bisect_right(areas.starts[0], address) - 1
        if index >= 0:
            area = areas.rows[0][index]
            if address < area.end:
                return area
        return None

    def areas_in(self, start: int, end: int) -> list[VirtualMemoryArea]:
        """The areas that have addresses in common with `start` to `end`, in order."""
        areas = self.areas
        if len(areas.rows) == 1:
            row, starts = areas.rows[0], areas.starts[0]
            first = bisect_right(starts, start)
            if first and row[first - 1].end > start:
                first -= 1
            return row[first : bisect_left(starts, end)]
        first = areas.count_to(start)
        if first and areas.at(first - 1).end > start:
            first -= 1
        return areas.between(first, areas.count_below(end))

    def is_mapped(self, start: int, end: int) -> bool:
        """Whether areas cover all of `start` to `end`."""
        for area in self.areas_in(start, end):
            if area.start > start:
                return False
            start = area.end
        return start >= end

    @property
    def total_pages(self) -> int:
        """The size of all areas in pages (VmSize)."""
        return self.area_list.total_bytes >> PAGE_SHIFT

    # Changing areas

    def insert(self, area: VirtualMemoryArea) -> VirtualMemoryArea:
        """Put in an area where there is none, merging it with its neighbours; the one that it became."""
        if self.area_list.owner_count > 1 or self.inherits_areas:
            self.own_areas()
        start, end = area.start, area.end
        self.note_reserved(start, end)
        areas = self.areas
        row = 0 if len(areas.rows) == 1 else areas.row_of(start)
        members = areas.rows[row]
        index = bisect_right(areas.starts[row], start)
        # Only the first row can begin above it.
        previous = members[index - 1] if index else None
        following: VirtualMemoryArea | None = None
        if index < len(members):
            following = members[index]
        elif row + 1 < len(areas.rows):
            following = areas.rows[row + 1][0]
        self.area_list.total_bytes += end - start
        # Neighbours are most often of other rights, or have a gap between.
        if (
            previous is not None
            and previous.end == start
            and previous.protection == area.protection
            and previous.can_be_followed_by(area)
        ):
            previous.take_in(area)
            area = previous
        else:
            areas.insert_in(row, index, area)
        if (
            following is not None
            and following.start == end
            and following.protection == area.protection
            and area.can_be_followed_by(following)
        ):
            areas.delete(areas.count_below(following.start), 1)
            area.take_in(following)
        self.area_list.count()
        if self.area_list.gaps is not None:
            self.area_list.gaps.note_gap(areas, areas.count_below(area.start))
        return area

    def insert_row(self, new: list[VirtualMemoryArea]) -> bool:
        """Put in areas that follow one another where there is none; False, nothing done, if that isn't so, or
        one could be one with a neighbour.
        """
        areas, area_list = self.areas, self.area_list
        if not new or len(areas.rows) > 1 or area_list.owner_count > 1 or area_list.gaps is not None:
            return False
        members, starts = areas.rows[0], areas.starts[0]
        if len(members) + len(new) > LONGEST_ROW:
            return False
        index = bisect_right(starts, new[0].start)
        before = members[index - 1] if index else None
        size = 0
        for area in (*new, *members[index : index + 1]):
            if before is not None and (
                before.end > area.start
                or (before.protection == area.protection and before.can_be_followed_by(area))
            ):
                return False
            before = area
        for area in new:
            self.note_reserved(area.start, area.end)
            size += area.end - area.start
        members[index:index] = new
        starts[index:index] = [area.start for area in new]
        areas.firsts[0] = starts[0]
        areas.length += len(new)
        area_list.total_bytes += size
        area_list.count()
        return True

    def note_reserved(self, start: int, end: int) -> None:
        """There is an area from `start` to `end` now: let the engine know if it may be in its way."""
        if (start < _HIGH_END and end > _LOW) and (start < _LOW_END or end > _HIGH):
            self.area_list.reaches_reserved = True
            self.memory.space_reaches_reserved(self.tables.root)

    def split(self, address: int) -> None:
        """Make `address` a border between areas, if it lies inside one. Linux: mm/vma.c, split_vma."""
        self.own_areas()
        areas = self.areas
        row = 0 if len(areas.rows) == 1 else areas.row_of(address)
        index = bisect_right(areas.starts[row], address) - 1
        if index < 0:
            return
        area = areas.rows[row][index]
        if area.start < address < area.end:
            upper = area.copy(address, area.end)
            area.end = address
            areas.insert_in(row, index + 1, upper)
            self.area_list.count()

    def move_border(self, lower: VirtualMemoryArea, upper: VirtualMemoryArea, address: int) -> None:
        """From now on `upper` begins at `address`, where `lower` ends: they are this address space's own."""
        position = self.areas.count_below(upper.start)
        upper.page_offset = upper.page_index(address)
        lower.end = upper.start = address
        self.areas.set_start(position, address)

    def cut(self, found: list[VirtualMemoryArea], start: int, end: int) -> list[VirtualMemoryArea]:
        """Take `start` to `end` out of `found`, which are all areas there: those of which nothing is left.

        These hold their references still. The areas are this address space's own, with room for one more.
        Linux: mm/vma.c, vms_gather_munmap_vmas.
        """
        areas, area_list = self.areas, self.area_list
        first, last = found[0], found[-1]
        begins_before, ends_behind = first.start < start, last.end > end
        position = areas.count_below(first.start)
        doomed = found[begins_before : len(found) - ends_behind]
        area_list.total_bytes -= sum([area.end - area.start for area in doomed])
        if begins_before and ends_behind and first is last:
            area_list.total_bytes -= end - start
            areas.insert(position + 1, first.copy(end, first.end))
            first.end = start
        else:
            if begins_before:
                area_list.total_bytes -= first.end - start
                first.end = start
            if ends_behind:
                area_list.total_bytes -= end - last.start
                last.page_offset = last.page_index(end)
                last.start = end
                areas.set_start(position + len(found) - 1, end)
            if doomed:
                areas.delete(position + begins_before, len(doomed))
        area_list.count()
        if area_list.gaps is not None:
            area_list.gaps.note_gap(areas, areas.count_below(end))
        return doomed

    def isolate(self, start: int, end: int) -> list[VirtualMemoryArea]:
        """Split at both ends and give the areas between. Raises ENOMEM past vm.max_map_count, OutOfFrames."""
        count, maximum = self.areas.length, self.memory.maximum_areas
        if count + 2 > maximum:
            first, last = self.find(start), self.find(end - 1)
            added = (first is not None and first.start < start) + (last is not None and last.end > end)
            if added and count + added > maximum:
                if count < maximum:
                    # There is room for the first border, which stays. Linux: mm/vma.c, vma_modify.
                    self.area_list.check_room()
                    self.split(start)
                raise ENOMEM("too many areas")
        self.area_list.check_room()
        self.split(start)
        self.split(end)
        found = self.areas_in(start, end)
        self.note_areas(len(found))
        return found

    def isolate_changing(
        self, start: int, end: int, stays: Callable[[VirtualMemoryArea], bool], flags: int
    ) -> list[VirtualMemoryArea]:
        """The same of areas of which nothing but `flags` will change, without those that need no cut.

        An area that reaches out of the range and `stays` as it is isn't cut, nor given; and pages of one that
        is counted go to a neighbour that has such flags by then.
        Linux: mm/mprotect.c, mprotect_fixup; mm/mlock.c, mlock_fixup; mm/vma.c, vma_merge_existing_range.
        """
        lower, last = self.find(start), self.find(end - 1)
        if lower is not None and lower.start < start and stays(lower):
            start = lower.end
        if start < end and last is not None and last.end > end and stays(last):
            end = last.start
        if start >= end:
            return []
        lower = self.find(start)
        if lower is not None and lower.flags & COUNTED and lower.start < start and lower.end <= end:
            border = lower.end
            self.own_areas()
            lower, upper = self.find(start), self.find(border)
            if lower is not None and upper is not None and stays(upper) and _are_alike(lower, upper, flags):
                self.move_border(lower, upper, start)
                start = upper.end
                if start >= end:
                    return []
        last = self.find(end - 1)
        if last is None or not last.flags & COUNTED or last.end <= end or last.start < start:
            return self.isolate(start, end)
        border = last.start
        found = self.isolate(start, border) if start < border else []
        self.own_areas()
        previous, last = self.find(border - 1), self.find(border)
        is_like_it = previous is not None and (bool(found) or stays(previous))
        if previous is not None and last is not None and is_like_it and _are_alike(previous, last, flags):
            self.move_border(previous, last, end)
            return found
        return [*found, *self.isolate(border, end)]

    def note_areas(self, count: int) -> None:
        """A call means so many areas, of which the first is its own: that takes time."""
        if count > 1:
            self.memory.note_changed(_PAGES_OF_AREA * (count - 1))

    def check_limits(self, length: int, is_data: bool, freed: int = 0) -> None:
        """Raise ENOMEM if `length` more bytes would pass RLIMIT_AS, or RLIMIT_DATA for private data.

        Linux: mm/vma.c, may_expand_vm.
        """
        soft = self.limits.soft
        if soft[RLIMIT_AS] != RLIM_INFINITY and (
            (self.total_pages << PAGE_SHIFT) + length - freed > soft[RLIMIT_AS]
        ):
            raise ENOMEM("RLIMIT_AS")
        if is_data:
            left = self.data_left()
            if left is not None and length - freed > left:
                raise ENOMEM("RLIMIT_DATA")

    def data_left(self) -> int | None:
        """How many bytes more may be private data (RLIMIT_DATA), below 0 if it's passed; None for any number.

        It takes time, as all areas are looked at. Linux has the sum. Linux: mm/vma.c, may_expand_vm.
        """
        # A soft limit of 0 says no more than the hard one: valgrind sets it for brk(2) alone.
        limit = self.limits.soft[RLIMIT_DATA] or self.limits.hard[RLIMIT_DATA]
        if limit == RLIM_INFINITY:
            return None
        self.memory.note_changed(self.areas.length >> _AREAS_SHIFT)
        return limit - sum(area.size for area in self.areas if area.is_data)

    def merge_around(self, start: int, end: int) -> None:
        """Merge areas from the one before `start` to the one after `end` where they have become alike."""
        self.own_areas()
        areas = self.areas
        index = max(areas.count_to(start) - 2, 0)
        row = areas.rows[0] if len(areas.rows) == 1 else None
        area = areas.at(index) if areas.length else None
        while area is not None and index + 1 < areas.length and area.start <= end:
            following = row[index + 1] if row is not None else areas.at(index + 1)
            if area.protection == following.protection and area.can_be_followed_by(following):
                areas.delete(index + 1, 1)
                area.take_in(following)
            else:
                index += 1
                area = following
        self.area_list.count()


def _are_alike(lower: VirtualMemoryArea, upper: VirtualMemoryArea, flags: int) -> bool:
    """Whether pages can go from one to the other, once the two don't differ in `flags` any more."""
    return lower.protection == upper.protection and lower.can_be_followed_by(upper, 0, STICKY | flags)
