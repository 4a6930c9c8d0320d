"""Sessions and process groups: who belongs to which job, and which jobs are orphaned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EINVAL, EPERM, ESRCH
from procession.abi.signals import Signal, SignalCode
from procession.kernel.pid import find_pid
from procession.kernel.sched.autogroup import begin_autogroup
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.task import SIGNAL_STOP_STOPPED
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.pid import Pid
    from procession.kernel.task import Task, ThreadGroup

_SIGHUP = int(Signal.SIGHUP)
_SIGCONT = int(Signal.SIGCONT)
_SI_KERNEL = int(SignalCode.SI_KERNEL)


class Session:
    """Process groups that share a controlling terminal (credentials(7)).

    `groups` holds its process groups in the order of their creation. `leader` is the process that called
    setsid(2), None after that was reaped; `lost_foreground` the process group that was in the foreground of
    its terminal when that was hung up.
    """

    __slots__ = ("groups", "leader", "lost_foreground", "pid")

    def __init__(self, pid: Pid, leader: ThreadGroup | None) -> None:
        self.pid = pid
        self.leader = leader
        self.groups: dict[ProcessGroup, None] = {}
        self.lost_foreground: ProcessGroup | None = None

    def __repr__(self) -> str:
        return f"<Session {self.pid.global_number}>"


class ProcessGroup:
    """A job: the processes that a signal from the terminal reaches together.

    `members` holds the processes in the order in which they joined, zombies included.
    """

    __slots__ = ("members", "pid", "session")

    def __init__(self, pid: Pid, session: Session) -> None:
        self.pid = pid
        self.session = session
        self.members: dict[ThreadGroup, None] = {}

    def newest_first(self) -> list[ThreadGroup]:
        """The members in the order in which a signal reaches them. Linux: kernel/pid.c, attach_pid."""
        return list(reversed(self.members))

    def __repr__(self) -> str:
        return f"<ProcessGroup {self.pid.global_number} of session {self.session.pid.global_number}>"


def is_session_leader(thread_group: ThreadGroup) -> bool:
    """Whether it's the leader of its session (in Linux, signal_struct.leader)."""
    return thread_group.process_group.session.leader is thread_group


def create_session(thread_group: ThreadGroup) -> Session:
    """Put a process that is in no process group in a group and a session of its own, with its own id.

    Linux: kernel/sys.c, set_special_pids.
    """
    pid = thread_group.pid
    session = pid.session = Session(pid, thread_group)
    group = pid.process_group = ProcessGroup(pid, session)
    session.groups[group] = None
    join_process_group(thread_group, group)
    begin_autogroup(thread_group)
    return session


def join_process_group(thread_group: ThreadGroup, process_group: ProcessGroup) -> None:
    """Make `thread_group`, which is in none, a member (in Linux, attach_pid in copy_process)."""
    thread_group.process_group = process_group
    process_group.members[thread_group] = None


def leave_process_group(thread_group: ThreadGroup) -> None:
    """Take a process out of its process group: it's reaped, or joins another.

    Empty groups and sessions go, and only then may their ids be given to new tasks. `process_group` stays
    set for whoever looks at a dead process. Linux: kernel/pid.c, detach_pid.
    """
    group = thread_group.process_group
    group.members.pop(thread_group, None)
    session = group.session
    if not group.members:
        session.groups.pop(group, None)
        group.pid.process_group = None
        if not session.groups:
            session.pid.session = None
            if session.pid is not group.pid:
                session.pid.free_if_unused()
        group.pid.free_if_unused()


def forget_session_leader(thread_group: ThreadGroup) -> None:
    """Called when a process is reaped: its session has no leader any more."""
    session = thread_group.process_group.session
    if session.leader is thread_group:
        session.leader = None


