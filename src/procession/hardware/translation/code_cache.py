"""The cache of translated code: one file in memory, written here and executed in stubs."""

from __future__ import annotations

import mmap
import os
from array import array
from bisect import bisect_right

from procession.hardware.engines.native.host_processor import return_bits
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.hardware.translation import layout
from procession.hardware.translation.assembler import signed_32
from procession.hardware.translation.kept_code import FIRST_CODE, KeptCode, KeptPage
from procession.hardware.translation.page_code import PageCode
from procession.hardware.translation.runtime import assemble_runtime

_LEAST_ROOM = 1 << 20
_LEAST_NEWS, _NEWS_SHIFT = 1 << 14, 7
"""So many bytes of code are much, if they're more than one in 1 << _NEWS_SHIFT of what was kept: half a dozen
runs that translate them take as long as to write all of it anew.
"""
_MOST_SUPPLEMENTS, _LEAST_SUPPLEMENT = 2, 1 << 9
"""A run that begins with kept code finds a little to add that each later one would have to translate again:
where tables of jumps have no place free. To write it takes as much time as some dozen runs gain by it.
"""
_COLD_BYTES = 1 << 16

LINK, CROSS, BUDGET, ATTEND, STEP, STEP_INDIRECT, SETTLE = range(7)
"""Why code leaves: a jump within a page or beyond it that isn't linked yet, a budget that is spent, an
instruction that the machine attends to, an instruction that has been stepped over, a counter that isn't
enough for what a block counts.
"""


class Exit:
    """One place where code leaves: `kind` as above, and the guest's `pc` there.

    LINK, CROSS, BUDGET, STEP: `pc` is where to go on; of LINK `place` is the jump's displacement in the
    cache, of CROSS the link's number. ATTEND: `pc` is the instruction. SETTLE: `place` is where to go on in
    the cache.
    """

    __slots__ = ("kind", "pc", "place")

    def __init__(self, kind: int, pc: int, place: int = 0) -> None:
        self.kind = kind
        self.pc = pc
        self.place = place


class Block:
    """Code that was translated in a row. `marks` has three bytes for each instruction: its length, that of
    its translation, and which registers a fault in it must have restored (see `translator`).
    """

    __slots__ = ("counter_register", "marks", "pc", "start")

    def __init__(self, start: int, pc: int) -> None:
        self.start = start
        self.pc = pc
        self.marks = bytearray()
        self.counter_register = -1


class Place:
    """A guest's instruction: where its code begins on the host, its `pc`, and what a fault in it must have
    restored.
    """

    __slots__ = ("counter_register", "pc", "restoration", "start")

    def __init__(self, start: int, pc: int, restoration: int, counter_register: int) -> None:
        self.start = start
        self.pc = pc
        self.restoration = restoration
        self.counter_register = counter_register


