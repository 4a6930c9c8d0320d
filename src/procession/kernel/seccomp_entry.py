"""What seccomp does with a system call before it is made: each of the actions of a filter's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENOSYS
from procession.abi.seccomp import AUDIT_ARCH_X86_64, SECCOMP_RET_ACTION_FULL, SECCOMP_RET_DATA, SeccompAction
from procession.abi.signals import SysCode
from procession.hardware.registers import RIP
from procession.kernel.exit import do_exit
from procession.kernel.ptrace.stop import ptrace_event
from procession.kernel.ptrace.tracing import AT_SECCOMP, EVENT_SECCOMP, SUSPEND_SECCOMP, TRACESECCOMP
from procession.kernel.security.seccomp import MODE_DEAD, MODE_FILTER, MODE_STRICT, RET_ALLOW, data_of
from procession.kernel.security.seccomp_listener import notify_supervisor
from procession.kernel.signal.generation import force_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.set import SIGKILL, SIGSYS
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_STRICT_CALLS = (0, 1, 15, 60)
"""read, write, rt_sigreturn and exit."""
_MAX_ERRNO = 4095
_WORD = 0xFFFFFFFF
_SYS_SECCOMP = int(SysCode.SYS_SECCOMP)
_KILL_THREAD = int(SeccompAction.SECCOMP_RET_KILL_THREAD)
_TRAP = int(SeccompAction.SECCOMP_RET_TRAP)
_ERRNO = int(SeccompAction.SECCOMP_RET_ERRNO)
_USER_NOTIF = int(SeccompAction.SECCOMP_RET_USER_NOTIF)
_TRACE = int(SeccompAction.SECCOMP_RET_TRACE)
_PASSING = (int(SeccompAction.SECCOMP_RET_LOG), int(SeccompAction.SECCOMP_RET_ALLOW))


def enter_call(
    kernel: Kernel, task: Task, number: int, live: GeneralRegisters, *, is_told: bool = False
) -> int | None:
    """Look at call `number` of the running `task`, whose registers in the processor are `live`.

    Returns None if the call is to be made, otherwise what it returns without having been made: a signal may
    be pending then, or the task have ended. Raises Sleep, with a Notification as its progress, while a
    supervisor looks at it. A traced task may have stopped; after that this is asked once more, with
    `is_told`. Linux: kernel/seccomp.c, __secure_computing.
    """
    tracing = task.ptrace
    if tracing is not None and tracing.options & SUSPEND_SECCOMP:
        return None
    newest = task.seccomp_filter
    if newest is None or task.seccomp_mode != MODE_FILTER:
        return _enter_strict(kernel, task, number)
    decision = newest.decisions.get(number) or newest.decide(kernel.clock, number)
    answer, source = decision.answer, decision.filter
    if decision.rest:
        # In the processor rip may still be at the call itself; saving all registers only for it costs more
        # than the filter.
        general = kernel.registers_of(task).general if newest.uses_address else live
        answer, source = newest.finish(kernel.clock, decision, number, general)
    if answer == RET_ALLOW:
        return None
    action, data = answer & SECCOMP_RET_ACTION_FULL, answer & SECCOMP_RET_DATA
    if action in _PASSING:
        return None
    if action == _ERRNO:
        return -min(data, _MAX_ERRNO)
    general = kernel.registers_of(task).general
    if action == _USER_NOTIF:
        return notify_supervisor(kernel, task, source, data_of(number, general))
    if action == _TRACE:
        if is_told:
            return None
        if tracing is not None and tracing.options & TRACESECCOMP:
            _tell_tracer(kernel, task, data)
        return -ENOSYS.number
    # The handler, or the core, shows the registers as they were before the call.
    if action == _TRAP:
        force_signal(kernel, task, _signal(number, data, general))
        return number
    task.seccomp_mode = MODE_DEAD
    if action == _KILL_THREAD and sum(thread.state not in ENDED for thread in task.group.threads) > 1:
        do_exit(kernel, task, SIGSYS)
    else:
        force_signal(kernel, task, _signal(number, data, general), is_immutable=True)
    return number


def _tell_tracer(kernel: Kernel, task: Task, data: int) -> None:
    ptrace_event(kernel, task, EVENT_SECCOMP, data, AT_SECCOMP)


def _enter_strict(kernel: Kernel, task: Task, number: int) -> int | None:
    """Linux: kernel/seccomp.c, __secure_computing_strict."""
    if task.seccomp_mode == MODE_STRICT and number & _WORD in _STRICT_CALLS:
        return None
    task.seccomp_mode = MODE_DEAD
    do_exit(kernel, task, SIGKILL)
    return number


def _signal(number: int, reason: int, general: GeneralRegisters) -> SigInfo:
    """SIGSYS for a call. Linux: kernel/signal.c, force_sig_seccomp."""
    signed = ((number & _WORD) ^ 0x80000000) - 0x80000000
    info = SigInfo(SIGSYS, _SYS_SECCOMP, address=general[RIP], errno=reason, value=signed)
    info.architecture = AUDIT_ARCH_X86_64
    return info
