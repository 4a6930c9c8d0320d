"""The cpuset controller: which processors and nodes of memory a control group's tasks may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.sched.entity import EVERY_PROCESSOR

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

NODES = 1
"""The machine's nodes of memory, as a mask: there is one."""


class CpuSet:
    """A group's processors and nodes (Linux: kernel/cgroup/cpuset-internal.h, struct cpuset).

    `processors` and `nodes` are what was written, as masks, 0 for nothing; what works is that of the next
    group above with the controller, or the part of it that was written, unless that is none.
    """

    __slots__ = ("group", "kernel", "nodes", "parent", "processors")

    def __init__(self, kernel: Kernel, group: Cgroup, parent: CpuSet | None) -> None:
        self.kernel = kernel
        self.group = group
        self.parent = parent
        self.processors = 0
        self.nodes = 0

    @property
    def effective_processors(self) -> int:
        """Those that its tasks may use. Linux: kernel/cgroup/cpuset.c, compute_effective_cpumask."""
        chain: list[CpuSet] = []
        each: CpuSet | None = self
        while each is not None:
            chain.append(each)
            each = each.parent
        given = self.kernel.scheduler.all_processors
        for each in reversed(chain):
            given = given & each.processors or given
        return given


def restrict_all(group: Cgroup) -> None:
    """The tasks in `group` and below use what they may from now on.

    Linux: kernel/cgroup/cpuset.c, cpuset_update_tasks_cpumask.
    """
    for each in group.subtree():
        for task in list(each.tasks):
            restrict(task)


def processors_of(group: Cgroup) -> int:
    """The processors that tasks of `group` may use, as a mask.

    Linux: kernel/cgroup/cpuset.c, cpuset_cpus_allowed.
    """
    own = group.cpuset
    return EVERY_PROCESSOR if own is None else own.effective_processors


def restrict(task: Task) -> None:
    """Let `task` use what it asked for of its group's processors, or all of them if that is none.

    Linux: kernel/sched/core.c, __set_cpus_allowed_ptr.
    """
    entity = task.entity
    given = processors_of(task.cgroup)
    allowed = given & entity.wanted or given
    if allowed == entity.allowed:
        return
    entity.allowed = allowed
    if not allowed >> entity.processor & 1:
        task.kernel.scheduler.change(task)
