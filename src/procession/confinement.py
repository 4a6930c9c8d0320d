"""The control group of a container, whose limits are `--memory`, `--cpus` and `--pids-max`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.cgroup.attach import move_task
from procession.kernel.cgroup.cpu import DEFAULT_PERIOD_NS
from procession.kernel.cgroup.group import ALL_CONTROLLERS
from procession.kernel.cgroup.hierarchy import control_subtree
from procession.kernel.namespaces.cgroup import CgroupNamespace
from procession.procfs.cgroup.file_system import CgroupDirectory
from procession.procfs.cgroup.file_system_type import cgroups_of

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_NAME = b"container"
_SPARE_BYTES = 32 << 20


def machine_memory(limit: int) -> int:
    """How much memory a machine has whose container gets `limit` bytes.

    An eighth and 32 MiB more, so that it's the group's limit that is reached and not the machine's end.
    """
    return limit + (limit >> 3) + _SPARE_BYTES


def confine(kernel: Kernel, init: Task, *, memory: int | None, cpus: int | None, tasks: int | None) -> Cgroup:
    """Put `init`, which hasn't run, into a control group with these limits, None for none.

    It's the root of a cgroup namespace of its own, and what is mounted on /sys/fs/cgroup, as in a container:
    the limits can be read inside, and not changed.
    """
    system = cgroups_of(kernel)
    directory = system.root.mkdir(_NAME, 0o755, init.credentials)
    assert isinstance(directory, CgroupDirectory)
    group = directory.group
    control_subtree(kernel, kernel.cgroups.root, ALL_CONTROLLERS, 0)
    if memory is not None and group.memory is not None:
        group.memory.maximum = memory
    if tasks is not None and group.pids is not None:
        group.pids.limit = tasks
    if cpus is not None and group.cpu is not None:
        group.cpu.limit(cpus * DEFAULT_PERIOD_NS, DEFAULT_PERIOD_NS, 0)
    namespaces = init.namespaces.copy()
    namespaces.cgroup.put()
    namespaces.cgroup = CgroupNamespace(kernel.vfs.namespaces, kernel.vfs.init_user_namespace, group)
    namespaces.cgroup.acquire()
    init.namespaces.put()
    init.namespaces = namespaces
    move_task(init, group)
    for mount in init.namespaces.mounts.in_order():
        if mount.superblock is system:
            mount.root = system.entry_of(group)
    return group