def set_process_group(task: Task, pid: int, pgid: int) -> None:
    """setpgid(2). Raises EINVAL, ESRCH, EPERM and EACCES. Linux: kernel/sys.c, SYSCALL_DEFINE2(setpgid)."""
    namespace = task.pid_namespace
    caller = task.group
    pid = pid or caller.pid.own_number
    pgid = pgid or pid
    if pgid < 0:
        raise EINVAL("a negative process group")
    named = find_pid(namespace, pid)
    target = named.task if named is not None else None
    if named is None or target is None:
        raise ESRCH(f"no process {pid}")
    group = target.group
    if group.leader is not target:
        raise EINVAL(f"task {pid} isn't its thread group's leader")
    session = caller.process_group.session
    if target.parent is not None and target.parent.group is caller:
        if group.process_group.session is not session:
            raise EPERM(f"child {pid} is in another session")
        # A shell and its child both put the child into its job, whoever runs first; after exec it's too late,
        # for the program may have looked at its group already.
        if target.has_executed:
            raise EACCES(f"child {pid} has executed another program")
    elif group is not caller:
        raise ESRCH(f"process {pid} is neither the caller nor its child")
    if is_session_leader(group):
        raise EPERM(f"process {pid} leads a session")
    wanted = named if pgid == pid else find_pid(namespace, pgid)
    destination = wanted.process_group if wanted is not None else None
    if pgid != pid and (destination is None or destination.session is not session):
        raise EPERM(f"no process group {pgid} in the session")
    if group.process_group is destination:
        return
    if destination is None:
        destination = named.process_group = ProcessGroup(named, session)
        session.groups[destination] = None
    leave_process_group(group)
    join_process_group(group, destination)


def start_session(task: Task) -> int:
    """setsid(2): the new session's id. Raises EPERM. Linux: kernel/sys.c, ksys_setsid."""
    group = task.group
    if is_session_leader(group):
        raise EPERM("the caller already leads a session")
    # A group that it led once may have members still: one number can't name groups of two sessions.
    if group.pid.process_group is not None:
        raise EPERM(f"there is a process group {group.pid.global_number}")
    leave_process_group(group)
    group.terminal = None
    session = create_session(group)
    if task.kernel.process_connector is not None:
        task.kernel.process_connector.tell_of_session(task)
    return session.pid.own_number


def is_orphaned_process_group(process_group: ProcessGroup, leaving: ThreadGroup | None = None) -> bool:
    """Whether no member has a parent in another process group of the same session.

    `leaving` is a member that doesn't count, since it's exiting. Linux: kernel/exit.c,
    will_become_orphaned_pgrp.
    """
    session = process_group.session
    for member in process_group.members:
        leader = member.leader
        if member is leaving or (leader.state in ENDED and len(member.threads) <= 1):
            continue
        parent = leader.parent
        # Init adopts orphans of every session, its own too, and continues nobody's jobs.
        if parent is None or parent.group.pid.is_first:
            continue
        other = parent.group.process_group
        if other is not process_group and other.session is session:
            return False
    return True


def has_stopped_members(process_group: ProcessGroup) -> bool:
    """Whether one of its processes is stopped (Linux: kernel/exit.c, has_stopped_jobs)."""
    return any(member.flags & SIGNAL_STOP_STOPPED for member in process_group.members)


def signal_process_group(kernel: Kernel, process_group: ProcessGroup, number: int) -> None:
    """Send every member signal `number` from the kernel itself (Linux: kernel/signal.c, kill_pgrp)."""
    for member in process_group.newest_first():
        send_signal(kernel, member, SigInfo(number, _SI_KERNEL))


def kill_orphaned_process_group(kernel: Kernel, task: Task, parent: Task | None = None) -> None:
    """Send SIGHUP and SIGCONT to the group of `task` if it's newly orphaned and has stopped members.

    Without `parent`, `task` is exiting. With it, `task` is a child that gets another parent because `parent`
    is exiting. Linux: kernel/exit.c, kill_orphaned_pgrp.
    """
    group = task.group.process_group
    leaving: ThreadGroup | None = None
    if parent is None:
        parent = task.parent
        leaving = task.group
    if parent is None:
        return
    other = parent.group.process_group
    if other is group or other.session is not group.session:
        return
    if is_orphaned_process_group(group, leaving) and has_stopped_members(group):
        # In this order: what is stopped acts on SIGHUP only when it goes on, and then before anything else.
        signal_process_group(kernel, group, _SIGHUP)
        signal_process_group(kernel, group, _SIGCONT)
