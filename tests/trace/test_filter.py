"""What of a trace is shown."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from procession import Machine
from procession.trace.filter import FilteredObserver, TraceFilter, calls_named, outcomes_named
from procession.trace.strace import SystemCallTrace


def trace_of(guest_root: Path, chosen: TraceFilter) -> list[str]:
    machine = Machine(seed=1, rootfs=guest_root)
    output = io.StringIO()
    trace = SystemCallTrace(output)
    machine.observe(FilteredObserver(trace, chosen, execs_are_calls=True))
    machine.run(["bash", "-c", "cat /etc/passwd /nothing >/dev/null 2>&1; /bin/true"])
    trace.close()
    return [line for line in output.getvalue().splitlines() if "+++" not in line and "---" not in line]


def test_calls_by_name_and_family(guest_root: Path) -> None:
    lines = trace_of(guest_root, TraceFilter(calls=calls_named(["wait4", "execve"])))
    assert lines
    assert all("wait4" in line or "execve" in line for line in lines)
    assert "openat" in calls_named(["%file"])
    assert "read" in calls_named(["%desc"])
    assert "read" not in calls_named(["%file"])
    assert calls_named(["!%signal"]) & {"rt_sigaction", "read"} == {"read"}
    with pytest.raises(ValueError, match="'opne' is no system call"):
        calls_named(["opne"])


def test_by_path_and_outcome(guest_root: Path) -> None:
    lines = trace_of(guest_root, TraceFilter(paths=(b"/nothing",)))
    assert len(lines) == 1
    assert "ENOENT" in lines[0]
    lines = trace_of(guest_root, TraceFilter(paths=(b"/etc/passwd",)))
    assert {"openat", "read", "close"} <= {line.split("] ")[-1].split("(")[0] for line in lines}
    lines = trace_of(
        guest_root, TraceFilter(calls=calls_named(["openat"]), outcomes=outcomes_named(["ENOENT"]))
    )
    assert lines
    assert all("ENOENT" in line and "unfinished" not in line for line in lines)
    with pytest.raises(ValueError, match="'ENOWAY' is no outcome"):
        outcomes_named(["ENOWAY"])


def test_by_process(guest_root: Path) -> None:
    assert all("openat" not in line for line in trace_of(guest_root, TraceFilter(pids=frozenset({1}))))
    assert any("execve" in line for line in trace_of(guest_root, TraceFilter(pids=frozenset({3}))))


@pytest.mark.heavy
def test_the_first_program_is_shown_where_execve_is(guest_root: Path) -> None:
    started = 'execve("/usr/bin/bash", ["bash", "-c", '
    for names in (["execve"], ["!%memory"]):
        assert trace_of(guest_root, TraceFilter(calls=calls_named(names)))[0].startswith(started)
    for chosen in (
        TraceFilter(calls=calls_named(["openat"])),
        TraceFilter(calls=calls_named(["execve"]), outcomes=outcomes_named(["ENOENT"])),
        TraceFilter(paths=(b"/nothing",)),
    ):
        assert not any(started in line for line in trace_of(guest_root, chosen))


@pytest.mark.parametrize(
    "chosen",
    [TraceFilter(calls=calls_named(["exit_group", "wait4"])), TraceFilter(outcomes=outcomes_named(["ok"]))],
    ids=["calls", "outcomes"],
)
def test_those_who_have_ended_are_forgotten(guest_root: Path, chosen: TraceFilter) -> None:
    machine = Machine(seed=1, rootfs=guest_root)
    observer = FilteredObserver(SystemCallTrace(io.StringIO()), chosen)
    machine.observe(observer)
    machine.run(["bash", "-c", "for i in 1 2 3; do (exit 3); done; sleep 9 & kill $!; wait"])
    assert {task.tid for task in (*observer.held, *observer.shown)} <= {1}
