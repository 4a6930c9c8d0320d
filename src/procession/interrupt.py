"""Ctrl-C while a machine runs: it's kept until the kernel has done what it was doing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

Handler = Callable[[int, FrameType | None], object]


class InterruptGuard:
    """Keeps SIGINT's handler from running in the middle of the kernel's work, while this is open.

    An exception that it raises there would be lost in the engine's C code, and with it the system call that
    it broke off. So inside `with guard:` the signal is noted, and the handler called at the end; the second
    one goes through at once, should the kernel never end. Only Python's main thread gets signals.
    `is_open` says that the kernel or the engine is at work.
    """

    __slots__ = ("is_noted", "is_open", "outer")

    def __init__(self) -> None:
        self.is_open = False
        self.is_noted = False
        self.outer: Handler | None = None

    def __enter__(self) -> None:
        self.is_open = True
        if threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and handler != self._note:
            self.outer = handler
            self.is_noted = False
            signal.signal(signal.SIGINT, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_open = False
        outer, self.outer = self.outer, None
        if outer is None:
            return
        signal.signal(signal.SIGINT, outer)
        if self.is_noted and kind is None:
            outer(signal.SIGINT, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_noted and self.outer is not None:
            self.outer(number, frame)
        self.is_noted = True
