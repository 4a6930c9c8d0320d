"""The requests that let a stopped tracee go on, and those that make it stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EIO, ESRCH
from procession.abi.ptrace import PtraceRequest
from procession.hardware.instruction import LONGEST_INSTRUCTION, PREFIXES
from procession.hardware.registers import RIP
from procession.kernel.observer import CAUSE_CONTINUE
from procession.kernel.ptrace.debug_registers import arm
from procession.kernel.ptrace.link import is_stopped
from procession.kernel.ptrace.stop import signal_wake_up
from procession.kernel.ptrace.tracing import EVENT_STOP, MODES, SINGLE_STEP
from procession.kernel.signal.set import SIGNAL_COUNT
from procession.kernel.signal.stop import LISTENING, TRAP_NOTIFY, TRAP_STOP, request_stop
from procession.kernel.signal.wake import has_fatal_signal
from procession.mm.peek import peek

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_KILL, _INTERRUPT = int(PtraceRequest.PTRACE_KILL), int(PtraceRequest.PTRACE_INTERRUPT)


def check_tracee(tracer: Task, task: Task, request: int) -> None:
    """Raise ESRCH unless the running `tracer` traces `task`, and it has stopped where `request` wants that.

    Linux: kernel/ptrace.c, ptrace_check_attach.
    """
    tracing = task.ptrace
    if tracing is None or tracing.tracer is not tracer:
        raise ESRCH(f"task {task.tid} isn't traced by the caller")
    if request in (_KILL, _INTERRUPT):
        return
    if not is_stopped(task) or task.job_control & LISTENING or has_fatal_signal(task):
        raise ESRCH(f"task {task.tid} hasn't stopped")


def resume(kernel: Kernel, task: Task, request: int, signo: int) -> None:
    """Let the stopped `task` go on with signal `signo` or 0, as `request` says. Raises EIO.

    Linux: kernel/ptrace.c, ptrace_resume.
    """
    if signo > SIGNAL_COUNT:
        raise EIO(f"no signal {signo}")
    tracing, stop = task.ptrace, task.trace_stop
    assert tracing is not None
    assert stop is not None
    registers = kernel.registers_of(task)
    mode = MODES[request]
    if mode & SINGLE_STEP:
        was_stepped = tracing.mode & SINGLE_STEP != 0
        tracing.mode = tracing.mode & ~_CALL_MODES | mode
        sets_flag = _sets_trap_flag(task, registers.general[RIP])
        tracing.start_stepping(registers, was_stepped=was_stepped, sets_flag=sets_flag)
    else:
        tracing.stop_stepping(registers)
        tracing.mode = mode
    arm(task, registers)
    kernel.registers_changed(task)
    stop.code = signo
    kernel.scheduler.wake(task, CAUSE_CONTINUE)


def _sets_trap_flag(task: Task, address: int) -> bool:
    """Whether the instruction at `address` loads all flags: popf and iret.

    Linux: arch/x86/kernel/step.c, is_setting_trap_flag.
    """
    for byte in peek(task.mm, address, LONGEST_INSTRUCTION):
        if byte not in PREFIXES and byte & _REX_MASK != _REX:
            return byte in _LOADS_OF_FLAGS
    return False


_LOADS_OF_FLAGS = (0x9D, 0xCF)
_REX, _REX_MASK = 0x40, 0xF0
_CALL_MODES = MODES[int(PtraceRequest.PTRACE_SYSCALL)] | MODES[int(PtraceRequest.PTRACE_SYSEMU)]


def interrupt(task: Task) -> None:
    """Make the seized `task` stop soon, without a signal. Raises EIO.

    Linux: kernel/ptrace.c, ptrace_request.
    """
    tracing = task.ptrace
    assert tracing is not None
    if not tracing.is_seized:
        raise EIO("it was attached to, not seized")
    if request_stop(task, TRAP_STOP):
        signal_wake_up(task, resumes=bool(task.job_control & LISTENING))


def listen(task: Task) -> None:
    """Leave the seized `task` stopped as its group is, to hear when that changes. Raises EIO.

    Linux: kernel/ptrace.c, ptrace_request.
    """
    tracing, stop = task.ptrace, task.trace_stop
    assert tracing is not None
    assert stop is not None
    if not tracing.is_seized or stop.info is None or stop.info.code >> 8 != EVENT_STOP:
        raise EIO("it isn't a stop of its group")
    task.job_control |= LISTENING
    if task.job_control & TRAP_NOTIFY:
        signal_wake_up(task, resumes=True)
