"""Words of fixed width as bytes: the one place where a computed number becomes what a program sees."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import cycle, islice
from struct import Struct, calcsize, error
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# As in C, a number that doesn't fit into its word is taken modulo the word's width: what a guest's bytes are
# computed to is never a reason to raise. A test of the architecture sees to it that nothing else packs.
_ITEM: Final = re.compile(r"(\d*)([a-zA-Z?])")
_INTEGERS: Final = "bBhHiIlLqQ"
_exact_pack: Final = Struct.pack
_exact_pack_into: Final = Struct.pack_into
PackError = error
"""What is raised for values of another kind, or another number of them, than a format has."""


class Words(Struct):
    """A format of module `struct`, whose integers are packed modulo their width.

    The common case, in which all numbers fit, costs no more than Struct does.
    """

    __slots__ = ()

    def pack(self, *values: object) -> bytes:
        """The bytes of `values`, as many as the format has. struct.error for another number of them."""
        try:
            return _exact_pack(self, *values)
        except error:
            return _exact_pack(self, *self._wrapped(values))

    def pack_into(self, buffer: WriteableBuffer, offset: int, *values: object) -> None:
        """Put the bytes of `values` into `buffer` at `offset`."""
        try:
            _exact_pack_into(self, buffer, offset, *values)
        except error:
            _exact_pack_into(self, buffer, offset, *self._wrapped(values))

    def _wrapped(self, values: tuple[object, ...]) -> Iterable[object]:
        if len(values) != len(codes := list(self._codes())):
            raise error(f"{len(codes)} values are packed, not {len(values)}")
        for code, value in zip(codes, values, strict=True):
            if code in _INTEGERS and isinstance(value, int):
                bits = 8 * calcsize("<" + code)
                yield wrap_signed(value, bits) if code.islower() else value & (1 << bits) - 1
            else:
                yield value

    def _codes(self) -> Iterable[str]:
        """The code of each value."""
        for count, code in _ITEM.findall(self.format):
            if code == "s":
                yield code
            elif code != "x":
                yield from islice(cycle(code), int(count or 1))


def wrap_signed(value: int, bits: int) -> int:
    """`value` modulo 2 to the power of `bits`, read as a signed number."""
    sign = 1 << bits - 1
    return (value & (sign << 1) - 1 ^ sign) - sign


def pack_u8(value: int) -> bytes:
    """One byte."""
    return (value & 0xFF).to_bytes(1, "little")


def pack_u16(value: int) -> bytes:
    """Two bytes, the lower first."""
    return (value & 0xFFFF).to_bytes(2, "little")


def pack_u32(value: int) -> bytes:
    """Four bytes, the lowest first; of a negative number what C would store in an int."""
    return (value & 0xFFFF_FFFF).to_bytes(4, "little")


def pack_u64(value: int) -> bytes:
    """Eight bytes, the lowest first; of a negative number what C would store in a long."""
    return (value & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little")


def swap_bytes(value: int, size: int) -> int:
    """The lowest `size` bytes of a number in reversed order."""
    return int.from_bytes((value & (1 << 8 * size) - 1).to_bytes(size, "little"), "big")


def pack_port(value: int) -> bytes:
    """Two bytes as they travel on a network: the higher first."""
    return (value & 0xFFFF).to_bytes(2, "big")


def pack_address(value: int, size: int) -> bytes:
    """An Internet address of `size` bytes as a number: the highest first."""
    return (value & (1 << 8 * size) - 1).to_bytes(size, "big")


def pack_bits(value: int, size: int) -> bytes:
    """`size` bytes of a set of bits, the lowest first."""
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def pack_array(code: str, values: Iterable[int]) -> bytes:
    """An array of integers, all of the same `code` of module `struct`."""
    numbers = tuple(values)
    return Words(f"<{len(numbers)}{code}").pack(*numbers)
