"""The file system proc: its root, and which processes it shows by which numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import ENOENT
from procession.abi.limits import PATH_MAX
from procession.abi.statfs import Magic
from procession.fs.inode import S_IFDIR, S_IFLNK, DirectoryEntry, Inode
from procession.fs.permission import is_in_group
from procession.fs.superblock import LARGEST_OF_OLD, Superblock
from procession.fs.user_namespace import NO_ID
from procession.kernel.pid import find_task
from procession.kernel.time.costs import SEEN_THREAD_NS
from procession.procfs.access import may_inspect
from procession.procfs.inode import ProcLink
from procession.procfs.system_directory import SystemDirectory

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.task import Task
    from procession.procfs.process import ProcessDirectory

_HIDE_NAMES = {1: b"noaccess", 2: b"invisible", 4: b"ptraceable"}
PROC_SUPER_MAGIC = int(Magic.PROC_SUPER_MAGIC)
ROOT_NUMBER = 1
_LINKS = (b"self", b"thread-self")
FIRST_STATIC_NUMBER = 0xF0000000
"""Where the inode numbers of what isn't about a process start.

Linux: fs/proc/generic.c, PROC_DYNAMIC_FIRST.
"""


class HidePid(IntEnum):
    """What is hidden of processes that aren't one's own (hidepid= of proc(5))."""

    OFF = 0
    NO_ACCESS = 1
    INVISIBLE = 2
    NOT_PTRACEABLE = 4


class ProcFileSystem(Superblock):
    """One instance of proc (proc(5)), which shows the processes of one pid namespace by their numbers there.

    `processes` and `threads` keep the directories that have been looked up, by task id, so that a process
    which has one as its current directory still finds the same one there. `hidden_from` is a HidePid, from
    whose hiding `trusted_group` is spared; with `shows_processes_only` there is nothing else (subset=pid).
    """

    __slots__ = (
        "hidden_from",
        "kernel",
        "next_directory_number",
        "next_static_number",
        "pid_namespace",
        "processes",
        "shows_processes_only",
        "threads",
        "trusted_group",
    )

    forbids_execution: ClassVar[bool] = True

    block_size: ClassVar[int] = 1024
    longest_name: ClassVar[int] = PATH_MAX
    largest_file: ClassVar[int] = LARGEST_OF_OLD

    def __init__(self, kernel: Kernel, pid_namespace: PidNamespace) -> None:
        super().__init__(kernel.vfs, "proc", PROC_SUPER_MAGIC)
        self.kernel = kernel
        self.hidden_from: int = HidePid.OFF
        self.trusted_group = 0
        self.shows_processes_only = False
        self.pid_namespace = pid_namespace
        pid_namespace.acquire()
        self.processes: dict[int, ProcessDirectory] = {}
        self.threads: dict[int, ProcessDirectory] = {}
        self.next_static_number = FIRST_STATIC_NUMBER
        self.next_directory_number = 1
        self.root = ProcRoot(self)

    def show_options(self) -> bytes:
        """Linux: fs/proc/root.c, proc_fs_parameters."""
        parts: list[bytes] = []
        if self.trusted_group:
            first = self.kernel.vfs.init_user_namespace
            group = self.trusted_group
            parts.append(b"gid=%d" % (first.overflow.gid if group == NO_ID else group))
        if self.hidden_from:
            parts.append(b"hidepid=" + _HIDE_NAMES[self.hidden_from])
        if self.shows_processes_only:
            parts.append(b"subset=pid")
        return b",".join(parts)

    def may_see(self, subject: Subject, task: Task, level: int) -> bool:
        """Whether `task` isn't hidden from `subject`, as it is from `level` on.

        Linux: fs/proc/base.c, has_pid_permissions.
        """
        if self.hidden_from != HidePid.NOT_PTRACEABLE and (
            self.hidden_from < level or is_in_group(subject, self.trusted_group)
        ):
            return True
        return may_inspect(subject, task)

    def allocate_static_number(self) -> int:
        """The next inode number for what isn't about a process."""
        number = self.next_static_number
        self.next_static_number = number + 1
        return number

    def number_of(self, task: Task) -> int:
        """The id by which this instance shows `task`."""
        return task.thread_pid.number_in(self.pid_namespace)

    def task_of(self, name: bytes) -> Task:
        """The task whose id is written as `name`. Raises ENOENT. Linux: fs/proc/base.c, proc_pid_lookup."""
        # A number with leading zeros or more than 9 digits names no file.
        if not name.isdigit() or len(name) > 9 or (name[0] == ord("0") and len(name) > 1):
            raise ENOENT
        task = find_task(self.pid_namespace, int(name))
        if task is None:
            raise ENOENT
        return task

    def allocate_directory_number(self) -> int:
        """A number for the directory of a task, which no other gets: process ids are used again."""
        number = self.next_directory_number
        self.next_directory_number = number + 1
        return number

    def directory_of(self, task: Task, *, is_thread: bool = False) -> ProcessDirectory:
        """The directory of `task`: as a process, or as a thread (`task/TID`)."""
        known = self.threads if is_thread else self.processes
        number = self.number_of(task)
        directory = known.get(number)
        if directory is None or directory.task is not task:
            # Most programs look at no process.
            from procession.procfs.process import ProcessDirectory

            directory = known[number] = ProcessDirectory(self, task, is_thread=is_thread)
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
        self.pid_namespace.put()

    def forget_task(self, directory: ProcessDirectory, task: Task) -> None:
        """Drop the directory of a task that is gone, and the entry by which it was found."""
        known = self.threads if directory.is_thread else self.processes
        number = self.number_of(task)
        if known.get(number) is directory:
            del known[number]
        place = self.root_dentry
        if directory.is_thread and place is not None:
            leader = (place.volatile_children or {}).get(b"%d" % self.number_of(task.group.leader))
            place = None if leader is None else (leader.volatile_children or {}).get(b"task")
        if place is None or place.volatile_children is None:
            return
        entry = place.volatile_children.get(b"%d" % number)
        if entry is not None and entry.inode is directory:
            place.remove(entry)


