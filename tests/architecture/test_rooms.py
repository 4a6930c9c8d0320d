"""Checks that the rooms inside a layer import one way, and that names of files don't repeat their room's."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import PACKAGE, nodes, sources

ROOMS = {
    "kernel": (
        ("bpf", "security"),
        ("time",),
        ("sched", "signal"),
        ("futex", "timers"),
        ("program",),
        ("ipc",),
        ("cgroup", "dump", "namespaces", "ptrace", "userfault"),
        ("waits",),
    ),
    "fs": (("mounts",), ("overlayfs", "terminal")),
    "net": (("link",), ("internet", "unix"), ("netlink", "packet", "tun"), ("diag", "netfilter")),
}
"""The rooms of each layer: each imports from those before it, and not from those beside it."""
EXCEPTIONS = {
    # A change of priority goes on to whoever holds a lock that the task waits for (rt_mutex_adjust_pi).
    ("kernel.sched.priority", "kernel.futex.pi"),
    # A slice ends where a timer of the task's processor time does.
    ("kernel.sched.core", "kernel.timers.interval"),
}
MOST_IMPORTS_INSIDE = 180
"""How many imports stand inside functions: they keep what few need from every start, or break a cycle."""
FEWEST_LETTERS = 4
"""Shorter names of rooms, as `ipc`, are in many words."""


def imports() -> Iterator[tuple[str, str]]:
    """Pairs of modules, the importing one first; imports for the type checker alone don't count."""
    for name, _, tree in sources():
        module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        typing = {
            child
            for node in nodes(tree, ast.If)
            if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            for child in ast.walk(node)
        }
        for node in nodes(tree, ast.ImportFrom):
            if node not in typing and (node.module or "").startswith("procession."):
                for alias in node.names:
                    source = f"{node.module}.{alias.name}".removeprefix("procession.")
                    is_module = (PACKAGE / f"{source.replace('.', '/')}.py").exists()
                    yield module, source if is_module else source.rpartition(".")[0]


def rank(module: str) -> tuple[str, int, str] | None:
    layer, _, rest = module.partition(".")
    room, dot, _ = rest.partition(".")
    for position, rooms in enumerate(ROOMS.get(layer, ())):
        if dot and room in rooms:
            return layer, position, room
    return None


def test_rooms_import_one_way() -> None:
    wrong = []
    for module, source in imports():
        mine, other = rank(module), rank(source)
        if mine is None or other is None or mine[0] != other[0] or mine[2] == other[2]:
            continue
        if other[1] >= mine[1] and (module, source) not in EXCEPTIONS:
            wrong.append(f"{module} imports {source}")
    assert sorted(set(wrong)) == []


def test_every_room_has_a_place() -> None:
    for layer, order in ROOMS.items():
        found = {path.name for path in (PACKAGE / layer).iterdir() if (path / "__init__.py").exists()}
        assert found == {room for rooms in order for room in rooms}, layer


def test_imports_stand_at_the_top() -> None:
    inside = {
        (name, node.lineno)
        for name, _, tree in sources()
        for function in nodes(tree, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert len(inside) <= MOST_IMPORTS_INSIDE


def test_files_do_not_repeat_the_names_of_their_rooms() -> None:
    repeating = [
        path.relative_to(PACKAGE).as_posix()
        for layer in ROOMS
        for path in (PACKAGE / layer).glob("*/*.py")
        if len(path.parent.name) >= FEWEST_LETTERS and path.stem.startswith(path.parent.name)
    ]
    assert repeating == []
