"""Signs of life on stderr while a run takes long, and a word where a program waits for what is typed."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from procession.abi.duration import NS_PER_S

if TYPE_CHECKING:
    from procession.machine import Machine

FIRST_AFTER_S = 2.0
_INTERVAL_S = 0.5
_LINE_INTERVAL_S = 2.0
_ERASE_LINE = "\r\x1b[K"


class Progress:
    """Shows how far a run is: a line that is rewritten on a terminal, or else a line every two seconds.

    It's shown after FIRST_AFTER_S of the caller's time. With `hint` it says that once, when the program first
    waits for standard input.
    """

    def __init__(
        self, machine: Machine, stream: TextIO, *, is_shown: bool, is_terminal: bool, hint: str = ""
    ) -> None:
        self.machine = machine
        self.stream = stream
        self.is_shown = is_shown
        self.is_terminal = is_terminal
        self.hint = hint
        self.start_s = time.monotonic()
        self.next_s = self.start_s + FIRST_AFTER_S
        self.seen_s, self.seen_calls = self.start_s, 0
        self.has_line = False
        self.wants_table = False
        self.is_raw = False
        self.counter = machine.count_calls() if is_shown else None

    def before_output(self) -> None:
        """The guest's output, or a message, is about to be written: it may go to the same terminal."""
        if self.has_line:
            self._write(_ERASE_LINE)
            self.has_line = False

    def before_waiting(self) -> None:
        """Nobody in the machine can run until something comes from outside."""
        self.before_output()
        if self.hint and self.machine.input.is_wanted:
            self._write(self.hint)
            self.hint = ""

    def after_slice(self) -> None:
        """Part of the run is done."""
        if self.wants_table:
            self.wants_table = False
            self.before_output()
            self._write(f"procession: {self.summary()}\n{self.machine.process_table()}\n")
        if self.is_shown and time.monotonic() >= self.next_s:
            self._show()

    def _show(self) -> None:
        text = f"procession: {self.summary()}"
        now_s = time.monotonic()
        self.next_s = now_s + (_INTERVAL_S if self.is_terminal else _LINE_INTERVAL_S)
        if self.is_terminal:
            self._write(_ERASE_LINE + text)
            self.has_line = True
        else:
            self._write(text + "\n")

    def summary(self) -> str:
        """Virtual and real time, tasks, and system calls a second since this was last asked."""
        kernel = self.machine.kernel
        now_s, calls = time.monotonic(), 0 if self.counter is None else self.counter.count
        rate = (calls - self.seen_calls) / max(now_s - self.seen_s, 1e-3)
        self.seen_s, self.seen_calls = now_s, calls
        virtual_s = kernel.clock.run_ns / NS_PER_S
        rate_text = "" if self.counter is None else f", {rate:,.0f} calls/s"
        return (
            f"{virtual_s:,.3f} s in the machine, {now_s - self.start_s:,.1f} s outside, "
            f"{len(kernel.tasks)} tasks{rate_text}"
        )

    def close(self) -> None:
        """The run has ended."""
        self.before_output()

    def _write(self, text: str) -> None:
        with suppress(OSError):
            # In raw mode a line doesn't begin at the left by itself.
            self.stream.write(text.replace("\n", "\r\n") if self.is_raw else text)
            self.stream.flush()


def make_progress(
    machine: Machine, command: tuple[str, ...], *, is_wanted: bool | None, has_terminal: bool
) -> Progress:
    """The progress of a run whose options these are; `is_wanted` is None where the caller didn't say."""
    stream = sys.stderr
    is_terminal = stream.isatty()
    # A terminal that the guest has is the guest's alone.
    is_shown = not has_terminal and (is_terminal if is_wanted is None else is_wanted)
    hint = ""
    if is_terminal and not has_terminal and len(command) == 1 and sys.stdin.isatty():
        hint = (
            f"procession: {command[0]} reads what is typed here, but has no terminal: for a prompt and keys "
            f"that work, use `procession run -it -- {command[0]}`; Ctrl-D ends the input\n"
        )
    progress = Progress(machine, stream, is_shown=is_shown, is_terminal=is_terminal, hint=hint)
    progress.is_raw = has_terminal and is_terminal
    return progress
