"""The code that marks pages does what the library's function does."""

from __future__ import annotations

import ctypes
import mmap
import random

from procession.abi.word import Words
from procession.hardware.engines.unicorn_code_pages import MARK, is_known, mark_code
from procession.hardware.engines.unicorn_library import UnicornLibrary

_MODES, _ENTRIES, _VICTIMS, _ENTRY_BYTES = 3, 64, 8, 64
_STATE, _BYTES = 0x8000, 0x9000
_TABLES = 0x1000
_QUADWORD = Words("<Q")


def _processor(seed: int, pages: list[int], base: int) -> bytes:
    """A processor object at `base` whose tables have some of `pages`, each where it can lie."""
    chance = random.Random(seed)
    image = bytearray(_BYTES)

    def put(place: int, value: int) -> None:
        _QUADWORD.pack_into(image, place, value)

    put(0x128, base + _STATE)
    for mode in range(_MODES):
        table = _TABLES + mode * _ENTRIES * _ENTRY_BYTES
        put(_STATE - 0x40 + 16 * mode, (_ENTRIES - 1) * _ENTRY_BYTES)
        put(_STATE - 0x38 + 16 * mode, base + table)
        for index in range(_ENTRIES):
            here = [page for page in pages if page >> 12 & _ENTRIES - 1 == index]
            page = chance.choice(here) if here and chance.random() < 0.8 else (1 << 64) - 1
            put(table + index * _ENTRY_BYTES + 8, page | chance.choice((0, 0, 0x40, 0x200, 0x400, 0x800, 8)))
        for index in range(_VICTIMS):
            page = chance.choice([*pages, (1 << 64) - 1])
            put(_STATE - 0x838 + 0x2B8 * mode + index * _ENTRY_BYTES, page | chance.choice((0, 0, 0x400)))
    return bytes(image)


def test_the_same_translations_are_marked() -> None:
    library = UnicornLibrary()
    address = library.address_of(MARK)
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    made = mark_code(address)
    code[: len(made)] = made
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
    own = kind(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    theirs = kind(address)
    memory = ctypes.create_string_buffer(_BYTES)
    base = ctypes.addressof(memory)
    pages = [0x400000, 0x401000, 0x402000, 0x440000, 0x7FFF_FFFF_F000, 0xFFFF_FFFF_FF60_0000]
    marked = 0
    for seed in range(200):
        chance = random.Random(seed)
        before = _processor(seed, pages, base)
        start = chance.choice(pages) + chance.choice((0, 0, 0, 0, 8))
        length = chance.choice((0, 1, 0x123, 0xFFF, 0x1000, 0x1001, 0x1FFF, 0x2000, 0x2001, 0x5000))
        outcomes = []
        for function in (theirs, own):
            ctypes.memmove(memory, before, _BYTES)
            function(base, start, length)
            outcomes.append(memory.raw[:_BYTES])
        assert outcomes[0] == outcomes[1], (seed, hex(start), hex(length))
        marked += outcomes[0] != before
    assert marked > 50


def test_the_library_that_is_installed_is_the_known_one() -> None:
    assert is_known(UnicornLibrary().address_of(MARK))
