"""Moving processes and threads to another control group, making them there, and ending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.errno import EBUSY, ENOENT, EOPNOTSUPP, ESRCH
from procession.abi.signals import Signal
from procession.hardware.kernel_memory import TASK
from procession.kernel.cgroup.cpuset import restrict
from procession.kernel.cgroup.freezer import freeze_task, update_frozen
from procession.kernel.cgroup.memory import task_bytes
from procession.kernel.pid import find_task
from procession.kernel.signal.generation import send_group_signal
from procession.kernel.signal.info import SigInfo

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_SIGKILL = int(Signal.SIGKILL)


class Mover(Protocol):
    """Who moves tasks: whoever opened the file that is written to."""

    @property
    def seen_root(self) -> Cgroup:
        """The root of the mover's cgroup namespace."""

    def check_write(self, group: Cgroup) -> None:
        """Raise EACCES unless the mover may write to the cgroup.procs of `group`."""


def check_attaching(
    kernel: Kernel, mover: Mover, source: Cgroup, target: Cgroup, *, is_process: bool
) -> None:
    """Raise unless tasks may be moved from `source` to `target`: EACCES, ENOENT, EOPNOTSUPP, EBUSY.

    Linux: kernel/cgroup/cgroup.c, cgroup_attach_permissions, cgroup_migrate_vet_dst.
    """
    mover.check_write(source.common_ancestor(target))
    if kernel.cgroups.is_namespace_delegated:
        root = mover.seen_root
        if not source.is_below(root) or not target.is_below(root):
            raise ENOENT("outside of the cgroup namespace")
    check_target(target)
    if not is_process and source.domain is not target.domain:
        raise EOPNOTSUPP("a thread stays in its process's domain")


def check_target(target: Cgroup) -> None:
    """Raise EOPNOTSUPP or EBUSY unless `target` can have tasks.

    Linux: kernel/cgroup/cgroup.c, cgroup_migrate_vet_dst.
    """
    if not target.domain.is_valid_domain:
        raise EOPNOTSUPP("no valid domain")
    if target.can_be_thread_root or target.is_threaded:
        return
    if target.subtree_control:
        raise EBUSY("its children have controllers")


def attach(
    kernel: Kernel, mover: Mover, target: Cgroup, actor: Task, number: int, *, is_process: bool
) -> None:
    """Move the process or thread with id `number`, as `actor` sees it, to `target`; 0 is `actor` itself.

    Raises ESRCH and what `check_attaching` does. Linux: kernel/cgroup/cgroup.c, __cgroup_procs_write.
    """
    task = find_task(actor.pid_namespace, number) if number else actor
    if task is None:
        raise ESRCH("no such task")
    if is_process:
        task = task.group.leader
    check_attaching(kernel, mover, task.cgroup, target, is_process=is_process)
    for each in list(task.group.threads) if is_process else [task]:
        if each in each.cgroup.tasks:
            move_task(each, target)


def move_task(task: Task, target: Cgroup) -> None:
    """Put a live task into another group. Linux: kernel/cgroup/cgroup.c, css_set_move_task."""
    source = task.cgroup
    if source is target:
        return
    if target.pids is not None:
        target.pids.charge()
    if source.pids is not None:
        source.pids.uncharge()
    target.add(task)
    task.cgroup = target
    source.remove(task)
    if source.memory is not target.memory:
        # The task itself goes along, as it's given back to the group where it ends; its pages stay.
        size = task_bytes(task)
        if source.memory is not None:
            source.memory.uncharge_kernel(TASK, size)
            source.memory.count_faults(task, 1)
        if target.memory is not None:
            target.memory.charge_kernel_always(TASK, size)
            target.memory.count_faults(task, -1)
        if task is task.kernel.current:
            task.kernel.memory.payer = target.memory
    if source.cpu is not target.cpu:
        task.kernel.scheduler.change(task)
    if source.cpuset is not target.cpuset:
        restrict(task)
    if source.is_freezing != target.is_freezing:
        freeze_task(task, freeze=target.is_freezing)
    if source.is_freezing or target.is_freezing:
        update_frozen(source)
        update_frozen(target)


def join(task: Task, group: Cgroup) -> None:
    """The new `task` is in `group`. Linux: kernel/cgroup/cgroup.c, cgroup_post_fork."""
    if group.pids is not None:
        group.pids.charge()
    task.cgroup = group
    group.add(task)
    # What it has from its parent may be as the parent's group has it, which needn't be this one.
    if group.cpuset is not None or task.entity.allowed != task.entity.wanted:
        restrict(task)
    if group.is_freezing:
        freeze_task(task, freeze=True)
        update_frozen(group)


def leave(task: Task) -> None:
    """`task` ends, and is counted still until it's reaped. Linux: kernel/cgroup/cgroup.c, cgroup_exit."""
    group = task.cgroup
    group.remove(task)
    if group.memory is not None:
        group.memory.count_faults(task, 1)
    if group.is_freezing:
        update_frozen(group)


def kill_all(kernel: Kernel, group: Cgroup, actor: Task) -> None:
    """Kill every process in `group` and below. Linux: kernel/cgroup/cgroup.c, cgroup_kill."""
    victims = {task.group: None for each in group.subtree() for task in each.tasks}
    for victim in victims:
        send_group_signal(
            kernel, victim, SigInfo(_SIGKILL, 0, sender=actor.group.pid, uid=actor.credentials.uid)
        )
