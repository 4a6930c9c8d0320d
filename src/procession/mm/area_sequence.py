"""Areas in the order of their addresses, in rows, so that one of many costs about as much as one of few."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.mm.vma import VirtualMemoryArea

LONGEST_ROW: Final = 1024
"""A row that gets longer becomes two: so many places are moved at most for one that is new."""


class AreaSequence:
    """Areas by their positions, 0 for the lowest, in `rows` of some hundreds: none is empty but an only one.

    `starts` holds the start addresses of the areas of each row, `firsts` the first one of each row. `ends`,
    made when it's asked for, are the positions behind each row. Most address spaces have one row, which who
    is in a hurry may look into. Linux has a tree for that (lib/maple_tree.c).
    """

    __slots__ = ("ends", "firsts", "length", "rows", "starts")

    def __init__(self, areas: list[VirtualMemoryArea]) -> None:
        half = LONGEST_ROW // 2
        self.rows = [areas]
        if len(areas) > LONGEST_ROW:
            self.rows = [areas[first : first + half] for first in range(0, len(areas), half)]
        self.starts = [[area.start for area in row] for row in self.rows]
        self.firsts = [starts[0] if starts else 0 for starts in self.starts]
        self.ends: list[int] | None = None
        self.length = len(areas)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[VirtualMemoryArea]:
        return chain.from_iterable(self.rows)

    def __repr__(self) -> str:
        return f"<AreaSequence, {self.length} areas>"

    def __reversed__(self) -> Iterator[VirtualMemoryArea]:
        return chain.from_iterable(reversed(row) for row in reversed(self.rows))

    def __getitem__(self, position: int) -> VirtualMemoryArea:
        return self.at(position if position >= 0 else self.length + position)

    # Positions

    def _place(self, position: int) -> tuple[int, int]:
        """The row of the area at `position`, and where in it; for the length that is behind the last one."""
        if len(self.rows) == 1:
            return 0, position
        ends = self.ends
        if ends is None:
            ends = self.ends = list(accumulate(map(len, self.rows)))
        row = min(bisect_right(ends, position), len(ends) - 1)
        return row, position - (ends[row - 1] if row else 0)

    def _begin(self, row: int) -> int:
        """The position of a row's first area."""
        if not row:
            return 0
        if self.ends is None:
            self.ends = list(accumulate(map(len, self.rows)))
        return self.ends[row - 1]

    def row_of(self, address: int) -> int:
        """The row that has the last area that starts at `address` or below, the first one if none does."""
        return max(bisect_right(self.firsts, address) - 1, 0)

    def find(self, address: int) -> VirtualMemoryArea | None:
        """The area that holds `address`."""
        row = self.row_of(address)
        index = bisect_right(self.starts[row], address) - 1
        if index >= 0:
            area = self.rows[row][index]
            if address < area.end:
                return area
        return None

    def since(self, address: int) -> Iterator[VirtualMemoryArea]:
        """Those that end above `address`, in order."""
        row = self.row_of(address)
        areas = self.rows[row]
        index = max(bisect_right(self.starts[row], address) - 1, 0)
        if index < len(areas) and areas[index].end <= address:
            index += 1
        return chain(areas[index:], chain.from_iterable(self.rows[row + 1 :]))

    def count_to(self, address: int) -> int:
        """How many areas start at `address` or below: the position of the next one."""
        if len(self.rows) == 1:
            return bisect_right(self.starts[0], address)
        row = self.row_of(address)
        return self._begin(row) + bisect_right(self.starts[row], address)

    def count_below(self, address: int) -> int:
        """How many areas start below `address`."""
        if len(self.rows) == 1:
            return bisect_left(self.starts[0], address)
        row = self.row_of(address - 1)
        return self._begin(row) + bisect_left(self.starts[row], address)

    def at(self, position: int) -> VirtualMemoryArea:
        """The area at `position`."""
        if len(self.rows) == 1:
            return self.rows[0][position]
        row, index = self._place(position)
        return self.rows[row][index]

    def between(self, first: int, last: int) -> list[VirtualMemoryArea]:
        """Those from position `first` up to `last`."""
        if len(self.rows) == 1:
            return self.rows[0][first:last]
        row, index = self._place(first)
        found = self.rows[row][index : index + last - first]
        while len(found) < last - first and row + 1 < len(self.rows):
            row += 1
            found += self.rows[row][: last - first - len(found)]
        return found

    # Changes

    def insert(self, position: int, area: VirtualMemoryArea) -> None:
        """Put `area` before the one at `position`."""
        row, index = (0, position) if len(self.rows) == 1 else self._place(position)
        self.insert_in(row, index, area)

    def insert_in(self, row: int, index: int, area: VirtualMemoryArea) -> None:
        """Put `area` into a row, before the one at `index` there."""
        areas, starts = self.rows[row], self.starts[row]
        areas.insert(index, area)
        starts.insert(index, area.start)
        if not index:
            self.firsts[row] = area.start
        self.length += 1
        self.ends = None
        if len(areas) > LONGEST_ROW:
            half = len(areas) // 2
            self.rows.insert(row + 1, areas[half:])
            self.starts.insert(row + 1, starts[half:])
            self.firsts.insert(row + 1, starts[half])
            del areas[half:], starts[half:]

    def delete(self, first: int, count: int) -> None:
        """Take out `count` areas from position `first` on."""
        self.length -= count
        if len(self.rows) == 1:
            areas, starts = self.rows[0], self.starts[0]
            del areas[first : first + count], starts[first : first + count]
            self.firsts[0] = starts[0] if starts else 0
            return
        while count:
            row, index = self._place(first)
            areas, starts = self.rows[row], self.starts[row]
            here = min(count, len(areas) - index)
            del areas[index : index + here], starts[index : index + here]
            count -= here
            self.ends = None
            if areas:
                self.firsts[row] = starts[0]
            elif len(self.rows) > 1:
                del self.rows[row], self.starts[row], self.firsts[row]
            else:
                self.firsts[0] = 0

    def set_start(self, position: int, start: int) -> None:
        """The area at `position` starts at `start` now."""
        row, index = self._place(position)
        self.starts[row][index] = start
        if not index:
            self.firsts[row] = start
