"""The host's terminal in raw mode while a guest has it, and as it was afterwards, however that ends."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.cli.host_signals import SignalTaker

STDIN = 0
_DONE = b"."

Modes = list[object]


@contextmanager
def raw_terminal(has_keyboard: bool, machine: SignalTaker) -> Iterator[None]:
    """While this is open, the terminal on stdin passes every key on as it is.

    When this process goes on after it was stopped, `machine` is told to look how large the window is. Nothing
    is done where the guest has no keyboard.
    """
    if not has_keyboard:
        yield
        return
    before: Modes = termios.tcgetattr(STDIN)
    pipe, watcher = start_watcher(before)

    def stop(number: int, _frame: FrameType | None) -> None:
        restore(before)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def go_on(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTSTP, stop)
        # A hang-up sends SIGCONT, too, and then there is no terminal.
        with suppress(termios.error):
            tty.setraw(STDIN, termios.TCSANOW)
        machine.forward_signal("SIGWINCH")

    handlers = {
        number: signal.signal(number, handler)
        for number, handler in ((signal.SIGTSTP, stop), (signal.SIGCONT, go_on))
    }
    try:
        tty.setraw(STDIN, termios.TCSANOW)
        yield
    finally:
        restore(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.write(pipe, _DONE)
        os.close(pipe)
        os.waitpid(watcher, 0)


def restore(modes: Modes) -> None:
    """Give the terminal its modes back; one that has been hung up has none."""
    with suppress(termios.error):
        termios.tcsetattr(STDIN, termios.TCSANOW, modes)  # type: ignore[arg-type]


def start_watcher(modes: Modes) -> tuple[int, int]:
    """Start a process that restores the terminal if this one dies in a way that nobody can catch.

    Returns a descriptor, to which a byte is written when that isn't needed any more, and its process id.
    """
    reading_end, writing_end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # Blocked before the fork, and for good in the watcher: where this process leads the session, its death
    # hangs the terminal up, which would end a watcher that hasn't run yet.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(reading_end)
        return writing_end, child
    try:
        os.close(writing_end)
        if not os.read(reading_end, len(_DONE)):
            restore(modes)
    finally:
        os._exit(0)
