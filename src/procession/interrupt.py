"""Ctrl-C while a machine runs or a search is divided: it's kept until what was being done is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

Handler = Callable[[int, FrameType | None], object]


class Notice:
    """A handler of signals that raises nothing: it may run in the middle of the kernel's work."""

    __slots__ = ("take",)

    def __init__(self, take: Callable[[str], object]) -> None:
        self.take = take

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.take(signal.Signals(number).name)


class NotedInterrupt:
    """Between `begin` and `end` the first SIGINT is noted, and the second one does what it would do outside.

    A divided search ends where its book is in order: an exception in the middle of what is entered or handed
    out would leave it to chance how much of the search is told. A handler that is a Notice hears at once.
    Only Python's main thread gets signals. `outer` is the handler that was there, None where none is noted.
    """

    __slots__ = ("is_noted", "outer")

    def __init__(self) -> None:
        self.is_noted = False
        self.outer: Handler | None = None

    def begin(self) -> None:
        """Note the signal from now on."""
        if threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and handler != self._note and not isinstance(handler, Notice):
            self.outer = handler
            self.is_noted = False
            signal.signal(signal.SIGINT, self._note)

    def end(self) -> None:
        """Put the handler back that was there."""
        if self.outer is not None:
            signal.signal(signal.SIGINT, self.outer)
            self.outer = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_noted and self.outer is not None:
            self.outer(number, frame)
        self.is_noted = True


class InterruptGuard(NotedInterrupt):
    """Keeps SIGINT's handler from running in the middle of the kernel's work, while this is open.

    An exception that it raises there would be lost in the engine's C code, and with it the system call that
    it broke off. So inside `with guard:` the signal is noted, and the handler called at the end; the second
    one goes through at once, should the kernel never end. `is_open` says that the kernel or the engine is at
    work.
    """

    __slots__ = ("is_held", "is_open")

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False
        self.is_held = False

    def __enter__(self) -> None:
        self.is_open = True
        if not self.is_held:
            self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_open = False
        outer = self.outer
        if outer is None:
            return
        if not self.is_held:
            self.end()
        if self.is_noted and kind is None:
            self.is_noted = False
            outer(signal.SIGINT, None)

    @contextmanager
    def held(self) -> Iterator[None]:
        """For who opens this very often: note the signal in between too, until the next end of work.

        To change the signal's handler takes longer than many a stretch of work.
        """
        if not self.is_held:
            self.begin()
        outer = self.outer
        if outer is None or self.is_held:
            yield
            return
        self.is_held = True
        try:
            yield
        finally:
            self.is_held = False
            self.end()
        if self.is_noted:
            outer(signal.SIGINT, None)
