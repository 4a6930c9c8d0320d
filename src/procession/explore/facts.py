"""What happened in a run that oracles ask about: who was made by whom, what ended how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from procession.abi.errno import ESRCH, Errno
from procession.kernel import observer as told

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task


class Fact(NamedTuple):
    """One thing that happened to task `tid` of process `pid`.

    `name` is "clone" (`detail` is its maker's process, and whether it's a thread), "exit" (its wait status,
    and its parent's process by then), "reap" (nothing), or "stale-pid" (the id that it named and the call's
    name).
    """

    name: str
    tid: int
    pid: int
    command: str
    detail: tuple[Any, ...] = ()


class FactWatcher:
    """An observer that keeps the facts of a run in `facts`; it changes nothing."""

    __slots__ = ("facts", "kernel")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.facts: list[Fact] = []

    def _add(self, name: str, task: Task, *detail: Any) -> None:
        command = task.command_name.decode(errors="replace")
        self.facts.append(Fact(name, task.tid, task.tgid, command, detail))

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """See `Observer`."""

    def system_call_returned(
        self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """See `Observer`."""
        if isinstance(outcome, ESRCH) and arguments and isinstance(arguments[0], int):
            number = abs(arguments[0])
            if any(fact.name == "reap" and fact.tid == number for fact in self.facts):
                self._add("stale-pid", task, number, call.name)

    def unknown_call(self, task: Task, number: int) -> None:
        """See `Observer`."""

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """See `Observer`."""
        if kind == told.CLONE:
            current = self.kernel.current
            maker = 0 if current is None else current.tgid
            self._add("clone", task, maker, not task.is_leader)
        elif kind == told.EXIT:
            parent = task.parent
            self._add("exit", task, task.exit_code, 0 if parent is None else parent.tgid)
        elif kind == told.REAP:
            self._add("reap", task)
