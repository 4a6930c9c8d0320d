"""Makes typed records of what a machine's kernel tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from procession.abi.errno import ENOSYS, Errno
from procession.abi.signals import SIG_DFL, SIG_IGN
from procession.abi.syscall_numbers import name_of
from procession.fs.dentry import absolute_path
from procession.inspection.event import (
    Cloned,
    Event,
    Executed,
    Exited,
    Faulted,
    OutOfMemoryKilled,
    Reaped,
    SignalDelivered,
    SignalGenerated,
    StateChanged,
    Superseded,
    Switched,
    SystemCallEntered,
    SystemCallReturned,
    Woken,
)
from procession.kernel import observer as told
from procession.kernel.program.exec import Program
from procession.mm.peek import peek

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_LARGEST_ARGUMENTS = 1 << 16


class EventRecorder:
    """An observer that hands each event to `take`, as one of `inspection.event`'s records.

    `kinds` are the classes of records that are wanted, None for all.
    """

    __slots__ = ("kernel", "kinds", "last_tid", "take")

    def __init__(
        self, kernel: Kernel, take: Callable[[Event], object], kinds: frozenset[type[Event]] | None = None
    ) -> None:
        self.kernel = kernel
        self.take = take
        self.kinds = kinds
        self.last_tid = 0 if kernel.current is None else kernel.current.tid

    def _wants(self, kind: type[Event]) -> bool:
        return self.kinds is None or kind in self.kinds

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """See `Observer`."""
        if self._wants(SystemCallEntered):
            plain = tuple(map(_plain, arguments))
            self.take(
                SystemCallEntered(
                    self.kernel.clock.run_ns, task.tid, task.tgid, call.number, call.name, plain
                )
            )

    def system_call_returned(
        self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """See `Observer`."""
        if self._wants(SystemCallReturned):
            self._returned(task, call.number, call.name, outcome)

    def unknown_call(self, task: Task, number: int) -> None:
        """See `Observer`."""
        name = name_of(number)
        if self._wants(SystemCallEntered):
            self.take(SystemCallEntered(self.kernel.clock.run_ns, task.tid, task.tgid, number, name, ()))
        if self._wants(SystemCallReturned):
            self._returned(task, number, name, ENOSYS("it isn't built"))

    def _returned(self, task: Task, number: int, name: str, outcome: int | Errno | None) -> None:
        result, error, reason = outcome or 0, "", ""
        if isinstance(outcome, Errno):
            result, error, reason = -outcome.number, outcome.name, str(outcome.reason or "")
        assert isinstance(result, int)
        self.take(
            SystemCallReturned(
                self.kernel.clock.run_ns, task.tid, task.tgid, number, name, result, error, reason
            )
        )

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """See `Observer`."""
        make = _MAKERS.get(kind)
        if make is not None and self._wants(make[0]):
            event = make[1](self, task, detail)
            if event is not None:
                self.take(event)

    def _head(self, task: Task) -> tuple[int, int, int]:
        return self.kernel.clock.run_ns, task.tid, task.tgid

    @property
    def _running_tid(self) -> int:
        current = self.kernel.current
        return 0 if current is None else current.tid

    def _state(self, task: Task, before: Any) -> Event:
        return StateChanged(*self._head(task), before, task.state, _call_of(task))

    def _switch(self, task: Task, _detail: Any) -> Event | None:
        previous, self.last_tid = self.last_tid, task.tid
        if previous == task.tid:
            return None
        return Switched(*self._head(task), previous, task.entity.processor)

    def _wake(self, task: Task, cause: Any) -> Event:
        waker = 0 if cause == told.CAUSE_TIMER else self._running_tid
        return Woken(*self._head(task), cause, waker, _call_of(task))

    def _signal_sent(self, task: Task, detail: Any) -> Event:
        info, is_for_process, outcome = detail
        return SignalGenerated(
            *self._head(task), info.signo, info.code, self._running_tid, is_for_process, outcome
        )

    def _signal(self, task: Task, info: Any) -> Event:
        handler = task.group.handlers.actions[info.signo].handler
        action = {SIG_DFL: "default", SIG_IGN: "ignore"}.get(handler, "handler")
        address = handler if action == "handler" else 0
        return SignalDelivered(*self._head(task), info.signo, info.code, action, address)

    def _clone(self, task: Task, _detail: Any) -> Event:
        parent = task.parent
        return Cloned(
            *self._head(task), self._running_tid, 0 if parent is None else parent.tgid, not task.is_leader
        )

    def _exec(self, task: Task, _detail: Any) -> Event:
        mm = task.mm
        length = min(mm.arguments_end - mm.arguments_start, _LARGEST_ARGUMENTS)
        arguments = peek(mm, mm.arguments_start, length).split(b"\0")[:-1]
        program = mm.executable
        root = self.kernel.init_namespaces.mounts.root_path
        path = absolute_path(program.path, root) if isinstance(program, Program) else b""
        return Executed(*self._head(task), path, tuple(arguments))

    def _exit(self, task: Task, _detail: Any) -> Event:
        return Exited(*self._head(task), task.exit_code)

    def _reap(self, task: Task, _detail: Any) -> Event:
        return Reaped(*self._head(task))

    def _supersede(self, task: Task, old_tid: Any) -> Event:
        return Superseded(*self._head(task), old_tid)

    def _fault(self, task: Task, detail: Any) -> Event:
        return Faulted(*self._head(task), *detail)

    def _oom_kill(self, task: Task, _detail: Any) -> Event:
        return OutOfMemoryKilled(*self._head(task))


_MAKERS: dict[str, tuple[type[Event], Callable[[EventRecorder, Task, Any], Event | None]]] = {
    told.STATE: (StateChanged, EventRecorder._state),
    told.SWITCH: (Switched, EventRecorder._switch),
    told.WAKE: (Woken, EventRecorder._wake),
    told.SIGNAL_SENT: (SignalGenerated, EventRecorder._signal_sent),
    told.SIGNAL: (SignalDelivered, EventRecorder._signal),
    told.CLONE: (Cloned, EventRecorder._clone),
    told.EXEC: (Executed, EventRecorder._exec),
    told.EXIT: (Exited, EventRecorder._exit),
    told.REAP: (Reaped, EventRecorder._reap),
    told.SUPERSEDE: (Superseded, EventRecorder._supersede),
    told.FAULT: (Faulted, EventRecorder._fault),
    told.OOM_KILL: (OutOfMemoryKilled, EventRecorder._oom_kill),
}


def _call_of(task: Task) -> str:
    number = task.call_in_progress
    return name_of(number) if number >= 0 else ""


def _plain(argument: Any) -> int | bytes | None:
    """An argument as it was given: of what points at memory, the address."""
    if argument is None or isinstance(argument, int | bytes):
        return argument
    address = argument.address
    assert isinstance(address, int)
    return address
