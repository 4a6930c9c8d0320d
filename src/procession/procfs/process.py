"""The directories /proc/PID and /proc/PID/task/TID, and the files and links in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT, EPERM, ESRCH
from procession.abi.named_tuple import NamedTuple
from procession.fs.dentry import Path
from procession.fs.inode import IMMUTABLE, S_IFDIR, S_IFLNK, S_IFREG, DirectoryEntry, Inode
from procession.fs.permission import MAY_EXEC
from procession.kernel.program.exec import Program
from procession.kernel.security.ptrace_access import has_memory
from procession.kernel.task_state import TaskState
from procession.procfs import (
    process_io,
    process_login,
    process_memory,
    process_namespaces,
    process_pages,
    process_scheduling,
    process_settings,
    process_status,
    process_timers,
    wait_channel,
)
from procession.procfs.access import has_files, reader_root, require_inspection, update_owner
from procession.procfs.id_map import KINDS, IdMapInode
from procession.procfs.inode import (
    EnvironmentFile,
    FreePositionFile,
    ProcDirectory,
    ProcFile,
    SequenceFile,
    SingleBufferFile,
    SizedFile,
)
from procession.procfs.magic_link import MagicLink
from procession.procfs.map_query import MapsFile
from procession.procfs.parse_integer import INTEGER_SIZE, NUMBER_SIZE
from procession.procfs.process_attributes import AttributesDirectory
from procession.procfs.process_descriptors import DescriptorDetailsDirectory, DescriptorDirectory
from procession.procfs.process_mounts import MountsInode
from procession.procfs.system_directory import SystemDirectory

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.kernel.task import Task, ThreadGroup
    from procession.procfs.file_system import ProcFileSystem

    Show = Callable[[ProcFileSystem, Task, Subject], bytes]
    Store = Callable[[ProcFileSystem, Task, bytes, Subject], None]

DIRECTORY_LINKS, THREAD_DIRECTORY_LINKS = 9, 7
"""What stat(2) gives as link count of a process's directory, and of a thread's."""
NUMBER_SHIFT = 24
THREAD_OFFSET = 0x800
"""Inode numbers: the directory's own, then where in its directory the file is; from here on for threads."""


class Entry(NamedTuple):
    """A file in the directory of a process.

    `is_private` files are opened only by who may inspect the process, those that are of its memory by anybody
    once there is none, but for those that need it. `opened_as` says how positions move: sequences have no
    offsets to write at and no end to seek from (in Linux, single_open). `longest_text` is how much is looked
    at of what is written, and with `is_cut` no more counts as that.
    """

    permissions: int
    show: Show
    store: Store | None = None
    is_private: bool = False
    is_of_memory: bool = False
    needs_memory: bool = False
    opened_as: type[SingleBufferFile] = SequenceFile
    longest_text: int | None = None
    is_cut: bool = False


