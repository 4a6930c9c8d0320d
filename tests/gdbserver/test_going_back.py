"""gdb goes back in a machine's past, and forward again."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from procession import Machine
from procession.gdbserver.connection import listen
from procession.gdbserver.debugger import Debugger
from tests.cli.test_gdb_option import WAIT_S, Client, free_port, machine_at
from tests.gdbserver.test_gdb import PROGRAM, compiled, debug, output_of

BEGINNING = "Reached end of recorded history"

pytestmark = pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb isn't installed")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(PROGRAM, tmp_path_factory.mktemp("gdb"))


@pytest.fixture(scope="module")
def overwriting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(PROGRAM.with_name("past.c"), tmp_path_factory.mktemp("gdb"))


def values(printed: str) -> list[str]:
    """What `print` printed, in order."""
    return re.findall(r"^\$\d+ = (.*)", printed, re.MULTILINE)


@pytest.mark.heavy
def test_back_to_breakpoints(program: Path) -> None:
    session = debug(
        program,
        *("break square", "continue", "info registers", "continue", "continue", "print number"),
        *("reverse-continue", "print number", "reverse-continue", "print number", "info registers"),
        *("reverse-continue", "print $pc == (long)_start", "delete", "continue"),
    )
    assert values(session.printed)[:3] == ["4", "3", "2"]
    assert BEGINNING in session.printed
    first, second = re.findall(r"^rax .*?^gs_base .*?$", session.printed, re.MULTILINE | re.DOTALL)
    assert first == second
    assert "received signal SIGUSR2" in session.printed
    # It was written once, at the same time as ever.
    assert session.stdout == output_of(program)


@pytest.mark.heavy
def test_checkpoints(program: Path) -> None:
    session = debug(
        program,
        *("monitor restart 1", "break square", "continue", "print number", "monitor checkpoint"),
        *("continue", "continue", "print number", "monitor checkpoint"),
        *("monitor restart 1", "continue", "print number", "info breakpoints", "continue", "print number"),
        # And forward again, over what was never stopped at.
        *("monitor restart 2", "stepi", "print number", "monitor delete 2", "monitor restart 2"),
        *("reverse-continue", "print number", "delete", "continue"),
    )
    assert values(session.printed) == ["2", "4", "2", "3", "4", "3"]
    assert "there is no such checkpoint, but none" in session.printed
    assert "there is no such checkpoint, but 1" in session.printed
    assert session.printed.count("leads there") == 2
    assert session.stdout == output_of(program)


@pytest.mark.heavy
def test_what_gdb_changes_ends_the_checkpoints(program: Path) -> None:
    session = debug(
        program,
        *("break square", "continue", "monitor checkpoint", "monitor restart 1", "set variable number = 4"),
        *("continue", "print number", "monitor restart 1", "delete", "continue"),
    )
    assert values(session.printed) == ["3"]
    assert session.printed.count("leads there") == 1
    assert "there is no such checkpoint, but none" in session.printed


@pytest.mark.heavy
def test_back_by_instructions_and_lines(program: Path) -> None:
    session = debug(
        program,
        *(
            "break square",
            "continue",
            "continue",
            "print $pc",
            "stepi",
            "stepi",
            "reverse-stepi",
            "reverse-stepi",
        ),
        *(
            "print $pc",
            "next",
            "print result",
            "reverse-next",
            "reverse-finish",
            "info line",
            "delete",
            "continue",
        ),
    )
    printed = session.printed
    before, after, result = values(printed)
    assert (before, result) == (after, "9")
    assert re.search(r'Line 31 of ".*program\.c"', printed)
    assert session.stdout == output_of(program)


@pytest.mark.heavy
def test_back_from_a_crash_to_what_caused_it(overwriting: Path) -> None:
    session = debug(
        overwriting,
        *("continue", "print $pc", "reverse-stepi", "print $pc", "watch pointer", "reverse-continue"),
        *("print round", "bt 1", "reverse-continue", "delete", "break clobber if round == 4", "continue"),
        *("print round", "delete", "continue", "continue"),
    )
    printed = session.printed
    assert printed.count("received signal SIGSEGV") == 2
    assert "Old value = (int *) 0x8\n" in printed
    crashed, before, overwritten, later = values(printed)
    assert crashed != before
    assert (overwritten, later) == ("7", "4")
    assert re.search(r"^#0 .* clobber \(round=7\)", printed, re.MULTILINE)
    assert (session.status, session.signal) == (139, 11)


@pytest.mark.heavy
def test_back_from_a_call_that_is_caught_no_more(program: Path) -> None:
    session = debug(
        program,
        *("catch syscall wait4", "continue", "delete", "handle all nostop noprint"),
        *("reverse-stepi", "x/i $pc"),
        *("break square", "reverse-continue", "print number", "delete", "continue"),
    )
    assert re.search(r"^=> 0x\w+ <.*>:\tsyscall", session.printed, re.MULTILINE)
    assert values(session.printed) == ["4"]
    assert session.stdout == output_of(program)


@pytest.mark.heavy
def test_back_in_a_thread(overwriting: Path) -> None:
    session = debug(
        overwriting,
        *("break clobber", "continue", "delete", "break add", "reverse-continue", "print $_thread", "stepi"),
        *("print $_thread", "reverse-continue", "print $_thread", "reverse-continue", "delete", "continue"),
    )
    assert 'Thread 2 "past" hit Breakpoint 2, add (' in session.printed
    assert values(session.printed) == ["2", "2", "2"]
    assert BEGINNING in session.printed
    assert "received signal SIGSEGV" in session.printed


def test_the_past_begins_where_something_was_changed(program: Path) -> None:
    session = debug(
        program,
        *("break square", "continue", "continue", "set var counter = 100", "next", "next"),
        *("reverse-continue", "reverse-continue", "print counter", "print number", "delete", "continue"),
    )
    assert BEGINNING in session.printed
    assert values(session.printed) == ["100", "3"]
    assert session.stdout.split()[1] == b"%d" % (100 + 9 + 16)


@pytest.mark.heavy
def test_what_came_from_outside_comes_again(overwriting: Path) -> None:
    port = free_port()
    commands = (
        *("set pagination off", "set sysroot /", f"target remote :{port}", "break main", "continue"),
        *("watch total if total > 99", "continue", "delete", "break usleep", "reverse-continue"),
        *(
            "reverse-continue",
            "reverse-continue",
            "reverse-continue",
            "delete",
            "continue",
            "print total",
            "continue",
        ),
    )
    written: list[bytes] = []
    with machine_at(port, str(overwriting)) as process:

        def type_lines() -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            for number in (1, 20, 300):
                process.stdin.write(b"%d\n" % number)
                process.stdin.flush()
                written.append(process.stdout.readline())
            process.stdin.close()

        typist = threading.Thread(target=type_lines)
        typist.start()
        gdb = subprocess.run(
            [
                "gdb",
                "-q",
                "-nx",
                "-batch",
                *(word for each in commands for word in ("-ex", each)),
                str(overwriting),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * WAIT_S,
            check=False,
        )
        typist.join()
        assert process.stdout is not None
        rest = process.stdout.read()
    assert "New value = 321" in gdb.stdout
    assert gdb.stdout.count("hit Breakpoint") + gdb.stdout.count("Breakpoint 3, ") == 3
    assert BEGINNING in gdb.stdout
    assert (written, rest) == ([b"1\n", b"21\n", b"321\n"], b"")


@pytest.mark.heavy
def test_the_past_is_bounded(tmp_path: Path) -> None:
    source = tmp_path / "writing.c"
    source.write_text(
        "static char room[20 << 20];\n"
        "int main(void) { for (int round = 1; round < 400; round++)\n"
        "for (int at = 0; at < sizeof room; at += 4096) room[at] = round;\n"
        "__builtin_trap(); }\n"
    )
    machine = Machine(seed=1, memory=32 << 20)
    listener = listen(0)
    machine.debugger = debugger = Debugger(machine, listener)
    past = debugger.past
    assert past is not None
    counts: list[tuple[int, int]] = []

    def hold() -> None:
        with Client(listener.getsockname()[1]) as client:
            assert client.ask(b"vCont;c").startswith(b"T04")
            counts.append((len(past.checkpoints), sum(known.page_count for known in past.checkpoints)))

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert machine.run([str(compiled(source, tmp_path))]).signal == 4
    finally:
        debugger.close()
        thread.join()
        machine.close()
    ((checkpoint_count, page_count),) = counts
    assert checkpoint_count >= 2
    assert 0 < page_count <= machine.memory.frame_count
