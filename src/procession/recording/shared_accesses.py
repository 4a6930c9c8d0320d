"""Who goes on after an access to memory that tasks share: what a search has to ask beside system calls.

The engine tells of each access once memory is shared at all. Where others could go on, the processor stops in
front of the next instruction, and it's asked who does. What lies between two such accesses commutes with all
that others do, so nothing is lost by not asking there. An instruction that reads and writes counts as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.auxv import AuxvType
from procession.abi.word import Words
from procession.fs.inode import Inode
from procession.hardware import page_table as pte
from procession.hardware.engines.unicorn import UnicornEngine
from procession.hardware.engines.unicorn_debug import AccessWatch, InstructionWatch
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.hardware.registers import RSP
from procession.kernel.observer import ACCESS, LINKER
from procession.kernel.program.exec import Program
from procession.kernel.sched.explored import ExploredScheduler
from procession.mm.peek import peek
from procession.mm.vma import PROT_WRITE

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.machine import Machine
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea

_LOCK, _REX = 0xF0, 0x40
_PAIR = Words("<QQ")
_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3")
_LONGEST_START = 8
_BEFORE_THREAD, _AFTER_THREAD = 256, 2304
"""Around the thread pointer: what the C library keeps for each thread."""


def _name_of(area: VirtualMemoryArea) -> tuple[object, ...]:
    """What names a shared area for all who map it, if coarsely."""
    if area.file is None:
        return ("shared memory",)
    inode = area.file.inode
    assert isinstance(inode, Inode)
    return "file", inode.superblock.device, inode.number


def _library_of(task: Task, instruction: int) -> int:
    """The number of the file of a library in which an instruction is; 0 if it's the program's own, and LINKER
    if it's the dynamic linker's."""
    mm = task.mm
    area, program = mm.find(instruction), mm.executable
    if area is None or area.file is None:
        return 0
    inode = area.file.inode
    assert isinstance(inode, Inode)
    pairs = _PAIR.iter_unpack(mm.auxiliary_vector[: len(mm.auxiliary_vector) & -_PAIR.size])
    base = next((value for kind, value in pairs if kind == AuxvType.AT_BASE), 0)
    linker = mm.find(base) if base else None
    if linker is not None and linker.file is not None and linker.file.inode is inode:
        return LINKER
    return 0 if isinstance(program, Program) and inode is program.path.inode else inode.number


def _is_locked(code: bytes) -> bool:
    """Whether the instruction that begins so has a lock prefix, or is an exchange, which needs none."""
    for at, byte in enumerate(code):
        if byte == _LOCK:
            return True
        if byte not in _PREFIXES:
            opcode = code[at + 1 : at + 2] if byte & 0xF0 == _REX else code[at : at + 1]
            return opcode in (b"\x86", b"\x87")
    return False


class SharedAccesses:
    """Runs the engine of `machine`, and stops it after accesses to memory that its tasks share.

    What a thread has on its stack, and the C library beside its thread pointer, counts as its own, and so
    does what nobody may write to. `pages` are the numbers of pages by the roots of their address spaces and
    their frames, as they were found last. `accessor` is who has just accessed such memory, by `instruction`.
    """

    __slots__ = (
        "access_watch",
        "accessor",
        "engine",
        "instruction",
        "is_on",
        "is_wanted",
        "machine",
        "pages",
        "scheduler",
        "watch",
    )

    def __init__(self, machine: Machine, scheduler: ExploredScheduler) -> None:
        engine = machine.engine
        if not isinstance(engine, UnicornEngine):
            raise ValueError("accesses to memory can be branched over with --engine unicorn alone")
        # Which page was read couldn't be told of one that is at many places.
        machine.kernel.memory.has_zero_page = False
        self.machine = machine
        self.engine = engine
        self.scheduler = scheduler
        self.watch = InstructionWatch(engine, self._shall_stop)
        self.access_watch = AccessWatch(engine, self._accessed)
        self.is_wanted = self.is_on = False
        self.accessor: Task | None = None
        self.instruction = 0
        self.pages: dict[tuple[int, int], int] = {}

    def begin(self) -> None:
        """See `AccessGate`; until now there was nothing to tell, and the engine ran without hooks."""
        if not self.is_wanted:
            self.is_wanted = True
            self.engine.stop()

    def run(self) -> None:
        """Run as the engine does, and ask who goes on where it has stopped for that."""
        engine, watch = self.engine, self.watch
        if self.is_wanted and not self.is_on:
            self.is_on = True
            watch.watch((), is_everywhere=True)
            self.access_watch.watch(reads=True, writes=True)
        self.accessor = None
        engine.run()
        if watch.is_stopped:
            watch.is_stopped = False
            if engine.budget_left() > 0:
                self.machine.kernel.is_saved = False
                self.machine.traps.resume()

    def _shall_stop(self, address: int) -> bool:
        """Not in the same instruction again: it has faulted after an access, or goes on with a string."""
        is_other, self.instruction = address != self.instruction, address
        accessor, self.accessor = self.accessor, None
        return (
            accessor is not None
            and is_other
            and accessor is self.machine.kernel.current
            and self.scheduler.offer_after_access(accessor)
        )

    def _accessed(self, physical: int, size: int, *, is_write: bool) -> None:
        kernel = self.machine.kernel
        task = kernel.current
        if task is None:
            return
        place = self._place(task, physical)
        if place is None:
            return
        if kernel.observer is not None:
            region, address = place
            is_locked = _is_locked(peek(task.mm, self.instruction, _LONGEST_START))
            kernel.observer.task_event(
                task,
                ACCESS,
                (
                    region,
                    address,
                    size,
                    is_write,
                    is_locked,
                    self.instruction,
                    _library_of(task, self.instruction),
                ),
            )
        self.accessor = task

    def _place(self, task: Task, physical: int) -> tuple[tuple[object, ...], int] | None:
        """What names the accessed place for all who share it: a region, and the address in that; None for
        what is the task's own."""
        mm = task.mm
        page = self._page(mm, physical >> PAGE_SHIFT)
        if page is None:
            return None
        address = page << PAGE_SHIFT | physical & PAGE_MASK
        area = mm.find(address)
        if area is None:
            return None
        if area.is_shared:
            start = area.start - (area.page_offset << PAGE_SHIFT)
            return _name_of(area), address - start
        if mm.reference_count < 2 or not area.protection & PROT_WRITE:
            return None
        engine = self.engine
        if area.start <= engine.general[RSP] < area.end and not mm.code_start <= area.start < mm.brk:
            # A stack, unless it's one among the program's own data.
            return None
        if -_BEFORE_THREAD <= address - engine.thread_pointer < _AFTER_THREAD:
            return None
        return ("memory", mm.tables.root), address

    def _page(self, mm: MemoryDescriptor, frame: int) -> int | None:
        """The number of the page of `mm` that has `frame`."""
        tables = mm.tables
        key = tables.root, frame
        page = self.pages.get(key)
        if page is None or tables.entry(page) & pte.ADDRESS_MASK != frame << PAGE_SHIFT:
            self._look(mm)
            page = self.pages.get(key)
        return page

    def _look(self, mm: MemoryDescriptor) -> None:
        """Find out where the frames of `mm` are mapped."""
        tables = mm.tables
        root, words, pages = tables.root, tables.memory.words, self.pages
        for known in [known for known in pages if known[0] == root]:
            del pages[known]
        for region, leaf in tables.leaves.items():
            for index, entry in enumerate(words[leaf << 9 : (leaf + 1) << 9]):
                if entry & pte.PRESENT:
                    pages[root, (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT] = region << 9 | index
