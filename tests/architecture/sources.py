"""The package's sources, parsed once for all checks of them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from procession.cli.starting import starting

Node = TypeVar("Node", bound=ast.AST)

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "procession"


class Source(NamedTuple):
    """A file: `name` from the package's directory on, its `text`, and the `tree` of its statements."""

    name: str
    text: str
    tree: ast.Module


def nodes(tree: ast.AST, kind: type[Node]) -> Iterator[Node]:
    """All of a kind in `tree`, which is walked through once whoever asks: most look for a few kinds."""
    for node in _by_kind(tree).get(kind, ()):
        assert isinstance(node, kind)
        yield node


@functools.cache
def _by_kind(tree: ast.AST) -> dict[type[ast.AST], list[ast.AST]]:
    kinds: dict[type[ast.AST], list[ast.AST]] = {}
    for node in ast.walk(tree):
        kinds.setdefault(type(node), []).append(node)
    return kinds


@functools.cache
def sources() -> tuple[Source, ...]:
    """All files of the package, by their names."""
    texts = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
    # Millions of objects that stay, which Python's collector would go through again and again.
    with starting():
        return tuple(Source(name, text, ast.parse(text)) for name, text in texts.items())
