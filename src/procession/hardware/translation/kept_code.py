"""What was translated in earlier runs, as the file has it that `code_keeper` writes.

It holds what the cache of code held at the end of a run, at the same places, and what leads there: by the
contents of a page and the guest's address, so that any program has it that maps the same page of the same
file there. Which code there is makes no difference to what a program does or counts.

The contents of pages are in the file too, and compared: that takes less than a digest which nobody can forge.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from procession.abi.word import Words
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE
from procession.hardware.translation import layout
from procession.hardware.translation.checksum import checksum_of

if TYPE_CHECKING:
    import mmap

FIRST_CODE = 0x1000
"""Where in the cache of code what is kept begins, behind the runtime."""
MOST_CODE_BYTES = 32 << 20
"""A run that begins with more than that doesn't begin with any."""
MAGIC = b"PRCNCODE"
HEADER = Words("<8s16s12IQ")
PAGE = Words("<9I")
"""The number of a page's contents, where its words begin, and how many there are of each kind."""
STRADDLER = Words("<QIIQ")
CHECKSUM = Words("<Q")
_SAMPLE, _SAMPLE_END = 1024, 1040
"""What of a page's contents is looked at first, as many programs have pages of the same number."""
_MOST_ALIKE = 16
"""How many pages of the same number and sample may be compared with one. Only a program that goes out to
write such pages has more: they're translated anew.
"""
_PAIR, _WORD, _HALF_WORD = 16, 8, 4
_TWO_WORDS = Words("<QQ")
_REGISTERS = 16
_LINK, _CROSS, _SETTLE = 0, 1, 6
"""The kinds of exits whose places are looked at."""
LEADS, STANZAS, PADS, ENTRIES, SECOND_STANZAS, THIRD_STANZAS, DEAD = range(7)
"""What is kept of a page, in its order in the file."""


class KeptPage:
    """What is kept of one page at one of its addresses, as `PageCode` has it, and `leads`: links, by number,
    that lead there.

    In `words`, from `first` on, each kind has its keys, in their order, and then what belongs to them.
    """

    __slots__ = ("counts", "first", "words")

    def __init__(self, words: memoryview[int], first: int, counts: Sequence[int]) -> None:
        self.words = words
        self.first = first
        self.counts = counts

    def entry(self, pc: int) -> int | None:
        """Where the code for `pc` begins."""
        return self._find(ENTRIES, pc)

    def stanza(self, pc: int) -> int | None:
        """Where the first table of jumps leads for `pc`."""
        return self._find(STANZAS, pc)

    def second_stanza(self, pc: int) -> int | None:
        """Where the second table of jumps leads for `pc`."""
        return self._find(SECOND_STANZAS, pc)

    @property
    def has_further_stanzas(self) -> bool:
        """Whether the second or third table leads here."""
        return self.counts[SECOND_STANZAS] > 0 or self.counts[THIRD_STANZAS] > 0

    def leads(self) -> dict[int, int]:
        """Where links lead that lead here."""
        return self._pairs(LEADS)

    def stanzas(self) -> dict[int, int]:
        """Where the first table of jumps leads."""
        return self._pairs(STANZAS)

    def pads(self) -> dict[int, int]:
        """Where the table of returns leads."""
        return self._pairs(PADS)

    def entries(self) -> dict[int, int]:
        """Where code begins."""
        return self._pairs(ENTRIES)

    def second_stanzas(self) -> dict[int, int]:
        """Where the second table of jumps leads."""
        return self._pairs(SECOND_STANZAS)

    def third_stanzas(self) -> dict[int, int]:
        """Where the third table of jumps leads."""
        return self._pairs(THIRD_STANZAS)

    def dead(self) -> dict[int, int]:
        """Whether flags are dead."""
        return self._pairs(DEAD)

    def _find(self, kind: int, key: int) -> int | None:
        words, start, count = self.words, self._start(kind), self.counts[kind]
        place = bisect_left(words, key, start, start + count)
        return words[place + count] if place < start + count and words[place] == key else None

    def _start(self, kind: int) -> int:
        return self.first + 2 * sum(self.counts[:kind])

    def _pairs(self, kind: int) -> dict[int, int]:
        start, count = self._start(kind), self.counts[kind]
        middle = start + count
        return dict(zip(self.words[start:middle], self.words[middle : middle + count], strict=True))


