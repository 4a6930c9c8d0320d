"""acct(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.accounting import start_accounting
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import OptionalPath

if TYPE_CHECKING:
    from procession.kernel.task import Task


@syscall(163)
def acct(task: Task, name: OptionalPath) -> None:
    """acct(2). Linux: kernel/acct.c, SYSCALL_DEFINE1(acct)."""
    start_accounting(task.kernel, task, name)
