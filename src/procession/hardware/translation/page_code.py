"""What is translated of one page, by this run or by those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.hardware.translation.kept_code import KeptPage


class PageCode:
    """What is translated of one frame, whoever maps it. By the guest's address: where code begins
    (`entries`), where the tables of jumps lead to it (`stanzas`, `second_stanzas`, `third_stanzas`) and that
    of returns (`pads`), and whether flags are dead there. `is_kept` is set if the page is a file's, so that
    other runs will have it too.

    `folded` has what was kept of it, by the number of the page that the guest has there. That isn't among the
    rest until it's unfolded, which has to be done before the page is translated from.
    """

    __slots__ = (
        "data",
        "dead",
        "entries",
        "folded",
        "frame",
        "is_kept",
        "is_unfolded",
        "pads",
        "second_stanzas",
        "stanzas",
        "third_stanzas",
    )

    def __init__(self, frame: int, data: bytes) -> None:
        self.frame = frame
        self.data = data
        self.is_kept = False
        self.is_unfolded = False
        self.folded: dict[int, KeptPage] = {}
        self.entries: dict[int, int] = {}
        self.stanzas: dict[int, int] = {}
        self.second_stanzas: dict[int, int] = {}
        self.third_stanzas: dict[int, int] = {}
        self.pads: dict[int, int] = {}
        self.dead: dict[int, bool] = {}

    def entry(self, pc: int) -> int | None:
        """Where the code for `pc` begins, if it's translated."""
        found = self.entries.get(pc)
        if found is None and not self.is_unfolded:
            kept = self.folded.get(pc >> 12)
            if kept is not None:
                return kept.entry(pc)
        return found

    def fold(self, number: int, kept: KeptPage) -> None:
        """Have what was kept of it as page `number`."""
        self.folded[number] = kept
        if self.is_unfolded:
            self._unfold(kept)

    def unfold(self) -> None:
        """Have all that was kept of it among the rest."""
        if not self.is_unfolded:
            self.is_unfolded = True
            for kept in self.folded.values():
                self._unfold(kept)

    def _unfold(self, kept: KeptPage) -> None:
        self.entries.update(kept.entries())
        self.stanzas.update(kept.stanzas())
        self.pads.update(kept.pads())
        self.second_stanzas.update(kept.second_stanzas())
        self.third_stanzas.update(kept.third_stanzas())
        self.dead.update((pc, flag != 0) for pc, flag in kept.dead().items())
