"""What the debugger watches of a process's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor

WRITE, READ, ACCESS = 2, 3, 4
"""The kinds, as the protocol numbers them."""
_NAMES = {WRITE: b"watch", READ: b"rwatch", ACCESS: b"awatch"}


class Watchpoint:
    """A piece of a process's memory; `value` is what was there when it was looked at last.

    One for reads hears of the program's own, one for writes of what has changed, by whomever; one for both of
    the program's writes that change nothing, too.
    """

    def __init__(self, kind: int, process: int, address: int, length: int) -> None:
        self.kind = kind
        self.process = process
        self.address = address
        self.length = length
        self.value = b""

    @property
    def place(self) -> tuple[int, int, int, int]:
        """What tells it from others."""
        return self.kind, self.process, self.address, self.length

    @property
    def detail(self) -> bytes:
        """What a stop's reply says of it."""
        return b"%s:%x;" % (_NAMES[self.kind], self.address)

    def hears(self, *, is_write: bool) -> bool:
        """Whether it's for such an access of the program."""
        return self.kind == ACCESS or (self.kind == READ and not is_write)

    def is_at(self, mm: MemoryDescriptor, physical: int, size: int) -> bool:
        """Whether some of the `size` bytes at an address of the machine's memory are the watched ones."""
        address, end = self.address, self.address + self.length
        while address < end:
            count = min(end - address, PAGE_SIZE - (address & PAGE_MASK))
            entry = mm.tables.entry(address >> PAGE_SHIFT) if address < pte.USER_END else 0
            start = (entry & pte.ADDRESS_MASK) + (address & PAGE_MASK)
            if entry & pte.PRESENT and physical < start + count and start < physical + size:
                return True
            address += count
        return False
