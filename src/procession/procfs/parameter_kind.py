"""What a parameter of /proc/sys is: text, or numbers of some kind."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple


class ParameterKind(NamedTuple):
    """What a parameter is: text, or so many numbers.

    Of numbers that are `is_unsigned` none may have a sign. What follows a number of 32 or 8 bits without a
    sign is taken with it, and nobody looks at it: it `takes_all` (Linux: kernel/sysctl.c, do_proc_douintvec).
    Text that `is_ranges` is a set of numbers, which a write that goes on adds to.
    What `is_administrators` is refused to others before it's looked at (in Linux,
    proc_dointvec_minmax_sysadmin).
    """

    is_text: bool = False
    number_count: int = 1
    is_unsigned: bool = False
    takes_all: bool = False
    is_administrators: bool = False
    is_ranges: bool = False


INTEGER = ParameterKind()
TEXT = ParameterKind(is_text=True)
RANGES = ParameterKind(is_text=True, is_ranges=True)
UNSIGNED_LONG = ParameterKind(is_unsigned=True)
UNSIGNED = ParameterKind(is_unsigned=True, takes_all=True)
