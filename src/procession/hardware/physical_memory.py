"""The machine's memory: page frames with reference counts, in one host mapping."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from procession.abi.mmap_flags import Advice
from procession.hardware.breath import take_breath
from procession.hardware.huge_pages import HugePages
from procession.hardware.kernel_memory import KernelMemory
from procession.hardware.overcommit import CommitRule

if TYPE_CHECKING:
    from procession.hardware.address_space import AddressSpace
    from procession.hardware.frame_owner import FaultCounts, FrameOwner, Reclaimer

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
PAGE_MASK: Final = PAGE_SIZE - 1
ZERO_FRAME: Final = 0
"""The page of zeros, which is at all private memory that has only been read (in Linux, empty_zero_page)."""

STALE_TRANSLATIONS: Final = 1
STALE_CODE: Final = 2
ENDED_SPACES: Final = 4
RESERVED_ADDRESSES: Final = 8
PAGES_WORKED: Final = 16
_PAGES_TO_A_BREATH: Final = 256

MAXIMUM_AREAS: Final = 65530
"""vm.max_map_count as a machine starts. Linux: include/linux/mm.h, DEFAULT_MAX_MAP_COUNT."""
MMAP_MINIMUM: Final = 0x10000
"""vm.mmap_min_addr as it starts, and what stays of it (in Linux, CONFIG_LSM_MMAP_MIN_ADDR)."""

_WORKING_SET: Final = 2048
"""So many pages of files are kept at least, an eighth of a small memory: what a few programs run from."""


class OutOfFrames(Exception):
    """No page frame is left; the kernel answers with its OOM killer, and the call with ENOMEM."""

    errno_number: ClassVar[int] = 12


class OutOfBuffers(OutOfFrames):
    """No page frame is left for the buffer of a socket; the call answers ENOBUFS."""

    errno_number: ClassVar[int] = 105


class PhysicalMemory:
    """`frame_count` page frames of 4,096 bytes; a frame is named by its number.

    Frame 0 is never handed out or written: it's the ZERO_FRAME, if this `has_zero_page`, so that what is
    read of private memory that nobody has written takes no frame; `zero_tables` are the leaf tables that lead
    there. Who tells accesses apart by frames does without. Other frames are counted, not owned: whoever maps
    or caches one holds one reference, and the last `release` gives it back. A frame is zeroed when it's
    handed out and not when it comes back, so that ending a process is cheap.

    Frames that have been mapped executable are remembered: an engine may hold translated code for them,
    so they return to a list of their own and are used again last.

    `stale` collects what the engine must drop before it runs user code again: STALE_TRANSLATIONS when a
    mapping lost rights or changed its frame (`stale_spaces`: by the frame of an address space's root the
    addresses of its pages, None for all), STALE_CODE when frames with code were written or reused
    (`stale_code`), ENDED_SPACES when address spaces are gone (`ended_spaces`, by their roots), and
    RESERVED_ADDRESSES when some have mapped what an engine may have reserved (`reserving_spaces`).
    PAGES_WORKED is there for the clock: how many entries of page tables have been changed or given back
    (`changed_pages`), and how many pages filled without a trap (`filled_pages`), that no time has been
    counted for yet.

    `reclaimable` are the frames whose contents can be read again from where they came, in the order in which
    they were filled or last seen in use; each with the page cache that holds it and its index there. When
    frames run out `reclaimer`, if there is one, makes some of them free.

    `fault_counts` are the running task's: the kernel's accesses to user memory may fault too.

    `payer` is who takes what is handed out now, None for nobody in particular; `owners` has who took the
    frames that somebody in particular did. `exhausted_owner` has no room left, where it was for this that a
    frame wasn't to be had.

    `is_exhausted` says that a frame was asked for and there was none; the OOM killer takes note of it.

    `counted` belongs to the page tables: it's about their frames, whoever shares them. `address_spaces` are
    those that exist, in the order of their making; each has no more than about `maximum_areas` areas
    (vm.max_map_count), and none below `lowest_address` (vm.mmap_min_addr). `huge_pages` and `folios` are
    HugePages, for all sizes and for folios of 64 KiB; `commit_rule` says how much may be promised.

    `account` is what the kernel's objects take. The frames that it has for them are out of use, and the host
    has their memory back: `held` were in use before, and the fresh ones from `fresh_end` on never were.
    `given_frames` is how many were given back since the host's heap was trimmed last.

    The backing is a memfd where the host has one, so that another process can map the same frames:
    `descriptor`, -1 if there is none. Fresh
    frames below `backed_frames` have the host's memory already: it's asked for by the megabyte, which costs
    less than a fault of the host's at each frame.
    """

    __slots__ = (
        "account",
        "address_spaces",
        "backed_frames",
        "bytes",
        "changed_pages",
        "counted",
        "descriptor",
        "ended_spaces",
        "executable",
        "exhausted_owner",
        "fault_counts",
        "filled_pages",
        "frame_count",
        "free",
        "free_executable",
        "fresh_end",
        "given_frames",
        "has_zero_page",
        "held",
        "is_exhausted",
        "lowest_address",
        "commit_rule",
        "folios",
        "huge_pages",
        "maximum_areas",
        "next_fresh",
        "owners",
        "payer",
        "reclaimable",
        "reclaimer",
        "references",
        "reserving_spaces",
        "stale",
        "stale_code",
        "stale_spaces",
        "words",
        "zero_tables",
    )

    # What is in the frames and who counts them is looked at by itself; what the host has backed stays so.
    OUTSIDE_STATE: ClassVar[tuple[str, ...]] = ("backed_frames", "bytes", "descriptor", "references", "words")

    def __init__(self, size_bytes: int) -> None:
        self.frame_count = size_bytes >> PAGE_SHIFT
        if self.frame_count < 16:
            raise ValueError(f"a machine needs at least 64 KiB of memory, not {size_bytes} bytes")
        self.descriptor = _make_backing(self.frame_count << PAGE_SHIFT)
        self.bytes = mmap.mmap(self.descriptor, self.frame_count << PAGE_SHIFT)
        self.words = memoryview(self.bytes).cast("Q")
        # The host gives a page of these counts when it's written to first.
        counts = mmap.mmap(-1, 8 * self.frame_count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.references = memoryview(counts).cast("l")
        self.free: list[int] = []
        self.free_executable: list[int] = []
        self.executable: set[int] = set()
        self.is_exhausted = False
        self.exhausted_owner: FrameOwner | None = None
        self.payer: FrameOwner | None = None
        self.owners: dict[int, FrameOwner] = {}
        self.fault_counts: FaultCounts | None = None
        self.reclaimable: dict[int, tuple[object, int]] = {}
        self.reclaimer: Reclaimer | None = None
        self.next_fresh = 1
        self.fresh_end = self.frame_count
        self.held: list[int] = []
        self.given_frames = 0
        self.account = KernelMemory(self)
        self.backed_frames = 1
        self.stale = 0
        self.changed_pages = self.filled_pages = 0
        self.stale_spaces: dict[int, list[int] | None] = {}
        self.stale_code: set[int] = set()
        self.ended_spaces: list[int] = []
        self.reserving_spaces: dict[int, None] = {}
        self.counted: dict[int, dict[int, None]] = {}
        self.has_zero_page = True
        self.zero_tables: set[int] = set()
        self.address_spaces: dict[AddressSpace, None] = {}
        self.maximum_areas: int = MAXIMUM_AREAS
        self.lowest_address: int = MMAP_MINIMUM
        self.huge_pages = int(HugePages.NEVER)
        self.folios = int(HugePages.ALWAYS)
        self.commit_rule = CommitRule(self.frame_count)

    @property
    def used_frames(self) -> int:
        """How many frames are handed out now."""
        return self.next_fresh - 1 - len(self.free) - len(self.free_executable) - len(self.held)

    @property
    def free_frames(self) -> int:
        """How many frames can still be handed out, those that the account has to spare among them."""
        return self.unheld_frames + self.account.spare_frames

    @property
    def unheld_frames(self) -> int:
        """How many frames nobody has."""
        return self.fresh_end - self.next_fresh + len(self.free) + len(self.free_executable)

    @property
    def spare_frames(self) -> int:
        """How many of the reclaimable frames may be taken: the last ones are what programs run from.

        Without these they would fault at every other instruction, and nobody would be killed for want of
        memory.
        """
        return max(len(self.reclaimable) - min(self.frame_count >> 3, _WORKING_SET), 0)

    @property
    def available_frames(self) -> int:
        """How many frames could be handed out if all that is to spare were let go."""
        return self.free_frames + self.spare_frames

    def allocate(self) -> int:
        """Hand out a zeroed frame with one reference. Raises OutOfFrames."""
        payer = self.payer
        if payer is not None:
            return self._allocate_for(payer, _ZEROED, 0, b"")
        free = self.free
        if free:
            frame = free.pop()
            base = frame << PAGE_SHIFT
            self.bytes[base : base + PAGE_SIZE] = _ZERO_PAGE
        else:
            frame = self._fresh_frame()
        self.references[frame] = 1
        return frame

    def allocate_several(self, count: int) -> Sequence[int]:
        """Hand out `count` zeroed frames, at least 1, which nobody pays for; fewer if others would have to
        make room.
        """
        free = self.free
        if free:
            frames: Sequence[int] = sorted(free[-count:])
            del free[-count:]
            data = self.bytes
            for frame in frames:
                base = frame << PAGE_SHIFT
                data[base : base + PAGE_SIZE] = _ZERO_PAGE
        else:
            first = self.next_fresh
            self.next_fresh = end = min(first + count, self.fresh_end)
            if first <= self.backed_frames < end:
                self._back_frames()
            frames = range(first, end)
        references = self.references
        for frame in frames:
            references[frame] = 1
        return frames

    def allocate_copy(self, source: int) -> int:
        """Hand out a frame with one reference and the contents of frame `source`. Raises OutOfFrames."""
        payer = self.payer
        if payer is not None:
            return self._allocate_for(payer, _COPIED, source, b"")
        frame = self.free.pop() if self.free else self._fresh_frame_besides(source)
        data = self.bytes
        to, origin = frame << PAGE_SHIFT, source << PAGE_SHIFT
        data[to : to + PAGE_SIZE] = data[origin : origin + PAGE_SIZE]
        self.references[frame] = 1
        return frame

    def allocate_with(self, contents: bytes) -> int:
        """Hand out a frame with one reference that holds `contents` (at most 4,096 bytes), then zeros."""
        payer = self.payer
        if payer is not None:
            return self._allocate_for(payer, _FILLED, 0, contents)
        frame = self.free.pop() if self.free else self._fresh_frame()
        base = frame << PAGE_SHIFT
        if len(contents) < PAGE_SIZE:
            contents = contents.ljust(PAGE_SIZE, b"\0")
        self.bytes[base : base + PAGE_SIZE] = contents
        self.references[frame] = 1
        return frame

    def _allocate_for(self, payer: FrameOwner, how: int, source: int, contents: bytes) -> int:
        """Hand out a frame that `payer` takes. Raises OutOfFrames."""
        if how == _COPIED:
            # To make room for the copy must not take away what is copied.
            self.references[source] += 1
        try:
            payer.charge(PAGE_SIZE)
        finally:
            if how == _COPIED:
                self.references[source] -= 1
        self.payer = None
        try:
            if how == _ZEROED:
                frame = PhysicalMemory.allocate(self)
            elif how == _COPIED:
                frame = PhysicalMemory.allocate_copy(self, source)
            else:
                frame = PhysicalMemory.allocate_with(self, contents)
        except OutOfFrames:
            payer.uncharge(PAGE_SIZE)
            raise
        finally:
            self.payer = payer
        self.owners[frame] = payer
        return frame

    def _fresh_frame(self) -> int:
        """A zeroed frame, when `free` has none. Raises OutOfFrames."""
        frame = self.next_fresh
        if frame < self.fresh_end:
            if frame == self.backed_frames:
                self._back_frames()
            self.next_fresh = frame + 1
            return frame
        if not self._find_free():
            self.refuse()
        if not self.free:
            return self._fresh_frame()
        frame = self.free.pop()
        self.bytes[frame << PAGE_SHIFT : (frame + 1) << PAGE_SHIFT] = _ZERO_PAGE
        return frame

    def _find_free(self, *, for_account: bool = False) -> bool:
        """Whether there is a frame to be had after all, fresh or in `free`, once somebody lets go of it.

        Who isn't the account gets what that has to spare.
        """
        while True:
            if self.free_executable:
                # Nothing runs until the kernel is left, and there the engine forgets what `stale` asks for.
                self.executable.difference_update(self.free_executable)
                self.stale_code.update(self.free_executable)
                self.stale |= STALE_CODE
                self.free.extend(self.free_executable)
                self.free_executable.clear()
            elif (for_account or not self.account.give_spare()) and (
                self.reclaimer is None or not self.reclaimer.reclaim(self, self._reclaim_count)
            ):
                return False
            if self.free or self.next_fresh < self.fresh_end:
                return True

    def hold(self, count: int) -> bool:
        """Take `count` frames out of use. Returns False, nothing changed, if there aren't so many."""
        if count <= self.fresh_end - self.next_fresh:
            self.fresh_end -= count
            return True
        taken: list[int] = []
        while len(taken) < count:
            if self.next_fresh < self.fresh_end:
                taken.append(self.next_fresh)
                self.next_fresh += 1
            elif self.free:
                taken.append(self.free.pop())
            elif not self._find_free(for_account=True):
                self.free += taken
                return False
        self._give_to_host(taken)
        self.held += taken
        return True

    def refuse(self) -> NoReturn:
        """There is no frame left. Raises OutOfFrames; the OOM killer is to act."""
        self.is_exhausted = True
        self.exhausted_owner = None
        raise OutOfFrames

    def give_held(self, count: int) -> None:
        """Put `count` frames that were held into use again."""
        fresh = min(count, self.frame_count - self.fresh_end)
        self.fresh_end += fresh
        if count > fresh:
            self.free += self.held[fresh - count :]
            del self.held[fresh - count :]
        self.given_frames += count
        if self.given_frames > max(self.frame_count >> 4, _FEWEST_TO_TRIM):
            # What the objects have left in the heap would come on top of these frames.
            self.given_frames = 0
            _trim_heap()

    def _give_to_host(self, frames: list[int]) -> None:
        """The host has the memory of `frames` back until they are used again (MADV_REMOVE)."""
        if not frames:
            return
        ordered = sorted(frames)
        first = last = ordered[0]
        for frame in [*ordered[1:], -1]:
            if frame != last + 1:
                if not self._drop(first << PAGE_SHIFT, last - first + 1 << PAGE_SHIFT):
                    # Then the host keeps it.
                    return
                first = frame
            last = frame

    def _drop(self, start: int, length: int) -> bool:
        """Whether the host has the memory of these bytes back."""
        # What is a copy of what a file once held, which others look at, can't be taken out of that file.
        for advice in (_MADV_REMOVE, _MADV_DONTNEED):
            try:
                self.bytes.madvise(advice, start, length)
            except OSError:
                continue
            return True
        return False

    def _back_frames(self) -> None:
        """Have the host's memory for the next fresh frames, which are zeros and stay so.

        To write them to the file and then look at them takes less of the host than to touch them all. In
        Linux, madvise(2), MADV_POPULATE_READ.
        """
        first = self.backed_frames
        last = min((first | _BACKED_AT_ONCE - 1) + 1, self.fresh_end)
        start, length = first << PAGE_SHIFT, last - first << PAGE_SHIFT
        advice = _MADV_POPULATE_WRITE
        try:
            if self.descriptor >= 0 and os.pwrite(self.descriptor, _BACKING[:length], start) == length:
                advice = _MADV_POPULATE_READ
            self.bytes.madvise(advice, start, length)
        except OSError:
            # A host older than Linux 5.14, or short of memory: then each frame is had at its first use.
            last = 0
        self.backed_frames = last

    def _fresh_frame_besides(self, needed: int) -> int:
        """A frame while the contents of frame `needed` stay where they are."""
        self.references[needed] += 1
        try:
            return self._fresh_frame()
        finally:
            self.references[needed] -= 1

    @property
    def _reclaim_count(self) -> int:
        """How many frames are reclaimed at a time."""
        return max(self.frame_count >> 7, 32)

    def translations_changed(self, root: int, start: int, end: int) -> None:
        """Mappings from byte `start` to `end` of the address space at `root`, page-aligned, aren't what they
        were."""
        self.stale |= STALE_TRANSLATIONS
        if end - start > FEW_PAGES << PAGE_SHIFT:
            self.stale_spaces[root] = None
            return
        pages = self.stale_spaces.setdefault(root, [])
        if pages is not None:
            pages += range(start, end, PAGE_SIZE)

    def note_changed(self, count: int) -> None:
        """So many entries of page tables have been changed: that takes time."""
        self.changed_pages += count
        self.stale |= PAGES_WORKED

    def note_filled(self, count: int = 1) -> None:
        """So many pages have been filled for whom no trap was needed, one or up to 512."""
        before = self.filled_pages
        self.filled_pages = before + count
        self.stale |= PAGES_WORKED
        if (before ^ before + count) >= _PAGES_TO_A_BREATH:
            take_breath()

    def space_changed(self, root: int) -> None:
        """Any mapping of the address space at `root` may not be what it was."""
        self.stale |= STALE_TRANSLATIONS
        self.stale_spaces[root] = None

    def space_ended(self, root: int) -> None:
        """The address space at `root` is gone, and the frame of its root may be another's soon."""
        self.stale |= ENDED_SPACES
        self.ended_spaces.append(root)
        self.reserving_spaces.pop(root, None)

    def space_reaches_reserved(self, root: int) -> None:
        """The address space at `root` has mapped addresses that an engine may have reserved."""
        self.stale |= RESERVED_ADDRESSES
        self.reserving_spaces[root] = None

    def code_changed(self, frame: int) -> None:
        """The kernel wrote to `frame`, from which an engine may have translated code."""
        self.stale |= STALE_CODE
        self.stale_code.add(frame)

    def are_zero(self, start_word: int, end_word: int) -> bool:
        """Whether all 64-bit words from `start_word` to `end_word`, a page's worth at most, are 0."""
        length = (end_word - start_word) << 3
        return self.bytes[start_word << 3 : end_word << 3] == _ZERO_PAGE[:length]

    def acquire(self, frame: int) -> None:
        """Take one more reference to `frame`."""
        self.references[frame] += 1

    def release(self, frame: int) -> None:
        """Give one reference back; the last one frees the frame."""
        count = self.references[frame] - 1
        self.references[frame] = count
        if count == 0:
            if self.owners:
                owner = self.owners.pop(frame, None)
                if owner is not None:
                    owner.uncharge_frame(frame)
            if frame in self.executable:
                self.free_executable.append(frame)
            else:
                self.free.append(frame)
        elif count < 0:
            raise AssertionError(f"frame {frame} released more often than it was acquired")

    def release_all(self, frames: Sequence[int]) -> None:
        """Give back one reference to each of `frames`."""
        references = self.references
        owners, executable, free = self.owners, self.executable, self.free
        is_plain = not owners and executable.isdisjoint(frames)
        for frame in frames:
            count = references[frame] - 1
            if count > 0:
                references[frame] = count
            elif not count and (is_plain or (not owners and frame not in executable)):
                references[frame] = 0
                free.append(frame)
            else:
                self.release(frame)

    def disown(self, frame: int) -> None:
        """Nobody in particular has taken `frame`, as from now on."""
        owner = self.owners.pop(frame, None)
        if owner is not None:
            owner.uncharge_frame(frame)

    def close(self) -> None:
        """Give the host its memory back; the object can't be used afterwards."""
        self.words.release()
        self.bytes.close()
        self.leave_file()

    def leave_file(self) -> None:
        """The file isn't what is in the frames any more: nobody else can map it."""
        if getattr(self, "descriptor", -1) >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        # A machine that nobody closed goes with its last reference, as its mapping does.
        self.leave_file()


