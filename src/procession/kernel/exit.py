"""The end of a task: what it gives back, who gets its children, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT
from procession.abi.signals import SIG_IGN, Signal
from procession.hardware.kernel_memory import STACK_BYTES, TASK, TASK_BYTES
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.accounting import record_end, stop_accounting
from procession.kernel.cgroup.attach import leave
from procession.kernel.cgroup.memory import task_bytes
from procession.kernel.futex.robust_list import release_futexes, wake_at_end
from procession.kernel.ipc.shm import forget_creator
from procession.kernel.observer import EXIT, REAP, SUPERSEDE
from procession.kernel.ptrace.link import exit_ptrace, unlink
from procession.kernel.ptrace.stop import stop_at_exit
from procession.kernel.sched.autogroup import leave_autogroup
from procession.kernel.security.credentials import release_credentials
from procession.kernel.security.process_keys import release_keys
from procession.kernel.security.seccomp import drop_filter
from procession.kernel.session import (
    forget_session_leader,
    is_session_leader,
    kill_orphaned_process_group,
    leave_process_group,
)
from procession.kernel.signal.generation import begin_group_exit, send_group_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.parent import notify_parent
from procession.kernel.signal_delivery import exit_signals
from procession.kernel.task import EXIT_WAITS, NEED_RESCHED, SIGNAL_GROUP_EXIT, Task, ThreadGroup
from procession.kernel.task_state import DEAD, ENDED, INTERRUPTIBLE, ZOMBIE, set_state
from procession.kernel.terminal import session_leader_ended
from procession.kernel.time.costs import EXIT_NS, SEEN_THREAD_NS
from procession.kernel.timers.interval import cancel_all
from procession.kernel.timers.posix import delete_all

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.pid import PidNamespace

_SIGCHLD, _SIGKILL = int(Signal.SIGCHLD), int(Signal.SIGKILL)


def do_group_exit(kernel: Kernel, task: Task, code: int) -> None:
    """End the whole thread group of the running `task` with wait status `code`.

    `code` is an exit code shifted left by 8, or a signal number, | 0x80 if a core was dumped. If the group
    is ending already its own code stands. Linux: kernel/exit.c, do_group_exit.
    """
    group = task.group
    if group.is_exiting:
        code = group.exit_code
    elif len(group.threads) > 1:
        begin_group_exit(group, code, task)
    do_exit(kernel, task, code)


def _is_last(task: Task) -> bool:
    """Whether no other thread of its process lives."""
    threads = task.group.threads
    return len(threads) == 1 or all(thread is task or thread.state in ENDED for thread in threads)


def do_exit(kernel: Kernel, task: Task, code: int) -> None:
    """End the running `task` with wait status `code`, unless a tracer stops it first: then it ends later.

    Linux: kernel/exit.c, do_exit.
    """
    group = task.group
    is_last = _is_last(task)
    if is_last and not group.is_exiting:
        # The process ends with its last thread. Linux: kernel/exit.c, synchronize_group_exit.
        group.flags = SIGNAL_GROUP_EXIT
        group.exit_code = code
        group.stop_count = 0
    if task.ptrace is not None and stop_at_exit(kernel, task, code):
        return
    finish_exit(kernel, task, code)


def finish_exit(kernel: Kernel, task: Task, code: int) -> None:
    """What is left of `do_exit` when a tracer has been told."""
    group = task.group
    is_last = _is_last(task)
    exit_signals(kernel, task)
    if task.seccomp_filter is not None:
        drop_filter(task)
    kernel.clock.spend(EXIT_NS)
    kernel.charge(task)
    task.exit_code = code
    task.debug_registers = None
    frame = task.frame
    task.frame = None
    task.work |= NEED_RESCHED
    if kernel.taskstats is not None:
        kernel.taskstats.tell_of_end(task, is_last=is_last)
    if is_last and kernel.accounting_count:
        record_end(kernel, task, code)
    # Memory goes first: a parent in vfork(2) may run before the files of its child are closed.
    release_memory(kernel, task)
    namespaces = task.namespaces
    if namespaces.ipc.segments.objects or task.semaphore_undo is not None:
        _leave_ipc(task)
    if frame is not None:
        frame.release()
    if task.keys is not None:
        release_keys(kernel, task)
    task.files.put()
    task.fs.put()
    namespaces.put()
    if is_last:
        _end_group_timers(kernel, group)
        if is_session_leader(group):
            session_leader_ended(kernel, group)
        namespace = task.pid_namespace
        if namespace.level and namespace.child_reaper is group:
            begin_zap(kernel, namespace, task)
    leave(task)
    go_on_exiting(kernel, task)


def begin_zap(kernel: Kernel, namespace: PidNamespace, task: Task) -> None:
    """`task` is the last thread of a pid namespace's init: everybody else in it is killed.

    Nobody can be made there any more, and who ends now reaps itself. Linux: kernel/pid_namespace.c,
    zap_pid_ns_processes.
    """
    namespace.is_closed = True
    group = task.group
    actions = group.handlers.actions
    actions[_SIGCHLD] = actions[_SIGCHLD]._replace(handler=SIG_IGN)
    for other in namespace.tasks():
        if other.group is not group and other.is_leader:
            send_group_signal(kernel, other.group, SigInfo(_SIGKILL))
    if task.tracees:
        exit_ptrace(kernel, task)
    for child in list(task.zombies):
        release_task(kernel, child)


def go_on_exiting(kernel: Kernel, task: Task) -> None:
    """The rest of `do_exit`, for which an init waits until nobody else is left in its pid namespace.

    Linux: kernel/exit.c, exit_notify.
    """
    group = task.group
    is_last = _is_last(task)
    namespace = task.pid_namespace
    if is_last and namespace.level and namespace.child_reaper is group and not namespace.has_only(group):
        namespace.ending = task
        task.work |= EXIT_WAITS
        set_state(task, INTERRUPTIBLE)
        return
    if is_last and namespace.accounting is not None and namespace.child_reaper is group:
        stop_accounting(kernel, task)
    _forget_original_parent(kernel, task)
    if is_last:
        kill_orphaned_process_group(kernel, task)
    task.times.voluntary_switches += 1
    set_state(task, ZOMBIE)
    kernel.memory.account.uncharge(TASK, STACK_BYTES)
    kernel.discard_live(task)
    if kernel.observer is not None:
        kernel.observer.task_event(task, EXIT)
    tracing = task.ptrace
    if tracing is not None:
        is_whole = task.is_leader and len(group.threads) == 1 and not tracing.is_reparented(task)
        notify_parent(kernel, task, task.exit_signal if is_whole else _SIGCHLD)
    elif not task.is_leader:
        release_thread(kernel, task)
    elif len(group.threads) == 1:
        announce(kernel, task)
    if kernel.process_connector is not None:
        kernel.process_connector.tell_of_exit(task)
    group.exit_queue.wake_all()
    if not is_last:
        # A thread that executes a program waits for the others to end.
        group.wait_queue.wake_all()


def release_memory(kernel: Kernel, task: Task) -> None:
    """Leave the address space, at exit or for exec's new one. Linux: kernel/fork.c, exit_mm_release."""
    mm = task.mm
    mm_is_shared = mm.reference_count > 1
    release_futexes(task)
    if task.clear_child_tid:
        address, task.clear_child_tid = task.clear_child_tid, 0
        if mm_is_shared:
            _clear_tid(task, address)
    complete_vfork(task)
    task.times.max_resident_pages = max(task.times.max_resident_pages, mm.peak_resident_pages)
    mm.put()
    if mm.reference_count == 0 and kernel.address_space is mm:
        kernel.address_space = None