class CodeCache:
    """`position` is where the next code goes, `cold_position` what is rarely executed, until `cold_end`.
    `generation` grows when code is dropped, or isn't that of a page any more; `was_cleared` says that all of
    it has been dropped once. `places` are those that have faulted lately, by the host's rip; `return_bits`
    say which place a return has in the table.

    `exits` and `blocks`, by number, are made when somebody asks for them. What they're made of, as it's kept,
    is in `exit_words` and, by block, in `starts`, `block_words`, `block_registers` and `mark_ends`, where its
    `marks` end: of this run's alone, behind those that were kept, of which there are `kept_exits` and
    `kept_blocks`.

    `pages` has the translated code by frame, `straddlers` the instructions that lie in two frames, by address
    and both; `straddlers_of` has their keys by each frame. `links` numbers the targets of jumps that leave
    their page, as far as they're new or were asked for; `link_stubs` are where each leads as long as it isn't
    resolved; `new_links` are the targets that have none yet.
    """

    __slots__ = (
        "block_registers",
        "block_words",
        "blocks",
        "cold_end",
        "cold_position",
        "descriptor",
        "exit_words",
        "exits",
        "generation",
        "kept",
        "kept_blocks",
        "kept_exits",
        "labels",
        "link_stubs",
        "links",
        "mark_ends",
        "marks",
        "memory",
        "new_links",
        "pages",
        "places",
        "position",
        "return_bits",
        "starts",
        "straddlers",
        "straddlers_of",
        "view",
        "was_cleared",
    )

    def __init__(self, kept: KeptCode | None = None) -> None:
        self.descriptor = -1
        descriptor = os.memfd_create("procession-code")
        try:
            os.ftruncate(descriptor, layout.CACHE_BYTES)
            self.memory = mmap.mmap(descriptor, layout.CACHE_BYTES)
        except OSError:
            os.close(descriptor)
            raise
        self.view = memoryview(self.memory)
        self.descriptor = descriptor
        self.return_bits = return_bits()
        runtime = assemble_runtime(self.return_bits)
        code = runtime.finish()
        assert len(code) <= FIRST_CODE
        self.view[: len(code)] = code
        self.labels = runtime.labels
        self.generation = 0
        self.was_cleared = False
        self.position = FIRST_CODE
        self.cold_position = self.cold_end = 0
        self.exits: dict[int, Exit] = {}
        self.blocks: dict[int, Block] = {}
        self.kept_exits = self.kept_blocks = 0
        self.exit_words: list[int] = []
        self.starts: list[int] = []
        self.block_words: list[int] = []
        self.block_registers = bytearray()
        self.marks = bytearray()
        self.mark_ends: list[int] = []
        self.pages: dict[int, PageCode] = {}
        self.places: dict[int, Place] = {}
        self.straddlers: dict[tuple[int, int, int], int] = {}
        self.straddlers_of: dict[int, set[tuple[int, int, int]]] = {}
        self.links: dict[int, int] = {}
        self.link_stubs = array("Q")
        self.new_links: list[int] = []
        self.kept = kept
        if kept is not None:
            self._take(kept)

    def _take(self, kept: KeptCode) -> None:
        """Hold what was kept of an earlier run. What isn't code is made of it when it's needed."""
        # Written to the file, as pages that are there already cost less than those that a view has first.
        written = os.pwrite(self.descriptor, kept.image, FIRST_CODE)
        self.view[FIRST_CODE + written : kept.end] = kept.image[written:]
        self.position = kept.end
        self.cold_position, self.cold_end = kept.cold_position, kept.cold_end
        self.kept_exits, self.kept_blocks = kept.exit_count, kept.block_count
        self.link_stubs.frombytes(kept.link_stubs)

    @property
    def is_full(self) -> bool:
        """Whether all code must go before there is more."""
        return (
            self.position > layout.CACHE_BYTES - _LEAST_ROOM
            or len(self.link_stubs) > layout.MAXIMUM_LINKS - 4096
        )

    @property
    def has_news(self) -> bool:
        """Whether the code is to be kept anew: there is much that wasn't, or a little for the first times."""
        if self.was_cleared or self.has_much_news:
            return not self.was_cleared
        kept = self.kept
        if kept is None or kept.supplements >= _MOST_SUPPLEMENTS:
            return False
        added: int = self.position - kept.end
        return added >= _LEAST_SUPPLEMENT

    @property
    def has_much_news(self) -> bool:
        """Whether there is much code that wasn't kept yet."""
        since = FIRST_CODE if self.kept is None else self.kept.end
        return self.position - since >= max(_LEAST_NEWS, (since - FIRST_CODE) >> _NEWS_SHIFT)

    def clear(self) -> None:
        """Drop all code but the runtime."""
        self.generation += 1
        self.was_cleared = True
        self.kept = None
        self.position = FIRST_CODE
        self.cold_position = self.cold_end = 0
        self.exits.clear()
        self.blocks.clear()
        self.kept_exits = self.kept_blocks = 0
        self.exit_words.clear()
        self.starts.clear()
        self.block_words.clear()
        self.block_registers.clear()
        self.marks.clear()
        self.mark_ends.clear()
        self.pages.clear()
        self.places.clear()
        self.straddlers.clear()
        self.straddlers_of.clear()
        self.links.clear()
        del self.link_stubs[:]
        self.new_links.clear()

    def add(self, code: bytes | bytearray) -> int:
        """Put code into the cache; its offset."""
        start = self.position
        self.position = end = start + len(code)
        self.view[start:end] = code
        return start

    def put(self, start: int, code: bytes | bytearray) -> None:
        """Put code into the cache where there is some."""
        self.view[start : start + len(code)] = code

    def make_cold_room(self, size: int) -> None:
        """See to it that there's room for `size` bytes of what is rarely executed, beside code that is
        often.
        """
        if self.cold_end - self.cold_position < size:
            self.cold_position = self.position
            self.position = self.cold_end = self.position + max(_COLD_BYTES, size)

    def add_cold(self, code: bytes | bytearray) -> None:
        """Put code there."""
        start = self.cold_position
        self.cold_position = end = start + len(code)
        assert end <= self.cold_end
        self.view[start:end] = code

    def add_exit(self, kind: int, pc: int, place: int = 0) -> int:
        """The number of a new place where code leaves."""
        words = self.exit_words
        number = self.kept_exits + (len(words) >> 1)
        words += (kind | place << 8, pc)
        return number + layout.FIRST_EXIT

    @property
    def exit_count(self) -> int:
        """How many places there are where code leaves."""
        return self.kept_exits + (len(self.exit_words) >> 1)

    @property
    def block_count(self) -> int:
        """How many blocks there are."""
        return self.kept_blocks + len(self.starts)

    def exit_at(self, number: int) -> Exit:
        """One of the places where code leaves."""
        found = self.exits.get(number)
        if found is None:
            kept, index = self.kept, number - self.kept_exits
            if kept is not None and index < 0:
                kind, pc, place = kept.exit_at(number)
                found = Exit(kind if kind <= SETTLE else BUDGET, pc, place)
            else:
                word, pc = self.exit_words[2 * index : 2 * index + 2]
                found = Exit(word & 0xFF, pc, word >> 8)
            self.exits[number] = found
        return found

    def block_number(self, number: int) -> Block:
        """One of the blocks."""
        found = self.blocks.get(number)
        if found is None:
            kept, index = self.kept, number - self.kept_blocks
            if kept is not None and index < 0:
                start, pc, register, marks = kept.block_at(number)
            else:
                start, pc = self.starts[index], self.block_words[index]
                register = self.block_registers[index] - 1
                since = self.mark_ends[index - 1] if index else 0
                marks = bytes(self.marks[since : self.mark_ends[index]])
            found = self.blocks[number] = Block(start, pc)
            found.counter_register = register
            found.marks += marks
        return found

    def lengths(self) -> tuple[int, ...]:
        """How much there is of what `cut` takes away again."""
        return (
            *(self.position, self.cold_position, self.cold_end),
            *(len(self.exit_words), len(self.starts), len(self.marks)),
        )

    def cut(self, lengths: tuple[int, ...]) -> None:
        """Have as much code, exits and blocks as `lengths` said."""
        self.position, self.cold_position, self.cold_end, words, starts, marks = lengths
        for number in range(self.kept_exits + (words >> 1), self.exit_count):
            self.exits.pop(number, None)
        for number in range(self.kept_blocks + starts, self.block_count):
            self.blocks.pop(number, None)
        del self.exit_words[words:], self.marks[marks:]
        for each in (self.starts, self.block_words, self.mark_ends):
            del each[starts:]
        del self.block_registers[starts:]

    def link(self, target: int) -> int | None:
        """The number of the link to `target`, if there is one."""
        number = self.links.get(target)
        if number is None and self.kept is not None:
            number = self.kept.link(target)
            if number is not None:
                self.links[target] = number
        return number

    def add_link(self, target: int) -> int:
        """The number of a new link to `target`, whose stub is still to be made."""
        number = self.links[target] = len(self.link_stubs)
        self.link_stubs.append(0)
        self.new_links.append(target)
        return number

    def all_links(self) -> dict[int, int]:
        """The number of each link by its target."""
        return self.links if self.kept is None else {**self.kept.all_links(), **self.links}

    def page(self, frame: int, data: bytes) -> PageCode:
        """What is translated of `frame`, which holds `data`."""
        page = self.pages.get(frame)
        if page is None:
            page = self.pages[frame] = PageCode(frame, data)
        return page

    def kept_page(self, page: PageCode, number: int) -> KeptPage | None:
        """What was kept of `page` as the guest's page `number`. From now on the page has it."""
        known = page.folded.get(number)
        if known is None and self.kept is not None:
            record = self.kept.record_of(page.data, number)
            if record is not None:
                known = self.kept.page(record)
            if known is not None:
                page.fold(number, known)
        return known

    def straddler(self, pc: int, first: PageCode, second: PageCode) -> int | None:
        """What is translated of an instruction in two pages."""
        key = pc, first.frame, second.frame
        known = self.straddlers.get(key)
        if known is None:
            known = self.kept_straddlers(pc >> PAGE_SHIFT, first, second).get(pc)
            if known is not None:
                self.add_straddler(key, known)
        return known

    def kept_straddlers(self, number: int, first: PageCode, second: PageCode) -> dict[int, int]:
        """What was kept of instructions in two pages, by their address; `number` is the first page's."""
        return {} if self.kept is None else self.kept.straddlers_of(number, first.data, second.data)

    def add_straddler(self, key: tuple[int, int, int], entry: int) -> None:
        """Take note of where the code of an instruction in two pages begins."""
        self.straddlers[key] = entry
        for frame in key[1:]:
            self.straddlers_of.setdefault(frame, set()).add(key)

    def forget_frame(self, frame: int) -> None:
        """Drop what is translated of `frame`."""
        self.pages.pop(frame, None)
        for key in self.straddlers_of.pop(frame, ()):
            del self.straddlers[key]
            for other in key[1:]:
                if other != frame:
                    self.straddlers_of[other].discard(key)

    def add_block(self, block: Block) -> None:
        """Take note of translated code, which lies behind all that there is."""
        self.starts.append(block.start)
        self.block_words.append(block.pc)
        self.block_registers.append(block.counter_register + 1)
        self.marks += block.marks
        self.mark_ends.append(len(self.marks))

    def block_at(self, offset: int) -> Block | None:
        """The last block that begins at or before `offset` in the cache."""
        index = bisect_right(self.starts, offset)
        if self.kept is not None:
            index = index + self.kept_blocks if index else bisect_right(self.kept.starts, offset)
        return self.block_number(index - 1) if index else None

    def patch(self, place: int, target: int) -> None:
        """Make the jump whose displacement is at `place` lead to offset `target`."""
        self.view[place : place + 4] = signed_32(target - place - 4)

    def close(self) -> None:
        """Give the host its memory back."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            self.view.release()
            self.memory.close()

    def __del__(self) -> None:
        self.close()
