"""Where a run shall stop: what `Machine.stop_at` takes."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from procession.abi.errno import Errno
from procession.abi.signals import Signal
from procession.abi.syscall_numbers import NUMBERS
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
    Switched,
    SystemCallEntered,
    SystemCallReturned,
    Woken,
)

Condition = type[Event] | str | Callable[[Event], bool]

EVENTS: dict[str, type[Event]] = {
    "clone": Cloned,
    "exec": Executed,
    "exit": Exited,
    "reap": Reaped,
    "signal": SignalDelivered,
    "kill": SignalGenerated,
    "wake": Woken,
    "switch": Switched,
    "state": StateChanged,
    "fault": Faulted,
    "oom": OutOfMemoryKilled,
    "call": SystemCallEntered,
    "return": SystemCallReturned,
}
"""The names of events. Two more are of clones: "fork" of a process, "thread" of a thread."""


class Breakpoint:
    """Stops a run after an event that fits; `hits` counts them.

    `tid` is whose events count, None for anyone's. `kind` is the class of records among which
    it looks, None for all.
    """

    __slots__ = ("condition", "fits", "hits", "kind", "tid")

    def __init__(self, condition: Condition, tid: int | None = None) -> None:
        self.condition = condition
        self.tid = tid
        self.kind: type[Event] | None = None
        self.hits = 0
        self.fits: Callable[[Event], bool] = _always
        if isinstance(condition, str):
            self._take_name(condition)
        elif isinstance(condition, type):
            if condition not in EVENTS.values():
                raise TypeError(f"{condition.__name__} isn't a class of events")
            self.kind = condition
        elif callable(condition):
            self.fits = condition
        else:
            raise TypeError(f"a run stops at a name, a class of events or a function, not at {condition!r}")

    def _take_name(self, name: str) -> None:
        self.kind = EVENTS.get(name)
        if self.kind is not None:
            return
        if name in ("fork", "thread"):
            self.kind = Cloned
            self.fits = _is_thread if name == "thread" else _is_process
        elif name in Signal.__members__:
            self.kind = SignalDelivered
            self.fits = _TakesSignal(int(Signal[name]))
        elif name in NUMBERS:
            self.kind = SystemCallEntered
            self.fits = _Calls(NUMBERS[name])
        elif name in _errors():
            self.kind = SystemCallReturned
            self.fits = _FailsWith(name)
        else:
            known = [*EVENTS, "fork", "thread", *NUMBERS, *Signal.__members__]
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{name!r} is no event, system call, signal or error{hint}")

    def matches(self, event: Event) -> bool:
        """Whether the run stops after `event`."""
        if self.kind is not None and type(event) is not self.kind:
            return False
        if self.tid is not None and event.tid != self.tid:
            return False
        return self.fits(event)

    def __repr__(self) -> str:
        whose = "" if self.tid is None else f" of task {self.tid}"
        name = self.condition.__name__ if isinstance(self.condition, type) else self.condition
        return f"<Breakpoint at {name}{whose}, {self.hits} hits>"


def _errors() -> set[str]:
    return {kind.__name__ for kind in Errno.__subclasses__()}


def _always(_event: Event) -> bool:
    return True


def _is_thread(event: Event) -> bool:
    return isinstance(event, Cloned) and event.is_thread


def _is_process(event: Event) -> bool:
    return isinstance(event, Cloned) and not event.is_thread


class _TakesSignal:
    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, event: Event) -> bool:
        return isinstance(event, SignalDelivered) and event.signal == self.number


class _Calls:
    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, event: Event) -> bool:
        return isinstance(event, SystemCallEntered) and event.number == self.number


class _FailsWith:
    __slots__ = ("error",)

    def __init__(self, error: str) -> None:
        self.error = error

    def __call__(self, event: Event) -> bool:
        return isinstance(event, SystemCallReturned) and event.error == self.error
