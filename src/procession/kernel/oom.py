"""Out of memory: one process is killed so that the others can go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.signals import Signal, SignalCode
from procession.fs.kernel_log import KERN_ERR
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.kernel.cgroup.memory import MemoryCounter
from procession.kernel.cgroup.memory_event import OOM, OOM_GROUP_KILL
from procession.kernel.cgroup.memory_event import OOM_KILL as OOM_KILL_EVENT
from procession.kernel.observer import OOM_KILL
from procession.kernel.signal.generation import send_group_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.task import SIGNAL_UNKILLABLE
from procession.kernel.task_state import ENDED, TaskState, set_state
from procession.kernel.time.costs import SEEN_FRAME_NS
from procession.kernel.time.queue import TIMER_ACTIONS
from procession.mm.reclaim import pages_to_look_at, take_lazily_freed
from procession.mm.vma import DROPPABLE

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, ThreadGroup, Timer

_SIGKILL, _SI_KERNEL = int(Signal.SIGKILL), int(SignalCode.SI_KERNEL)
_NEVER = -1000
_ALWAYS_PANICS = 2
_PAUSE_NS = 4_000_000
"""How long a task waits for the memory of the one that is killed (in Linux, a jiffy)."""


def badness(task: Task, total_pages: int) -> int:
    """How much killing the process of `task` would help, adjusted by its oom_score_adj.

    Linux: mm/oom_kill.c, oom_badness.
    """
    tables = len(task.mm.tables.leaves) + len(task.mm.tables.middle) + len(task.mm.tables.upper) + 1
    return task.mm.resident_pages + tables + task.group.oom_score_adj * total_pages // 1000


def await_memory(kernel: Kernel, task: Task) -> None:
    """The running `task`, in no system call, needs a frame and there is none: it waits for a victim's end.

    Without the pause whoever faults again at once could keep the victim from running.
    Linux: mm/page_alloc.c, __alloc_pages_may_oom.
    """
    out_of_memory(kernel)
    if not has_fatal_signal(task):
        _pause(kernel, task)
        set_state(task, TaskState.KILLABLE)


def _pause(kernel: Kernel, task: Task) -> None:
    task.sleep_timer = kernel.timers.add(kernel.clock.now_ns + _PAUSE_NS, "memory", task)


def _look_again(kernel: Kernel, timer: Timer) -> None:
    """The pause is over. It goes on while there is nothing to be had and the victim hasn't ended."""
    task: Task = timer.target
    if kernel.memory.available_frames == 0 and _has_dying_victim(kernel):
        _pause(kernel, task)
    else:
        kernel.scheduler.wake(task)


def _has_dying_victim(kernel: Kernel) -> bool:
    """Whether somebody who was killed for memory still has it."""
    if kernel.oom_victim is not None and _living_thread(kernel.oom_victim) is None:
        kernel.oom_victim = None
    return kernel.oom_victim is not None


def _drop_pages(kernel: Kernel, domain: MemoryCounter | None) -> bool:
    """Take what may be dropped or was freed lazily from everybody, or of what is counted in `domain`; whether
    there was any.

    In Linux, reclaim does that before anybody is killed (mm/rmap.c, try_to_unmap_one).
    """
    # A program may bring this about as often as it likes, and nobody dies of it.
    kernel.clock.spend(pages_to_look_at(kernel.memory) * SEEN_FRAME_NS)
    if domain is not None:
        return take_lazily_freed(kernel.memory, frozenset(domain.with_all_below())) > 0
    before = kernel.memory.available_frames
    take_lazily_freed(kernel.memory)
    for mm in dict.fromkeys(task.mm for task in kernel.tasks if task.state not in ENDED):
        for area in mm.areas:
            if area.flags & DROPPABLE:
                mm.zap(area.start, area.end)
    return kernel.memory.available_frames > before


def out_of_memory(kernel: Kernel) -> None:
    """Kill the process that holds most, or do nothing if one is dying already; init only if it is alone.

    Nobody is killed for an allocation that was refused while there were frames.
    Linux: mm/oom_kill.c, out_of_memory.
    """
    if not kernel.memory.is_exhausted:
        return
    kernel.memory.is_exhausted = False
    owner, kernel.memory.exhausted_owner = kernel.memory.exhausted_owner, None
    domain = owner if isinstance(owner, MemoryCounter) else None
    if _drop_pages(kernel, domain):
        return
    if domain is not None:
        domain.note(OOM)
    if kernel.panic_on_oom and _panics(kernel, domain):
        return
    if _has_dying_victim(kernel):
        return
    current = kernel.current
    is_callers_turn = kernel.oom_kill_allocating_task and domain is None
    if is_callers_turn and current is not None and _may_kill(kernel, current):
        _kill_process(kernel, current)
        return
    victim: Task | None = None
    worst = 0
    total_pages = kernel.memory.frame_count
    if domain is not None:
        total_pages = min(domain.maximum >> PAGE_SHIFT, total_pages)
    for leader in kernel.tasks:
        group = leader.group
        if not leader.is_leader or group is kernel.init:
            continue
        candidate = _living_thread(group)
        if candidate is None or not _is_within(candidate, domain):
            continue
        if group.is_exiting and group.core_dump is None:
            return
        if group.oom_score_adj == _NEVER:
            continue
        points = badness(candidate, total_pages)
        # Of equals Linux takes the youngest.
        if victim is None or points >= worst:
            victim, worst = candidate, points
    if victim is None and kernel.init is not None and _is_within(kernel.init.leader, domain):
        victim = kernel.init.leader
    if victim is None:
        return
    _kill_process(kernel, victim)
    _kill_group(kernel, victim, domain)