class KeptCode:
    """What a file holds. Raises ValueError if that isn't what a file should hold.

    `image` is the code, from FIRST_CODE to `end`, in which there's room from `cold_position` to `cold_end`.
    Of exits there are pairs of words: the kind with the place above it, and the pc; of blocks, which are in
    the order of their `starts`, the pc, the register, and where their marks end; of links the targets, in
    their order, the number of each, and by number where its stub is. `contents` has those of `content_count`
    pages. `page_numbers` are those of the pages of which `records` tell, in their order, and `pages` has what
    was asked for, by these numbers and a sample of the contents. `straddlers` has the instructions in two
    pages by the first one's number: their address, the contents of both, and where their code begins.
    `supplements` says how often little was added since much was.
    """

    __slots__ = (
        "block_count",
        "block_registers",
        "block_words",
        "cold_end",
        "cold_position",
        "content_count",
        "contents",
        "contents_start",
        "data",
        "end",
        "exit_count",
        "exits",
        "image",
        "link_numbers",
        "link_stubs",
        "link_targets",
        "mark_ends",
        "marks",
        "page_numbers",
        "page_words",
        "pages",
        "records",
        "starts",
        "straddlers",
        "supplements",
    )

    def __init__(self, data: bytearray | mmap.mmap, version: bytes) -> None:
        """`data` can be written to: machine code reads it, and ctypes tells the address of nothing else."""
        view = memoryview(data)
        if len(view) < HEADER.size:
            raise ValueError("no header")
        magic, made_by, *numbers = HEADER.unpack_from(view, 0)
        if magic != MAGIC or made_by != version:
            raise ValueError("another version's")
        end, cold_position, cold_end, supplements, *numbers = numbers
        exits, blocks, mark_bytes, links, pages, page_words, straddlers, contents, checksum = numbers
        sizes = (
            *(exits * _PAIR, blocks * _WORD, blocks * _HALF_WORD, blocks * _HALF_WORD, blocks),
            *(mark_bytes, links * _WORD, links * _HALF_WORD, links * _WORD),
            *(pages * _WORD, pages * PAGE.size, page_words * _WORD),
            *(straddlers * STRADDLER.size, end - FIRST_CODE),
        )
        checked = HEADER.size + sum(sizes)
        if (
            not FIRST_CODE <= end <= MOST_CODE_BYTES
            or not 0 <= cold_position <= cold_end <= end
            or 0 < cold_position < FIRST_CODE
            or links > layout.MAXIMUM_LINKS // 2
            or checked + contents * PAGE_SIZE != len(view)
            # Contents that aren't as they were written are no page's.
            or checksum_of_parts(view[: HEADER.size - CHECKSUM.size], view[HEADER.size : checked]) != checksum
        ):
            raise ValueError("not what was written")
        parts: list[memoryview] = []
        position = HEADER.size
        for size in sizes:
            parts.append(view[position : position + size])
            position += size
        self.end = end
        self.cold_position, self.cold_end = cold_position, cold_end
        self.supplements = supplements
        self.exit_count, self.block_count = exits, blocks
        self.exits, block_words, starts, mark_ends, self.block_registers, self.marks, *parts = parts
        link_targets, link_numbers, self.link_stubs, page_numbers, self.records, *parts = parts
        page_words, straddler_bytes, self.image = parts
        self.block_words, self.starts, self.mark_ends = (
            words_of(block_words),
            half_words_of(starts),
            half_words_of(mark_ends),
        )
        self.link_targets, self.link_numbers = words_of(link_targets), half_words_of(link_numbers)
        self.page_numbers, self.page_words = words_of(page_numbers), words_of(page_words)
        self.data = data
        self.contents_start: int = checked
        self.contents, self.content_count = view[checked:], contents
        self.pages: dict[int, dict[bytes, list[tuple[int, ...]]]] = {}
        self.straddlers: dict[int, list[tuple[int, int, int, int]]] = {}
        for straddler in STRADDLER.iter_unpack(straddler_bytes):
            self.straddlers.setdefault(straddler[0] >> PAGE_SHIFT, []).append(straddler)

    def exit_at(self, number: int) -> tuple[int, int, int]:
        """The kind, pc and place of an exit; a kind that there isn't if the place is none."""
        first, pc = _TWO_WORDS.unpack_from(self.exits, number * _PAIR)
        kind, place = first & 0xFF, first >> 8
        limit = len(self.link_targets) if kind == _CROSS else self.end - _HALF_WORD
        if place >= limit or (kind in (_LINK, _SETTLE) and place < FIRST_CODE):
            return 0xFF, pc, 0
        return kind, pc, place

    def block_at(self, number: int) -> tuple[int, int, int, bytes]:
        """The start, pc, counter's register (-1: none) and marks of a block."""
        since = self.mark_ends[number - 1] if number else 0
        register = self.block_registers[number] - 1
        return (
            self.starts[number],
            self.block_words[number],
            register if register < _REGISTERS else -1,
            bytes(self.marks[since : self.mark_ends[number]]),
        )

    def link(self, target: int) -> int | None:
        """The number of the link to `target`."""
        targets = self.link_targets
        place = bisect_left(targets, target)
        if place == len(targets) or targets[place] != target:
            return None
        number = self.link_numbers[place]
        return number if number < len(targets) else None

    def all_links(self) -> dict[int, int]:
        """The number of each link by its target."""
        return dict(zip(self.link_targets.tolist(), self.link_numbers.tolist(), strict=True))

    def holds(self, content: int, data: bytes) -> bool:
        """Whether the contents of number `content` are `data`."""
        place = self.contents_start + (content << PAGE_SHIFT)
        # Without a copy of them.
        return self.data.find(data, place, place + PAGE_SIZE) == place

    def _sample(self, content: int) -> bytes:
        place = content << PAGE_SHIFT
        return bytes(self.contents[place + _SAMPLE : place + _SAMPLE_END])

    def record_of(self, data: bytes, number: int) -> tuple[int, ...] | None:
        """The record of the guest's page `number` that holds `data`."""
        for record in self._by_sample(number).get(data[_SAMPLE:_SAMPLE_END], ()):
            if self.holds(record[1], data):
                return record
        return None

    def _by_sample(self, number: int) -> dict[bytes, list[tuple[int, ...]]]:
        """The records of page `number`, as far as they're compared with one. A file has those of many:
        most aren't asked for.
        """
        found = self.pages.get(number)
        if found is None:
            found = self.pages[number] = {}
            numbers = self.page_numbers
            place = bisect_left(numbers, number)
            while place < len(numbers) and numbers[place] == number:
                record = number, *PAGE.unpack_from(self.records, place * PAGE.size)
                alike = found.setdefault(self._sample(record[1]), [])
                if len(alike) < _MOST_ALIKE:
                    alike.append(record)
                place += 1
        return found

    def numbers_in(self, first: int, end: int) -> set[int]:
        """Those of the pages from `first` to `end` of which there is something."""
        numbers = self.page_numbers
        place = bisect_left(numbers, first)
        return set(numbers[place : bisect_left(numbers, end, place)])

    def all_records(self) -> Iterator[tuple[int, ...]]:
        """Those that are kept on."""
        for number in dict.fromkeys(self.page_numbers):
            for alike in self._by_sample(number).values():
                yield from alike

    def all_straddlers(self) -> Iterator[tuple[int, int, int, int]]:
        """Those that are kept on."""
        for known in self.straddlers.values():
            counts: dict[bytes, int] = {}
            for straddler in known:
                sample = self._sample(straddler[1])
                counts[sample] = count = counts.get(sample, 0) + 1
                if count <= _MOST_ALIKE:
                    yield straddler

    def straddlers_of(self, number: int, first: bytes, second: bytes) -> dict[int, int]:
        """Where the code of instructions in two pages begins, by their address: page `number` holds `first`,
        the next one `second`.
        """
        sample = first[_SAMPLE:_SAMPLE_END]
        alike = [each for each in self.straddlers.get(number, ()) if self._sample(each[1]) == sample]
        return {
            pc: entry
            for pc, holds_first, holds_second, entry in alike[:_MOST_ALIKE]
            if self.holds(holds_first, first) and self.holds(holds_second, second)
        }

    def page(self, record: tuple[int, ...]) -> KeptPage | None:
        """What a record says was kept."""
        first, counts = record[2], record[3:]
        if first + 2 * sum(counts) > len(self.page_words):
            return None
        return KeptPage(self.page_words, first, counts)


def words_of(view: memoryview) -> memoryview:
    """The quadwords of a part, which begins anywhere."""
    return view.cast("Q")


def half_words_of(view: memoryview) -> memoryview:
    """The doublewords of a part."""
    return view.cast("I")


def checksum_of_parts(header: bytes | memoryview, body: bytearray | memoryview) -> int:
    """What a file's header ends with: the checksum of the rest of it, and of what isn't contents."""
    return checksum_of(body, bytes(header))
