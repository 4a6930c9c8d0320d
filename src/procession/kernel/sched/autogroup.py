"""Autogroups: where kernel.sched_autogroup_enabled says so, sessions share the processors as wholes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EAGAIN, EINVAL, EPERM
from procession.kernel.sched.priority import HIGHEST_NICE, LOWEST_NICE, is_nice_reduction
from procession.kernel.sched.run_queue import NICE_0_WEIGHT, WEIGHTS, competes, weight_of

if TYPE_CHECKING:
    from procession.kernel.task import Task, ThreadGroup

_CAP_SYS_ADMIN, _CAP_SYS_NICE = int(Capability.CAP_SYS_ADMIN), int(Capability.CAP_SYS_NICE)
_CHANGE_INTERVAL_NS = 100_000_000
"""Who lacks CAP_SYS_ADMIN changes a group's nice value that long after the last change, of any group."""


class Autogroup:
    """The processes that descend from one which called setsid(2), up to the next such call (sched(7)).

    Linux: kernel/sched/autogroup.h, struct autogroup.

    `members` are its processes, zombies included; `nice` says what it counts beside other groups.
    """

    __slots__ = ("members", "nice", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.nice = 0
        self.members: dict[ThreadGroup, None] = {}

    def __repr__(self) -> str:
        return f"<Autogroup {self.number}, {len(self.members)} processes>"

    def load(self) -> int:
        """The weight of all that runs or waits to run in it, without what control groups have a share for."""
        return sum(
            weight_of(task)
            for member in self.members
            for task in member.threads
            if task.cgroup.cpu is None and competes(task)
        )

    def runtime_ns(self, task: Task, work_ns: int) -> int:
        """By how much the virtual runtime of `task`, a member, grows while it runs for `work_ns`.

        As `CpuShare.runtime_ns`, of a group at the top.
        """
        share_ns = work_ns * NICE_0_WEIGHT * max(self.load(), 1)
        return share_ns // (weight_of(task) * WEIGHTS[self.nice - LOWEST_NICE])


def begin_autogroup(thread_group: ThreadGroup) -> None:
    """Put a process that has begun a session in an autogroup of its own.

    Linux: kernel/sched/autogroup.c, sched_autogroup_create_attach.
    """
    leave_autogroup(thread_group)
    rules = thread_group.leader.kernel.scheduler.rules
    rules.autogroup_count += 1
    join_autogroup(thread_group, Autogroup(rules.autogroup_count))


def join_autogroup(thread_group: ThreadGroup, autogroup: Autogroup) -> None:
    """Make a process a member. Linux: kernel/sched/autogroup.c, sched_autogroup_fork."""
    thread_group.autogroup = autogroup
    autogroup.members[thread_group] = None


def leave_autogroup(thread_group: ThreadGroup) -> None:
    """The process is reaped, or joins another. Linux: kernel/sched/autogroup.c, sched_autogroup_exit."""
    if thread_group.autogroup is not None:
        thread_group.autogroup.members.pop(thread_group, None)


def set_autogroup_nice(caller: Task, target: Task, nice: int) -> None:
    """Let the group of `target` count as a process of `nice` does. Raises EINVAL, EPERM, EAGAIN.

    Linux: kernel/sched/autogroup.c, proc_sched_autogroup_set_nice.
    """
    if not LOWEST_NICE <= nice <= HIGHEST_NICE:
        raise EINVAL("no nice value")
    if nice < 0 and not is_nice_reduction(caller, nice) and not caller.credentials.capable(_CAP_SYS_NICE):
        raise EPERM("below 0 it needs CAP_SYS_NICE or RLIMIT_NICE")
    kernel = caller.kernel
    rules, now_ns = kernel.scheduler.rules, kernel.clock.now_ns
    if now_ns < rules.next_autogroup_change_ns and not caller.credentials.capable(_CAP_SYS_ADMIN):
        raise EAGAIN("somebody changed one less than 0.1 s ago")
    rules.next_autogroup_change_ns = now_ns + _CHANGE_INTERVAL_NS
    autogroup = target.group.autogroup
    assert autogroup is not None
    autogroup.nice = nice
