"""The native engine: programs run in stub processes, of which none is left however the machine ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.engines.native.engine import why_unavailable
from tests.conftest import PROJECT
from tests.guest.compile_c import FLAGS

REASON = why_unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native engine on this host: {REASON}")
ENDLESS = """
import sys
from procession import Machine
machine = Machine(engine="native")
machine.start(["/bin/sh", "-c", "while :; do :; done"])
print("running", flush=True)
while machine.step():
    pass
"""


def build(c_compiler: list[str], directory: Path, source: str) -> str:
    """The path of a program made from C."""
    (directory / "program.c").write_text(source)
    program = directory / "program"
    subprocess.run([*c_compiler, *FLAGS, "-o", program, directory / "program.c"], check=True)
    return str(program)


def stubs_of(pid: int) -> list[int]:
    """The host's pids of the stubs that a process has started."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def test_runs_programs(c_compiler: list[str], tmp_path: Path) -> None:
    """What a program prints and how it ends are the same as on the other engine."""
    program = build(
        c_compiler,
        tmp_path,
        """
        #include <stdio.h>
        int main(int argc, char **argv) {
            double sum = 0;
            for (int i = 1; i < 1000; i++)
                sum += 1.0 / i / argc;
            printf("%s %.12f\\n", argv[1], sum);
            return 7;
        }
        """,
    )
    results = [Machine(engine=engine).run([program, "x"]) for engine in ("unicorn", "native")]
    assert results[1].stdout == b"x 3.742235430275\n"
    assert results[1].status == 7
    assert results[0].stdout == results[1].stdout


def test_no_stub_outlives_its_machine() -> None:
    """Closed, it has no stubs any more."""
    before = stubs_of(os.getpid())
    machine = Machine(engine="native")
    machine.start(["/bin/sh", "-c", "while :; do :; done"])
    for _ in range(20):
        machine.step()
    assert len(stubs_of(os.getpid())) > len(before)
    machine.close()
    assert stubs_of(os.getpid()) == before


def test_no_stub_outlives_its_machines_process() -> None:
    """Killed while its guest runs, the machine's process takes the stubs with it."""
    process = subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, cwd=PROJECT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    deadline = time.monotonic() + 30
    while not (stubs := stubs_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stubs
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    while (left := [pid for pid in stubs if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
