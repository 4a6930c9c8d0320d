"""The calls that send signals: kill, tkill, tgkill, rt_sigqueueinfo and rt_tgsigqueueinfo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EINVAL, EPERM, ESRCH
from procession.abi.siginfo import SI_MAX_SIZE, SiginfoRaw
from procession.kernel.pid import find_pid
from procession.kernel.signal.info import KERNEL_SIZE, SI_TKILL, SI_USER, SigInfo
from procession.kernel.signal.kill import (
    sender_info,
    signal_everybody,
    signal_group_members,
    signal_process_by_id,
    signal_thread_by_id,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import In, Int, SignalNumber

if TYPE_CHECKING:
    from procession.kernel.task import Task

_INT_MIN = -(1 << 31)


@syscall(62)
def kill(task: Task, pid: Int, signal: SignalNumber) -> None:
    """kill(2). Linux: kernel/signal.c, kill_something_info."""
    info = sender_info(task, signal, SI_USER)
    if pid > 0:
        signal_process_by_id(task, pid, info)
    elif pid == -1:
        signal_everybody(task, info)
    elif pid == 0:
        signal_group_members(task, task.group.process_group, info)
    elif pid == _INT_MIN:
        raise ESRCH("the lowest int has no process group")
    else:
        found = find_pid(task.pid_namespace, -pid)
        signal_group_members(task, None if found is None else found.process_group, info)


@syscall(200)
def tkill(task: Task, tid: Int, signal: SignalNumber) -> None:
    """tkill(2). Linux: kernel/signal.c, SYSCALL_DEFINE2(tkill)."""
    if tid <= 0:
        raise EINVAL("a thread's id is above 0")
    signal_thread_by_id(task, 0, tid, sender_info(task, signal, SI_TKILL))


@syscall(234)
def tgkill(task: Task, tgid: Int, tid: Int, signal: SignalNumber) -> None:
    """tgkill(2). Linux: kernel/signal.c, SYSCALL_DEFINE3(tgkill)."""
    if tid <= 0 or tgid <= 0:
        raise EINVAL("a thread's id is above 0")
    signal_thread_by_id(task, tgid, tid, sender_info(task, signal, SI_TKILL))


@syscall(129)
def rt_sigqueueinfo(task: Task, pid: Int, signal: SignalNumber, info: In[SiginfoRaw]) -> None:
    """rt_sigqueueinfo(2). Linux: kernel/signal.c, do_rt_sigqueueinfo."""
    queued = read_info(task, signal, info.address)
    check_honesty(queued, is_own=pid == task.thread_pid.own_number)
    signal_process_by_id(task, pid, queued)


@syscall(297)
def rt_tgsigqueueinfo(task: Task, tgid: Int, tid: Int, signal: SignalNumber, info: In[SiginfoRaw]) -> None:
    """rt_tgsigqueueinfo(2). Linux: kernel/signal.c, do_rt_tgsigqueueinfo."""
    queued = read_info(task, signal, info.address)
    if tid <= 0 or tgid <= 0:
        raise EINVAL("a thread's id is above 0")
    check_honesty(queued, is_own=tid == task.thread_pid.own_number)
    signal_thread_by_id(task, tgid, tid, queued)


def read_info(task: Task, signo: int, address: int) -> SigInfo:
    """The siginfo that a program gives. Linux: kernel/signal.c, __copy_siginfo_from_user."""
    info = SigInfo.unpack(signo, task.mm.read(address, KERNEL_SIZE).ljust(SI_MAX_SIZE, b"\0"))
    if not info.is_known and any(task.mm.read(address + KERNEL_SIZE, SI_MAX_SIZE - KERNEL_SIZE)):
        raise E2BIG("a siginfo of an unknown kind with more bytes than Linux keeps")
    return info


def check_honesty(info: SigInfo, *, is_own: bool) -> None:
    """Only to itself may a thread say that a signal comes from the kernel or kill(2). Raises EPERM."""
    if (info.code >= SI_USER or info.code == SI_TKILL) and not is_own:
        raise EPERM("the siginfo pretends to come from the kernel or kill")
