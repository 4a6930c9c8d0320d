"""The native engine: translated code on the host's processor, in a stub process for each address space.

Guest code never runs in this process. What a stub writes is the context alone, and all that is read from
there is taken for what a guest may have made up: registers, and the number of an exit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from procession.hardware.engine import (
    FAULT_FETCH,
    FAULT_PROTECTION,
    FAULT_USER,
    EngineCapabilities,
    TrapHandler,
)
from procession.hardware.engines.native.code_store import CodeStore
from procession.hardware.engines.native.faults import faulted, take_call_back
from procession.hardware.engines.native.guest_memory import GuestMemory, Inaccessible
from procession.hardware.engines.native.hand_over import KEPT, PLACE, UNPAID
from procession.hardware.engines.native.machine_code import StubUnavailable
from procession.hardware.engines.native.processor_model import Attendant
from procession.hardware.engines.native.single_step import (
    ATTENDED_UNITS,
    COUNTER_WRITTEN,
    step,
)
from procession.hardware.engines.native.space import Absent, Space
from procession.hardware.engines.native.stub import MAXIMUM_STUBS, Processor, StubError
from procession.hardware.extended_state import INITIAL_STATE, canonical
from procession.hardware.instruction import is_canonical
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.processor_level import V3
from procession.hardware.registers import (
    RAX,
    RCX,
    RDX,
    RIP,
    TRAP_FLAG,
    WORD_MASK,
    Registers,
    loaded_selectors,
)
from procession.hardware.translation import layout
from procession.hardware.translation.code_cache import ATTEND, CROSS, LINK, SETTLE, Exit, Place
from procession.hardware.translation.code_keeper import CodeKeeper
from procession.hardware.translation.copier import SAVED, THREE, TWO
from procession.hardware.translation.decode import decode
from procession.hardware.translation.emitter import view_of
from procession.hardware.translation.opcodes import PRIVILEGED

_USER_FLAGS: Final = 0x3E7FD7
"""The bits of rflags that a task keeps; RF, which the next instruction clears, isn't among them."""
_HARDWARE_FLAGS: Final = 0x240CD5 & ~(1 << 21)
"""Those that the host's processor has while it runs a guest: status, direction, alignment check."""
_LOADED_FLAGS: Final = _HARDWARE_FLAGS | TRAP_FLAG | 1 << 21
_ALWAYS_SET: Final = 0x202
_GENERAL_PROTECTION, _STUB_FAILED = 13, 8
_MOST_IDLE, _MOST_RENEWALS = 8, 3

_FLAGS: Final = layout.FLAGS >> 3
_FS_BASE: Final = layout.FS_BASE >> 3
_GS_BASE: Final = layout.GS_BASE >> 3
_TARGET: Final = layout.TARGET >> 3
_SCRATCH: Final = layout.SCRATCH >> 3
_SAVED_RCX: Final = layout.SAVED_RCX >> 3
_LOOP_SAVED: Final = layout.LOOP_SAVED >> 3


