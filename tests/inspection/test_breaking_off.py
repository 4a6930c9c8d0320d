"""Tests of breaking off: what was sent is over with the run, and a run ends under a debugger."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from procession import Machine
from procession.breaking_off import Breaker, BrokenOff


def traced(work: Callable[[], object]) -> object:
    """What `work` gives while each call of Python is seen, as debuggers and measures of coverage see it."""
    before = sys.gettrace()

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        calls.append(frame.f_code.co_name)

    calls: list[str] = []
    sys.settrace(watch)
    try:
        result = work()
    finally:
        sys.settrace(before)
    assert calls
    return result


def test_a_run_ends_under_a_debugger(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root)
    assert traced(lambda: machine.run(["true"]).status) == 0
    machine.close()


def test_what_is_taken_back_is_not_raised_later() -> None:
    breaker = Breaker()

    def be_broken_off() -> None:
        breaker.break_off()
        sum(range(1000))

    with pytest.raises(BrokenOff):
        be_broken_off()
    breaker.withdraw()
    assert traced(lambda: sum(map(abs, range(-1000, 0)))) == 500500


def test_what_is_on_its_way_is_taken_back() -> None:
    breaker = Breaker()
    breaker.is_sent = True
    breaker.withdraw()
    assert not breaker.is_sent
    assert traced(lambda: [str(number) for number in range(3)]) == ["0", "1", "2"]
