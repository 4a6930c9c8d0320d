"""Sets of small numbers as Linux writes them: ranges, such as `0-2,5`."""

from __future__ import annotations

from procession.abi.errno import EINVAL, ERANGE
from procession.fs.mounts.context import parse_number


def list_of_bits(mask: int) -> bytes:
    """The numbers of the bits of `mask` as ranges: `0-2,5`.

    Linux: lib/bitmap-str.c, bitmap_print_to_pagebuf.
    """
    ranges: list[bytes] = []
    first = 0
    while mask >> first:
        if not mask >> first & 1:
            first += 1
            continue
        end = first
        while mask >> end & 1:
            end += 1
        ranges.append(b"%d" % first if end == first + 1 else b"%d-%d" % (first, end - 1))
        first = end
    return b",".join(ranges)


def parse_bit_list(text: bytes, most_bits: int) -> int:
    """A mask of at most `most_bits` from ranges such as `0-2,5`. Raises EINVAL, ERANGE.

    Linux: lib/bitmap-str.c, bitmap_parselist.
    """
    mask = 0
    for part in text.replace(b"\n", b",").split(b","):
        if not part.strip():
            continue
        first_text, dash, last_text = part.strip().partition(b"-")
        first = parse_number(first_text, 10)
        last = parse_number(last_text, 10) if dash else first
        if first is None or last is None or last < first:
            raise EINVAL("no list of numbers")
        if last >= most_bits:
            raise ERANGE("too large a number")
        mask |= (1 << last + 1) - (1 << first)
    return mask
