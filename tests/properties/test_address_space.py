"""Checks address spaces against a model of bytes and rights, as the kernel sees them and the processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from procession.abi.errno import EACCES, EBADF, EFAULT, EINVAL, ENOMEM
from procession.hardware import page_table as pte
from procession.hardware.engine import FAULT_WRITE
from procession.hardware.engines.scripted import SCRATCH_ADDRESS, SCRATCH_BYTES
from procession.kernel.task import Task
from procession.mm.page_cache import PageCache
from procession.mm.peek import peek
from procession.mm.vma import ACCOUNTED, DONT_FORK, WIPE_ON_FORK, VirtualMemoryArea
from tests.kernel.conducted_machine import ConductedMachine, Outcome
from tests.of_a_kind import examples
from tests.properties.address_space_model import PAGE, READ, WRITE, Page, Space, Store
from tests.properties.page_walk import Translation, census, translate

# Two leaf tables, and two of the tables above them, meet in the middle of these pages.
ARENA = (0x4000_0000 >> 12) - 12
ARENA_PAGES = 24
HEAP = 0x2000_0000
SHARED, PRIVATE, FIXED, ANONYMOUS = 1, 2, 0x10, 0x20
MAYMOVE, MREMAP_FIXED, DONTUNMAP = 1, 2, 4
DONTNEED, DONTFORK, DOFORK, WIPEONFORK, KEEPONFORK, POPULATE_READ, POPULATE_WRITE = 4, 10, 11, 18, 19, 22, 23
INIT_CODE = 0x40_0000 // PAGE
OUTSIDE = {INIT_CODE, *range(SCRATCH_ADDRESS // PAGE, (SCRATCH_ADDRESS + SCRATCH_BYTES) // PAGE)}
"""What is mapped beside what the model knows."""

processes = st.integers(0, 7)
places = st.integers(0, ARENA_PAGES - 1)
lengths = st.integers(1, 7)
protections = st.sampled_from([0, 1, 3, 3, 3, 5, 7])
contents = st.binary(min_size=1, max_size=40)
offsets = st.one_of(st.integers(0, PAGE - 1), st.sampled_from([0, PAGE - 1, PAGE - 20]))
sizes = st.one_of(st.integers(0, 4 * PAGE), st.sampled_from([0, PAGE, 2 * PAGE, 4 * PAGE]))
OPENERS = ("read and write", "read only", "memfd")


def seen(area: VirtualMemoryArea) -> tuple[object, ...]:
    """What an area is."""
    first = area.page_offset if area.pages is not None else 0
    rights = area.protection, area.is_shared, area.may_write, area.flags
    return area.start, area.end, area.name, first, *rights


def foreseen(start: int, end: int, page: Page) -> tuple[object, ...]:
    """What the area of the pages from `start` up to `end`, the first being `page`, should be."""
    flags = DONT_FORK * page.is_kept_from_child | WIPE_ON_FORK * page.is_wiped_in_child
    flags |= ACCOUNTED * page.is_accounted
    rights = page.protection, page.is_shared, page.may_write, flags
    return start * PAGE, end * PAGE, page.name, page.index if page.store is not None else 0, *rights


def joined(areas: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The areas, with a heap as one: what a child's grows by is another behind what its parent wrote to."""
    found: list[tuple[object, ...]] = []
    for area in areas:
        before = found[-1] if found else ()
        if before and before[1] == area[0] and before[2:] == area[2:] and area[2] == b"[heap]":
            found[-1] = (before[0], *area[1:])
        else:
            found.append(area)
    return found


