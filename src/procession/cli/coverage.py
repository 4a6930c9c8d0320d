"""`procession syscalls`: which of Linux's system calls are built, read from their declarations."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import sys
from functools import cache
from pathlib import Path

import procession.syscalls
from procession.abi.named_tuple import NamedTuple
from procession.abi.syscall_numbers import NAMES
from procession.syscalls.declaration import TABLE, SystemCall

NOT_BUILT = "ENOSYS"


class Coverage(NamedTuple):
    """What becomes of one system call.

    `answer` is None when it's built, else the errno that it always gives; `module` is where it's declared,
    None when it isn't.
    """

    number: int
    name: str
    answer: str | None
    module: str | None

    @property
    def is_built(self) -> bool:
        """Whether the call does anything but fail."""
        return self.answer is None


def coverage() -> list[Coverage]:
    """All system calls of x86-64 in the order of their numbers."""
    for module in pkgutil.iter_modules(procession.syscalls.__path__, "procession.syscalls."):
        importlib.import_module(module.name)
    calls: list[Coverage] = []
    for number, name in sorted(NAMES.items()):
        call = TABLE[number]
        if call is None:
            calls.append(Coverage(number, name, NOT_BUILT, None))
        else:
            calls.append(Coverage(number, call.name, constant_answer(call), call.handler.__module__))
    return calls


def constant_answer(call: SystemCall) -> str | None:
    """The errno of a call whose whole body is to raise it, None for others."""
    place = sys.modules[call.handler.__module__].__file__
    assert place is not None
    # A compiled module lies beside its source.
    source = Path(place).with_name(f"{Path(place).name.partition('.')[0]}.py")
    function = functions_in(source)[call.handler.__name__]
    statements = [statement for statement in function.body if not is_docstring(statement)]
    if len(statements) != 1 or not isinstance(statements[0], ast.Raise):
        return None
    raised = statements[0].exc
    if isinstance(raised, ast.Call):
        raised = raised.func
    if isinstance(raised, ast.Name) and raised.id.startswith("E"):
        return raised.id
    return None


@cache
def functions_in(source: Path) -> dict[str, ast.FunctionDef]:
    """The functions that a module defines."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def is_docstring(statement: ast.stmt) -> bool:
    """Whether `statement` is a mere string."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def coverage_as_text() -> str:
    """One line for each call: number, name, `built` or the errno, module."""
    return "".join(
        f"{call.number:3}  {call.name:<24} {call.answer or 'built':<12} {call.module or ''}".rstrip() + "\n"
        for call in coverage()
    )


def coverage_as_json() -> str:
    """A list of objects with number, name, is_built, answer and module."""
    calls = [
        {
            "number": call.number,
            "name": call.name,
            "is_built": call.is_built,
            "answer": call.answer,
            "module": call.module,
        }
        for call in coverage()
    ]
    return json.dumps(calls, indent=2) + "\n"


def coverage_as_markdown() -> str:
    """The page docs/coverage.md."""
    calls = coverage()
    built = sum(call.is_built for call in calls)
    lines = [
        "# System calls",
        "",
        f"{built} of {len(calls)} system calls of x86-64 are built. The others answer the errno given here,",
        "as a Linux does that was configured without them. Written by `procession syscalls --markdown`.",
        "",
        "| Number | Call | Answer | Declared in |",
        "| ---: | --- | --- | --- |",
    ]
    lines += [
        f"| {call.number} | `{call.name}` | {call.answer or 'built'} | {module_cell(call.module)} |"
        for call in calls
    ]
    return "\n".join(lines) + "\n"


def module_cell(module: str | None) -> str:
    """The file of `module`, from `src/procession` down."""
    return "" if module is None else f"`{module.removeprefix('procession.').replace('.', '/')}.py`"
