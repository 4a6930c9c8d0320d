"""The security attributes of a process in proc: /proc/PID/attr, where no security module has any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EINVAL, ENOENT, ESRCH
from procession.fs.inode import S_IFREG, DirectoryEntry, Inode
from procession.hardware.physical_memory import PAGE_SIZE
from procession.kernel.task_state import TaskState
from procession.procfs.access import update_owner
from procession.procfs.inode import ProcDirectory, ProcFile, SizedFile

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem

NAMES = {
    b"current": 0o666,
    b"exec": 0o666,
    b"fscreate": 0o666,
    b"keycreate": 0o666,
    b"prev": 0o444,
    b"sockcreate": 0o666,
}
"""Name -> mode."""


class AttributesDirectory(ProcDirectory):
    """/proc/PID/attr. Linux: fs/proc/base.c, attr_dir_stuff."""

    __slots__ = ("inodes", "task")

    caches_lookups = False

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task) -> None:
        super().__init__(superblock, number)
        self.task = task
        self.inodes: dict[bytes, AttributeFile] = {}

    def lookup(self, name: bytes) -> Inode:
        if self.task.state is TaskState.DEAD or name not in NAMES:
            raise ENOENT
        inode = self.inodes.get(name)
        if inode is None:
            number = self.proc.allocate_static_number()
            inode = self.inodes[name] = AttributeFile(self.proc, number, self.task, NAMES[name])
        update_owner(inode, self.task)
        return inode

    def list_entries(self) -> list[DirectoryEntry]:
        if self.task.state is TaskState.DEAD:
            raise ENOENT
        return [DirectoryEntry(name, self.lookup(name).number, S_IFREG >> 12) for name in NAMES]


class AttributeFile(ProcFile):
    """One of them: no security module has anything to say or to hear."""

    __slots__ = ("task",)

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, permissions: int) -> None:
        super().__init__(superblock, number, permissions)
        self.task = task

    @property
    def longest_text(self) -> int | None:
        return PAGE_SIZE

    @property
    def is_cut(self) -> bool:
        """Linux: fs/proc/base.c, proc_pid_attr_write."""
        return True

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return SizedFile(path, flags, subject, self)

    def show(self, subject: Subject) -> bytes:
        """Linux: fs/proc/base.c, proc_pid_attr_read."""
        if self.task.state is TaskState.DEAD:
            raise ESRCH(f"process {self.task.tid} is gone")
        raise EINVAL("no security module has attributes")

    def store(self, data: bytes, subject: Subject) -> None:
        """Linux: fs/proc/base.c, proc_pid_attr_write."""
        if self.task.state is TaskState.DEAD:
            raise ESRCH(f"process {self.task.tid} is gone")
        if self.task is not self.proc.kernel.current:
            raise EACCES("a task sets its own attributes")
        raise EINVAL("no security module has attributes")