class ProcRoot(SystemDirectory):
    """/proc: the system's files, `self`, `thread-self`, and the processes."""

    __slots__ = ()

    caches_lookups = False

    def __init__(self, superblock: ProcFileSystem) -> None:
        super().__init__(superblock, ROOT_NUMBER)
        self.entries = {b"self": SelfLink(superblock), b"thread-self": ThreadSelfLink(superblock)}

    @property
    def shown_link_count(self) -> int:
        """A process has a directory, whoever may see it. Linux: fs/proc/root.c, proc_root_getattr."""
        kernel = self.proc.kernel
        kernel.clock.spend(len(kernel.tasks) * SEEN_THREAD_NS)
        return super().shown_link_count + sum(task.is_leader for task in kernel.tasks)

    def lookup(self, name: bytes) -> Inode:
        system = self.proc
        if name in self.entries or (not system.shows_processes_only and self.find(name) is not None):
            return super().lookup(name)
        task = system.task_of(name)
        if system.hidden_from >= HidePid.INVISIBLE and not system.may_see(
            self._looker(), task, HidePid.INVISIBLE
        ):
            raise ENOENT(f"process {task.tid} is hidden")
        return system.directory_of(task)

    def needs_reference(self, name: bytes) -> bool:
        """Linux: fs/proc/generic.c, proc_misc_dentry_ops."""
        return name not in _LINKS and not name.isdigit()

    def _looker(self) -> Subject:
        current = self.proc.kernel.current
        assert current is not None
        return current.credentials

    def list_entries(self) -> list[DirectoryEntry]:
        superblock = self.proc
        entries = [] if superblock.shows_processes_only else super().list_entries()
        entries += (DirectoryEntry(name, self.entries[name].number, S_IFLNK >> 12) for name in _LINKS)
        for number, pid in sorted(superblock.pid_namespace.by_number.items()):
            task = pid.task
            if (
                task is not None
                and task.is_leader
                and (
                    not superblock.hidden_from or superblock.may_see(self._looker(), task, HidePid.INVISIBLE)
                )
            ):
                inode_number = superblock.directory_of(task).number
                entries.append(DirectoryEntry(b"%d" % number, inode_number, S_IFDIR >> 12))
        return entries


class SelfLink(ProcLink):
    """/proc/self: the process that looks. Linux: fs/proc/self.c."""

    __slots__ = ()

    def __init__(self, superblock: ProcFileSystem) -> None:
        super().__init__(superblock, superblock.allocate_static_number())

    def readlink(self) -> bytes:
        return b"%d" % self.number_shown(self.looker().group.leader)

    def looker(self) -> Task:
        """The task that looks. Raises ENOENT."""
        task = self.proc.kernel.current
        if task is None:
            raise ENOENT
        return task

    def number_shown(self, task: Task) -> int:
        """The id of `task`. Raises ENOENT if it has none in the file system's pid namespace."""
        number = self.proc.number_of(task)
        if not number:
            raise ENOENT
        return number


class ThreadSelfLink(SelfLink):
    """/proc/thread-self: the thread that looks. Linux: fs/proc/thread_self.c."""

    __slots__ = ()

    def readlink(self) -> bytes:
        task = self.looker()
        return b"%d/task/%d" % (self.number_shown(task.group.leader), self.number_shown(task))
