"""The registers through which a rule's expressions hand data on (nft(8))."""

from __future__ import annotations

from procession.abi.errno import EINVAL, ENODATA, ERANGE
from procession.abi.nftables import Register

REGISTER_BYTES = 4
REGISTERS_BYTES = 80
"""The verdict's sixteen, which hold no data, and those of four registers of sixteen bytes."""
LONGEST_DATA = 16
"""What one of the wide registers holds."""
_VERDICT, _LAST_WIDE = int(Register.NFT_REG_VERDICT), int(Register.NFT_REG_4)
_FIRST_NARROW, _LAST_NARROW = int(Register.NFT_REG32_00), int(Register.NFT_REG32_15)
_WIDE_BYTES = 16


def place_of(number: int) -> int:
    """Where register `number` begins, in bytes; 0 is the verdict's.

    Raises ERANGE. Linux: net/netfilter/nf_tables_api.c, nft_parse_register.
    """
    if _VERDICT <= number <= _LAST_WIDE:
        return number * _WIDE_BYTES
    if _FIRST_NARROW <= number <= _LAST_NARROW:
        return _WIDE_BYTES + (number - _FIRST_NARROW) * REGISTER_BYTES
    raise ERANGE("no such register")


def number_of(place: int) -> int:
    """The register that begins at `place`, by its wide number if it has one.

    Linux: net/netfilter/nf_tables_api.c, nft_dump_register.
    """
    if place % _WIDE_BYTES == 0:
        return place // _WIDE_BYTES
    return _FIRST_NARROW + (place - _WIDE_BYTES) // REGISTER_BYTES


class Loaded:
    """Which registers a rule's expressions have filled so far: none may be read before."""

    __slots__ = ("words",)

    def __init__(self) -> None:
        self.words = 0

    def source(self, number: int, length: int) -> int:
        """Where to read `length` bytes from. Raises EINVAL, ERANGE, ENODATA.

        Linux: net/netfilter/nf_tables_api.c, nft_parse_register_load.
        """
        place, mask = self._span(number, length)
        if mask & ~self.words:
            raise ENODATA("the register was never loaded")
        return place

    def target(self, number: int, length: int) -> int:
        """Where to store `length` bytes. Raises EINVAL, ERANGE.

        Linux: net/netfilter/nf_tables_api.c, nft_parse_register_store.
        """
        place, mask = self._span(number, length)
        self.words |= mask
        return place

    def _span(self, number: int, length: int) -> tuple[int, int]:
        place = place_of(number)
        if not place or length <= 0:
            raise EINVAL("no register for data")
        if place + length > REGISTERS_BYTES:
            raise ERANGE("beyond the last register")
        count = -(-length // REGISTER_BYTES)
        return place, (1 << count) - 1 << place // REGISTER_BYTES


def store(filled: bytearray, place: int, data: bytes) -> None:
    """Put `data` into registers, padded to whole ones."""
    length = len(data)
    padding = -length % REGISTER_BYTES
    filled[place : place + length + padding] = data + bytes(padding) if padding else data
