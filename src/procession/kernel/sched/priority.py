"""Scheduling policies, nice values and I/O priorities: who may set them, and what a child gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from procession.abi.errno import EACCES, EAGAIN, EINVAL, EOPNOTSUPP, EPERM, ESRCH
from procession.abi.ioprio import IOPRIO_CLASS_SHIFT
from procession.abi.resource import PriorityWhich
from procession.abi.sched import SchedPolicy
from procession.kernel.pid import find_pid, find_task
from procession.kernel.rlimit import RLIMIT_NICE, RLIMIT_RTPRIO
from procession.kernel.security.capability import CAP_SYS_ADMIN, CAP_SYS_NICE
from procession.kernel.time.costs import SEEN_FRAME_NS, SEEN_TASK_NS

if TYPE_CHECKING:
    from procession.kernel.task import Task

SCHED_NORMAL: Final = int(SchedPolicy.SCHED_NORMAL)
SCHED_FIFO: Final = int(SchedPolicy.SCHED_FIFO)
SCHED_RR: Final = int(SchedPolicy.SCHED_RR)
SCHED_BATCH: Final = int(SchedPolicy.SCHED_BATCH)
SCHED_IDLE: Final = int(SchedPolicy.SCHED_IDLE)
SCHED_DEADLINE: Final = int(SchedPolicy.SCHED_DEADLINE)
FAIR: Final = (SCHED_NORMAL, SCHED_BATCH)
REAL_TIME: Final = (SCHED_FIFO, SCHED_RR)
BEFORE_FAIR: Final = (*REAL_TIME, SCHED_DEADLINE)
"""Tasks of these policies run before all others, and have no nice value that counts."""
POLICIES: Final = (*FAIR, *REAL_TIME, SCHED_IDLE, SCHED_DEADLINE)
LARGEST_REAL_TIME_PRIORITY: Final = 99
LOWEST_NICE, HIGHEST_NICE = -20, 19
_SHORTEST_SLICE_NS, _LONGEST_SLICE_NS = 100_000, 100_000_000

PRIO_PROCESS: Final = int(PriorityWhich.PRIO_PROCESS)
PRIO_PGRP: Final = int(PriorityWhich.PRIO_PGRP)
PRIO_USER: Final = int(PriorityWhich.PRIO_USER)
IOPRIO_CLASS_NONE, IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE = range(4)


def check_fork(parent: Task) -> None:
    """Raise EAGAIN if `parent` has a reservation, which no child can have too.

    Linux: kernel/sched/core.c, sched_fork.
    """
    if parent.policy == SCHED_DEADLINE and not parent.resets_scheduling_on_fork:
        raise EAGAIN("a SCHED_DEADLINE task that doesn't reset its children")


class IoContext:
    """What was said of the I/O of the tasks that share it (CLONE_IO).

    Linux: include/linux/iocontext.h, struct io_context.
    """

    __slots__ = ("priority",)

    def __init__(self, priority: int) -> None:
        self.priority = priority


def copy_io(context: IoContext, child: Task, *, is_shared: bool) -> None:
    """Give a new task what was said of its parent's I/O, if that has a class (in Linux, __copy_io)."""
    if is_shared:
        child.io_context = context
    elif context.priority >> IOPRIO_CLASS_SHIFT:
        child.io_context = IoContext(context.priority)


def sched_fork(parent: Task, child: Task) -> None:
    """Give a new task its parent's policy and priorities, or the default ones.

    Linux: kernel/sched/core.c, sched_fork.
    """
    child.nice = parent.nice
    child.policy = parent.policy
    child.realtime_priority = parent.realtime_priority
    child.entity = parent.entity.copy_for_child()
    if parent.resets_scheduling_on_fork:
        if child.policy in BEFORE_FAIR:
            child.policy = SCHED_NORMAL
            child.realtime_priority = 0
            child.nice = 0
        else:
            child.nice = max(child.nice, 0)
        child.entity.slice_ns = 0


