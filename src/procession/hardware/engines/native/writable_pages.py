"""At which pages a stub can write to a frame: a reverse map of its window."""

from __future__ import annotations

from collections.abc import Collection, Set

from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT

_WRITABLE = int(pte.WRITABLE)


class WritablePages:
    """The pages at which frames are mapped writable, or were: `leaves`, the window's, say whether they are.

    The last one of a frame is in `pages`; `others` has more, of those few frames that are mapped more than
    once. So a frame that becomes code is found without a look at all pages, which a program that writes its
    code page by page would wait for each time.
    """

    __slots__ = ("leaves", "others", "pages")

    def __init__(self, leaves: dict[int, dict[int, int]]) -> None:
        self.leaves = leaves
        self.pages: dict[int, int] = {}
        self.others: dict[int, set[int]] = {}

    def note(self, frame: int, page: int) -> None:
        """`frame` is mapped at `page`: what most faults come to, so without a range of one."""
        pages = self.pages
        old = pages.get(frame, page)
        if old != page and self._is_there(frame, old):
            self._keep_another(frame, old)
        pages[frame] = page

    def note_run(self, frame: int, page: int, length: int) -> None:
        """`length` frames from `frame` on are mapped at `page` and those behind it."""
        pages, frames = self.pages, range(frame, frame + length)
        if not pages.keys().isdisjoint(frames):
            for new, number in enumerate(frames, page):
                old = pages.get(number, new)
                if old != new and self._is_there(number, old):
                    self._keep_another(number, old)
        pages.update(zip(frames, range(page, page + length), strict=True))

    def _keep_another(self, frame: int, page: int) -> None:
        others = self.others.setdefault(frame, set())
        others.add(page)
        if not len(others) & len(others) - 1:
            # Each time that there are twice as many: one that's mapped here and there would leave them all.
            self.others[frame] = {each for each in others if self._is_there(frame, each)}

    def _is_there(self, frame: int, page: int) -> bool:
        pages = self.leaves.get(page >> 9)
        return pages is not None and pages.get(page) == frame << PAGE_SHIFT | _WRITABLE

    def frames_among(self, frames: Collection[int]) -> Set[int]:
        """Those of `frames` that may be writable anywhere."""
        return self.pages.keys() & frames

    def take(self, frame: int) -> list[int]:
        """The pages at which a frame is writable, of which nothing is known any more."""
        found = {self.pages.pop(frame), *self.others.pop(frame, ())}
        return sorted(page for page in found if self._is_there(frame, page))

    def clear(self) -> None:
        """Nothing is writable."""
        self.pages.clear()
        self.others.clear()
