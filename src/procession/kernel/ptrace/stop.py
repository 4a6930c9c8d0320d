"""How a traced task stops for its tracer, at signals, events and system calls, and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.ptrace import PtraceEventMessage
from procession.abi.signals import TrapCode
from procession.abi.wait_options import ChildCode
from procession.hardware.registers import RIP
from procession.kernel.observer import CAUSE_CONTINUE
from procession.kernel.ptrace.tracing import (
    AT_CALL_ENTRY,
    AT_CALL_EXIT,
    AT_EXIT,
    AT_HANDLER,
    AT_SIGNAL,
    AT_TRAP,
    EMULATE_CALLS,
    EVENT_EXEC,
    EVENT_EXIT,
    EVENT_STOP,
    SINGLE_STEP,
    TRACE_CALLS,
    TRACESYSGOOD,
    TraceStop,
)
from procession.kernel.signal.generation import force_signal, send_signal
from procession.kernel.signal.info import SI_USER, SigInfo
from procession.kernel.signal.mask import recalculate_pending
from procession.kernel.signal.parent import CLD_STOPPED, notify_parent_of_stop, notify_tracer
from procession.kernel.signal.set import SIGNAL_COUNT, SIGTRAP
from procession.kernel.signal.stop import (
    LISTENING,
    STOP_DEQUEUED,
    STOP_PENDING,
    STOP_SIGNAL_MASK,
    TRAP_NOTIFY,
    TRAP_STOP,
    participate_in_stop,
)
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.task import SIGNAL_PENDING, SIGNAL_STOP_STOPPED, TRACE_STOPPED
from procession.kernel.task_state import INTERRUPTIBLE, RUNNING, TRACED, set_state

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_CLD_TRAPPED = int(ChildCode.CLD_TRAPPED)
_TRAP_BRKPT = int(TrapCode.TRAP_BRKPT)
_ENTRY = int(PtraceEventMessage.PTRACE_EVENTMSG_SYSCALL_ENTRY)
_EXIT = int(PtraceEventMessage.PTRACE_EVENTMSG_SYSCALL_EXIT)
_SYSGOOD = 0x80


def ptrace_stop(
    kernel: Kernel,
    task: Task,
    code: int,
    why: int,
    info: SigInfo | None,
    stage: int,
    message: int = 0,
    argument: Any = None,
) -> bool:
    """Stop `task`, which runs or has been stopped, for its tracer; False if it has none, or is killed.

    Whoever calls leaves at once: the task goes on by `stage`. Linux: kernel/signal.c, ptrace_stop.
    """
    tracing = task.ptrace
    if tracing is None or has_fatal_signal(task):
        return False
    task.trace_stop = TraceStop(stage, code, info, message, argument)
    is_complete = False
    if why == CLD_STOPPED and task.job_control & STOP_PENDING:
        is_complete = participate_in_stop(task)
    task.job_control &= ~TRAP_STOP
    if info is not None and info.code >> 8 == EVENT_STOP:
        task.job_control &= ~TRAP_NOTIFY
    task.work |= TRACE_STOPPED
    if task.state is RUNNING:
        task.times.voluntary_switches += 1
    set_state(task, TRACED)
    notify_tracer(kernel, task, why)
    if is_complete and tracing.is_reparented(task):
        notify_parent_of_stop(kernel, task, CLD_STOPPED)
    return True


def leave_stop(task: Task) -> TraceStop:
    """The running `task` goes on after a stop, which is no more."""
    stop = task.trace_stop
    assert stop is not None
    task.trace_stop = None
    task.work &= ~TRACE_STOPPED
    task.job_control &= ~LISTENING
    was_pending = task.work & SIGNAL_PENDING
    recalculate_pending(task)
    task.work |= was_pending
    return stop


def ptrace_notify(
    kernel: Kernel,
    task: Task,
    code: int,
    stage: int,
    message: int = 0,
    argument: Any = None,
    signo: int = SIGTRAP,
    why: int = _CLD_TRAPPED,
) -> bool:
    """Stop `task` for what isn't a signal. Linux: kernel/signal.c, ptrace_do_notify."""
    info = SigInfo(signo, code, sender=task.thread_pid, uid=task.credentials.uid)
    return ptrace_stop(kernel, task, code, why, info, stage, message, argument)


def ptrace_event(
    kernel: Kernel, task: Task, event: int, message: int, stage: int, argument: Any = None
) -> bool:
    """Stop the traced `task` for `event`, if its tracer wants to know.

    Linux: include/linux/ptrace.h, ptrace_event.
    """
    tracing = task.ptrace
    if tracing is None:
        return False
    if tracing.wants(event):
        return ptrace_notify(kernel, task, event << 8 | SIGTRAP, stage, message, argument)
    if event == EVENT_EXEC and not tracing.is_seized:
        # What a tracer that wants no events knew of exec by, of old.
        send_signal(kernel, task, SigInfo(SIGTRAP, SI_USER, sender=task.group.pid, uid=task.credentials.uid))
    return False


