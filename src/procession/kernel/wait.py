"""Waiting for children: wait4 and waitid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from procession.abi.errno import ECHILD, ERESTARTSYS
from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import Signal
from procession.abi.wait_options import IdType, WaitOption
from procession.fs.wait_queue import Sleep
from procession.kernel.exit import release_thread
from procession.kernel.io_accounting import process_io
from procession.kernel.observer import LOOK_FOR_CHILDREN
from procession.kernel.ptrace.link import tell_parent_of_zombie
from procession.kernel.signal.parent import (
    CLD_CONTINUED,
    CLD_DUMPED,
    CLD_EXITED,
    CLD_KILLED,
    CLD_STOPPED,
    CLD_TRAPPED,
)
from procession.kernel.signal.stop import LISTENING
from procession.kernel.task import SIGNAL_STOP_CONTINUED, SIGNAL_STOP_STOPPED, CpuTimes, Task
from procession.kernel.task_state import TRACED, ZOMBIE
from procession.kernel.time.costs import SEEN_THREAD_NS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.pid import Pid

WNOHANG, WSTOPPED = int(WaitOption.WNOHANG), int(WaitOption.WSTOPPED)
WEXITED: Final = int(WaitOption.WEXITED)
WCONTINUED: Final = int(WaitOption.WCONTINUED)
WNOWAIT: Final = int(WaitOption.WNOWAIT)
WNOTHREAD: Final = int(WaitOption.WNOTHREAD)
WALL, WCLONE = int(WaitOption.WALL), int(WaitOption.WCLONE)
P_ALL, P_PID, P_PGID, P_PIDFD = (int(kind) for kind in IdType)
SIGCHLD: Final = int(Signal.SIGCHLD)
_BY_PID: Final = (P_PID, P_PIDFD)
_STOPS: Final = WSTOPPED | WCONTINUED


class WaitSelection:
    """Which children a wait is for, and what it has seen of them (in Linux, struct wait_opts).

    `kind` is one of P_*, `pid` names a child or a process group. `has_candidate` says whether something that
    the wait is for can come of one that was seen.
    """

    __slots__ = ("has_candidate", "kind", "options", "pid", "seen_count")

    def __init__(self, kind: int, pid: Pid | None, options: int) -> None:
        self.kind = kind
        self.pid = pid
        self.options = options
        self.has_candidate = False
        self.seen_count = 0


class WaitedChild(NamedTuple):
    """What a wait found: the child's id and user, a wait status and a CLD_* code.

    `times` is what one that has ended used; one that lives may be asked.
    """

    pid: "Pid"  # noqa: UP037
    uid: int
    status: int
    code: int
    times: CpuTimes | None

    @property
    def usage(self) -> CpuTimes:
        """What it has used, with its waited-for children (RUSAGE_BOTH)."""
        if self.times is not None:
            return self.times
        assert self.pid.task is not None
        return total_times(self.pid.task)


def do_wait(kernel: Kernel, task: Task, selection: WaitSelection) -> WaitedChild | None:
    """The first child that is in a state asked for; None if none is and WNOHANG is given.

    Raises ECHILD when no child can ever be, and Sleep. Linux: kernel/exit.c, do_wait.
    """
    if kernel.observer is not None:
        kernel.observer.task_event(task, LOOK_FOR_CHILDREN)
    if selection.kind in _BY_PID:
        found = _look_at_named(kernel, task, selection)
    else:
        found = _look_at_all(kernel, task, selection)
    if selection.seen_count > 1:
        kernel.clock.spend((selection.seen_count - 1) * SEEN_THREAD_NS)
    if found is not None:
        return found
    if not selection.has_candidate:
        raise ECHILD(f"no child matches {selection.pid or 'the wait'}")
    if selection.options & WNOHANG:
        return None
    raise Sleep(task.group.wait_queue, interrupted=ERESTARTSYS)


def _look_at_named(kernel: Kernel, task: Task, selection: WaitSelection) -> WaitedChild | None:
    """What a wait for one process finds. Linux: kernel/exit.c, do_wait_pid, is_effectively_child."""
    child = None if selection.pid is None else selection.pid.task
    if child is None:
        return None
    group = None if selection.options & WNOTHREAD else task.group
    parent = child.parent
    if parent is not None and (parent is task or parent.group is group) and child in parent.children:
        found = wait_consider_task(kernel, task, child, selection, is_traced=False)
        if found is not None:
            return found
    if child.ptrace is not None:
        tracer = child.ptrace.tracer
        if tracer is task or tracer.group is group:
            return wait_consider_task(kernel, task, child, selection, is_traced=True)
    return None


def _look_at_all(kernel: Kernel, task: Task, selection: WaitSelection) -> WaitedChild | None:
    """What a wait for several finds: among one thread's children and those that it traces, then another's.

    Of the traced the last one comes first. Linux: kernel/exit.c, __do_wait, do_wait_thread, ptrace_do_wait.
    """
    threads = task.group.threads
    if selection.options & WNOTHREAD or len(threads) == 1:
        threads = [task]
    elif threads[0] is not task:
        here = threads.index(task)
        threads = threads[here:] + threads[:here]
    is_of_ends = selection.kind == P_ALL and not selection.options & _STOPS
    selection.seen_count += len(threads) - 1
    for thread in threads:
        for child in _ended_or_traced(thread, selection) if is_of_ends else thread.children:
            found = wait_consider_task(kernel, task, child, selection, is_traced=False)
            if found is not None:
                return found
        if is_of_ends and not selection.has_candidate:
            selection.has_candidate = _has_eligible_child(thread, selection)
        for tracee in reversed(thread.tracees or {}):
            found = wait_consider_task(kernel, task, tracee, selection, is_traced=True)
            if found is not None:
                return found
    return None


def _ended_or_traced(thread: Task, selection: WaitSelection) -> Iterable[Task]:
    """The children of which a wait for ends alone can find something, the eldest first."""
    zombies = thread.zombies
    if thread.tracees and thread.children:
        selection.seen_count += len(zombies) + min(len(thread.children), len(thread.tracees))
        return sorted(zombies.keys() | (thread.children.keys() & thread.tracees.keys()), key=_seniority)
    return zombies if len(zombies) < 2 else _zombies_in_order(thread, selection)


def _zombies_in_order(parent: Task, selection: WaitSelection) -> Iterator[Task]:
    """The children that have ended, the eldest first, without looking at thousands that live."""
    zombies = parent.zombies
    if 2 * len(zombies) > len(parent.children):
        for child in parent.children:
            if child in zombies:
                yield child
            else:
                selection.seen_count += 1
    else:
        # Most waits take the first, so the others needn't be in order.
        selection.seen_count += len(zombies)
        yield min(zombies, key=_seniority)
        yield from sorted(zombies, key=_seniority)[1:]


def _seniority(child: Task) -> int:
    return child.sibling_number


def _has_eligible_child(thread: Task, selection: WaitSelection) -> bool:
    """Whether the wait is for any of the children, which may end one day. Those that have were found."""
    for child in thread.children:
        selection.seen_count += 1
        if is_eligible(child, selection, is_traced=False):
            return True
    return False


def is_eligible(child: Task, selection: WaitSelection, *, is_traced: bool) -> bool:
    """Whether a wait is for `child` at all. Linux: kernel/exit.c, eligible_child, eligible_pid."""
    if selection.kind == P_PGID and child.group.process_group.pid is not selection.pid:
        return False
    if is_traced or selection.options & WALL:
        return True
    # A "clone" child is one that doesn't announce its end by SIGCHLD.
    return (child.exit_signal != SIGCHLD) == bool(selection.options & WCLONE)


def wait_consider_task(
    kernel: Kernel, waiter: Task, child: Task, selection: WaitSelection, *, is_traced: bool
) -> WaitedChild | None:
    """Whether `child`, as its tracer or parent sees it, is in a state asked for; a zombie is reaped.

    Linux: kernel/exit.c, wait_consider_task.
    """
    selection.seen_count += 1
    if not is_eligible(child, selection, is_traced=is_traced):
        return None
    options = selection.options
    group = child.group
    if not is_traced and child.ptrace is not None:
        is_traced = not child.ptrace.is_reparented(child)
    if child.state is not ZOMBIE:
        selection.has_candidate = True
    elif (is_traced or child.ptrace is None) and (len(group.threads) == 1 or not child.is_leader):
        # Nothing can come of what has ended but its end, which only its tracer sees.
        return _wait_zombie(kernel, waiter, child, options) if options & WEXITED else None
    elif not is_traced or options & (WEXITED | WCONTINUED):
        selection.has_candidate = True
    if is_traced:
        stop = child.trace_stop
        if stop is not None and stop.code and child.state is TRACED and not child.job_control & LISTENING:
            code = stop.code
            if not options & WNOWAIT:
                stop.code = 0
            return _found(child, code << 8 | 0x7F, CLD_TRAPPED)
    elif options & WSTOPPED and group.flags & SIGNAL_STOP_STOPPED and group.stop_code:
        code = group.stop_code
        if not options & WNOWAIT:
            group.stop_code = 0
        return _found(child, code << 8 | 0x7F, CLD_STOPPED)
    if options & WCONTINUED and group.flags & SIGNAL_STOP_CONTINUED:
        if not options & WNOWAIT:
            group.flags &= ~SIGNAL_STOP_CONTINUED
        return _found(child, 0xFFFF, CLD_CONTINUED)
    return None


def _found(child: Task, status: int, code: int) -> WaitedChild:
    return WaitedChild(child.thread_pid, child.credentials.uid, status, code, None)


def total_times(leader: Task) -> CpuTimes:
    """What the process of `leader` used, with its waited-for children (RUSAGE_BOTH)."""
    total = CpuTimes()
    total.add(leader.group.times)
    for thread in leader.group.threads:
        total.add(thread.times)
    total.add(leader.group.children_times)
    return total


def _wait_zombie(kernel: Kernel, waiter: Task, child: Task, options: int) -> WaitedChild:
    """Linux: kernel/exit.c, wait_task_zombie."""
    group = child.group
    status = group.exit_code if group.is_exiting else child.exit_code
    if status & 0x80:
        code = CLD_DUMPED
    elif status & 0x7F:
        code = CLD_KILLED
    else:
        code = CLD_EXITED
    times = total_times(child)
    found = WaitedChild(child.thread_pid, child.credentials.uid, status, code, times)
    if not options & WNOWAIT:
        if child.is_leader:
            is_reparented = child.ptrace is not None and child.ptrace.is_reparented(child)
            if is_reparented and not tell_parent_of_zombie(kernel, child):
                # It's a zombie still, for its parent.
                return found
            waiter.group.children_times.add(times)
            # Times of children are kept apart, but /proc/PID/io is of a process and all that it has reaped.
            waiter.group.io.add(process_io(group))
        release_thread(kernel, child)
    return found
