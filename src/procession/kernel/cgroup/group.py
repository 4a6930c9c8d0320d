"""A control group: its place in the hierarchy, its tasks, and of which kind it is (cgroups(7))."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EBUSY, EOPNOTSUPP
from procession.kernel.cgroup.event_file import EventFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.kernel.cgroup.cpu import CpuShare
    from procession.kernel.cgroup.cpuset import CpuSet
    from procession.kernel.cgroup.device import DevicePrograms
    from procession.kernel.cgroup.memory import MemoryCounter
    from procession.kernel.cgroup.pids import PidsCounter
    from procession.kernel.task import Task

NO_LIMIT = 0x7FFF_FFFF
"""Of cgroup.max.descendants and cgroup.max.depth: "max"."""
DEFAULT_IO_WEIGHT = 100


class Controller(IntFlag):
    """The controllers that there are, in Linux's order."""

    CPUSET = 1
    CPU = 2
    IO = 4
    MEMORY = 8
    PIDS = 16


CONTROLLER_NAMES: dict[bytes, int] = {
    each.name.lower().encode(): int(each) for each in Controller if each.name
}
ALL_CONTROLLERS = sum(CONTROLLER_NAMES.values())
THREADED_CONTROLLERS = int(Controller.CPUSET | Controller.CPU | Controller.PIDS)
"""Those that can tell the threads of a process apart."""


def controller_names(mask: int) -> bytes:
    """The names of the controllers in `mask`, as cgroup.controllers has them."""
    return b" ".join(name for name, bit in CONTROLLER_NAMES.items() if mask & bit)


