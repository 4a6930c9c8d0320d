"""Group stops: all threads of a process halt at SIGSTOP and its like, and go on at SIGCONT.

What wait(2) reads of a thread group: while `flags & SIGNAL_STOP_STOPPED`, `stop_code` is the signal that
stopped it, or 0 once a WUNTRACED wait has consumed that (it puts 0 there unless WNOWAIT); after SIGCONT
`flags & SIGNAL_STOP_CONTINUED` is set until a WCONTINUED wait clears it (unless WNOWAIT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.observer import CAUSE_CONTINUE
from procession.kernel.signal.set import SIGKILL
from procession.kernel.signal.wake import wake_for_signal
from procession.kernel.task import (
    SIGNAL_GROUP_EXIT,
    SIGNAL_PENDING,
    SIGNAL_STOP_CONTINUED,
    SIGNAL_STOP_STOPPED,
)
from procession.kernel.task_state import INTERRUPTIBLE, STOPPED, TRACED

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, ThreadGroup

# More flags of a ThreadGroup: the parent is still to be told, which needs a thread of the group to run.
SIGNAL_CLD_STOPPED = 16
SIGNAL_CLD_CONTINUED = 32
SIGNAL_CLD_MASK = SIGNAL_CLD_STOPPED | SIGNAL_CLD_CONTINUED
_STOP_FLAGS = SIGNAL_CLD_MASK | SIGNAL_STOP_STOPPED | SIGNAL_STOP_CONTINUED

# A thread's `job_control` (in Linux, JOBCTL_* in include/linux/sched/jobctl.h). The low 16 bits are the
# signal of the last group stop.
STOP_SIGNAL_MASK = 0xFFFF
STOP_DEQUEUED = 1 << 16
"""A stop signal was taken, and no SIGCONT came since."""
STOP_PENDING = 1 << 17
"""The thread shall stop."""
STOP_CONSUME = 1 << 18
"""The group stop counts on this thread (`stop_count`)."""
TRAP_FREEZE = 1 << 23
"""The thread's control group is to be frozen: it shall halt."""
FROZEN = 1 << 24
"""It has halted for that (in Linux, task_struct.frozen)."""
FREEZING = TRAP_FREEZE | FROZEN
TRAP_STOP = 1 << 19
"""The thread shall stop for its tracer."""
TRAP_NOTIFY = 1 << 20
"""Its tracer is to be told of a change of the group's stop."""
LISTENING = 1 << 22
"""It's stopped as its group is, and its tracer waits for what comes next (PTRACE_LISTEN)."""
TRAP_MASK = TRAP_STOP | TRAP_NOTIFY
PENDING_MASK = STOP_PENDING | TRAP_MASK


def set_stop_flags(group: ThreadGroup, flags: int) -> None:
    """Replace the flags that speak of stops. Linux: include/linux/sched/signal.h, signal_set_stop_flags."""
    group.flags = group.flags & ~_STOP_FLAGS | flags


def request_stop(task: Task, flags: int) -> bool:
    """Ask a thread to stop; False if it's dying. Linux: kernel/signal.c, task_set_jobctl_pending."""
    if task.is_exiting or (task.work & SIGNAL_PENDING and task.pending.holds(SIGKILL)):
        return False
    if flags & STOP_SIGNAL_MASK:
        task.job_control &= ~STOP_SIGNAL_MASK
    task.job_control |= flags
    return True


def withdraw_stop(task: Task) -> None:
    """A thread needn't stop any more. Linux: kernel/signal.c, task_clear_jobctl_pending."""
    task.job_control &= ~(STOP_PENDING | STOP_CONSUME | STOP_DEQUEUED)


def notify_trap(thread: Task) -> None:
    """Let the tracer that seized `thread` know that the group's stop has begun or ended.

    Linux: kernel/signal.c, ptrace_trap_notify.
    """
    request_stop(thread, TRAP_NOTIFY)
    is_listening = thread.job_control & LISTENING
    thread.work |= SIGNAL_PENDING
    state = thread.state
    if state is INTERRUPTIBLE or (is_listening and state is TRACED):
        thread.kernel.scheduler.wake(thread, CAUSE_CONTINUE)


def participate_in_stop(task: Task) -> bool:
    """Count the thread as stopped; whether that completes the group's stop.

    Linux: kernel/signal.c, task_participate_group_stop.
    """
    group = task.group
    is_counted = task.job_control & STOP_CONSUME
    withdraw_stop(task)
    if not is_counted:
        return False
    if group.stop_count > 0:
        group.stop_count -= 1
    if group.stop_count == 0 and not group.flags & SIGNAL_STOP_STOPPED:
        set_stop_flags(group, SIGNAL_STOP_STOPPED)
        return True
    return False


def begin_group_stop(task: Task, signo: int) -> bool:
    """Ask every thread of the group to stop with `signo`; False if a SIGCONT or the end came first.

    Linux: kernel/signal.c, do_signal_stop.
    """
    group = task.group
    if not task.job_control & STOP_DEQUEUED or group.flags & SIGNAL_GROUP_EXIT:
        return False
    if not group.flags & SIGNAL_STOP_STOPPED:
        group.stop_code = signo
    request = signo | STOP_PENDING | STOP_CONSUME
    group.stop_count = 1 if request_stop(task, request) else 0
    for thread in group.threads:
        if thread is not task and thread.state is not STOPPED and request_stop(thread, request):
            group.stop_count += 1
            if thread.ptrace is not None and thread.ptrace.is_seized:
                notify_trap(thread)
            else:
                wake_for_signal(thread, is_fatal=False)
    return True


def continue_group(kernel: Kernel, group: ThreadGroup) -> None:
    """Undo a group stop, complete or not, since SIGCONT was sent. Linux: kernel/signal.c, prepare_signal."""
    for thread in group.threads:
        withdraw_stop(thread)
        if thread.ptrace is not None and thread.ptrace.is_seized:
            notify_trap(thread)
        elif thread.state is STOPPED:
            kernel.scheduler.wake(thread, CAUSE_CONTINUE)
    flags = 0
    if group.flags & SIGNAL_STOP_STOPPED:
        flags = SIGNAL_CLD_CONTINUED
    elif group.stop_count:
        flags = SIGNAL_CLD_STOPPED
    if flags:
        # The stop counts as complete, and as over: its parent may have to be told of both.
        set_stop_flags(group, flags | SIGNAL_STOP_CONTINUED)
        group.stop_count = 0
        group.stop_code = 0
