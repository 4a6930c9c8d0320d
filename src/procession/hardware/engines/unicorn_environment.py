"""What `fnstenv` does on the Unicorn engine beyond what its library does: it masks the x87's exceptions.

feholdexcept(3) of glibc lets exceptions pass by that alone. What the program had unmasked is stored, and what
was pending doesn't wait any more (Intel SDM volume 2, FSTENV/FNSTENV).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from procession.abi.word import Words
from procession.hardware.engines.unicorn_library import UnicornError
from procession.hardware.engines.unicorn_machine_code import Assembly, d32, q

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_state import StateLayout

STORE_ENVIRONMENT = "helper_fstenv_x86_64"
_ITS_CODE = bytes.fromhex("488b0c24 e9")
"""mov rcx, [rsp]; jmp: to the function that stores, with where it was called from as an argument more."""
_OFFSET = Words("<i")


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
