"""Floating-point exceptions of the Unicorn engine: shown in the control words always, raised where unmasked.

Those of the x87 are shown by the code in the place of the library's functions (`unicorn_arithmetic.py`), and
raised here. Nearly all of SSE's are shown and raised by such code too (`unicorn_vectors.py`). Of what is left
to the library (dot products, roundings and conversions of MMX registers) they are found here, but for those
of denormal operands, of which it tells nothing.
"""

from __future__ import annotations

from ctypes import byref, c_uint32, c_void_p
from typing import TYPE_CHECKING

from procession.hardware import page_table as pte
from procession.hardware.engines import unicorn_library as uc
from procession.hardware.engines.unicorn_machine_code import (
    COMPARED,
    EXCEPTIONS,
    MASKS,
    PENDING,
    UNMASKED,
    UNMASKING,
    HookCode,
    raised_by,
)
from procession.hardware.instruction import LONGEST_INSTRUCTION, instruction_length
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from procession.hardware.registers import RIP, set_register

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_blocks import StopChecks
    from procession.hardware.engines.unicorn_library import UnicornLibrary
    from procession.hardware.engines.unicorn_state import StateLayout
    from procession.hardware.physical_memory import PhysicalMemory

_X87_ERROR, _SIMD_ERROR = 16, 19
_MASK_SHIFT = 7
_MASKED_LOADS = 1000
"""After so many tasks in a row that mask everything, instructions aren't watched any more."""
_PREFIXES = frozenset((0x26, 0x2E, 0x36, 0x3E, *range(0x40, 0x50), 0x64, 0x65, 0x66, 0x67))
_FWAIT, _FIRST_ESCAPE, _LAST_ESCAPE = 0x9B, 0xD8, 0xDF
_STATUS_FLAGS = 0x8D5


def _registers(opcode: int, *forms: range | int) -> set[tuple[int, int]]:
    """Instructions of an opcode by their second byte, or all from one to another."""
    return {
        (opcode, byte)
        for form in forms
        for byte in (form if isinstance(form, range) else range(form, form + 1))
    }


# What doesn't wait for exceptions: fnclex, fninit, fnstsw ax, and those of older coprocessors that do
# nothing; fnstenv, fnstcw, fnsave and fnstsw to memory. And invalid opcodes, which are told of first.
_NOT_WAITING = frozenset(
    _registers(0xD9, range(0xD1, 0xD8), 0xE2, 0xE3, 0xE6, 0xE7, 0xEF)
    | _registers(0xDA, range(0xE0, 0xE9), range(0xEA, 0x100))
    | _registers(0xDB, range(0xE0, 0xE8), range(0xF8, 0x100))
    | _registers(0xDD, range(0xF0, 0x100))
    | _registers(0xDE, 0xD8, range(0xDA, 0xE0))
    | _registers(0xDF, range(0xE0, 0xE8), range(0xF8, 0x100))
)
_NOT_WAITING_TO_MEMORY = frozenset(
    ((0xD9, 1), (0xD9, 6), (0xD9, 7), (0xDB, 4), (0xDB, 6), (0xDD, 5), (0xDD, 6), (0xDD, 7))
)
_REGISTER_FORM = 0xC0


