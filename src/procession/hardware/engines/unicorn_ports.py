"""Ports of the Unicorn engine: in user mode, an instruction that reaches for one raises #GP.

The library would ask a hook and go on with the rest of the block. So the functions by which translated code
reaches for ports are replaced by code that raises the exception, at the instruction that called.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

from procession.abi.word import Words
from procession.hardware.engines.unicorn_library import RAISE

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_image import LibraryImage
    from procession.hardware.engines.unicorn_library import UnicornLibrary

_FUNCTIONS = ("inb", "inw", "inl", "outb", "outw", "outl")
_CODE = bytes.fromhex("be0d000000 31d2 488b0c24 48b8")  # mov esi, 13; xor edx, edx; mov rcx, [rsp]; mov rax,
_JUMP = bytes.fromhex("ffe0")  # jmp rax
_ENTRY_BYTES = 32
_ADDRESS = Words("<Q")


def refuse_ports(library: UnicornLibrary, image: LibraryImage) -> None:
    """See to it that ports are out of reach, before a processor is opened. Raises UnicornError."""
    if image.base in _refusing:
        return
    length = _ENTRY_BYTES * len(_FUNCTIONS)
    code = mmap.mmap(-1, length, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    entry = _CODE + _ADDRESS.pack(library.address_of(RAISE)) + _JUMP
    start = ctypes.addressof(ctypes.c_char.from_buffer(code))
    replacements: dict[int, int] = {}
    # What the library knows of a function it finds by its address, so each has one of its own.
    for place, name in zip(range(0, length, _ENTRY_BYTES), _FUNCTIONS, strict=True):
        code[place : place + len(entry)] = entry
        replacements[library.address_of(f"helper_{name}_x86_64")] = start + place
    image.replace(replacements)
    _refusing[image.base] = code


_refusing: dict[int, mmap.mmap] = {}
"""The code by where the library is: it's called as long as that is there."""
