"""What lies in a program's memory, as strace writes it: buffers and vectors of them, strings, structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.structure import Structure
from procession.mm.peek import peek, peek_cstring
from procession.trace.values import (
    LIST_LIMIT,
    STRING_LIMIT,
    address_text,
    list_text,
    quoted,
    structure_text,
)

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor

IOVEC_SIZE = 16


def int_at(mm: MemoryDescriptor, address: int) -> int:
    """The int in memory, 0 if it can't be read."""
    return int.from_bytes(peek(mm, address, 4), "little", signed=True)


def sized_structure_text(mm: MemoryDescriptor, structure: type[Structure], address: int, size: int) -> str:
    """A structure of which a program gives `size` bytes: what is missing is zero."""
    if not address:
        return "NULL"
    wanted = min(max(size, 0), structure.SIZE)
    data = peek(mm, address, wanted)
    if len(data) < wanted:
        return address_text(address)
    return structure_text(structure.unpack(data.ljust(structure.SIZE, b"\0")))


def buffer_text(mm: MemoryDescriptor, address: int, length: int) -> str:
    """The first bytes of a buffer that holds `length`."""
    if not address:
        return "NULL"
    wanted = min(max(length, 0), STRING_LIMIT + 1)
    data = peek(mm, address, wanted)
    return quoted(data) if len(data) == wanted else address_text(address)


def vector_text(mm: MemoryDescriptor, address: int, count: int, filled: int | None = None) -> str:
    """An array of `count` iovecs; `filled` is how many bytes they hold together, None if they are full."""
    if not address:
        return "NULL"
    data = peek(mm, address, IOVEC_SIZE * min(max(count, 0), LIST_LIMIT + 1))
    items: list[str] = []
    for position in range(0, len(data) - IOVEC_SIZE + 1, IOVEC_SIZE):
        base = int.from_bytes(data[position : position + 8], "little")
        length = int.from_bytes(data[position + 8 : position + 16], "little")
        held = length if filled is None else min(length, filled)
        if filled is not None:
            filled -= held
        items.append(f"{{iov_base={buffer_text(mm, base, held)}, iov_len={length}}}")
    return list_text(items)


def string_array_text(mm: MemoryDescriptor, address: int) -> str:
    """A list of strings that ends with NULL."""
    if not address:
        return "NULL"
    items: list[str] = []
    while len(items) <= LIST_LIMIT:
        word = peek(mm, address, 8)
        if len(word) < 8:
            return address_text(address) if not items else list_text([*items, "???"])
        if not any(word):
            break
        text = peek_cstring(mm, int.from_bytes(word, "little"), STRING_LIMIT + 1)
        items.append(quoted(text) if text is not None else address_text(int.from_bytes(word, "little")))
        address += 8
    return list_text(items)
