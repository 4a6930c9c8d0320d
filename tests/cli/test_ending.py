"""How a machine ends before its program does: limits, reboot(2); and trees that lack what a machine needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from procession import Machine
from procession.ending import STATUS_RESTART, STATUS_TIME_LIMIT

RUN = [sys.executable, "-m", "procession", "run"]
WALL_LIMIT_S = 0.5
PATIENCE_S = 20
X87_HEAVY = "int main(void) { for (;;) { " + '__asm__ volatile("fldpi; fsin; fstp %st(0)"); ' * 400 + "} }"


def run(*arguments: str | Path, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], stdin=stdin, capture_output=True, text=True, check=False)


@pytest.fixture
def small_tree(guest_root: Path, tmp_path: Path) -> Path:
    """A tree with nothing in it but busybox."""
    (tmp_path / "bin").mkdir()
    shutil.copy(guest_root / "bin" / "busybox", tmp_path / "bin")
    return tmp_path


@pytest.mark.parametrize("command", ["while :; do :; done", "sleep 1000000 & wait", "exec cat"])
def test_the_wall_limit_is_in_the_callers_time(guest_root: Path, command: str) -> None:
    reading_end, writing_end = os.pipe()
    start = time.monotonic()
    options = ("--rootfs", guest_root, "--realtime", "--wall-limit", str(WALL_LIMIT_S))
    result = run(*options, "--", "bash", "-c", command, stdin=reading_end)
    os.close(reading_end)
    os.close(writing_end)
    assert time.monotonic() - start < PATIENCE_S
    reason = f"procession: the wall limit of {WALL_LIMIT_S} s has passed\n"
    assert (result.returncode, result.stderr) == (STATUS_TIME_LIMIT, reason)


def test_the_wall_limit_holds_in_code_that_takes_the_host_long(c_compiler: list[str], tmp_path: Path) -> None:
    source, program = tmp_path / "x87.c", tmp_path / "x87"
    source.write_text(X87_HEAVY)
    subprocess.run([*c_compiler, "-static", "-o", program, source], check=True)
    machine = Machine(rootfs=tmp_path)
    start = time.monotonic()
    result = machine.run(["/x87"], wall_limit_s=WALL_LIMIT_S)
    assert time.monotonic() - start < WALL_LIMIT_S + 5
    assert (result.status, result.reason) == (STATUS_TIME_LIMIT, "the wall limit of 0.5 s has passed")
    machine.close()


def test_a_wall_limit_that_is_not_reached_changes_nothing(guest_root: Path) -> None:
    states = []
    for limit in (None, 1000):
        machine = Machine(rootfs=guest_root)
        result = machine.run(["bash", "-c", "seq 10 | wc -l"], wall_limit_s=limit)
        assert (result.status, result.stdout) == (0, b"10\n")
        states.append(machine.state_hash())
        machine.close()
    assert states[0] == states[1]


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        ("poweroff -f", 0, "the machine was powered off"),
        ("halt -f", 0, "the machine was halted"),
        ("reboot -f", STATUS_RESTART, "the machine was told to restart"),
    ],
)
def test_a_guest_turns_its_machine_off(guest_root: Path, command: str, status: int, reason: str) -> None:
    script = f"echo before; sleep 1000 & busybox {command}; echo after"
    result = run("--rootfs", guest_root, "--", "bash", "-c", script)
    assert (result.returncode, result.stdout) == (status, "before\n")
    assert result.stderr == f"procession: {reason}\n"


def test_the_trace_names_what_was_asked_for(guest_root: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    run("--rootfs", guest_root, f"--trace={trace}", "--", "busybox", "reboot", "-f")
    line = next(line for line in trace.read_text().splitlines() if "reboot(" in line)
    assert "reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART" in line


def test_a_machine_that_is_off_stays_off(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root)
    result = machine.run(["bash", "-c", "sleep 1000 & busybox poweroff -f"])
    assert (result.status, result.reason) == (0, "the machine was powered off")
    now_ns = machine.kernel.clock.now_ns
    assert not machine.step()
    assert machine.kernel.clock.now_ns == now_ns
    machine.close()


def test_who_may_not_turn_it_off(guest_root: Path) -> None:
    result = run("--rootfs", guest_root, "--user", "nobody", "--", "busybox", "poweroff", "-f")
    assert result.returncode == 1
    assert "not permitted" in result.stderr


def test_an_empty_name_of_a_tree_is_refused() -> None:
    result = run("--rootfs", "", "--", "true")
    assert result.returncode == 2
    assert result.stderr == "procession: --rootfs '': name a directory; without --rootfs it's the host's /\n"
    with pytest.raises(ValueError, match="rootfs is empty"):
        Machine(rootfs="")


def test_a_tree_without_directories_to_mount_on_gets_them(small_tree: Path) -> None:
    result = run(
        "--rootfs", small_tree, "--", "/bin/busybox", "sh", "-c", "cd /; echo *; echo /proc/1/comm /dev/null"
    )
    assert (result.returncode, result.stdout) == (0, "bin dev proc sys\n/proc/1/comm /dev/null\n")
    assert [path.name for path in small_tree.iterdir()] == ["bin"]


def test_the_console_leads_to_the_callers_stderr(small_tree: Path) -> None:
    script = "echo out; echo said > /dev/console; cat < /dev/console; test -c /dev/console && echo device"
    result = run("--rootfs", small_tree, "--", "/bin/busybox", "sh", "-c", script)
    assert (result.returncode, result.stdout, result.stderr) == (0, "out\ndevice\n", "said\n")