class NativeEngine:
    """One processor for all tasks of a machine, and a stub for each address space that has run lately.

    `last_failure` says why the last stub that failed did. `root` is where the page tables of the present
    address space begin, which may have no stub yet. `lent` is the register that has the counter as the code
    is to go on, -1 if none; `renewals` counts the stubs of one run that ended before they began what they
    were to do, though each may have come as far as to a fault. `left_at_trap` is what `budget_left` found,
    while `is_left_known`: until the code runs again, or the counters are written otherwise.
    With `gives_back` what can't be run here isn't an error of the program: `run` returns, and
    `has_given_back` says so, for another engine to go on with it.
    """

    capabilities = EngineCapabilities("native", unit_ns=4, level=V3, has_own_processes=True)
    """A unit is a backward jump or an indirect transfer."""

    def __init__(self, keeper: CodeKeeper | None = None) -> None:
        self.keeper = keeper
        self.general: memoryview[int]
        self.is_stopping = False
        self.is_open = False
        self.gives_back = False
        self.has_given_back = False
        self.last_failure = ""
        self.root = 0
        self.uses = 0
        self.left_at_trap = 0
        self.is_left_known = False
        self.lent = -1
        self.renewals = 0
        self.switches = 0

    def attach(self, memory: PhysicalMemory, traps: TrapHandler) -> None:
        """Make the processor over `memory`. Raises StubUnavailable."""
        self.memory, self.traps = memory, traps
        try:
            self.store = CodeStore(self.keeper)
            self.processor = processor = Processor()
        except OSError as error:
            raise StubUnavailable(f"the host refused what stubs share: {error.strerror}") from error
        self.general, self.words = processor.general, processor.words
        self.budget = processor.budget
        self.counter, self.transfers = self.budget.jumps, self.budget.transfers
        self.guest = guest = GuestMemory(memory, self.store, self.words)
        self.attendant = Attendant(self.general, guest.read, guest.write, guest.segment_base)
        self.is_open = True
        self.load(Registers())

    def prepare(self) -> None:
        """Start a stub for the first address space that comes. Raises StubUnavailable."""
        self.store.idle.append(Space(self.store, self.processor, self.memory, 0))

    def tell(self, traps: TrapHandler) -> None:
        """Take other entries."""
        self.traps = traps

    # Running

    def run(self) -> None:
        """Run until stopped or out of budget."""
        try:
            self._run()
        except BaseException:
            self.store.distrust()
            raise

    def _run(self) -> None:
        self.is_stopping = False
        self.renewals = 0
        general, words, counter, transfers = self.general, self.words, self.counter, self.transfers
        processor, cache = self.processor, self.store.cache
        exits, mailbox, before, called = cache.exits, processor.mailbox, processor.before, layout.CALLED
        resume = 0
        while not self.is_stopping:
            self.is_left_known = False
            space = self.guest.space
            if resume:
                hand_over = processor.hand_over
            else:
                hand_over = processor.begin
                if space is not None:
                    stub = space.stub
                    # Before it's looked where to go on: only who was spoken to can be the prompt one.
                    if stub is not processor.pointed and stub.is_alive:
                        stub.point_mailbox()
                    if stub is processor.prompt and not words[_FLAGS] & TRAP_FLAG:
                        resume = space.entries.get(general[RIP], 0)
                if resume == 0:
                    if self.budget.is_spent:
                        if not self.budget.give(self.budget.left):
                            return
                        continue
                    resume = self._begin(space)
                    if resume == 0:
                        continue
            assert space is not None
            stub = space.stub
            try:
                if stub is processor.prompt:
                    mailbox[PLACE] = resume
                    why = hand_over()
                    if why == called and not stub.command_count:
                        resume, self.lent = 0, -1
                        self.traps.system_call()
                        continue
                    if why == UNPAID:
                        if not self.budget.give(self.budget.left):
                            return
                        resume = 0
                        continue
                    if why < 0:
                        why = stub.answered_late(why)
                    if stub.command_count:
                        why = stub.obeyed(why)
                else:
                    before[0], before[1] = counter[0], transfers[0]
                    why = stub.hand_over(resume)
            except StubError as error:
                self._take_back()
                resume = 0
                if transfers[0] > before[1] or counter[0] > before[0]:
                    # It may have been stuck for that.
                    self.set_budget(0)
                try:
                    self.replace_stub(error)
                except (StubError, StubUnavailable) as failure:
                    self.fail(failure)
                continue
            resume, self.lent = 0, -1
            jumps = counter[0]
            if (
                jumps > before[0]
                or not 0 <= transfers[0] <= before[1]
                or (jumps < 0 and not self._is_to_settle(why))
            ):
                self.set_budget(0)
                self.stub_failed(COUNTER_WRITTEN)
            elif why == called:
                self.traps.system_call()
            elif why >= layout.FIRST_EXIT:
                number = why - layout.FIRST_EXIT
                if number >= cache.exit_count:
                    self.stub_failed("the stub came from nowhere")
                    continue
                resume = self._left(space, exits.get(number) or cache.exit_at(number))
            elif why == layout.MISSED:
                resume = self.missed(space)
            elif why == layout.FAULTED:
                resume = faulted(self, space)

    def _begin(self, space: Space | None) -> int:
        """Where the code for rip begins; 0 to look again: what it takes has been made, or its fault told."""
        if space is None:
            try:
                self._start_stub()
            except StubUnavailable as failure:
                self.fail(failure)
            return 0
        if self.words[_FLAGS] & TRAP_FLAG:
            step(self, space)
            return 0
        try:
            return space.entry(self.general[RIP])
        except Absent as absent:
            self.fetch_fault(absent.address)
        return 0

    def _is_to_settle(self, why: int) -> bool:
        """Whether the code has left because it counts more than its counter has."""
        number = why - layout.FIRST_EXIT
        cache = self.store.cache
        return 0 <= number < cache.exit_count and cache.exit_at(number).kind == SETTLE

    def _left(self, space: Space, exit_: Exit) -> int:
        """The code has come to a place that leads out of it; where to go on, 0 to look."""
        kind, pc = exit_.kind, exit_.pc
        self.general[RIP] = pc
        try:
            if kind == CROSS:
                return space.resolve_link(exit_.place, pc)
            if kind == LINK:
                return space.link_within(exit_.place, pc)
        except Absent as absent:
            self.fetch_fault(absent.address)
            return 0
        if kind == SETTLE:
            self.budget.give(max(self.budget.left, 1))
            return view_of(pc) + exit_.place
        if kind == ATTEND:
            self.counter[0] -= ATTENDED_UNITS
            self.attend()
        return 0

    def missed(self, space: Space) -> int:
        """An indirect jump isn't in the tables."""
        pc = self.words[_TARGET]
        self.general[RIP] = pc
        self.transfers[0] -= 1
        try:
            entry = space.land(pc)
        except Absent:
            return 0
        return entry if self.transfers[0] > 0 else 0

    def attend(self) -> bool:
        """The instruction at rip isn't for the host's processor. Whether it's done; else its fault is
        told.
        """
        words, attendant = self.words, self.attendant
        try:
            code = self.guest.code_at(self.general[RIP])
            attendant.flags = words[_FLAGS]
            instruction = decode(code, 0)
            vector, error_code = attendant.attend(instruction, code)
        except Absent as absent:
            self.fetch_fault(absent.address)
            return False
        except Inaccessible as inaccessible:
            self.access_fault(inaccessible.address, inaccessible.kind)
            return False
        if vector >= 0:
            if instruction.kind != PRIVILEGED:
                # It would be refused before its operand is looked at.
                vector = self.guest.vector_of(vector, error_code, self.general)
            self.traps.processor_exception(vector, error_code)
            return False
        words[_FLAGS] = attendant.flags
        return True

    def fetch_fault(self, address: int) -> None:
        """There is no code at `address`."""
        if not is_canonical(address):
            take_call_back(self)
        self.access_fault(address, FAULT_FETCH)

    def access_fault(self, address: int, kind: int) -> None:
        """The guest's access to `address` faults; `kind` is FAULT_WRITE, FAULT_FETCH or 0."""
        if not is_canonical(address):
            self.traps.processor_exception(self.guest.vector_of(_GENERAL_PROTECTION, 0, self.general), 0)
            return
        present = FAULT_PROTECTION if self.guest.entry(address) else 0
        self.traps.page_fault(address, FAULT_USER | kind | present)

    # Faults

    def restore(self, place: Place) -> None:
        """Put registers back that a translation had borrowed."""
        general, words, restoration = self.general, self.words, place.restoration
        if restoration:
            if restoration < SAVED:
                general[restoration - 1] = words[_SCRATCH]
            elif restoration == SAVED:
                general[RCX] = words[_SAVED_RCX]
            elif restoration == THREE:
                general[RAX], general[RDX], general[RCX] = words[_SCRATCH : _SCRATCH + 3]
            else:
                general[restoration - TWO >> 3], general[restoration & 7] = words[_SCRATCH : _SCRATCH + 2]

        register = place.counter_register
        if register >= 0:
            left = general[register]
            self.counter[0] = left if left <= self.counter[0] else 0
            general[register] = words[_LOOP_SAVED]

    def go_on_at(self, place: Place) -> int:
        """Where on the host to go on with an instruction whose registers were restored."""
        register = place.counter_register
        if register >= 0:
            self.words[_LOOP_SAVED] = self.general[register]
            self.general[register] = self.counter[0] & WORD_MASK
            self.lent = register
        return place.start

    def _take_back(self) -> None:
        """The code doesn't go on as it was to: no register has the counter any more."""
        if self.lent >= 0:
            self.general[self.lent] = self.words[_LOOP_SAVED]
            self.lent = -1

    # Failures

    def replace_stub(self, error: StubError) -> Space:
        """The stub has ended with `error`: another takes its place, if it hadn't begun what it was to do.

        Raises StubError if it had, or if one after the other ends, and StubUnavailable if there's none.
        """
        self.renewals += 1
        if error.has_begun or self.renewals > _MOST_RENEWALS:
            raise error
        self._drop_present()
        return self._start_stub()

    def _start_stub(self) -> Space:
        """Have a stub for the present address space. Raises StubUnavailable."""
        space = self.guest.space = self.store.spaces[self.root] = self._make_space(self.root)
        return space

    def fail(self, error: StubError | StubUnavailable) -> None:
        """The present address space's stub has ended with `error`, or can't be had."""
        if isinstance(error, StubError) and error.has_begun:
            self.stub_failed(str(error))
        else:
            self.give_up(str(error))

    def give_up(self, reason: str) -> None:
        """The program can't be run here. Its registers are as they were before the next instruction."""
        if not self.gives_back:
            self.stub_failed(reason)
            return
        self.last_failure = reason
        self._drop_present()
        self.has_given_back = self.is_stopping = True

    def give_up_at(self, address: int) -> None:
        """The program has memory at `address`, where stubs have something of their own."""
        self.give_up(f"the program uses {address:#x}, where the native engine is")

    def stub_failed(self, reason: str) -> None:
        """What runs in the stub can't go on: an error of its guest, as a double fault."""
        self.last_failure = reason
        self._drop_present()
        self.traps.processor_exception(_STUB_FAILED, 0)

    def _drop_present(self) -> None:
        """End the present address space's stub, if it has one."""
        if self.guest.space is not None:
            self._drop(self.guest.space)
            self.guest.space = None

    # What the kernel asks for

    def stop(self) -> None:
        """Make `run` return after the present trap."""
        self.is_stopping = True

    def interrupt(self) -> None:
        """Make `run` return soon: at the end of the slice that runs, if not before."""
        self.is_stopping = True

    def save(self, registers: Registers) -> None:
        """Copy the live registers into `registers`."""
        self.save_integers(registers)
        space, found = self.guest.space, bytes(self.processor.extended)
        if space is None:
            registers.floating = canonical(found)
            return
        if space.saved_area != found:
            space.saved_area, space.saved_image = found, canonical(found)
        registers.floating = space.saved_image

    def save_integers(self, registers: Registers) -> None:
        """Copy them but for the floating-point state."""
        words = self.words
        memoryview(registers.general)[:] = self.general
        registers.rflags = words[_FLAGS] & _USER_FLAGS | _ALWAYS_SET
        registers.fs_base = words[_FS_BASE]
        registers.gs_base = words[_GS_BASE]
        registers.selectors = self.attendant.selectors

    @property
    def has_trap_flag(self) -> bool:
        """Whether the live rflags have TF, so that each instruction ends in a debug exception."""
        return self.words[_FLAGS] & TRAP_FLAG != 0

    def load(self, registers: Registers) -> None:
        """Make `registers` the live ones."""
        words = self.words
        self.general[:] = registers.general
        words[_FLAGS] = registers.rflags & _LOADED_FLAGS | _ALWAYS_SET
        words[_FS_BASE] = registers.fs_base
        words[_GS_BASE] = registers.gs_base
        self.attendant.selectors = registers.selectors and loaded_selectors(registers.selectors)
        self.processor.extended[:] = registers.floating or INITIAL_STATE
        self.processor.mailbox[KEPT] = 0
        self.switches += 1

    def load_bases(self, registers: Registers) -> None:
        """Make the bases of fs and gs the live ones."""
        words = self.words
        words[_FS_BASE] = registers.fs_base
        words[_GS_BASE] = registers.gs_base
        self.attendant.selectors = registers.selectors and loaded_selectors(registers.selectors)

    def use_address_space(self, root_frame: int, level: int) -> None:
        """Switch page tables: to the stub that has them, or to a new one."""
        self.attendant.level = level
        self.switches += 1
        self.uses += 1
        self.root = root_frame
        space = self.store.spaces.get(root_frame)
        if space is None:
            # A stub is started when it's to run: who is told if there's none is live then.
            self.guest.space = None
            return
        if space.is_stale:
            space.compare()
        space.last_used = self.uses
        self.guest.space = space

    def _make_space(self, root_frame: int) -> Space:
        """What runs an address space, in the place of another's if there are many. Raises StubUnavailable."""
        store = self.store
        if store.idle:
            space = store.idle.pop()
            space.adopt(root_frame)
        else:
            if len(store.spaces) >= MAXIMUM_STUBS - _MOST_IDLE:
                self._drop(min(store.spaces.values(), key=lambda each: each.last_used))
            space = Space(store, self.processor, self.memory, root_frame)
        space.last_used = self.uses
        return space

    def _drop(self, space: Space) -> None:
        space.stub.end()
        self.store.spaces.pop(space.root, None)

    def take_written_code(self) -> bool:
        """Whether, since the last time that this was asked, a guest could write to what was ever code."""
        found = False
        for space in (*self.store.spaces.values(), *self.store.idle):
            found = found or space.window.has_written_code
            space.window.has_written_code = False
        return found

    def offers(self, level: int) -> bool:
        """Nothing beyond what every program finds."""
        return level <= self.capabilities.level

    def flush_space(self, root_frame: int) -> None:
        """Look anew at what is mapped."""
        space = self.store.spaces.get(root_frame)
        if space is not None:
            if space is self.guest.space:
                space.compare()
            else:
                space.is_stale = True

    def flush_pages(self, root_frame: int, addresses: list[int]) -> None:
        """Look anew at some pages."""
        space = self.store.spaces.get(root_frame)
        if space is not None:
            space.drop_pages(addresses)

    def end_space(self, root_frame: int) -> None:
        """Give up the stub."""
        space = self.store.spaces.get(root_frame)
        if space is not None:
            if space is self.guest.space:
                self.guest.space = None
            if space.stub.is_alive and len(self.store.idle) < _MOST_IDLE:
                del self.store.spaces[root_frame]
                space.retire()
                self.store.idle.append(space)
            else:
                self._drop(space)

    def begin_program(self, root_frame: int, code_bytes: int) -> None:
        """Every program runs here."""

    def begin_beside(self, root_frame: int, other: int) -> None:
        """Every program runs here."""

    def give_way(self, root_frame: int) -> None:
        """There is no other engine here: what the program reads there is the stub's."""

    def flush_all(self) -> None:
        """Look anew at everything."""
        for root in self.store.spaces:
            self.flush_space(root)

    def forget_code(self, frames: Iterable[int] | None) -> None:
        """Drop translated code."""
        self.store.forget_code(frames)

    def set_budget(self, units: int) -> None:
        """Backward jumps and indirect transfers until `run` returns."""
        self.is_left_known = False
        self.budget.give(units)

    def budget_left(self) -> int:
        """Units left."""
        if not self.is_left_known:
            # The kernel asks several times in one trap.
            self.left_at_trap = self.budget.left
            self.is_left_known = True
        return self.left_at_trap

    def keep(self) -> None:
        """Nothing: all is in the registers and the memory."""

    def put_back(self, kept: object) -> None:
        """Nothing was kept. What was on its way to run isn't any more."""
        del kept
        self.is_stopping = False
        self.switches += 1

    def write_kept(self, kept: object) -> object:
        """Nothing was kept."""
        return kept

    def read_kept(self, value: object) -> object:
        """Nothing. Raises ValueError for something."""
        if value is not None:
            raise ValueError("the native engine keeps nothing")
        return value

    def close(self) -> None:
        """End all stubs."""
        if self.is_open:
            self.is_open = False
            for space in (*self.store.spaces.values(), *self.store.idle):
                space.stub.end()
            self.store.spaces.clear()
            self.store.idle.clear()
            self.guest.space = None
            self.processor.close()
            self.store.keep()
            self.store.close()
