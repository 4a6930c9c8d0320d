"""Checks that process ids are looked up and said through a pid namespace alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import sources

NUMBERS_FROM_OUTSIDE = {"tid", "tgid", "global_number"}
"""What says the number in the machine's first namespace; `pid.numbers` has those for all readers."""
LAYERS = ("fs/", "net/", "kernel/", "procfs/", "syscalls/")
WHO_WATCHES_FROM_OUTSIDE = {
    "kernel/pid.py",
    "kernel/task.py",
    # Patterns of core files ask for these numbers: %P and %I.
    "kernel/dump/pattern.py",
    # Numbers of objects in a digest.
    "kernel/state_hash.py",
}
TABLE = "by_number"
OWNERS_OF_THE_TABLE = {"kernel/pid.py", "kernel/namespaces/pid.py", "procfs/file_system.py"}


def attributes(tree: ast.AST, *, is_message: bool = False) -> Iterator[tuple[ast.Attribute, bool]]:
    """All attributes in `tree`, and whether each is in the text of a message or told to the observer."""
    for node in ast.iter_child_nodes(tree):
        told = is_message or isinstance(node, ast.JoinedStr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            told = told or node.func.attr == "task_event"
        if isinstance(node, ast.Attribute):
            yield node, told
        yield from attributes(node, is_message=told)


def problems_in(name: str, text: str, tree: ast.Module) -> list[str]:
    """Where the source file `name` makes a number for nobody in particular, or looks one up by itself."""
    problems = []
    lines = text.splitlines()
    for node, is_message in attributes(tree):
        if node.attr not in NUMBERS_FROM_OUTSIDE | {"numbers", TABLE}:
            continue
        written = ast.unparse(node)
        is_for_all = written.endswith("pid.numbers") and "[-1]" not in lines[node.lineno - 1]
        if (
            (node.attr in NUMBERS_FROM_OUTSIDE or is_for_all)
            and not is_message
            and name not in WHO_WATCHES_FROM_OUTSIDE
            and not name.startswith("kernel/waits/")
        ):
            problems.append(f"{name}:{node.lineno}: {written}")
        if node.attr == TABLE and name not in OWNERS_OF_THE_TABLE:
            problems.append(f"{name}:{node.lineno}: {written}")
    return problems


def test_numbers_are_made_for_a_reader() -> None:
    problems = []
    for source in sources():
        if source.name.startswith(LAYERS):
            problems += problems_in(*source)
    assert not problems, "\n".join(problems)


def problems_found(name: str, text: str) -> list[str]:
    return problems_in(name, text, ast.parse(text))


def test_what_the_check_finds() -> None:
    assert problems_found("syscalls/x.py", "def f(task):\n    return task.tid\n") == [
        "syscalls/x.py:2: task.tid"
    ]
    assert problems_found("kernel/x.py", "x = space.by_number.get(7)\n") == ["kernel/x.py:1: space.by_number"]
    assert problems_found("fs/x.py", "y = pid.numbers[0]\n") == ["fs/x.py:1: pid.numbers"]
    assert not problems_found("kernel/x.py", 'raise ESRCH(f"no task {task.tid}")\n')
    assert not problems_found("kernel/x.py", "y = pid.numbers[-1]\n")
