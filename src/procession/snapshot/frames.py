"""The contents of the page frames in use, shared between snapshots: only what has changed is copied."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from procession.abi.blake2 import blake2b
from procession.abi.named_tuple import NamedTuple
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE
from procession.snapshot.frozen_memory import FrozenMemory, freeze
from procession.snapshot.shared_list import LEAF_SIZE, KeptList, SharedList
from procession.snapshot.written_pages import WrittenPages, written_pages

if TYPE_CHECKING:
    from procession.hardware.physical_memory import PhysicalMemory

_COUNT_BYTES = 8
_LEAF_BYTES = LEAF_SIZE * _COUNT_BYTES


class Page:
    """What a frame held. `digest` is made when it's first asked for."""

    __slots__ = ("data", "digest")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.digest = b""

    def read(self, frame: int) -> bytes:
        """What it held; `frame` is which one it was."""
        return self.data

    def digest_of(self, frame: int) -> bytes:
        """The digest of that."""
        if not self.digest:
            self.digest = blake2b(self.data, digest_size=16).digest()
        return self.digest


class FrozenPages(Page):
    """What all those frames held that stand in a list with this in their places: as `frozen` has it there."""

    __slots__ = ("digests", "frozen")

    def __init__(self, frozen: FrozenMemory) -> None:
        super().__init__(b"")
        self.frozen = frozen
        self.digests: dict[int, bytes] = {}

    def read(self, frame: int) -> bytes:
        return self.frozen.page(frame)

    def digest_of(self, frame: int) -> bytes:
        digest = self.digests.get(frame)
        if digest is None:
            digest = self.digests[frame] = blake2b(self.frozen.page(frame), digest_size=16).digest()
        return digest


UNKNOWN: Final = Page(b"")
"""What a frame holds that was written to and not looked at since."""


class KeptFrames(NamedTuple):
    """What the frames held at one moment, None for one that nobody had, and the counts of references up to
    the last frame that had been handed out."""

    pages: KeptList[Page | None]
    references: bytes

    def pages_since(self, earlier: KeptFrames) -> int:
        """How many pages this has that aren't in `earlier` as well, at the same place."""
        leaves, before = self.pages.leaves, earlier.pages.leaves
        count = sum(len(leaf) for leaf in leaves[len(before) :])
        for now, then in zip(leaves, before, strict=False):
            if now is not then:
                count += max(len(now) - len(then), 0)
                count += sum(page is not old for page, old in zip(now, then, strict=False))
        return count


