"""A program whose file can't be read any more on the host meets SIGBUS, not a bug of the kernel."""

from __future__ import annotations

import os
from errno import EIO

import pytest

from procession.kernel.task_state import TaskState
from tests.programs.conftest import MakeMachine

SIGBUS = 7


def test_a_page_that_cannot_be_read_is_a_bus_error(
    make_machine: MakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_nothing(*_: int) -> bytes:
        raise OSError(EIO, "the disk is broken")

    machine = make_machine()
    task = machine.start(["/usr/bin/busybox", "true"])
    monkeypatch.setattr(os, "pread", read_nothing)
    assert machine.run_until(lambda _: task.state in (TaskState.ZOMBIE, TaskState.DEAD))
    assert task.group.exit_code & 0x7F == SIGBUS
