"""The Unicorn engine: an emulated x86-64 processor in user mode, over page tables in frames."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from ctypes import byref, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Final

from procession.hardware.engine import FAULT_FETCH, FAULT_USER, FAULT_WRITE, TrapHandler
from procession.hardware.engines import unicorn_library as uc
from procession.hardware.engines.unicorn_blocks import (
    INSTRUCTIONS_PER_BLOCK,
    TRANSLATOR,
    StopChecks,
    bound_blocks,
    look_at_instructions,
)
from procession.hardware.engines.unicorn_code_pages import mark_quickly
from procession.hardware.engines.unicorn_edges import price_edges
from procession.hardware.engines.unicorn_environment import flushes
from procession.hardware.engines.unicorn_exceptions import FloatingExceptions
from procession.hardware.engines.unicorn_floating import FloatingFormat, LiveState
from procession.hardware.engines.unicorn_image import LibraryImage
from procession.hardware.engines.unicorn_library import UnicornLibrary
from procession.hardware.engines.unicorn_machine_code import ENDED, MISALIGNED
from procession.hardware.engines.unicorn_meter import locate_hidden_registers, price_calls
from procession.hardware.engines.unicorn_state import SegmentSelectors, locate_state
from procession.hardware.engines.unicorn_unknown import DONE, UnknownInstructions, refuse
from procession.hardware.engines.unicorn_user_mode import enter_user_mode, lent_frames
from procession.hardware.engines.unopened import EMULATOR
from procession.hardware.extended_state import FXSAVE_BYTES, INITIAL_STATE
from procession.hardware.instruction import (
    LONGEST_INSTRUCTION,
    is_canonical,
    is_stack_fault,
    modifies_operand,
    prefix_bytes,
    take_branch_back,
)
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from procession.hardware.registers import RIP, TRAP_FLAG, WORD_MASK, Registers

_CODE_BUFFER_BYTES: Final = 256 << 20
"""The most of the host's memory that translated code takes: the library starts anew when it's full. It's set
before anything else is, as the library would take 1 GiB."""
_SYSCALL_LENGTH: Final = 2
_USER_FLAGS: Final = 0x3E7FD7
"""The bits of rflags that a task keeps; RF, which the next instruction clears, isn't among them."""
_DEBUG: Final = 1
_INVALID_OPCODE: Final = 6
_STACK_SEGMENT: Final = 12
_GENERAL_PROTECTION: Final = 13
_PAGE_FAULT: Final = 14
_CALLABLE: Final = (3, 4)
"""What programs may raise by `int n`: breakpoint and overflow."""
_INT_LENGTH: Final = 2
_GATE_ERROR: Final = 2
_INT: Final = 0xCD
_TWO_BYTES: Final = 0x0F
_WITHOUT_PREFIXES: Final = frozenset((*range(0x70, 0x80), 0x9E, 0x9F, 0xC2, 0xC3, _INT, 0xE8, 0xE9, 0xEB))
_TWO_WITHOUT_PREFIXES: Final = frozenset((0x05, *range(0x80, 0x90)))
"""Branches, and what else takes prefixes for nothing."""


def _is_block(place: object) -> bool:
    """Whether a block of code may lie from the one address of `place` to the other; or there's none."""
    match place:
        case None:
            return True
        case (int(start), int(end)):
            return 0 <= start <= end <= min(start + PAGE_SIZE, WORD_MASK)
    return False


