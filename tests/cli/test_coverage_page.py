"""docs/coverage.md is what the declarations say."""

from __future__ import annotations

from pathlib import Path

from procession.abi.errno import EPERM
from procession.cli.coverage import constant_answer, coverage_as_markdown
from procession.syscalls.declaration import SystemCall

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"


def always_eperm() -> int:
    """A call that is declared and always fails."""
    raise EPERM("always")


def works() -> int:
    """A call that may fail."""
    if PAGE.exists():
        raise EPERM
    return 0


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == coverage_as_markdown(), (
        "run: .venv/bin/procession syscalls --markdown > docs/coverage.md"
    )


def test_a_call_that_can_only_fail_counts_as_not_built() -> None:
    assert constant_answer(SystemCall(500, "always_eperm", always_eperm)) == "EPERM"
    assert constant_answer(SystemCall(500, "works", works)) is None