def task_or_self(task: Task, pid: int) -> Task:
    """The task of that id, 0 being the caller. Raises ESRCH.

    Linux: kernel/sched/syscalls.c, find_process_by_pid.
    """
    if pid == 0:
        return task
    found: Task | None = find_task(task.pid_namespace, pid)
    if found is None:
        raise ESRCH(f"no task {pid}")
    return found


def _is_owner(task: Task, target: Task) -> bool:
    """Linux: kernel/sched/syscalls.c, check_same_owner."""
    euid = task.credentials.euid
    return euid in {target.credentials.euid, target.credentials.uid}


def is_nice_reduction(target: Task, nice: int) -> bool:
    """Whether RLIMIT_NICE lets `target` have `nice`. Linux: kernel/sched/syscalls.c, is_nice_reduction."""
    return 20 - nice <= target.group.limits.soft[RLIMIT_NICE]


def check_capabilities_below(task: Task, target: Task) -> None:
    """Raise EPERM where `target` may come to have capabilities that `task` can't have.

    Linux: security/commoncap.c, cap_safe_nice.
    """
    mine, theirs = task.credentials, target.credentials
    lacks = theirs.cap_permitted & ~mine.cap_permitted
    if lacks and not mine.ns_capable(theirs.user_namespace, CAP_SYS_NICE):
        raise EPERM(f"task {target.tid} may do more than this one")


class SchedulingChange:
    """What sched_setscheduler(2) or sched_setattr(2) asks for: policy None keeps the present one.

    With `keeps_parameters` it's only checked, and neither policy nor parameters change. `slice_ns` is how
    long turns of a fair task are to be, 0 for the usual, None for as they are. `clamps` asks for bounds of
    utilization.
    """

    __slots__ = (
        "clamps",
        "deadline_flags",
        "keeps_parameters",
        "nice",
        "policy",
        "realtime_priority",
        "reservation",
        "resets_on_fork",
        "slice_ns",
    )

    def __init__(
        self,
        policy: int | None,
        realtime_priority: int,
        nice: int,
        *,
        resets_on_fork: bool,
        reservation: tuple[int, int, int] | None = None,
        keeps_parameters: bool = False,
        clamps: bool = False,
        deadline_flags: int = 0,
        slice_ns: int | None = None,
    ) -> None:
        # SCHED_DEADLINE's runtime, relative deadline and period in nanoseconds.
        self.reservation = reservation
        self.policy = policy
        self.realtime_priority = realtime_priority
        self.nice = nice
        self.resets_on_fork = resets_on_fork
        self.keeps_parameters = keeps_parameters
        self.clamps = clamps
        self.deadline_flags = deadline_flags
        self.slice_ns = slice_ns


