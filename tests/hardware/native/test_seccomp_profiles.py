"""Containers' seccomp profiles: the native engine works under them, or says in one line why it doesn't."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from procession.hardware.engines.native.availability import why_unavailable
from tests.conftest import PROJECT
from tests.of_a_kind import first_of

REASON = why_unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native engine on this host: {REASON}")
RUN = """
import sys
from procession import Machine
from procession.hardware.engines import tiered
tiered.PROMOTION_UNITS = 2_000
machine = Machine(engine="auto")
result = machine.run(["/bin/sh", "-c", "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo $i"])
print(result.status, result.stdout, machine.engine.hot is not None, machine.why_slow)
"""
REFUSED = {
    "": "",
    "memfd_create": "the host refused what stubs share: Operation not permitted",
    "seccomp": "the host refused a stub its seccomp",
    "setpgid": "no process can be started from memory: Operation not permitted",
    "close_range": "the host refused a stub its close_range",
    "eventfd2": "the host refused what stubs share: Operation not permitted",
    "prctl": "the host refused a stub its prctl",
    "sigaltstack": "the host refused a stub its sigaltstack",
}


@pytest.mark.parametrize("refused", first_of(1, REFUSED))
def test_under_a_profile(refused: str, tmp_path: Path) -> None:
    """What works hard runs on the native engine, or on the other one with the reason why."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("under_filter.py")),
        refused,
        sys.executable,
        "-c",
        RUN,
    ]
    found = subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stderr == ""
    assert found.stdout == f"0 b'3000\\n' {not refused} {REFUSED[refused]}\n"
