"""What the Unicorn engine doesn't leave to its library: AVX, transactions, the x87's functions, ports.

AVX is an invalid opcode, as on a processor that hasn't got it; so are XBEGIN and XABORT, which the library
takes for moves of constants.

The library takes an instruction of three operands in a VEX encoding for one of two, and computes something
else without a word. So each block that it has just translated is looked through (`unicorn_scan.py`), once and
before it runs. A block with such an instruction in it is translated anew, to end before that: there the
exception is raised, or the function computed.

In user mode, an instruction that reaches for a port raises #GP, where the library would ask a hook and go on
with the rest of the block. So does sysenter, as there are no 32-bit programs. SSE4a, which the processor that
there is hasn't, is an invalid opcode. The functions that translated code calls for them are replaced by code
that raises the exception, at the instruction that called.
"""

from __future__ import annotations

import ctypes
import mmap
from ctypes import c_uint32, c_void_p, cast, string_at
from typing import TYPE_CHECKING, Any

from procession.hardware.engines import unicorn_library as uc
from procession.hardware.engines.unicorn_machine_code import Assembly
from procession.hardware.engines.unicorn_scan import BlockScan
from procession.hardware.engines.unicorn_x87 import X87Functions
from procession.hardware.instruction import (
    LONGEST_INSTRUCTION,
    find_unknown_instruction,
    is_transaction,
    is_vector_extension,
    x87_function_at,
)
from procession.hardware.registers import RIP

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_exceptions import FloatingExceptions
    from procession.hardware.engines.unicorn_image import LibraryImage
    from procession.hardware.engines.unicorn_library import UnicornLibrary

NOWHERE = 0xFFFF_FFFF_FFFF_F000
"""Where no program comes: a non-canonical address, as the block that holds the end of a run is translated
anew at every start."""
DONE = -1
"""No vector: the instruction has been executed."""
_REMEMBERED_BLOCKS = 4096
_FUNCTION_UNITS = 2_500
"""What a function of the x87 counts as: it takes some 30 us outside, where a block takes about 10 ns."""
_INVALID_OPCODE = 6
_REFUSED = {
    **dict.fromkeys(("inb", "inw", "inl", "outb", "outw", "outl", "sysenter"), 13),
    **dict.fromkeys(("extrq_i", "extrq_r", "insertq_i", "insertq_r"), 6),
}
"""With the vector of what they raise."""
_ENTRY_BYTES = 32
_FLUSH_CODE = c_uint32(uc.CTL_TB_FLUSH | 1 << 30)


class UnknownInstructions:
    """Looks at what a processor translates. `address` is where it is to stop, NOWHERE if nowhere.

    `known` has the verdicts on blocks with suspicious bytes; `stale` is the block that must be translated
    anew, `cut` the last one that has been.
    """

    __slots__ = ("address", "callback", "cut", "exceptions", "functions", "known", "scan", "stale")

    def __init__(self, exceptions: FloatingExceptions, memory_address: int) -> None:
        self.exceptions = exceptions
        self.functions = X87Functions(exceptions)
        self.address = NOWHERE
        self.known: dict[bytes, int] = {}
        self.stale: tuple[int, int] | None = None
        self.cut: tuple[int, int] | None = None
        self.callback = uc.BLOCK_CALLBACK(self._on_suspicious_block)
        layout = exceptions.layout
        self.scan = BlockScan(
            layout.address + layout.cr3, memory_address, cast(self.callback, c_void_p).value or 0
        )
        scan = self.scan.address
        exceptions.library.add_hook(exceptions.handle, uc.HOOK_EDGE_GENERATED, c_void_p(scan))

    def _on_suspicious_block(self, _handle: object, blocks: Any, place: int | None) -> None:
        """A block may hold such an instruction. It hasn't been executed yet."""
        block = blocks[0]
        size = block.size
        code = string_at(place, size) if place else self.exceptions.code_at(block.address, size)
        offset = self.known.get(code)
        if offset is None:
            if len(self.known) >= _REMEMBERED_BLOCKS:
                self.known.clear()
            offset = self.known[code] = find_unknown_instruction(code)
        if offset >= 0:
            address = block.address
            if self.cut == (address, address + size) and self.address == address + offset:
                # It was to end before, and doesn't: what begins there is part of an instruction.
                return
            self.address = address + offset
            self.stale = address, address + size
            self.exceptions.library.stop(self.exceptions.handle)

    def begin(self) -> int:
        """Before the processor starts: the vector to raise instead, 0 for none.

        A function of the x87 that it would come to next is computed here: DONE.
        """
        exceptions = self.exceptions
        if self.stale is not None:
            exceptions.library.forget_block(exceptions.handle, *self.stale)
            self.cut, self.stale = self.stale, None
        if exceptions.words64[RIP] != self.address:
            return 0
        self.address = NOWHERE
        code = exceptions.code_at(exceptions.words64[RIP], LONGEST_INSTRUCTION)
        if is_vector_extension(code) or is_transaction(code):
            return _INVALID_OPCODE
        if x87_function_at(code)[0]:
            exceptions.code.budget[0] -= _FUNCTION_UNITS
            return self.functions.execute(code) or DONE
        # Another task came there, whose blocks may have been cut too.
        exceptions.library.control(exceptions.handle, _FLUSH_CODE)
        return 0

    def attend(self) -> bool:
        """The processor has come back for no other reason: whether it is to go on."""
        exceptions = self.exceptions
        if self.stale is not None:
            return True
        address = exceptions.words64[RIP]
        if address == self.address:
            return True
        code = exceptions.code_at(address, LONGEST_INSTRUCTION)
        if is_vector_extension(code) or is_transaction(code) or x87_function_at(code)[0]:
            # It came here before, and the block that ends here has been kept.
            self.address = address
            return True
        return False


def refuse(library: UnicornLibrary, image: LibraryImage) -> None:
    """See to it that all that is out of reach, before a processor is opened. Raises UnicornError."""
    if image.base in _refusing:
        return
    length = _ENTRY_BYTES * len(_REFUSED)
    code = mmap.mmap(-1, length, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    raising = library.address_of(uc.RAISE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(code))
    replacements: dict[int, int] = {}
    # What the library knows of a function it finds by its address, so each has one of its own.
    for place, (name, vector) in zip(range(0, length, _ENTRY_BYTES), _REFUSED.items(), strict=True):
        raised = Assembly()
        raised.leave(vector, raising)
        entry = raised.finish()
        code[place : place + len(entry)] = entry
        replacements[library.address_of(f"helper_{name}_x86_64")] = start + place
    image.replace(replacements)
    _refusing[image.base] = code


_refusing: dict[int, mmap.mmap] = {}
"""The code by where the library is: it's called as long as that is there."""
