"""Ctrl-C in a divided search: it's noted, and the search ends where its book is in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType


class NotedInterrupt:
    """Inside `with`, the first SIGINT is noted, and the second one does what it would do outside.

    An exception in the middle of what is entered or handed out would leave it to chance how much of the
    search is told. Only Python's main thread gets signals.
    """

    def __init__(self) -> None:
        self.is_noted = False
        self.outer: Callable[[int, FrameType | None], object] | None = None

    def __enter__(self) -> NotedInterrupt:
        self.is_noted = False
        outer = signal.getsignal(signal.SIGINT)
        if callable(outer) and threading.current_thread() is threading.main_thread():
            self.outer = outer
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.outer is not None:
            signal.signal(signal.SIGINT, self.outer)
            self.outer = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_noted and self.outer is not None:
            self.outer(number, frame)
        self.is_noted = True