_ZERO_PAGE: Final = bytes(PAGE_SIZE)
_ZEROED: Final = 0
_COPIED: Final = 1
_FILLED: Final = 2
_MADV_POPULATE_READ: Final = int(Advice.MADV_POPULATE_READ)
_MADV_POPULATE_WRITE: Final = int(Advice.MADV_POPULATE_WRITE)
_MADV_REMOVE: Final = int(Advice.MADV_REMOVE)
_MADV_DONTNEED: Final = int(Advice.MADV_DONTNEED)
_BACKED_AT_ONCE: Final = 256
_BACKING: Final = memoryview(bytes(_BACKED_AT_ONCE << PAGE_SHIFT))
FEW_PAGES: Final = 8
"""To drop one page's translation costs as much as to drop all, but all must then be found again."""


_FEWEST_TO_TRIM: Final = 1024


def _trim_heap() -> None:
    """Let the host have what is free in this process's heap: see malloc_trim(3), which glibc alone has."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _make_backing(size_bytes: int) -> int:
    """A file in memory of that size; -1, by which mmap knows memory without a file, if the host has none."""
    if not hasattr(os, "memfd_create"):
        return -1
    try:
        descriptor = os.memfd_create("procession-memory")
    except OSError:
        # A container's filter may not know it.
        return -1
    try:
        os.ftruncate(descriptor, size_bytes)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