def stop_at_exit(kernel: Kernel, task: Task, code: int) -> bool:
    """Stop the traced `task`, about to end with wait status `code`, if its tracer wants to know."""
    return ptrace_event(kernel, task, EVENT_EXIT, code, AT_EXIT, code)


def stop_at_signal(kernel: Kernel, task: Task, info: SigInfo, *, is_group: bool) -> bool:
    """Show its tracer a signal that `task` is about to take. Linux: kernel/signal.c, ptrace_signal."""
    # Whether it's one that stops isn't known: the tracer may give another.
    task.job_control |= STOP_DEQUEUED
    return ptrace_stop(kernel, task, info.signo, _CLD_TRAPPED, info, AT_SIGNAL, argument=is_group)


def signal_after_stop(kernel: Kernel, task: Task, stop: TraceStop) -> SigInfo | None:
    """The signal that the tracer lets `task` take, None for none. Linux: kernel/signal.c, ptrace_signal."""
    signo, info = stop.code, stop.info
    assert info is not None
    if not signo or signo > SIGNAL_COUNT:
        return None
    if signo != info.signo:
        # Nothing of the old info is true of another signal: the tracer sent this one.
        tracing = task.ptrace
        giver = task.parent if tracing is None else tracing.tracer
        info = SigInfo(signo, SI_USER)
        if giver is not None:
            info.sender = giver.group.pid
            info.uid = task.credentials.user_namespace.from_kuid_munged(giver.credentials.uid)
    if task.blocked >> (signo - 1) & 1 or has_fatal_signal(task):
        # The tracer may have blocked it during the stop: it waits again, as if it had just been sent.
        send_signal(kernel, task.group if stop.argument else task, info)
        return None
    return info


def stop_for_trap(kernel: Kernel, task: Task) -> bool:
    """The stop that `task.job_control` asks for: the group's, or one for nothing but its tracer.

    Linux: kernel/signal.c, do_jobctl_trap.
    """
    tracing = task.ptrace
    assert tracing is not None
    signo = task.job_control & STOP_SIGNAL_MASK
    if not tracing.is_seized:
        # Without siginfo, by which PTRACE_GETSIGINFO's EINVAL tells a group stop (ptrace(2)).
        return ptrace_stop(kernel, task, signo, CLD_STOPPED, None, AT_TRAP)
    group = task.group
    if not group.stop_count and not group.flags & SIGNAL_STOP_STOPPED:
        signo = SIGTRAP
    code = signo | EVENT_STOP << 8
    return ptrace_notify(kernel, task, code, AT_TRAP, signo=signo, why=CLD_STOPPED)


def stop_at_call_entry(kernel: Kernel, task: Task) -> bool:
    """Show its tracer the system call that the running `task` is about to make.

    Linux: include/linux/ptrace.h, ptrace_report_syscall_entry.
    """
    tracing = task.ptrace
    if tracing is None or not tracing.mode & (TRACE_CALLS | EMULATE_CALLS):
        return False
    is_emulated = bool(tracing.mode & EMULATE_CALLS)
    return ptrace_notify(kernel, task, _call_code(task), AT_CALL_ENTRY, _ENTRY, is_emulated)


def stop_at_call_exit(kernel: Kernel, task: Task) -> bool:
    """Show its tracer what a system call of the running `task` has returned.

    Linux: kernel/entry/common.c, syscall_exit_work.
    """
    tracing = task.ptrace
    if tracing is None:
        return False
    if tracing.mode & SINGLE_STEP and not tracing.mode & EMULATE_CALLS:
        # The instruction that has been stepped is the call.
        address = kernel.registers_of(task).general[RIP]
        force_signal(kernel, task, SigInfo(SIGTRAP, _TRAP_BRKPT, address=address))
        return False
    if not tracing.mode & TRACE_CALLS:
        return False
    return ptrace_notify(kernel, task, _call_code(task), AT_CALL_EXIT, _EXIT)


def _call_code(task: Task) -> int:
    tracing = task.ptrace
    assert tracing is not None
    return SIGTRAP | (_SYSGOOD if tracing.options & TRACESYSGOOD else 0)


def take_call_stop(kernel: Kernel, task: Task, stop: TraceStop) -> None:
    """Send `task` the signal that its tracer gave at a stop for a system call.

    Linux: include/linux/ptrace.h, ptrace_report_syscall.
    """
    if 0 < stop.code <= SIGNAL_COUNT:
        send_signal(kernel, task, SigInfo(stop.code))


def stop_in_handler(kernel: Kernel, task: Task) -> None:
    """A tracer that steps `task` sees a handler's first instruction.

    Linux: kernel/signal.c, signal_setup_done.
    """
    ptrace_notify(kernel, task, SIGTRAP, AT_HANDLER)


def signal_wake_up(task: Task, *, resumes: bool) -> None:
    """Make `task` look at what its tracer wants; with `resumes` it leaves a stop for that.

    Linux: include/linux/sched/signal.h, ptrace_signal_wake_up.
    """
    task.work |= SIGNAL_PENDING
    state = task.state
    if state is INTERRUPTIBLE or (resumes and state is TRACED):
        task.kernel.scheduler.wake(task, CAUSE_CONTINUE)
