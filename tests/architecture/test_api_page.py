"""The page of the library names every attribute of a task, every call of a machine, and tells the truth."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import re
from pathlib import Path

from procession import Machine
from procession.inspection import event

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "api.md").read_text()
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def first_column(title: str) -> list[str]:
    """The code in the first column of the table under a heading."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)", cell)]


def attributes_of(source: Path, class_name: str) -> set[str]:
    """The slots and properties of a class, from its text: a compiled class has no slots to ask for."""
    found: set[str] = set()
    for node in ast.parse(source.read_text()).body:
        if not isinstance(node, ast.ClassDef) or node.name != class_name:
            continue
        for statement in node.body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__slots__":
                found |= set(ast.literal_eval(statement.value))
            elif isinstance(statement, ast.FunctionDef) and any(
                ast.unparse(decorator) == "property" for decorator in statement.decorator_list
            ):
                found.add(statement.name)
    return found


def test_every_attribute_of_a_task_is_described() -> None:
    described = first_column("A task")
    assert len(described) == len(set(described))
    expected = attributes_of(PROJECT / "src/procession/kernel/task.py", "Task")
    assert set(described) == expected, f"docs/api.md, A task: {set(described) ^ expected}"


def test_every_call_of_a_machine_is_described() -> None:
    described = {
        name
        for title in ("Running", "Stepping and stopping", "Looking", "Files")
        for name in first_column(title)
    }
    calls = {name for name in dir(Machine) if not name.startswith("_")}
    assert calls <= described, f"docs/api.md: {calls - described}"


def test_every_event_and_its_fields_are_described() -> None:
    for name in first_column("Events"):
        kind = getattr(event, name)
        (row,) = re.findall(rf"^\| `{name}` \| (.*)\|$", PAGE, re.MULTILINE)
        assert re.findall(r"`(\w+)`", row) == list(kind._fields[3:]), name
    assert set(first_column("Events")) == {kind.__name__ for kind in event.Event.__args__}


def test_the_examples_print_what_stands_below_them(guest_root: Path) -> None:
    examples = EXAMPLE.findall(PAGE)
    assert len(examples) == 3
    names = {"Machine": functools.partial(Machine, rootfs=guest_root)}
    for code, output in examples:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(code.replace("from procession import Machine\n", ""), names)
        assert shown.getvalue() == output
