"""Where Unicorn's library keeps the addresses of its own functions: calls of them can be led elsewhere.

A shared object reaches its public functions by way of tables that the loader fills. They belong to the
library, so what is put there holds for all processors in this process.
"""

from __future__ import annotations

import ctypes
from ctypes import c_size_t, c_uint64, c_void_p
from itertools import compress

from procession.abi.mmap_flags import Protection
from procession.abi.word import Words
from procession.hardware.engines.unicorn_library import UnicornError

_JUMP_SLOT = 7
_PLT_RELOCATION_BYTES, _STRINGS, _SYMBOLS, _STRING_BYTES, _PLT_RELOCATIONS = 2, 5, 6, 10, 23
"""Which entries of the dynamic section tell where the tables are (DT_PLTRELSZ, DT_STRTAB ...)."""
_PROGRAM_HEADER_START, _DYNAMIC_SEGMENT, _READ_ONLY_SEGMENT = 64, 2, 0x6474E552
_WORD, _INFO, _DYNAMIC_ENTRY = Words("<I"), Words("<Q"), Words("<qQ")
_PROGRAM_HEADER, _PROGRAM_HEADER_COUNT = Words("<IIQQQQQQ"), Words("<H")
_COUNT_OFFSET, _RELOCATION_BYTES, _INFO_OFFSET, _SYMBOL_BYTES = 56, 24, 8, 24
_TABLE_BYTES = 1 << 17
"""More than the table of addresses that code uses has, and the list of functions on each side of one."""
_PROT_READ, _PROT_WRITE = int(Protection.PROT_READ), int(Protection.PROT_WRITE)
_PAGE = 4096


class _Place(ctypes.Structure):
    """What dladdr(3) tells of an address (Dl_info)."""

    _fields_ = (
        ("file_name", ctypes.c_char_p),
        ("base", c_void_p),
        ("symbol_name", ctypes.c_char_p),
        ("symbol", c_void_p),
    )


class LibraryImage:
    """The library in memory.

    `base` is where it begins, `tables` its dynamic section; what lies in `read_only` the loader has made so
    when it was done.
    """

    def __init__(self, function: int) -> None:
        """The library that has `function`. Raises UnicornError."""
        place = _Place()
        if not ctypes.CDLL(None).dladdr(c_void_p(function), ctypes.byref(place)) or place.base is None:
            raise UnicornError("the library can't be found in memory")
        self.base: int = place.base
        self.tables: dict[int, int] = {}
        self.read_only = range(0)
        [count] = _PROGRAM_HEADER_COUNT.unpack(ctypes.string_at(self.base + _COUNT_OFFSET, 2))
        headers = ctypes.string_at(self.base + _PROGRAM_HEADER_START, count * _PROGRAM_HEADER.size)
        for kind, _, _, address, _, _, length, _ in _PROGRAM_HEADER.iter_unpack(headers):
            start = self.base + address
            if kind == _DYNAMIC_SEGMENT:
                self.tables.update(_DYNAMIC_ENTRY.iter_unpack(ctypes.string_at(start, length)))
            elif kind == _READ_ONLY_SEGMENT:
                self.read_only = range(start & -_PAGE, start + length & -_PAGE)

    def call_slot(self, name: str) -> c_uint64:
        """The address by which the library calls its function `name`. Raises UnicornError."""
        # The loader may have made addresses of what are offsets in the file.
        strings, symbols, relocations = (
            start if start >= self.base else self.base + start
            for start in (self.tables.get(which, 0) for which in (_STRINGS, _SYMBOLS, _PLT_RELOCATIONS))
        )
        text = ctypes.string_at(strings, self.tables.get(_STRING_BYTES, 0))
        offset = text.find(b"\0%s\0" % name.encode()) + 1
        names = ctypes.string_at(symbols, max(strings - symbols, 0))
        symbol = _find(names, _WORD.pack(offset), _SYMBOL_BYTES, 0)
        table = ctypes.string_at(relocations, self.tables.get(_PLT_RELOCATION_BYTES, 0))
        entry = _find(table, _INFO.pack(symbol << 32 | _JUMP_SLOT), _RELOCATION_BYTES, _INFO_OFFSET)
        if not offset or symbol < 0 or entry < 0:
            raise UnicornError(f"the library doesn't look up where {name} is")
        [slot] = _INFO.unpack_from(table, entry * _RELOCATION_BYTES)
        if self.base + slot in self.read_only:
            raise UnicornError(f"the library's address of {name} can't be changed")
        return c_uint64.from_address(self.base + slot)

    def replace(self, replacements: dict[int, int]) -> None:
        """Put other addresses in place of those of functions that translated code calls.

        The translator takes such an address from one table, and looks what it knows of the function up by the
        one in another, which is a list of them all. Raises UnicornError unless each is in both.
        """
        region = self.read_only
        words = memoryview((ctypes.c_char * len(region)).from_address(region.start)).cast("B").cast("Q")
        in_list = self._find_word(_INFO.pack(next(iter(replacements))))
        size = _TABLE_BYTES // 8
        found: dict[int, list[int]] = {address: [] for address in replacements}
        for start in (max(in_list - size // 2, 0), max(in_list + size // 2, len(words) - size)):
            part = words[start : start + size].tolist()
            for place in compress(range(len(part)), map(found.__contains__, part)):
                found[part[place]].append(start + place)
        if in_list < 0 or any(len(places) != 2 for places in found.values()):
            raise UnicornError("the library doesn't keep the addresses of what it calls as it should")
        self._protect(_PROT_READ | _PROT_WRITE)
        for address, places in found.items():
            for index in places:
                words[index] = replacements[address]
        self._protect(_PROT_READ)

    def replace_row(self, functions: list[int], replacements: list[int]) -> None:
        """Put other addresses in place of those of functions that stand one behind the other in one table.

        Raises UnicornError unless they do, once.
        """
        region = self.read_only
        words = memoryview((ctypes.c_char * len(region)).from_address(region.start)).cast("B").cast("Q")
        row = b"".join(map(_INFO.pack, functions))
        first = self._find_word(row)
        if first < 0 or self._find_word(row, first + 1) >= 0:
            raise UnicornError("the library doesn't keep the addresses of what accesses memory as it should")
        self._protect(_PROT_READ | _PROT_WRITE)
        for index, replacement in enumerate(replacements, first):
            words[index] = replacement
        self._protect(_PROT_READ)

    def _find_word(self, wanted: bytes, first: int = 0) -> int:
        """The index of the word, from `first` on, at which `wanted` begins in what is read-only; -1 if none.

        It's looked for where it lies: a copy of that MiB would take longer than the search.
        """
        region, search = self.read_only, ctypes.CDLL(None).memmem
        search.restype = c_void_p
        address, length = region.start + 8 * first, c_size_t(len(wanted))
        while address < region.stop:
            left = c_size_t(region.stop - address)
            place: int | None = search(c_void_p(address), left, wanted, length)
            if place is None:
                break
            if place % 8 == region.start % 8:
                return (place - region.start) // 8
            address = place + 1
        return -1

    def _protect(self, rights: int) -> None:
        region = self.read_only
        if ctypes.CDLL(None).mprotect(c_void_p(region.start), c_size_t(len(region)), rights):
            raise UnicornError("the library's tables of addresses can't be changed")


def _find(table: bytes, wanted: bytes, entry_bytes: int, offset: int) -> int:
    """The index of the entry in `table` that has `wanted` at `offset`; -1 if none has."""
    position = table.find(wanted)
    while position >= 0 and position % entry_bytes != offset:
        position = table.find(wanted, position + 1)
    return position // entry_bytes if position >= 0 else -1
