"""The guest's memory, as an instruction reads and writes it that the machine executes in the stub's stead."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from procession.hardware import page_table as pte
from procession.hardware.engine import FAULT_WRITE
from procession.hardware.engines.native.space import Absent, Space
from procession.hardware.instruction import is_stack_fault
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.hardware.registers import RIP, WORD_MASK
from procession.hardware.translation import layout
from procession.hardware.translation.decode import FS, GS, LONGEST_INSTRUCTION, Instruction, decode
from procession.hardware.translation.opcodes import TRUNCATED

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters
    from procession.hardware.engines.native.code_store import CodeStore
    from procession.hardware.physical_memory import PhysicalMemory

_STACK_SEGMENT, _GENERAL_PROTECTION = 12, 13
_FRAME_MASK: Final = pte.ADDRESS_MASK
_FS_BASE, _GS_BASE = layout.FS_BASE >> 3, layout.GS_BASE >> 3


class Inaccessible(Exception):
    """The guest can't read `address` now, or can't write there; `kind` is then FAULT_WRITE."""

    def __init__(self, address: int, kind: int = 0) -> None:
        super().__init__(address)
        self.address = address
        self.kind = kind


class GuestMemory:
    """What the running address space has; `space` is that one, `words` the context's."""

    __slots__ = ("memory", "space", "store", "words")

    def __init__(self, memory: PhysicalMemory, store: CodeStore, words: memoryview[int]) -> None:
        self.memory = memory
        self.store = store
        self.words = words
        self.space: Space | None = None

    def entry(self, address: int) -> int:
        """The page table's entry for `address`; 0 if nothing is there."""
        space = self.space
        return 0 if space is None else space.window.walk.find(space.root, address)

    def read(self, address: int, length: int) -> bytes:
        """Bytes at `address`. Raises Inaccessible."""
        parts = b""
        while len(parts) < length:
            entry = self.entry(address)
            if not entry:
                raise Inaccessible(address)
            start = (entry & _FRAME_MASK) + (address & PAGE_MASK)
            parts += self.memory.bytes[start : min((start | PAGE_MASK) + 1, start + length - len(parts))]
            address = (address | PAGE_MASK) + 1 & WORD_MASK
        return parts

    def write(self, address: int, data: bytes) -> None:
        """Put bytes at `address`, all of them or none. Raises Inaccessible."""
        places: list[int] = []
        for offset in range(len(data)):
            entry = self.entry(address + offset & WORD_MASK)
            if not entry & pte.WRITABLE:
                raise Inaccessible(address + offset & WORD_MASK, FAULT_WRITE)
            places.append((entry & _FRAME_MASK) + (address + offset & PAGE_MASK))
        if self.space is not None:
            # The kernel may have given the program another frame there than the stub has mapped.
            for place in {address, address + len(data) - 1 & WORD_MASK}:
                self.space.window.fill(place, is_write=True)
        for place, byte in zip(places, data, strict=True):
            if place >> PAGE_SHIFT in self.store.code_frames:
                self.store.forget_frame(place >> PAGE_SHIFT)
            self.memory.bytes[place] = byte

    def set_bits(self, address: int, bits: int) -> None:
        """Set bits of the byte at `address`, if there is one."""
        entry = self.entry(address)
        if entry:
            self.memory.bytes[(entry & _FRAME_MASK) + (address & PAGE_MASK)] |= bits

    def segment_base(self, instruction: Instruction) -> int:
        """What the instruction's segment adds to an address."""
        if instruction.prefixes & FS:
            return self.words[_FS_BASE]
        return self.words[_GS_BASE] if instruction.prefixes & GS else 0

    def vector_of(self, vector: int, error_code: int, general: GeneralRegisters) -> int:
        """What the instruction at rip raises where `vector` was raised in its stead, by an access with other
        registers perhaps than it names.
        """
        if vector == _GENERAL_PROTECTION and not error_code:
            with suppress(Absent):
                if is_stack_fault(self.code_at(general[RIP]), general):
                    return _STACK_SEGMENT
        return vector

    def code_at(self, pc: int) -> bytes:
        """The bytes of the instruction at `pc`, and more, without any note that they're code. Raises
        Absent.
        """
        code = b""
        for address in (pc, (pc | PAGE_MASK) + 1):
            entry = self.entry(address)
            if not entry or entry & pte.NO_EXECUTE:
                if not code or decode(code, 0).kind == TRUNCATED:
                    raise Absent(address)
                break
            start = (entry & _FRAME_MASK) + (address & PAGE_MASK)
            code += self.memory.bytes[start : (start | PAGE_MASK) + 1]
            if len(code) >= LONGEST_INSTRUCTION:
                break
        return code[: LONGEST_INSTRUCTION + 1]