COMMON_FILES: dict[bytes, Entry] = {
    b"arch_status": Entry(0o444, process_status.show_processor_status),
    b"cgroup": Entry(0o444, process_status.show_cgroup),
    b"clear_refs": Entry(
        0o200,
        process_pages.show_nothing,
        process_pages.store_clear_refs,
        opened_as=process_pages.ClearRefsFile,
        longest_text=NUMBER_SIZE,
        is_cut=True,
    ),
    b"cmdline": Entry(0o444, process_memory.show_command_line, opened_as=SingleBufferFile),
    b"comm": Entry(
        0o644,
        process_settings.show_command_name,
        process_settings.store_command_name,
        longest_text=process_settings.LONGEST_COMMAND_NAME,
    ),
    b"cpuset": Entry(0o444, process_status.show_cpuset),
    b"ksm_merging_pages": Entry(0o400, process_pages.show_merging_pages),
    b"ksm_stat": Entry(0o400, process_pages.show_merge_counts),
    b"limits": Entry(0o444, process_status.show_limits),
    b"loginuid": Entry(
        0o644,
        process_login.show_login_uid,
        process_login.store_login_uid,
        opened_as=SingleBufferFile,
        longest_text=INTEGER_SIZE,
    ),
    b"maps": Entry(0o444, process_memory.show_maps, is_of_memory=True),
    b"numa_maps": Entry(0o444, process_pages.show_numa_maps, is_of_memory=True),
    b"oom_adj": Entry(
        0o644,
        process_settings.show_oom_adjustment,
        process_settings.store_oom_adjustment,
        opened_as=SingleBufferFile,
        longest_text=NUMBER_SIZE,
        is_cut=True,
    ),
    b"oom_score": Entry(0o444, process_settings.show_oom_score),
    b"oom_score_adj": Entry(
        0o644,
        process_settings.show_oom_score_adjustment,
        process_settings.store_oom_score_adjustment,
        opened_as=FreePositionFile,
        longest_text=NUMBER_SIZE,
        is_cut=True,
    ),
    b"personality": Entry(0o400, process_settings.show_personality),
    b"sched": Entry(0o644, process_scheduling.show_sched, process_scheduling.store_sched, longest_text=0),
    b"schedstat": Entry(0o444, process_scheduling.show_schedstat),
    b"sessionid": Entry(0o444, process_login.show_session, opened_as=SingleBufferFile),
    b"smaps": Entry(0o444, process_memory.show_smaps, is_of_memory=True),
    b"smaps_rollup": Entry(0o444, process_memory.show_smaps_rollup, is_of_memory=True, needs_memory=True),
    b"stack": Entry(0o400, wait_channel.show_stack),
    b"statm": Entry(0o444, process_status.show_statm),
    b"status": Entry(0o444, process_status.show_status),
    b"syscall": Entry(0o400, process_status.show_system_call),
    b"wchan": Entry(0o444, wait_channel.show_wait_channel),
}
PROCESS_FILES: dict[bytes, Entry] = {
    **COMMON_FILES,
    b"autogroup": Entry(
        0o644,
        process_scheduling.show_autogroup,
        process_scheduling.store_autogroup,
        longest_text=NUMBER_SIZE,
        is_cut=True,
    ),
    b"coredump_filter": Entry(
        0o644,
        process_memory.show_dump_filter,
        process_memory.store_dump_filter,
        opened_as=SingleBufferFile,
        longest_text=INTEGER_SIZE,
    ),
    b"io": Entry(0o400, process_io.show_process_io),
    b"stat": Entry(0o444, process_status.show_process_stat),
    b"timens_offsets": Entry(
        0o644, process_namespaces.show_time_offsets, process_namespaces.store_time_offsets
    ),
    b"timers": Entry(0o444, process_timers.show_timers, is_private=True),
    b"timerslack_ns": Entry(
        0o666,
        process_settings.show_timer_slack,
        process_settings.store_timer_slack,
        longest_text=process_settings.LONG_LONG_SIZE,
    ),
}
THREAD_FILES: dict[bytes, Entry] = {
    **COMMON_FILES,
    b"children": Entry(0o444, process_status.show_children),
    b"io": Entry(0o400, process_io.show_thread_io),
    b"stat": Entry(0o444, process_status.show_thread_stat),
}
MOUNTS = (b"mountinfo", b"mounts", b"mountstats")
ID_MAPS = tuple(KINDS)
OF_MEMORY = (b"auxv", b"environ", b"mem", b"pagemap")
LINKS = (b"cwd", b"exe", b"root")
COMMON_NAMES = (
    *COMMON_FILES,
    *LINKS,
    *ID_MAPS,
    *OF_MEMORY,
    *(b"attr", b"fd", b"fdinfo", b"io", b"mountinfo", b"mounts", b"net", b"ns", b"stat"),
)
PROCESS_NAMES = tuple(sorted({*COMMON_NAMES, *PROCESS_FILES, b"map_files", b"mountstats", b"task"}))
DIRECTORIES = (b"attr", b"fd", b"fdinfo", b"map_files", b"net", b"ns", b"task")
THREAD_NAMES = tuple(sorted((*COMMON_NAMES, b"children")))


