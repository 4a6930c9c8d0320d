"""stress-ng's loads on processes, signals, scheduling and memory: each verifies what the kernel did."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.programs.conftest import RunProgram

pytestmark = pytest.mark.heavy

# Name -> how many operations; each stressor runs four times at once.
STRESSORS = {
    "affinity": 200,
    "bad-altstack": 100,
    "clone": 500,
    "cpu-sched": 50,
    "daemon": 200,
    "dup": 200,
    "eventfd": 500,
    "exit-group": 50,
    "fault": 200,
    "fork": 500,
    "futex": 500,
    "get": 20,
    "itimer": 500,
    "kill": 1000,
    "min-nanosleep": 10,
    "mmapfork": 4,
    "nanosleep": 100,
    "nice": 50,
    "pidfd": 200,
    "pipe": 2000,
    "poll": 200,
    "prctl": 100,
    "pthread": 200,
    "resources": 50,
    "rlimit": 50,
    "schedpolicy": 200,
    "session": 100,
    "set": 20,
    "sigabrt": 100,
    "sigchld": 200,
    "sigfd": 500,
    "sigfpe": 200,
    "signal": 1000,
    "signest": 100,
    "sigpending": 500,
    "sigq": 500,
    "sigrt": 500,
    "sigsegv": 500,
    "sigsuspend": 200,
    "sigtrap": 500,
    "switch": 2000,
    "timer": 200,
    "timerfd": 200,
    "unshare": 20,
    "vfork": 500,
    "wait": 100,
    "yield": 500,
    "zombie": 500,
}


def expect_success(run_program: RunProgram, name: str, count: int, *options: str, **settings: object) -> None:
    """Run a stressor; all four instances must have done their work and found nothing wrong."""
    command = ["/usr/bin/stress-ng", f"--{name}", "4", f"--{name}-ops", str(count), "--seed", "1"]
    result = run_program([*command, "--verify", "--timeout", "60", *options], **settings)
    printed = (result.stdout + result.stderr).decode()
    assert re.search(rf"passed: 4: {name} \(4\)$", printed, re.MULTILINE), printed
    assert re.search(r"failed: 0$", printed, re.MULTILINE), printed
    assert (result.status, result.reason) == (0, "")


@pytest.mark.parametrize(("name", "count"), STRESSORS.items())
def test_stressor(run_program: RunProgram, development_root: Path, name: str, count: int) -> None:
    expect_success(run_program, name, count, rootfs=development_root)


@pytest.mark.parametrize("name", ["clone", "cpu-sched", "exit-group", "fork", "vfork", "wait", "zombie"])
def test_stressor_on_two_processors(run_program: RunProgram, development_root: Path, name: str) -> None:
    expect_success(run_program, name, STRESSORS[name], rootfs=development_root, cpus=2)


def test_sigio(run_program: RunProgram, development_root: Path) -> None:
    # When its writers have ended it reads the pipes' end until its time is over, on Linux too.
    expect_success(run_program, "sigio", 200, "--timeout", "2", rootfs=development_root)


def test_exec_as_an_ordinary_user(run_program: RunProgram, development_root: Path) -> None:
    # Each operation executes as many programs as there may be at once: thousands unless it's told.
    expect_success(run_program, "exec", 20, "--exec-max", "64", rootfs=development_root, user="nobody")