def _leave_ipc(task: Task) -> None:
    """Semaphores get back what was to be undone. Linux: kernel/exit.c, do_exit; ipc/sem.c, ipc/shm.c."""
    from procession.kernel.ipc.sem_undo import leave_undos

    leave_undos(task)
    forget_creator(task)


def complete_vfork(task: Task) -> None:
    """Let the parent that waits in vfork go on. Linux: kernel/fork.c, complete_vfork_done."""
    queue, task.vfork_queue = task.vfork_queue, None
    if queue is not None:
        queue.wake_all()


def _clear_tid(task: Task, address: int) -> None:
    """CLONE_CHILD_CLEARTID: whoever waits for the thread's end waits on this futex."""
    try:
        task.mm.write(address, bytes(4))
    except (EFAULT, OutOfFrames):
        return
    wake_at_end(task, address)


def _end_group_timers(kernel: Kernel, group: ThreadGroup) -> None:
    if group.itimers or group.posix_timers:
        cancel_all(kernel, group)
        delete_all(group)


def find_new_reaper(kernel: Kernel, task: Task) -> Task | None:
    """Who gets the children of the ending `task`: another thread of its group, the nearest subreaper among
    its ancestors, or the init of its pid namespace. Linux: kernel/exit.c, find_new_reaper."""
    for thread in task.group.threads:
        if thread is not task and thread.state not in ENDED:
            return thread
    namespace = task.pid_namespace
    init = namespace.child_reaper or kernel.init
    ancestor = task.parent
    # Not past the namespace: who was put into it has a parent outside.
    while ancestor is not None and ancestor.group is not init and ancestor.pid_namespace is namespace:
        if ancestor.group.is_child_subreaper:
            for thread in ancestor.group.threads:
                if thread.state not in ENDED:
                    return thread
        ancestor = ancestor.parent
    if init is None or init is task.group:
        return None
    return next((thread for thread in init.threads if thread.state not in ENDED), None)


