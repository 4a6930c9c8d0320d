"""How a machine ends before its program does: limits, reboot(2); and trees that lack what a machine needs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from procession import Machine
from procession.breaking_off import start_without_signals
from procession.ending import STATUS_RESTART, STATUS_TIME_LIMIT
from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE
from tests.cli import endless_call
from tests.of_a_kind import first_of, heavy

RUN = [sys.executable, "-m", "procession", "run"]
WALL_LIMIT_S = 0.5
PATIENCE_S = 20
MOVES_PAGES = r"""
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PART (1L << 21)
#define ALL (1L << 33)

int main(void)
{
	int fd = memfd_create("numbers", 0);

	ftruncate(fd, PART);
	for (long at = 0; at < 2 * ALL; at += PART)
		mmap((char *)(1L << 44) + at, PART, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	syscall(SYS_move_pages, 0, ALL / 8, 1L << 44, 0, (1L << 44) + ALL, 0);
}
"""
"""It asks for the nodes of a milliard of pages, whose addresses are in the same memory over and over."""
X87_HEAVY = "int main(void) { for (;;) { " + '__asm__ volatile("fldpi; fsin; fstp %st(0)"); ' * 400 + "} }"


def run(*arguments: str | Path, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], stdin=stdin, capture_output=True, text=True, check=False)


@pytest.fixture
def small_tree(guest_root: Path, tmp_path: Path) -> Path:
    """A tree with nothing in it but busybox."""
    (tmp_path / "bin").mkdir()
    shutil.copy(guest_root / "bin" / "busybox", tmp_path / "bin")
    return tmp_path


@pytest.mark.parametrize("command", first_of(1, ["while :; do :; done", "sleep 1000000 & wait", "exec cat"]))
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


def start_endless_call(guest_root: Path, *options: str) -> subprocess.Popen[str]:
    """Run a program that says something and then makes a call without an end."""
    command = [sys.executable, endless_call.__file__, "run", "--rootfs", str(guest_root), *options, "--"]
    script = "trap '' TERM INT; echo before; sleep 1; exec busybox sync"
    return subprocess.Popen(
        [*command, "bash", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.heavy
def test_the_wall_limit_ends_a_call_that_never_ends(guest_root: Path) -> None:
    with start_endless_call(guest_root, "--wall-limit", "3") as process:
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout) == (STATUS_TIME_LIMIT, "before\nbegun\n")
    assert stderr == "procession: the wall limit of 3.0 s has passed, in the middle of sync(2)\n"


@pytest.mark.parametrize("signal_number", first_of(1, [signal.SIGTERM, signal.SIGINT]))
def test_a_signal_ends_a_call_that_never_ends(guest_root: Path, signal_number: signal.Signals) -> None:
    """Whether the guest ignores it or not: it can't be asked."""
    with start_endless_call(guest_root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "before\n"
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal_number)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal_number
    assert stderr == f"procession: {signal_number.name} came in the middle of sync(2), which takes long\n"


@pytest.mark.heavy
def test_what_cannot_be_written_after_a_call_was_broken_off(guest_root: Path, tmp_path: Path) -> None:
    recording, layer = tmp_path / "recording", tmp_path / "layer.tar"
    options = ("--record", str(recording), "--save-changes", str(layer), "--wall-limit", "3")
    with start_endless_call(guest_root, *options) as process:
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == STATUS_TIME_LIMIT
    reason = "nothing was written, as the machine was in the middle of a change"
    assert stderr.splitlines()[1:] == [
        f"procession: --record {recording}: {reason}",
        f"procession: --save-changes {layer}: {reason}",
    ]
    assert not recording.exists()
    assert not layer.exists()


def test_a_machine_that_was_broken_off_does_not_go_on(
    guest_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_all()
    call = TABLE[endless_call.SYNC]
    assert call is not None
    monkeypatch.setattr(call, "handler", endless_call.never_ends)
    monkeypatch.setattr(call, "_entry", None)
    machine = Machine(rootfs=guest_root)
    result = machine.run(["busybox", "sync"], wall_limit_s=2)
    assert result.status == STATUS_TIME_LIMIT
    assert result.reason == "the wall limit of 2 s has passed, in the middle of sync(2)"
    with pytest.raises(ValueError, match="broken off"):
        machine.step()
    machine.close()


def test_a_call_that_gives_way_comes_back_to_who_runs_the_machine(
    c_compiler: list[str], tmp_path: Path
) -> None:
    source, program = tmp_path / "moves.c", tmp_path / "moves"
    source.write_text(MOVES_PAGES)
    subprocess.run([*c_compiler, "-static", "-w", "-o", program, source], check=True)
    machine = Machine(rootfs=tmp_path)
    result = machine.run(["/moves"], wall_limit_s=WALL_LIMIT_S)
    assert (result.status, result.reason) == (STATUS_TIME_LIMIT, "the wall limit of 0.5 s has passed")
    assert machine.step()
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
        heavy(("poweroff -f", 0, "the machine was powered off")),
        heavy(("halt -f", 0, "the machine was halted")),
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


def test_nothing_is_done_beyond_the_time_limit(guest_root: Path) -> None:
    command = ["sh", "-c", "sleep 1; echo in time; sleep 10; echo late"]
    result = run("--rootfs", guest_root, "--time-limit", "5", "--", *command)
    assert (result.returncode, result.stdout) == (STATUS_TIME_LIMIT, "in time\n")


def test_an_empty_name_of_a_tree_is_refused() -> None:
    result = run("--rootfs", "", "--", "true")
    assert result.returncode == 2
    assert result.stderr == "procession: --rootfs '': name a directory; without --rootfs it's the host's /\n"
    with pytest.raises(ValueError, match="rootfs is empty"):
        Machine(rootfs="")


@pytest.mark.parametrize(
    ("name", "reason"), [("/nosuch", "No such file or directory"), ("/dev/null", "Not a directory")]
)
def test_a_tree_that_is_none_is_named(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"rootfs {name}: {reason}"):
        Machine(rootfs=name)


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


def test_threads_leave_signals_to_the_main_one() -> None:
    """It would sleep on in a system call if another took the signal that was to end that."""
    blocked: list[set[int]] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    thread = threading.Thread(target=lambda: blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    start_without_signals(thread)
    thread.join()
    assert {signal.SIGCONT, signal.SIGINT, signal.SIGWINCH} <= blocked[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
