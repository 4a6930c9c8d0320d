"""Marks the pages of code that the Unicorn engine has translated, so that writes to them are noticed.

For each block the library goes through all translations of addresses that it knows, thousands of them, to
mark those of the block's page: a tenth of all that it takes to translate. An address's translation can lie in
few places. So the call is led through code that looks at these alone, and does the same there.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

from procession.abi.blake2 import blake2b
from procession.hardware.engines.unicorn_machine_code import Assembly, d32, q

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_image import LibraryImage
    from procession.hardware.engines.unicorn_library import UnicornLibrary

MARK: Final = "tlb_reset_dirty_by_vaddr_x86_64"
"""Called as (processor object, address, length)."""
_MARK_BYTES: Final = 459
_MARK_DIGEST: Final = bytes.fromhex("f77316371af493a77550826eeeebc8ff")
"""Of the library whose tables lie as the code here takes it: another one goes on as it does."""
_STATE, _TABLES, _TABLE_STEP, _VICTIMS, _VICTIMS_STEP, _VICTIMS_END = 0x128, -0x40, 16, -0x838, 0x2B8, -0x10
"""Where the processor object has the address of its state; and, from there, what each of its modes has: the
mask and the address of its table, and its victims, which had to leave that."""
_VICTIM_COUNT, _ENTRY_BYTES = 8, 64
_MOST_BYTES: Final = 0x2000


def mark_quickly(library: UnicornLibrary, image: LibraryImage) -> None:
    """Lead the calls through the code, if it's the library that is known. Raises UnicornError."""
    address = library.address_of(MARK)
    if is_known(address):
        image.lead(address, mark_code(address))


def is_known(function: int) -> bool:
    """Whether what is at that address is the function whose place the code here can take."""
    code = ctypes.string_at(function, _MARK_BYTES)
    return blake2b(code, digest_size=len(_MARK_DIGEST)).digest() == _MARK_DIGEST


def mark_code(search: int) -> bytes:
    """Code that marks the pages that begin from an address on, as the function at `search` does."""
    code = Assembly()
    code.add("f7c6 ff0f0000")  # test esi, 0xfff
    code.jump("85", "search")
    code.add("4881fa", d32(_MOST_BYTES))  # cmp rdx, ...
    code.jump("87", "search")
    code.add("4885d2")  # test rdx, rdx
    code.jump("84", "done")
    code.label("page")
    code.add("4c8b9f", d32(_STATE))  # mov r11, [rdi + ...]
    code.add("4d8d93", d32(_TABLES))  # lea r10, [r11 + ...]
    code.add("4d8d83", d32(_VICTIMS))  # lea r8, [r11 + ...]
    code.label("mode")
    code.add("4889f0 48c1e806")  # mov rax, rsi; shr rax, 6
    code.add("492302 49034208")  # and rax, [r10]; add rax, [r10 + 8]
    _mark_entry(code, "488b88", "488988", 8)  # rcx and [rax + 8]
    for number in range(_VICTIM_COUNT):
        _mark_entry(code, "498b88", "498988", number * _ENTRY_BYTES)  # rcx and [r8 + ...]
    code.add("4981c0", d32(_VICTIMS_STEP))  # add r8, ...
    code.add("4981c2", d32(_TABLE_STEP))  # add r10, ...
    code.add("498d83", d32(_VICTIMS_END), b"\x49\x39\xc0")  # lea rax, [r11 + ...]; cmp r8, rax
    code.jump("85", "mode")
    code.add("4881c6 00100000 4881ea 00100000")  # add rsi, 0x1000; sub rdx, 0x1000
    code.jump("87", "page")
    code.label("done")
    code.add("c3")
    code.label("search")
    code.add("48b8", q(search), b"\xff\xe0")  # mov rax, search; jmp rax
    return code.finish()


def _mark_entry(code: Assembly, load: str, store: str, place: int) -> None:
    """Mark the translation for writes at `place`, if it's that of the page and isn't marked otherwise."""
    label = f"entry {load} {place}"
    code.add(load, d32(place))  # mov rcx, ...
    code.add("f7c1 400e0000")  # test ecx, 0xe40
    code.jump("85", label)
    code.add("4989c9 4981e1 00f0ffff 4939f1")  # mov r9, rcx; and r9, -0x1000; cmp r9, rsi
    code.jump("85", label)
    code.add("80cd04", bytes.fromhex(store), d32(place))  # or ch, 4; mov ..., rcx
    code.label(label)