class Cgroup:
    """A control group (Linux: include/linux/cgroup-defs.h, struct cgroup).

    `tasks` are those in this very group that haven't ended, in the order in which they came. `domain` is the
    group whose resources its tasks use: itself, or for a threaded group the one that its threads' processes
    are in. `subtree_control` is the mask of the controllers that its children have. Of its children
    `populated_domains` and `populated_threadeds` have tasks, in themselves or below.

    `wants_freeze` is what cgroup.freeze says, `is_freezing` whether this or a group above says so,
    `is_frozen` whether all tasks of it and below are. `pids` is what forks in it are counted by, its own or
    that of a group above; None if there are no counters. `cpu` is the share of the processors that it has in
    the same way, `cpuset` which of them. `devices` are the programs that are attached to this very group,
    None if there are none. `io_weight` is what io.weight says for all devices. `user_ns`, `nice_ns` (of
    `user_ns`, at nice values above 0) and `system_ns` are the time that its tasks and those of removed groups
    below have run; the root's isn't counted.
    """

    __slots__ = (
        "children",
        "cpu",
        "cpuset",
        "devices",
        "domain",
        "events",
        "io_weight",
        "is_dead",
        "is_freezing",
        "is_frozen",
        "level",
        "maximum_depth",
        "maximum_descendants",
        "memory",
        "name",
        "nice_ns",
        "number",
        "parent",
        "pids",
        "populated_domains",
        "populated_threadeds",
        "subtree_control",
        "system_ns",
        "tasks",
        "threaded_children",
        "user_ns",
        "wants_freeze",
    )

    def __init__(self, parent: Cgroup | None, name: bytes, number: int) -> None:
        self.parent = parent
        self.name = name
        self.number = number
        self.level: int = 0 if parent is None else parent.level + 1
        self.children: dict[bytes, Cgroup] = {}
        self.tasks: dict[Task, None] = {}
        self.domain: Cgroup = self
        self.threaded_children = 0
        self.populated_domains = 0
        self.populated_threadeds = 0
        self.subtree_control = 0
        self.maximum_depth = NO_LIMIT
        self.maximum_descendants = NO_LIMIT
        self.events = EventFile()
        self.is_dead = False
        self.wants_freeze = False
        self.is_freezing: bool = parent is not None and parent.is_freezing
        self.is_frozen = self.is_freezing
        self.pids: PidsCounter | None = None if parent is None else parent.pids
        self.cpu: CpuShare | None = None if parent is None else parent.cpu
        self.cpuset: CpuSet | None = None if parent is None else parent.cpuset
        self.memory: MemoryCounter | None = None if parent is None else parent.memory
        self.devices: DevicePrograms | None = None
        self.io_weight = DEFAULT_IO_WEIGHT
        self.user_ns = self.nice_ns = self.system_ns = 0

    def __repr__(self) -> str:
        return f"<Cgroup {self.path().decode(errors='replace')}, {len(self.tasks)} tasks>"

    # Where it is

    def path(self) -> bytes:
        """Its name from the hierarchy's root down."""
        names: list[bytes] = []
        group: Cgroup = self
        while group.parent is not None:
            names.append(group.name)
            group = group.parent
        return b"/" + b"/".join(reversed(names))

    def path_from(self, root: Cgroup) -> bytes:
        """Its name as seen in a namespace whose root is `root`: with ".." where it isn't below.

        In Linux, kernfs_path_from_node.
        """
        if self is root:
            return b"/"
        common = self.common_ancestor(root)
        above = b"/.." * (root.level - common.level)
        below = self.path()[len(common.path()) :] if common.parent is not None else self.path()
        return above + (b"" if self is common else below)

    def is_below(self, other: Cgroup) -> bool:
        """Whether `other` is this group or one above.

        Linux: include/linux/cgroup.h, cgroup_is_descendant.
        """
        group: Cgroup | None = self
        while group is not None and group.level > other.level:
            group = group.parent
        return group is other

    def common_ancestor(self, other: Cgroup) -> Cgroup:
        """The lowest group that both are in or below."""
        group = self
        while not other.is_below(group):
            assert group.parent is not None
            group = group.parent
        return group

    def subtree(self) -> Iterator[Cgroup]:
        """This group and all below, parents first."""
        waiting = [self]
        while waiting:
            group = waiting.pop()
            yield group
            waiting.extend(reversed(group.children.values()))

    def ancestors(self) -> Iterator[Cgroup]:
        """This group and all above."""
        group: Cgroup | None = self
        while group is not None:
            yield group
            group = group.parent

    @property
    def descendant_count(self) -> int:
        """How many groups are below."""
        return sum(1 for _ in self.subtree()) - 1

    # What kind it is. As in Linux's kernel/cgroup/cgroup.c

    @property
    def is_threaded(self) -> bool:
        """Whether its threads use the resources of a group above (in Linux, cgroup_is_threaded)."""
        return self.domain is not self

    @property
    def is_thread_root(self) -> bool:
        """Whether a threaded subtree begins here (Linux: kernel/cgroup/cgroup.c, cgroup_is_thread_root)."""
        if self.is_threaded:
            return False
        return bool(self.threaded_children or (self.tasks and self.subtree_control & THREADED_CONTROLLERS))

    @property
    def can_be_thread_root(self) -> bool:
        """Linux: kernel/cgroup/cgroup.c, cgroup_can_be_thread_root."""
        if self.parent is None:
            return True
        return not (
            self.is_threaded or self.populated_domains or self.subtree_control & ~THREADED_CONTROLLERS
        )

    @property
    def is_valid_domain(self) -> bool:
        """Whether it can have processes (Linux: kernel/cgroup/cgroup.c, cgroup_is_valid_domain)."""
        if self.is_threaded:
            return False
        group = self.parent
        while group is not None:
            if group.parent is not None and group.is_thread_root:
                return False
            if group.is_threaded:
                return False
            group = group.parent
        return True

    @property
    def available_controllers(self) -> int:
        """The mask of what cgroup.controllers lists (Linux: kernel/cgroup/cgroup.c, cgroup_control)."""
        parent = self.parent
        if parent is None:
            return ALL_CONTROLLERS
        return parent.subtree_control & THREADED_CONTROLLERS if self.is_threaded else parent.subtree_control

    @property
    def type_name(self) -> bytes:
        """What cgroup.type says. Linux: kernel/cgroup/cgroup.c, cgroup_type_show."""
        if self.is_threaded:
            return b"threaded"
        if not self.is_valid_domain:
            return b"domain invalid"
        return b"domain threaded" if self.is_thread_root else b"domain"

    # Its tasks

    @property
    def is_populated(self) -> bool:
        """Whether a task is in it or below."""
        return bool(self.tasks or self.populated_domains or self.populated_threadeds)

    def add(self, task: Task) -> None:
        """`task` is in this group from now on."""
        if not self.tasks and self.parent is not None:
            was_populated = self.is_populated
            self.tasks[task] = None
            if not was_populated:
                self._population_changed(1)
        else:
            self.tasks[task] = None

    def remove(self, task: Task) -> None:
        """`task` has left, or has ended."""
        del self.tasks[task]
        if not self.tasks and self.parent is not None and not self.is_populated:
            self._population_changed(-1)

    def _population_changed(self, change: int) -> None:
        """It has tasks now, or none any more. Linux: kernel/cgroup/cgroup.c, cgroup_update_populated."""
        group: Cgroup = self
        while True:
            group.events.notify()
            parent = group.parent
            if parent is None:
                return
            was_populated = parent.is_populated
            if group.is_threaded:
                parent.populated_threadeds += change
            else:
                parent.populated_domains += change
            if parent.is_populated == was_populated:
                return
            group = parent

    def account(self, task: Task, user_ns: int, system_ns: int) -> None:
        """A task of this group has run. Linux: kernel/cgroup/rstat.c, __cgroup_account_cputime."""
        self.user_ns += user_ns
        self.system_ns += system_ns
        if task.nice > 0:
            self.nice_ns += user_ns

    # Making and removing groups

    def check_limits(self) -> None:
        """Raise EAGAIN if no group may be made here: too deep, or too many.

        Linux: kernel/cgroup/cgroup.c, cgroup_check_hierarchy_limits.
        """
        for level, group in enumerate(self.ancestors(), 1):
            if group.maximum_depth < level:
                raise EAGAIN("cgroup.max.depth")
            if group.maximum_descendants != NO_LIMIT and group.descendant_count >= group.maximum_descendants:
                raise EAGAIN("cgroup.max.descendants")

    def check_removal(self) -> None:
        """Raise EBUSY if the group has tasks or children.

        Linux: kernel/cgroup/cgroup.c, cgroup_destroy_locked.
        """
        if self.is_populated or self.children:
            raise EBUSY("it has tasks or groups below")

    def make_threaded(self) -> None:
        """Let this group be threaded, in its parent's domain. Raises EOPNOTSUPP.

        Linux: kernel/cgroup/cgroup.c, cgroup_enable_threaded.
        """
        parent = self.parent
        if self.is_threaded or parent is None:
            return
        if self.is_populated or self.subtree_control & ~THREADED_CONTROLLERS:
            raise EOPNOTSUPP("it has tasks or domain controllers")
        domain = parent.domain
        if not domain.is_valid_domain or not domain.can_be_thread_root:
            raise EOPNOTSUPP("the domain can't be the root of a threaded subtree")
        self.domain = domain
        for group in self.subtree():
            if group.is_threaded:
                group.domain = domain
        parent.threaded_children += 1
