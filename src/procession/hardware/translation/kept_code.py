"""Translated code kept across runs: a file in the user's cache directory, written whole and mapped whole.

It holds what the cache of code held at the end of a run, at the same places, and what leads there: by the
contents of a page and the guest's address, so that any program has it that maps the same page of the same
file there. Which code there is makes no difference to what a program does or counts.

Who could write to the file could put code into the user's programs, so it's read only if it's a file of
the user's own, in a directory of the user's own, to which nobody else can write. It's for one version of
the translator. A new one takes its place by being renamed, so that two machines at once see a whole file.
While one writes, what another has isn't kept. What isn't as it should be is as if it weren't there.

The contents of pages are in the file too, and compared: that takes less than a digest which nobody can forge.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from procession.abi.blake2 import blake2b
from procession.abi.mmap_flags import Advice
from procession.abi.word import Words, pack_array
from procession.hardware.engines.native.host_processor import return_bits
from procession.hardware.translation import layout
from procession.hardware.translation.assembler import unsigned_64
from procession.hardware.translation.checksum import checksum_of
from procession.hardware.translation.decode import LONGEST_INSTRUCTION

if TYPE_CHECKING:
    from procession.hardware.translation.code_cache import CodeCache
    from procession.hardware.translation.page_code import PageCode

FIRST_CODE = 0x1000
"""Where in the cache of code what is kept begins, behind the runtime."""
MOST_CODE_BYTES = 32 << 20
"""A run that begins with more than that doesn't begin with any."""
_MAGIC = b"PRCNCODE"
_HEADER = Words("<8s16s12IQ")
_PAGE = Words("<Q9I")
"""The page's number, that of its contents, where its words begin, and how many there are of each kind."""
_STRADDLER = Words("<QIIQ")
_CHECKSUM = Words("<Q")
_DIGEST_BYTES = 16
_PAGE_BYTES = 4096
_SAMPLE, _SAMPLE_END = 1024, 1040
"""What of a page's contents is looked at first, as many programs have pages of the same number."""
_MOST_ALIKE = 16
"""How many pages of the same number and sample may be compared with one. Only a program that goes out to
write such pages has more: they're translated anew.
"""
_OTHERS = 0o077
_NEW = ".new"
"""What the name of the file ends in that one machine at a time writes: who is ended leaves one at most."""
_PAGE_SHIFT, _PAGE_MASK = 12, 4095
_PAIR, _WORD, _HALF_WORD = 16, 8, 4
_ONE_WORD, _TWO_WORDS = Words("<Q"), Words("<QQ")
_MOST_FILE_BYTES = 4 * MOST_CODE_BYTES
_REGISTERS = 16
_LINK, _CROSS, _SETTLE = 0, 1, 6
"""The kinds of exits whose places are looked at."""
_LEADS, _STANZAS, _PADS, _ENTRIES, _SECOND_STANZAS, _THIRD_STANZAS, _DEAD = range(7)
"""What is kept of a page, in its order in the file."""


