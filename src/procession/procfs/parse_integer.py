"""A number that a program writes to a file of proc."""

from __future__ import annotations

import re
from typing import Final

from procession.abi.duration import HZ
from procession.abi.errno import EINVAL, ERANGE
from procession.abi.named_tuple import NamedTuple

INT_MIN, INT_MAX = -0x8000_0000, 0x7FFF_FFFF
_INT_MASK, _LONG_MASK = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
TICK_MS = 1_000 // HZ
NUMBER_SIZE = 12
"""How much is read of what is written to some files of a process (Linux: fs/proc/base.c, oom_adj_write)."""
INTEGER_SIZE = 34
"""How much is, of an int with every bit a digit (Linux: lib/kstrtox.c, kstrto_from_user)."""
_SPACE: Final = b" \t\n\v\f\r"
# In hexadecimal only with a digit behind the x; else octal with a 0, up to the first digit that isn't.
_DIGITS = re.compile(rb"0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([0-9]+)")
_SEPARATORS: Final = b" \t\n"
LONGEST_NUMBER: Final = 21
"""How many characters of a parameter are looked at, and one more (Linux: kernel/sysctl.c, proc_get_long)."""


def leading_number(text: bytes) -> tuple[int, int] | None:
    """The number without a sign that `text` begins with, and how long that is; None if there is none.

    Linux: lib/kstrtox.c, _parse_integer_fixup_radix, _parse_integer.
    """
    found = _DIGITS.match(text)
    if found is None:
        return None
    hexadecimal, octal, decimal = found.groups()
    digits, base = (hexadecimal, 16) if hexadecimal else (octal, 8) if octal else (decimal, 10)
    digits = digits.lstrip(b"0")
    # What is far too large is that, however many digits there are.
    return int(digits[:32] or b"0", base), found.end()


def parse_integer(data: bytes) -> int:
    """The number that `data` is, up to a NUL. Raises EINVAL. Linux: lib/kstrtox.c, kstrtoll with base 0."""
    text = data.partition(b"\0")[0].removesuffix(b"\n")
    is_negative = text[:1] == b"-"
    if text[:1] in (b"+", b"-"):
        text = text[1:]
    found = leading_number(text)
    if found is None or found[1] != len(text):
        raise EINVAL("not a number")
    return -found[0] if is_negative else found[0]


def parse_within(data: bytes, least: int, most: int) -> int:
    """As `parse_integer`, and ERANGE for a number that no variable of that type holds, EINVAL for one with a
    minus sign if none holds any.

    Linux: lib/kstrtox.c, kstrtoint, kstrtouint.
    """
    if least >= 0 and data[:1] == b"-":
        raise EINVAL("a sign")
    value = parse_integer(data)
    if not least <= value <= most:
        raise ERANGE(f"not within {least} and {most}")
    return value


def parse_stripped(data: bytes, least: int, most: int) -> int:
    """As `parse_within`, of a text with spaces around it. Linux: lib/string_helpers.c, strim."""
    return parse_within(data.partition(b"\0")[0].strip(_SPACE), least, most)


def parse_parameter(data: bytes, least: int = INT_MIN, most: int = INT_MAX) -> int:
    """As `parse_integer`, and EINVAL for a number that the kernel's parameter can't have.

    Linux: kernel/sysctl.c, do_proc_dointvec_conv.
    """
    value = parse_integer(data)
    if not least <= value <= most:
        raise EINVAL(f"not within {least} and {most}")
    return value


def parse_milliseconds(data: bytes) -> int:
    """Milliseconds that are kept in ticks: of a long's lower half, which must be no negative int.

    Raises EINVAL. Linux: kernel/sysctl.c, proc_dointvec_ms_jiffies.
    """
    value = parse_parameter(data, 0, _LONG_MASK) & _INT_MASK
    if value > INT_MAX:
        raise EINVAL("no such time")
    return -(-value // TICK_MS) * TICK_MS


class Words(NamedTuple):
    """The first numbers of a text, as they're written there; how many bytes they are, with the spaces around
    them; and whether something follows that should be another number and isn't."""

    words: tuple[bytes, ...]
    length: int
    is_broken: bool


def leading_words(data: bytes, count: int, *, is_signed: bool = True) -> Words:
    """At most `count` numbers. Linux: kernel/sysctl.c, __do_proc_dointvec, proc_get_long."""
    words: list[bytes] = []
    at = len(data) - len(data.lstrip(_SPACE))
    while at < len(data) and len(words) < count:
        seen = data[at : at + LONGEST_NUMBER]
        sign = 1 if seen[:1] == b"-" and len(data) - at > 1 else 0
        found = leading_number(seen[sign:])
        end = at + sign + found[1] if found is not None else at
        is_whole = end == len(data) or data[end] in _SEPARATORS
        if found is None or end - at == LONGEST_NUMBER or not is_whole or found[0] >> 64 or sign > is_signed:
            return Words(tuple(words), at, is_broken=True)
        words.append(data[at:end])
        rest = data[end:]
        at = end + len(rest) - len(rest.lstrip(_SPACE))
    return Words(tuple(words), at, is_broken=not words)