class ProcessDirectory(ProcDirectory):
    """/proc/PID, or with `is_thread` /proc/PID/task/TID.

    `inodes` keeps what has been looked up in it: the same file must be found again.
    """

    __slots__ = ("inodes", "is_thread", "task")

    caches_lookups = False

    def __init__(self, superblock: ProcFileSystem, task: Task, *, is_thread: bool) -> None:
        super().__init__(
            superblock,
            (superblock.allocate_directory_number() << NUMBER_SHIFT) + (THREAD_OFFSET if is_thread else 0),
        )
        self.task = task
        self.is_thread = is_thread
        self.inodes: dict[bytes, Inode] = {}
        self.link_count = THREAD_DIRECTORY_LINKS if is_thread else DIRECTORY_LINKS
        # Linux: fs/proc/base.c, proc_pid_instantiate.
        self.flags = IMMUTABLE

    @property
    def shown_group(self) -> ThreadGroup | None:
        """Where a signal goes that is sent through an open file of this (`pidfd.signalled_group_of`)."""
        return None if self.is_thread else self.task.group

    @property
    def names(self) -> tuple[bytes, ...]:
        """What is in it, in the order of a listing."""
        return THREAD_NAMES if self.is_thread else PROCESS_NAMES

    def task_released(self) -> None:
        """The task is gone. Linux: fs/proc/base.c, proc_flush_pid."""
        self.proc.forget_task(self, self.task)

    def update_owner(self) -> None:
        """The files belong to the process's effective user."""
        self.uid, self.gid = self.task.credentials.euid, self.task.credentials.egid

    def check_permission(self, subject: Subject, mask: int) -> None:
        # Linux: fs/proc/base.c, proc_pid_permission.
        if self.task.state is TaskState.DEAD:
            raise ESRCH(f"process {self.task.tid} is gone")
        self._check_hiding(subject)
        super().check_permission(subject, mask)

    def _check_hiding(self, subject: Subject) -> None:
        """Raise EPERM if processes are hidden from `subject`. Linux: fs/proc/base.c, proc_pid_permission."""
        if not self.proc.may_see(subject, self.task, 1):
            raise EPERM(f"process {self.task.tid} is hidden")

    def lookup(self, name: bytes) -> Inode:
        current = self.proc.kernel.current
        if self.proc.hidden_from and current is not None:
            self._check_hiding(current.credentials)
        if self.task.state is TaskState.DEAD:
            raise ESRCH(f"process {self.task.tid} is gone")
        if name not in self.names:
            raise ENOENT
        inode = self.inodes.get(name)
        if inode is None:
            inode = self.inodes[name] = self._make(name)
        update_owner(inode, self.task)
        return inode

    def _make(self, name: bytes) -> Inode:
        superblock, task = self.proc, self.task
        number = self.number + 1 + self.names.index(name)
        if name in LINKS:
            return ProcessLink(superblock, number, task, name)
        if name == b"fd":
            return DescriptorDirectory(superblock, number, task)
        if name == b"fdinfo":
            return DescriptorDetailsDirectory(superblock, number, task)
        if name == b"task":
            return ThreadsDirectory(superblock, number, task)
        if name == b"net":
            return NetworkDirectory(superblock, number, task)
        if name == b"ns":
            return process_namespaces.NamespacesDirectory(superblock, number, task)
        if name == b"map_files":
            return process_pages.MappedFilesDirectory(superblock, number, task)
        if name == b"attr":
            return AttributesDirectory(superblock, number, task)
        if name in OF_MEMORY:
            return MemoryInode(superblock, number, task, name)
        if name in ID_MAPS:
            return IdMapInode(superblock, number, task, name)
        if name in MOUNTS:
            return MountsInode(superblock, number, task, name)
        return ProcessFile(superblock, number, task, name, is_thread=self.is_thread)

    def list_entries(self) -> list[DirectoryEntry]:
        if self.task.state is TaskState.DEAD:
            raise ENOENT
        return [
            DirectoryEntry(name, self.number + 1 + position, entry_type(name))
            for position, name in enumerate(self.names)
        ]


def entry_type(name: bytes) -> int:
    """The type of the file `name` of a process, as a directory entry says it."""
    if name in LINKS:
        return S_IFLNK >> 12
    return (S_IFDIR if name in DIRECTORIES else S_IFREG) >> 12


class ProcessFile(ProcFile):
    """A file about a process whose contents are made by an entry of the tables above."""

    __slots__ = ("is_thread", "name", "task")

    def __init__(
        self, superblock: ProcFileSystem, number: int, task: Task, name: bytes, *, is_thread: bool
    ) -> None:
        self.task = task
        self.name = name
        self.is_thread = is_thread
        super().__init__(superblock, number, self.entry.permissions)

    @property
    def entry(self) -> Entry:
        """How this file is made."""
        return (THREAD_FILES if self.is_thread else PROCESS_FILES)[self.name]

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        self.check_open(subject)
        if self.name == b"maps":
            mm = self.task.mm if has_memory(self.task) else None
            return MapsFile(path, flags, subject, self, mm, reader_root(self.proc, self.task))
        if self.name == b"loginuid":
            return process_login.LoginFile(path, flags, subject, self)
        return self.entry.opened_as(path, flags, subject, self)

    def check_open(self, subject: Subject) -> None:
        entry = self.entry
        if entry.is_private or (entry.is_of_memory and has_memory(self.task)):
            require_inspection(subject, self.task)
        if entry.needs_memory and not has_memory(self.task):
            raise ESRCH(f"process {self.task.tid} has no memory any more")

    def check_permission(self, subject: Subject, mask: int) -> None:
        # Whoever they are, its siblings may. Linux: fs/proc/base.c, proc_tid_comm_permission.
        if self.is_thread and self.name == b"comm" and not mask & MAY_EXEC:
            current = self.proc.kernel.current
            if current is not None and current.group is self.task.group:
                return
        super().check_permission(subject, mask)

    @property
    def longest_text(self) -> int | None:
        return self.entry.longest_text

    @property
    def is_cut(self) -> bool:
        return self.entry.is_cut

    def check_can_write(self) -> None:
        if self.entry.store is None:
            raise EINVAL(f"{self.name.decode()} can't be written")

    def show(self, subject: Subject) -> bytes:
        if self.task.state is TaskState.DEAD:
            raise ESRCH(f"process {self.task.tid} is gone")
        return self.entry.show(self.proc, self.task, subject)

    def store(self, data: bytes, subject: Subject) -> None:
        if self.task.state is TaskState.DEAD:
            raise ESRCH(f"process {self.task.tid} is gone")
        store = self.entry.store
        if store is None:
            raise EINVAL(f"{self.name.decode()} can't be written")
        store(self.proc, self.task, data, subject)


