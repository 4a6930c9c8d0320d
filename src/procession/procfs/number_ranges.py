"""Sets of small numbers in parameters of /proc/sys, as texts such as 1,3-5."""

from __future__ import annotations

import re

from procession.abi.errno import EINVAL
from procession.procfs.parse_integer import LONGEST_NUMBER, leading_number

_RUN = re.compile("1+")


def shown_ranges(bits: int) -> bytes:
    """The text of a set with a bit for each number."""
    texts: list[bytes] = []
    for run in _RUN.finditer(f"{bits:b}"[::-1]):
        first, past = run.span()
        texts.append(b"%d" % first if past - first == 1 else b"%d-%d" % (first, past - 1))
    return b",".join(texts) + b"\n"


def bits_in(text: bytes, count: int) -> int:
    """A bit for each number of a text of such below `count`. Raises EINVAL.

    Linux: kernel/sysctl.c, proc_do_large_bitmap.
    """
    marks = bytearray(b"0") * count
    for first, last in read_ranges(text)[0]:
        if not first <= last < count:
            raise EINVAL("no range, or one that goes too far")
        marks[first : last + 1] = b"1" * (last + 1 - first)
    return int(marks[::-1], 2)


def read_ranges(text: bytes, *, goes_on: bool = False) -> tuple[list[tuple[int, int]], int]:
    """The first and last numbers of the ranges of a text, and how much of it they are. If it `goes_on`, so
    that the last number may, that one is left to who reads the rest. Raises EINVAL.

    Linux: kernel/sysctl.c, proc_do_large_bitmap.
    """
    ranges: list[tuple[int, int]] = []
    end = len(text)
    at = _behind_lines(text, 0)
    while at < end:
        begin = at
        first, at = _number_at(text, at, b"-,\n")
        # One character more may be the hyphen of a range.
        if goes_on and end - at <= 1:
            return ranges, begin
        last = first
        if text[at : at + 1] == b"-":
            last, at = _number_at(text, at + 1, b",\n\0")
            if goes_on and at == end:
                return ranges, begin
        ranges.append((first, last))
        at = _behind_lines(text, at + 1)
    return ranges, end


def _number_at(text: bytes, at: int, separators: bytes) -> tuple[int, int]:
    """The number at a place, which one of `separators` follows or nothing, and where it ends. Raises EINVAL.

    Linux: kernel/sysctl.c, proc_get_long.
    """
    found = leading_number(text[at : at + LONGEST_NUMBER])
    if found is None or found[1] == LONGEST_NUMBER:
        raise EINVAL("no number, or one that's too long")
    number, length = found
    at += length
    if at < len(text) and text[at] not in separators:
        raise EINVAL("something else than a comma or a hyphen follows")
    return number, at


def _behind_lines(text: bytes, at: int) -> int:
    """Where what is no newline begins."""
    while text[at : at + 1] == b"\n":
        at += 1
    return at
