"""Translated code kept across runs: a file in the user's cache directory, written whole and read whole.

It holds what the cache of code held at the end of a run, at the same places, and what leads there: by the
contents of a page and the guest's address, so that any program has it that maps the same page of the same
file there. Which code there is makes no difference to what a program does or counts.

Who could write to the file could put code into the user's programs, so it's read only if it's a file of
the user's own, in a directory of the user's own, to which nobody else can write. It's for one version of
the translator. A new one takes its place by being renamed, so that two machines at once see a whole file;
the last one stays. What isn't as it should be is as if it weren't there.
"""

from __future__ import annotations

import os
import stat
import tempfile
import zlib
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from procession.abi.word import Words, pack_array
from procession.hardware.translation import layout

if TYPE_CHECKING:
    from procession.hardware.translation.code_cache import CodeCache

FIRST_CODE = 0x1000
"""Where in the cache of code what is kept begins, behind the runtime."""
MOST_CODE_BYTES = 32 << 20
"""A run that begins with more than that doesn't begin with any."""
_MAGIC = b"PRCNCODE"
_HEADER = Words("<8s16s11I")
_PAGE = Words("<16sI6I")
_STRADDLER = Words("<Q16s16sQ")
_CHECKSUM = Words("<I")
_DIGEST_BYTES = 16
_OTHERS = 0o077
_PAIR, _WORD, _HALF_WORD = 16, 8, 4
_ONE_WORD, _TWO_WORDS = Words("<Q"), Words("<QQ")
_MOST_FILE_BYTES = 4 * MOST_CODE_BYTES
_REGISTERS = 16
_LINK, _CROSS, _SETTLE = 0, 1, 6
"""The kinds of exits whose places are looked at."""


def default_directory() -> str:
    """Where the user's kept code is."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "procession", "code")


def digest_of(data: bytes) -> bytes:
    """What a page is known by."""
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()


@cache
def translator_version() -> bytes:
    """A digest of the translator itself: other code makes other translations."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for path in sorted(Path(__file__).parent.iterdir()):
        if path.suffix in (".py", ".so"):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.digest()


class KeptPage:
    """What is kept of one page: its pairs of the guest's address and something, as `PageCode` has them."""

    __slots__ = ("dead", "entries", "pads", "second_stanzas", "stanzas", "third_stanzas")

    def __init__(self, pairs: Sequence[dict[int, int]]) -> None:
        self.entries, self.stanzas, self.second_stanzas, self.third_stanzas, self.pads, dead = pairs
        self.dead = {pc: flag != 0 for pc, flag in dead.items()}


class KeptCode:
    """What a file holds. Raises ValueError if that isn't what a file should hold.

    `image` is the code, from FIRST_CODE to `end`, in which there's room from `cold_position` to `cold_end`.
    Of exits there are pairs of words: the kind with the place above it, and the pc; of blocks the start with
    the register above it, and the pc, and where their marks end. `straddlers` has instructions in two pages
    by address and both pages' digests.
    """

    __slots__ = (
        "block_count",
        "blocks",
        "cold_end",
        "cold_position",
        "end",
        "exit_count",
        "exits",
        "image",
        "link_stubs",
        "link_targets",
        "mark_ends",
        "marks",
        "page_records",
        "page_words",
        "pages",
        "straddlers",
    )

    def __init__(self, data: bytes, version: bytes) -> None:
        if len(data) < _HEADER.size:
            raise ValueError("no header")
        magic, made_by, *numbers = _HEADER.unpack_from(data, 0)
        if magic != _MAGIC or made_by != version:
            raise ValueError("another version's")
        end, cold_position, cold_end, *numbers = numbers
        exits, blocks, mark_bytes, links, pages, page_words, straddlers, checksum = numbers
        sizes = (
            *(end - FIRST_CODE, exits * _PAIR, blocks * _PAIR, blocks * _WORD, mark_bytes, links * _WORD),
            *(links * _WORD, pages * _PAGE.size, page_words * _WORD, straddlers * _STRADDLER.size),
        )
        view = memoryview(data)
        if (
            not FIRST_CODE <= end <= MOST_CODE_BYTES
            or not 0 <= cold_position <= cold_end <= end
            or 0 < cold_position < FIRST_CODE
            or links > layout.MAXIMUM_LINKS // 2
            or sum(sizes) != len(data) - _HEADER.size
            or _checksum(view[: _HEADER.size - _HALF_WORD], view[_HEADER.size :]) != checksum
        ):
            raise ValueError("not what was written")
        parts: list[memoryview] = []
        position = _HEADER.size
        for size in sizes:
            parts.append(view[position : position + size])
            position += size
        self.end = end
        self.cold_position, self.cold_end = cold_position, cold_end
        self.exit_count, self.block_count = exits, blocks
        self.image, self.exits, self.blocks, self.mark_ends, self.marks = parts[:5]
        self.link_targets, self.link_stubs = words_of(parts[5]), words_of(parts[6])
        self.page_records, self.page_words = parts[7], words_of(parts[8])
        self.pages: dict[bytes, int] = {}
        for offset in range(0, pages * _PAGE.size, _PAGE.size):
            digest, first, *counts = _PAGE.unpack_from(self.page_records, offset)
            if first + 2 * sum(counts) > page_words:
                raise ValueError("a page of nothing")
            self.pages[digest] = offset
        self.straddlers = {
            (pc, first, second): entry for pc, first, second, entry in _STRADDLER.iter_unpack(parts[9])
        }

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
        first, pc = _TWO_WORDS.unpack_from(self.blocks, number * _PAIR)
        since = _ONE_WORD.unpack_from(self.mark_ends, (number - 1) * _WORD)[0] if number else 0
        [until] = _ONE_WORD.unpack_from(self.mark_ends, number * _WORD)
        register = (first >> 32) - 1
        return (
            first & 0xFFFF_FFFF,
            pc,
            register if register < _REGISTERS else -1,
            bytes(self.marks[since:until]),
        )

    def starts(self) -> list[int]:
        """Where each block starts."""
        return [first & 0xFFFF_FFFF for first in words_of(self.blocks)[::2]]

    def page(self, data: bytes) -> KeptPage | None:
        """What is kept of a page with these contents."""
        offset = self.pages.get(digest_of(data)) if self.pages else None
        if offset is None:
            return None
        _, first, *counts = _PAGE.unpack_from(self.page_records, offset)
        pairs: list[dict[int, int]] = []
        for count in counts:
            middle, end = first + count, first + 2 * count
            pairs.append(dict(zip(self.page_words[first:middle], self.page_words[middle:end], strict=True)))
            first = end
        return KeptPage(pairs)


