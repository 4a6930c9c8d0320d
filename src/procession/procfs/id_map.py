"""/proc/PID/uid_map, gid_map, projid_map and setgroups: the user namespace that a process is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from procession.abi.errno import EACCES, EINVAL, EPERM
from procession.abi.open_flags import O_ACCMODE
from procession.fs.file import O_RDWR, O_WRONLY, File
from procession.kernel.namespaces.id_map import (
    GID,
    PROJECT,
    TOO_LONG_ANSWER,
    TOO_LONG_MAP,
    UID,
    show_map,
    show_setgroups,
    write_map,
    write_setgroups,
)
from procession.kernel.security.capability import CAP_SYS_ADMIN
from procession.kernel.time.costs import MAP_LINE_NS
from procession.procfs.inode import GeneratedFile, ProcFile

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem

KINDS = {b"uid_map": UID, b"gid_map": GID, b"projid_map": PROJECT, b"setgroups": ""}
"""The files, and which map each of them shows; none for setgroups."""


class IdMapView:
    """What an open file shows and sets: a map of the namespace in which the process was at the open.

    `kind` is empty for /proc/PID/setgroups.
    """

    __slots__ = ("kernel", "kind", "namespace")

    def __init__(self, kernel: Kernel, namespace: UserNamespace, kind: str) -> None:
        self.kernel = kernel
        self.namespace = namespace
        self.kind = kind

    def show(self, subject: Subject) -> bytes:
        """The lines of the map, as who opened the file sees them."""
        if not self.kind:
            return show_setgroups(self.namespace)
        return show_map(self.namespace, self.kind, cast("Credentials", subject))

    def store(self, data: bytes, subject: Subject) -> None:
        """Set it. Raises EINVAL, EPERM."""
        if not self.kind:
            write_setgroups(self.namespace, data)
            return
        # Who opens files has a task's credentials.
        opener = cast("Credentials", subject)
        current = self.kernel.current
        writer = opener if current is None else current.credentials
        self.kernel.clock.spend(data.count(b"\n") * MAP_LINE_NS)
        write_map(self.namespace, self.kind, data, opener, writer)


class IdMapFile(GeneratedFile):
    """An open one of these files, which is written at its beginning alone."""

    __slots__ = ()

    takes_read_flags: ClassVar[bool] = False
    takes_write_flags: ClassVar[bool] = False
    takes_write_offset: ClassVar[bool] = False

    def write_at(self, offset: int, data: bytes) -> int:
        if offset:
            raise EINVAL("not at the beginning")
        return super().write_at(offset, data)


class IdMapInode(ProcFile):
    """One of these files."""

    __slots__ = ("kind", "task")

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, name: bytes) -> None:
        super().__init__(superblock, number, 0o644)
        self.task = task
        self.kind = KINDS[name]

    def check_write(self, length: int) -> None:
        """Linux: kernel/user_namespace.c, proc_uid_map_write, map_write, proc_setgroups_write."""
        if self.kind and not self.task.credentials.user_namespace.level:
            raise EPERM("the first namespace's ids are fixed")
        if length >= (TOO_LONG_MAP if self.kind else TOO_LONG_ANSWER):
            raise EINVAL("too long a text")

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        """Linux: fs/proc/base.c, proc_id_map_open, proc_setgroups_open."""
        namespace = self.task.credentials.user_namespace
        is_setter = not self.kind and flags & O_ACCMODE in (O_WRONLY, O_RDWR)
        if is_setter and not subject.ns_capable(namespace, CAP_SYS_ADMIN):
            raise EACCES("CAP_SYS_ADMIN over the namespace is missing")
        return IdMapFile(path, flags, subject, IdMapView(self.proc.kernel, namespace, self.kind))
