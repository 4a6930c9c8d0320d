"""A moment in which Python looks for signals, other threads and what they raise.

The interpreter does so all the time, compiled code never: it holds Python's lock until it calls a function
that is interpreted. This is one, and stays so (`hatch_build.py`); what may take long calls it now and then.
"""

from __future__ import annotations


def take_breath() -> None:
    """Let others run, or raise what somebody wants raised here."""
