"""The hierarchy of a machine's control groups, and which of its controllers are where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBUSY, EINVAL, ENOENT, EOPNOTSUPP
from procession.hardware.kernel_memory import CGROUP, CONTROLLER_BYTES
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.cgroup.cpu import CpuShare
from procession.kernel.cgroup.cpuset import CpuSet, restrict_all
from procession.kernel.cgroup.device import detach_all
from procession.kernel.cgroup.freezer import update_frozen
from procession.kernel.cgroup.group import (
    CONTROLLER_NAMES,
    DEFAULT_IO_WEIGHT,
    THREADED_CONTROLLERS,
    Cgroup,
    Controller,
)
from procession.kernel.cgroup.memory import MemoryCounter
from procession.kernel.cgroup.pids import PidsCounter
from procession.kernel.time.costs import CONTROLLED_GROUP_NS, SEEN_THREAD_NS

if TYPE_CHECKING:
    from procession.fs.superblock import Superblock
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

PIDS = int(Controller.PIDS)
CPU = int(Controller.CPU)
MEMORY = int(Controller.MEMORY)
IO = int(Controller.IO)
CPUSET = int(Controller.CPUSET)
_COUNTING = PIDS | CPU | MEMORY | CPUSET


class Hierarchy:
    """All control groups of a machine: there is one hierarchy (in Linux, cgrp_dfl_root).

    `is_namespace_delegated`, `protects_recursively`, `has_local_memory_events` and `has_local_pids_events`
    are the mount options nsdelegate, memory_recursiveprot, memory_localevents and pids_localevents. There are
    no huge pages, and nothing that moves costs more or less, so that memory_hugetlb_accounting and
    favordynmods are kept to be shown: `shown_options`. `file_system` is cgroup2, once it's mounted. `offline`
    are the counters of memory of groups that are no more, while pages are charged to them.
    """

    __slots__ = (
        "file_system",
        "has_local_memory_events",
        "has_local_pids_events",
        "is_namespace_delegated",
        "offline",
        "protects_recursively",
        "root",
        "shown_options",
    )

    def __init__(self) -> None:
        self.root = Cgroup(None, b"", 1)
        self.file_system: Superblock | None = None
        self.offline: dict[MemoryCounter, None] = {}
        self.is_namespace_delegated = True
        self.protects_recursively = True
        self.has_local_memory_events = False
        self.has_local_pids_events = False
        self.shown_options: tuple[bytes, ...] = ()

    @property
    def count(self) -> int:
        """How many groups there are."""
        return sum(1 for _ in self.root.subtree())

    def dying_below(self, group: Cgroup) -> int:
        """How many removed groups that were below `group` have pages."""
        for counter in [counter for counter in self.offline if not counter.usage]:
            del self.offline[counter]
        return sum(1 for counter in self.offline if counter.group.is_dead and counter.group.is_below(group))

    def make(self, kernel: Kernel, parent: Cgroup, name: bytes, number: int) -> Cgroup:
        """Make a group `name` in `parent`; limits have been checked. Raises OutOfFrames, nothing changed.

        Linux: kernel/cgroup/cgroup.c, cgroup_create.
        """
        _charge_counters(kernel, parent.memory, _counters_bytes(parent.subtree_control))
        group = Cgroup(parent, name, number)
        parent.children[name] = group
        _set_controllers(kernel, group, 0, group.available_controllers, [])
        if parent.is_freezing:
            update_frozen(group)
        return group

    def remove(self, kernel: Kernel, group: Cgroup) -> None:
        """Remove a group without tasks and children. Linux: kernel/cgroup/cgroup.c, cgroup_destroy_locked."""
        parent = group.parent
        assert parent is not None
        group.is_dead = True
        if group.cpu is not None and group.cpu.group is group:
            group.cpu.stop()
        detach_all(kernel, group)
        if group.memory is not None and group.memory.group is group:
            group.memory.go_offline()
        _charge_counters(kernel, parent.memory, -_counters_bytes(group.available_controllers))
        if kernel.pressure is not None:
            kernel.pressure.forget(kernel, group)
        parent.user_ns += group.user_ns
        parent.nice_ns += group.nice_ns
        parent.system_ns += group.system_ns
        if group.is_threaded:
            parent.threaded_children -= 1
        del parent.children[group.name]
        update_frozen(parent)


def _counters_bytes(controllers: int) -> int:
    """What the counters of one group take."""
    return (controllers & _COUNTING).bit_count() * CONTROLLER_BYTES


def _charge_counters(kernel: Kernel, payer: MemoryCounter | None, change: int) -> None:
    """Counters of groups take `change` bytes more, or less, of the memory of the group above them.

    Raises OutOfFrames, nothing changed. Linux: mm/memcontrol.c, mem_cgroup_css_alloc.
    """
    memory = kernel.memory
    memory.payer, running = payer, memory.payer
    try:
        if change >= 0:
            memory.account.charge(CGROUP, change)
        else:
            memory.account.uncharge(CGROUP, -change)
    finally:
        memory.payer = running


def _set_controllers(kernel: Kernel, group: Cgroup, old: int, new: int, tasks: list[Task]) -> None:
    """`group` has the controllers `new` from now on, in place of `old`; `tasks` are those in it and below.

    Linux: kernel/cgroup/cgroup.c, cgroup_apply_control.
    """
    parent = group.parent
    assert parent is not None
    changed = old ^ new
    if changed & PIDS:
        group.pids = parent.pids
        if new & PIDS:
            group.pids = PidsCounter(parent.pids)
            group.pids.count = len(tasks)
            group.pids.peak = group.pids.count
    if changed & CPU:
        own, group.cpu = group.cpu, parent.cpu
        if new & CPU:
            group.cpu = CpuShare(kernel, group, parent.cpu)
        elif own is not None:
            own.stop()
    if changed & CPUSET:
        group.cpuset = CpuSet(kernel, group, parent.cpuset) if new & CPUSET else parent.cpuset
    if changed & MEMORY:
        counter, group.memory = group.memory, parent.memory
        if old & MEMORY and counter is not None:
            counter.go_offline()
        if new & MEMORY:
            group.memory = MemoryCounter(kernel, group, parent.memory)
            group.memory.take_over(tasks)
    if changed & IO:
        group.io_weight = DEFAULT_IO_WEIGHT
    if changed:
        _inherit(group)
    if changed & CPUSET:
        restrict_all(group)
    current = kernel.current
    if current is not None:
        kernel.memory.payer = current.cgroup.memory


def _inherit(group: Cgroup) -> None:
    """Groups below that have none of a controller's of their own use what `group` has."""
    for child in group.subtree():
        parent = child.parent
        if child is group or parent is None:
            continue
        own = child.available_controllers
        if not own & PIDS:
            child.pids = parent.pids
        if not own & CPU:
            child.cpu = parent.cpu
        if not own & CPUSET:
            child.cpuset = parent.cpuset
        if not own & MEMORY:
            child.memory = parent.memory


