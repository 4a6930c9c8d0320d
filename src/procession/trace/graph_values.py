"""Kernel objects as the function graph names them: `bash[3]`, `pid[3/1]`, `mm#2`, `files#5`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any

from procession.kernel.pid import Pid
from procession.kernel.task import Task

_TEXT_LIMIT = 32
_MOST_ARGUMENTS = 4
_HEXADECIMAL_FROM = 0x10000
SHORT_NAMES = {
    "MemoryDescriptor": "mm",
    "FdTable": "files",
    "FsContext": "fs",
    "SignalHandlers": "sighand",
    "Credentials": "cred",
    "VirtualMemoryArea": "vma",
    "PendingSignals": "pending",
    "WaitQueue": "wait_queue",
    "ThreadGroup": "signal",
    "NsProxy": "nsproxy",
    "CallFrame": "frame",
}
"""Linux's word for an object, where it differs from the class's name."""


class ObjectNames:
    """Gives each kernel object that is met a number of its own, in the order of meeting."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.counts: dict[str, int] = {}
        # An object that ended would leave its address, and so its number, to another.
        self.kept: list[Any] = []
        self.ways: dict[type, Callable[[Any], str]] = {}

    def name(self, value: Any) -> str:
        """How `value` is called: tasks by program and id, ids by their numbers in each pid namespace from the
        machine's first down, others by kind and number."""
        if isinstance(value, Task):
            return task_text(value)
        if isinstance(value, Pid):
            return pid_text(value.numbers)
        kind = type(value).__name__
        word = SHORT_NAMES.get(kind, kind)
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = self.counts[word] = self.counts.get(word, 0) + 1
            self.kept.append(value)
        return f"{word}#{number}"

    def text(self, value: Any) -> str:
        """`value` as an argument or a result is shown, "" for what says nothing."""
        kind = type(value)
        way = self.ways.get(kind)
        if way is None:
            way = self.ways[kind] = self._way_of(kind)
        return way(value)

    def texts(self, values: Mapping[str, Any], names: tuple[str, ...]) -> str:
        """Those of `values` that are called `names` as arguments are shown, the first few of them."""
        ways = self.ways
        shown = []
        for name in names:
            value = values[name]
            kind = type(value)
            way = ways.get(kind)
            if way is None:
                way = ways[kind] = self._way_of(kind)
            shown.append(way(value))
        if len(shown) > _MOST_ARGUMENTS:
            shown[_MOST_ARGUMENTS:] = ("...",)
        return ", ".join(shown)

    def _way_of(self, kind: type) -> Callable[[Any], str]:
        """How values of `kind` are shown."""
        for kinds, way in (
            ((NoneType, bool), str),
            ((Enum,), _member_text),
            ((int,), _number_text),
            ((bytes, bytearray, memoryview), _bytes_text),
            ((str,), _string_text),
            ((Task,), task_text),
        ):
            if issubclass(kind, kinds):
                return way
        if kind is tuple:
            return self._tuple_text
        if not issubclass(kind, tuple):
            if issubclass(kind, (list, dict, set, frozenset)):
                return _count_text
            if kind.__module__.startswith("procession."):
                return self.name
        return _kind_text

    def _tuple_text(self, value: tuple[Any, ...]) -> str:
        return f"({', '.join(map(self.text, value[:4]))}{', ...' if len(value) > 4 else ''})"


def task_text(task: Task) -> str:
    """How a task is called: by its program and its id."""
    return _text_of_task(task.command_name, task.thread_pid.numbers[0])


@lru_cache
def _text_of_task(name: bytes, tid: int) -> str:
    return f"{name.decode(errors='replace') or 'task'}[{tid}]"


def pid_text(numbers: tuple[int, ...]) -> str:
    """How an id is called that has these numbers."""
    return f"pid[{'/'.join(map(str, numbers))}]"


def _member_text(value: Enum) -> str:
    return value.name


def _number_text(value: int) -> str:
    if -_HEXADECIMAL_FROM < value < _HEXADECIMAL_FROM:
        return int.__repr__(value)
    return hex(value)


def _bytes_text(value: bytes | bytearray | memoryview) -> str:
    return _text_of_bytes(bytes(value[: _TEXT_LIMIT + 1]))


@lru_cache
def _text_of_bytes(value: bytes) -> str:
    count = _TEXT_LIMIT
    while len(shown := repr(value[:count])[1:]) > 2 * _TEXT_LIMIT:
        # Most of it takes four characters a byte.
        count >>= 1
    return shown + "..." if len(value) > count else shown


def _string_text(value: str) -> str:
    return value if len(value) <= _TEXT_LIMIT else value[:_TEXT_LIMIT] + "..."


def _count_text(value: Sized) -> str:
    return f"{len(value)} items" if len(value) != 1 else "1 item"


def _kind_text(value: object) -> str:
    return type(value).__name__


def is_kernel_object(value: Any) -> bool:
    """Whether `value` is of a class that has a counterpart in Linux, by its docstring or by its name."""
    kind = type(value)
    known = _KNOWN.get(kind)
    if known is None:
        known = _KNOWN[kind] = (
            kind.__name__ in SHORT_NAMES or "Linux:" in (kind.__doc__ or "")
        ) and not issubclass(kind, BaseException)
    return known


_KNOWN: dict[type, bool] = {}
