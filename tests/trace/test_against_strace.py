"""Our traces of programs against those of the host's strace, line by line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE
from procession.trace.filter import calls_named
from tests.of_a_kind import first_of, heavy

COMMAND = "2"
"""The id of the machine's first program."""
PROGRAM = Path(__file__).with_name("program.c")
STACKS = Path(__file__).with_name("stacks.c")
NAMES = Path(__file__).with_name("names.c")
EVERY_CALL = Path(__file__).with_name("every_call.c")
ENVIRONMENT = ("/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "LC_ALL=C")
MORE_RUNS = 5
SCRIPT = "(exit 3); echo *; test -d /etc && cd /etc; kill -WINCH $$; read line; exec true"

MEANT = (
    # A reason follows an error, which strace can't know.
    (r"(?<=\)) /\* .* \*/$", ""),
    # Where things lie, who is who, and what the time is, are those of another machine.
    (r"0x[0-9a-f]{6,}", "ADDRESS"),
    (r"/\* \d+ vars? \*/", "/* vars */"),
    (r"(?<=si_pid=)\d+", "PID"),
    (r"^(clone|clone3|fork|vfork|set_tid_address|wait4|get\w+|rt_sigreturn)(\(.*) = \d+$", r"\1\2 = NUMBER"),
    (r"^(kill|tgkill|wait4|getpgid)\(\d+(, \d+(?=, SIG))?", r"\1(PID"),
    (r"si_utime=\d+, si_stime=\d+", "TIMES"),
    (r"\b(st_size|stx_size|tv_sec|tv_nsec)=\d+", r"\1=NUMBER"),
    (r"^(getrandom|uname|sysinfo|prlimit64|sched_getaffinity|statfs|fstatfs|getgroups)\(.*", r"\1"),
    (r"STATX_ALL\|STATX_MNT_ID", "STATX_BASIC_STATS|STATX_MNT_ID"),
    (r"^read\(\d, \"nodev.*", "read of /proc/filesystems"),
)
"""Differences that are meant: each is spelt as one thing on both sides."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(PROGRAM, tmp_path_factory.mktemp("strace") / "program")


def compiled(source: Path, target: Path, *options: str) -> str:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run([compiler, "-O1", "-w", *options, "-o", str(target), str(source)], check=True)
    return str(target)


def strace_output(arguments: list[str], directory: Path) -> tuple[str, str]:
    """What the host's strace wrote to its file, and what it said of itself."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace isn't installed")
    output = directory / "trace"
    started = subprocess.run(
        [strace, "-o", str(output), *arguments],
        input=b"",
        capture_output=True,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin"},
        check=False,
    )
    text = output.read_text(errors="replace") if output.exists() else ""
    output.unlink(missing_ok=True)
    return text, started.stderr.decode()


def of_strace(command: list[str], directory: Path, options: tuple[str, ...] = ()) -> list[list[str]]:
    text, complaint = strace_output(["-f", *options, *ENVIRONMENT, *command], directory)
    if "exited with" not in text and "killed by" not in text:
        pytest.skip(f"strace can't trace here: {complaint}")
    return by_process(re.sub(r"^(\d+) +", r"[pid \1] ", text, flags=re.MULTILINE))


def of_ours(command: list[str], directory: Path, options: tuple[str, ...] = ()) -> list[list[str]]:
    output = directory / "trace"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "procession",
            "trace",
            *options,
            "-o",
            str(output),
            "--",
            *ENVIRONMENT,
            *command,
        ],
        input=b"",
        capture_output=True,
        cwd=directory,
        check=False,
    )
    return by_process(output.read_text())


def by_process(text: str) -> list[list[str]]:
    """The lines of each process, halves put together, spelt without what may differ."""
    processes: dict[str, list[str]] = defaultdict(list)
    halves: dict[str, str] = {}
    live: dict[str, None] = {COMMAND: None}
    for each in text.splitlines():
        # A process that is alone is not named.
        found = re.match(r"\[pid +(\d+)\] (.*)", each)
        owner, line = found.groups() if found else (next(iter(live)), each)
        live[owner] = None
        if line.startswith("+++"):
            del live[owner]
        if line.endswith(" <unfinished ...>"):
            halves[owner] = line.removesuffix(" <unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", line):
            line = halves.pop(owner) + resumed[1]
        line = re.sub(r" += ", " = ", line)
        for pattern, spelling in MEANT:
            line = re.sub(pattern, spelling, line)
        processes[owner].append(line)
    return [processes[pid] for pid in sorted(processes, key=int)]


