"""What accesses across the edge of a page cost the Unicorn engine, and the code that counts them.

Translated code makes most accesses itself and leaves two kinds to functions of the library: those to pages
whose translation isn't at hand, which nothing counts as it would depend on what was done before, and those
that reach into a second page, which take as long as a few blocks. So the functions are called through code
that looks at the address, and takes a price from the processor's budget for the second kind. What translated
code does itself is no slower.

A third kind is that which isn't aligned where an instruction has to be (`unicorn_blocks.py`): there the code
raises the exception, before any of the page's.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

from procession.abi.word import Words
from procession.hardware.engines.unicorn_library import RAISE, UnicornError
from procession.hardware.engines.unicorn_machine_code import MISALIGNED, Assembly, d8, d32, q

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_image import LibraryImage
    from procession.hardware.engines.unicorn_library import UnicornLibrary
    from procession.hardware.engines.unicorn_state import StateLayout

_LOAD_PRICE, _STORE_PRICE = 3, 6
"""Units for an access."""
_ROWS = (
    ("helper_le_ld{}_mmu_x86_64", ("uw", "ul", "q"), _LOAD_PRICE),
    ("helper_le_st{}_mmu_x86_64", ("w", "l", "q"), _STORE_PRICE),
)
"""The functions of 2, 4 and 8 bytes: their addresses stand one behind the other in a table."""
_ENTRY_BYTES, _COUNT_OFFSET, _COUNT_BYTES = 80, 10, 8
_QUADWORD = 2
"""The place in a row of the functions by which the accesses begin that have to be aligned."""
_ALIGNED = 0x400
"""The bit of what describes an access that says so: in a load's third argument, in a store's fourth."""
_COST = Words("<ib")


class PricedEdges:
    """Code of the library's process that the functions are called through, each at its entry.

    Until `count` has said where the budget is, nothing is counted.
    """

    __slots__ = ("code", "offset", "prices")

    def __init__(self, library: UnicornLibrary, image: LibraryImage) -> None:
        """Lead the calls through the code, before a processor is opened. Raises UnicornError."""
        self.offset = 0
        self.prices = [price for _, sizes, price in _ROWS for _ in sizes]
        self.code = code = mmap.mmap(
            -1, _ENTRY_BYTES * len(self.prices), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        )
        start = ctypes.addressof(ctypes.c_char.from_buffer(code))
        raising = library.address_of(RAISE)
        place = 0
        for name, sizes, price in _ROWS:
            functions = [library.address_of(name.format(size)) for size in sizes]
            entries: list[int] = []
            for index, function in enumerate(functions):
                entry = Assembly()
                # lea eax, [rsi + the last byte]; xor eax, esi; test ah, 0x10; jz behind what counts
                entry.add("8d46", d8((2 << index) - 1), bytes.fromhex("31f0 f6c410 7408"))
                entry.add("90" * _COUNT_BYTES)
                if index == _QUADWORD:
                    _look_at_alignment(entry, raising, is_load=price == _LOAD_PRICE)
                entry.add("48b8", q(function), b"\xff\xe0")  # mov rax, the function; jmp rax
                finished = entry.finish()
                code[place : place + len(finished)] = finished
                entries.append(start + place)
                place += _ENTRY_BYTES
            image.replace_row(functions, entries)

    def _set_count(self, place: int, code: bytes) -> None:
        self.code[place + _COUNT_OFFSET : place + _COUNT_OFFSET + _COUNT_BYTES] = code

    def count(self, layout: StateLayout) -> None:
        """Take prices from the budget of the processor that makes the access. Raises UnicornError."""
        if layout.budget == self.offset:
            return
        if self.offset:
            raise UnicornError("accesses across pages can't tell where the budget is")
        self.offset = layout.budget
        for index, price in enumerate(self.prices):
            # sub qword [rdi + offset], price; rdi is where the processor's state begins
            self._set_count(_ENTRY_BYTES * index, b"\x48\x83\xaf" + _COST.pack(layout.budget, price))


def _look_at_alignment(code: Assembly, raising: int, *, is_load: bool) -> None:
    """Raise the exception of an access that has to be aligned and isn't.

    The last argument, behind what describes the access, is where in translated code it's made.
    """
    code.add("f7c2" if is_load else "f7c1", d32(_ALIGNED))  # test edx or ecx, ...
    code.jump("84", "fit")  # jz fit
    code.add("40f6c60f")  # test sil, 15
    code.jump("84", "fit")  # jz fit
    if not is_load:
        code.add("4c89c1")  # mov rcx, r8
    # mov esi, the vector; xor edx, edx; mov rax, ...; jmp rax
    code.add("be", d32(MISALIGNED), bytes.fromhex("31d2 48b8"), q(raising), b"\xff\xe0")
    code.label("fit")


def price_edges(library: UnicornLibrary, image: LibraryImage) -> PricedEdges:
    """The code for the library that is loaded here, once. Raises UnicornError."""
    edges = _priced.get(image.base)
    if edges is None:
        edges = _priced[image.base] = PricedEdges(library, image)
    return edges


_priced: dict[int, PricedEdges] = {}
"""By where the library is: its code is called as long as that is there."""
