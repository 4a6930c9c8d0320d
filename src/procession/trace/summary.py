"""How often each system call was made, how long it took and how often it failed, as `strace -cw` counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.duration import NS_PER_S
from procession.abi.errno import Errno
from procession.abi.syscall_numbers import name_of

if TYPE_CHECKING:
    from procession.kernel.task import Task, ThreadGroup

_RULE = "------ ----------- ----------- --------- --------- ----------------"
_TITLE = "% time     seconds  usecs/call     calls    errors syscall"


class CallCount:
    """What is counted of one system call."""

    __slots__ = ("calls", "errors", "spent_ns")

    def __init__(self) -> None:
        self.calls = self.errors = self.spent_ns = 0


class SummaryTrace:
    """The observer that counts calls, but for those of the process `ignored`.

    A call that never returns isn't counted. Times are the guest's, from the call to its return.
    """

    __slots__ = ("counts", "entered_ns", "ignored")

    def __init__(self, ignored: ThreadGroup | None = None) -> None:
        self.ignored = ignored
        self.counts: dict[str, CallCount] = {}
        self.entered_ns: dict[int, int] = {}

    def system_call_entered(self, task: Task, _call: Any, _arguments: tuple[Any, ...]) -> None:
        """See `Observer`."""
        self.entered_ns[task.tid] = task.kernel.clock.now_ns

    def system_call_returned(
        self, task: Task, call: Any, _arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """See `Observer`."""
        now_ns = task.kernel.clock.now_ns
        spent_ns = now_ns - self.entered_ns.pop(task.tid, now_ns)
        self._count(task, call.name, spent_ns, has_failed=isinstance(outcome, Errno))

    def unknown_call(self, task: Task, number: int) -> None:
        """See `Observer`."""
        self._count(task, name_of(number), 0, has_failed=True)

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """See `Observer`."""

    def _count(self, task: Task, name: str, spent_ns: int, *, has_failed: bool) -> None:
        if task.group is self.ignored:
            return
        count = self.counts.setdefault(name, CallCount())
        count.calls += 1
        count.errors += has_failed
        count.spent_ns += spent_ns


def summary_lines(counts: dict[str, CallCount]) -> list[str]:
    """The table of strace(1): the calls that took longest first, and a line of all together."""
    total = CallCount()
    for count in counts.values():
        total.calls += count.calls
        total.errors += count.errors
        total.spent_ns += count.spent_ns
    order = sorted(counts.items(), key=lambda each: (-each[1].spent_ns, -each[1].calls, each[0]))
    lines = [_line(name, count, total.spent_ns) for name, count in order]
    return [_TITLE, _RULE, *lines, _RULE, _line("total", total, total.spent_ns)]


def _line(name: str, count: CallCount, whole_ns: int) -> str:
    share = 100 * count.spent_ns / whole_ns if whole_ns else 0.0
    each_us = count.spent_ns // 1000 // count.calls if count.calls else 0
    seconds = count.spent_ns / NS_PER_S
    return f"{share:6.2f} {seconds:11.6f} {each_us:11} {count.calls:9} {count.errors or '':9} {name}"