def words_of(view: memoryview) -> memoryview:
    """The quadwords of a part, which begins anywhere."""
    return memoryview(bytes(view)).cast("Q")


class CodeKeeper:
    """The file of kept code in `directory`, which is the user's alone."""

    __slots__ = ("directory", "path", "version")

    def __init__(self, directory: str, version: bytes | None = None) -> None:
        self.directory = directory
        self.path = os.path.join(directory, "translations")
        self.version = translator_version() if version is None else version

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
            with open(descriptor, "rb", closefd=False) as file:
                return KeptCode(file.read(_MOST_FILE_BYTES), self.version)
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
            descriptor, name = tempfile.mkstemp(dir=self.directory)
            try:
                with open(descriptor, "wb") as file:
                    file.write(contents_of(code, self.version))
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


def contents_of(code: CodeCache, version: bytes) -> bytes:
    """The bytes of a file, which is what was kept before and what has come to that."""
    kept = code.kept
    exits: list[int] = []
    for number in range(0 if kept is None else kept.exit_count, len(code.exits)):
        exit_ = code.exit_at(number)
        exits += (exit_.kind | exit_.place << 8, exit_.pc)
    blocks: list[int] = []
    mark_ends: list[int] = []
    marks = bytearray(b"" if kept is None else kept.marks)
    for number in range(0 if kept is None else kept.block_count, len(code.blocks)):
        block = code.block_number(number)
        blocks += (block.start | block.counter_register + 1 << 32, block.pc)
        marks += block.marks
        mark_ends.append(len(marks))
    pages, page_words, digests = _pages_of(code)
    straddlers = {} if kept is None else kept.straddlers.copy()
    for (pc, first, second), entry in code.straddlers.items():
        if first in digests and second in digests:
            straddlers[pc, digests[first], digests[second]] = entry
    body = b"".join(
        (
            bytes(code.view[FIRST_CODE : code.position]),
            *(b"" if kept is None else bytes(kept.exits), pack_array("Q", exits)),
            *(b"" if kept is None else bytes(kept.blocks), pack_array("Q", blocks)),
            *(b"" if kept is None else bytes(kept.mark_ends), pack_array("Q", mark_ends)),
            *(bytes(marks), pack_array("Q", tuple(code.links)), pack_array("Q", code.link_stubs)),
            *(b"".join(pages), pack_array("Q", page_words)),
            *(_STRADDLER.pack(*key, entry) for key, entry in straddlers.items()),
        )
    )
    numbers = (
        *(
            code.position,
            code.cold_position,
            code.cold_end,
            len(code.exits),
            len(code.blocks),
            len(marks),
            len(code.links),
        ),
        *(len(pages), len(page_words), len(straddlers)),
    )
    header = _HEADER.pack(_MAGIC, version, *numbers, 0)[:-_HALF_WORD]
    return header + _CHECKSUM.pack(_checksum(header, body)) + body


def _checksum(header: bytes | memoryview, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(header))


def _pages_of(code: CodeCache) -> tuple[list[bytes], list[int], dict[int, bytes]]:
    """The records of all pages of files, their words, and the digests of those that this run has by frame."""
    digests = {frame: digest_of(page.data) for frame, page in code.pages.items() if page.is_kept}
    words: list[int] = []
    records: dict[bytes, bytes] = {}
    for frame, digest in digests.items():
        page = code.pages[frame]
        first, counts = len(words), []
        for pairs in (
            *(page.entries, page.stanzas, page.second_stanzas, page.third_stanzas),
            *(page.pads, page.dead),
        ):
            counts.append(len(pairs))
            words += pairs
            words += map(int, pairs.values())
        records[digest] = _PAGE.pack(digest, first, *counts)
    kept = code.kept
    if kept is not None:
        for digest, offset in kept.pages.items():
            if digest not in records:
                _, since, *counts = _PAGE.unpack_from(kept.page_records, offset)
                records[digest] = _PAGE.pack(digest, len(words), *counts)
                words += kept.page_words[since : since + 2 * sum(counts)]
    return list(records.values()), words, digests
