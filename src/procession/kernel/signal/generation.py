"""Sending signals: what is ignored at once, what is queued, and which thread is woken for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.signals import SIG_DFL, SIG_IGN
from procession.kernel.observer import (
    CAUSE_SIGNAL,
    SENT_IGNORED,
    SENT_LOST,
    SENT_PENDING,
    SENT_QUEUED,
    SIGNAL_SENT,
)
from procession.kernel.rlimit import RLIMIT_SIGPENDING
from procession.kernel.signal.handlers import SA_IMMUTABLE
from procession.kernel.signal.info import SI_KERNEL, SI_USER, UID_IN_FIELDS, SigInfo
from procession.kernel.signal.mask import awaited_signals, recalculate_pending
from procession.kernel.signal.set import (
    DUMPING,
    FIRST_REAL_TIME,
    IGNORED_BY_DEFAULT,
    KILL_BIT,
    SIGCONT,
    SIGKILL,
    STOPPING,
    UNBLOCKABLE,
)
from procession.kernel.signal.stop import FREEZING, STOP_SIGNAL_MASK, continue_group
from procession.kernel.signal.wake import wake_for_signal
from procession.kernel.task import SIGNAL_GROUP_EXIT, SIGNAL_PENDING, SIGNAL_UNKILLABLE, Task
from procession.kernel.task_state import INTERRUPTIBLE, RUNNING, STOPPED, TRACED
from procession.kernel.time.costs import SEEN_THREAD_NS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import ThreadGroup

_HALTED = (STOPPED, TRACED)
_NOT_ENDING_AT_ONCE = IGNORED_BY_DEFAULT | STOPPING | DUMPING
_CONT_BIT = 1 << (SIGCONT - 1)


def send_signal(kernel: Kernel, target: Task | ThreadGroup, info: SigInfo) -> bool:
    """Send `info` to one thread, or to a process when `target` is a thread group.

    Returns False when it's a real-time signal that the receiver's RLIMIT_SIGPENDING leaves no room for
    (EAGAIN in a system call), else True, also when it's ignored. Linux: kernel/signal.c, send_signal_locked.
    """
    if isinstance(target, Task):
        return _send(kernel, target, target.group, info, is_group=False)
    return _send(kernel, target.leader, target, info, is_group=True)


def send_group_signal(
    kernel: Kernel, group: ThreadGroup, info: SigInfo, preferred: Task | None = None
) -> bool:
    """Send `info` to a process, one of whose threads takes it; the result as of `send_signal`.

    If it can, that is the thread whose id the sender named, or the first. Linux: kernel/signal.c,
    group_send_sig_info.
    """
    return _send(kernel, preferred or group.leader, group, info, is_group=True)


def running_thread(kernel: Kernel, group: ThreadGroup) -> Task | None:
    """The thread of `group` that runs now, if one does: what its time has brought about is for it to take."""
    current = kernel.current
    return current if current is not None and current.group is group else None


def _send(kernel: Kernel, task: Task, group: ThreadGroup, info: SigInfo, *, is_group: bool) -> bool:
    """Linux: kernel/signal.c, __send_signal_locked."""
    signo = info.signo
    # A program may say SI_KERNEL to itself, which is worth no more than what else it says.
    is_from_kernel = is_forced = info.code == SI_KERNEL and info.fields is None
    namespace = task.thread_pid.namespace
    if namespace.level and info.has_sender:
        current = kernel.current
        if current is not None and not current.thread_pid.number_in(namespace):
            # From a namespace around: nothing can be said of the sender, and an init can't escape it.
            info.hide_sender()
            is_forced = True
    if not prepare_signal(kernel, task, signo, is_forced=is_forced):
        if kernel.observer is not None:
            kernel.observer.task_event(task, SIGNAL_SENT, (info, is_group, SENT_IGNORED))
        return True
    pending = group.shared_pending if is_group else task.pending
    bit = 1 << (signo - 1)
    if pending.mask & bit and signo < FIRST_REAL_TIME:
        # The first one's info stays: Linux: kernel/signal.c, legacy_queue.
        if kernel.observer is not None:
            kernel.observer.task_event(task, SIGNAL_SENT, (info, is_group, SENT_PENDING))
        return True
    if signo == SIGKILL:
        # Nobody will ever look at its info.
        pending.mask |= bit
    else:
        receiver = task.credentials
        current = kernel.current
        if receiver.user_namespace.level or (
            current is not None and current.credentials.user_namespace.level
        ):
            _name_sender(task, current, info)
        # A signal that can't be queued is sent without its info, unless the sender can be told. What the
        # kernel or kill(2) says passes the limit: of each classic signal there is one at most.
        if (
            (signo < FIRST_REAL_TIME and info.code >= 0)
            or receiver.has_room(RLIMIT_SIGPENDING, 1, group.limits.soft[RLIMIT_SIGPENDING])
        ) and receiver.can_hold_signal():
            receiver.add_signal()
            info.account = receiver.counted
            pending.append(info)
        elif signo >= FIRST_REAL_TIME and info.code != SI_USER and not is_from_kernel:
            if kernel.observer is not None:
                kernel.observer.task_event(task, SIGNAL_SENT, (info, is_group, SENT_LOST))
            return False
        else:
            pending.mask |= bit
    if kernel.observer is not None:
        kernel.observer.task_event(task, SIGNAL_SENT, (info, is_group, SENT_QUEUED))
    handlers = group.handlers
    if handlers.wait_queue.waiters:
        handlers.wait_queue.wake_all()
    complete_signal(kernel, task, signo, is_group=is_group)
    return True


def _name_sender(task: Task, sender: Task | None, info: SigInfo) -> None:
    """Make the user in `info` the one that the receiver knows: what a program has said is in its own terms.

    Linux: kernel/signal.c, send_signal_locked.
    """
    if not info.has_sender:
        return
    kuid, theirs = info.uid, task.credentials.user_namespace
    if info.fields is not None and sender is not None:
        mine = sender.credentials.user_namespace
        if mine is theirs:
            # Even where no such user is known.
            return
        kuid = mine.make_kuid(kuid)
    info.uid = theirs.from_kuid_munged(kuid)
    info.put_field(UID_IN_FIELDS, info.uid)


def send_timer_signal(kernel: Kernel, target: Task | ThreadGroup, info: SigInfo) -> bool:
    """Send the signal of a POSIX timer, whose `info` is its own and queued at most once.

    Returns False when it's queued still: the timer has overrun. It doesn't count against RLIMIT_SIGPENDING
    here, as the timer took its place when it was made. Linux: kernel/signal.c, posixtimer_send_sigqueue.
    """
    is_group = not isinstance(target, Task)
    # A process is told in the thread that runs, so that one which sleeps needn't be woken.
    task = target if isinstance(target, Task) else running_thread(kernel, target) or target.leader
    pending = task.group.shared_pending if is_group else task.pending
    info.is_stale = False
    if info.is_queued:
        return False
    if prepare_signal(kernel, task, info.signo, is_forced=False):
        pending.append(info)
        if kernel.observer is not None:
            kernel.observer.task_event(task, SIGNAL_SENT, (info, is_group, SENT_QUEUED))
        handlers = task.group.handlers
        if handlers.wait_queue.waiters:
            handlers.wait_queue.wake_all()
        complete_signal(kernel, task, info.signo, is_group=is_group)
    return True


def prepare_signal(kernel: Kernel, task: Task, signo: int, *, is_forced: bool) -> bool:
    """Do what a signal does as soon as it's sent; whether it's then to be queued.

    Stop signals and SIGCONT drop each other, SIGCONT continues a stopped group at once, whatever is done
    about it later. Linux: kernel/signal.c, prepare_signal.
    """
    group = task.group
    if group.flags & SIGNAL_GROUP_EXIT:
        # Only a core can be cut short.
        return group.core_dump is not None and signo == SIGKILL
    bit = 1 << (signo - 1)
    if bit & STOPPING:
        group.shared_pending.discard(_CONT_BIT)
        for thread in group.threads:
            thread.pending.discard(_CONT_BIT)
    elif signo == SIGCONT:
        group.shared_pending.discard(STOPPING)
        for thread in group.threads:
            thread.pending.discard(STOPPING)
        continue_group(kernel, group)
    if task.blocked & bit or (task.ptrace is not None and signo != SIGKILL):
        # A tracer may want to know even of what is ignored.
        return True
    handler = group.handlers.actions[signo].handler
    if group.flags & SIGNAL_UNKILLABLE:
        # The machine's init can't be killed or stopped by anybody, a namespace's by its own processes.
        if group.pid.is_first and bit & UNBLOCKABLE:
            return False
        if handler == SIG_DFL and not (is_forced and bit & UNBLOCKABLE):
            return False
    return not (handler == SIG_IGN or (handler == SIG_DFL and bit & IGNORED_BY_DEFAULT))


def _wants_signal(task: Task, bit: int) -> bool:
    """Whether the thread can take a signal now. Linux: kernel/signal.c, wants_signal."""
    if task.blocked & ~awaited_signals(task) & bit or task.is_exiting:
        return False
    if bit == KILL_BIT:
        return True
    if task.state in _HALTED:
        return False
    return task.state is RUNNING or not task.work & SIGNAL_PENDING


def complete_signal(kernel: Kernel, task: Task, signo: int, *, is_group: bool) -> None:
    """Find a thread for a signal that was queued and wake it; end the group at once if that's the effect.

    The main thread (or the one that is meant) comes first; `kernel.choose` picks among the others.
    Linux: kernel/signal.c, complete_signal.
    """
    group = task.group
    bit = 1 << (signo - 1)
    gate = kernel.signal_gate
    is_traced = task.ptrace is not None or (gate is not None and gate.holds(task))
    if not _wants_signal(task, bit):
        if not is_group:
            return
        kernel.clock.spend((len(group.threads) - 1) * SEEN_THREAD_NS)
        others = [thread for thread in group.threads if thread is not task and _wants_signal(thread, bit)]
        if not others:
            return
        task = others[kernel.choose("signal", len(others)) if len(others) > 1 else 0]
    if signo == SIGKILL or (
        group.handlers.actions[signo].handler == SIG_DFL
        and not bit & _NOT_ENDING_AT_ONCE
        # It's awaited then.
        and not task.blocked & bit
        and not is_traced
    ):
        begin_group_exit(group, signo)
    elif task.blocked & bit:
        # It sleeps in rt_sigtimedwait for this: it looks again, and nothing is interrupted.
        if task.state is INTERRUPTIBLE:
            kernel.scheduler.wake(task, CAUSE_SIGNAL)
    else:
        wake_for_signal(task, is_fatal=False)


def begin_group_exit(group: ThreadGroup, code: int, ending: Task | None = None) -> None:
    """Make every thread end with the wait status `code` before it does anything else.

    `ending` is doing so already: it may still stop for its tracer. Linux: kernel/signal.c,
    zap_other_threads.
    """
    group.flags = SIGNAL_GROUP_EXIT
    group.exit_code = code
    group.stop_count = 0
    for thread in group.threads:
        if thread is not ending:
            kill_thread(thread)


def kill_thread(thread: Task) -> None:
    """Make one thread end: SIGKILL is pending for it alone.

    Linux: kernel/signal.c, zap_other_threads, complete_signal.
    """
    thread.job_control &= STOP_SIGNAL_MASK | FREEZING
    thread.pending.mask |= KILL_BIT
    wake_for_signal(thread, is_fatal=True)


def force_signal(
    kernel: Kernel, task: Task, info: SigInfo, *, is_default: bool = False, is_immutable: bool = False
) -> None:
    """Send a thread a signal that it can't escape, for what it did: a fault.

    If it's blocked or ignored, or with `is_default` always, the handler is reset to the default first.
    With `is_immutable` nothing can change that, a tracer neither. Linux: kernel/signal.c,
    force_sig_info_to_task (HANDLER_CURRENT, HANDLER_SIG_DFL, HANDLER_EXIT).
    """
    group = task.group
    actions = group.handlers.actions
    signo = info.signo
    bit = 1 << (signo - 1)
    action = actions[signo]
    is_blocked = task.blocked & bit
    if is_blocked or action.handler == SIG_IGN or is_default or is_immutable:
        action = action._replace(handler=SIG_DFL)
        if is_immutable:
            action = action._replace(flags=action.flags | SA_IMMUTABLE)
        actions[signo] = action
        if is_blocked:
            task.blocked &= ~bit
            recalculate_pending(task)
    if action.handler == SIG_DFL and (task.ptrace is None or is_immutable):
        group.flags &= ~SIGNAL_UNKILLABLE
    send_signal(kernel, task, info)
    # It may have been pending and blocked before, so that nobody was woken.
    if not task.work & SIGNAL_PENDING:
        wake_for_signal(task, is_fatal=False)
