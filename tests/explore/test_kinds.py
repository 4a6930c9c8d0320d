"""What is branched over beside who runs next: who is woken, early timers, and permitted failures."""

from __future__ import annotations

import pytest

from procession.kernel.sched.explored import NEXT_TASK
from procession.recording.schedule import KINDS, TIMER
from procession.syscalls.permitted import FAULTS
from tests.explore.races import compiled, explored

pytestmark = pytest.mark.usefixtures("c_compiler")


def test_a_short_write_is_found_where_it_is_not_looked_at() -> None:
    assert explored(compiled("short_write")).findings == ()
    [finding] = explored(compiled("short_write"), kinds=(NEXT_TASK, FAULTS), status=0).findings
    assert (finding.oracle, finding.deviations, finding.status) == ("status", 1, 1)


def test_no_permitted_failure_breaks_the_repaired_program() -> None:
    report = explored(
        compiled("short_write"), "safe", kinds=(NEXT_TASK, FAULTS), preemptions=2, oracles=("crash",)
    )
    assert report.findings == ()
    assert report.schedules > 5


def test_a_timer_may_be_early_if_that_is_branched_over() -> None:
    script = "(sleep 1; echo late) & sleep 5; echo end"
    assert explored("/bin/sh", "-c", script, preemptions=1, oracles=("output",)).findings == ()
    report = explored("/bin/sh", "-c", script, preemptions=1, oracles=("output",), kinds=(NEXT_TASK, TIMER))
    assert report.schedules > 1


def test_all_kinds_have_a_meaning() -> None:
    assert set(KINDS) == {"next-task", "signal", "wake-order", "timer", "faults"}
    assert all(KINDS.values())
