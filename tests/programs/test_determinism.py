"""The same seed, program and files give the same run, whatever the host does; another seed may not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from procession import Machine, Result
from tests.of_a_kind import first_of
from tests.programs.conftest import TIME_LIMIT_S, MakeMachine
from tests.programs.program_script import DIRECTORY, ENVIRONMENT, SCRIPTS, ProgramScript

PROJECT = Path(__file__).resolve().parents[2]

# Scripts whose processes race with each other, use the clock, random numbers, signals and /proc.
NAMES = ("background_exits.bash", "threads.python", "processes.bash", "process_substitution.bash")
RACE = """
for i in 1 2 3 4; do (for j in $(seq 12); do echo "$i $j $RANDOM" >> log; done) & done; wait
cat log; date +%s%N; echo $$ $! $SRANDOM; head -c 16 /dev/urandom | od -An -tx1; mktemp -u
cat /proc/stat /proc/uptime /proc/self/maps /proc/sys/kernel/random/boot_id
ls -lai --time-style=full-iso; python3 -S -c 'print(hash("x"), {"a", "b", "c"})'
"""
RACE_ARGV = ["/usr/bin/bash", "-c", RACE]

# The run of another process, with a hash seed of its own.
ELSEWHERE = """
import json, sys
from procession import Machine
settings = json.loads(sys.argv[1])
machine = Machine(**settings["machine"])
result = machine.run(settings["argv"], time_limit_s=settings["time_limit_s"])
print(json.dumps([result.status, result.stdout.hex(), result.stderr.hex(), machine.state_hash()]))
"""


def run_and_hash(machine: Machine, argv: list[str]) -> tuple[Result, str]:
    """Run a program to its end and return the result and the digest of the machine afterwards."""
    result = machine.run(argv, time_limit_s=TIME_LIMIT_S)
    return result, machine.state_hash()


@pytest.fixture(scope="module")
def reference(guest_root: Path) -> tuple[Result, str]:
    """Return the run of the race with the seed 3, and what was left of the machine."""
    machine = Machine(seed=3, rootfs=guest_root, environment=ENVIRONMENT, cwd=DIRECTORY)
    try:
        return run_and_hash(machine, RACE_ARGV)
    finally:
        machine.close()


@pytest.mark.parametrize("name", first_of(1, NAMES))
def test_one_seed_one_run(name: str, make_machine: MakeMachine) -> None:
    argv = ProgramScript(SCRIPTS / name).argv
    first = run_and_hash(make_machine(seed=7), argv)
    assert run_and_hash(make_machine(seed=7), argv) == first


@pytest.mark.heavy
def test_machines_before_make_no_difference(make_machine: MakeMachine, reference: tuple[Result, str]) -> None:
    """Neither does what a machine did before in this process have an influence on a new one."""
    assert reference[0].status == 0
    assert reference[0].stderr == b""
    run_and_hash(make_machine(seed=2), ProgramScript(SCRIPTS / "files.bash").argv)
    assert run_and_hash(make_machine(seed=3), RACE_ARGV) == reference


@pytest.mark.heavy
def test_another_seed_decides_otherwise(make_machine: MakeMachine, reference: tuple[Result, str]) -> None:
    result, digest = run_and_hash(make_machine(seed=4), RACE_ARGV)
    assert result.status == 0
    assert result.stdout != reference[0].stdout
    assert digest != reference[1]


@pytest.mark.parametrize("hash_seed", first_of(1, ["12345", "0"]))
def test_another_process_gives_the_same_run(
    hash_seed: str, guest_root: Path, reference: tuple[Result, str]
) -> None:
    settings = {
        "machine": {"seed": 3, "rootfs": str(guest_root), "environment": ENVIRONMENT, "cwd": DIRECTORY},
        "argv": RACE_ARGV,
        "time_limit_s": TIME_LIMIT_S,
    }
    elsewhere = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, json.dumps(settings)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo", "LANG": "C"},
        capture_output=True,
        check=True,
    )
    result, digest = reference
    expected = [result.status, result.stdout.hex(), result.stderr.hex(), digest]
    assert json.loads(elsewhere.stdout) == expected
