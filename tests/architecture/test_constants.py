"""Checks that a number of Linux's interface is written down once: in `abi/`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import sources

# Names that two things share: the echo request of ICMP and a terminal's ECHO.
OTHER_THINGS = {("net/internet/icmp.py", "ECHO")}


def literal_constants(body: list[ast.stmt]) -> Iterator[tuple[str, int, int]]:
    """The names that are bound to numbers written out: name without its underscore, value and line."""
    for node in body:
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            pairs: list[tuple[ast.expr, ast.expr]] = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for name, value in pairs:
                number = literal(value)
                if isinstance(name, ast.Name) and number is not None:
                    yield name.id.lstrip("_"), number, node.lineno


def literal(node: ast.expr) -> int | None:
    """The number that an expression writes out, also as -1 or 1 << 4; None for anything else."""
    if any(isinstance(part, ast.Name | ast.Attribute | ast.Call) for part in ast.walk(node)):
        return None
    try:
        value = eval(compile(ast.Expression(node), "a constant", "eval"), {"__builtins__": {}})
    except (TypeError, ValueError, ArithmeticError, SyntaxError):
        return None
    return value if type(value) is int else None


def declared() -> dict[str, set[int]]:
    """The numbers of `abi/` by name, those of its classes too."""
    numbers: dict[str, set[int]] = {}
    for source in sources():
        if source.name.startswith("abi/"):
            bodies = [source.tree.body, *(n.body for n in source.tree.body if isinstance(n, ast.ClassDef))]
            for body in bodies:
                for name, number, _ in literal_constants(body):
                    numbers.setdefault(name, set()).add(number)
    return numbers


def test_a_constant_of_the_interface_is_defined_once() -> None:
    known = declared()
    again = [
        f"{source.name}:{line}: {name} = {number} stands in abi/"
        for source in sources()
        if not source.name.startswith("abi/")
        for name, number, line in literal_constants(source.tree.body)
        if number in known.get(name, ()) and (source.name, name) not in OTHER_THINGS
    ]
    assert not again, "\n".join(again)


def test_written_out_numbers_are_recognised() -> None:
    module = ast.parse("_SIGKILL = 9\nA, B = -1, 1 << 4\nC = int(Signal.SIGKILL)\nD = [1]\nE = True")
    assert [(name, number) for name, number, _ in literal_constants(module.body)] == [
        ("SIGKILL", 9),
        ("A", -1),
        ("B", 16),
    ]
    assert declared()["SIGKILL"] == {9}
