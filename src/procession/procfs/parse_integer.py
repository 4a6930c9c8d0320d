"""A number that a program writes to a file of proc."""

from __future__ import annotations

from procession.abi.errno import EINVAL, ERANGE

INT_MIN, INT_MAX = -0x8000_0000, 0x7FFF_FFFF


def parse_integer(data: bytes) -> int:
    """The number that `data` is, up to a NUL. Raises EINVAL. Linux: lib/kstrtox.c, kstrtoint with base 0."""
    text = data.partition(b"\0")[0].strip(b" \t\n\v\f\r").removeprefix(b"+")
    digits = text.removeprefix(b"-")
    if not digits or len(digits) > 20 or not digits.isalnum():
        raise EINVAL("not a number")
    try:
        # Python writes octal numbers as 0o17.
        is_octal = digits[:1] == b"0" and digits.isdigit()
        return int(text, 8) if is_octal else int(text, 0)
    except ValueError:
        raise EINVAL("not a number") from None


def parse_within(data: bytes, least: int, most: int) -> int:
    """As `parse_integer`, and ERANGE for a number that no variable of that type holds.

    Linux: lib/kstrtox.c, kstrtoint, kstrtouint.
    """
    digits = data.partition(b"\0")[0].strip(b" \t\n\v\f\r").lstrip(b"+-")
    if len(digits) > 20 and digits.isdigit():
        raise ERANGE("a number too long")
    value = parse_integer(data)
    if not least <= value <= most:
        raise ERANGE(f"not within {least} and {most}")
    return value


def parse_parameter(data: bytes, least: int = INT_MIN, most: int = INT_MAX) -> int:
    """As `parse_integer`, and EINVAL for a number that the kernel's parameter can't have.

    Linux: kernel/sysctl.c, do_proc_dointvec_conv.
    """
    value = parse_integer(data)
    if not least <= value <= most:
        raise EINVAL(f"not within {least} and {most}")
    return value
