"""`procession debug`."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "procession"]
SCRIPT = "exec 5</etc/passwd; (sleep 1; exit 3) | cat & trap : USR1; kill -USR1 $$; wait; echo hello; exit 4"


def procession(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.fixture(scope="module")
def recording(guest_root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("debug") / "run")
    command = ["bash", "-c", SCRIPT]
    assert procession("run", "--rootfs", str(guest_root), "--record", path, "--", *command).returncode == 4
    return path


def answers(recording: str, *commands: str) -> list[str]:
    """What each command of a script prints."""
    run = procession("debug", recording, stdin="\n".join(commands) + "\n")
    assert (run.returncode, run.stderr) == (0, "")
    parts = run.stdout.split("(procession) ")[1:]
    assert [part.partition("\n")[0] for part in parts] == list(commands)
    return [part.partition("\n")[2] for part in parts]


def test_there_and_back(recording: str) -> None:
    shown = answers(recording, "where", "step 5", "step 3 call", "back 3 call", "back 5", "go start", "back")
    assert shown[0].endswith("the beginning\n")
    assert "Faulted of task 2" in shown[1]
    assert "SystemCallReturned of task 2" in shown[2]
    assert shown[5] == shown[0]
    assert shown[6] == f"that is the beginning\n{shown[0]}"
    # Back by as many calls as forward, then to the first of them.
    assert shown[3].splitlines()[0] == "there is no call before" or "SystemCallReturned" in shown[3]


@pytest.mark.heavy
def test_by_switch_and_state(recording: str) -> None:
    shown = answers(
        recording, "until fork", "step switch", "step state", "back state", "back switch", "where"
    )
    assert "Switched of task" in shown[1]
    assert "StateChanged of task" in shown[2]
    assert int(shown[4].split()[0]) < int(shown[1].split()[0])
    assert "Switched of task 2" in shown[4]


@pytest.mark.heavy
def test_where_things_came_from(recording: str) -> None:
    commands = [
        *("until fork", "print 2 files", "back-to installed 2 5", "until fork", "back-to opened 2 5"),
        *("until fork", "back-to made 3", "until end", "back-to SIGUSR1"),
    ]
    shown = dict(zip(range(len(commands)), answers(recording, *commands), strict=True))
    assert "/etc/passwd" in shown[1]
    assert "dup2" in shown[2]
    assert "name openat, result 3" in shown[4]
    assert "name clone, result 3" in shown[6]
    assert "SignalDelivered of task 2, signal SIGUSR1, code 0, action handler, handler 0x" in shown[8]


@pytest.mark.heavy
def test_where_tasks_that_were_reaped_came_from_and_went(recording: str) -> None:
    commands = [
        "until exit 3",
        "until end",
        "back-to ended 3",
        "back-to made 3",
        "until 99s",
        "back-to ended 99",
    ]
    shown = answers(recording, *commands)
    assert "Exited of task 3, exit status 3\n" in shown[0]
    assert shown[2].split()[0] == shown[0].split()[0]
    assert "name clone, result 3" in shown[3]
    assert shown[4].startswith("the run has ended before that time\n")
    assert shown[5].startswith("there is no such moment before\n")


def test_events_are_told_in_words(recording: str) -> None:
    shown = answers(recording, "until fork", "until exec", "until fault", "until exit 5")
    assert "Cloned of task 3, maker_tid 2, parent_pid 2\n" in shown[0]
    assert "path /usr/bin/" in shown[1]
    assert "address 0x" in shown[2]
    assert "Exited of task 5, exit status 0\n" in shown[3]


@pytest.mark.heavy
def test_checkpoints(recording: str) -> None:
    commands = ["until fork", "checkpoint", "until exec", "checkpoint there", "checkpoint", "checkpoints"]
    commands += ["until end", "restart 1", "restart there", "step", "delete 2", "checkpoints", "restart 1"]
    commands += ["back-to exec", "restart 1", "back", "until fork"]
    shown = answers(recording, *commands)
    fork, there = shown[0].split()[0], shown[2].split()[0]
    assert shown[1].startswith(f"1: {fork}, SystemCallReturned of task 2, name clone")
    assert shown[3].startswith(f"there: {there}, ")
    assert shown[5] == shown[1] + shown[3] + shown[4]
    assert shown[7] == shown[12] == shown[14]
    assert (shown[7].split()[0], shown[8].split()[0]) == (fork, there)
    assert int(shown[9].split()[0]) > int(there)
    assert shown[11] == shown[1] + shown[3]
    assert shown[16] == shown[0]


def test_what_is_shown(recording: str) -> None:
    shown = answers(
        recording,
        "until fork",
        "tree",
        "table",
        "ipc",
        "namespaces",
        "print 2",
        "diff 2 200",
        "graph",
        "help",
        "print identity",
    )
    assert "`- 2 bash" in shown[1]
    assert "PID   TID" in shown[2]
    assert "pid:[" in shown[4]
    assert shown[5].startswith("identity\n")
    assert shown[6]
    assert "/* " in shown[7] or "(" in shown[7]
    assert "step [N]" in shown[8]
    assert shown[9].startswith("identity\n")
    assert "state\n" not in shown[9]


def test_the_output_is_there_again_further_on(recording: str) -> None:
    commands = ["until end", "checkpoint", "go start", "checkpoint", "output"]
    shown = answers(recording, *commands, "restart 1", "output", "restart 2", "output")
    assert (shown[4], shown[6], shown[8]) == ("", "hello\n", "")


def test_the_end_and_the_output(recording: str) -> None:
    shown = answers(recording, "output", "until end", "output", "step", "back-to exec", "output")
    assert shown[0] == ""
    assert shown[2] == "hello\n"
    assert shown[3].startswith("the run has ended\n")
    assert shown[5] == ""


def test_a_time_may_have_any_number_of_digits(recording: str) -> None:
    shown = answers(recording, "until 0.000000001s", f"until {'9' * 400}s", "step")
    assert shown[2].startswith("the run has ended\n")
    assert shown[1].startswith("the run has ended before that time\n")
    assert int(shown[0].split()[0]) < int(shown[1].splitlines()[1].split()[0])


def test_a_mistake_ends_a_script(recording: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    for line, message in [
        ("nothing", "'nothing' is no command"),
        ("step sideways", "'sideways' is neither a number nor one of"),
        ("until nonsense", "'nonsense' is no event"),
        ("print", "nothing has happened yet: print takes a pid here"),
        ("print 99", "there is no task 99 here"),
        ("back-to opened 1 77", "task 1 has no descriptor 77"),
        ("go somewhere", "'somewhere' is no number"),
        ("print '", "No closing quotation"),
        ("graph nonsense", "'nonsense' is no system call"),
        ("restart 1", "it takes the name of a checkpoint: there is none"),
        ("checkpoint one two", "checkpoint takes one name"),
    ]:
        script.write_text(f"# a comment\n\n{line}\nwhere\n")
        run = procession("debug", "--script", str(script), recording)
        assert run.returncode == 1, line
        assert f"line 3: {message}" in run.stderr
        assert "(procession) where" not in run.stdout


def test_what_is_no_recording_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "no").write_bytes(b"no recording")
    run = procession("debug", str(tmp_path / "no"))
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert procession("debug", str(tmp_path / "absent")).returncode == 2


def test_at_a_terminal_it_talks(recording: str, tmp_path: Path) -> None:
    """Mistakes are told, an empty line repeats the last one, Tab completes, and the history is kept."""
    parent, child = pty.openpty()
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"}
    process = subprocess.Popen(
        [*COMMAND, "debug", recording], stdin=child, stdout=child, stderr=child, env=environment
    )
    os.close(child)
    os.write(parent, b"nothing\nstep 6\n\nwhe\t\nquit\n")
    shown = b""
    try:
        while chunk := os.read(parent, 4096):
            shown += chunk
    except OSError:
        pass
    assert process.wait(timeout=60) == 0
    os.close(parent)
    assert b"'nothing' is no command" in shown
    assert shown.count(b" of task 2") == 3
    assert (tmp_path / "procession" / "debug_history").read_text().split()[-2:] == ["where", "quit"]
