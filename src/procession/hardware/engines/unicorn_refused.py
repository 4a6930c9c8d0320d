"""What the Unicorn engine refuses: ports, entries for 32-bit programs, and instructions of other makers.

In user mode, an instruction that reaches for a port raises #GP, where the library would ask a hook and go on
with the rest of the block. So does sysenter, as there are no 32-bit programs. SSE4a, which the processor that
there is hasn't, is an invalid opcode. The functions that translated code calls for them are replaced by code
that raises the exception, at the instruction that called.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

from procession.hardware.engines.unicorn_library import RAISE
from procession.hardware.engines.unicorn_machine_code import Assembly

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_image import LibraryImage
    from procession.hardware.engines.unicorn_library import UnicornLibrary

_FUNCTIONS = {
    **dict.fromkeys(("inb", "inw", "inl", "outb", "outw", "outl", "sysenter"), 13),
    **dict.fromkeys(("extrq_i", "extrq_r", "insertq_i", "insertq_r"), 6),
}
"""With the vector of what they raise."""
_ENTRY_BYTES = 32


def refuse(library: UnicornLibrary, image: LibraryImage) -> None:
    """See to it that all that is out of reach, before a processor is opened. Raises UnicornError."""
    if image.base in _refusing:
        return
    length = _ENTRY_BYTES * len(_FUNCTIONS)
    code = mmap.mmap(-1, length, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    raising = library.address_of(RAISE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(code))
    replacements: dict[int, int] = {}
    # What the library knows of a function it finds by its address, so each has one of its own.
    for place, (name, vector) in zip(range(0, length, _ENTRY_BYTES), _FUNCTIONS.items(), strict=True):
        raised = Assembly()
        raised.leave(vector, raising)
        entry = raised.finish()
        code[place : place + len(entry)] = entry
        replacements[library.address_of(f"helper_{name}_x86_64")] = start + place
    image.replace(replacements)
    _refusing[image.base] = code


_refusing: dict[int, mmap.mmap] = {}
"""The code by where the library is: it's called as long as that is there."""
