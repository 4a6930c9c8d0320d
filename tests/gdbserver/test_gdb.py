"""gdb itself holds a machine: what it's told, and that the program doesn't notice."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from procession import Machine
from procession.gdbserver.connection import listen
from procession.gdbserver.debugger import Debugger

PROGRAM = Path(__file__).with_name("program.c")
GDB_TIMEOUT_S = 120
SETTINGS = ("set pagination off", "set confirm off", "set sysroot /", "set breakpoint pending on")

pytestmark = pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb isn't installed")


class Session(NamedTuple):
    """What gdb printed, and how the run ended."""

    printed: str
    status: int
    signal: int
    stdout: bytes


def compiled(source: Path, directory: Path) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    target = directory / source.stem
    subprocess.run([compiler, "-g", "-O0", "-pthread", "-o", str(target), str(source)], check=True)
    return target


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(PROGRAM, tmp_path_factory.mktemp("gdb"))


@pytest.fixture(scope="module")
def accesses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(PROGRAM.with_name("accesses.c"), tmp_path_factory.mktemp("gdb"))


def debug(program: Path, *commands: str, before: tuple[str, ...] = ()) -> Session:
    """Run the program in a machine that gdb holds, with these commands after it's connected."""
    machine = Machine(seed=1)
    listener = listen(0)
    port = listener.getsockname()[1]
    machine.debugger = debugger = Debugger(machine, listener)
    lines = [*SETTINGS, *before, f"target remote 127.0.0.1:{port}", *commands]
    arguments = [word for line in lines for word in ("-ex", line)]
    printed: list[str] = []

    def run_gdb() -> None:
        result = subprocess.run(
            ["gdb", "-q", "-nx", "-batch", *arguments, str(program)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GDB_TIMEOUT_S,
            check=False,
        )
        printed.append(result.stdout + result.stderr)

    thread = threading.Thread(target=run_gdb)
    thread.start()
    try:
        result = machine.run([str(program)])
    finally:
        debugger.close()
        thread.join()
        machine.close()
    return Session(printed[0], result.status, result.signal, result.stdout)


@pytest.fixture(scope="module")
def undisturbed(program: Path) -> bytes:
    return output_of(program)


def output_of(program: Path) -> bytes:
    machine = Machine(seed=1)
    try:
        return machine.run([str(program)]).stdout
    finally:
        machine.close()


def test_breakpoints_steps_and_values(program: Path, undisturbed: bytes) -> None:
    session = debug(
        program,
        *("break square", "continue", "backtrace", "next", "next", "print result", "print counter"),
        *("finish", "info registers rip", "stepi", "delete", "continue"),
    )
    printed = session.printed
    assert "Breakpoint 1, square (number=2)" in printed
    assert re.search(r"#1 .* main \(\)", printed)
    assert re.search(r"\$1 = 4\b.*\$2 = 4\b", printed, re.DOTALL)
    assert "Value returned is $3 = 4" in printed
    assert session.stdout == undisturbed


@pytest.mark.heavy
def test_steps_take_no_time(program: Path, undisturbed: bytes) -> None:
    # Blocks are cut in many places, long ones too.
    session = debug(program, "break main", "stepi 300", "continue", "stepi 500", "next", "delete", "continue")
    assert session.stdout == undisturbed


@pytest.mark.heavy
def test_watchpoint(program: Path, undisturbed: bytes) -> None:
    session = debug(
        program, "break main", "continue", "watch counter", "continue", "continue", "delete", "continue"
    )
    found = re.findall(r"Old value = (\d+)\nNew value = (\d+)", session.printed)
    assert found == [("0", "4"), ("4", "13")]
    assert session.stdout == undisturbed


def stops_of(printed: str) -> list[str]:
    """The functions in which it stopped after the first breakpoint."""
    after = printed.split("Breakpoint 1, ")[1].split("\n", 1)[1]
    return re.findall(r"^(?:0x\w+ in )?(\w+) \(\) at .*accesses\.c:", after, re.MULTILINE)


@pytest.mark.heavy
def test_watchpoint_for_reads(accesses: Path) -> None:
    session = debug(
        accesses, "break main", "continue", "rwatch watched", *(("continue",) * 4), "delete", "continue"
    )
    assert stops_of(session.printed) == ["only_read", "change", "change_at_once", "main"]
    assert re.findall(r"^Value = (\d+)", session.printed, re.MULTILINE) == ["5", "5", "8", "8"]
    assert session.stdout == output_of(accesses)


@pytest.mark.heavy
def test_watchpoint_for_any_access(accesses: Path) -> None:
    session = debug(
        accesses, "break main", "continue", "awatch watched", *(("continue",) * 6), "delete", "continue"
    )
    assert stops_of(session.printed) == [
        "only_read",
        "write_the_same",
        "change",
        "change",
        "change_at_once",
        "main",
    ]
    assert session.stdout == output_of(accesses)


@pytest.mark.heavy
def test_breakpoint_in_a_thread(tmp_path: Path) -> None:
    session = debug(
        compiled(PROGRAM.with_name("past.c"), tmp_path), "break add", "continue", "next", "print k"
    )
    assert re.search(r"Thread 2 .*hit Breakpoint 1, add \(argument=0x0\)", session.printed)
    assert "$1 = 0" in session.printed


@pytest.mark.heavy
def test_child_is_followed(program: Path) -> None:
    session = debug(
        program,
        "break child",
        "continue",
        "info inferiors",
        "continue",
        before=("set follow-fork-mode child",),
    )
    assert re.search(r"hit Breakpoint 1.*child \(\)", session.printed)
    assert "exited with code 011" in session.printed
    assert session.stdout.split()[2] == b"9"


def test_both_processes_are_held(program: Path) -> None:
    session = debug(
        program,
        *("break child", "continue", "info inferiors", "continue", "continue"),
        before=("set detach-on-fork off", "set schedule-multiple on"),
    )
    assert re.search(r"\* 2 +process \d+", session.printed)
    assert "[Inferior 2 (process 3) exited with code 011]" in session.printed


def test_signal_is_kept_from_the_program(program: Path) -> None:
    session = debug(program, "handle SIGUSR2 stop nopass", "continue", "print $_siginfo.si_signo", "continue")
    assert "received signal SIGUSR2" in session.printed
    assert "$1 = 12" in session.printed
    assert "exited with code 07" in session.printed
    assert (session.status, session.signal) == (7, 0)


@pytest.mark.heavy
def test_signal_ends_the_program(program: Path) -> None:
    session = debug(program, "continue", "continue")
    assert "received signal SIGUSR2" in session.printed
    assert "terminated with signal SIGUSR2" in session.printed
    assert session.signal == 12


@pytest.mark.heavy
def test_signal_is_sent_where_none_has_stopped_the_program(program: Path) -> None:
    session = debug(program, "break square", "continue", "delete", "signal SIGTERM")
    assert "terminated with signal SIGTERM" in session.printed
    assert (session.stdout, session.signal) == (b"", 15)


def test_memory_and_registers_are_written(program: Path) -> None:
    session = debug(
        program,
        "break square",
        "continue",
        "delete",
        "set var counter = 100",
        "set var number = 10",
        "continue",
    )
    total, counted, *_ = session.stdout.split()
    assert (int(total), int(counted)) == (100 + 9 + 16, 100 + 100 + 9 + 16)


def test_catchpoints_and_tables(program: Path) -> None:
    session = debug(
        program,
        *("catch syscall wait4", "catch fork", "continue", "info auxv", "info os processes", "monitor ps"),
        *("continue", "delete", "continue"),
    )
    printed = session.printed
    assert re.search(r"Catchpoint 2 \(forked process 3\)", printed)
    assert re.search(r"AT_ENTRY +Entry point of program", printed)
    assert re.search(r"^2 +0 +program", printed, re.MULTILINE)
    assert re.search(r"^ +1 +1 init$", printed, re.MULTILINE)
    assert "call to syscall wait4" in printed


@pytest.mark.heavy
def test_what_proc_says(program: Path) -> None:
    session = debug(program, "break square", "continue", "info proc", "info proc mappings", "kill")
    assert f"exe = '{program}'" in session.printed
    assert re.search(r"^cwd = '/", session.printed, re.MULTILINE)
    assert re.search(rf"r-xp +{program}", session.printed)


@pytest.mark.heavy
def test_program_goes_on_without_its_debugger(program: Path, undisturbed: bytes) -> None:
    session = debug(program, "break square", "continue", "detach")
    assert session.stdout == undisturbed
    assert session.signal == 12
