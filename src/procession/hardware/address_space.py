"""Who maps page frames: what memory and the files in it ask of an address space."""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol


class AddressSpace(Protocol):
    """What a file's end that moves must reach."""

    @property
    def area_count(self) -> int:
        """How many areas there are to look at."""

    def unmap_pages(self, pages: object, first_index: int, /) -> None:
        """Drop what is mapped of the page cache `pages` from page `first_index` on."""

    def unmap_cached(self, pages: object, first: int, past: int, /) -> None:
        """Drop what is mapped of the page cache `pages` from page `first` to before `past`, but no copies."""

    def forget_shared_pages(self, pages: object, /) -> None:
        """Drop the entries of shared writable areas of `pages`: they're to be made anew."""

    def protect_shared_pages(self, caches: Container[object]) -> None:
        """Let the next write to each page of a shared mapping of one of these page caches be noticed."""