class FrameKeeper:
    """Keeps the frames of one memory: all of them are compared at each look if it `compares`, as it must
    where another process writes to them.

    `pages` are what they held when they were looked at last, and `references` their counts then. `terms` are
    what each adds to the sum `total`, which is the digest of all.
    """

    __slots__ = (
        "compares",
        "digested",
        "memory",
        "pages",
        "references",
        "stale",
        "terms",
        "total",
        "written",
    )

    def __init__(self, memory: PhysicalMemory, *, compares: bool = False) -> None:
        self.memory = memory
        self.pages: SharedList[Page | None] = SharedList()
        self.references = b""
        self.compares = compares
        self.written: WrittenPages | None = None
        self.terms: list[int] = []
        self.total = 0
        self.stale: set[int] = set()
        self.digested = b""

    def keep(self) -> KeptFrames:
        """The frames as they are now."""
        self.look()
        return KeptFrames(self.pages.keep(), self.references)

    def look(self) -> None:
        """Find out what has changed."""
        memory, pages, data = self.memory, self.pages, self.memory.bytes
        end = memory.next_fresh
        counts = memory.references
        references = counts[:end].tobytes()
        if not pages.count and not self.compares and self._begin(end):
            self.references = references
            return
        pages.extend([None] * (end - pages.count))
        changed = self._written(end)
        # A fresh frame is zero without having been written to.
        changed.update(self._newly_counted(references))
        stale = self.stale
        for frame in changed:
            if not counts[frame]:
                if pages[frame] is not None:
                    pages[frame] = None
                    stale.add(frame)
                continue
            base = frame << PAGE_SHIFT
            now = data[base : base + PAGE_SIZE]
            known = pages[frame]
            if known is None or known.read(frame) != now:
                pages[frame] = Page(now)
                stale.add(frame)
        self.references = references

    def _begin(self, end: int) -> bool:
        """Let the host tell from now on what is written to; whether it also keeps what there is now."""
        memory = self.memory
        frozen = freeze(memory)
        self.written = written_pages(memory.bytes)
        if frozen is None:
            return False
        if self.written is not None:
            self.written.take(end)
        page = FrozenPages(frozen)
        self.pages.extend([page if count else None for count in memory.references[:end]])
        self.stale.update(range(end))
        return True

    def _written(self, end: int) -> set[int]:
        """The frames that may have been written to; all in use where the host doesn't tell."""
        if self.written is not None:
            return set(self.written.take(end))
        return set(range(end))

    def _newly_counted(self, references: bytes) -> list[int]:
        """The frames whose counts became zero, or no longer are."""
        return [
            frame for frame, old, new in differing_counts(self.references, references) if not old or not new
        ]

    def put_back(self, kept: KeptFrames) -> set[int]:
        """Let the frames hold what they held then; which were changed for that."""
        memory, data, pages = self.memory, self.memory.bytes, self.pages
        end, count = memory.next_fresh, len(kept.references) // _COUNT_BYTES
        pages.extend([UNKNOWN] * (end - pages.count))
        for frame in self._written(end):
            pages[frame] = UNKNOWN
        changed: set[int] = set()
        for frame, now, then in pages.differing(kept.pages):
            self.stale.add(frame)
            if then is not None and (now is not UNKNOWN or self._differs(frame, then)):
                base = frame << PAGE_SHIFT
                data[base : base + PAGE_SIZE] = then.read(frame)
                changed.add(frame)
        for frame in range(pages.count, count):
            self.stale.add(frame)
            page = kept.pages.leaves[frame // LEAF_SIZE][frame % LEAF_SIZE]
            if page is not None:
                data[frame << PAGE_SHIFT : (frame + 1) << PAGE_SHIFT] = page.read(frame)
                changed.add(frame)
        if end > count:
            # What was never handed out is zero.
            data[count << PAGE_SHIFT : end << PAGE_SHIFT] = bytes((end - count) << PAGE_SHIFT)
            changed.update(range(count, end))
            self.stale.update(range(count, end))
        pages.truncate(count)
        pages.put_back(kept.pages)
        counts = array("l", kept.references)
        memory.references[:count] = counts
        if end > count:
            memory.references[count:end] = array("l", bytes((end - count) * _COUNT_BYTES))
        self.references = kept.references
        if self.written is not None:
            # These writes are no news.
            self.written.take(max(end, count))
        return changed

    def _differs(self, frame: int, page: Page) -> bool:
        base = frame << PAGE_SHIFT
        return self.memory.bytes[base : base + PAGE_SIZE] != page.read(frame)

    def digest(self) -> int:
        """The digest of the frames as they were looked at last; it costs what has changed."""
        pages, terms, stale = self.pages, self.terms, self.stale
        stale.update(frame for frame, _, _ in differing_counts(self.digested, self.references))
        if len(terms) < pages.count:
            terms += [0] * (pages.count - len(terms))
        counts = memoryview(self.references).cast("l")
        total = self.total
        for frame in stale:
            if frame >= len(terms):
                continue
            page = pages[frame] if frame < pages.count else None
            term = 0
            if page is not None:
                text = b"%d:%d:%b" % (frame, counts[frame], page.digest_of(frame))
                term = int.from_bytes(blake2b(text, digest_size=16).digest(), "little")
            total += term - terms[frame]
            terms[frame] = term
        self.total = total
        stale.clear()
        self.digested = self.references
        return total

    def close(self) -> None:
        """Look no more."""
        if self.written is not None:
            self.written.close()
            self.written = None


def differing_counts(old: bytes, new: bytes) -> list[tuple[int, int, int]]:
    """The frames whose counts aren't the same, with both; what one has more than the other counts as zero."""
    if old == new:
        return []
    length = max(len(old), len(new))
    old, new = old.ljust(length, b"\0"), new.ljust(length, b"\0")
    found: list[tuple[int, int, int]] = []
    for at in range(0, length, _LEAF_BYTES):
        before, after = old[at : at + _LEAF_BYTES], new[at : at + _LEAF_BYTES]
        if before != after:
            first = at // _COUNT_BYTES
            pairs = zip(memoryview(before).cast("l"), memoryview(after).cast("l"), strict=True)
            found += [(frame, was, now) for frame, (was, now) in enumerate(pairs, first) if was != now]
    return found
