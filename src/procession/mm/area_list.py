"""The areas of an address space in the order of their addresses; fork shares them until one side changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.hardware.kernel_memory import AREA, AREA_BYTES, KernelMemory
from procession.mm.area_sequence import AreaSequence

if TYPE_CHECKING:
    from procession.mm.gap_index import GapIndex
    from procession.mm.vma import VirtualMemoryArea

_FEW_AREAS_BYTES: Final = 4 * AREA_BYTES
"""What one change adds at most."""


class AreaList:
    """The areas of an address space, sorted by address.

    After fork parent and child have the same list until one of them changes its areas: most children call
    exec or end before that. `owner_count` counts them; the list holds the areas' references.
    `charged_count` is for how many areas `account` has been charged. `total_bytes` is the size of all areas;
    `gaps` tells where there is room, once they have been many. `reaches_reserved` is set once one was where
    an engine may have things of its own.
    """

    __slots__ = (
        "account",
        "areas",
        "charged_count",
        "gaps",
        "owner_count",
        "reaches_reserved",
        "total_bytes",
    )

    def __init__(self, account: KernelMemory, areas: list[VirtualMemoryArea]) -> None:
        self.account = account
        self.areas = AreaSequence(areas)
        self.charged_count = len(areas)
        self.total_bytes = sum([area.end - area.start for area in areas])
        self.gaps: GapIndex | None = None
        self.owner_count = 1
        self.reaches_reserved = False

    def copy(self) -> AreaList:
        """A list of its own for one owner, with areas of its own. Raises OutOfFrames."""
        self.account.charge(AREA, len(self.areas) * AREA_BYTES)
        copy = AreaList(self.account, [area.copy(area.start, area.end) for area in self.areas])
        copy.reaches_reserved = self.reaches_reserved
        return copy

    def put(self) -> None:
        """An owner is gone."""
        self.owner_count -= 1
        if self.owner_count == 0:
            self.account.uncharge(AREA, self.charged_count * AREA_BYTES)
            for area in self.areas:
                area.release()

    def count(self) -> None:
        """Areas have been added, for which there is room, or removed: charge what there are."""
        change = self.areas.length - self.charged_count
        if not change:
            return
        if change > 0:
            self.account.charge_always(AREA, change * AREA_BYTES)
        else:
            self.account.uncharge(AREA, -change * AREA_BYTES)
        self.charged_count += change

    def check_room(self, count: int = 0) -> None:
        """Raise OutOfFrames unless there may be `count` areas more, and a few."""
        account = self.account
        if not account.can_charge(_FEW_AREAS_BYTES + count * AREA_BYTES):
            account.memory.refuse()