class FloatingExceptions:
    """Watches one processor, whose `state` is laid out as `layout` says; `code` is what the library calls."""

    __slots__ = (
        "code",
        "handle",
        "hook",
        "layout",
        "library",
        "masked_loads",
        "memory",
        "state",
        "stops",
        "words16",
        "words32",
        "words64",
    )

    def __init__(
        self,
        library: UnicornLibrary,
        handle: c_void_p,
        layout: StateLayout,
        state: memoryview,
        memory: PhysicalMemory,
        stops: StopChecks,
    ) -> None:
        self.stops = stops
        self.library = library
        self.handle = handle
        self.layout = layout
        self.state = state
        self.words16 = state.cast("H")
        self.words32 = state.cast("I")
        self.words64 = state.cast("Q")
        self.memory = memory
        self.code = HookCode(layout, library.stop_address)
        address, data = self.code.block_hook
        library.add_hook(handle, uc.HOOK_BLOCK, c_void_p(address), data=data)
        self.hook: object = None
        self.masked_loads = 0

    @property
    def unmasked(self) -> tuple[int, int]:
        """The exceptions that MXCSR and the x87 control word let through."""
        layout = self.layout
        return (
            ~self.words32[layout.mxcsr // 4] >> _MASK_SHIFT & MASKS,
            ~self.words16[layout.x87_control // 2] & MASKS,
        )

    def copy_marks(self) -> None:
        """Show in MXCSR what the present block has raised; as the hook does."""
        layout, state, code = self.layout, self.state, self.code
        mark = raised_by(state[layout.sse_mark])
        index = layout.mxcsr // 4
        if mark != code.known:
            self.words32[index] |= mark
        elif mark & ~self.words32[index]:
            state[layout.sse_mark] = mark = 0
        code.know(mark)

    def state_replaced(self) -> None:
        """Another task's state, whose marks have been copied, is in the processor now."""
        self.code.know(self.state[self.layout.sse_mark])
        if self.hook is not None:
            self.masked_loads = 0 if any(self.unmasked) else self.masked_loads + 1

    def begin_run(self) -> None:
        """The processor is about to run: stop watching instructions if that has long been needless."""
        if self.masked_loads > _MASKED_LOADS:
            self._stop_watching()
            self.masked_loads = 0

    def keep(self) -> tuple[int, bytes, bytes | None]:
        """What is known of the exceptions beside the state: the last part is None if nobody watches."""
        watched = None if self.hook is None else bytes(self.code.snapshot)
        return self.masked_loads, bytes(self.code.flags), watched

    def put_back(self, kept: tuple[int, bytes, bytes | None]) -> None:
        """Know what `keep` gave, after the state has been loaded."""
        masked_loads, flags, watched = kept
        if watched is None:
            if self.hook is not None:
                self._stop_watching()
        else:
            if self.hook is None:
                self._watch()
            self.code.snapshot[:] = watched or self.state[: self.layout.floating_end]
        self.masked_loads = masked_loads
        self.code.flags[:] = flags

    def attend(self) -> int | None:
        """See why the processor has been stopped: the vector to raise, 0 to go on, None if not for this."""
        reason = self.code.take_reason()
        if self.hook is not None and reason != PENDING:
            # The stop at the end of a budget may come first.
            return self._raise() or (0 if reason else None)
        if reason == UNMASKED:
            self._watch()
            return 0
        if reason == PENDING:
            if self._is_waiting_instruction(self.words64[RIP]):
                return _X87_ERROR
            self.code.skip_check()
            return 0
        return None

    def leave_code(self, vector: int) -> bool:
        """Code in the place of the library's functions has left what was translated by this vector: whether
        behind the instruction.
        """
        if vector == UNMASKING:
            self.code.stop_for(UNMASKED)
            self.library.stop(self.handle)
            return False
        if vector == COMPARED:
            self._set_flags(self.words64[self.layout.flags_source // 8])
        self._pass_over()
        return True

    def _set_flags(self, flags: int) -> None:
        """Set the flags of a comparison."""
        word = c_uint32()
        self.library.register_read(self.handle, uc.REG_EFLAGS, byref(word))
        word.value = word.value & ~_STATUS_FLAGS | flags & _STATUS_FLAGS
        self.library.register_write(self.handle, uc.REG_EFLAGS, byref(word))

    def _pass_over(self) -> None:
        """Go on behind the present instruction of the x87."""
        address = self.words64[RIP]
        length = instruction_length(self.code_at(address, LONGEST_INSTRUCTION), 0)
        set_register(self.words64, RIP, address + length)

    def _watch(self) -> None:
        """Have code called before each instruction from now on."""
        address, data = self.code.watch_hook
        self.code.set_watching(True)
        self.stops.watch()
        self.hook = self.library.add_hook(self.handle, uc.HOOK_CODE, c_void_p(address), data=data)
        self.library.control(self.handle, _FLUSH_CODE)

    def _stop_watching(self) -> None:
        self.library.check(self.library.hook_delete(self.handle, self.hook))
        self.stops.leave()
        self.library.control(self.handle, _FLUSH_CODE)
        self.code.set_watching(False)
        self.hook = None

    def _raise(self) -> int:
        """Undo the last instruction if it raised an unmasked exception of SSE; the vector, or 0."""
        layout, state = self.layout, self.state
        unmasked, _ = self.unmasked
        mark = state[layout.sse_mark] & EXCEPTIONS
        if not mark & unmasked or not self.code.has_watched(unmasked):
            return 0
        snapshot = self.code.snapshot
        new = mark & (~snapshot[layout.sse_mark] | unmasked)
        state[: layout.floating_end] = snapshot
        self.words32[layout.mxcsr // 4] |= new
        return _SIMD_ERROR

    def _is_waiting_instruction(self, address: int) -> bool:
        """Whether the instruction at `address` is of those that raise what is pending on the x87."""
        code = self.code_at(address, LONGEST_INSTRUCTION)
        position = 0
        while position < len(code) and code[position] in _PREFIXES:
            position += 1
        opcode, operand = (*code[position : position + 2], 0, 0)[:2]
        if opcode == _FWAIT:
            return True
        if not _FIRST_ESCAPE <= opcode <= _LAST_ESCAPE:
            return False
        if operand >= _REGISTER_FORM:
            return (opcode, operand) not in _NOT_WAITING
        return (opcode, operand >> 3 & 7) not in _NOT_WAITING_TO_MEMORY

    def code_at(self, address: int, left: int) -> bytes:
        """`left` bytes of code, or as many as are mapped."""
        parts: list[bytes] = []
        while left:
            table = self.words64[self.layout.cr3 // 8] >> PAGE_SHIFT
            for shift in (39, 30, 21, 12):
                entry = self.memory.words[(table << 9) + (address >> shift & 511)]
                if not entry & pte.PRESENT:
                    return b"".join(parts)
                table = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
            count = min(left, PAGE_SIZE - (address & PAGE_MASK))
            base = (table << PAGE_SHIFT) + (address & PAGE_MASK)
            parts.append(self.memory.bytes[base : base + count])
            address += count
            left -= count
        return b"".join(parts)


_FLUSH_CODE = c_uint32(uc.CTL_TB_FLUSH | 1 << 30)