def default_directory() -> str:
    """Where the user's kept code is."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "procession", "code")


@cache
def translator_version(return_bits: int) -> bytes:
    """A digest of the translator: other code makes other translations, and so do other `return_bits`."""
    digest = blake2b(unsigned_64(return_bits), digest_size=_DIGEST_BYTES)
    directory = os.path.dirname(__file__)
    for name in sorted(os.listdir(directory)):
        if name.endswith((".py", ".so")):
            digest.update(name.encode())
            with open(os.path.join(directory, name), "rb") as file:
                digest.update(file.read())
    return digest.digest()


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
        return self._find(_ENTRIES, pc)

    def stanza(self, pc: int) -> int | None:
        """Where the first table of jumps leads for `pc`."""
        return self._find(_STANZAS, pc)

    def second_stanza(self, pc: int) -> int | None:
        """Where the second table of jumps leads for `pc`."""
        return self._find(_SECOND_STANZAS, pc)

    @property
    def has_further_stanzas(self) -> bool:
        """Whether the second or third table leads here."""
        return self.counts[_SECOND_STANZAS] > 0 or self.counts[_THIRD_STANZAS] > 0

    def leads(self) -> dict[int, int]:
        """Where links lead that lead here."""
        return self._pairs(_LEADS)

    def stanzas(self) -> dict[int, int]:
        """Where the first table of jumps leads."""
        return self._pairs(_STANZAS)

    def pads(self) -> dict[int, int]:
        """Where the table of returns leads."""
        return self._pairs(_PADS)

    def entries(self) -> dict[int, int]:
        """Where code begins."""
        return self._pairs(_ENTRIES)

    def second_stanzas(self) -> dict[int, int]:
        """Where the second table of jumps leads."""
        return self._pairs(_SECOND_STANZAS)

    def third_stanzas(self) -> dict[int, int]:
        """Where the third table of jumps leads."""
        return self._pairs(_THIRD_STANZAS)

    def dead(self) -> dict[int, int]:
        """Whether flags are dead."""
        return self._pairs(_DEAD)

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
    the order of their `starts`, the pc, the register, and where their marks end. `contents` has those of
    `content_count` pages. `records` has what the file says of pages by their numbers, and `pages` that of
    those that were asked for, also by a sample of their contents. `straddlers` has the instructions in two
    pages by the first one's number and its sample: their address, the contents of both, and where their code
    begins. `supplements` says how often little was added since much was.
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
        "link_stubs",
        "link_targets",
        "mark_ends",
        "marks",
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
        if len(view) < _HEADER.size:
            raise ValueError("no header")
        magic, made_by, *numbers = _HEADER.unpack_from(view, 0)
        if magic != _MAGIC or made_by != version:
            raise ValueError("another version's")
        end, cold_position, cold_end, supplements, *numbers = numbers
        exits, blocks, mark_bytes, links, pages, page_words, straddlers, contents, checksum = numbers
        sizes = (
            *(exits * _PAIR, blocks * _WORD, blocks * _HALF_WORD, blocks * _HALF_WORD, blocks),
            *(mark_bytes, links * _WORD, links * _WORD, pages * _PAGE.size, page_words * _WORD),
            *(straddlers * _STRADDLER.size, end - FIRST_CODE),
        )
        checked = _HEADER.size + sum(sizes)
        if (
            not FIRST_CODE <= end <= MOST_CODE_BYTES
            or not 0 <= cold_position <= cold_end <= end
            or 0 < cold_position < FIRST_CODE
            or links > layout.MAXIMUM_LINKS // 2
            or checked + contents * _PAGE_BYTES != len(view)
            # Contents that aren't as they were written are no page's.
            or _checksum(view[: _HEADER.size - _CHECKSUM.size], view[_HEADER.size : checked]) != checksum
        ):
            raise ValueError("not what was written")
        parts: list[memoryview] = []
        position = _HEADER.size
        for size in sizes:
            parts.append(view[position : position + size])
            position += size
        self.end = end
        self.cold_position, self.cold_end = cold_position, cold_end
        self.supplements = supplements
        self.exit_count, self.block_count = exits, blocks
        self.exits, self.block_words = parts[0], words_of(parts[1])
        self.starts, self.mark_ends = half_words_of(parts[2]), half_words_of(parts[3])
        self.block_registers, self.marks = parts[4:6]
        self.link_targets, self.link_stubs = words_of(parts[6]), words_of(parts[7])
        self.page_words = words_of(parts[9])
        self.image = parts[11]
        self.data = data
        self.contents_start: int = checked
        self.contents, self.content_count = view[checked:], contents
        self.records: dict[int, list[tuple[int, ...]]] = {}
        for record in _PAGE.iter_unpack(parts[8]):
            known = self.records.get(record[0])
            if known is None:
                self.records[record[0]] = [record]
            else:
                known.append(record)
        self.pages: dict[int, dict[bytes, list[tuple[int, ...]]]] = {}
        self.straddlers: dict[int, dict[bytes, list[tuple[int, int, int, int]]]] = {}
        for straddler in _STRADDLER.iter_unpack(parts[10]):
            pc, first, *_ = straddler
            samples = self.straddlers.setdefault(pc >> _PAGE_SHIFT, {})
            alike = samples.setdefault(self._sample(first), [])
            if len(alike) < _MOST_ALIKE:
                alike.append(straddler)

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

    def holds(self, content: int, data: bytes) -> bool:
        """Whether the contents of number `content` are `data`."""
        place = self.contents_start + (content << _PAGE_SHIFT)
        # Without a copy of them.
        return self.data.find(data, place, place + _PAGE_BYTES) == place

    def _sample(self, content: int) -> bytes:
        place = content << _PAGE_SHIFT
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
            for record in self.records.get(number, ()):
                alike = found.setdefault(self._sample(record[1]), [])
                if len(alike) < _MOST_ALIKE:
                    alike.append(record)
        return found

    def all_records(self) -> Iterator[tuple[int, ...]]:
        """Those that are kept on."""
        for number in self.records:
            for alike in self._by_sample(number).values():
                yield from alike

    def straddlers_of(self, number: int, first: bytes, second: bytes) -> dict[int, int]:
        """Where the code of instructions in two pages begins, by their address: page `number` holds `first`,
        the next one `second`.
        """
        return {
            pc: entry
            for pc, holds_first, holds_second, entry in self.straddlers.get(number, {}).get(
                first[_SAMPLE:_SAMPLE_END], ()
            )
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


class CodeKeeper:
    """The file of kept code in `directory`, which is the user's alone."""

    __slots__ = ("directory", "path", "version")

    def __init__(self, directory: str, version: bytes | None = None) -> None:
        self.directory = directory
        self.path = os.path.join(directory, "translations")
        self.version = translator_version(return_bits()) if version is None else version

    def load(self) -> KeptCode | None:
        """What is kept; None if nothing is, or it isn't to be trusted or used."""
        try:
            if not self._is_private():
                return None
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            found = os.fstat(descriptor)
            if (
                not stat.S_ISREG(found.st_mode)
                or found.st_uid != os.geteuid()
                or found.st_mode & _OTHERS
                or found.st_size > _MOST_FILE_BYTES
            ):
                return None
            # To copy it would take longer than all that's done with it. Nobody but the user can write to it,
            # and who writes it anew leaves this one as it is.
            data = mmap.mmap(descriptor, found.st_size, mmap.MAP_PRIVATE)
            with suppress(OSError):
                # All at once, where the host can do that (Linux 5.14).
                data.madvise(int(Advice.MADV_POPULATE_READ))
            return KeptCode(data, self.version)
        except (OSError, ValueError):
            return None
        finally:
            os.close(descriptor)

    def save(self, code: CodeCache) -> bool:
        """Keep what the cache of code holds, as far as it's code of files. Whether that could be done.

        When it has become too much, nothing is kept, and the next run begins anew.
        """
        try:
            if code.position > MOST_CODE_BYTES:
                os.unlink(self.path)
                return True
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            if not self._is_private():
                return False
            name = self.path + _NEW
            with open(name, "wb", opener=_open_new) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(os.fstat(file.fileno()), os.lstat(name)):
                    # Another machine's, which has just been renamed.
                    return False
                try:
                    file.truncate(0)
                    file.write(contents_of(code, self.version))
                    file.flush()
                    os.replace(name, self.path)
                except BaseException:
                    os.unlink(name)
                    raise
        except OSError:
            return False
        return True

    def _is_private(self) -> bool:
        found = os.lstat(self.directory)
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & _OTHERS


