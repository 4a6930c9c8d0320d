"""Sessions and process groups: setsid, setpgid, what asks for them, and vhangup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EPERM, ESRCH
from procession.kernel.pid import find_task
from procession.kernel.session import set_process_group, start_session
from procession.kernel.terminal import hang_up_own_terminal
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Int

if TYPE_CHECKING:
    from procession.kernel.session import ProcessGroup
    from procession.kernel.task import Task

_CAP_SYS_TTY_CONFIG = int(Capability.CAP_SYS_TTY_CONFIG)


def _process_group_of(task: Task, pid: int) -> ProcessGroup:
    target = find_task(task.pid_namespace, pid) if pid else task
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
    return _process_group_of(task, pid).pid.number_in(task.pid_namespace)


@syscall(111)
def getpgrp(task: Task) -> int:
    """getpgrp(2). Linux: kernel/sys.c, SYSCALL_DEFINE0(getpgrp)."""
    return task.group.process_group.pid.number_in(task.pid_namespace)


@syscall(112)
def setsid(task: Task) -> int:
    """setsid(2). Linux: kernel/sys.c, ksys_setsid."""
    return start_session(task)


@syscall(124)
def getsid(task: Task, pid: Int) -> int:
    """getsid(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(getsid)."""
    return _process_group_of(task, pid).session.pid.number_in(task.pid_namespace)


@syscall(153)
def vhangup(task: Task) -> None:
    """vhangup(2). Linux: fs/open.c, SYSCALL_DEFINE0(vhangup)."""
    if not task.credentials.capable(_CAP_SYS_TTY_CONFIG):
        raise EPERM
    hang_up_own_terminal(task)
