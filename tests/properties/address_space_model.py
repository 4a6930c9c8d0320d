"""An independent model of address spaces: what each page is, what it holds, and what may be done with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy

PAGE = 4096
READ, WRITE, EXECUTE = 1, 2, 4
USER_END = 0x7FFF_FFFF_F000


class Store:
    """Something that several may map: a file of `size` bytes, or shared memory of that many."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.data = bytearray()

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length]).ljust(length, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        self.data.extend(bytes(max(offset + len(data) - len(self.data), 0)))
        self.data[offset : offset + len(data)] = data

    def resize(self, size: int) -> None:
        del self.data[size:]
        self.size = size

    @property
    def page_count(self) -> int:
        return -(-self.size // PAGE)


class Page:
    """One mapped page.

    `private` is what it holds once it's the process's own, `opener` says how the file was opened.
    """

    def __init__(self, protection: int, store: Store | None, index: int, *, is_shared: bool) -> None:
        self.protection = protection
        self.store = store
        self.index = index
        self.is_shared = is_shared
        self.is_accounted = bool(protection & WRITE) and not is_shared
        self.opener = ""
        self.may_write = True
        self.is_kept_from_child = False
        self.is_wiped_in_child = False
        self.name = b""
        self.private: bytes | None = None

    def is_like(self, before: Page) -> bool:
        """Whether this can be in one area with the page that comes before it."""
        return all(getattr(self, name) == getattr(before, name) for name in _ALIKE) and (
            self.store is None or self.index == before.index + 1
        )

    @property
    def is_past_the_end(self) -> bool:
        return self.store is not None and self.index >= self.store.page_count

    def can(self, access: int) -> bool:
        """Whether reading (0) or writing (WRITE) gives no signal."""
        if access == WRITE and not self.protection & WRITE:
            return False
        return self.protection != 0 and not self.is_past_the_end

    def contents(self) -> bytes:
        if self.private is not None:
            return self.private
        return bytes(PAGE) if self.store is None else self.store.read(self.index * PAGE, PAGE)

    def write(self, offset: int, data: bytes) -> None:
        if self.is_shared:
            assert self.store is not None
            self.store.write(self.index * PAGE + offset, data)
        else:
            old = self.contents()
            self.private = old[:offset] + data + old[offset + len(data) :]

    def protect(self, protection: int, *, has_pages: bool) -> None:
        """Change what may be done; `has_pages` says whether there are any of the area's part that changes."""
        if protection == self.protection:
            return
        self.protection = protection
        if protection & WRITE and not self.is_shared:
            self.is_accounted = True
        elif not protection & WRITE and self.store is None and not has_pages:
            self.is_accounted = False

    def drop(self) -> None:
        """What was there isn't any more: the next access finds the file's contents, or zeros."""
        self.private = None


_ALIKE = (
    *("protection", "store", "is_shared", "opener", "may_write", "name"),
    *("is_kept_from_child", "is_wiped_in_child", "is_accounted"),
)


class Space:
    """The pages of one process by number."""

    def __init__(self) -> None:
        self.pages: dict[int, Page] = {}

    def fork(self) -> Space:
        child = Space()
        for number, page in self.pages.items():
            if page.is_kept_from_child:
                continue
            twin = child.pages[number] = copy(page)
            if page.is_wiped_in_child:
                twin.drop()
        return child

    def is_free(self, numbers: Iterable[int]) -> bool:
        return not any(number in self.pages for number in numbers)

    def present(self, numbers: Iterable[int]) -> Iterator[Page]:
        return (self.pages[number] for number in numbers if number in self.pages)

    def unmap(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.pages.pop(number, None)

    def is_one_area(self, numbers: range) -> bool:
        """Whether all of the pages are mapped and alike."""
        if not all(number in self.pages for number in numbers):
            return False
        return all(self.pages[number].is_like(self.pages[number - 1]) for number in numbers[1:])

    def areas(self) -> list[tuple[int, int, Page]]:
        """Runs of pages that are alike: their first and last number plus one, and the first page."""
        areas: list[tuple[int, int, Page]] = []
        for number in sorted(self.pages):
            page = self.pages[number]
            if areas and areas[-1][1] == number and page.is_like(self.pages[number - 1]):
                areas[-1] = areas[-1][0], number + 1, areas[-1][2]
            else:
                areas.append((number, number + 1, page))
        return areas

    def resize_store(self, store: Store) -> None:
        """The end of `store` has moved down: what is past it has gone from here too."""
        for page in self.pages.values():
            if page.store is store and page.is_past_the_end:
                page.drop()