class MemoryInode(ProcFile):
    """/proc/PID/mem, pagemap, auxv and environ: of the program that the process runs when it's opened.

    Linux: fs/proc/base.c, proc_mem_open.
    """

    __slots__ = ("name", "task")

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, name: bytes) -> None:
        super().__init__(superblock, number, 0o600 if name == b"mem" else 0o400)
        self.task = task
        self.name = name

    def check_can_write(self) -> None:
        raise EINVAL(f"{self.name.decode()} can't be written")

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        require_inspection(subject, self.task, attaches=self.name == b"mem")
        if not has_memory(self.task):
            raise ESRCH(f"process {self.task.tid} has no memory any more")
        mm = self.task.mm
        if self.name == b"mem":
            return process_memory.MemoryFile(path, flags, subject, mm)
        if self.name == b"pagemap":
            return process_pages.PageMapFile(path, flags, subject, mm)
        if self.name == b"auxv":
            return SizedFile(path, flags, subject, process_memory.AuxiliaryVector(mm))
        return EnvironmentFile(path, flags, subject, process_memory.Environment(mm))


class NetworkDirectory(SystemDirectory):
    """/proc/PID/net, as long as the process is in a network namespace."""

    __slots__ = ("task",)

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task) -> None:
        super().__init__(superblock, number, (b"net",))
        self.task = task

    def lookup(self, name: bytes) -> Inode:
        # Linux: fs/proc/proc_net.c, proc_tgid_net_lookup.
        if not has_files(self.task):
            raise ENOENT
        return super().lookup(name)

    def list_entries(self) -> list[DirectoryEntry]:
        # Linux: fs/proc/proc_net.c, proc_tgid_net_readdir.
        if not has_files(self.task):
            raise EINVAL(f"process {self.task.tid} is in no network any more")
        return super().list_entries()


class ProcessLink(MagicLink):
    """/proc/PID/cwd, root and exe: they lead to the very place, whatever its name has become."""

    __slots__ = ("name",)

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, name: bytes) -> None:
        super().__init__(superblock, number, task)
        self.name = name

    def target(self) -> Path:
        task = self.task
        if self.name == b"exe":
            program = task.mm.executable if has_memory(task) else None
            if not isinstance(program, Program):
                raise ENOENT
            return program.path
        if not has_files(task):
            raise ENOENT
        return task.fs.cwd if self.name == b"cwd" else task.fs.root


class ThreadsDirectory(ProcDirectory):
    """/proc/PID/task: a directory for each thread."""

    __slots__ = ("task",)

    caches_lookups = False

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task) -> None:
        super().__init__(superblock, number)
        self.task = task

    @property
    def shown_link_count(self) -> int:
        """Linux: fs/proc/base.c, proc_task_getattr."""
        return self.link_count + len(self.task.group.threads)

    def lookup(self, name: bytes) -> Inode:
        thread = self.proc.task_of(name)
        if thread.group is not self.task.group:
            raise ENOENT
        return self.proc.directory_of(thread, is_thread=True)

    def list_entries(self) -> list[DirectoryEntry]:
        if self.task.state is TaskState.DEAD:
            raise ENOENT
        superblock = self.proc
        threads = sorted(self.task.group.threads, key=superblock.number_of)
        return [
            DirectoryEntry(
                b"%d" % superblock.number_of(thread),
                superblock.directory_of(thread, is_thread=True).number,
                S_IFDIR >> 12,
            )
            for thread in threads
        ]
