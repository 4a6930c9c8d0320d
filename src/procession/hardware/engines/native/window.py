"""What a stub has mapped of its guest's memory: a translation cache in front of the page tables.

A page is mapped when the guest touches it, with those around it that lie in the same frames' order. It's
mapped as the page tables say then; what changes there takes effect when the kernel says that translations
are stale, as on a processor.
"""

from __future__ import annotations

from typing import Final

from procession.hardware import page_table as pte
from procession.hardware.engines.native.stub import Stub
from procession.hardware.engines.native.writable_pages import WritablePages
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from procession.hardware.translation import layout

_HIGH: Final = layout.RESERVED[0][0]
_HIGH_END: Final = layout.RESERVED[0][1]
_LOW: Final = layout.RESERVED[1][0]
_LOW_END: Final = layout.RESERVED[1][1]
_AROUND: Final = 32
_READ: Final = 1
_WRITE: Final = 2
_PRESENT: Final = pte.PRESENT
_ACCESSED: Final = pte.ACCESSED
_WRITABLE: Final = pte.WRITABLE
_FRAME: Final = pte.ADDRESS_MASK
_USER_END: Final = pte.USER_END
_ALLOWED: Final = pte.PRESENT | pte.USER
_TRUSTED: Final = _ALLOWED | pte.ACCESSED
_TOUCHED: Final = pte.ACCESSED | pte.DIRTY
_SMALL: Final = pte.ADDRESS_MASK | pte.WRITABLE | _ALLOWED | _TOUCHED
_NOTHING: Final = -1
"""What no page has: there's no run to go on with."""

DENIED: Final = 0
MAPPED: Final = 1
CODE_WRITTEN: Final = 2
"""What comes of a fault: the page tables don't allow the access; it can be made now; it's a write to a page
with translated code.
"""


class Walk:
    """Where the last walk of the page tables ended. `slot` is the entry's place in the memory's words, 0 if
    there is no leaf table; `entry` has its WRITABLE bit only if all tables above allow it too. The walk was
    to `address`; `lower`, at `lower_slot`, leads to the leaf table.
    """

    __slots__ = ("address", "entry", "lower", "lower_slot", "slot", "words", "writable")

    def __init__(self, memory: PhysicalMemory) -> None:
        self.words = memory.words
        self.address = -1
        self.slot = self.lower_slot = 0
        self.entry = self.lower = 0
        self.writable = 0

    @property
    def frame(self) -> int:
        """The frame that was found."""
        return (self.entry & _FRAME) >> PAGE_SHIFT

    def find(self, root: int, address: int) -> int:
        """Walk from `root` to the page at `address`; its entry, 0 if there's none."""
        self.address = address
        self.slot = self.entry = 0
        if not 0 <= address < _USER_END:
            return 0
        words = self.words
        upper = words[(root << 9) + (address >> 39)]
        if not upper & _PRESENT:
            return 0
        middle = words[((upper & _FRAME) >> 3) + (address >> 30 & 511)]
        if not middle & _PRESENT:
            return 0
        self.lower_slot = lower_slot = ((middle & _FRAME) >> 3) + (address >> 21 & 511)
        self.lower = lower = words[lower_slot]
        if not lower & _PRESENT:
            return 0
        self.writable = writable = upper & middle & lower & _WRITABLE
        self.slot = slot = ((lower & _FRAME) >> 3) + (address >> 12 & 511)
        entry = words[slot]
        if entry & _ALLOWED != _ALLOWED:
            return 0
        if not writable:
            entry &= ~_WRITABLE
        self.entry = entry
        return entry

    def find_again(self, root: int, address: int) -> int:
        """As `find`, for a page that was walked to before its fault was handled: that changes an entry, and
        the tables above stay what they are while the address space lives.
        """
        slot = self.slot
        if not slot or self.address != address or self.words[self.lower_slot] != self.lower:
            return self.find(root, address)
        entry = self.words[slot]
        self.entry = entry = entry & ~(_WRITABLE ^ self.writable) if entry & _ALLOWED == _ALLOWED else 0
        return entry


