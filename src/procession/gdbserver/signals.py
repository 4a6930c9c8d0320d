"""Signals as the protocol numbers them, which isn't how Linux does (gdb's include/gdb/signals.def)."""

from __future__ import annotations

_FROM_LINUX = {
    **{number: number for number in (1, 2, 3, 4, 5, 6, 8, 9, 11, 13, 14, 15, 21, 22, 24, 25, 26, 27, 28)},
    **{7: 10, 10: 30, 12: 31, 17: 20, 18: 19, 19: 17, 20: 18, 23: 16, 29: 23, 30: 32, 31: 12, 32: 77, 64: 78},
    **{number: 45 + number - 33 for number in range(33, 64)},
}
_TO_LINUX = {theirs: ours for ours, theirs in _FROM_LINUX.items()}
_UNKNOWN = 143
SIGNALLED, INTERRUPTED = 5, 2
"""SIGTRAP and SIGINT have the same numbers in both."""


def to_protocol(signal: int) -> int:
    """Linux's signal as the protocol numbers it; 0, which is none, in both."""
    return _FROM_LINUX.get(signal, _UNKNOWN) if signal else 0


def from_protocol(number: int) -> int:
    """The protocol's signal as Linux numbers it, 0 for none that Linux has."""
    return _TO_LINUX.get(number, 0)
