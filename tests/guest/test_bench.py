"""Runs every benchmark program once on both sides: that it works and what is reported, not how fast it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.container_rows import CONTAINER_ROWS
from bench.engines import SOURCE, WORK, command_of, processor_seconds, write_source
from bench.ipc_rows import IPC_ROWS
from bench.rows import ROWS, Row, mebibytes_per_second, microseconds, times_native
from bench.run import BENCH, TABLES, Outcome, chosen, line_of, measure, quick

ROW_KEYS = {
    "name",
    "title",
    "per",
    "native_s",
    "procession_s",
    "ratio",
    "samples",
    "target",
    "is_met",
    "is_later_met",
    "native_failure",
    "failure",
}


NEED_ROOT = ("pid-namespace", "bwrap", "crun")


@pytest.mark.heavy
@pytest.mark.parametrize("row", [*ROWS, *IPC_ROWS, *CONTAINER_ROWS], ids=lambda row: row.name)
def test_program_runs_on_both_sides(row: Row) -> None:
    """A program that fails, natively or inside, would leave a row without figures."""
    if row.name in NEED_ROOT and os.geteuid() != 0:
        pytest.skip("the host lets only root make namespaces")
    outcome = measure(quick(row), 1, is_judged=False)
    assert (outcome.native_failure, outcome.failure) == (None, None)
    report = outcome.as_json()
    assert report.keys() == ROW_KEYS
    assert isinstance(report["native_s"], float)
    assert isinstance(report["procession_s"], float)


def test_names_are_unique() -> None:
    """`--only` chooses by name, a row's or a table's."""
    names = [*TABLES, *(row.name for rows in TABLES.values() for row in rows)]
    assert len(set(names)) == len(names)


def test_rows_are_chosen_by_their_name_or_their_tables() -> None:
    """Only tables that have rows left are shown."""
    assert chosen(None) == {
        "kernel": list(ROWS),
        "ipc": list(IPC_ROWS),
        "containers": list(CONTAINER_ROWS),
    }
    assert chosen(["ipc"]) == {"ipc": list(IPC_ROWS)}
    assert [row.name for row in chosen(["getpid", "eventfd-latency"])["ipc"]] == ["eventfd-latency"]


def test_each_throughput_is_that_of_one_mebibyte() -> None:
    """The figure for `per` counts is shown as its inverse, and higher is better."""
    rows = {row.name: row for row in IPC_ROWS if row.unit == "MiB/s"}
    assert (rows["pipe-throughput"].per, rows["posix-queue-throughput"].per) == (16, 128)
    row = replace(rows["pipe-throughput"], target=mebibytes_per_second(400))
    fast, slow = (Outcome(row, native=[1 / 4000], procession=[1 / speed]) for speed in (500, 200))
    assert (fast.as_json()["is_met"], slow.as_json()["is_met"]) == (True, False)
    assert line_of(slow).split()[-6:] == ["200", "MiB/s", "20.00x", "400", "MiB/s", "no"]


def test_row_without_a_target_is_not_judged() -> None:
    """Its figures are shown all the same."""
    outcome = Outcome(replace(ROWS[0], target=None), native=[1e-6], procession=[3e-6])
    assert outcome.as_json()["target"] is None
    assert outcome.as_json()["is_met"] is None
    assert line_of(outcome).split()[-5:] == ["3.00", "us", "3.00x", "-", "-"]


def test_failure_is_reported_with_its_reason() -> None:
    """A row whose program can't run stays in the table."""
    row = replace(ROWS[0], command=("/bin/sh", "-c", "echo because >&2; exit 7 # {count}"))
    outcome = measure(row, 2)
    assert outcome.native_failure == "status 7: because"
    assert outcome.failure is not None
    assert outcome.as_json()["native_s"] is None
    assert "failed natively: status 7: because" in line_of(outcome)


def test_targets_are_compared_with_what_was_measured() -> None:
    """Absolute targets are for Procession's time alone, the others for the ratio."""
    absolute = Outcome(
        replace(ROWS[0], target=microseconds(4, 2.5)), native=[1e-6], procession=[9e-6, 3e-6, 2e-6]
    )
    assert absolute.procession_s == 3e-6
    assert (absolute.reaches(4e-6), absolute.reaches(2.5e-6)) == (True, False)
    relative = Outcome(replace(ROWS[0], target=times_native(4)), native=[1.0], procession=[5.0])
    assert relative.ratio == 5.0
    assert relative.as_json()["is_met"] is False
    assert relative.as_json()["is_later_met"] is None


@pytest.mark.heavy
def test_what_engines_are_measured_with_is_there(tmp_path: Path) -> None:
    """The compiler's work has as many lines as its row says, and is a program."""
    source = tmp_path / "source.c"
    write_source(source)
    assert len(source.read_text().splitlines()) == 2000
    for _, words in WORK:
        command = command_of(words, source)
        assert os.access(command[0], os.X_OK)
        if SOURCE in words:
            assert processor_seconds(command, str(tmp_path)) > 0


@pytest.mark.heavy
def test_command_writes_json(tmp_path: Path) -> None:
    """The file says on which machine the figures were measured."""
    file = tmp_path / "figures.json"
    command = [sys.executable, str(BENCH / "run.py"), "--quick", "--only", "getpid", "--json", str(file)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "getpid" in result.stdout
    report = json.loads(file.read_text())
    assert report.keys() == {"measured_at", "host", "repetitions", "is_quick", "rows"}
    assert report["host"].keys() == {"cpu", "cores", "kernel", "python", "unicorn", "procession"}
    assert all(report["host"].values())
    assert [row["name"] for row in report["rows"]] == ["getpid"]
    assert report["rows"][0].keys() == ROW_KEYS