class AddressSpaces(RuleBasedStateMachine):
    """Processes that share, copy and change memory, each with its `Space` in the model."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = ConductedMachine(memory=1 << 23)
        self.kernel = self.machine.kernel
        self.memory = self.kernel.memory
        self.frames_before = self.memory.used_frames
        task = self.machine.process()
        task.mm.heap_start = task.mm.brk = HEAP
        self.tasks: list[tuple[Task, Space]] = [(task, Space())]
        self.brks = {task.tid: HEAP}
        self.parent = task
        self.translations: dict[int, Translation] = {}
        engine: Any = self.machine.machine.engine
        engine.flush_space = self.forget_space
        engine.flush_pages = self.forget_pages
        engine.use_address_space = lambda root, level: self.translations.clear()
        self.files: dict[str, tuple[int, Store]] = {}
        disk, memfd = Store("disk", 0), Store("memfd", 0)
        expect = self.machine.expect
        self.files["read and write"] = expect(task, "openat", -100, b"/model\0", 0o102, 0o600), disk
        self.files["read only"] = expect(task, "openat", -100, b"/model\0", 0), disk
        self.files["memfd"] = expect(task, "memfd_create", b"model\0", 0), memfd
        self.caches: dict[PageCache, None] = {}
        for fd, _ in self.files.values():
            cache = task.files.file(fd).mappable()
            assert cache is not None
            self.caches[cache] = None

    @initialize(disk=st.binary(max_size=3 * PAGE), memfd=st.binary(max_size=2 * PAGE))
    def fill_files(self, disk: bytes, memfd: bytes) -> None:
        for opener, data in (("read and write", disk), ("memfd", memfd)):
            if data:
                self.write_file(0, opener, 0, data)

    def who(self, number: int) -> tuple[Task, Space]:
        return self.tasks[number % len(self.tasks)]

    def is_live(self, root: int) -> bool:
        space = self.kernel.address_space
        return space is not None and space.tables.root == root

    def forget_space(self, root: int) -> None:
        if self.is_live(root):
            self.translations.clear()

    def forget_pages(self, root: int, addresses: list[int]) -> None:
        if self.is_live(root):
            for address in addresses:
                self.translations.pop(address // PAGE, None)

    def free_run(self, space: Space, address: int, length: int) -> None:
        """A place that the kernel chose must be free and whole."""
        assert address % PAGE == 0
        numbers = range(address // PAGE, address // PAGE + length)
        assert space.is_free(numbers)
        assert not set(numbers) & OUTSIDE

    # Mapping

    def enter(
        self, space: Space, outcome: Outcome, at: range, make: Callable[[int], Page], *, is_fixed: bool
    ) -> None:
        """What mmap has done: `make` gives the pages."""
        start, length = at.start, len(at)
        assert isinstance(outcome, int)
        assert outcome > 0, f"mmap fails with errno {-outcome}"
        if is_fixed:
            assert outcome == start * PAGE
        else:
            self.free_run(space, outcome, length)
        first = outcome // PAGE
        space.unmap(range(first, first + length))
        for index in range(length):
            space.pages[first + index] = make(index)

    @rule(
        number=processes, at=places, length=lengths, protection=protections,
        is_shared=st.booleans(), is_fixed=st.sampled_from([True, True, False]),
    )  # fmt: skip
    def map_anonymous(
        self, number: int, at: int, length: int, protection: int, is_shared: bool, is_fixed: bool
    ) -> None:
        task, space = self.who(number)
        start = ARENA + at
        flags = ANONYMOUS | (SHARED if is_shared else PRIVATE) | (FIXED if is_fixed else 0)
        address = start * PAGE if is_fixed else 0
        outcome = self.machine.call(task, "mmap", address, length * PAGE, protection, flags, -1, 0)
        store = Store("shared", length * PAGE) if is_shared else None
        name = b"/dev/zero (deleted)" if is_shared else b""

        def make(index: int) -> Page:
            page = Page(protection, store, index if store is not None else 0, is_shared=is_shared)
            page.name = name
            return page

        self.enter(space, outcome, range(start, start + length), make, is_fixed=is_fixed)

    @rule(
        number=processes, at=places, length=lengths, protection=protections, first=st.integers(0, 3),
        is_shared=st.booleans(), opener=st.sampled_from(OPENERS),
    )  # fmt: skip
    def map_file(
        self, number: int, at: int, length: int, protection: int, first: int, is_shared: bool, opener: str
    ) -> None:
        task, space = self.who(number)
        fd, store = self.files[opener]
        start = ARENA + at
        flags = FIXED | (SHARED if is_shared else PRIVATE)
        outcome = self.machine.call(
            task, "mmap", start * PAGE, length * PAGE, protection, flags, fd, first * PAGE
        )
        may_write = not is_shared or opener != "read only"
        if protection & WRITE and not may_write:
            assert outcome == -EACCES.number
            return

        def make(index: int) -> Page:
            page = Page(protection, store, first + index, is_shared=is_shared)
            page.opener, page.may_write = opener, may_write
            return page

        self.enter(space, outcome, range(start, start + length), make, is_fixed=True)

    @rule(number=processes, at=places, length=lengths)
    def unmap(self, number: int, at: int, length: int) -> None:
        task, space = self.who(number)
        assert self.machine.call(task, "munmap", (ARENA + at) * PAGE, length * PAGE) == 0
        space.unmap(range(ARENA + at, ARENA + at + length))

    @rule(number=processes, at=places, length=lengths, protection=protections)
    def protect(self, number: int, at: int, length: int, protection: int) -> None:
        task, space = self.who(number)
        numbers = range(ARENA + at, ARENA + at + length)
        expected = 0
        changed: list[tuple[Page, bool]] = []
        for each in numbers:
            page = space.pages.get(each)
            if page is None:
                expected = -ENOMEM.number
                break
            if protection & WRITE and not page.may_write:
                expected = -EACCES.number
                break
            # Which pages are there is the machine's affair: it brings in some that nobody has asked for.
            alike = next(range(*ends) for *ends, _ in space.areas() if ends[0] <= each < ends[1])
            part = range(max(alike.start, numbers.start), min(alike.stop, numbers.stop))
            changed.append((page, any(task.mm.tables.entry(other) for other in part)))
        for page, has_pages in changed:
            page.protect(protection, has_pages=has_pages)
        assert self.machine.call(task, "mprotect", numbers[0] * PAGE, length * PAGE, protection) == expected

    @rule(
        number=processes, at=places, old=st.integers(0, 7), new=lengths, to=places,
        flags=st.sampled_from([0, MAYMOVE, MAYMOVE, MAYMOVE | MREMAP_FIXED, MAYMOVE | MREMAP_FIXED,
                               MAYMOVE | DONTUNMAP, MAYMOVE | DONTUNMAP | MREMAP_FIXED, MREMAP_FIXED]),
    )  # fmt: skip
    def remap(self, number: int, at: int, old: int, new: int, to: int, flags: int) -> None:
        task, space = self.who(number)
        start, target = ARENA + at, ARENA + to
        outcome = self.machine.call(
            task, "mremap", start * PAGE, old * PAGE, new * PAGE, flags,
            target * PAGE if flags & MREMAP_FIXED else 0,
        )  # fmt: skip
        expected = self.expected_remap(space, start, old, new, target, flags)
        if expected is not None:
            assert outcome == expected
            return
        assert isinstance(outcome, int)
        assert outcome > 0, f"mremap fails with errno {-outcome}"
        self.apply_remap(space, start, old, new, outcome // PAGE, flags)

    def expected_remap(
        self, space: Space, start: int, old: int, new: int, target: int, flags: int
    ) -> int | None:
        """What mremap answers if that isn't a new place; what it does before that is done."""
        if flags & (MREMAP_FIXED | DONTUNMAP) and not flags & MAYMOVE:
            return -EINVAL.number
        if flags & DONTUNMAP and old != new:
            return -EINVAL.number
        if flags & MREMAP_FIXED and start < target + new and target < start + old:
            return -EINVAL.number
        first = space.pages.get(start)
        if first is None:
            return -EFAULT.number
        if old == 0 and not first.is_shared:
            return -EINVAL.number
        if old and new <= old and not flags & (MREMAP_FIXED | DONTUNMAP):
            space.unmap(range(start + new, start + old))
            return start * PAGE
        # To a place of one's choice all is moved that is in the range, holes too: so since Linux 6.17.
        moves_all = flags & MREMAP_FIXED and old == new
        if not moves_all and not space.is_one_area(range(start, start + max(min(old, new), 1))):
            return -EFAULT.number
        if moves_all:
            # What is where a hole would come stays.
            space.unmap(target + at for at in range(new) if start + at in space.pages)
        elif flags & MREMAP_FIXED:
            space.unmap(range(target, target + new))
        if flags & MREMAP_FIXED and new < old:
            space.unmap(range(start + new, start + old))
        if old and not flags & (MREMAP_FIXED | DONTUNMAP) and space.is_free(range(start + old, start + new)):
            self.extend(space, start, old, new)
            return start * PAGE
        return None if flags & MAYMOVE else -ENOMEM.number

    @staticmethod
    def extend(space: Space, start: int, old: int, new: int) -> None:
        """Pages after those from `start` on, like them."""
        last = space.pages[start + old - 1]
        for at in range(old, new):
            page = Page(last.protection, last.store, last.index, is_shared=last.is_shared)
            page.__dict__.update(last.__dict__)
            page.private = None
            page.index = last.index + (at - old + 1 if last.store is not None else 0)
            space.pages[start + at] = page

    def apply_remap(self, space: Space, start: int, old: int, new: int, target: int, flags: int) -> None:
        if not flags & MREMAP_FIXED:
            self.free_run(space, target * PAGE, new)
        count = min(old, new) or 1
        for at in range(count):
            source = space.pages.get(start + at)
            if source is None:
                continue
            page = Page(0, None, 0, is_shared=False)
            page.__dict__.update(source.__dict__)
            space.pages[target + at] = page
            if flags & DONTUNMAP:
                source.drop()
            elif old:
                del space.pages[start + at]
        if new > count:
            self.extend(space, target, count, new)

    @rule(
        number=processes, at=places, length=lengths,
        advice=st.sampled_from([DONTNEED, DONTNEED, DONTFORK, DOFORK, WIPEONFORK, KEEPONFORK,
                                POPULATE_READ, POPULATE_WRITE]),
    )  # fmt: skip
    def advise(self, number: int, at: int, length: int, advice: int) -> None:
        task, space = self.who(number)
        numbers = range(ARENA + at, ARENA + at + length)
        expected = 0
        for each in numbers:
            page = space.pages.get(each)
            if page is None:
                expected = -ENOMEM.number
                if advice in {POPULATE_READ, POPULATE_WRITE}:
                    break
            elif advice == DONTNEED:
                page.drop()
            elif advice in {DONTFORK, DOFORK}:
                page.is_kept_from_child = advice == DONTFORK
            elif advice in {WIPEONFORK, KEEPONFORK}:
                if advice == WIPEONFORK and page.store is not None:
                    expected = -EINVAL.number
                    break
                page.is_wiped_in_child = advice == WIPEONFORK
            else:
                right = WRITE if advice == POPULATE_WRITE else 0
                if not page.protection or (right and not page.protection & WRITE):
                    expected = -EINVAL.number
                    break
                if page.is_past_the_end:
                    expected = -EFAULT.number
                    break
                if right:
                    # Nothing changes but that the page is its own from now on.
                    page.write(0, b"")
        assert self.machine.call(task, "madvise", numbers[0] * PAGE, length * PAGE, advice) == expected

    @rule(number=processes, end=st.integers(-1, 6 * PAGE))
    def set_break(self, number: int, end: int) -> None:
        task, space = self.who(number)
        old = self.brks[task.tid]
        outcome = self.machine.call(task, "brk", HEAP + end)
        if end < 0:
            assert outcome == old
            return
        assert outcome == HEAP + end
        first, past = HEAP // PAGE, -(-(HEAP + end) // PAGE)
        space.unmap(range(past, first + 10))
        for each in range(first, past):
            if each not in space.pages:
                space.pages[each] = Page(READ | WRITE, None, 0, is_shared=False)
                space.pages[each].name = b"[heap]"
        self.brks[task.tid] = HEAP + end

    # Processes

    @precondition(lambda self: len(self.tasks) < 6)
    @rule(number=processes)
    def fork(self, number: int) -> None:
        task, space = self.who(number)
        child = self.machine.fork(task)
        self.tasks.append((child, space.fork()))
        self.brks[child.tid] = self.brks[task.tid]

    @precondition(lambda self: len(self.tasks) > 1)
    @rule(number=processes)
    def exit(self, number: int) -> None:
        task, space = self.who(number)
        if task is self.parent:
            return
        self.tasks.remove((task, space))
        self.machine.exit(task)
        self.machine.reap_orphans()
        self.machine.call(self.parent, "wait4", -1, 0, 1, 0)

    # Reading and writing

    def place(self, space: Space, pick: int, offset: int) -> int:
        """An address: of one of the pages that there are, or in the arena."""
        numbers = sorted(space.pages)
        page = numbers[pick % len(numbers)] if numbers and pick % 5 else ARENA + pick % ARENA_PAGES
        return page * PAGE + offset

    @rule(number=processes, pick=st.integers(0, 400), offset=offsets, length=st.integers(1, 3 * PAGE))
    def kernel_reads(self, number: int, pick: int, offset: int, length: int) -> None:
        task, space = self.who(number)
        address = self.place(space, pick, offset)
        expected = b""
        for each in range(address // PAGE, (address + length - 1) // PAGE + 1):
            page = space.pages.get(each)
            if page is None or not page.can(0):
                with pytest.raises(EFAULT):
                    task.mm.read(address, length)
                return
            expected += page.contents()
        assert task.mm.read(address, length) == expected[offset : offset + length]
        self.machine.settle()

    @rule(number=processes, pick=st.integers(0, 400), offset=offsets, data=contents)
    def kernel_writes(self, number: int, pick: int, offset: int, data: bytes) -> None:
        task, space = self.who(number)
        address = self.place(space, pick, offset)
        parts = self.parts(space, address, data)
        if parts is None:
            return
        for page, at, part in parts:
            if page is None or not page.can(WRITE):
                with pytest.raises(EFAULT):
                    task.mm.write(address, data)
                break
            page.write(at, part)
        else:
            task.mm.write(address, data)
        self.machine.settle()

    @staticmethod
    def parts(space: Space, address: int, data: bytes) -> list[tuple[Page | None, int, bytes]] | None:
        """`data` by pages; None if some of it would come past the end of a file, which is nowhere."""
        parts: list[tuple[Page | None, int, bytes]] = []
        while data:
            page, at = space.pages.get(address // PAGE), address % PAGE
            part = data[: PAGE - at]
            if page is not None and page.is_shared and page.store is not None:
                end = page.index * PAGE + at + len(part)
                if not page.is_past_the_end and end > page.store.size:
                    return None
            parts.append((page, at, part))
            data, address = data[len(part) :], address + len(part)
        return parts

    @rule(number=processes, pick=st.integers(0, 400), offset=offsets, data=contents, is_write=st.booleans())
    def program_accesses(self, number: int, pick: int, offset: int, data: bytes, is_write: bool) -> None:
        """As a program does: through translations that the processor remembers until it's told to forget."""
        task, space = self.who(number)
        address = self.place(space, pick, offset)
        page = space.pages.get(address // PAGE)
        data = data[: PAGE - address % PAGE]
        if page is None or not page.can(WRITE if is_write else 0):
            return
        if is_write and self.parts(space, address, data) is None:
            return
        self.machine._take(task)
        self.machine.machine.traps.resume()
        translation = self.translation(address, is_write=is_write)
        base = translation.frame * PAGE + address % PAGE
        if is_write:
            page.write(address % PAGE, data)
            self.memory.bytes[base : base + len(data)] = data
        else:
            found = self.memory.bytes[base : base + len(data)]
            assert found == page.contents()[address % PAGE :][: len(data)]
        self.machine.settle()

    def translation(self, address: int, *, is_write: bool) -> Translation:
        number = address // PAGE
        current = self.kernel.current
        assert current is not None
        for _ in range(3):
            found = self.translations.get(number)
            if found is None:
                found = translate(self.memory, current.mm.tables.root, number)
            if found is not None and (found.is_writable or not is_write):
                self.translations[number] = found
                return found
            self.translations.pop(number, None)
            self.machine.machine.traps.page_fault(address, FAULT_WRITE if is_write else 0)
        raise AssertionError(f"{address:#x} faults again and again")

    @rule(number=processes, opener=st.sampled_from(OPENERS), at=st.integers(0, 3 * PAGE), data=contents)
    def write_file(self, number: int, opener: str, at: int, data: bytes) -> None:
        task, _ = self.who(number)
        fd, store = self.files[opener]
        outcome = self.machine.call(task, "pwrite64", fd, data, len(data), at)
        if opener == "read only":
            assert outcome == -EBADF.number
            return
        assert outcome == len(data)
        store.size = max(store.size, at + len(data))
        store.write(at, data)

    @rule(number=processes, opener=st.sampled_from(OPENERS), at=st.integers(0, 3 * PAGE))
    def read_file(self, number: int, opener: str, at: int) -> None:
        task, _ = self.who(number)
        fd, store = self.files[opener]
        buffer = SCRATCH_ADDRESS + 0x4000
        expected = store.read(at, max(min(PAGE, store.size - at), 0))
        assert self.machine.call(task, "pread64", fd, buffer, PAGE, at) == len(expected)
        assert task.mm.read(buffer, len(expected)) == expected

    @rule(
        number=processes, opener=st.sampled_from(["read and write", "memfd"]), size=st.integers(0, 4 * PAGE)
    )
    def truncate(self, number: int, opener: str, size: int) -> None:
        task, _ = self.who(number)
        fd, store = self.files[opener]
        assert self.machine.call(task, "ftruncate", fd, size) == 0
        store.resize(size)
        for _, space in self.tasks:
            space.resize_store(store)

    # What always holds

    @invariant()
    def areas_are_the_models(self) -> None:
        for task, space in self.tasks:
            mm = task.mm
            assert mm.areas.starts == [[area.start for area in row] for row in mm.areas.rows]
            found = [seen(area) for area in mm.areas if area.start // PAGE not in OUTSIDE]
            assert joined(found) == joined([foreseen(*area) for area in space.areas()])
            assert mm.total_pages == len(space.pages) + len(OUTSIDE)

    @invariant()
    def contents_are_the_models(self) -> None:
        for task, space in self.tasks:
            mm = task.mm
            resident = 0
            for number, page in space.pages.items():
                entry = mm.tables.entry(number)
                resident += bool(entry & pte.ADDRESS_MASK)
                if entry and not page.is_past_the_end:
                    frame = (entry & pte.ADDRESS_MASK) >> 12
                    assert self.memory.bytes[frame * PAGE : (frame + 1) * PAGE] == page.contents()
                if page.can(0):
                    assert peek(mm, number * PAGE, PAGE) == page.contents()
                else:
                    assert peek(mm, number * PAGE, PAGE) == b""
                self.rights_are_the_models(translate(self.memory, mm.tables.root, number), page)
            resident += sum(bool(mm.tables.entry(number) & pte.ADDRESS_MASK) for number in OUTSIDE)
            assert mm.resident_pages == resident

    @staticmethod
    def rights_are_the_models(found: Translation | None, page: Page) -> None:
        """The processor may do no more than the program may."""
        if found is None:
            return
        assert page.can(0)
        assert not found.is_writable or page.can(WRITE)
        if found.is_executable:
            assert page.protection & 4 or (page.is_shared and page.protection & WRITE)

    @invariant()
    def frames_are_accounted_for(self) -> None:
        for task, _ in self.tasks:
            self.caches.update((area.pages, None) for area in task.mm.areas if area.pages is not None)
        assert census(self.memory, self.caches) == []

    def teardown(self) -> None:
        for task, _ in self.tasks[1:]:
            self.machine.exit(task)
        self.machine.exit(self.parent)
        self.machine.reap_orphans()
        if not self.kernel.vfs.accounts.file_count:
            cached = sum(len(cache.frames) for cache in self.caches)
            assert self.memory.used_frames == self.frames_before + cached
            assert not any(cache.area_count or cache.orphans for cache in self.caches)
        self.machine.close()
        super().teardown()


TestAddressSpaces = AddressSpaces.TestCase
TestAddressSpaces.settings = settings(max_examples=examples(75), stateful_step_count=60)


class MoreAddressSpaces(AddressSpaces):
    """The same for longer."""


TestMoreAddressSpaces = pytest.mark.timeout(900)(pytest.mark.heavy(MoreAddressSpaces.TestCase))
TestMoreAddressSpaces.settings = settings(max_examples=400, stateful_step_count=150)
