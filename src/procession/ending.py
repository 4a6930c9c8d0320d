"""Why a machine ends a run itself: its limits, and a guest that turns it off."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.reboot import RebootCommand
from procession.abi.signals import Signal
from procession.breaking_off import GRACE_S, Breaker, BrokenOff, start_without_signals
from procession.fs.host_stream import OUTPUT_LIMIT_REASON

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from procession.kernel.kernel import Kernel

STATUS_DEADLOCK = 125
"""The status of a machine in which every task sleeps for ever."""
STATUS_TIME_LIMIT = 124
STATUS_RESTART = 133
"""The status of a machine that a guest has told to start again, as containers have it."""
ENDING_SIGNALS = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM")
"""What is sent to this process to end it: it mustn't wait for long before the guest gets it."""
_REPEAT_S = 0.05


_TIME_LIMIT, _WALL_LIMIT = "the time limit", "the wall limit"
_OFF, _HALTED, _RESTART = (
    "the machine was powered off",
    "the machine was halted",
    "the machine was told to restart",
)
_PANIC, _PANIC_RESTARTS = "the kernel panicked", "the kernel panicked and starts anew"
_REASONS_OF_GUEST = {
    RebootCommand.LINUX_REBOOT_CMD_HALT: _HALTED,
    RebootCommand.LINUX_REBOOT_CMD_POWER_OFF: _OFF,
    RebootCommand.LINUX_REBOOT_CMD_RESTART: _RESTART,
}


def reason_of_guest(kernel: Kernel) -> str:
    """What reboot(2) or a panic made of the machine, "" if nobody called it and there was none."""
    command = kernel.reboot_command
    if command is None:
        return ""
    if kernel.panic_reason:
        restarts = command == RebootCommand.LINUX_REBOOT_CMD_RESTART
        return f"{_PANIC_RESTARTS if restarts else _PANIC}: {kernel.panic_reason.decode(errors='replace')}"
    return _REASONS_OF_GUEST[RebootCommand(command)]


def status_for(reason: str) -> int:
    """The status of a run that the machine ended for `reason`."""
    if reason in (_OFF, _HALTED):
        return 0
    if reason == _RESTART or reason.startswith(_PANIC_RESTARTS):
        return STATUS_RESTART
    signal_name = reason.partition(" ")[0]
    if signal_name in ENDING_SIGNALS:
        return 128 + int(Signal[signal_name])
    is_limit = reason.startswith((_TIME_LIMIT, _WALL_LIMIT, OUTPUT_LIMIT_REASON))
    return STATUS_TIME_LIMIT if is_limit else STATUS_DEADLOCK


def check_limits(*limits_s: float | None) -> None:
    """Raise ValueError for what is no length of time."""
    for limit_s in limits_s:
        if limit_s is not None and not 0 <= limit_s < float("inf"):
            raise ValueError(f"a time limit is a number of seconds, not {limit_s}")


class RunLimits:
    """How long a run may take: `time_s` of the machine's time, `wall_s` of the caller's; None for ever.

    While `wall_s` counts, a thread waits for it: a slice of the machine's time may take the host seconds, and
    waiting for input any time. It calls `interrupt` then, again and again, as the processor may be between
    two runs and not hear it. Where the kernel itself goes on, it's broken off in the middle (BrokenOff) after
    GRACE_S: by the wall limit, and where a signal can't be delivered, which is `overdue` then.
    """

    def __init__(
        self,
        kernel: Kernel,
        interrupt: Callable[[], object],
        time_s: float | None = None,
        wall_s: float | None = None,
    ) -> None:
        self.kernel = kernel
        self.interrupt = interrupt
        self.time_s = time_s
        self.wall_s = wall_s
        self.deadline_ns = None if time_s is None else kernel.clock.now_ns + int(time_s * NS_PER_S)
        self.wall_deadline_s = None if wall_s is None else time.monotonic() + wall_s
        self.has_ended = threading.Event()
        self.watchdog: threading.Thread | None = None
        self.signal_watch: threading.Thread | None = None
        self.breaker = Breaker()
        self.overdue = ""

    @property
    def reason(self) -> str:
        """The limit that has been reached, "" if none has been."""
        if self.deadline_ns is not None and self.kernel.clock.now_ns >= self.deadline_ns:
            return f"{_TIME_LIMIT} of {self.time_s} s has passed"
        if self.wall_deadline_s is not None and time.monotonic() >= self.wall_deadline_s:
            return f"{_WALL_LIMIT} of {self.wall_s} s has passed"
        return ""

    def __enter__(self) -> RunLimits:
        if self.wall_deadline_s is not None:
            self.watchdog = threading.Thread(target=self._watch, args=(self.wall_deadline_s,), daemon=True)
            start_without_signals(self.watchdog)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end()
        except BrokenOff:
            # It was on its way, and the run has come to its end by itself.
            self._end()
        self.breaker.withdraw()

    def _end(self) -> None:
        self.has_ended.set()
        for watcher in (self.watchdog, self.signal_watch):
            if watcher is not None:
                watcher.join()

    def _watch(self, deadline_s: float) -> None:
        left_s = deadline_s - time.monotonic()
        while not self.has_ended.wait(max(left_s, 0)):
            self.interrupt()
            left_s = _REPEAT_S
            if time.monotonic() >= deadline_s + GRACE_S:
                self.breaker.break_off()
                left_s = GRACE_S

    def await_delivery(self, name: str, is_waiting: Callable[[], bool]) -> None:
        """A signal that is meant to end something has come, and waits to be delivered: not for ever."""
        if self.signal_watch is None or not self.signal_watch.is_alive():
            watcher = threading.Thread(target=self._watch_signal, args=(name, is_waiting), daemon=True)
            self.signal_watch = watcher
            start_without_signals(watcher)

    def _watch_signal(self, name: str, is_waiting: Callable[[], bool]) -> None:
        work: object = None
        since_s = 0.0
        while is_waiting() and not self.has_ended.wait(_REPEAT_S):
            present, now_s = self.breaker.kernel_work(), time.monotonic()
            if present is None or present is not work:
                work, since_s = present, now_s
            elif now_s - since_s >= GRACE_S:
                self.overdue = name
                self.breaker.break_off()
                since_s = now_s

    def why_broken_off(self, call_name: str) -> str:
        """What is told of a run that ended in the middle of a system call, or with "" of other work."""
        work = f"{call_name}(2)" if call_name else "the kernel's work"
        if self.reason:
            return f"{self.reason}, in the middle of {work}"
        return f"{self.overdue} came in the middle of {work}, which takes long"
