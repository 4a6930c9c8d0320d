"""A bound on how many instructions Unicorn translates as one block.

The library counts up to 512 instructions into a block, and for some of them (those of the x87, crc32,
pcmpestri) takes one or two of its 512 temporaries that it never gives back before the block ends. It doesn't
look whether there are any left: a few hundred such instructions in a row, and it writes past its table. So
the library's call of its own translator is led through code that asks for less. A block that can't take long
also lets the meter see what the program does.

The library reaches the translator by way of its table of addresses, as every shared object does whose
functions are public; that table is the library's, so the bound holds for all processors in this process.
"""

from __future__ import annotations

import ctypes
import mmap
from ctypes import c_uint64, c_void_p
from typing import TYPE_CHECKING

from procession.abi.word import Words
from procession.hardware.engines.unicorn_library import UnicornError

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_library import UnicornLibrary

INSTRUCTIONS_PER_BLOCK = 64
"""The most that a block has: 512 temporaries suffice with 8 for each."""
TRANSLATOR = "gen_intermediate_code_x86_64"
"""Called as (processor object, block, the most instructions)."""

_JUMP_SLOT = 7
_PLT_RELOCATION_BYTES, _STRINGS, _SYMBOLS, _STRING_BYTES, _PLT_RELOCATIONS = 2, 5, 6, 10, 23
"""Which entries of the dynamic section tell where the tables are (DT_PLTRELSZ, DT_STRTAB ...)."""
_PROGRAM_HEADER_START, _DYNAMIC_SEGMENT, _READ_ONLY_SEGMENT = 64, 2, 0x6474E552
_WORD, _INFO, _DYNAMIC_ENTRY = Words("<I"), Words("<Q"), Words("<qQ")
_PROGRAM_HEADER, _PROGRAM_HEADER_COUNT = Words("<IIQQQQQQ"), Words("<H")
_COUNT_OFFSET, _RELOCATION_BYTES, _INFO_OFFSET, _SYMBOL_BYTES = 56, 24, 8, 24


class _Place(ctypes.Structure):
    """What dladdr(3) tells of an address (Dl_info)."""

    _fields_ = (
        ("file_name", ctypes.c_char_p),
        ("base", c_void_p),
        ("symbol_name", ctypes.c_char_p),
        ("symbol", c_void_p),
    )


def bound_blocks(library: UnicornLibrary) -> None:
    """See to it that no block has more than INSTRUCTIONS_PER_BLOCK instructions. Raises UnicornError."""
    translator = library.address_of(TRANSLATOR)
    slot = c_uint64.from_address(_slot_of(translator))
    if slot.value not in _bounded:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        limit = _WORD.pack(INSTRUCTIONS_PER_BLOCK)
        instructions = b"".join(
            (
                bytes.fromhex("81fa") + limit,  # cmp edx, the limit
                bytes.fromhex("7e05ba") + limit,  # jle +5; mov edx, the limit
                bytes.fromhex("48b8") + _INFO.pack(translator),  # mov rax, the translator
                bytes.fromhex("ffe0"),  # jmp rax
            )
        )
        code[: len(instructions)] = instructions
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
        _bounded[address] = code
        slot.value = address


_bounded: dict[int, mmap.mmap] = {}
"""The code that asks for less, by address: it's called as long as the library is there."""


def _slot_of(function: int) -> int:
    """Where the library that has `function` looks up its address when it calls it."""
    place = _Place()
    if not ctypes.CDLL(None).dladdr(c_void_p(function), ctypes.byref(place)) or place.base is None:
        raise UnicornError("the library can't be found in memory")
    base: int = place.base
    tables: dict[int, int] = {}
    read_only = range(0)
    [count] = _PROGRAM_HEADER_COUNT.unpack(ctypes.string_at(base + _COUNT_OFFSET, 2))
    headers = ctypes.string_at(base + _PROGRAM_HEADER_START, count * _PROGRAM_HEADER.size)
    for kind, _, _, address, _, _, length, _ in _PROGRAM_HEADER.iter_unpack(headers):
        if kind == _DYNAMIC_SEGMENT:
            tables.update(_DYNAMIC_ENTRY.iter_unpack(ctypes.string_at(base + address, length)))
        elif kind == _READ_ONLY_SEGMENT:
            read_only = range(base + address, base + address + length)
    # The loader may have made addresses of what are offsets in the file.
    strings, symbols, relocations = (
        start if start >= base else base + start
        for start in (tables.get(which, 0) for which in (_STRINGS, _SYMBOLS, _PLT_RELOCATIONS))
    )
    name = ctypes.string_at(strings, tables.get(_STRING_BYTES, 0)).find(b"\0%s\0" % TRANSLATOR.encode()) + 1
    symbol = _find(ctypes.string_at(symbols, max(strings - symbols, 0)), _WORD.pack(name), _SYMBOL_BYTES, 0)
    table = ctypes.string_at(relocations, tables.get(_PLT_RELOCATION_BYTES, 0))
    entry = _find(table, _INFO.pack(symbol << 32 | _JUMP_SLOT), _RELOCATION_BYTES, _INFO_OFFSET)
    if not name or symbol < 0 or entry < 0:
        raise UnicornError(f"the library doesn't look up where {TRANSLATOR} is")
    [offset] = _INFO.unpack_from(table, entry * _RELOCATION_BYTES)
    slot: int = base + offset
    if slot in read_only:
        raise UnicornError(f"the library's address of {TRANSLATOR} can't be changed")
    return slot


def _find(table: bytes, wanted: bytes, entry_bytes: int, offset: int) -> int:
    """The index of the entry in `table` that has `wanted` at `offset`; -1 if none has."""
    position = table.find(wanted)
    while position >= 0 and position % entry_bytes != offset:
        position = table.find(wanted, position + 1)
    return position // entry_bytes if position >= 0 else -1
