"""Delivering signals before a thread goes back to user mode: default actions, handlers, restarted calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT
from procession.abi.signals import SIG_DFL, SIG_IGN
from procession.hardware.physical_memory import OutOfFrames
from procession.hardware.registers import RAX, RIP, set_register
from procession.kernel.cgroup.freezer import enter_frozen, leave_frozen, update_frozen
from procession.kernel.observer import SIGNAL
from procession.kernel.oom import await_memory
from procession.kernel.ptrace.debug_registers import arm, disarm
from procession.kernel.ptrace.stop import stop_at_signal, stop_for_trap, stop_in_handler
from procession.kernel.rseq import handle_event
from procession.kernel.session import is_orphaned_process_group
from procession.kernel.signal.frame import build_frame, is_canonical
from procession.kernel.signal.generation import force_signal
from procession.kernel.signal.handlers import SA_IMMUTABLE, SA_NODEFER, SA_RESETHAND, SA_RESTART, SignalAction
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.mask import (
    recalculate_pending,
    restore_saved_mask,
    retarget_shared_pending,
    set_blocked,
)
from procession.kernel.signal.parent import CLD_CONTINUED, CLD_STOPPED, notify_parent_of_stop, notify_tracer
from procession.kernel.signal.set import (
    ALL_SIGNALS,
    DUMPING,
    IGNORED_BY_DEFAULT,
    KILL_BIT,
    SIGALRM,
    SIGKILL,
    SIGSEGV,
    SIGSTOP,
    STOPPING,
    UNBLOCKABLE,
)
from procession.kernel.signal.stop import (
    FROZEN,
    PENDING_MASK,
    SIGNAL_CLD_CONTINUED,
    SIGNAL_CLD_MASK,
    STOP_DEQUEUED,
    STOP_PENDING,
    TRAP_FREEZE,
    TRAP_MASK,
    TRAP_STOP,
    begin_group_stop,
    participate_in_stop,
    request_stop,
)
from procession.kernel.task import (
    RESTORE_MASK,
    SIGNAL_GROUP_EXIT,
    SIGNAL_PENDING,
    SIGNAL_UNKILLABLE,
)
from procession.kernel.task_state import RUNNING, STOPPED, set_state
from procession.kernel.time.costs import PASSED_SIGNAL_NS, SIGNAL_NS
from procession.kernel.timers.interval import alarm_taken

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_WORD = 1 << 64
_EINTR = _WORD - 4
_ERESTARTSYS = _WORD - 512
_ERESTARTNOINTR = _WORD - 513
_ERESTARTNOHAND = _WORD - 514
_ERESTART_RESTARTBLOCK = _WORD - 516
_INTERRUPTED = (_EINTR, _ERESTARTSYS, _ERESTARTNOINTR, _ERESTARTNOHAND, _ERESTART_RESTARTBLOCK)
_RESTART_SYSCALL = 219
_SYSCALL_LENGTH = 2


def deliver_signals(kernel: Kernel, task: Task, shown: SigInfo | None = None) -> None:
    """Do what is pending for the running `task`: at most one handler is entered, or the task ends or stops.

    `shown` is a signal that its tracer has seen, and lets it take.

    Called while `task.work` has SIGNAL_PENDING or RESTORE_MASK. A system call that a signal interrupted is
    made to run again or to fail with EINTR. If the task has stopped, this is called again when it goes on.
    Linux: arch/x86/kernel/signal.c, arch_do_signal_or_restart.
    """
    if task.work & RESTORE_MASK and kernel.registers_of(task).general[RAX] not in _INTERRUPTED:
        restore_saved_mask(task)
    if task.work & SIGNAL_PENDING or shown is not None:
        info = next_signal(kernel, task, shown)
        if info is not None:
            try:
                _enter_handler(kernel, task, info)
            except OutOfFrames:
                task.pending.put_back(info)
                recalculate_pending(task)
                await_memory(kernel, task)
            return
        if task.state is not RUNNING:
            return
    if task.call_number >= 0:
        _restart_call(kernel, task)
    restore_saved_mask(task)


def take_signal(kernel: Kernel, task: Task, blocked: int) -> SigInfo | None:
    """Remove and return the next signal for the thread that isn't in `blocked`, its own before the process's.

    Linux: kernel/signal.c, dequeue_signal.
    """
    while True:
        info = task.pending.take_next(blocked)
        if info is None:
            info = task.group.shared_pending.take_next(blocked)
            if info is not None and info.signo == SIGALRM and task.group.itimers:
                alarm_taken(kernel, task.group)
        recalculate_pending(task)
        if info is None:
            return None
        if STOPPING >> (info.signo - 1) & 1:
            task.job_control |= STOP_DEQUEUED
        if info.timer is None:
            return info
        if not info.is_stale:
            info.timer.signal_taken(kernel, info)
            return info
        kernel.clock.spend(PASSED_SIGNAL_NS)


def next_signal(kernel: Kernel, task: Task, shown: SigInfo | None = None) -> SigInfo | None:
    """Take signals, first `shown`, until one has a handler; do the default action of the others.

    Returns None when none is left, and also when the task has stopped or ended: it isn't RUNNING then.
    Linux: kernel/signal.c, get_signal.
    """
    group = task.group
    actions = group.handlers.actions
    if task.job_control & FROZEN:
        leave_frozen(task)
    while True:
        if shown is not None:
            info, shown = shown, None
        else:
            if group.flags & SIGNAL_CLD_MASK:
                _announce_change(kernel, task)
            if group.flags & SIGNAL_GROUP_EXIT or task.pending.mask & KILL_BIT:
                _end_killed(kernel, task)
                return None
            if task.job_control & PENDING_MASK:
                _stop(kernel, task)
                return None
            if task.job_control & TRAP_FREEZE:
                enter_frozen(task)
                return None
            # Faults first: where their handler's frame says the thread was must be the faulting instruction.
            found = task.pending.take_fault(task.blocked)
            if found is None:
                mine = task.pending.mask
                found = take_signal(kernel, task, task.blocked)
                if found is None:
                    return None
                is_group = task.ptrace is not None and not mine & ~task.blocked
            else:
                is_group = False
                recalculate_pending(task)
            info = found
            if (
                task.ptrace is not None
                and info.signo != SIGKILL
                and not actions[info.signo].flags & SA_IMMUTABLE
                and stop_at_signal(kernel, task, info, is_group=is_group)
            ):
                return None
        if kernel.signal_gate is not None:
            chosen = kernel.signal_gate.signal_for(task, info)
            if not chosen:
                continue
            if chosen != info.signo:
                info = SigInfo(chosen)
        signo = info.signo
        if kernel.observer is not None:
            kernel.observer.task_event(task, SIGNAL, info)
        handler = actions[signo].handler
        if handler == SIG_IGN:
            continue
        if handler != SIG_DFL:
            return info
        bit = 1 << (signo - 1)
        if bit & IGNORED_BY_DEFAULT:
            continue
        if group.flags & SIGNAL_UNKILLABLE and not bit & UNBLOCKABLE:
            continue
        if bit & STOPPING:
            # With no parent in its session nobody would know to continue it.
            if signo != SIGSTOP and is_orphaned_process_group(group.process_group):
                continue
            begin_group_stop(task, signo)
            continue
        if bit & DUMPING:
            from procession.kernel.dump.core import begin_core_dump
            from procession.kernel.dump.unhandled import log_fatal_signal, log_unhandled_fault

            log_unhandled_fault(kernel, task, info)
            if kernel.vfs.log.tells_of_ends:
                log_fatal_signal(kernel, task, signo)
            if kernel.process_connector is not None:
                kernel.process_connector.tell_of_core(task)
            begin_core_dump(kernel, task, info)
        else:
            _end_group(kernel, task, signo)
        return None


def _announce_change(kernel: Kernel, task: Task) -> None:
    """Tell the parent, and who traces the process, that its group has stopped or goes on."""
    group = task.group
    reason = CLD_CONTINUED if group.flags & SIGNAL_CLD_CONTINUED else CLD_STOPPED
    group.flags &= ~SIGNAL_CLD_MASK
    notify_parent_of_stop(kernel, task, reason)
    leader = group.leader
    if leader.ptrace is not None and leader.ptrace.is_reparented(leader):
        notify_tracer(kernel, leader, reason)


def exit_signals(kernel: Kernel, task: Task) -> None:
    """Called first when a thread exits: it takes no signals any more, and others look at the process's.

    Linux: kernel/signal.c, exit_signals.
    """
    group = task.group
    task.is_exiting = True
    if len(group.threads) <= 1 or group.flags & SIGNAL_GROUP_EXIT:
        return
    if not task.work & SIGNAL_PENDING:
        return
    retarget_shared_pending(task, ALL_SIGNALS & ~task.blocked)
    if task.job_control & STOP_PENDING and participate_in_stop(task):
        notify_parent_of_stop(kernel, task, CLD_STOPPED)


def _stop(kernel: Kernel, task: Task) -> None:
    """Stop the thread, which was asked to, and tell the parent if it's the last of the group.

    It stays SIGNAL_PENDING: when it goes on it looks for signals before anything else. A traced thread stops
    for its tracer instead. Linux: kernel/signal.c, do_signal_stop.
    """
    if task.ptrace is not None:
        if task.job_control & STOP_PENDING:
            request_stop(task, TRAP_STOP)
        if not stop_for_trap(kernel, task):
            task.job_control &= ~TRAP_MASK
        return
    if not task.job_control & STOP_PENDING:
        task.job_control &= ~TRAP_MASK
        recalculate_pending(task)
        return
    is_complete = participate_in_stop(task)
    task.work |= SIGNAL_PENDING
    task.times.voluntary_switches += 1
    set_state(task, STOPPED)
    if task.cgroup.is_freezing:
        update_frozen(task.cgroup)
    if is_complete:
        notify_parent_of_stop(kernel, task, CLD_STOPPED)


def _end_group(kernel: Kernel, task: Task, signo: int) -> None:
    from procession.kernel.exit import do_group_exit

    do_group_exit(kernel, task, signo)


def _end_killed(kernel: Kernel, task: Task) -> None:
    """End the thread because its group ends, or because another thread executes a program.

    While its group's core is being dumped it waits, or goes on dumping.
    """
    dump = task.group.core_dump
    if dump is not None:
        from procession.kernel.dump.core import go_on

        go_on(kernel, task, dump)
        return
    task.pending.discard(KILL_BIT)
    recalculate_pending(task)
    if task.group.flags & SIGNAL_GROUP_EXIT:
        _end_group(kernel, task, SIGKILL)
    else:
        from procession.kernel.exit import do_exit

        do_exit(kernel, task, 0)


def _restart_call(kernel: Kernel, task: Task) -> None:
    """Make an interrupted system call run again, no handler having run."""
    registers = kernel.registers_of(task)
    general = registers.general
    result = general[RAX]
    if result in {_ERESTARTSYS, _ERESTARTNOINTR, _ERESTARTNOHAND}:
        set_register(general, RAX, task.call_number)
    elif result == _ERESTART_RESTARTBLOCK:
        # Its arguments say a length of time, of which a part is over: another call goes on to the deadline.
        set_register(general, RAX, _RESTART_SYSCALL)
    else:
        task.call_number = -1
        return
    set_register(general, RIP, general[RIP] - _SYSCALL_LENGTH)
    task.call_number = -1
    kernel.registers_changed(task)


def _enter_handler(kernel: Kernel, task: Task, info: SigInfo) -> None:
    """Make the thread run the handler of `info`. Raises OutOfFrames: it can be tried again.

    Linux: arch/x86/kernel/signal.c, handle_signal.
    """
    signo = info.signo
    actions = task.group.handlers.actions
    action = actions[signo]
    registers = kernel.registers_of(task)
    general = registers.general
    result, instruction = general[RAX], general[RIP]
    is_stepped = task.ptrace is not None and task.ptrace.stop_stepping(registers)
    debug = task.debug_registers
    if debug is not None:
        disarm(debug, registers)
    if task.call_number >= 0:
        if result == _ERESTARTNOINTR or (result == _ERESTARTSYS and action.flags & SA_RESTART):
            set_register(general, RAX, task.call_number)
            set_register(general, RIP, general[RIP] - _SYSCALL_LENGTH)
        elif result in _INTERRUPTED:
            set_register(general, RAX, _EINTR)
    next_instruction = general[RIP]
    saved_mask = task.saved_mask if task.work & RESTORE_MASK else None
    old_mask = task.blocked if saved_mask is None else saved_mask
    has_frame = True
    try:
        if task.rseq is not None:
            handle_event(kernel, task)
        build_frame(kernel, task, registers, info, action, old_mask)
    except EFAULT:
        has_frame = False
    except OutOfFrames:
        if general[RIP] == next_instruction:
            set_register(general, RAX, result)
            set_register(general, RIP, instruction)
        else:
            # The restartable sequence that it was in is left for good, and with it the call.
            task.call_number = -1
        raise
    if debug is not None and debug.watches:
        arm(task, registers)
    kernel.clock.spend(SIGNAL_NS)
    task.call_number = -1
    if action.flags & SA_RESETHAND:
        actions[signo] = action._replace(handler=SIG_DFL)
    if saved_mask is not None:
        task.saved_mask = None
        task.work &= ~RESTORE_MASK
    kernel.registers_changed(task)
    if not has_frame:
        force_signal(kernel, task, SigInfo(SIGSEGV), is_default=signo == SIGSEGV)
        return
    _block_for_handler(task, signo, action)
    if is_stepped:
        stop_in_handler(kernel, task)
    if not is_canonical(action.handler):
        force_signal(kernel, task, SigInfo(SIGSEGV))


def _block_for_handler(task: Task, signo: int, action: SignalAction) -> None:
    mask = task.blocked | action.mask
    if not action.flags & SA_NODEFER:
        mask |= 1 << (signo - 1)
    set_blocked(task, mask)
