"""Compilers, make, git, archivers, Python's multiprocessing and others give the output that Linux gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs.conftest import RunProgram
from tests.programs.native_linux import NativeLinux
from tests.programs.program_script import DEVELOPMENT_SCRIPTS, Outcome, ProgramScript, all_scripts

pytestmark = pytest.mark.heavy

every_script = pytest.mark.parametrize(
    "script", [pytest.param(script, id=script.path.name) for script in all_scripts(DEVELOPMENT_SCRIPTS)]
)


@pytest.mark.timeout(600)
@every_script
def test_script_in_procession(script: ProgramScript, run_program: RunProgram, development_root: Path) -> None:
    result = run_program(script.argv, rootfs=development_root)
    assert result.reason == ""
    outcome = Outcome(result.status, result.stdout, result.stderr)
    assert str(outcome) == script.recorded.read_text("latin-1")


@every_script
def test_script_on_linux(
    script: ProgramScript, native_linux: NativeLinux, development_root: Path, tmp_path: Path
) -> None:
    assert str(NativeLinux(development_root, tmp_path).run(script.argv)) == script.recorded.read_text(
        "latin-1"
    )
