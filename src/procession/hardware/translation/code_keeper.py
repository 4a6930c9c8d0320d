"""Where translated code is kept: a file in the user's cache directory, written whole and mapped whole.

Who could write to the file could put code into the user's programs, so it's read only if it's a file of
the user's own, in a directory of the user's own, to which nobody else can write. It's for one version of
the translator. A new one takes its place by being renamed, so that two machines at once see a whole file.
While one writes, what another has isn't kept. What isn't as it should be is as if it weren't there.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from procession.abi.blake2 import blake2b
from procession.abi.mmap_flags import Advice
from procession.abi.word import pack_array
from procession.hardware.engines.native.host_processor import return_bits
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from procession.hardware.translation.assembler import unsigned_64
from procession.hardware.translation.decode import LONGEST_INSTRUCTION
from procession.hardware.translation.kept_code import (
    CHECKSUM,
    ENTRIES,
    FIRST_CODE,
    HEADER,
    LEADS,
    MAGIC,
    MOST_CODE_BYTES,
    PAGE,
    STRADDLER,
    KeptCode,
    checksum_of_parts,
)

if TYPE_CHECKING:
    from procession.hardware.translation.code_cache import CodeCache
    from procession.hardware.translation.page_code import PageCode

_DIGEST_BYTES = 16
_OTHERS = 0o077
_NEW = ".new"
"""What the name of the file ends in that one machine at a time writes: who is ended leaves one at most."""
_MOST_FILE_BYTES = 4 * MOST_CODE_BYTES


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
            # and who writes it anew leaves this one as it is; but who shortens it in its place ends machines
            # that read it then.
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
    links = code.all_links()
    targets = sorted(links)
    held, of_frames = _contents_of_frames(code)
    page_numbers, pages, page_words = _pages_of(code, of_frames, links)
    straddlers: dict[tuple[int, int, int], int] = {}
    if kept is not None:
        straddlers |= {(pc, first, second): entry for pc, first, second, entry in kept.all_straddlers()}
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
            *(pack_array("Q", targets), pack_array("I", map(links.__getitem__, targets)), code.link_stubs),
            *(pack_array("Q", page_numbers), b"".join(pages), pack_array("Q", page_words)),
            *(STRADDLER.pack(*key, entry) for key, entry in straddlers.items()),
            code.view[FIRST_CODE : code.position],
        )
    )
    numbers = (
        *(
            code.position,
            code.cold_position,
            code.cold_end,
            0 if kept is None or code.has_much_news else kept.supplements + 1,
            code.exit_count,
            code.block_count,
            marks_before + len(code.marks),
            len(links),
        ),
        *(len(pages), len(page_words), len(straddlers), len(held)),
    )
    header = HEADER.pack(MAGIC, version, *numbers, 0)[: -CHECKSUM.size]
    return bytearray().join((header, CHECKSUM.pack(checksum_of_parts(header, body)), body, *held))


def _contents_of_frames(code: CodeCache) -> tuple[list[bytes], dict[int, int]]:
    """All contents of pages of files, those that were kept before first, and the number of its own for each
    frame that this run has.
    """
    kept = code.kept
    held: list[bytes] = []
    if kept is not None:
        starts = range(0, kept.content_count << PAGE_SHIFT, PAGE_SIZE)
        held += [bytes(kept.contents[start : start + PAGE_SIZE]) for start in starts]
    numbers = {data: number for number, data in enumerate(held)}
    of_frames: dict[int, int] = {}
    for frame, page in code.pages.items():
        if page.is_kept:
            of_frames[frame] = number = numbers.setdefault(page.data, len(held))
            if number == len(held):
                held.append(page.data)
    return held, of_frames


def _pages_of(
    code: CodeCache, of_frames: dict[int, int], links: dict[int, int]
) -> tuple[list[int], list[bytes], list[int]]:
    """The numbers of all pages of files, in their order, their records, and the words of these."""
    words: list[int] = []
    records: dict[tuple[int, int], bytes] = {}

    def add(number: int, content: int, kinds: Sequence[dict[int, int]]) -> None:
        first = len(words)
        for pairs in kinds:
            order = sorted(pairs)
            words.extend(order)
            words.extend(map(pairs.__getitem__, order))
        records[number, content] = PAGE.pack(content, first, *map(len, kinds))

    for frame, content in of_frames.items():
        page = code.pages[frame]
        if page.is_unfolded or not page.folded:
            for number, kinds in _by_number(page).items():
                kinds[LEADS] = _leads_to(kinds[ENTRIES], links)
                add(number, content, kinds)
    kept = code.kept
    if kept is not None:
        new_links = _new_links(links, len(kept.link_targets))
        for record in kept.all_records():
            number, content = record[:2]
            found = kept.page(record)
            if (number, content) in records or found is None:
                continue
            leads = _leads_to(found.entries(), new_links.get(number, {}))
            kinds = [{**found.leads(), **leads}, found.stanzas(), found.pads(), found.entries()]
            add(number, content, [*kinds, found.second_stanzas(), found.third_stanzas(), found.dead()])
    order = sorted(records)
    return [number for number, _ in order], [records[key] for key in order], words


def _by_number(page: PageCode) -> dict[int, list[dict[int, int]]]:
    """What is known of a page, for each of its numbers."""
    found: dict[int, list[dict[int, int]]] = {}
    none: dict[int, int] = {}
    dead = {pc: int(flag) for pc, flag in page.dead.items()}
    kinds = none, page.stanzas, page.pads, page.entries, page.second_stanzas, page.third_stanzas, dead
    for kind, pairs in enumerate(kinds):
        for pc, value in pairs.items():
            number = pc >> PAGE_SHIFT
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
        if pc in links and pc & PAGE_MASK <= PAGE_MASK - LONGEST_INSTRUCTION
    }


def _new_links(links: dict[int, int], known: int) -> dict[int, dict[int, int]]:
    """The numbers of links from `known` on by the pages and addresses that they lead to."""
    found: dict[int, dict[int, int]] = {}
    for target, link in links.items():
        if link >= known:
            found.setdefault(target >> PAGE_SHIFT, {})[target] = link
    return found
