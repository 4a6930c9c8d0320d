"""Where Unicorn's library keeps the addresses of its own functions: calls of them can be led elsewhere.

A shared object reaches its public functions by way of tables that the loader fills. They belong to the
library, so what is put there holds for all processors in this process.
"""

from __future__ import annotations

import ctypes
import mmap
from ctypes import c_size_t, c_uint64, c_void_p
from itertools import compress

from procession.abi.mmap_flags import Protection
from procession.abi.word import Words
from procession.hardware.engines.unicorn_library import UnicornError

_PLT_RELOCATION_BYTES, _PLT_ADDRESSES = 2, 3
"""Which entries of the dynamic section tell where the addresses of calls are (DT_PLTRELSZ, DT_PLTGOT)."""
_RESERVED_ADDRESSES = 3
"""What the loader has there before them."""
_PROGRAM_HEADER_START, _DYNAMIC_SEGMENT, _READ_ONLY_SEGMENT = 64, 2, 0x6474E552
_INFO, _DYNAMIC_ENTRY = Words("<Q"), Words("<qQ")
_PROGRAM_HEADER, _PROGRAM_HEADER_COUNT = Words("<IIQQQQQQ"), Words("<H")
_COUNT_OFFSET, _RELOCATION_BYTES = 56, 24
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

    def lead(self, function: int, code: bytes) -> None:
        """Have the library run `code` where it calls its function at that address: once for all processors.

        Raises UnicornError.
        """
        if function in _leading:
            return
        slot = self._call_slot(function)
        page = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page[:] = code
        _leading[function] = page
        slot.value = ctypes.addressof(ctypes.c_char.from_buffer(page))

    def _call_slot(self, function: int) -> c_uint64:
        """Where the library has the address by which it calls a function. Raises UnicornError.

        The loader has put all of them there: ctypes has it do so at once (RTLD_NOW).
        """
        start = self.tables.get(_PLT_ADDRESSES, 0)
        # The loader may have made addresses of what are offsets in the file.
        start += 0 if start >= self.base else self.base
        count = self.tables.get(_PLT_RELOCATION_BYTES, 0) // _RELOCATION_BYTES + _RESERVED_ADDRESSES
        region = range(start, start + 8 * count)
        place = _find_word(region, _INFO.pack(function)) if _PLT_ADDRESSES in self.tables else -1
        if place < 0 or start + 8 * place in self.read_only:
            raise UnicornError(f"the library's address of its function at {function:#x} can't be changed")
        return c_uint64.from_address(start + 8 * place)

    def replace(self, replacements: dict[int, int]) -> None:
        """Put other addresses in place of those of functions that translated code calls.

        The translator takes such an address from one table, and looks what it knows of the function up by the
        one in another, which is a list of them all. Raises UnicornError unless each is in both.
        """
        region = self.read_only
        words = memoryview((ctypes.c_char * len(region)).from_address(region.start)).cast("B").cast("Q")
        in_list = _find_word(region, _INFO.pack(next(iter(replacements))))
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
        first = _find_word(region, row)
        if first < 0 or _find_word(region, row, first + 1) >= 0:
            raise UnicornError("the library doesn't keep the addresses of what accesses memory as it should")
        self._protect(_PROT_READ | _PROT_WRITE)
        for index, replacement in enumerate(replacements, first):
            words[index] = replacement
        self._protect(_PROT_READ)

    def _protect(self, rights: int) -> None:
        region = self.read_only
        if ctypes.CDLL(None).mprotect(c_void_p(region.start), c_size_t(len(region)), rights):
            raise UnicornError("the library's tables of addresses can't be changed")


_leading: dict[int, mmap.mmap] = {}
"""What is run in place of functions, by their addresses: it's called as long as the library is there."""


def _find_word(region: range, wanted: bytes, first: int = 0) -> int:
    """The index of the word of memory in `region`, from `first` on, at which `wanted` begins; -1 if none.

    It's looked for where it lies: a copy of a MiB would take longer than the search.
    """
    search = ctypes.CDLL(None).memmem
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