def _panics(kernel: Kernel, domain: MemoryCounter | None) -> bool:
    """Whether nobody is killed, as the machine is to stop instead: what a group lacks stops it by 2 alone.

    Linux: mm/oom_kill.c, check_panic_on_oom.
    """
    current = kernel.current
    if kernel.panic_on_oom != _ALWAYS_PANICS and domain is not None:
        return False
    if current is not None and has_fatal_signal(current):
        return False
    kind = b"compulsory" if kernel.panic_on_oom == _ALWAYS_PANICS else b"system-wide"
    kernel.panic(b"Out of memory: %s panic_on_oom is enabled" % kind)
    return True


def _may_kill(kernel: Kernel, task: Task) -> bool:
    """Whether the one who asks for memory may be killed for it (vm.oom_kill_allocating_task)."""
    return (
        task.group is not kernel.init
        and task.group.oom_score_adj != _NEVER
        and _living_thread(task.group) is not None
    )


def _is_within(task: Task, domain: MemoryCounter | None) -> bool:
    """Whether the memory that `task` takes is counted in `domain`; everybody's is in the machine's."""
    if domain is None:
        return True
    own = task.cgroup.memory
    return own is not None and own.is_below(domain)


def _kill_group(kernel: Kernel, victim: Task, domain: MemoryCounter | None) -> None:
    """With memory.oom.group everybody in the victim's group is killed too.

    Linux: mm/memcontrol.c, mem_cgroup_get_oom_group.
    """
    own = victim.cgroup.memory
    if own is None:
        return
    own.note(OOM_KILL_EVENT)
    whole: MemoryCounter | None = None
    for counter in own.chain():
        if counter.kills_together:
            whole = counter
        if counter is domain:
            break
    if whole is None:
        return
    whole.note(OOM_GROUP_KILL)
    members = {task.group: task for each in whole.group.subtree() for task in each.tasks}
    # The victim is among them once more, and counted so.
    for group, task in members.items():
        if group.oom_score_adj != _NEVER and group is not kernel.init:
            _kill_process(kernel, task)
            counter_of_member = task.cgroup.memory
            if counter_of_member is not None:
                counter_of_member.note(OOM_KILL_EVENT)


def _living_thread(group: ThreadGroup) -> Task | None:
    """A thread that has its memory still: the leader may have ended first.

    Linux: mm/oom_kill.c, find_lock_task_mm.
    """
    return next((thread for thread in group.threads if thread.state not in ENDED), None)


def _kill_process(kernel: Kernel, victim: Task) -> None:
    """Kill the process of `victim` and those that share its memory.

    Linux: mm/oom_kill.c, oom_kill_process.
    """
    kernel.oom_kill_count += 1
    kernel.oom_victim = victim.group
    log_kill(kernel, victim)
    if kernel.observer is not None:
        kernel.observer.task_event(victim, OOM_KILL)
    victim.group.flags &= ~SIGNAL_UNKILLABLE
    send_group_signal(kernel, victim.group, SigInfo(_SIGKILL, _SI_KERNEL))
    tasks = kernel.tasks
    sharers = [task.group for task in tasks if task.mm is victim.mm and task.state not in ENDED]
    for group in dict.fromkeys(sharers):
        if group is not victim.group and group is not kernel.init:
            send_group_signal(kernel, group, SigInfo(_SIGKILL, _SI_KERNEL))


def log_kill(kernel: Kernel, victim: Task) -> None:
    """Linux: mm/oom_kill.c, __oom_kill_process."""
    mm = victim.mm
    kernel.vfs.log.append(
        KERN_ERR,
        b"Out of memory: Killed process %d (%s) total-vm:%dkB, resident:%dkB, UID:%d oom_score_adj:%d"
        % (
            victim.group.pid.number_in(kernel.init_pid_namespace),
            victim.command_name,
            mm.total_pages << 2,
            mm.resident_pages << 2,
            victim.credentials.uid,
            victim.group.oom_score_adj,
        ),
    )


TIMER_ACTIONS["memory"] = _look_again
