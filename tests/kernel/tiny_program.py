"""Small ELF files, made byte by byte."""

from __future__ import annotations

from struct import pack

LOAD_ADDRESS = 0x60_0000
ENTRY = LOAD_ADDRESS + 0x78
_PT_LOAD, _PT_INTERP = 1, 3


def tiny_program(code: bytes = b"\x0f\x05", *, interpreter: bytes = b"", memory_size: int = 0) -> bytes:
    """A static program whose one segment holds `code`, at ENTRY (later with an interpreter's path).

    `memory_size` is how much is mapped of it, more than the file's bytes being zeros.
    """
    headers = 1 + bool(interpreter)
    start = 64 + 56 * headers
    total = start + len(code) + len(interpreter) + bool(interpreter)
    image = pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(2, 62, 1, LOAD_ADDRESS + start, 64, 0, 0, 64, 56, headers, 0, 0, 0),
    )
    if interpreter:
        length = len(interpreter) + 1
        image += pack("<IIQQQQQQ", _PT_INTERP, 4, total - length, 0, 0, length, length, 1)
    size = max(memory_size, total)
    image += pack("<IIQQQQQQ", _PT_LOAD, 7, 0, LOAD_ADDRESS, LOAD_ADDRESS, total, size, 4096)
    return image + code + (interpreter + b"\0" if interpreter else b"")
