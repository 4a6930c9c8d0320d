"""Debian's strace, run inside, tells what the programs that it runs do."""

from __future__ import annotations

import re

from tests.programs.conftest import RunProgram


def traced(run_program: RunProgram, *command: str) -> list[str]:
    """What strace writes of `command`, whose own output is thrown away."""
    result = run_program(["strace", "-o", "/dev/stderr", *command])
    assert result.status == 0
    return result.stderr.decode().splitlines()


def test_calls_with_their_results(run_program: RunProgram) -> None:
    lines = traced(run_program, "-e", "trace=chdir,getppid", "sh", "-c", "cd /nowhere 2> /dev/null; cd /usr")
    calls = [line for line in lines if "chdir" in line]
    assert calls == [
        'chdir("/nowhere")                       = -1 ENOENT (No such file or directory)',
        'chdir("/usr")                           = 0',
    ]
    assert lines[-1] == "+++ exited with 0 +++"


def test_a_pipeline_with_its_processes(run_program: RunProgram) -> None:
    lines = traced(run_program, "-f", "-e", "trace=process", "bash", "-c", "echo one | cat; true")
    made = [line for line in lines if re.search(r"clone\(.*= \d+$", line)]
    ended = [line for line in lines if "+++ exited with 0 +++" in line]
    assert len(made) == 2
    assert len(ended) == 3
    assert any('execve("/usr/bin/cat", ["cat"]' in line for line in lines)


def test_calls_counted(run_program: RunProgram) -> None:
    lines = traced(run_program, "-c", "-f", "bash", "-c", "ls / | head -1 > /dev/null")
    counts = {line.split()[-1]: line.split()[3] for line in lines if re.match(r" *\d+\.\d\d ", line)}
    assert counts["execve"] == "3"


def test_calls_that_fail_by_order(run_program: RunProgram) -> None:
    command = "cat /etc/hostname 2> /dev/null || echo failed as ordered"
    orders = ("-o", "/dev/null", "-P", "/etc/hostname", "-e", "inject=openat:error=ENOSPC")
    result = run_program(["strace", "-f", *orders, "bash", "-c", command])
    assert result.stdout == b"failed as ordered\n"


def test_attached_to_another(run_program: RunProgram) -> None:
    command = (
        "sleep 1000 & strace -o /tmp/seen -p $! & sleep 0.2; kill %1; wait; "
        "grep -c 'SIGTERM' /tmp/seen; tail -1 /tmp/seen"
    )
    result = run_program(["bash", "-c", command])
    assert result.stdout == b"2\n+++ killed by SIGTERM +++\n"