def _open_new(name: str, _flags: int) -> int:
    """The file to be written, which a machine that was ended meanwhile may have left. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(name, flags, 0o600)


def contents_of(code: CodeCache, version: bytes) -> bytearray:
    """The bytes of a file, which is what was kept before and what has come to that."""
    kept = code.kept
    marks_before = 0 if kept is None else len(kept.marks)
    mark_ends = [marks_before + end for end in code.mark_ends] if marks_before else code.mark_ends
    held, of_frames = _contents_of_frames(code)
    pages, page_words = _pages_of(code, of_frames)
    straddlers: dict[tuple[int, int, int], int] = {}
    if kept is not None:
        for samples in kept.straddlers.values():
            for known in samples.values():
                straddlers |= {(pc, first, second): entry for pc, first, second, entry in known}
    for (pc, first, second), entry in code.straddlers.items():
        if first in of_frames and second in of_frames:
            straddlers[pc, of_frames[first], of_frames[second]] = entry
    body = bytearray().join(
        (
            *(b"" if kept is None else kept.exits, pack_array("Q", code.exit_words)),
            *(b"" if kept is None else kept.block_words, pack_array("Q", code.block_words)),
            *(b"" if kept is None else kept.starts, pack_array("I", code.starts)),
            *(b"" if kept is None else kept.mark_ends, pack_array("I", mark_ends)),
            *(b"" if kept is None else kept.block_registers, code.block_registers),
            *(b"" if kept is None else kept.marks, code.marks),
            *(pack_array("Q", tuple(code.links)), pack_array("Q", code.link_stubs)),
            *(b"".join(pages), pack_array("Q", page_words)),
            *(_STRADDLER.pack(*key, entry) for key, entry in straddlers.items()),
            code.view[FIRST_CODE : code.position],
        )
    )
    numbers = (
        *(
            code.position,
            code.cold_position,
            code.cold_end,
            0 if kept is None or code.has_much_news else kept.supplements + 1,
            len(code.exits),
            len(code.blocks),
            marks_before + len(code.marks),
            len(code.links),
        ),
        *(len(pages), len(page_words), len(straddlers), len(held)),
    )
    header = _HEADER.pack(_MAGIC, version, *numbers, 0)[: -_CHECKSUM.size]
    return bytearray().join((header, _CHECKSUM.pack(_checksum(header, body)), body, *held))


def _checksum(header: bytes | memoryview, body: bytearray | memoryview) -> int:
    return checksum_of(body, bytes(header))


def _contents_of_frames(code: CodeCache) -> tuple[list[bytes], dict[int, int]]:
    """All contents of pages of files, those that were kept before first, and the number of its own for each
    frame that this run has.
    """
    kept = code.kept
    held: list[bytes] = []
    if kept is not None:
        starts = range(0, kept.content_count << _PAGE_SHIFT, _PAGE_BYTES)
        held += [bytes(kept.contents[start : start + _PAGE_BYTES]) for start in starts]
    numbers = {data: number for number, data in enumerate(held)}
    of_frames: dict[int, int] = {}
    for frame, page in code.pages.items():
        if page.is_kept:
            of_frames[frame] = number = numbers.setdefault(page.data, len(held))
            if number == len(held):
                held.append(page.data)
    return held, of_frames


def _pages_of(code: CodeCache, of_frames: dict[int, int]) -> tuple[list[bytes], list[int]]:
    """The records of all pages of files, and their words."""
    words: list[int] = []
    records: dict[tuple[int, int], bytes] = {}

    def add(number: int, content: int, kinds: Sequence[dict[int, int]]) -> None:
        first = len(words)
        for pairs in kinds:
            order = sorted(pairs)
            words.extend(order)
            words.extend(map(pairs.__getitem__, order))
        records[number, content] = _PAGE.pack(number, content, first, *map(len, kinds))

    for frame, content in of_frames.items():
        page = code.pages[frame]
        if page.is_unfolded or not page.folded:
            for number, kinds in _by_number(page).items():
                kinds[_LEADS] = _leads_to(kinds[_ENTRIES], code.links)
                add(number, content, kinds)
    kept = code.kept
    if kept is not None:
        new_links = _new_links(code, len(kept.link_targets))
        for record in kept.all_records():
            number, content = record[:2]
            found = kept.page(record)
            if (number, content) in records or found is None:
                continue
            leads = _leads_to(found.entries(), new_links.get(number, {}))
            kinds = [{**found.leads(), **leads}, found.stanzas(), found.pads(), found.entries()]
            add(number, content, [*kinds, found.second_stanzas(), found.third_stanzas(), found.dead()])
    return list(records.values()), words


def _by_number(page: PageCode) -> dict[int, list[dict[int, int]]]:
    """What is known of a page, for each of its numbers."""
    found: dict[int, list[dict[int, int]]] = {}
    none: dict[int, int] = {}
    dead = {pc: int(flag) for pc, flag in page.dead.items()}
    kinds = none, page.stanzas, page.pads, page.entries, page.second_stanzas, page.third_stanzas, dead
    for kind, pairs in enumerate(kinds):
        for pc, value in pairs.items():
            number = pc >> _PAGE_SHIFT
            if number not in found:
                found[number] = [{} for _ in kinds]
            found[number][kind][pc] = value
    return found


def _leads_to(entries: dict[int, int], links: dict[int, int]) -> dict[int, int]:
    """Where those of `links` lead, by number, that lead to one of `entries`. What begins at a page's end may
    be an instruction in two pages, which isn't this one's alone.
    """
    return {
        links[pc]: entry
        for pc, entry in entries.items()
        if pc in links and pc & _PAGE_MASK <= _PAGE_MASK - LONGEST_INSTRUCTION
    }


def _new_links(code: CodeCache, known: int) -> dict[int, dict[int, int]]:
    """The numbers of links from `known` on by the pages and addresses that they lead to."""
    found: dict[int, dict[int, int]] = {}
    for target, link in code.links.items():
        if link >= known:
            found.setdefault(target >> _PAGE_SHIFT, {})[target] = link
    return found
