"""The encoding of wait's status against the host's decoding of it."""

from __future__ import annotations

import os

from procession.abi.ptrace import PtraceEvent
from procession.abi.signals import Signal
from procession.abi.wait_options import CONTINUED, WaitOption, exited_status, killed_status, stopped_status


def test_exit_codes() -> None:
    for code in (0, 1, 127, 255):
        status = exited_status(code)
        assert os.WIFEXITED(status)
        assert os.WEXITSTATUS(status) == code
    assert exited_status(256 + 3) == exited_status(3)


def test_deadly_signals() -> None:
    for has_core in (False, True):
        status = killed_status(Signal.SIGSEGV, has_core)
        assert os.WIFSIGNALED(status)
        assert (os.WTERMSIG(status), os.WCOREDUMP(status)) == (11, has_core)


def test_stops() -> None:
    status = stopped_status(Signal.SIGTSTP)
    assert os.WIFSTOPPED(status)
    assert os.WSTOPSIG(status) == 20
    assert stopped_status(Signal.SIGTRAP | PtraceEvent.PTRACE_EVENT_EXEC << 8) == 0x4057F


def test_continuation() -> None:
    assert os.WIFCONTINUED(CONTINUED)


def test_names_that_python_reserves() -> None:
    assert WaitOption(WaitOption.WALL | WaitOption.WNOHANG).name == "WNOHANG|__WALL"
