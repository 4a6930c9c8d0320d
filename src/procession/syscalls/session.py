"""Sessions and process groups: setsid, setpgid and what asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ESRCH
from procession.kernel.session import set_process_group, start_session
from procession.kernel.task import Tid
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Int

if TYPE_CHECKING:
    from procession.kernel.session import ProcessGroup
    from procession.kernel.task import Task


def _process_group_of(task: Task, pid: int) -> ProcessGroup:
    target = task.kernel.tasks.get(Tid(pid)) if pid else task
    if target is None:
        raise ESRCH(f"no process {pid}")
    return target.group.process_group


@syscall(109)
def setpgid(task: Task, pid: Int, pgid: Int) -> None:
    """setpgid(2). Linux: kernel/sys.c, SYSCALL_DEFINE2(setpgid)."""
    set_process_group(task, pid, pgid)


@syscall(121)
def getpgid(task: Task, pid: Int) -> int:
    """getpgid(2). Linux: kernel/sys.c, do_getpgid."""
    return _process_group_of(task, pid).id


@syscall(111)
def getpgrp(task: Task) -> int:
    """getpgrp(2). Linux: kernel/sys.c, SYSCALL_DEFINE0(getpgrp)."""
    return task.group.process_group.id


@syscall(112)
def setsid(task: Task) -> int:
    """setsid(2). Linux: kernel/sys.c, ksys_setsid."""
    return start_session(task)


@syscall(124)
def getsid(task: Task, pid: Int) -> int:
    """getsid(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(getsid)."""
    return _process_group_of(task, pid).session.id
