"""Which of a test's many cases the default check has."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

IS_FULL = "PROCESSION_FULL_CHECK" in os.environ
"""Whether `scripts/check --full` runs the tests."""


def examples(count: int) -> int:
    """How many of a property's `count` generated cases are tried: all of them in a full check.

    Cases are the same in each run; the default check has the first eighth of them.
    """
    return count if IS_FULL else count // 8


def first_of(count: int, cases: Iterable[Any]) -> list[Any]:
    """`cases` as a test's parameters. Those after the first `count` are heavy: they show the same again."""
    return [
        case if number < count else pytest.param(*as_values(case), marks=pytest.mark.heavy)
        for number, case in enumerate(cases)
    ]


def some_of(cases: list[Any]) -> list[Any]:
    """`cases` that are alike, such as an opcode with each operand: in the default check each seventh.

    As operands come in powers of two, that meets each of them with some opcode.
    """
    return cases if IS_FULL else cases[::7]


def heavy(case: Any) -> Any:
    """`case` as a parameter that the default check leaves out."""
    return pytest.param(*as_values(case), marks=pytest.mark.heavy)


def as_values(case: Any) -> tuple[Any, ...]:
    """A tuple is the values of several parameters."""
    return case if isinstance(case, tuple) else (case,)
