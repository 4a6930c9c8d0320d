"""The checksum of kept code, by the processor's own instruction: to read it in takes longer."""

from __future__ import annotations

import ctypes
import zlib
from functools import cache
from typing import TYPE_CHECKING

from procession.hardware.engines.native.machine_code import address_of, map_code
from procession.hardware.translation.assembler import CARRY, Assembler

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

_STEP_BYTES = 24
"""Three quadwords at a time, each to a sum of its own, as one sum would wait for itself."""
_MAILBOX_BYTES = 16


def checksum_of(data: bytearray | memoryview, beside: bytes) -> int:
    """A checksum of 64 bits of `data`, which can be written to, and of a little `beside` it.

    Raises StubUnavailable.
    """
    steps = len(data) // _STEP_BYTES
    _, add_up = _machine_code()
    total = add_up(ctypes.addressof(ctypes.c_char.from_buffer(data)), steps) if steps else 0
    return total ^ zlib.crc32(data[steps * _STEP_BYTES :], zlib.crc32(beside))


@cache
def _machine_code() -> tuple[mmap.mmap, Callable[[int, int], int]]:
    """The code's page, and what calls it: with the address of quadwords, and how many times three."""
    code = Assembler()
    code.put("31 c0", "45 31 c0", "45 31 c9")  # xor eax, eax; xor r8d, r8d; xor r9d, r9d
    code.label("next")
    code.put("48 83 ee 01")  # sub rsi, 1
    code.branch(CARRY, "end")
    code.put("f2 48 0f 38 f1 07")  # crc32 rax, qword [rdi]
    code.put("f2 4c 0f 38 f1 47 08")  # crc32 r8, qword [rdi + 8]
    code.put("f2 4c 0f 38 f1 4f 10")  # crc32 r9, qword [rdi + 16]
    code.put(b"\x48\x83\xc7%c" % _STEP_BYTES)  # add rdi, ...
    code.jump("next")
    code.label("end")
    code.put("49 c1 e0 20", "49 c1 e1 10")  # shl r8, 32; shl r9, 16
    code.put("4c 31 c0", "4c 31 c8", "c3")  # xor rax, r8; xor rax, r9; ret
    page, _ = map_code(code, _MAILBOX_BYTES)
    function = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)
    return page, function(address_of(page) + _MAILBOX_BYTES)
