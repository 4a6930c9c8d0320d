"""The package's sources, parsed once for all checks of them."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "procession"


class Source(NamedTuple):
    """A file: `name` from the package's directory on, its `text`, and the `tree` of its statements."""

    name: str
    text: str
    tree: ast.Module


@functools.cache
def sources() -> tuple[Source, ...]:
    """All files of the package, by their names."""
    texts = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
    return tuple(Source(name, text, ast.parse(text)) for name, text in texts.items())
