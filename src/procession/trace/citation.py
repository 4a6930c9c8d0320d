"""Citations of Linux's source in docstrings and comments: `Linux: kernel/exit.c, do_wait`."""

from __future__ import annotations

import re
from types import CodeType

from procession.abi.named_tuple import NamedTuple

_FILE = r"(?:[\w-]+/)+[\w.-]+\.[chS]"
_SYMBOL = r"(?:struct |enum |union )?[A-Za-z_]\w*(?:\([a-z_0-9]+\))?"
_PLACE = rf"{_FILE}(?:, {_SYMBOL})*"
CITATION = re.compile(rf"Linux: (?P<places>{_PLACE}(?:; {_PLACE})*)(?![\w/])")
"""The one form of a citation: files, each with symbols in it.

A symbol is a name, `struct name`, or `SYSCALL_DEFINE3(name)` as Linux writes the function of a system call.
"""
_WORDS = re.compile(r"\s*\n[ \t]*(?:#[ \t]*)?|[ \t]+")


class Citation(NamedTuple):
    """A file of Linux's source, as a path in it, and the symbols there that are meant."""

    file: str
    symbols: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join((self.file, *self.symbols))


def citations_in(text: str) -> list[Citation]:
    """What `text`, a docstring or a comment, cites of Linux, in its order."""
    found = []
    for match in CITATION.finditer(_WORDS.sub(" ", text)):
        for place in match["places"].split("; "):
            file, *symbols = place.split(", ")
            found.append(Citation(file, tuple(symbols)))
    return found


def citations_of(code: CodeType) -> list[Citation]:
    """What the docstring of a function or class cites of Linux."""
    first = code.co_consts[0] if code.co_consts else None
    return citations_in(first) if isinstance(first, str) else []
