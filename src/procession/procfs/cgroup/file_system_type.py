"""The options of cgroup2, and how it's mounted (cgroups(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.fs.file_system_type import FileSystemType
from procession.fs.mounts.context import MountContext, Parameter
from procession.fs.mounts.mount import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RELATIME
from procession.procfs.cgroup.file_system import CgroupFileSystem

if TYPE_CHECKING:
    from procession.fs.superblock import Superblock
    from procession.kernel.kernel import Kernel

CGROUP_MOUNT_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME
"""How systemd mounts it on /sys/fs/cgroup."""


def cgroups_of(kernel: Kernel) -> CgroupFileSystem:
    """The file system of the machine's control groups, made at first use."""
    system = kernel.cgroups.file_system
    if system is None:
        system = kernel.cgroups.file_system = CgroupFileSystem(kernel)
        # It's there whether or not it's mounted.
        system.mount_count += 1
        system.is_set_up = True
    assert isinstance(system, CgroupFileSystem)
    return system


class CgroupType(FileSystemType):
    """The same file system wherever it's mounted: its root is the mounter's cgroup namespace's.

    Linux: kernel/cgroup/cgroup.c, cgroup2_fs_type.
    """

    __slots__ = ()

    name: ClassVar[bytes] = b"cgroup2"

    def begin(self, context: MountContext) -> None:
        """Linux: kernel/cgroup/cgroup.c, cgroup_init_fs_context."""
        if context.is_for_mount:
            namespace = context.task.namespaces.cgroup
            context.values["namespace"] = namespace
            context.owner = namespace.owner

    def parse(self, context: MountContext, parameter: Parameter) -> bool:
        """Linux: kernel/cgroup/cgroup.c, cgroup2_parse_param."""
        if parameter.key not in _OPTIONS:
            return False
        context.check_flag(parameter)
        context.values[parameter.key.decode()] = True
        return True

    def get_tree(self, context: MountContext) -> Superblock:
        """Linux: kernel/cgroup/cgroup.c, cgroup_get_tree."""
        system = cgroups_of(context.kernel)
        root = context.values["namespace"].root
        if root.parent is not None and not root.is_dead:
            context.root = system.entry_of(root)
        self._apply(context, system)
        return system

    def reconfigure(self, context: MountContext, superblock: Superblock) -> None:
        """Linux: kernel/cgroup/cgroup.c, cgroup_reconfigure."""
        assert isinstance(superblock, CgroupFileSystem)
        self._apply(context, superblock)

    def _apply(self, context: MountContext, system: CgroupFileSystem) -> None:
        """Options count where the machine's first cgroup namespace's tasks say them.

        Linux: kernel/cgroup/cgroup.c, apply_cgroup_root_flags.
        """
        kernel = context.kernel
        if context.task.namespaces.cgroup is kernel.init_namespaces.cgroup:
            groups, values = kernel.cgroups, context.values
            groups.is_namespace_delegated = "nsdelegate" in values
            groups.protects_recursively = "memory_recursiveprot" in values
            groups.has_local_memory_events = "memory_localevents" in values
            groups.has_local_pids_events = "pids_localevents" in values
            groups.shown_options = tuple(name for name in _SHOWN if name.decode() in values)


_SHOWN = (b"favordynmods", b"memory_hugetlb_accounting")
_OPTIONS = (*_SHOWN, b"nsdelegate", b"memory_localevents", b"memory_recursiveprot", b"pids_localevents")
