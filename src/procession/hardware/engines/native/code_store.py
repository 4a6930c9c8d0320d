"""The code that is translated for all address spaces on the native engine, and who runs it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from procession.hardware.engines.native.table_filler import TableFiller
from procession.hardware.translation.code_cache import CodeCache
from procession.hardware.translation.emitter import view_of
from procession.hardware.translation.layout import HIGH_VIEW
from procession.hardware.translation.translator import Translator

if TYPE_CHECKING:
    from procession.hardware.engines.native.space import Space
    from procession.hardware.translation.code_keeper import CodeKeeper

OTHERWISE: Final = ("second_probe", "third_probe", "missed", "returned")
"""Where the code goes on that finds nothing at its place in each table."""


class CodeStore:
    """All code that is translated, whichever spaces run it. `code_frames` are the frames that have had some
    since they were last written to, and those of files around them: no stub may write to them. `spaces` are
    by the frame of their page tables' root; `idle` are those of ended address spaces, whose stubs serve for
    others. `keeper` keeps the code for other runs. `empty` is what each table of a stub has where it leads
    nowhere.
    """

    __slots__ = (
        "cache",
        "code_frames",
        "empty",
        "filler",
        "idle",
        "keeper",
        "spaces",
        "translator",
    )

    def __init__(self, keeper: CodeKeeper | None) -> None:
        self.keeper = keeper
        self.cache = CodeCache(None if keeper is None else keeper.load())
        self.translator = Translator(self.cache)
        self.empty = [HIGH_VIEW + self.cache.labels[label] for label in OTHERWISE]
        self.filler = TableFiller(self.empty[0], self.cache.return_bits)
        self.code_frames: set[int] = set()
        self.spaces: dict[int, Space] = {}
        self.idle: list[Space] = []

    def settle_links(self) -> None:
        """Give each new link its stub, in all spaces. To be called after each translation."""
        cache = self.cache
        while cache.new_links:
            target = cache.new_links.pop()
            number = cache.links[target]
            address = view_of(target) + self.translator.make_link_stub(target, number)
            cache.link_stubs[number] = address
            for space in (*self.spaces.values(), *self.idle):
                space.stub.links[number] = address

    def protect(self, frames: Collection[int]) -> None:
        """Let no stub write to `frames` any more: they have code, or may have some soon."""
        self.code_frames.update(frames)
        for space in self.spaces.values():
            for frame in space.window.writable_pages.frames_among(frames):
                space.window.drop_frame(frame)

    def forget_all(self) -> None:
        """Drop all code. What has had some is still `code_frames`: when the cache is full makes no
        difference to what is counted.
        """
        self.cache.clear()
        for space in (*self.spaces.values(), *self.idle):
            space.forget_all()

    def forget_code(self, frames: Iterable[int] | None) -> None:
        """Drop the code of `frames`, which have none any more, or of all."""
        if frames is None:
            self.code_frames.clear()
            self.forget_all()
        else:
            for frame in self.code_frames.intersection(frames):
                self.forget_frame(frame)

    def forget_frame(self, frame: int) -> None:
        """Drop the code of one frame."""
        self.code_frames.discard(frame)
        self.cache.forget_frame(frame)
        for space in self.spaces.values():
            space.forget_frame(frame)

    def keep(self) -> None:
        """Keep the code for other runs, if there is enough that is new."""
        if self.keeper is not None and self.cache.has_news:
            self.keeper.save(self.cache)

    def distrust(self) -> None:
        """Keep nothing of this run: an exception came out of it, maybe out of the middle of a translation.
        What is half translated would crash programs of later runs.
        """
        self.keeper = None

    def close(self) -> None:
        """Give back what the host has given."""
        self.cache.close()
