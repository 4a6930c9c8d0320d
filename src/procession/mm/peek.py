"""Reading an address space from outside, without changing it: no page is brought in, no fault counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from procession.mm.user_fault import GUARDED, POISONED, mark_of

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor

_READABLE = pte.PRESENT | pte.USER


def peek(mm: MemoryDescriptor, address: int, length: int) -> bytes:
    """What a program would read at `address`: `length` bytes, fewer where it would fault."""
    parts: list[bytes] = []
    while length > 0:
        offset = address & PAGE_MASK
        count = min(length, PAGE_SIZE - offset)
        contents = _peek_page(mm, address, count)
        if contents is None:
            break
        parts.append(contents)
        address += count
        length -= count
    return b"".join(parts)


def _peek_page(mm: MemoryDescriptor, address: int, count: int) -> bytes | None:
    """`count` bytes that lie in one page; None if they can't be read."""
    if not 0 <= address < pte.USER_END:
        return None
    entry = mm.tables.entry(address >> PAGE_SHIFT)
    if entry & _READABLE == _READABLE:
        base = (entry & pte.ADDRESS_MASK) + (address & PAGE_MASK)
        return mm.bytes[base : base + count]
    area = mm.find(address)
    if area is None or not area.protection or entry & pte.PRESENT:
        return None
    if mark_of(mm, address >> PAGE_SHIFT) & (POISONED | GUARDED):
        return None
    if area.pages is None:
        return bytes(count)
    if area.page_index(address) > area.last_index:
        return None
    return area.pages.read((area.page_index(address) << PAGE_SHIFT) + (address & PAGE_MASK), count)


class PeekedMemory:
    """An address space as `peek` reads it, for what expects one that can be read."""

    __slots__ = ("mm",)

    def __init__(self, mm: MemoryDescriptor) -> None:
        self.mm = mm

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes at `address`. Raises EFAULT."""
        data = peek(self.mm, address, length)
        if len(data) < length:
            raise EFAULT
        return data

    def read_cstring(self, address: int, limit: int) -> bytes | None:
        """The bytes before the NUL at `address`; None if `limit` bytes hold none. Raises EFAULT."""
        text = peek_cstring(self.mm, address, limit)
        if text is None:
            raise EFAULT
        return text if len(text) < limit else None


def peek_cstring(mm: MemoryDescriptor, address: int, limit: int) -> bytes | None:
    """The bytes before the NUL at `address`, cut at `limit`; None if not even the first can be read."""
    parts: list[bytes] = []
    while limit > 0:
        count = min(limit, PAGE_SIZE - (address & PAGE_MASK))
        contents = peek(mm, address, count)
        if not contents:
            return b"".join(parts) if parts else None
        end = contents.find(b"\0")
        if end >= 0:
            parts.append(contents[:end])
            break
        parts.append(contents)
        address += count
        limit -= count
    return b"".join(parts)
