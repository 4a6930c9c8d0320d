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
    group = task.group
    if task.tracees or (len(group.threads) > 1 and any(thread.tracees for thread in group.threads)):
        found, has_candidate = _look_as_tracer(kernel, task, selection)
    else:
        found, has_candidate = _look_at_children(kernel, task, selection)
    if found is not None:
        return found
    if not has_candidate:
        raise ECHILD(f"no child matches {selection.pid or 'the wait'}")
    if selection.options & WNOHANG:
        return None
    raise Sleep(group.wait_queue, interrupted=ERESTARTSYS)


def _look_at_children(
    kernel: Kernel, task: Task, selection: WaitSelection
) -> tuple[WaitedChild | None, bool]:
    """What a wait of who traces nobody finds, and whether it could find something some day."""
    has_candidate = False
    seen_count = 0
    found = None
    if (
        len(task.group.threads) == 1
        and not task.zombies
        and selection.kind == P_ALL
        and selection.options & (WALL | WEXITED | _STOPS) == WALL | WEXITED
    ):
        # None of the children can be what it waits for.
        return None, bool(task.children)
    for child in _candidates(task, selection):
        seen_count += 1
        if is_eligible(child, selection):
            has_candidate = has_candidate or _may_be_found(child, selection.options, is_traced=False)
            found = wait_consider_task(kernel, task, child, selection.options, is_traced=False)
            if found is not None:
                break
            if selection.kind == P_ALL and not selection.options & _STOPS:
                # Of the living no other can be what it waits for: `_candidates` gives the zombies first.
                break
    if seen_count > 1:
        kernel.clock.spend((seen_count - 1) * SEEN_THREAD_NS)
    return found, has_candidate


def _look_as_tracer(kernel: Kernel, task: Task, selection: WaitSelection) -> tuple[WaitedChild | None, bool]:
    """What a wait finds among children and tracees, and whether it could find something some day.

    One thread's after the other's, its children first, then those it traces, the last one traced first.

    Linux: kernel/exit.c, __do_wait, do_wait_thread, ptrace_do_wait.
    """
    options = selection.options
    has_candidate = False
    seen_count = 0
    found = None
    threads = task.group.threads
    if options & WNOTHREAD or len(threads) == 1:
        threads = [task]
    elif threads[0] is not task:
        here = threads.index(task)
        threads = threads[here:] + threads[:here]
    is_of_ends = selection.kind == P_ALL and options & (WALL | WEXITED | _STOPS) == WALL | WEXITED
    for thread in threads:
        children: Iterable[Task] = thread.children
        if selection.kind in _BY_PID:
            named = None if selection.pid is None else selection.pid.task
            children = () if named is None or named.parent is not thread else (named,)
        elif is_of_ends and not thread.zombies:
            # As tracers ask again and again: of the children only those that are traced can be found.
            has_candidate = has_candidate or bool(thread.children)
            own = [tracee for tracee in thread.tracees or () if tracee.parent is thread]
            children = sorted(own, key=_seniority)
        for child in children:
            seen_count += 1
            if is_eligible(child, selection):
                is_traced = child.ptrace is not None and not child.ptrace.is_reparented(child)
                has_candidate = has_candidate or _may_be_found(child, options, is_traced=is_traced)
                found = wait_consider_task(kernel, task, child, options, is_traced=is_traced)
                if found is not None:
                    return found, True
        for tracee in reversed(thread.tracees or {}):
            if _is_named(tracee, selection):
                has_candidate = has_candidate or _may_be_found(tracee, options, is_traced=True)
                found = wait_consider_task(kernel, task, tracee, options, is_traced=True)
                if found is not None:
                    return found, True
    if seen_count > 1:
        kernel.clock.spend((seen_count - 1) * SEEN_THREAD_NS)
    return found, has_candidate


def _candidates(task: Task, selection: WaitSelection) -> Iterator[Task]:
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


def _may_be_found(child: Task, options: int, *, is_traced: bool) -> bool:
    """Whether something that a wait is for can come of `child` yet (in Linux, what notask_error becomes)."""
    if child.state is not ZOMBIE:
        return True
    if (is_traced or child.ptrace is None) and not _is_delayed(child):
        # Nothing can come of what has ended but its end.
        return bool(options & WEXITED)
    return not is_traced or bool(options & (WEXITED | WCONTINUED))


def _is_delayed(child: Task) -> bool:
    """Whether it's a leader whose threads live on: it isn't dead yet."""
    return child.is_leader and len(child.group.threads) > 1


def wait_consider_task(
    kernel: Kernel, waiter: Task, child: Task, options: int, *, is_traced: bool
) -> WaitedChild | None:
    """Whether `child`, as its tracer or parent sees it, is in a state asked for; a zombie is reaped.

    Linux: kernel/exit.c, wait_consider_task.
    """
    group = child.group
    if child.state is ZOMBIE and (is_traced or child.ptrace is None) and not _is_delayed(child):
        # Only its tracer sees the zombie.
        return _wait_zombie(kernel, waiter, child, options) if options & WEXITED else None
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