def set_scheduling(task: Task, target: Task, change: SchedulingChange) -> None:
    """Give `target` the policy and priority that `task` asks for. Raises EINVAL and EPERM.

    Linux: kernel/sched/syscalls.c, __sched_setscheduler.
    """
    policy = change.policy
    resets_on_fork = change.resets_on_fork
    if policy is None:
        policy = target.policy
        resets_on_fork = target.resets_scheduling_on_fork
    elif policy not in POLICIES:
        raise EINVAL(f"no policy {policy}")
    priority = change.realtime_priority
    if not 0 <= priority <= LARGEST_REAL_TIME_PRIORITY or (policy in REAL_TIME) != (priority != 0):
        raise EINVAL(f"priority {priority} doesn't go with policy {policy}")
    if _needs_privilege(task, target, change, policy, resets_on_fork=resets_on_fork) and (
        not task.credentials.capable(CAP_SYS_NICE)
    ):
        raise EPERM("takes CAP_SYS_NICE")
    check_capabilities_below(task, target)
    if change.clamps:
        raise EOPNOTSUPP("utilization isn't clamped")
    target.resets_scheduling_on_fork = resets_on_fork
    if change.keeps_parameters:
        return
    entity = target.entity
    if policy != target.policy:
        # Linux: kernel/sched/syscalls.c, __normal_prio.
        entity.told_nice = change.nice if policy == SCHED_IDLE else None
    target.policy = policy
    target.realtime_priority = priority
    if policy in FAIR:
        target.nice = change.nice
        if change.slice_ns is not None:
            # Linux: kernel/sched/fair.c, __setparam_fair.
            length_ns = min(max(change.slice_ns, _SHORTEST_SLICE_NS), _LONGEST_SLICE_NS)
            entity.slice_ns = length_ns if change.slice_ns else 0
    if policy == SCHED_DEADLINE and change.reservation is not None:
        entity.runtime_ns, entity.relative_deadline_ns, entity.period_ns = change.reservation
        entity.deadline_flags = change.deadline_flags
        # Who runs already has all of it, from now on. Linux: kernel/sched/deadline.c, setup_new_dl_entity.
        entity.deadline_ns = task.kernel.clock.now_ns + entity.relative_deadline_ns
        entity.budget_left_ns = entity.runtime_ns
    task.kernel.scheduler.change(target)
    if task.kernel.futexes.locks:
        from procession.kernel.futex.pi import waiter_changed

        waiter_changed(target)


def _needs_privilege(
    task: Task, target: Task, change: SchedulingChange, policy: int, *, resets_on_fork: bool
) -> bool:
    """Linux: kernel/sched/syscalls.c, user_check_sched_setscheduler."""
    if policy in FAIR and change.nice < target.nice and not is_nice_reduction(target, change.nice):
        return True
    if policy in REAL_TIME:
        limit = target.group.limits.soft[RLIMIT_RTPRIO]
        if policy != target.policy and not limit:
            return True
        if change.realtime_priority > target.realtime_priority and change.realtime_priority > limit:
            return True
    if policy == SCHED_DEADLINE:
        return True
    if target.policy == SCHED_IDLE and policy != SCHED_IDLE and not is_nice_reduction(target, target.nice):
        return True
    if not _is_owner(task, target):
        return True
    return target.resets_scheduling_on_fork and not resets_on_fork


def check_affinity_access(task: Task, target: Task) -> None:
    """Raise EPERM unless `task` may say on which processors `target` runs."""
    if not _is_owner(task, target) and not task.credentials.ns_capable(
        target.credentials.user_namespace, CAP_SYS_NICE
    ):
        raise EPERM(f"task {target.tid} is another user's")
    check_capabilities_below(task, target)


def selected_tasks(task: Task, which: int, who: int) -> Iterator[Task]:
    """The tasks that getpriority(2) means by `which` and `who`.

    Linux: kernel/sys.c, SYSCALL_DEFINE3(setpriority).
    """
    kernel = task.kernel
    if which == PRIO_PROCESS:
        target = find_task(task.pid_namespace, who) if who else task
        if target is not None:
            yield target
    elif which == PRIO_PGRP:
        named = find_pid(task.pid_namespace, who) if who else task.group.process_group.pid
        group = None if named is None else named.process_group
        if group is not None:
            # Who joined last comes first, as in Linux's list: the errno is what is said of the last one.
            for member in reversed(group.members):
                kernel.clock.spend(len(member.threads) * SEEN_TASK_NS)
                yield from member.threads
    else:
        uid = task.credentials.user_namespace.make_kuid(who) if who else task.credentials.uid
        kernel.clock.spend(len(kernel.tasks) * SEEN_FRAME_NS)
        for target in kernel.tasks:
            if target.credentials.uid == uid and target.thread_pid.number_in(task.pid_namespace):
                kernel.clock.spend(SEEN_TASK_NS)
                yield target


