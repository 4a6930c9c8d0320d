"""Sets of small numbers as Linux writes them: ranges, such as `0-2,5`."""

from __future__ import annotations


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
