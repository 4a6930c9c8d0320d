"""Who traces whom: attaching, detaching, and the end of a tracer or of what it traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.clone_flags import CloneFlag
from procession.abi.errno import EINVAL, EIO, EPERM, ERESTARTNOINTR
from procession.fs.landlock import is_within
from procession.fs.wait_queue import Sleep
from procession.hardware.registers import TRAP_FLAG
from procession.kernel.ptrace.debug_registers import pass_to_tracer, take_from_tracer
from procession.kernel.ptrace.stop import signal_wake_up, stop_for_trap
from procession.kernel.ptrace.tracing import (
    ALL_OPTIONS,
    EVENT_CLONE,
    EVENT_FORK,
    EVENT_VFORK,
    EXITKILL,
    SUSPEND_SECCOMP,
    TRAP_FLAG_FORCED,
    Tracing,
)
from procession.kernel.security.capability import CAP_SYS_ADMIN, CAP_SYS_PTRACE
from procession.kernel.security.ptrace_access import may_access
from procession.kernel.security.yama import check_traceme
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.parent import notify_parent
from procession.kernel.signal.set import SIGCHLD, SIGKILL, SIGNAL_COUNT, SIGSTOP, mask_of
from procession.kernel.signal.stop import STOP_PENDING, TRAP_MASK, TRAP_STOP, request_stop
from procession.kernel.task import (
    CALL_EXIT_WORK,
    CALL_TRACED,
    SIGNAL_PENDING,
    SIGNAL_STOP_STOPPED,
    TRACE_STOPPED,
)
from procession.kernel.task_state import ENDED, STOPPED, TRACED, ZOMBIE

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_CLONE_PTRACE = int(CloneFlag.CLONE_PTRACE)
_CLONE_VFORK = int(CloneFlag.CLONE_VFORK)
_CLONE_UNTRACED = int(CloneFlag.CLONE_UNTRACED)


def link(task: Task, tracer: Task, tracing: Tracing) -> None:
    """Let `tracer` trace `task`. Linux: kernel/ptrace.c, __ptrace_link."""
    task.ptrace = tracing
    if task.debug_registers is not None:
        pass_to_tracer(task.debug_registers, tracing)
    if tracer.tracees is None:
        tracer.tracees = {}
    tracer.tracees[task] = None
    task.kernel.add_call_work(task, CALL_TRACED)
    if task.frame is not None:
        # Whether the tracer wants to see how a call ends is asked at its end. Linux: kernel/entry/common.c,
        # syscall_exit_to_user_mode_prepare.
        task.work |= CALL_EXIT_WORK


def unlink(task: Task) -> None:
    """Nobody traces `task` any more: it leaves a stop for its tracer, or takes part in that of its group.

    Linux: kernel/ptrace.c, __ptrace_unlink.
    """
    tracing = task.ptrace
    assert tracing is not None
    task.ptrace = None
    if task.debug_registers is not None:
        take_from_tracer(task.kernel, task, task.debug_registers, tracing)
    tracees = tracing.tracer.tracees
    if tracees is not None:
        tracees.pop(task, None)
    task.kernel.remove_call_work(task, CALL_TRACED)
    task.job_control &= ~TRAP_MASK
    group = task.group
    if not task.is_exiting and (group.flags & SIGNAL_STOP_STOPPED or group.stop_count):
        task.job_control |= STOP_PENDING
    if task.job_control & STOP_PENDING or task.state is TRACED:
        signal_wake_up(task, resumes=True)


def trace_me(task: Task) -> None:
    """Let the parent of `task` trace it. Raises EPERM. Linux: kernel/ptrace.c, ptrace_traceme."""
    if task.ptrace is not None:
        raise EPERM("it's traced already")
    parent = task.parent
    if parent is None:
        return
    mine, theirs = task.credentials, parent.credentials
    # Linux: security/commoncap.c, cap_ptrace_traceme.
    is_subset = mine.user_namespace is theirs.user_namespace and not (
        mine.cap_permitted & ~theirs.cap_permitted
    )
    if not is_subset and not theirs.has_ns_capability(mine.user_namespace, CAP_SYS_PTRACE):
        raise EPERM("the parent may do less than the caller")
    # Linux: security/landlock/task.c, hook_ptrace_traceme.
    if not is_within(theirs.landlock, mine.landlock):
        raise EPERM("the caller isn't in the parent's Landlock domain")
    check_traceme(task, parent)
    if not parent.is_exiting:
        link(task, parent, Tracing(parent, theirs, is_seized=False, options=0))


def check_options(task: Task, options: int) -> None:
    """Raise EINVAL or EPERM for options that `task` may not set.

    Linux: kernel/ptrace.c, check_ptrace_options.
    """
    if options & ~ALL_OPTIONS:
        raise EINVAL("unknown options")
    if options & SUSPEND_SECCOMP:
        if not task.credentials.capable(CAP_SYS_ADMIN):
            raise EPERM("suspending seccomp takes CAP_SYS_ADMIN")
        if task.seccomp_mode or (task.ptrace is not None and task.ptrace.options & SUSPEND_SECCOMP):
            raise EPERM("the caller is under seccomp itself")


def attach(kernel: Kernel, task: Task, target: Task, address: int, options: int, *, is_seized: bool) -> None:
    """Let the running `task` trace `target`, which stops at once unless it's seized.

    Raises EIO, EINVAL, EPERM, and Sleep while a thread of its process that executes a program waits for the
    others to be gone. Linux: kernel/ptrace.c, ptrace_attach.
    """
    if is_seized:
        if address or options & ~ALL_OPTIONS:
            raise EIO("PTRACE_SEIZE takes no address, and known options")
        check_options(task, options)
    if target.group is task.group:
        raise EPERM("it's a thread of the caller's process")
    executing = target.group.exec
    if executing is not None:
        raise Sleep(executing.attaching, progress=target, interrupted=ERESTARTNOINTR)
    if target.state in ENDED:
        raise EPERM("it has ended")
    if not may_access(task, target, by_fs_ids=False, attaches=True):
        raise EPERM(f"task {target.tid} isn't the caller's to trace")
    if target.ptrace is not None:
        raise EPERM("it's traced already")
    link(
        target,
        task,
        Tracing(task, task.credentials, is_seized=is_seized, options=options if is_seized else 0),
    )
    if not is_seized:
        send_signal(kernel, target, SigInfo(SIGSTOP))
    if target.state is STOPPED and request_stop(target, TRAP_STOP):
        stop_for_trap(kernel, target)
    if kernel.process_connector is not None:
        kernel.process_connector.tell_of_tracer(target, task)


def detach(kernel: Kernel, tracer: Task, task: Task, signo: int) -> None:
    """Let the stopped `task` go on, with signal `signo` or 0, traced by nobody. Raises EIO.

    Linux: kernel/ptrace.c, ptrace_detach.
    """
    if signo > SIGNAL_COUNT:
        raise EIO(f"no signal {signo}")
    assert task.ptrace is not None
    task.ptrace.stop_stepping(kernel.registers_of(task))
    assert task.trace_stop is not None
    task.trace_stop.code = signo
    if kernel.process_connector is not None:
        kernel.process_connector.tell_of_tracer(task, None)
    leave_tracer(kernel, tracer, task)


def leave_tracer(kernel: Kernel, tracer: Task, task: Task) -> None:
    """`tracer` traces `task` no longer; a zombie is told of to its parent, or forgotten.

    Linux: kernel/ptrace.c, __ptrace_detach.
    """
    from procession.kernel.exit import announce, release_thread

    unlink(task)
    if task.state is not ZOMBIE:
        return
    if not task.is_leader:
        release_thread(kernel, task)
    elif len(task.group.threads) == 1:
        parent = task.parent
        if parent is None or parent.group is not tracer.group:
            announce(kernel, task)
        elif parent.group.handlers.ignores_children():
            parent.group.wait_queue.wake_all()
            release_thread(kernel, task)


def exit_ptrace(kernel: Kernel, tracer: Task) -> None:
    """`tracer` ends: what it traces goes on without it. Linux: kernel/ptrace.c, exit_ptrace."""
    for task in list(tracer.tracees or ()):
        if task.ptrace is None:
            continue
        if task.ptrace.options & EXITKILL:
            send_signal(kernel, task, SigInfo(SIGKILL))
        leave_tracer(kernel, tracer, task)


def clone_event(task: Task, flags: int, exit_signal: int) -> int:
    """The event that the traced `task` has when it clones, 0 if its tracer doesn't want to know.

    Linux: kernel/fork.c, kernel_clone.
    """
    tracing = task.ptrace
    if tracing is None or flags & _CLONE_UNTRACED:
        return 0
    if flags & _CLONE_VFORK:
        event = EVENT_VFORK
    elif exit_signal != SIGCHLD:
        event = EVENT_CLONE
    else:
        event = EVENT_FORK
    return event if tracing.wants(event) else 0


def inherit_tracer(parent: Task, child: Task, flags: int, exit_signal: int) -> None:
    """Let the tracer of `parent` trace its new child too, if it shall: the child begins with a stop.

    Linux: include/linux/ptrace.h, ptrace_init_task.
    """
    tracing = parent.ptrace
    assert tracing is not None
    if tracing.mode & TRAP_FLAG_FORCED:
        child.registers.rflags &= ~TRAP_FLAG
    if not flags & _CLONE_PTRACE and not clone_event(parent, flags, exit_signal):
        return
    child.call_number = parent.call_number
    tracer = tracing.tracer
    link(
        child,
        tracer,
        Tracing(tracer, tracing.credentials, is_seized=tracing.is_seized, options=tracing.options),
    )
    if tracing.is_seized:
        child.job_control |= TRAP_STOP
    else:
        child.pending.mask |= mask_of(SIGSTOP)
    child.work |= SIGNAL_PENDING


def is_stopped(task: Task) -> bool:
    """Whether `task` has stopped for its tracer, and nobody has let it go on yet."""
    return task.state is TRACED and bool(task.work & TRACE_STOPPED)


def tell_parent_of_zombie(kernel: Kernel, task: Task) -> bool:
    """The tracer has reaped the leader `task`, whose parent is another: whether that one wants no zombie.

    Linux: kernel/exit.c, wait_task_zombie.
    """
    unlink(task)
    return task.parent is None or notify_parent(kernel, task, task.exit_signal)
