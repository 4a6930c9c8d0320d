"""The file system proc: its root, and which processes it shows by which numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT
from procession.fs.file_system_type import FILE_SYSTEM_TYPES
from procession.fs.inode import S_IFDIR, S_IFLNK, DirectoryEntry, Inode, Superblock
from procession.kernel.task import Tid
from procession.procfs.binfmt_misc import make_binfmt_misc
from procession.procfs.inode import ProcLink
from procession.procfs.process import ProcessDirectory
from procession.procfs.system import SystemDirectory

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

PROC_SUPER_MAGIC = 0x9FA0
ROOT_NUMBER = 1
FIRST_STATIC_NUMBER = 0xF0000000
"""Where the inode numbers of what isn't about a process start.

Linux: fs/proc/generic.c, PROC_DYNAMIC_FIRST.
"""


class ProcFileSystem(Superblock):
    """One instance of proc (proc(5)).

    `processes` and `threads` keep the directories that have been looked up, by task id, so that a process
    which has one as its current directory still finds the same one there.
    """

    __slots__ = ("kernel", "next_static_number", "processes", "threads")

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel.vfs, "proc", PROC_SUPER_MAGIC)
        self.kernel = kernel
        self.processes: dict[int, ProcessDirectory] = {}
        self.threads: dict[int, ProcessDirectory] = {}
        self.next_static_number = FIRST_STATIC_NUMBER
        self.root = ProcRoot(self)

    def allocate_static_number(self) -> int:
        """The next inode number for what isn't about a process."""
        number = self.next_static_number
        self.next_static_number = number + 1
        return number

    def number_of(self, task: Task) -> int:
        """The id by which this instance shows `task`."""
        return task.tid

    def task_of(self, name: bytes) -> Task:
        """The task whose id is written as `name`. Raises ENOENT. Linux: fs/proc/base.c, proc_pid_lookup."""
        # A number with leading zeros or more than 9 digits names no file.
        if not name.isdigit() or len(name) > 9 or (name[0] == ord("0") and len(name) > 1):
            raise ENOENT
        task = self.kernel.tasks.get(Tid(int(name)))
        if task is None:
            raise ENOENT
        return task

    def directory_of(self, task: Task, *, is_thread: bool = False) -> ProcessDirectory:
        """The directory of `task`: as a process, or as a thread (`task/TID`)."""
        known = self.threads if is_thread else self.processes
        directory = known.get(task.tid)
        if directory is None or directory.task is not task:
            directory = known[task.tid] = ProcessDirectory(self, task, is_thread=is_thread)
            if task.views is None:
                task.views = {}
            task.views[directory] = None
        directory.update_owner()
        return directory

    def shut_down(self) -> None:
        for known in (self.processes, self.threads):
            for directory in known.values():
                if directory.task.views is not None:
                    directory.task.views.pop(directory, None)
        super().shut_down()

    def forget_task(self, directory: ProcessDirectory, task: Task) -> None:
        """Drop the directory of a task that is gone, and the entry by which it was found."""
        known = self.threads if directory.is_thread else self.processes
        if known.get(task.tid) is directory:
            del known[task.tid]
        place = self.root_dentry
        if directory.is_thread and place is not None:
            leader = (place.volatile_children or {}).get(b"%d" % self.number_of(task.group.leader))
            place = None if leader is None else (leader.volatile_children or {}).get(b"task")
        if place is None or place.volatile_children is None:
            return
        entry = place.volatile_children.get(b"%d" % self.number_of(task))
        if entry is not None and entry.inode is directory:
            place.remove(entry)


class ProcRoot(SystemDirectory):
    """/proc: the system's files, `self`, `thread-self`, and the processes."""

    __slots__ = ()

    caches_lookups = False

    def __init__(self, superblock: ProcFileSystem) -> None:
        super().__init__(superblock, ROOT_NUMBER)
        self.entries = {b"self": SelfLink(superblock), b"thread-self": ThreadSelfLink(superblock)}

    def lookup(self, name: bytes) -> Inode:
        if name in self.entries or name in self.tree:
            return super().lookup(name)
        return self.proc.directory_of(self.proc.task_of(name))

    def list_entries(self) -> list[DirectoryEntry]:
        superblock = self.proc
        entries = super().list_entries()
        entries += (
            DirectoryEntry(name, self.entries[name].number, S_IFLNK >> 12)
            for name in (b"self", b"thread-self")
        )
        for tid, task in sorted(superblock.kernel.tasks.items()):
            if task.is_leader:
                number = superblock.directory_of(task).number
                entries.append(DirectoryEntry(str(tid).encode(), number, S_IFDIR >> 12))
        return entries


class SelfLink(ProcLink):
    """/proc/self: the process that looks. Linux: fs/proc/self.c."""

    __slots__ = ()

    def __init__(self, superblock: ProcFileSystem) -> None:
        super().__init__(superblock, superblock.allocate_static_number())

    def readlink(self) -> bytes:
        task = self.proc.kernel.current
        if task is None:
            raise ENOENT
        return str(self.proc.number_of(task.group.leader)).encode()


class ThreadSelfLink(SelfLink):
    """/proc/thread-self: the thread that looks. Linux: fs/proc/thread_self.c."""

    __slots__ = ()

    def readlink(self) -> bytes:
        task = self.proc.kernel.current
        if task is None:
            raise ENOENT
        number = self.proc.number_of
        return b"%d/task/%d" % (number(task.group.leader), number(task))


def make_proc(kernel: Kernel, options: bytes) -> ProcFileSystem:
    """What mount(2) makes. Raises EINVAL: hidepid, gid and subset aren't built."""
    if options:
        raise EINVAL("proc has no such option here")
    return ProcFileSystem(kernel)


FILE_SYSTEM_TYPES[b"binfmt_misc"] = make_binfmt_misc
FILE_SYSTEM_TYPES[b"proc"] = make_proc