class UnicornEngine:
    """One Unicorn processor for all tasks of a machine.

    System calls and faults are handled inside Unicorn's hooks, and a switch to another task happens there
    too: the hook replaces the processor's state in memory and returns. `run` comes back only when it's
    stopped or when the budget of code blocks is spent, which a machine-code hook counts.
    """

    capabilities = EMULATOR

    def __init__(self) -> None:
        self.library = UnicornLibrary()
        self.handle = c_void_p()
        self.failure: BaseException | None = None
        self.advance = 0
        self.is_stopping = False
        self.budget_after_call = 0
        self.callbacks: list[object] = []
        self.general: memoryview[int]
        # What is found when it's brought to user mode.
        self.mode: memoryview[int]
        self.user_mode: bytes
        self.user_mode_flags: int
        self.selectors: SegmentSelectors
        self.mode_index: int
        self.old_exception_index: int
        self.error_code_index: int
        self.flags = c_uint32()
        self.flags_pointer = byref(self.flags)
        self.known: dict[bytes, bytes] = {}
        self.flush_page: Callable[[int, int], None] | None = None
        self.settled = b""
        self.settled_image = b""

    def attach(self, memory: PhysicalMemory, traps: TrapHandler) -> None:
        """Open the processor over `memory` and bring it to user mode. Raises UnicornError."""
        library = self.library
        self.memory = memory
        self.traps = traps
        image = LibraryImage(library.address_of(TRANSLATOR))
        bound_blocks(library, image)
        mark_quickly(library, image)
        self.priced = price_calls(library, image)
        self.edges = price_edges(library, image)
        refuse(library, image)
        library.check(library.open(uc.ARCH_X86, uc.MODE_64, byref(self.handle)))
        self.stops = StopChecks(library, self.handle)
        library.set_control(self.handle, uc.CTL_CODE_BUFFER_SIZE, _CODE_BUFFER_BYTES)
        library.set_control(self.handle, uc.CTL_CPU_MODEL, uc.CPU_NEHALEM)
        library.set_control(self.handle, uc.CTL_TLB_TYPE, uc.TLB_CPU)
        self.memory_address = base = ctypes.addressof(ctypes.c_char.from_buffer(memory.bytes))
        size = memory.frame_count << PAGE_SHIFT
        library.check(library.map_memory(self.handle, 0, size, uc.PROT_ALL, c_void_p(base)))
        self.layout = layout = locate_state(library, self.handle)
        locate_hidden_registers(library, self.handle, layout)
        c_uint64.from_address(layout.address + layout.memory).value = base
        look_at_instructions(library, image, layout, self.stops)
        array = (ctypes.c_char * layout.size).from_address(layout.address)
        self.state = memoryview(array).cast("B")
        self.general = self.state[:136].cast("Q")
        self.words32 = self.state.cast("I")
        self.words64 = self.state.cast("Q")
        self.floating = self.state[layout.floating_start : layout.floating_end]
        self.fs_index, self.gs_index = layout.fs_base // 8, layout.gs_base // 8
        self.cr2_index, self.cr3_index = layout.cr2 // 8, layout.cr3 // 8
        with lent_frames(memory) as frames:
            enter_user_mode(self, frames)
        self.flush_all()
        self.forget_code(None)
        self._add_hooks()
        self.format = FloatingFormat(layout)
        self.live_state = LiveState(layout, self.state)
        self.settled = self.initial_floating = self.format.image(bytes(self.floating))
        self.settled_image = INITIAL_STATE
        self.known[INITIAL_STATE] = self.initial_floating

    def tell(self, traps: TrapHandler) -> None:
        """Take other entries."""
        self.traps = traps

    def _add_hooks(self) -> None:
        library, handle = self.library, self.handle

        def add(kind: int, callback: object, instruction: int | None = None) -> None:
            self.callbacks.append(callback)
            library.add_hook(handle, kind, callback, instruction)

        add(uc.HOOK_INTR, uc.INTERRUPT_CALLBACK(self._on_interrupt))
        add(uc.HOOK_INSN_INVALID, uc.INVALID_CALLBACK(self._on_invalid_instruction))
        self.exceptions = FloatingExceptions(
            library, handle, self.layout, self.state, self.memory, self.stops
        )
        self.unknown = UnknownInstructions(self.exceptions, self.memory_address)
        self.budget = self.exceptions.code.budget
        self.budget[0] = 0
        self.call_flags = self.exceptions.code.call_flags
        called = uc.SYSCALL_CALLBACK(self._on_system_call)
        self.callbacks.append(called)
        entry = self.exceptions.code.add_call(
            self.layout, library.address_of("uc_reg_read"), ctypes.cast(called, c_void_p).value or 0
        )
        library.add_hook(handle, uc.HOOK_INSN, c_void_p(entry), uc.INSN_SYSCALL)

    # Traps. An exception that left a callback would be lost in C: it's kept and raised by `run`.

    def _on_system_call(self, _handle: object, _data: object) -> None:
        self.advance = _SYSCALL_LENGTH
        try:
            self.traps.system_call()
        except BaseException as error:  # noqa: BLE001 - kept, and raised by run
            self._fail(error)
        self.advance = 0
        self.budget_after_call = self.budget[0]

    def _on_interrupt(self, _handle: object, vector: int, _data: object) -> None:
        words32 = self.words32
        error_code = words32[self.error_code_index]
        is_software = words32[self.error_code_index + 1]
        words32[self.old_exception_index] = 0xFFFFFFFF
        words32[self.error_code_index] = 0
        if words32[self.mode_index] != self.user_mode_flags:
            self._return_to_user_mode()
        try:
            if is_software and vector not in _CALLABLE:
                # Programs may not call through this gate, and the fault is at the instruction itself.
                self.general[RIP] = (self.general[RIP] - _INT_LENGTH) & WORD_MASK
                self.traps.processor_exception(_GENERAL_PROTECTION, vector * 8 + _GATE_ERROR)
            elif vector == _PAGE_FAULT:
                # What far returns and iretq read, the library takes for the kernel's.
                error_code |= FAULT_USER
                if not error_code & (FAULT_WRITE | FAULT_FETCH) and self._reads_to_write():
                    error_code |= FAULT_WRITE
                self.traps.page_fault(self.words64[self.cr2_index], error_code)
            elif vector == MISALIGNED:
                self.traps.processor_exception(_GENERAL_PROTECTION, 0)
            elif vector >= ENDED:
                if self.exceptions.leave_code(vector) and self.has_trap_flag:
                    self.traps.processor_exception(_DEBUG, 0)
            elif vector == _GENERAL_PROTECTION and not is_canonical(self.general[RIP]):
                self._take_branch_back()
                self.traps.processor_exception(_GENERAL_PROTECTION, 0)
            elif vector == _GENERAL_PROTECTION and not error_code and self._skip_prefixes():
                pass
            elif vector == _GENERAL_PROTECTION and not error_code and self._is_stack_fault():
                self.traps.processor_exception(_STACK_SEGMENT, 0)
            elif vector != _DEBUG or self.budget[0] != self.budget_after_call:
                # With TF on after a call the library single-steps before it has run an instruction.
                self.traps.processor_exception(vector, error_code)
        except BaseException as error:  # noqa: BLE001 - kept, and raised by run
            self._fail(error)

    def _on_invalid_instruction(self, _handle: object, _data: object) -> bool:
        self.words32[self.old_exception_index] = 0xFFFFFFFF
        try:
            if self.words32[self.error_code_index + 1]:
                # It's `int 6`; the next exception isn't one if nothing says so.
                self.words32[self.error_code_index + 1] = 0
                self.traps.processor_exception(_GENERAL_PROTECTION, _INVALID_OPCODE * 8 + _GATE_ERROR)
                return True
            self.traps.processor_exception(_INVALID_OPCODE, 0)
        except BaseException as error:  # noqa: BLE001 - kept, and raised by run
            self._fail(error)
        return True

    def _skip_prefixes(self) -> bool:
        """Whether the library was shown something else for the sake of prefixes that mean nothing
        (`unicorn_blocks.py`): it's to go on behind them.
        """
        code = self.exceptions.code_at(self.general[RIP], LONGEST_INSTRUCTION)
        length = prefix_bytes(code)
        opcode = code[length : length + 2]
        if not length or not opcode:
            return False
        if opcode[0] == _INT and opcode[-1] not in _CALLABLE:
            self.traps.processor_exception(_GENERAL_PROTECTION, opcode[-1] * 8 + _GATE_ERROR)
            return True
        if opcode[0] in _WITHOUT_PREFIXES or (
            opcode[0] == _TWO_BYTES and opcode[-1] in _TWO_WITHOUT_PREFIXES
        ):
            self.general[RIP] = (self.general[RIP] + length) & WORD_MASK
            return True
        return False

    def _reads_to_write(self) -> bool:
        """Whether what it has read is to be written, for which a processor asks at once."""
        return modifies_operand(self.exceptions.code_at(self.general[RIP], LONGEST_INSTRUCTION))

    def _is_stack_fault(self) -> bool:
        """The library takes all addresses that no program can have for those of other segments."""
        code = self.exceptions.code_at(self.general[RIP], LONGEST_INSTRUCTION)
        return is_stack_fault(code, self.general)

    def _take_branch_back(self) -> None:
        """The block that was begun last may have ended in a branch to where nothing can be."""
        words, code_at = self.words64, self.exceptions.code_at
        start: int = self.exceptions.code.block.value
        code = code_at(start, INSTRUCTIONS_PER_BLOCK * LONGEST_INSTRUCTION)

        def read(address: int) -> int:
            data = code_at(address, 8)
            return int.from_bytes(data, "little") if len(data) == 8 else -1

        take_branch_back(code, start, self.general, (words[self.fs_index], words[self.gs_index]), read)

    def _return_to_user_mode(self) -> None:
        """The library lets a program leave 64-bit mode, for virtual-8086 mode by `iret`: not for long."""
        words = self.words64
        bases = words[self.fs_index], words[self.gs_index]
        self.mode[:] = self.user_mode
        words[self.fs_index], words[self.gs_index] = bases

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        self.stop()

    # What the kernel asks for

    def run(self) -> None:
        """Run until stopped or out of budget; raises what a trap handler raised."""
        self.is_stopping = False
        exceptions, unknown = self.exceptions, self.unknown
        exceptions.begin_run()
        while True:
            error = 0
            vector: int | None = unknown.begin()
            if vector == DONE:
                vector = _DEBUG if self.has_trap_flag else 0
            if not vector:
                # A fault may have been raised just when the processor was stopped: it's raised again.
                self.words32[self.old_exception_index] = 0xFFFFFFFF
                error = self.library.emulate(self.handle, self.general[RIP], unknown.address, 0, 0)
                vector = self._why_it_came_back()
            if vector:
                self.traps.processor_exception(vector, 0)
            if vector is None or self.is_stopping or self.failure is not None:
                break
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        if error and not self.is_stopping and self.budget[0] > 0:
            self.library.check(error)

    def _why_it_came_back(self) -> int | None:
        """The vector to raise, 0 to go on, None to return from `run`."""
        vector = self.exceptions.attend()
        if vector is None and not self.is_stopping and self.budget[0] > 0 and self.unknown.attend():
            return 0
        return vector

    def stop(self) -> None:
        """Make `run` return after the present trap."""
        self.is_stopping = True
        self.library.stop(self.handle)

    def interrupt(self) -> None:
        """Make `run` return soon. What runs is C code, which doesn't hold Python's lock."""
        if self.handle.value:
            self.library.stop(self.handle)

    def save(self, registers: Registers) -> None:
        """Copy the live registers into `registers`."""
        self.save_integers(registers)
        state, layout = self.state, self.layout
        if state[layout.sse_mark]:
            self.exceptions.copy_marks()
        found = bytes(self.floating)
        if found != self.settled:
            self._settle(found)
        registers.floating = self.settled_image

    def save_integers(self, registers: Registers) -> None:
        """Copy them but for the floating-point state."""
        general = registers.general
        memoryview(general)[:] = self.general
        if self.advance:
            general[RIP] = (general[RIP] + self.advance) & WORD_MASK
            registers.rflags = self.call_flags[0] & _USER_FLAGS
        else:
            self.library.register_read(self.handle, uc.REG_EFLAGS, self.flags_pointer)
            registers.rflags = self.flags.value & _USER_FLAGS
        words = self.words64
        registers.fs_base = words[self.fs_index]
        registers.gs_base = words[self.gs_index]
        registers.selectors = self.selectors.read()

    @property
    def has_trap_flag(self) -> bool:
        """Whether the live rflags have TF, so that each instruction ends in a debug exception."""
        self.library.register_read(self.handle, uc.REG_EFLAGS, self.flags_pointer)
        return self.flags.value & TRAP_FLAG != 0

    def load(self, registers: Registers) -> None:
        """Make `registers` the live ones."""
        self.general[:] = registers.general
        flags = registers.rflags & _USER_FLAGS | 0x202
        if self.advance:
            self.general[RIP] = (registers.general[RIP] - self.advance) & WORD_MASK
        if not self.advance or flags != self.call_flags[0]:
            self.flags.value = self.call_flags[0] = flags
            self.library.register_write(self.handle, uc.REG_EFLAGS, self.flags_pointer)
        # What a task has made of the segments isn't the next one's: none of them has a selector now.
        self.mode[:] = self.user_mode
        if registers.selectors:
            self.selectors.write(registers.selectors)
        words = self.words64
        words[self.fs_index] = registers.fs_base
        words[self.gs_index] = registers.gs_base
        image = registers.floating or INITIAL_STATE
        # Most tasks go on with a state that they left not long ago.
        state = self.known.get(image) or self._restored(image)
        self.floating[:] = self.settled = state
        self.settled_image = image
        self.exceptions.state_replaced()

    def load_bases(self, registers: Registers) -> None:
        """Make the bases of fs and gs the live ones."""
        words = self.words64
        words[self.fs_index] = registers.fs_base
        words[self.gs_index] = registers.gs_base
        self.selectors.write(registers.selectors)

    @property
    def thread_pointer(self) -> int:
        """The live base of fs."""
        return self.words64[self.fs_index]

    def use_address_space(self, root_frame: int, level: int) -> None:
        """Switch page tables."""
        self.words64[self.cr3_index] = root_frame << PAGE_SHIFT
        self.library.control(self.handle, _FLUSH_TLB)

    def offers(self, level: int) -> bool:
        """Nothing beyond what every program finds."""
        return level <= self.capabilities.level

    def flush_space(self, root_frame: int) -> None:
        """Drop cached address translations; there are only those of the live address space."""
        if self.words64[self.cr3_index] == root_frame << PAGE_SHIFT:
            self.library.control(self.handle, _FLUSH_TLB)

    def flush_pages(self, root_frame: int, addresses: list[int]) -> None:
        """Drop cached translations of pages, which leaves the others to be found quickly."""
        if self.words64[self.cr3_index] != root_frame << PAGE_SHIFT:
            return
        flush_page, holder = self.flush_page, self.layout.holder
        if flush_page is None:
            self.flush_space(root_frame)
            return
        for address in addresses:
            flush_page(holder, address)

    def end_space(self, root_frame: int) -> None:
        """Nothing is kept of an address space that isn't the live one."""

    def begin_program(self, root_frame: int, code_bytes: int) -> None:
        """Every program runs here."""

    def begin_beside(self, root_frame: int, other: int) -> None:
        """Every program runs here."""

    def give_way(self, root_frame: int) -> None:
        """Nothing is reserved."""

    def flush_all(self) -> None:
        """Drop cached address translations."""
        self.library.control(self.handle, _FLUSH_TLB)

    def forget_code(self, frames: Iterable[int] | None) -> None:
        """Drop all translated code: the library can't be asked what came from a frame."""
        self.library.control(self.handle, _FLUSH_CODE)

    def set_budget(self, units: int) -> None:
        """Blocks of code until `run` returns."""
        self.budget[0] = units

    def budget_left(self) -> int:
        """Blocks left."""
        left: int = self.budget[0]
        return left

    def keep(self) -> tuple[object, ...]:
        """How far floating-point exceptions and instructions that aren't emulated are watched for."""
        return self.exceptions.keep(), self.unknown.address, self.unknown.stale, self.budget_after_call

    def put_back(self, kept: object) -> None:
        """Watch for what was watched for then."""
        assert isinstance(kept, tuple)
        exceptions, self.unknown.address, self.unknown.stale, self.budget_after_call = kept
        self.exceptions.put_back(exceptions)
        self.is_stopping = False

    def write_kept(self, kept: object) -> object:
        """What `keep` gave as a value that any may be read again as."""
        assert isinstance(kept, tuple)
        (masked_loads, flags, watched), *rest = kept
        return (masked_loads, flags, None if watched is None else b""), *rest

    def read_kept(self, value: object) -> object:
        """What `write_kept` gave. Raises ValueError for what isn't that."""
        match value:
            case ((int(), bytes(flags), None | b""), int(address), stale, int()) if _is_block(stale):
                if 0 <= address <= WORD_MASK and len(flags) == len(self.exceptions.code.flags):
                    return value
        raise ValueError("what the processor was watched for isn't readable")

    # Floating-point state in the architecture's form

    def _settle(self, found: bytes) -> None:
        """Take note of what is in the processor, as an XSAVE area."""
        upper = self.settled_image[FXSAVE_BYTES:]
        self.settled = found
        image = self.settled_image = (self.live_state.fxsave() or self.format.to_fxsave(found)) + upper
        # Where the library notes exceptions is no part of the state: they have been copied into it.
        state = bytearray(found)
        start, layout = self.layout.floating_start, self.layout
        state[layout.sse_mark - start] = 0
        self._remember(image, bytes(state))

    def _remember(self, image: bytes, state: bytes) -> bytes:
        """Know `state` as the processor's own form of an XSAVE area."""
        known = self.known
        if len(known) >= _REMEMBERED_STATES:
            known.clear()
            # Every handler of a signal begins with this one.
            known[INITIAL_STATE] = self.initial_floating
        known[image] = state
        return state

    def _restored(self, image: bytes) -> bytes:
        """The processor's own form of an XSAVE area."""
        old = self.initial_floating
        new, control, mxcsr = self.format.from_fxsave(old, image[:FXSAVE_BYTES])
        if (control, mxcsr) == self.format.control_words(old):
            return self._remember(image, new)
        # The library derives rounding and flushing modes when these two are written: let it do so.
        live = bytes(self.floating)
        self.floating[:] = new
        library, handle = self.library, self.handle
        library.register_write(handle, uc.REG_FPCW, byref(c_uint16(control | 0x40)))
        library.register_write(handle, uc.REG_MXCSR, byref(c_uint32(mxcsr)))
        self.state[self.layout.sse_flush] = flushes(mxcsr)
        new = self.format.image(bytes(self.floating))
        self.floating[:] = live
        return self._remember(image, new)

    def close(self) -> None:
        """Close the processor."""
        if self.handle.value:
            # What is left of it may be asked for, and goes with the processor's state.
            self.budget = memoryview(self.budget.tobytes()).cast("q")
            self.library.close(self.handle)
            self.handle = c_void_p()


_REMEMBERED_STATES: Final = 256
_FLUSH_TLB: Final = c_uint32(uc.CTL_TLB_FLUSH | 1 << 30)
_FLUSH_CODE: Final = c_uint32(uc.CTL_TB_FLUSH | 1 << 30)
