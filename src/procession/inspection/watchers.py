"""Those who watch a machine, of whom there may be several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from procession.abi.errno import Errno
    from procession.kernel.observer import Observer
    from procession.kernel.task import Task


class Watchers:
    """One observer that passes on all that it's told to each of `observers`, in order."""

    __slots__ = ("observers",)

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """See `Observer`."""
        for observer in self.observers:
            observer.system_call_entered(task, call, arguments)

    def system_call_returned(
        self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """See `Observer`."""
        for observer in self.observers:
            observer.system_call_returned(task, call, arguments, outcome)

    def unknown_call(self, task: Task, number: int) -> None:
        """See `Observer`."""
        for observer in self.observers:
            observer.unknown_call(task, number)

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """See `Observer`."""
        for observer in self.observers:
            observer.task_event(task, kind, detail)


def joined_observer(observers: list[Observer]) -> Observer | None:
    """One observer for them all; None for nobody."""
    if len(observers) > 1:
        return Watchers(*observers)
    return observers[0] if observers else None
