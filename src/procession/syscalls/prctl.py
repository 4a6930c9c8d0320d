"""prctl(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.prctl import PrctlOption
from procession.kernel.prctl import control_process
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import U64, Choice

if TYPE_CHECKING:
    from procession.kernel.task import Task


@syscall(157)
def prctl(task: Task, option: Choice[PrctlOption], second: U64, third: U64, fourth: U64, fifth: U64) -> int:
    """prctl(2). Linux: kernel/sys.c, SYSCALL_DEFINE5(prctl)."""
    return control_process(task, option, (second, third, fourth, fifth))