class Window:
    """The pages that `stub` has mapped, by leaf table (the address over 2 MiB) and page: each with its
    frame's address, and WRITABLE if it's that there; no others than `writable_pages` are. `seen` are
    the leaf tables as they were when last compared. `has_written_code` is set once the guest can write to a
    frame that was ever executable.
    """

    __slots__ = (
        "code_frames",
        "has_written_code",
        "leaves",
        "memory",
        "root",
        "seen",
        "stub",
        "walk",
        "writable_pages",
    )

    def __init__(self, stub: Stub, memory: PhysicalMemory, root: int, code_frames: set[int]) -> None:
        self.stub = stub
        self.memory = memory
        self.root = root
        self.code_frames = code_frames
        self.has_written_code = False
        self.walk = Walk(memory)
        self.leaves: dict[int, dict[int, int]] = {}
        self.seen: dict[int, tuple[int, int, bytes]] = {}
        self.writable_pages = WritablePages(self.leaves)

    def fill(self, address: int, *, is_write: bool) -> int:
        """Map the page at `address`, and others around it: DENIED, MAPPED or CODE_WRITTEN."""
        return self._fill(address, self.walk.find(self.root, address), is_write=is_write)

    def fill_again(self, address: int, *, is_write: bool) -> int:
        """As `fill`, which was DENIED before the kernel handled that fault."""
        return self._fill(address, self.walk.find_again(self.root, address), is_write=is_write)

    def _fill(self, address: int, entry: int, *, is_write: bool) -> int:
        walk = self.walk
        # Without its highest bit it's an int that compiled code needs no object for.
        entry &= _SMALL
        rights = entry & _WRITABLE
        if (
            not entry
            or (is_write and not rights)
            or _LOW <= address < _LOW_END
            or _HIGH <= address < _HIGH_END
        ):
            return DENIED
        words, code_frames = walk.words, self.code_frames
        frame = entry & _FRAME
        if is_write and frame >> PAGE_SHIFT in code_frames:
            return CODE_WRITTEN
        executable = self.memory.executable
        page = address >> PAGE_SHIFT
        region = page >> 9
        pages = self.leaves.get(region)
        if pages is None:
            pages = self.leaves[region] = {}
        if region in self.seen:
            del self.seen[region]
        slot = walk.slot
        # As where a program touches new memory, one page after the other.
        is_alone = (page - 1 in pages or not page & 511 or not words[slot - 1]) and (
            page + 1 in pages or page & 511 == 511 or not words[slot + 1]
        )
        if is_alone:
            if rights:
                number = frame >> PAGE_SHIFT
                if number in code_frames:
                    rights = 0
                else:
                    self.writable_pages.note(number, page)
                    if number in executable:
                        self.has_written_code = True
            if pages.get(page) != frame | rights:
                wanted = _TOUCHED if rights else _ACCESSED
                if entry & wanted != wanted:
                    words[slot] |= wanted
                pages[page] = frame | rights
                self.stub.map_touched(page << PAGE_SHIFT, _READ | _WRITE if rights else _READ, frame)
            return MAPPED
        self._map_around(page & -_AROUND, pages)
        return MAPPED

    def _map_around(self, first: int, pages: dict[int, int]) -> None:
        """Map the pages from `first` on, one of which was walked to, that `pages` hasn't as they are now: in
        runs of pages whose entries go up by a page's size.
        """
        walk, executable = self.walk, self.memory.executable
        slot, said = walk.slot & -_AROUND, _FRAME | walk.writable
        begin = begin_entry = length = 0
        following = _NOTHING
        for number, entry in enumerate(walk.words[slot : slot + _AROUND].tolist(), first):
            if entry == following and number not in pages:
                length += 1
                following += PAGE_SIZE
                continue
            if length:
                self._map(begin, begin_entry, length, pages)
            length, following = 0, _NOTHING
            if entry & _ALLOWED == _ALLOWED:
                known = pages.get(number)
                if known is None:
                    begin, begin_entry, length, following = number, entry, 1, entry + PAGE_SIZE
                elif known != entry & said:
                    self._map(number, entry, 1, pages)
                elif known & _WRITABLE and known >> PAGE_SHIFT in executable:
                    self.has_written_code = True
        if length:
            self._map(begin, begin_entry, length, pages)

    def _map(self, first: int, entry: int, length: int, pages: dict[int, int]) -> None:
        """Map a run of `length` pages from `first` on, of which `entry` is the first one's; or a page that
        `pages` may have.
        """
        walk = self.walk
        value = entry & (_FRAME | walk.writable)
        wanted, protection = _ACCESSED, _READ
        if value & _WRITABLE:
            frames = range(value >> PAGE_SHIFT, (value >> PAGE_SHIFT) + length)
            if self.code_frames.isdisjoint(frames):
                wanted, protection = _TOUCHED, _READ | _WRITE
                self.writable_pages.note_run(frames.start, first, length)
                if not self.memory.executable.isdisjoint(frames):
                    self.has_written_code = True
            elif length > 1:
                for number in range(length):
                    self._map(first + number, entry + (number << PAGE_SHIFT), 1, pages)
                return
            else:
                value ^= _WRITABLE
        if length == 1:
            if pages.get(first) == value:
                return
            pages[first] = value
        else:
            values = range(value, value + (length << PAGE_SHIFT), PAGE_SIZE)
            pages.update(zip(range(first, first + length), values, strict=True))
        if entry & wanted != wanted:
            slot = (walk.slot & -pte.ENTRIES) + (first & pte.ENTRIES - 1)
            for place in range(slot, slot + length):
                walk.words[place] |= wanted
        self.stub.map(first << PAGE_SHIFT, length << PAGE_SHIFT, protection, value & _FRAME)

    def _unmap(self, first: int, end: int) -> None:
        self.stub.unmap(first << PAGE_SHIFT, (end - first) << PAGE_SHIFT)

    def drop(self, addresses: list[int]) -> None:
        """Forget the pages at `addresses`."""
        for address in addresses:
            page = address >> PAGE_SHIFT
            pages = self.leaves.get(page >> 9)
            if pages is not None and pages.pop(page, None) is not None:
                self._unmap(page, page + 1)

    def drop_frame(self, frame: int) -> None:
        """Forget all mappings of `frame`, one of the writable ones: it has code now."""
        for page in self.writable_pages.take(frame):
            del self.leaves[page >> 9][page]
            self._unmap(page, page + 1)

    def drop_all(self) -> None:
        """Forget all."""
        if self.leaves:
            self.leaves.clear()
            self.seen.clear()
            self.writable_pages.clear()
            start = 0
            for first, end in sorted(layout.RESERVED):
                self.stub.unmap(start, first - start)
                start = end
            self.stub.unmap(start, pte.USER_END - start)

    def compare(self, root: int) -> None:
        """Forget what isn't any longer as the page tables below `root` say."""
        self.root = root
        memory, walk, words = self.memory, self.walk, self.memory.words
        for number, pages in list(self.leaves.items()):
            walk.find(root, number << pte.LEAF_SHIFT)
            start = walk.slot
            writable = walk.writable
            contents = memory.bytes[start << 3 : (start << 3) + 4096] if start else b""
            now = (start, writable, contents)
            if self.seen.get(number) == now:
                continue
            stale: list[int] = []
            for page, value in pages.items():
                entry = words[start + (page & 511)] if start else 0
                if (
                    entry & _TRUSTED != _TRUSTED
                    or (entry ^ value) & pte.ADDRESS_MASK
                    or (value & pte.WRITABLE and not entry & writable)
                ):
                    stale.append(page)
            if stale:
                stale.sort()
                first = last = stale[0]
                for page in stale:
                    del pages[page]
                    if page > last + 1:
                        self._unmap(first, last + 1)
                        first = page
                    last = page
                self._unmap(first, last + 1)
            if pages:
                self.seen[number] = now
            else:
                del self.leaves[number]
                self.seen.pop(number, None)


def is_reserved(address: int) -> bool:
    """Whether a stub has something of its own at `address`, so that no guest's page can be there."""
    return _HIGH <= address < _HIGH_END or _LOW <= address < _LOW_END