def set_nice(task: Task, which: int, who: int, nice: int) -> None:
    """setpriority(2). Raises ESRCH, EPERM and EACCES. Linux: kernel/sys.c, SYSCALL_DEFINE3(setpriority)."""
    nice = min(max(nice, LOWEST_NICE), HIGHEST_NICE)
    error: type[ESRCH | EPERM | EACCES] | None = ESRCH
    euid = task.credentials.euid
    for target in list(selected_tasks(task, which, who)):
        theirs = target.credentials
        if euid not in {theirs.uid, theirs.euid} and not task.credentials.ns_capable(
            theirs.user_namespace, CAP_SYS_NICE
        ):
            error = EPERM
        elif (
            nice < target.nice
            and not is_nice_reduction(target, nice)
            and not task.credentials.capable(CAP_SYS_NICE)
        ):
            error = EACCES
        else:
            try:
                check_capabilities_below(task, target)
            except EPERM:
                error = EPERM
                continue
            if error is ESRCH:
                error = None
            target.nice = nice
            target.entity.told_nice = None
            task.kernel.scheduler.change(target)
    if error is not None:
        raise error


def least_nice(task: Task, which: int, who: int) -> int:
    """getpriority(2): the smallest nice value among the tasks. Raises ESRCH."""
    values = [target.nice for target in selected_tasks(task, which, who)]
    if not values:
        raise ESRCH("nobody is meant")
    return min(values)


def check_io_priority(task: Task, io_priority: int) -> None:
    """Raise EINVAL or EPERM unless `task` may ask for this. Linux: block/ioprio.c, ioprio_check_cap."""
    io_class = io_priority >> IOPRIO_CLASS_SHIFT & 7
    level = io_priority & 7
    if io_class == IOPRIO_CLASS_RT:
        credentials = task.credentials
        if not credentials.capable(CAP_SYS_ADMIN) and not credentials.capable(CAP_SYS_NICE):
            raise EPERM("the real-time class takes CAP_SYS_NICE")
    elif io_class == IOPRIO_CLASS_NONE:
        if level:
            raise EINVAL("the class of none has no levels")
    elif io_class not in (IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE):
        raise EINVAL(f"no class {io_class}")


def set_io_priority(task: Task, which: int, who: int, io_priority: int) -> None:
    """ioprio_set(2) after `check_io_priority`. Raises ESRCH and EPERM. Linux: block/ioprio.c."""
    targets = list(selected_tasks(task, which, who))
    if not targets:
        raise ESRCH("nobody is meant")
    credentials = task.credentials
    for target in targets:
        if target.credentials.uid not in {credentials.euid, credentials.uid} and (
            not credentials.capable(CAP_SYS_NICE)
        ):
            raise EPERM(f"task {target.tid} is another user's")
        check_capabilities_below(task, target)
        if target.is_exiting:
            continue
        if target.io_context is None:
            target.io_context = IoContext(io_priority)
        target.io_context.priority = io_priority


def given_io_priority(target: Task) -> int:
    """What `target` has said; the dead have no I/O any more. Linux: block/ioprio.c, get_task_ioprio."""
    return 0 if target.is_exiting or target.io_context is None else target.io_context.priority


def effective_io_priority(target: Task) -> int:
    """What `target` has, derived from its nice value where it has said nothing (ioprio_set(2))."""
    given = given_io_priority(target)
    if given >> IOPRIO_CLASS_SHIFT:
        return given
    if target.policy == SCHED_IDLE:
        io_class = IOPRIO_CLASS_IDLE
    elif target.policy in REAL_TIME:
        io_class = IOPRIO_CLASS_RT
    else:
        io_class = IOPRIO_CLASS_BE
    return io_class << IOPRIO_CLASS_SHIFT | (target.nice + 20) // 5


def best_io_priority(task: Task, which: int, who: int) -> int:
    """ioprio_get(2): of a task what it was given, of several the best. Raises ESRCH."""
    targets = list(selected_tasks(task, which, who))
    if not targets:
        raise ESRCH("nobody is meant")
    if which == PRIO_PROCESS:
        return given_io_priority(targets[0])
    return min(effective_io_priority(target) for target in targets)
