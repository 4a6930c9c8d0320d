"""Checks what the compiler of Python refuses and mypy does not see (CONTRIBUTING.md, on compiled code)."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.sources import PACKAGE, nodes, sources

BASES_THAT_DONT_COUNT = {"ABC", "Generic", "Protocol"}


def builder() -> ModuleType:
    """`hatch_build.py`, which has the list of what is compiled."""
    path = PACKAGE.parents[1] / "hatch_build.py"
    spec = importlib.util.spec_from_file_location("hatch_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refused_in_class(definition: ast.ClassDef) -> Iterator[tuple[int, str]]:
    bases = {
        ast.unparse(base.value if isinstance(base, ast.Subscript) else base) for base in definition.bases
    }
    if len(bases - BASES_THAT_DONT_COUNT) > 1:
        yield definition.lineno, "several bases"
    for statement in definition.body:
        if isinstance(statement, ast.Assign) and not all(
            isinstance(target, ast.Name) for target in statement.targets
        ):
            yield statement.lineno, "an assignment to more than a name in a class"
        elif isinstance(statement, ast.For | ast.While | ast.With | ast.Try):
            yield statement.lineno, "a statement in a class"


def imported_names(statements: list[ast.stmt]) -> Iterator[tuple[str, str | None]]:
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            yield from ((name.asname or name.name, statement.module) for name in statement.names)


def fields_without_a_class(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Fields of named tuples whose class may not be there when the tuple's is made."""
    at_run_time = {module for _, module in imported_names(tree.body)}
    for_types = {
        name
        for statement in tree.body
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
        for name, module in imported_names(statement.body)
        if module not in at_run_time
    }
    if not for_types:
        return
    for node in nodes(tree, ast.ClassDef):
        if "NamedTuple" in map(ast.unparse, node.bases):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and ast.unparse(field.annotation) in for_types:
                    yield field.lineno, "a field whose class is imported for type checking alone"


def indexed_by_slices(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Values that are read by a slice that has a name: compiled, bytes take a number there."""
    named = {
        name.id
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        and any(ast.unparse(call.func) == "slice" for call in nodes(statement, ast.Call))
        for target in statement.targets
        for name in nodes(target, ast.Name)
    }
    for subscript in nodes(tree, ast.Subscript):
        index = subscript.slice
        if isinstance(index, ast.Name) and index.id in named and isinstance(subscript.ctx, ast.Load):
            yield subscript.lineno, "bytes that are read by a slice that has a name"


def jumps_out_of_cleanup(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """`continue` and `break` of a loop around a `with`, or around a `try` that has a `finally`."""
    cleaning: list[ast.stmt] = [*nodes(tree, ast.With)]
    cleaning += [each for each in nodes(tree, ast.Try) if each.finalbody]
    for block in cleaning:
        waiting: list[ast.AST] = [block]
        while waiting:
            inner = waiting.pop()
            if isinstance(inner, ast.Continue | ast.Break):
                yield inner.lineno, "a jump out of a block with a cleanup to a loop around it"
            elif not isinstance(inner, ast.For | ast.While | ast.FunctionDef):
                waiting += ast.iter_child_nodes(inner)


def refused(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What of a module can't be compiled: lines, and why."""
    yield from fields_without_a_class(tree)
    yield from indexed_by_slices(tree)
    yield from jumps_out_of_cleanup(tree)
    for definition in nodes(tree, ast.ClassDef):
        yield from refused_in_class(definition)
    for call in nodes(tree, ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "__new__":
            yield call.lineno, "a call of __new__"
    for constant in nodes(tree, ast.Constant):
        if constant.value == "__weakref__":
            yield constant.lineno, "a class whose objects are referred to weakly"
    for attribute in nodes(tree, ast.Attribute):
        if attribute.attr == "__slots__":
            yield attribute.lineno, "a look at __slots__"
    for comparison in nodes(tree, ast.Compare):
        if any(isinstance(how, ast.In | ast.NotIn) for how in comparison.ops):
            for where in comparison.comparators:
                if isinstance(where, ast.Tuple) and any(isinstance(item, ast.Starred) for item in where.elts):
                    yield comparison.lineno, "a tuple with a starred part after `in`"
    for star in nodes(tree, ast.MatchStar):
        if star.name is not None:
            # Compiled, it's a part of the subject as it is: a tuple where a list is meant.
            yield star.lineno, "a starred name in a pattern"


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    x, y = 1, 2",
        "class A(B, C): pass",
        "class A(B[int], Generic[T], C): pass",
        "class A:\n    for x in y: pass",
        "a = A.__new__(A)",
        "names = kind.__slots__",
        "class A:\n    __slots__ = ('__weakref__', 'b')",
        "b = c in (*D, e)",
        "match a:\n    case (b, *c): pass",
        "A, B = slice(1, 2), slice(3)\nc = d[B]",
        "if TYPE_CHECKING:\n    from a import B\nclass C(NamedTuple):\n    d: B",
        "for a in b:\n    with c:\n        if d:\n            continue",
        "while a:\n    try:\n        break\n    finally:\n        b()",
    ],
)
def test_what_is_refused_is_found(text: str) -> None:
    assert list(refused(ast.parse(text)))


def test_compiled_modules_have_nothing_that_the_compiler_refuses() -> None:
    compiled = {
        path.relative_to("procession").as_posix()
        for path in builder().modules_to_compile(Path(PACKAGE.parent))
    }
    assert len(compiled) > 300
    found = [
        f"{source.name}:{line}: {why}"
        for source in sources()
        if source.name in compiled
        for line, why in refused(source.tree)
    ]
    assert not found
