"""Malformed programs give the errno or the signal that Linux gives, and never an error of the kernel."""

from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession import Machine
from tests.programs.conftest import TIME_LIMIT_S, MakeMachine
from tests.programs.elf_case import all_cases, elf, with_segment
from tests.programs.native_linux import NativeLinux
from tests.programs.program_script import DIRECTORY, ENVIRONMENT

RECORDED = Path(__file__).resolve().parent / "malformed_elf.out"

# Runs every file of a tar archive on stdin and says how each ended; a timer ends those that don't end.
RUNNER = """
import os, signal, sys
os.mkdir("cases")
os.chdir("cases")
assert os.system("tar xf -") == 0
for name in sorted(os.listdir(".")):
    pid = os.fork()
    if pid == 0:
        try:
            signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
            os.execv("./" + name, [name])
        except OSError as error:
            os.write(1, f"{name}: {error.strerror}\\n".encode())
            os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        print(f"{name}: signal {os.WTERMSIG(status)}", flush=True)
    else:
        print(f"{name}: status {os.WEXITSTATUS(status)}", flush=True)
print("all done")
"""


def runner(limit_s: float) -> list[str]:
    """Return the command that runs the cases, each for at most `limit_s`."""
    return ["/usr/bin/python3", "-I", "-S", "-c", RUNNER, str(limit_s)]


def archive(cases: dict[str, bytes]) -> bytes:
    """Return a tar archive of executable files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, contents in cases.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            info.mode = 0o755
            tar.addfile(info, io.BytesIO(contents))
    return buffer.getvalue()


def test_malformed_programs(make_machine: MakeMachine) -> None:
    machine = make_machine()
    result = machine.run(runner(0.002), stdin=archive(all_cases()), time_limit_s=TIME_LIMIT_S)
    assert result.stderr == b""
    assert result.stdout.decode() == RECORDED.read_text()


# What Linux says of the oddest files has changed from release to release.
@pytest.mark.heavy
def test_malformed_programs_on_linux(native_linux: NativeLinux) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may map the lowest addresses")
    outcome = native_linux.run(runner(0.5), archive(all_cases()))
    assert outcome.stdout.decode() == expected_on(Path("/proc/cpuinfo").read_text())


def expected_on(cpuinfo: str) -> str:
    """Return what is recorded, from a processor without protection keys, for one with these flags.

    With them Linux lets nobody read what is mapped to be executed alone: that program can't write its text.
    """
    recorded = RECORDED.read_text()
    if not re.search(r"^flags\b.* ospke\b", cpuinfo, re.MULTILINE):
        return recorded
    execute_only = "text-flags-1: status 0\n"
    assert f"ok\n{execute_only}" in recorded
    return recorded.replace(f"ok\n{execute_only}", execute_only)


@pytest.mark.parametrize("pid1", [False, True])
def test_machine_s_program_that_can_not_be_laid_out(tmp_path: Path, *, pid1: bool) -> None:
    """It is past the point of no return when that shows, so it starts, and is killed."""
    program = tmp_path / "program"
    program.write_bytes(with_segment(2, memory_size=1 << 46))
    program.chmod(0o755)
    machine = Machine(rootfs=tmp_path)
    try:
        result = machine.run(["/program"], pid1=pid1)
    finally:
        machine.close()
    assert (result.status, result.signal, result.reason) == (139, 11, "")


def run_all(tree: Path, cases: dict[str, bytes]) -> None:
    """Run files in a machine of their own, which must say something of each and go on."""
    machine = Machine(rootfs=tree, environment=ENVIRONMENT, cwd=DIRECTORY)
    try:
        result = machine.run(runner(0.002), stdin=archive(cases), time_limit_s=TIME_LIMIT_S)
        assert result.stdout.endswith(b"all done\n"), result
        lines = [line for line in result.stdout.splitlines() if line.partition(b": ")[0].decode() in cases]
        assert len(lines) >= len(cases)
    finally:
        machine.close()


def flipped(contents: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Return `contents` with each of these bytes replaced; positions count from the start again."""
    data = bytearray(contents)
    for position, value in changes:
        data[position % len(data)] = value
    return bytes(data)


# Most of the header's bytes, and some of the rest.
POSITIONS = st.one_of(st.integers(0, 64 + 56 * 3), st.integers(0, 1 << 16))
CHANGES = st.lists(st.tuples(POSITIONS, st.integers(0, 255)), min_size=1, max_size=4)


class TestFlippedBytes:
    """Bytes changed at random, in a small static program and in a dynamic one."""

    @pytest.mark.heavy
    @settings(max_examples=2)
    @given(st.lists(CHANGES, min_size=30, max_size=50))
    def test_static(self, guest_root: Path, flips: list[list[tuple[int, int]]]) -> None:
        cases = {f"flip-{index:03}": flipped(elf(), changes) for index, changes in enumerate(flips)}
        run_all(guest_root, cases)

    @pytest.mark.heavy
    @settings(max_examples=3)
    @given(st.lists(CHANGES, min_size=20, max_size=30))
    def test_dynamic(self, guest_root: Path, flips: list[list[tuple[int, int]]]) -> None:
        program = (guest_root / "usr/bin/true").read_bytes()
        cases = {f"flip-{index:03}": flipped(program, changes) for index, changes in enumerate(flips)}
        run_all(guest_root, cases)

    @pytest.mark.heavy
    @pytest.mark.timeout(1200)
    @pytest.mark.parametrize("name", ["true", "echo", "ldd", "../lib64/ld-linux-x86-64.so.2"])
    @settings(max_examples=25)
    @given(st.lists(CHANGES, min_size=50, max_size=100))
    def test_many(self, guest_root: Path, name: str, flips: list[list[tuple[int, int]]]) -> None:
        program = (guest_root / "usr/bin" / name).read_bytes()
        cases = {f"flip-{index:03}": flipped(program, changes) for index, changes in enumerate(flips)}
        run_all(guest_root, cases)
