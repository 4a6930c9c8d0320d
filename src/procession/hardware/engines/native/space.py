"""One address space on the native engine: its stub, what that has mapped, and which code it may run."""

from __future__ import annotations

from typing import Final

from procession.abi.word import pack_u64
from procession.hardware import page_table as pte
from procession.hardware.engines.native.code_store import OTHERWISE, CodeStore
from procession.hardware.engines.native.stub import Processor, Stub
from procession.hardware.engines.native.window import Window
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from procession.hardware.translation.decode import LONGEST_INSTRUCTION, decode
from procession.hardware.translation.emitter import view_of
from procession.hardware.translation.kept_code import KeptPage
from procession.hardware.translation.layout import return_place
from procession.hardware.translation.opcodes import TRUNCATED
from procession.hardware.translation.page_code import PageCode

_TABLE_ENTRIES: Final = 1 << 16
_TABLE_MASK: Final = _TABLE_ENTRIES - 1
_RETURNS: Final = 3
"""Which of them is that of returns. It has 0 where nobody has returned yet."""
_MANY_PAGES: Final = 64
"""To empty all tables takes less than to empty the places of so many pages."""
_PRESENT_AND_CODE: Final = pte.PRESENT | pte.NO_EXECUTE
_AROUND: Final = 32
_LIKE_CODE: Final = pte.PRESENT | pte.USER | pte.CACHED
_OF_FILE: Final = _LIKE_CODE | pte.WRITABLE | pte.NO_EXECUTE
"""What an entry has of these that is looked at where there's code next to it: a file's page, that can't be
written to here."""


class Absent(Exception):
    """There is no code to be had at `address`: the kernel must be told of a fault there."""

    def __init__(self, address: int) -> None:
        super().__init__(address)
        self.address = address


