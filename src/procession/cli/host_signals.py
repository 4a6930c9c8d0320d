"""The host's signals that are meant for the guest: Ctrl-C, termination, hang-up, a changed window size."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from procession.interrupt import Notice

FORWARDED = ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR2", "SIGWINCH")
REPORTING = "SIGUSR1"
"""What asks for a table of the guest's processes."""


class SignalTaker(Protocol):
    """What host signals are handed to."""

    def forward_signal(self, name: str) -> None:
        """The host process got the signal `name`; called between any two bytecodes of the main thread."""

    def request_report(self) -> None:
        """The host process was asked what the guest's processes do; called as `forward_signal` is."""


def outlive_reports() -> None:
    """Who asks for the table before there's a machine, or when it has ended, gets none, and ends nothing."""
    number = signal.Signals[REPORTING]
    if signal.getsignal(number) is signal.SIG_DFL:
        signal.signal(number, lambda _number, _frame: None)


@contextmanager
def forward_host_signals(machine: SignalTaker) -> Iterator[None]:
    """While this is open, hand the signals that this process gets to `machine`.

    A signal that the caller has ignored, as nohup(1) does, stays ignored.
    """

    def take(name: str) -> None:
        if name == REPORTING:
            machine.request_report()
        else:
            machine.forward_signal(name)

    before: dict[signal.Signals, object] = {}
    for name in (*FORWARDED, REPORTING):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, Notice(take))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
