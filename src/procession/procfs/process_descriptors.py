"""The open files of a process: /proc/PID/fd and /proc/PID/fdinfo."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ENOENT
from procession.fs.dentry import Path
from procession.fs.file import O_CLOEXEC
from procession.fs.inode import S_IFLNK, S_IFREG, DirectoryEntry, Inode
from procession.fs.permission import check_permission
from procession.kernel.task_state import TaskState
from procession.procfs.access import has_files, require_inspection, update_owner
from procession.procfs.inode import ProcDirectory, ProcFile, SequenceFile
from procession.procfs.locks import show_locks_of_file
from procession.procfs.magic_link import MagicLink

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem

LINK_SIZE = 64
"""What stat(2) says of such a link."""
DESCRIPTORS_OFFSET = 1 << 22
"""Descriptors have inode numbers from here on in their process's range."""
RANGE_MASK = (1 << 24) - 1


def descriptor_number(name: bytes) -> int:
    """The descriptor that `name` writes. Raises ENOENT."""
    if not name.isdigit() or len(name) > 9 or (name[0] == ord("0") and len(name) > 1):
        raise ENOENT
    return int(name)


def open_file(task: Task, fd: int) -> File:
    """What `fd` leads to. Raises ENOENT when the task hasn't such a descriptor, or has ended."""
    file = task.files.files.get(fd) if has_files(task) else None
    if file is None:
        raise ENOENT
    return file


class DescriptorDirectory(ProcDirectory):
    """/proc/PID/fd: a magic link for each descriptor."""

    __slots__ = ("task",)

    caches_lookups = False
    entry_type: ClassVar[int] = S_IFLNK >> 12

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, permissions: int = 0o500) -> None:
        super().__init__(superblock, number, permissions)
        self.task = task

    @property
    def shown_size(self) -> int:
        """How many descriptors there are now. Linux: fs/proc/fd.c, proc_fd_getattr."""
        return len(self.task.files.files) if has_files(self.task) else 0

    def check_permission(self, subject: Subject, mask: int) -> None:
        # A process may always see its own, whoever it has become. Linux: fs/proc/fd.c, proc_fd_permission.
        current = self.proc.kernel.current
        if current is None or current.group is not self.task.group:
            check_permission(self, subject, mask)

    def needs_reference(self, name: bytes) -> bool:
        """Linux: fs/proc/fd.c, tid_fd_revalidate."""
        return True

    def lookup(self, name: bytes) -> Inode:
        fd = descriptor_number(name)
        return DescriptorLink(self.proc, self.number_of(fd), self.task, fd, open_file(self.task, fd))

    def number_of(self, fd: int) -> int:
        """The inode number of the entry for `fd`."""
        return (self.number & ~RANGE_MASK) + DESCRIPTORS_OFFSET + 2 * fd

    def list_entries(self) -> list[DirectoryEntry]:
        if self.task.state is TaskState.DEAD:
            raise ENOENT
        if not has_files(self.task):
            return []
        return [
            DirectoryEntry(b"%d" % fd, self.number_of(fd), self.entry_type)
            for fd in self.task.files.descriptors()
        ]


class DescriptorDetailsDirectory(DescriptorDirectory):
    """/proc/PID/fdinfo: a file for each descriptor."""

    __slots__ = ()

    entry_type = S_IFREG >> 12

    @property
    def shown_size(self) -> int:
        """It has none."""
        return self.size

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task) -> None:
        super().__init__(superblock, number, task, 0o555)

    def check_permission(self, subject: Subject, mask: int) -> None:
        # Linux: fs/proc/fd.c, proc_fdinfo_permission.
        require_inspection(subject, self.task)
        check_permission(self, subject, mask)

    def lookup(self, name: bytes) -> Inode:
        # The walk asks for permission only where the mode could refuse it.
        current = self.proc.kernel.current
        if current is not None:
            require_inspection(current.credentials, self.task)
        fd = descriptor_number(name)
        open_file(self.task, fd)
        return DescriptorDetails(self.proc, self.number_of(fd), self.task, fd)

    def number_of(self, fd: int) -> int:
        return super().number_of(fd) + 1


class DescriptorLink(MagicLink):
    """/proc/PID/fd/N. Its mode says for what the file is open."""

    __slots__ = ("fd",)

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, fd: int, file: File) -> None:
        super().__init__(superblock, number, task, _permissions(file))
        self.fd = fd
        self.size = LINK_SIZE
        update_owner(self, task)

    def revalidate(self) -> bool:
        """Linux: fs/proc/fd.c, tid_fd_revalidate."""
        file = self.task.files.files.get(self.fd) if has_files(self.task) else None
        if file is None:
            return False
        self.mode = S_IFLNK | _permissions(file)
        update_owner(self, self.task)
        return True

    def target(self) -> Path:
        return open_file(self.task, self.fd).path


def _permissions(file: File) -> int:
    return (0o500 if file.is_readable else 0) | (0o300 if file.is_writable else 0)


class DescriptorDetails(ProcFile):
    """/proc/PID/fdinfo/N. Linux: fs/proc/fd.c, seq_show."""

    __slots__ = ("fd", "task")

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, fd: int) -> None:
        super().__init__(superblock, number, 0o444)
        self.task = task
        self.fd = fd
        update_owner(self, task)

    def revalidate(self) -> bool:
        """Linux: fs/proc/fd.c, tid_fd_revalidate, proc_fdinfo_permission."""
        current = self.proc.kernel.current
        if current is not None:
            require_inspection(current.credentials, self.task)
        if not has_files(self.task) or self.fd not in self.task.files.files:
            return False
        update_owner(self, self.task)
        return True

    def check_can_write(self) -> None:
        raise EINVAL("there is nothing to write")

    def store(self, data: bytes, subject: Subject) -> None:
        self.check_can_write()

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        self.check_open(subject)
        return SequenceFile(path, flags, subject, self)

    def show(self, subject: Subject) -> bytes:
        file = open_file(self.task, self.fd)
        flags = file.flags | (O_CLOEXEC if self.fd in self.task.files.close_on_exec else 0)
        return (
            b"pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n"
            % (file.position, flags, file.path.mount.number, file.inode.number)
            + show_locks_of_file(file, self.task.files, self.proc.pid_namespace)
            + file.show_details()
        )