def _forget_original_parent(kernel: Kernel, task: Task) -> None:
    """Give away the children of `task`. Linux: kernel/exit.c, forget_original_parent."""
    if task.tracees:
        exit_ptrace(kernel, task)
    if not task.children:
        return
    reaper = find_new_reaper(kernel, task)
    children = list(task.children)
    task.children.clear()
    task.zombies.clear()
    for child in children:
        for thread in child.group.threads:
            if thread.parent_death_signal and thread.state not in ENDED:
                # Linux sends it to the process, whichever thread asked for it.
                info = SigInfo(thread.parent_death_signal, 0, sender=task.group.pid, uid=task.credentials.uid)
                send_group_signal(kernel, child.group, info)
        if reaper is None:
            # The machine's init has ended and everything else is being killed: nobody waits any more.
            child.parent = None
            continue
        for thread in child.group.threads:
            thread.parent = reaper
        reaper.adopt(child)
        if reaper.group is task.group:
            continue
        # Whatever clone(2) was told: a signal that the old parent wanted might kill the one that adopts.
        child.exit_signal = _SIGCHLD
        if child.has_ended_wholly and child.ptrace is None:
            announce(kernel, child)
        kill_orphaned_process_group(kernel, child, task)


def announce(kernel: Kernel, leader: Task) -> None:
    """Every thread of a group has ended: tell the parent, or reap it at once if nobody will wait.

    Linux: kernel/exit.c, exit_notify.
    """
    if leader.parent is None and leader.ptrace is None:
        release_task(kernel, leader)
        return
    if notify_parent(kernel, leader, leader.exit_signal):
        release_task(kernel, leader)


def release_thread(kernel: Kernel, task: Task) -> None:
    """Forget a task that has ended; if it's the last beside its leader, which has, that one is told of.

    Linux: kernel/exit.c, release_task.
    """
    group, leader = task.group, task.group.leader
    release_task(kernel, task)
    if leader is not task and leader.state is ZOMBIE and len(group.threads) == 1:
        announce(kernel, leader)


def release_task(kernel: Kernel, task: Task) -> None:
    """Forget a task that has ended: its id is free again. Linux: kernel/exit.c, release_task."""
    group = task.group
    if task.ptrace is not None:
        unlink(task)
    set_state(task, DEAD)
    group.exit_queue.wake_all()
    pid = task.thread_pid
    del kernel.tasks[task]
    release_credentials(task)
    if task.cgroup.pids is not None:
        task.cgroup.pids.uncharge()
    task.pending.clear()
    _uncharge(task, task_bytes(task))
    if kernel.group_lists.known:
        kernel.group_lists.task_is_gone(kernel, task.credentials.groups)
    if task.is_leader:
        if task.parent is not None:
            task.parent.children.pop(task, None)
            task.parent.zombies.pop(task, None)
        group.shared_pending.clear()
        group.handlers.reference_count -= 1
        group.permitted_tracer = None
        forget_session_leader(group)
        leave_process_group(group)
        leave_autogroup(group)
    else:
        group.times.add(task.times)
        group.io.add(task.io)
        group.threads.remove(task)
        if group.exec is not None:
            # Linux: kernel/exit.c, __exit_signal.
            group.wait_queue.wake_all()
    if task.views is not None:
        task.leave_views()
    pid.task = None
    pid.free_if_unused()
    if kernel.observer is not None:
        kernel.observer.task_event(task, REAP)


def _uncharge(task: Task, size: int) -> None:
    """`task` is gone, and was charged `size`: it may be reaped in another control group than it was in."""
    memory = task.kernel.memory
    memory.payer, payer = task.cgroup.memory, memory.payer
    memory.account.uncharge(TASK, size)
    memory.payer = payer


def replace_leader(task: Task) -> None:
    """Give `task` the place and id of its group's leader, which has ended. Linux: fs/exec.c, de_thread."""
    group = task.group
    leader = group.leader
    kernel = task.kernel
    old_pid = task.thread_pid
    if leader.ptrace is not None:
        tracer = leader.ptrace.tracer
        unlink(leader)
        # It may wait for the leader's end, of which it won't hear.
        tracer.group.wait_queue.wake_all()
    del kernel.tasks[leader]
    set_state(leader, DEAD)
    release_credentials(leader)
    if leader.cgroup.pids is not None:
        leader.cgroup.pids.uncharge()
    leader.pending.clear()
    leader.leave_views()
    task.leave_views()
    _uncharge(leader, TASK_BYTES - STACK_BYTES)
    pid = task.thread_pid = leader.thread_pid
    pid.task = task
    old_pid.task = None
    old_pid.free_if_unused()
    group.times.add(leader.times)
    group.io.add(leader.io)
    group.threads.remove(leader)
    group.leader = task
    task.exit_signal = _SIGCHLD
    task.start_time_ns = leader.start_time_ns
    task.sibling_number = leader.sibling_number
    parent = leader.parent
    task.parent = parent
    if parent is not None:
        siblings = [task if child is leader else child for child in parent.children]
        kernel.clock.spend((len(siblings) - 1) * SEEN_THREAD_NS)
        parent.children.clear()
        parent.children.update(dict.fromkeys(siblings))
        # A tracer that is the parent was told of its end.
        parent.zombies.pop(leader, None)
    if kernel.observer is not None:
        kernel.observer.task_event(task, SUPERSEDE, old_pid.global_number)
