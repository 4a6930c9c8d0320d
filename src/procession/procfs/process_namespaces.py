"""The namespaces of a process: ns/*, and timens_offsets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.duration import NS_PER_S
from procession.abi.errno import EACCES, EINVAL, ENOENT, EPERM, ERANGE, ESRCH
from procession.abi.time import Clock
from procession.fs.dentry import absolute_path
from procession.fs.inode import S_IFLNK, DirectoryEntry, Inode
from procession.kernel.namespaces.nsfs import namespace_of_task, namespace_path
from procession.kernel.task_state import ENDED, TaskState
from procession.procfs.inode import ProcDirectory
from procession.procfs.magic_link import MagicLink

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem

# In Linux's order.
NAMES = (
    *(b"net", b"uts", b"ipc", b"pid", b"pid_for_children", b"user", b"mnt", b"cgroup"),
    *(b"time", b"time_for_children"),
)
NUMBERS_OFFSET = 0x400
"""Where the inode numbers of the links begin, from that of the process's directory."""
_CAP_SYS_TIME = int(Capability.CAP_SYS_TIME)
_LARGEST_S = (1 << 63) // NS_PER_S
"""KTIME_SEC_MAX."""
_CLOCK_MONOTONIC, _CLOCK_BOOTTIME = int(Clock.CLOCK_MONOTONIC), int(Clock.CLOCK_BOOTTIME)
_OFFSET = re.compile(rb"\s*(\S{1,9}+)\s*(-?\d{1,30}+)\s*(\d{1,30}+)(?!\d)")
"""A clock, seconds and nanoseconds; what follows isn't looked at, as sscanf doesn't."""
_CLOCKS = {b"monotonic": _CLOCK_MONOTONIC, b"boottime": _CLOCK_BOOTTIME, b"1": 1, b"7": 7}


class NamespacesDirectory(ProcDirectory):
    """/proc/PID/ns. Linux: fs/proc/namespaces.c, proc_ns_dir_lookup."""

    __slots__ = ("task",)

    caches_lookups = False

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task) -> None:
        super().__init__(superblock, number, 0o511)
        self.task = task

    def _number_of(self, name: bytes) -> int:
        return self.number + NUMBERS_OFFSET + NAMES.index(name)

    def lookup(self, name: bytes) -> Inode:
        if name not in NAMES or self.task.state is TaskState.DEAD:
            raise ENOENT
        return NamespaceLink(self.proc, self._number_of(name), self.task, name)

    def list_entries(self) -> list[DirectoryEntry]:
        if self.task.state is TaskState.DEAD:
            raise ENOENT
        return [DirectoryEntry(name, self._number_of(name), S_IFLNK >> 12) for name in NAMES]


class NamespaceLink(MagicLink):
    """/proc/PID/ns/NAME: it leads to the namespace's file, which has no other name."""

    __slots__ = ("name",)

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, name: bytes) -> None:
        super().__init__(superblock, number, task)
        self.name = name

    def revalidate(self) -> bool:
        """Linux: fs/proc/base.c, pid_revalidate."""
        return self.task.state is not TaskState.DEAD

    def target(self) -> Path:
        """Linux: fs/proc/namespaces.c, proc_ns_get_link."""
        return namespace_path(self.proc.kernel, namespace_of_task(self.task, self.name))

    def readlink(self) -> bytes:
        """Linux: fs/proc/namespaces.c, proc_ns_readlink."""
        path = self.follow_magic_link()
        return absolute_path(path, path)


def show_time_offsets(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/timens_offsets: of the clocks of its children.

    Linux: kernel/time/namespace.c, proc_timens_show_offsets.
    """
    if task.state in ENDED:
        return b""
    children = task.namespaces.time_for_children
    rows = ((b"monotonic", children.monotonic_offset_ns), (b"boottime", children.boottime_offset_ns))
    return b"".join(b"%-10s %10d %9d\n" % (name, *divmod(offset, NS_PER_S)) for name, offset in rows)


def store_time_offsets(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Set the offsets that the clocks of the children will have, while nobody has seen them.

    A line for each clock: its name or number, seconds and nanoseconds. Raises EINVAL, ESRCH, EPERM, ERANGE,
    EACCES. Linux: fs/proc/base.c, timens_offsets_write; kernel/time/namespace.c, proc_timens_set_offset.
    """
    offsets: list[tuple[int, int, int]] = []
    for line in data.partition(b"\0")[0].split(b"\n"):
        if not line:
            continue
        found = _OFFSET.match(line)
        if found is None or found[1] not in _CLOCKS or len(offsets) == 2:
            raise EINVAL("a clock, seconds and nanoseconds are needed")
        seconds, nanoseconds = int(found[2]), int(found[3])
        if nanoseconds >= NS_PER_S or not -(1 << 63) <= seconds < 1 << 63:
            raise EINVAL("out of range")
        offsets.append((_CLOCKS[found[1]], seconds, nanoseconds))
    if not offsets:
        raise EINVAL("no offset")
    if task.state in ENDED:
        raise ESRCH("the task has no namespaces any more")
    children = task.namespaces.time_for_children
    if not subject.has_ns_capability(children.owner, _CAP_SYS_TIME):
        raise EPERM("setting a clock takes CAP_SYS_TIME")
    now_ns = system.kernel.clock.now_ns
    for _, seconds, nanoseconds in offsets:
        then_s = (now_ns + nanoseconds) // NS_PER_S + seconds
        if abs(seconds) > _LARGEST_S or not 0 <= then_s <= _LARGEST_S // 2:
            raise ERANGE("the clock would be out of range")
    if children.is_frozen:
        raise EACCES("somebody has seen these clocks")
    for clock, seconds, nanoseconds in offsets:
        offset_ns = seconds * NS_PER_S + nanoseconds
        if clock == _CLOCK_MONOTONIC:
            children.monotonic_offset_ns = offset_ns
        else:
            children.boottime_offset_ns = offset_ns
