"""Checks that the layers of the package import one way only, as pyproject.toml declares them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hatch_build import COMPILED_LAYERS

PROJECT = Path(__file__).resolve().parents[2]


def test_import_contracts_are_kept() -> None:
    lint_imports = Path(sys.executable).parent / "lint-imports"
    command = [str(lint_imports), str(PROJECT / "pyproject.toml"), "--no-cache"]
    result = subprocess.run(
        command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_compiled_layers_make_no_enumerations_of_abis_kind() -> None:
    makers = [
        path.relative_to(PROJECT).as_posix()
        for layer in COMPILED_LAYERS
        for path in (PROJECT / "src" / "procession" / layer).rglob("*.py")
        if "from procession.abi.enumeration import" in path.read_text()
    ]
    assert makers == [], "mypyc can't compile such classes: take the standard library's enum"
