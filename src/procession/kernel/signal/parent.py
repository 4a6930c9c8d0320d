"""What a parent is told: SIGCHLD when its child ends, stops or goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.signals import SIG_DFL, SIG_IGN
from procession.abi.wait_options import ChildCode
from procession.kernel.signal.generation import send_group_signal
from procession.kernel.signal.handlers import SA_NOCLDSTOP
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.set import SIGCHLD, SIGCONT, SIGNAL_COUNT

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

CLD_EXITED = int(ChildCode.CLD_EXITED)
CLD_KILLED = int(ChildCode.CLD_KILLED)
CLD_DUMPED = int(ChildCode.CLD_DUMPED)
CLD_STOPPED = int(ChildCode.CLD_STOPPED)
CLD_CONTINUED = int(ChildCode.CLD_CONTINUED)
CLD_TRAPPED = int(ChildCode.CLD_TRAPPED)

_CHILD_BIT = 1 << SIGCHLD - 1


def notify_parent(kernel: Kernel, task: Task, signo: int) -> bool:
    """Tell the parent, or the tracer, that `task` has ended: send it `signo` (0: none), wake those that wait.

    Returns whether nobody will wait for it: the parent ignores SIGCHLD or has SA_NOCLDWAIT, or is an init
    that ends, so `task` is to be reaped now. Linux: kernel/signal.c, do_notify_parent.
    """
    tracing = task.ptrace
    parent = task.parent if tracing is None else tracing.tracer
    assert parent is not None
    code = task.exit_code
    if code & 0x80:
        reason, status = CLD_DUMPED, code & 0x7F
    elif code & 0x7F:
        reason, status = CLD_KILLED, code & 0x7F
    else:
        reason, status = CLD_EXITED, code >> 8
    info = _child_info(task, parent, reason, status)
    if signo >= 0 and task.parent_exec_id != parent.self_exec_id:
        # The program that asked for another signal, or for none, isn't there any more.
        signo = SIGCHLD
    is_reaped = False
    if signo == SIGCHLD and tracing is None:
        handlers = parent.group.handlers
        is_reaped = handlers.ignores_children()
        if handlers.actions[SIGCHLD].handler == SIG_IGN:
            signo = 0
    if tracing is None:
        # An init that ends awaits all it has made, whatever signal was to tell it.
        namespace = parent.pid_namespace
        is_reaped |= namespace.is_closed and namespace.child_reaper is parent.group
    # clone(2) takes any number from 0 to 255, and one that is no signal isn't sent.
    if 0 < signo <= SIGNAL_COUNT:
        info.signo = signo
        # Of the parent's threads the one that made the child comes first.
        send_group_signal(kernel, parent.group, info, parent)
    if task in parent.children:
        parent.zombies[task] = None
    parent.group.wait_queue.wake_all()
    return is_reaped


def notify_parent_of_stop(kernel: Kernel, task: Task, reason: int) -> None:
    """Tell the parent that the group of `task` stopped or goes on (`reason`: CLD_STOPPED, CLD_CONTINUED).

    Linux: kernel/signal.c, do_notify_parent_cldstop.
    """
    leader = task.group.leader
    parent = leader.parent
    if parent is not None:
        _notify_of_stop(kernel, leader, parent, reason)


def notify_tracer(kernel: Kernel, task: Task, reason: int) -> None:
    """Tell the tracer that `task` has stopped for it, or with CLD_CONTINUED that its group goes on.

    Linux: kernel/signal.c, do_notify_parent_cldstop.
    """
    tracing = task.ptrace
    if tracing is not None:
        _notify_of_stop(kernel, task, tracing.tracer, reason)


def _notify_of_stop(kernel: Kernel, task: Task, parent: Task, reason: int) -> None:
    action = parent.group.handlers.actions[SIGCHLD]
    handler = action.handler
    # What nobody would ever hear of needn't be written.
    is_lost = (
        handler == SIG_DFL
        and kernel.observer is None
        and parent.ptrace is None
        and not parent.blocked & _CHILD_BIT
    )
    if handler != SIG_IGN and not is_lost and not action.flags & SA_NOCLDSTOP:
        if reason == CLD_CONTINUED:
            status = SIGCONT
        elif reason == CLD_TRAPPED:
            status = 0 if task.trace_stop is None else task.trace_stop.code & 0x7F
        else:
            status = task.group.stop_code & 0x7F
        send_group_signal(kernel, parent.group, _child_info(task, parent, reason, status), parent)
    parent.group.wait_queue.wake_all()


def _child_info(task: Task, parent: Task, reason: int, status: int) -> SigInfo:
    times, group_times = task.times, task.group.times
    return SigInfo(
        SIGCHLD,
        reason,
        sender=task.thread_pid,
        uid=task.credentials.uid,
        status=status,
        utime=(times.user_ns + group_times.user_ns) // NS_PER_CLOCK_TICK,
        stime=(times.system_ns + group_times.system_ns) // NS_PER_CLOCK_TICK,
    )