def compare(command: list[str], tmp_path: Path, options: tuple[str, ...] = ()) -> None:
    # What it does to files stays in the machine.
    ours = of_ours(command, tmp_path, options)
    theirs = of_strace(command, tmp_path, options)
    for _ in range(MORE_RUNS):
        if ours == theirs:
            break
        # The host's schedule is its own: whether a shell waits before its child ends is up to it.
        theirs = of_strace(command, tmp_path, options)
    assert ours == theirs


def test_a_program_of_many_calls(program: str, tmp_path: Path) -> None:
    compare([program], tmp_path)


def test_names_of_descriptors(tmp_path: Path) -> None:
    compare([compiled(NAMES, tmp_path / "names")], tmp_path, ("-y",))


def stacks(text: str, program: str) -> list[str]:
    """The lines up to the end; of what has names in a file of its own elsewhere without its functions."""
    lines: list[str] = []
    for each in text.splitlines():
        if each.startswith("exit_group"):
            break
        line = re.sub(r" += ", " = ", each)
        if line.startswith(" > ") and not line.startswith(f" > {program}("):
            line = re.sub(r"\(.*\)", "", line)
        for pattern, spelling in MEANT:
            line = re.sub(pattern, spelling, line)
        lines.append(line)
    return lines


def test_stacks(tmp_path: Path) -> None:
    program = compiled(STACKS, tmp_path / "stacks")
    command = [*ENVIRONMENT, program]
    text, complaint = strace_output(["-k", *command], tmp_path)
    if "\n > " not in text or "exited with" not in text:
        pytest.skip(f"strace tells no stacks here: {complaint}")
    theirs = stacks(text, program)
    output = tmp_path / "trace"
    subprocess.run(
        [sys.executable, "-m", "procession", "trace", "-k", "-o", str(output), "--", *command],
        input=b"",
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    ours = stacks(output.read_text(), program)
    assert ours == theirs
    assert sum(line.startswith(f" > {program}(deep+") for line in ours) == 6


@pytest.mark.parametrize(
    "command",
    [
        heavy("cat /etc/passwd"),
        "cp /etc/passwd copy",
        heavy("head -c 5 /etc/passwd"),
        "ls -la /etc/passwd",
        "mkdir -p a/b",
        heavy("sed -n 1p /etc/passwd"),
        heavy("sort /etc/passwd"),
    ],
)
def test_programs(command: str, tmp_path: Path) -> None:
    compare(command.split(), tmp_path)


@pytest.mark.parametrize("shell", first_of(1, ["bash", "sh"]))
def test_a_shell(shell: str, tmp_path: Path) -> None:
    compare([shell, "-c", SCRIPT], tmp_path)


@pytest.mark.parametrize(
    "family", ["%process", "%signal", "%memory", "%network", "%ipc", "%creds", "%file", "%desc"]
)
def test_a_family_of_calls_is_straces(family: str, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace isn't installed")
    program = compiled(EVERY_CALL, tmp_path / "every_call")
    # Calls that strace has no name for belong to each of its families.
    shown = {
        name: subprocess.run(
            [strace, "-qq", "-e", f"trace={name}", program], capture_output=True, text=True, check=False
        ).stderr
        for name in (family, "all")
    }
    named = {
        name: set(re.findall(r"^([a-z]\w*)\(.* = -1 ENOSYS", text, re.MULTILINE))
        for name, text in shown.items()
    }
    assert len(named["all"]) > 300
    load_all()
    built = {call.name for call in TABLE if call is not None}
    ours = calls_named([family])
    assert ours & named["all"] == named[family] & built
    assert len(ours) > 5
