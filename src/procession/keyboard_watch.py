"""The keyboard of a machine's terminal, looked after while the kernel is busy with one long piece of work.

The machine reads what was typed between two slices, so that Ctrl-C would wait for the end of a call that
takes many seconds.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from procession.breaking_off import GRACE_S, start_without_signals
from procession.fs.terminal.modes import ISIG, VINTR, VQUIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.attachment import JoinedTerminal
    from procession.ending import RunLimits

_LOOK_S = 0.25
BUSY = b"\r\nprocession: the kernel is in the middle of a long system call; once more ends the machine\r\n"
_NAMES = {VINTR: "SIGINT", VQUIT: "SIGQUIT"}


class KeyboardWatch:
    """While this is open, a thread sees what is typed at `joined` during long work of the kernel.

    `limits` gives those of the run, None before and after it. The first character that stands for SIGINT or
    SIGQUIT is told to be waiting, as the call may end yet; with the second one the machine is broken off.
    """

    def __init__(self, joined: JoinedTerminal, limits: Callable[[], RunLimits | None]) -> None:
        self.joined = joined
        self.limits = limits
        self.has_ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> KeyboardWatch:
        if self.joined.keyboard:
            start_without_signals(self.thread)
        return self

    def __exit__(self, *_: object) -> None:
        self.has_ended.set()
        if self.joined.keyboard:
            self.thread.join()

    def _watch(self) -> None:
        joined = self.joined
        seen_count, work, since_s, is_told = -1, None, 0.0, False
        while not self.has_ended.wait(_LOOK_S):
            limits = self.limits()
            if limits is None or joined.exchange_count != seen_count:
                seen_count, work, is_told = joined.exchange_count, None, False
                continue
            present, now_s = limits.breaker.kernel_work(), time.monotonic()
            if present is None or present is not work:
                work, since_s, is_told = present, now_s, False
            elif now_s - since_s >= GRACE_S:
                name = self._signal_among(joined.type_meanwhile())
                if name and is_told:
                    limits.await_delivery(name, lambda: bool(joined.typed))
                elif name:
                    joined.show(BUSY)
                    is_told = True

    def _signal_among(self, typed: bytes) -> str:
        """The signal that what was typed last means to programs, "" for none."""
        modes = self.joined.terminal.slave_tty.modes
        if modes.local & ISIG:
            for index, name in _NAMES.items():
                character = modes.characters[index]
                if character and character in typed:
                    return name
        return ""
