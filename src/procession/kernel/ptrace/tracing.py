"""What a traced task knows of its tracer, and of the stop in which it waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.ptrace import PtraceEvent, PtraceOption, PtraceRequest
from procession.hardware.registers import TRAP_FLAG

if TYPE_CHECKING:
    from procession.hardware.registers import Registers
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task

TRACESYSGOOD = int(PtraceOption.PTRACE_O_TRACESYSGOOD)
TRACESECCOMP = int(PtraceOption.PTRACE_O_TRACESECCOMP)
EXITKILL = int(PtraceOption.PTRACE_O_EXITKILL)
SUSPEND_SECCOMP = int(PtraceOption.PTRACE_O_SUSPEND_SECCOMP)
ALL_OPTIONS = sum(map(int, PtraceOption))

EVENT_FORK = int(PtraceEvent.PTRACE_EVENT_FORK)
EVENT_VFORK = int(PtraceEvent.PTRACE_EVENT_VFORK)
EVENT_CLONE = int(PtraceEvent.PTRACE_EVENT_CLONE)
EVENT_EXEC = int(PtraceEvent.PTRACE_EVENT_EXEC)
EVENT_VFORK_DONE = int(PtraceEvent.PTRACE_EVENT_VFORK_DONE)
EVENT_EXIT = int(PtraceEvent.PTRACE_EVENT_EXIT)
EVENT_SECCOMP = int(PtraceEvent.PTRACE_EVENT_SECCOMP)
EVENT_STOP = int(PtraceEvent.PTRACE_EVENT_STOP)

# How a task goes on after a stop, as the request said (in Linux, TIF_SYSCALL_TRACE and its like).
TRACE_CALLS = 1
EMULATE_CALLS = 2
SINGLE_STEP = 4
TRAP_FLAG_FORCED = 8
"""It's the tracer who has set the trap flag, which it doesn't see (in Linux, TIF_FORCED_TF)."""
BLOCK_STEP = 16
"""Of a step: up to the next branch that is taken (in Linux, TIF_BLOCKSTEP)."""

MODES = {
    int(PtraceRequest.PTRACE_CONT): 0,
    int(PtraceRequest.PTRACE_SYSCALL): TRACE_CALLS,
    int(PtraceRequest.PTRACE_SINGLESTEP): SINGLE_STEP,
    int(PtraceRequest.PTRACE_SINGLEBLOCK): SINGLE_STEP | BLOCK_STEP,
    int(PtraceRequest.PTRACE_SYSEMU): EMULATE_CALLS,
    int(PtraceRequest.PTRACE_SYSEMU_SINGLESTEP): EMULATE_CALLS | SINGLE_STEP,
}
"""The requests that let a tracee go on, and how."""

# Where in the kernel a task has stopped, and so what it does when it goes on.
(
    AT_SIGNAL,
    AT_TRAP,
    AT_CALL_ENTRY,
    AT_SECCOMP,
    AT_CALL_EXIT,
    IN_CALL,
    AT_EXIT,
    AT_HANDLER,
) = range(8)


class Tracing:
    """Who traces a task, and how (in Linux, task_struct.ptrace, parent and ptracer_cred).

    `credentials` are those that the tracer had when it attached; `options` are PTRACE_O_*; `mode` says how
    the task goes on: TRACE_CALLS and the flags beside it. `behind_branch` is the address behind the next
    instruction if that's a branch and the task is stepped from one to the next, else None.

    Neither this nor a stop is charged: a living task is charged a kernel stack, and a traced zombie, which
    keeps this but not a stop, more than its structures take.
    """

    __slots__ = (
        "behind_branch",
        "credentials",
        "is_seized",
        "mode",
        "options",
        "tracer",
    )

    def __init__(self, tracer: Task, credentials: Credentials, *, is_seized: bool, options: int) -> None:
        self.tracer = tracer
        self.credentials = credentials
        self.is_seized = is_seized
        self.options = options
        self.mode = 0
        self.behind_branch: int | None = None

    def stop_stepping(self, registers: Registers) -> bool:
        """Undo what makes the processor stop after each instruction; whether it was so.

        Linux: arch/x86/kernel/step.c, user_disable_single_step.
        """
        mode = self.mode
        self.mode = mode & ~(SINGLE_STEP | BLOCK_STEP | TRAP_FLAG_FORCED)
        if mode & TRAP_FLAG_FORCED:
            registers.rflags &= ~TRAP_FLAG
        return bool(mode & SINGLE_STEP)

    def start_stepping(self, registers: Registers, *, was_stepped: bool, sets_flag: bool) -> None:
        """Make the processor stop after the next instruction, which may set the trap flag itself.

        Then it isn't the tracer's any more, so that the tracer sees it, and it stays when the stepping ends.

        Linux: arch/x86/kernel/step.c, enable_single_step.
        """
        self.mode |= SINGLE_STEP
        had_flag = was_stepped or registers.rflags & TRAP_FLAG
        registers.rflags |= TRAP_FLAG
        if sets_flag:
            self.mode &= ~TRAP_FLAG_FORCED
        elif not had_flag:
            self.mode |= TRAP_FLAG_FORCED

    def is_reparented(self, task: Task) -> bool:
        """Whether the tracer of `task` isn't its parent's process.

        Linux: include/linux/ptrace.h, ptrace_reparented.
        """
        parent = task.parent
        return parent is None or parent.group is not self.tracer.group

    def wants(self, event: int) -> bool:
        """Whether its tracer is told of `event`.

        Linux: include/linux/ptrace.h, ptrace_event_enabled.
        """
        return bool(self.options >> event & 1)


class TraceStop:
    """A stop of a traced task: `code` is what a wait tells, until that has been told; then what the tracer
    says, a signal or 0 (in Linux, task_struct.exit_code).

    `info` is what PTRACE_GETSIGINFO gives, `message` what PTRACE_GETEVENTMSG does. `stage` says where in the
    kernel it is, AT_SIGNAL and its like, and `argument` what is needed to go on from there.
    `floating_as_set` is the floating-point state that the tracer has set, and the area that it was set by.
    """

    __slots__ = ("argument", "code", "floating_as_set", "info", "message", "stage")

    def __init__(self, stage: int, code: int, info: SigInfo | None, message: int, argument: Any) -> None:
        self.stage = stage
        self.code = code
        self.info = info
        self.message = message
        self.argument = argument
        self.floating_as_set: tuple[bytes, bytes] | None = None


class EventStop(Exception):
    """Raised by the handler of a traced task's system call that has something to tell of.

    The task stops, and when it goes on the handler runs again and finds `progress`, as after a Sleep. A
    handler that shouldn't go on, as the task is killed, is not run again.
    """

    def __init__(self, event: int, message: int, progress: object) -> None:
        super().__init__(event, message)
        self.event = event
        self.message = message
        self.progress = progress