def parse_subtree_control(text: bytes) -> tuple[int, int]:
    """The controllers to enable and to disable. Raises EINVAL.

    Linux: kernel/cgroup/cgroup.c, cgroup_subtree_control_write.
    """
    enable = disable = 0
    for token in text.strip().split(b" "):
        if not token:
            continue
        bit = CONTROLLER_NAMES.get(token[1:])
        if bit is None:
            raise EINVAL("no such controller")
        if token[:1] == b"+":
            enable |= bit
            disable &= ~bit
        elif token[:1] == b"-":
            disable |= bit
            enable &= ~bit
        else:
            raise EINVAL("neither + nor -")
    return enable, disable


def control_subtree(kernel: Kernel, group: Cgroup, enable: int, disable: int) -> None:
    """Give the children of `group` controllers, or take them. Raises ENOENT, EBUSY, EOPNOTSUPP, OutOfFrames.

    Linux: kernel/cgroup/cgroup.c, cgroup_subtree_control_write.
    """
    for bit in CONTROLLER_NAMES.values():
        if enable & bit:
            if group.subtree_control & bit:
                enable &= ~bit
            elif not group.available_controllers & bit:
                raise ENOENT("the parent doesn't give this controller")
        elif disable & bit:
            if not group.subtree_control & bit:
                disable &= ~bit
            elif any(child.subtree_control & bit for child in group.children.values()):
                raise EBUSY("a child gives it to its own children")
    if not enable and not disable:
        return
    if enable:
        _check_enabling(group, enable)
    before = {child: child.available_controllers for child in group.children.values()}
    given = group.subtree_control
    group.subtree_control = (given | enable) & ~disable
    more = sum(
        _counters_bytes(child.available_controllers) - _counters_bytes(before[child]) for child in before
    )
    try:
        _charge_counters(kernel, group.memory, max(more, 0))
    except OutOfFrames:
        group.subtree_control = given
        raise
    _charge_counters(kernel, group.memory, -max(-more, 0))
    changed = (enable | disable).bit_count()
    kernel.clock.spend(len(before) * changed * CONTROLLED_GROUP_NS + len(kernel.tasks) * SEEN_THREAD_NS)
    tasks = _tasks_below(kernel, group)
    for child, old in before.items():
        _set_controllers(kernel, child, old, child.available_controllers, tasks.get(child, []))


def make_threaded(kernel: Kernel, group: Cgroup) -> None:
    """Let `group` be threaded, without controllers of domains. Raises EOPNOTSUPP.

    Linux: kernel/cgroup/cgroup.c, cgroup_enable_threaded.
    """
    old = group.available_controllers
    group.make_threaded()
    new = group.available_controllers
    if group.parent is not None:
        _charge_counters(kernel, group.parent.memory, _counters_bytes(new) - _counters_bytes(old))
    if group.parent is not None:
        _set_controllers(kernel, group, old, new, _tasks_below(kernel, group.parent).get(group, []))


def _tasks_below(kernel: Kernel, group: Cgroup) -> dict[Cgroup, list[Task]]:
    """The tasks in and below each child of `group`; also those that have ended and aren't reaped yet, as they
    are counted still.
    """
    found: dict[Cgroup, list[Task]] = {}
    for task in kernel.tasks:
        child = task.cgroup
        while child.level > group.level + 1 and child.parent is not None:
            child = child.parent
        if child.parent is group:
            found.setdefault(child, []).append(task)
    return found


def _check_enabling(group: Cgroup, enable: int) -> None:
    """No group may have both processes and children that compete with them.

    Linux: kernel/cgroup/cgroup.c, cgroup_vet_subtree_control_enable.
    """
    if not group.domain.is_valid_domain:
        raise EOPNOTSUPP("no group of the domain can have processes")
    if group.parent is None:
        return
    if enable & ~THREADED_CONTROLLERS:
        if group.is_thread_root or group.is_threaded:
            raise EOPNOTSUPP("a domain controller in a threaded subtree")
    elif group.can_be_thread_root or group.is_threaded:
        return
    if group.tasks:
        raise EBUSY("it has processes itself")
