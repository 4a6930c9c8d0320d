"""What storing and loading the floating-point environment does beyond what Unicorn's library does.

`fnstenv` masks the x87's exceptions: feholdexcept(3) of glibc lets exceptions pass by that alone. What the
program had unmasked is stored, and what was pending doesn't wait any more (Intel SDM volume 2,
FSTENV/FNSTENV).

What loads control words may unmask exceptions. From then on instructions have to be watched, so it's done
again after that has begun. Of MXCSR's FZ bit the library takes note in the wrong place, so that results would
never be flushed to zero: the note is made here (`flushes`).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from procession.abi.word import Words
from procession.hardware.engines.unicorn_library import RAISE, UnicornError
from procession.hardware.engines.unicorn_machine_code import MASKS, UNMASKING, Assembly, d8, d32, q
from procession.hardware.extended_state import MXCSR_MASK, MXCSR_OFFSET

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_library import UnicornLibrary
    from procession.hardware.engines.unicorn_state import StateLayout

STORE_ENVIRONMENT = "helper_fstenv_x86_64"
LOADS = {"helper_fldenv_x86_64": "word", "helper_frstor_x86_64": "word", "helper_fxrstor_x86_64": "area"}
"""By what they load: the x87's control word at the beginning, or an area of FXSAVE, which has MXCSR too."""
LOAD_MXCSR = "helper_ldmxcsr_x86_64"
_READ_WORD, _READ_LONG_WORD = "cpu_lduw_data_ra_x86_64", "cpu_ldl_data_ra_x86_64"
_MXCSR_MASKS = MASKS << 7
_GENERAL_PROTECTION = 13
_FLUSHING = 1 << 15 | 1 << 11
"""FZ and the mask of underflow."""
_ITS_CODE = bytes.fromhex("488b0c24 e9")
"""mov rcx, [rsp]; jmp: to the function that stores, with where it was called from as an argument more."""
_OFFSET = Words("<i")


def flushes(mxcsr: int) -> bool:
    """Whether SSE's tiny results become zero: only where underflow is masked."""
    return mxcsr & _FLUSHING == _FLUSHING


def masking_code(function: int, layout: StateLayout) -> bytes:
    """Code to call instead of STORE_ENVIRONMENT, which is at `function`: it stores the same, and then masks.

    By where it's called from a fault finds the program's instruction, so that is handed on as the library
    does. Raises UnicornError if it doesn't.
    """
    length = len(_ITS_CODE) + _OFFSET.size
    found = ctypes.string_at(function, length)
    if not found.startswith(_ITS_CODE):
        raise UnicornError("fnstenv isn't as it was in the library")
    [distance] = _OFFSET.unpack(found[len(_ITS_CODE) :])
    code = Assembly()
    code.add("57 488b4c2408")  # push rdi; mov rcx, [rsp + 8]
    code.add("48b8", q(function + length + distance), b"\xff\xd0\x5f")  # mov rax, ...; call rax; pop rdi
    code.add("66818f", d32(layout.x87_control), b"\x3f\x00")  # or word [rdi + control], MASKS
    code.add("6681a7", d32(layout.x87_status), b"\x7f\x7f")  # and word [rdi + status], not summary and busy
    code.add("c3")  # ret
    return code.finish()


def unmasking_code(name: str, function: int, layout: StateLayout, library: UnicornLibrary) -> bytes:
    """Code to call instead of one of LOADS and LOAD_MXCSR, which is at `function`.

    If it's about to unmask an exception while nobody watches, it does nothing and says so. Bits of MXCSR that
    there aren't raise a general protection fault.
    """
    code, raising = Assembly(), library.address_of(RAISE)
    has_mxcsr = name == LOAD_MXCSR or LOADS[name] == "area"
    if name == LOAD_MXCSR:
        code.add("89f0")  # mov eax, esi
    elif has_mxcsr:
        code.add("40f6c6 0f")  # test sil, 15: the library raises an exception for an address that's odd
        code.jump("85", "load")  # jnz load
        _read(code, library.address_of(_READ_LONG_WORD), MXCSR_OFFSET)
    if has_mxcsr:
        code.add("a9", d32(~MXCSR_MASK))  # test eax, the bits that there aren't
        code.jump("85", "protected")  # jnz protected
        # mov ecx, eax; shr ecx, 15; mov r8d, eax; shr r8d, 11; and ecx, r8d; and ecx, 1; mov [flushing], cl
        code.add("89c1 c1e90f 4189c0 41c1e80b 4421c1 83e101 888f", d32(layout.sse_flush))
    code.add("80bf", d32(layout.watching), b"\0")  # cmp byte [watching], 0
    code.jump("85", "load")  # jne load
    if has_mxcsr:
        code.add("f7d0 a9", d32(_MXCSR_MASKS))  # not eax; test eax, the masks
        code.jump("85", "leave")  # jnz leave
    if name != LOAD_MXCSR:
        _read(code, library.address_of(_READ_WORD), 0)
        code.add("f7d0 a8", d8(MASKS))  # not eax; test al, MASKS
        code.jump("85", "leave")  # jnz leave
    code.label("load")
    code.add("48b8", q(function), b"\xff\xe0")  # mov rax, the function; jmp rax
    code.label("leave")
    code.leave(UNMASKING, raising)
    if has_mxcsr:
        code.label("protected")
        code.leave(_GENERAL_PROTECTION, raising)
    return code.finish()


def _read(code: Assembly, function: int, offset: int) -> None:
    """Read what is at rsi and `offset` in the guest's memory, for the caller's caller."""
    code.add("57 56 52 488b542418")  # push rdi; push rsi; push rdx; mov rdx, [rsp + 24]
    code.add("4883c6", d8(offset), b"\x48\xb8", q(function))  # add rsi, offset; mov rax, the function
    code.add("ffd0 5a 5e 5f")  # call rax; pop rdx; pop rsi; pop rdi