class Space:
    """`code_pages` has the frame of each page from which the space has run code, `code_frames` the pages by
    frame; the tables of its stub lead to code of these alone. By page, `resolved_links` has the links and
    `landings` the places in the tables that do, those of each table after those of the one before; `led` has
    what was kept of pages, to which the tables lead besides, `seen` the leaf tables of code's pages as they
    were when last compared. `empty` is the store's, `turn` says which of the last two tables of indirect
    jumps gave way last. `entries` are the beginnings of code that were asked for, `entries_of` has their
    addresses by page. `root` is where its page tables begin. `saved_image` is the extended state that was
    saved last, as it's kept, `saved_area` as it was found.
    """

    __slots__ = (
        "code_frames",
        "code_pages",
        "empty",
        "entries",
        "entries_of",
        "is_stale",
        "landings",
        "last_used",
        "led",
        "resolved_links",
        "return_bits",
        "root",
        "saved_area",
        "saved_image",
        "seen",
        "store",
        "stub",
        "turn",
        "window",
    )

    def __init__(self, store: CodeStore, processor: Processor, memory: PhysicalMemory, root: int) -> None:
        """Start its stub. Raises StubUnavailable."""
        self.store = store
        self.root = root
        self.stub = stub = Stub(processor, store.cache, memory.descriptor)
        self.window = Window(stub, memory, root, store.code_frames)
        self.code_pages: dict[int, int] = {}
        self.code_frames: dict[int, set[int]] = {}
        self.entries: dict[int, int] = {}
        self.entries_of: dict[int, set[int]] = {}
        self.resolved_links: dict[int, set[int]] = {}
        self.landings: dict[int, set[int]] = {}
        self.led: dict[int, KeptPage] = {}
        self.seen: dict[int, bytes] = {}
        self.is_stale = False
        self.last_used = 0
        self.saved_area = self.saved_image = b""
        self.turn = 1
        self.empty = store.empty
        self.return_bits = store.cache.return_bits
        self._empty_tables()

    def _empty_tables(self) -> None:
        self.stub.fill_tables(self.empty[:_RETURNS])
        stubs = self.store.cache.link_stubs
        self.stub.links[: len(stubs)] = memoryview(stubs)

    def retire(self) -> None:
        """The address space is gone: keep the stub for another. There may never be one: what else it has is
        forgotten then.
        """
        self.window.drop_all()

    def adopt(self, root: int) -> None:
        """Be another address space's."""
        if len(self.code_pages) > _MANY_PAGES:
            self.store.cache.generation += 1
            self.forget_all()
        else:
            for number in list(self.code_pages):
                self.forget_page(number)
            self.seen.clear()
        self.root = self.window.root = root
        self.is_stale = False

    # Finding code

    def _page(self, pc: int) -> PageCode:
        """The code of the page at `pc`. Raises Absent."""
        window, store = self.window, self.store
        walk = window.walk
        entry = walk.find(self.root, pc)
        if entry & _PRESENT_AND_CODE != pte.PRESENT:
            raise Absent(pc)
        slot = walk.slot
        if not entry & pte.ACCESSED:
            walk.words[slot] |= pte.ACCESSED
        frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
        number = pc >> PAGE_SHIFT
        if self.code_pages.get(number) == frame:
            return store.cache.pages[frame]
        page = self._take(number, frame, entry)
        self._take_around(number, slot)
        return page

    def _take(self, number: int, frame: int, entry: int) -> PageCode:
        """Page `number` is `frame` from now on, as code."""
        store = self.store
        if number in self.code_pages:
            self.forget_page(number)
        self.code_pages[number] = frame
        self.seen.pop(number >> 9, None)
        self.code_frames.setdefault(frame, set()).add(number)
        page = store.cache.pages.get(frame)
        if page is None:
            data = self.window.memory.bytes[frame << PAGE_SHIFT : (frame + 1) << PAGE_SHIFT]
            page = store.cache.page(frame, data)
            page.is_kept = entry & pte.CACHED != 0
            if frame not in store.code_frames:
                store.protect((frame,))
        kept = store.cache.kept_page(page, number)
        if page.is_unfolded or kept is None:
            if page.entries:
                self._lead_to(page, number)
        else:
            self.led[number] = kept
            if store.filler.fill(kept, self.stub.orders_address) and kept.has_further_stanzas:
                self._lead_further_to(kept)
        return page

    def _take_around(self, number: int, slot: int) -> None:
        """Take the pages around page `number` as code, too, as far as they're those of a file: what was kept
        of them is led to at once, and they're used and not to be written to all the same if nothing was.
        """
        first = number & -_AROUND
        slot -= number - first
        words = self.window.walk.words
        code_pages, store = self.code_pages, self.store
        around = [
            (other, entry, (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT)
            for other, entry in enumerate(words[slot : slot + _AROUND].tolist(), first)
            if entry & _OF_FILE == _LIKE_CODE
        ]
        store.protect([frame for _, _, frame in around])
        kept, pages = store.cache.kept, store.cache.pages
        known = () if kept is None else kept.numbers_in(first, first + _AROUND)
        taken = [number]
        for other, entry, frame in around:
            if code_pages.get(other) != frame:
                if not entry & pte.ACCESSED:
                    words[slot + other - first] = entry | pte.ACCESSED
                if other in known or frame in pages or other in code_pages:
                    self._take(other, frame, entry)
                    taken.append(other)
        if kept is not None:
            edges = {before for number in taken for before in (number - 1, number)}
            for other in edges & kept.straddlers.keys():
                self._lead_over_edge(other)

    def _lead_over_edge(self, number: int) -> None:
        """Let links lead to what was kept of instructions that begin in page `number` and end in the next."""
        cache, frames = self.store.cache, self.code_pages
        if number not in frames or number + 1 not in frames:
            return
        first, second = frames[number], frames[number + 1]
        for pc, entry in cache.kept_straddlers(number, cache.pages[first], cache.pages[second]).items():
            link = cache.link(pc)
            if link is not None:
                cache.add_straddler((pc, first, second), entry)
                self.stub.links[link] = entry
                for each in (number, number + 1):
                    self.resolved_links.setdefault(each, set()).add(link)

    def _lead_further_to(self, kept: KeptPage) -> None:
        """Let the further tables lead to those of what was kept of a page whose places in the first one
        others have, as far as there's place.
        """
        tables, empty = self.stub.tables, self.empty
        for number, stanzas in ((1, kept.second_stanzas()), (2, kept.third_stanzas())):
            for pc, stanza in stanzas.items():
                first = kept.stanza(pc)
                if first is None or tables[0][pc & _TABLE_MASK] == first:
                    continue
                value = hash_of(pc)
                places = value & _TABLE_MASK, value >> 16
                place = places[number - 1]
                # It may be in the second one already.
                if tables[number][place] == empty[number] and (
                    number == 1 or tables[1][places[0]] != kept.second_stanza(pc)
                ):
                    tables[number][place] = stanza
                    landing = number * _TABLE_ENTRIES + place
                    self.landings.setdefault(pc >> PAGE_SHIFT, set()).add(landing)

    def _lead_to(self, page: PageCode, number: int) -> None:
        """Let links and tables lead to what is translated of a page already, before any is missed.

        Which of them do makes no difference to what is counted.
        """
        first, end = number << PAGE_SHIFT, (number + 1 << PAGE_SHIFT) - LONGEST_INSTRUCTION
        link_to, leads = self.store.cache.link, self.stub.links
        resolved = self.resolved_links.setdefault(number, set())
        for pc, entry in page.entries.items():
            link = link_to(pc)
            if link is not None and first <= pc < end:
                leads[link] = entry
                resolved.add(link)
        landings = self.landings.setdefault(number, set())
        empty, [table, *_] = self.empty[0], self.stub.tables
        for pc, stanza in page.stanzas.items():
            if first <= pc < end:
                place = pc & _TABLE_MASK
                if table[place] == empty:
                    table[place] = stanza
                    landings.add(place)
                elif pc in page.second_stanzas or pc in page.third_stanzas:
                    landings.add(self._lead_further(pc, stanza, page))
        for pc, pad in page.pads.items():
            if first <= pc < end:
                self._lead_back(pc, pad)

    def _lead_back(self, pc: int, pad: int) -> bool:
        """Let returns to `pc` come to `pad`, if no other address has its place; whether that's new."""
        table, place = self.stub.tables[_RETURNS], return_place(pc, self.return_bits)
        if table[place] not in (0, self.empty[_RETURNS]):
            return False
        table[place] = pad
        self.landings.setdefault(pc >> PAGE_SHIFT, set()).add(_RETURNS * _TABLE_ENTRIES + place)
        return True

    def note_return(self, pc: int) -> None:
        """Let returns to `pc` look among indirect jumps, until there's a place behind a call for them."""
        if self.stub.processor.holds_much:
            self.stub.empty_returns()
        self.stub.tables[_RETURNS][return_place(pc, self.return_bits)] = self.empty[_RETURNS]

    def _settle(self, page: PageCode) -> None:
        """Let links and returns lead to what was translated, of `page`, and its own links to what there is.
        To be called after each translation.
        """
        store = self.store
        cache, translator = store.cache, store.translator
        pages, frames = cache.pages, self.code_pages
        new_links = cache.new_links.copy()
        store.settle_links()
        for target in new_links:
            frame = frames.get(target >> PAGE_SHIFT)
            entry = None if frame is None else pages[frame].entry(target)
            if entry is not None:
                self._lead_link(cache.links[target], target, entry)
        new_entries = translator.new_entries
        for pc in new_entries:
            if pc in page.entries and frames.get(pc >> PAGE_SHIFT) == page.frame:
                # Asked last, as what was kept is searched for it.
                link = cache.link(pc)
                if link is not None:
                    self._lead_link(link, pc, page.entries[pc])
        new_entries.clear()
        new_pads = translator.new_pads
        for pc, pad in new_pads:
            self._lead_back(pc, pad)
        new_pads.clear()

    def entry(self, pc: int) -> int:
        """Where the code for `pc` begins. Raises Absent."""
        known = self.entries.get(pc)
        if known is not None:
            return known
        entry = self._find_entry(pc)
        self.entries[pc] = entry
        number = pc >> PAGE_SHIFT
        self.entries_of.setdefault(number, set()).add(pc)
        if pc & PAGE_MASK > PAGE_MASK - LONGEST_INSTRUCTION:
            self.entries_of.setdefault(number + 1, set()).add(pc)
        return entry

    def _find_entry(self, pc: int) -> int:
        page = self._page(pc)
        entry = page.entry(pc)
        if entry is None:
            self._make_room()
            page = self._page(pc)
            if decode(page.data, pc & PAGE_MASK).kind == TRUNCATED:
                entry = self._straddler(page, pc)
            else:
                entry = self.store.translator.translate(page, pc)
            self._settle(page)
        return entry

    def _straddler(self, page: PageCode, pc: int) -> int:
        store = self.store
        following = self._page((pc | PAGE_MASK) + 1)
        known = store.cache.straddler(pc, page, following)
        if known is None:
            code = page.data[pc & PAGE_MASK :] + following.data[:LONGEST_INSTRUCTION]
            known = store.translator.translate_straddler(pc, code)
            store.cache.add_straddler((pc, page.frame, following.frame), known)
        return known

    def _make_room(self) -> None:
        if self.store.cache.is_full:
            self.store.forget_all()

    def land(self, pc: int) -> int:
        """Let the tables of indirect jumps lead to `pc` from now on; where its code begins. Raises Absent."""
        store = self.store
        self._make_room()
        page = self._page(pc)
        page.unfold()
        pad = page.pads.get(pc)
        if pad is not None and self._lead_back(pc, pad):
            return self.entry(pc)
        first = store.translator.stanza(page, pc)
        if not first:
            entry = self.entry(pc)
            first = store.translator.straddler_stanza(pc, entry)
            pages = pc >> PAGE_SHIFT, (pc >> PAGE_SHIFT) + 1
        else:
            entry = page.entries[pc]
            pages = pc >> PAGE_SHIFT, pc >> PAGE_SHIFT
        self._settle(page)
        table, landing = self.stub.tables[0], pc & _TABLE_MASK
        if table[landing] in (self.empty[0], first):
            table[landing] = first
        else:
            # An instruction in two pages isn't its first page's alone.
            landing = self._lead_further(pc, first, page if pages[0] == pages[1] else None)
        for number in pages:
            self.landings.setdefault(number, set()).add(landing)
        return entry

    def _lead_further(self, pc: int, first: int, page: PageCode | None) -> int:
        """Let the second or third table lead to `pc`, whose first table's stanza is `first`; the landing.

        Where both places are taken one of those goes, which finds its other place free the next time.
        """
        value = hash_of(pc)
        tables, empty = self.stub.tables, self.empty
        seconds = {} if page is None else page.second_stanzas
        thirds = {} if page is None else page.third_stanzas
        places = 0, value & _TABLE_MASK, value >> 16
        if tables[1][places[1]] in (empty[1], seconds.get(pc)):
            number = 1
        elif tables[2][places[2]] in (empty[2], thirds.get(pc)):
            number = 2
        else:
            number = self.turn = 3 - self.turn
        known = (seconds, thirds)[number - 1]
        if pc not in known:
            known[pc] = self.store.translator.further_stanza(pc, first, OTHERWISE[number])
        tables[number][places[number]] = known[pc]
        return number * _TABLE_ENTRIES + places[number]

    def resolve_link(self, number: int, pc: int) -> int:
        """Let a link lead to `pc` from now on; where its code begins. Raises Absent."""
        generation = self.store.cache.generation
        entry = self.entry(pc)
        if self.store.cache.generation == generation:
            self._lead_link(number, pc, entry)
        return entry

    def _lead_link(self, number: int, pc: int, entry: int) -> None:
        """Let a link lead to the code for `pc`, which begins at `entry`, until its page is forgotten."""
        self.stub.links[number] = entry
        page = pc >> PAGE_SHIFT
        self.resolved_links.setdefault(page, set()).add(number)
        if pc & PAGE_MASK > PAGE_MASK - LONGEST_INSTRUCTION:
            # It may be an instruction in two pages.
            self.resolved_links.setdefault(page + 1, set()).add(number)

    def link_within(self, place: int, pc: int) -> int:
        """Link the jump at `place` in the cache, which lies in the same page as `pc`. Raises Absent."""
        store = self.store
        generation = store.cache.generation
        entry = self.entry(pc)
        if store.cache.generation == generation:
            page = self._page(pc)
            if page.entry(pc) == entry:
                store.cache.patch(place, entry - view_of(pc))
        return entry

    # Forgetting code

    def forget_all(self) -> None:
        """All code is dropped."""
        self.code_pages.clear()
        self.code_frames.clear()
        self.entries.clear()
        self.entries_of.clear()
        self.resolved_links.clear()
        self.landings.clear()
        self.led.clear()
        self.seen.clear()
        self._empty_tables()

    def forget_page(self, number: int) -> None:
        """What was at page `number` may be something else now."""
        frame = self.code_pages.pop(number, None)
        if frame is not None:
            pages = self.code_frames[frame]
            pages.discard(number)
            if not pages:
                del self.code_frames[frame]
            self.store.cache.generation += 1
        for pc in self.entries_of.pop(number, ()):
            self.entries.pop(pc, None)
        stubs = self.store.cache.link_stubs
        for link in self.resolved_links.pop(number, ()):
            self.stub.links[link] = stubs[link]
        kept = self.led.pop(number, None)
        if kept is not None:
            self._lead_away_from(kept)
        tables, empty = self.stub.tables, self.empty
        for landing in self.landings.pop(number, ()):
            table = min(landing // _TABLE_ENTRIES, _RETURNS)
            tables[table][landing - table * _TABLE_ENTRIES] = empty[table]

    def _lead_away_from(self, kept: KeptPage) -> None:
        """Let nothing lead to what was kept of a page any more."""
        links, stubs = self.stub.links, self.store.cache.link_stubs
        for link in kept.leads():
            if link < len(stubs):
                links[link] = stubs[link]
        table, returns = self.stub.tables[0], self.stub.tables[_RETURNS]
        for pc, stanza in kept.stanzas().items():
            if table[pc & _TABLE_MASK] == stanza:
                table[pc & _TABLE_MASK] = self.empty[0]
        for pc, pad in kept.pads().items():
            place = return_place(pc, self.return_bits)
            if returns[place] == pad:
                returns[place] = self.empty[_RETURNS]

    def forget_frame(self, frame: int) -> None:
        """The code of `frame` is dropped."""
        for number in list(self.code_frames.get(frame, ())):
            self.forget_page(number)

    def compare(self) -> None:
        """Forget what the page tables don't say any longer."""
        self.is_stale = False
        self.window.compare(self.root)
        memory, walk, code_pages = self.window.memory, self.window.walk, self.code_pages
        changed: set[int] = set()
        for leaf in {number >> 9 for number in code_pages}:
            walk.find(self.root, leaf << pte.LEAF_SHIFT)
            now = memory.bytes[walk.slot << 3 : (walk.slot << 3) + PAGE_SIZE] if walk.slot else b""
            if self.seen.get(leaf) != now:
                self.seen[leaf] = now
                changed.add(leaf)
        for number in [number for number in code_pages if number >> 9 in changed] if changed else ():
            entry = walk.find(self.root, number << PAGE_SHIFT)
            if (
                entry & _PRESENT_AND_CODE != pte.PRESENT
                or not entry & pte.ACCESSED
                or (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT != code_pages[number]
            ):
                self.forget_page(number)

    def drop_pages(self, addresses: list[int]) -> None:
        """The pages at `addresses` may be others now."""
        self.window.drop(addresses)
        for address in addresses:
            if address >> PAGE_SHIFT in self.code_pages:
                self.forget_page(address >> PAGE_SHIFT)


def hash_of(pc: int) -> int:
    """Where the second table has `pc`, and above that where the third has it: as `crc32` computes it."""
    value = 0
    for byte in pack_u64(pc):
        value = value >> 8 ^ _CRC32C[(value ^ byte) & 0xFF]
    return value


def _crc32c_table() -> tuple[int, ...]:
    """What each byte leaves behind: what its bits do, together; each lower one goes through once more."""
    table = [0] * 256
    left = 1
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        left = left >> 1 ^ (0x82F6_3B78 if left & 1 else 0)
        for others in range(0, 256, 2 * bit):
            table[others + bit] = table[others] ^ left
    return tuple(table)


_CRC32C = _crc32c_table()
