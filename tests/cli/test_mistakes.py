"""What a new user gets wrong in the first minutes is told in one clear line each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.of_a_kind import first_of

COMMAND = [sys.executable, "-m", "procession"]


def run(*arguments: str, cwd: Path | None = None, shell: str = "") -> tuple[int, str, str]:
    """The status and output of `procession` ; `shell` adds redirections."""
    result = subprocess.run(
        ["sh", "-c", f'exec "$@" {shell}', "sh", *COMMAND, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


def script(folder: Path, text: str) -> Path:
    """An executable file `a.out` in `folder`."""
    path = folder / "a.out"
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.heavy
def test_a_program_of_the_callers_directory_runs(tmp_path: Path) -> None:
    script(tmp_path, "#!/bin/sh\npwd\n")
    assert run("run", "--", "./a.out", cwd=tmp_path) == (0, f"{tmp_path}\n", "")
    assert run("run", "--cwd", "/usr", "--", "sh", "-c", "pwd", cwd=tmp_path) == (0, "/usr\n", "")


def test_another_tree_starts_at_its_root(tmp_path: Path, guest_root: Path) -> None:
    assert run("run", "--rootfs", str(guest_root), "--", "sh", "-c", "pwd", cwd=tmp_path) == (0, "/\n", "")


def test_a_directory_that_is_gone_is_none(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    result = subprocess.run(
        ["sh", "-c", f'rmdir {gone}; exec "$@"', "sh", *COMMAND, "run", "--", "sh", "-c", "pwd"],
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "/\n", "")


def test_a_cwd_that_is_absent() -> None:
    message = "procession: the program can't start in the directory /nosuch: No such file or directory\n"
    assert run("run", "--cwd", "/nosuch", "--", "true") == (2, "", message)


def test_an_interpreter_that_is_absent(tmp_path: Path) -> None:
    path = script(tmp_path, "#!/no/such/interpreter\n")
    message = "No such file or directory: its interpreter /no/such/interpreter isn't there"
    assert run("run", "--", str(path)) == (127, "", f"procession: {path}: {message}\n")


def test_a_loader_that_is_absent(tmp_path: Path, c_compiler: list[str]) -> None:
    source = tmp_path / "program.c"
    source.write_text("int main(void) { return 0; }\n")
    program = tmp_path / "program"
    loader = "-Wl,--dynamic-linker=/lib/no-such-loader.so"
    subprocess.run([*c_compiler, loader, "-o", str(program), str(source)], check=True)
    message = "No such file or directory: its interpreter /lib/no-such-loader.so isn't there"
    assert run("run", "--", str(program)) == (127, "", f"procession: {program}: {message}\n")


@pytest.mark.parametrize("arguments", [("run", "--", "echo", "hi"), ("--help",), ("syscalls",)])
def test_a_stdout_that_is_closed(arguments: tuple[str, ...]) -> None:
    assert run(*arguments, shell=">&-") == (2, "", "procession: standard output is closed\n")


@pytest.mark.heavy
def test_other_streams_may_be_closed() -> None:
    assert run("run", "--", "cat", shell="<&-") == (0, "", "")
    assert run("run", "--", "sh", "-c", "echo lost >&2; echo hi", shell="2>&-") == (0, "hi\n", "")


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",), ("syscalls",)])
def test_a_stdout_that_is_full(arguments: tuple[str, ...]) -> None:
    message = "procession: can't write to standard output: No space left on device\n"
    assert run(*arguments, shell=">/dev/full") == (1, "", message)


@pytest.mark.heavy
def test_a_programs_output_that_is_lost() -> None:
    message = "procession: can't write the program's output: No space left on device\n"
    assert run("run", "--", "echo", "hi", shell=">/dev/full") == (1, "", message)
    assert run("run", "--", "sh", "-c", "echo hi; exit 7", shell=">/dev/full") == (7, "", message)


@pytest.mark.parametrize("how", first_of(1, ["", "--json", "--summary", "--states", "--graph=wait"]))
def test_a_trace_that_is_lost(how: str) -> None:
    message = "procession: the trace is incomplete: No space left on device\n"
    command = ["trace", "-o", "/dev/full", how] if how else ["run", "--trace=/dev/full"]
    script = "(echo hi); exit"
    assert run(*command, "--", "sh", "-c", script) == (1, "hi\n", message)
    assert run(*command, "--", "sh", "-c", f"{script} 3") == (3, "hi\n", message)


def test_who_reads_stderr_is_gone() -> None:
    """Nobody can be told then, but by the status."""
    assert run("run", "--trace", "--", "echo", "hi", shell="2>/dev/full") == (1, "hi\n", "")
    assert run("run", "--cwd", "/nosuch", "--", "true", shell="2>/dev/full") == (2, "", "")


@pytest.mark.parametrize("limit", ["nan", "inf", "NaN"])
def test_a_time_limit_that_is_no_time(limit: str) -> None:
    message = f"procession: invalid value for '--time-limit': '{limit}' isn't a number of seconds\n"
    assert run("run", "--time-limit", limit, "--", "true") == (2, "", message)
