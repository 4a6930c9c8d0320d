"""Waiting for children: wait4 and waitid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from procession.abi.errno import ECHILD, ERESTARTSYS
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
WEXITED, WCONTINUED = int(WaitOption.WEXITED), int(WaitOption.WCONTINUED)
WNOWAIT, WNOTHREAD = int(WaitOption.WNOWAIT), int(WaitOption.WNOTHREAD)
WALL, WCLONE = int(WaitOption.WALL), int(WaitOption.WCLONE)
P_ALL, P_PID, P_PGID, P_PIDFD = (int(kind) for kind in IdType)
SIGCHLD = int(Signal.SIGCHLD)
_BY_PID = (P_PID, P_PIDFD)
_STOPS = WSTOPPED | WCONTINUED


class WaitSelection(NamedTuple):
    """Which children a wait is for: `kind` is one of P_*, `pid` names a child or a process group."""

    kind: int
    pid: Pid | None
    options: int


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
    has_candidate = False
    seen_count = 0
    group = task.group
    is_alone = len(group.threads) == 1
    if (
        is_alone
        and not task.zombies
        and selection.kind == P_ALL
        and selection.options & (WALL | WEXITED | _STOPS) == WALL | WEXITED
    ):
        # As tracers ask again and again: none of the children can be what it waits for.
        has_candidate = bool(task.children)
        candidates: Iterable[Task] = ()
    else:
        candidates = _candidates(kernel, task, selection)
    for child in candidates:
        seen_count += 1
        if is_eligible(child, selection):
            # Nothing can come of what has ended but its end.
            if selection.options & WEXITED or child.state is not ZOMBIE or len(child.group.threads) > 1:
                has_candidate = True
            found = wait_consider_task(kernel, task, child, selection.options)
            if found is not None:
                return found
            if selection.kind == P_ALL and not selection.options & _STOPS:
                # Of the living no other can be what it waits for: `_candidates` gives the zombies first.
                break
    if seen_count > 1:
        kernel.clock.spend((seen_count - 1) * SEEN_THREAD_NS)
    if task.tracees or not is_alone:
        for tracee in _tracees(task, selection):
            has_candidate = True
            found = wait_for_tracee(kernel, task, tracee, selection.options)
            if found is not None:
                return found
    if not has_candidate:
        raise ECHILD(f"no child matches {selection.pid or 'the wait'}")
    if selection.options & WNOHANG:
        return None
    raise Sleep(group.wait_queue, interrupted=ERESTARTSYS)


def _candidates(kernel: Kernel, task: Task, selection: WaitSelection) -> Iterator[Task]:
    """The children among which a wait looks: the caller's own, then those of other threads."""
    group = task.group
    is_alone = bool(selection.options & WNOTHREAD)
    if selection.kind in _BY_PID:
        child = None if selection.pid is None else selection.pid.task
        parent = None if child is None else child.parent
        if (
            child is not None
            and parent is not None
            and child in parent.children
            and (parent is task or (parent.group is group and not is_alone))
        ):
            yield child
        return
    parents = [task]
    if not is_alone:
        parents += [thread for thread in group.threads if thread is not task]
    if selection.kind == P_ALL and not selection.options & _STOPS:
        for parent in parents:
            yield from _zombies_in_order(parent)
    for parent in parents:
        yield from parent.children


def _tracees(task: Task, selection: WaitSelection) -> list[Task]:
    """Those that the caller, or another thread of its process, traces and the wait is for.

    Linux: kernel/exit.c, ptrace_do_wait.
    """
    tracers = [task] if selection.options & WNOTHREAD else task.group.threads
    if len(tracers) == 1 and selection.kind == P_ALL and selection.options & WEXITED:
        return list(tracers[0].tracees or ())
    return [
        tracee
        for tracer in tracers
        if tracer.tracees
        for tracee in tracer.tracees
        if _is_named(tracee, selection)
        # Of a tracee that has ended only its end, or that its group goes on, can come.
        and (tracee.state is not ZOMBIE or selection.options & (WEXITED | WCONTINUED))
    ]


def _zombies_in_order(parent: Task) -> Iterator[Task]:
    """The children that have ended, the eldest first, without looking at thousands that live."""
    zombies = parent.zombies
    if 2 * len(zombies) > len(parent.children):
        yield from (child for child in parent.children if child in zombies)
    elif zombies:
        # Most waits take the first, so the others needn't be in order.
        yield min(zombies, key=_seniority)
        yield from sorted(zombies, key=_seniority)[1:]


def _seniority(child: Task) -> int:
    return child.sibling_number


def is_eligible(child: Task, selection: WaitSelection) -> bool:
    """Whether a wait is for `child` at all. Linux: kernel/exit.c, eligible_child."""
    if not _is_named(child, selection):
        return False
    if selection.options & WALL:
        return True
    # A "clone" child is one that doesn't announce its end by SIGCHLD.
    return (child.exit_signal != SIGCHLD) == bool(selection.options & WCLONE)


def _is_named(child: Task, selection: WaitSelection) -> bool:
    """Linux: kernel/exit.c, eligible_pid."""
    kind = selection.kind
    if kind in _BY_PID:
        return child.thread_pid is selection.pid
    return kind != P_PGID or child.group.process_group.pid is selection.pid


def wait_consider_task(kernel: Kernel, waiter: Task, child: Task, options: int) -> WaitedChild | None:
    """Whether `child` is in a state asked for; a zombie is reaped unless WNOWAIT.

    Linux: kernel/exit.c, wait_consider_task.
    """
    group = child.group
    if child.ptrace is not None and (child.state is ZOMBIE or not child.ptrace.is_reparented(child)):
        # Only its tracer sees the zombie; and one stop isn't told twice to who is both tracer and parent.
        return None
    if child.state is ZOMBIE:
        # A leader whose threads live on isn't dead yet to its parent.
        if len(group.threads) > 1 or not options & WEXITED:
            return None
        return _wait_zombie(kernel, waiter, child, options)
    if options & WSTOPPED and group.flags & SIGNAL_STOP_STOPPED and group.stop_code:
        code = group.stop_code
        if not options & WNOWAIT:
            group.stop_code = 0
        return _found(child, code << 8 | 0x7F, CLD_STOPPED)
    if options & WCONTINUED and group.flags & SIGNAL_STOP_CONTINUED:
        if not options & WNOWAIT:
            group.flags &= ~SIGNAL_STOP_CONTINUED
        return _found(child, 0xFFFF, CLD_CONTINUED)
    return None


def wait_for_tracee(kernel: Kernel, waiter: Task, tracee: Task, options: int) -> WaitedChild | None:
    """Whether `tracee` has stopped for its tracer, or ended. Linux: kernel/exit.c, wait_consider_task."""
    group = tracee.group
    if tracee.state is ZOMBIE:
        if options & WEXITED and (not tracee.is_leader or len(group.threads) == 1):
            return _wait_zombie(kernel, waiter, tracee, options)
        return None
    stop = tracee.trace_stop
    if stop is not None and stop.code and tracee.state is TRACED:
        if not tracee.job_control & LISTENING:
            code = stop.code
            if not options & WNOWAIT:
                stop.code = 0
            return _found(tracee, code << 8 | 0x7F, CLD_TRAPPED)
        return None
    if options & WCONTINUED and group.flags & SIGNAL_STOP_CONTINUED:
        if not options & WNOWAIT:
            group.flags &= ~SIGNAL_STOP_CONTINUED
        return _found(tracee, 0xFFFF, CLD_CONTINUED)
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
