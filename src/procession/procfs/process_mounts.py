"""The mounts that a process sees: mounts, mountinfo, mountstats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.device_numbers import device_major, device_minor
from procession.abi.errno import EINVAL
from procession.abi.word import pack_u8
from procession.fs.dentry import Path, path_below
from procession.fs.file import ALWAYS_READY, POLLERR, POLLIN, POLLPRI, POLLRDNORM, File
from procession.fs.mounts.context import MS_DIRSYNC, MS_LAZYTIME, MS_MANDLOCK, MS_SYNCHRONOUS
from procession.fs.mounts.mount import (
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_NOSYMFOLLOW,
    MS_RDONLY,
    MS_RELATIME,
    Mount,
)
from procession.fs.mounts.peers import dominating_group
from procession.procfs.access import has_files
from procession.procfs.inode import ProcFile, RecordsFile

if TYPE_CHECKING:
    from procession.fs.mounts.namespace import MountNamespace
    from procession.fs.permission import Subject
    from procession.fs.superblock import Superblock
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem

MOUNT_OPTIONS = (
    (MS_NOSUID, b",nosuid"),
    (MS_NODEV, b",nodev"),
    (MS_NOEXEC, b",noexec"),
    (MS_NOATIME, b",noatime"),
    (MS_NODIRATIME, b",nodiratime"),
    (MS_RELATIME, b",relatime"),
    (MS_NOSYMFOLLOW, b",nosymfollow"),
)

FILE_SYSTEM_OPTIONS = (
    (MS_SYNCHRONOUS, b",sync"),
    (MS_DIRSYNC, b",dirsync"),
    (MS_MANDLOCK, b",mand"),
    (MS_LAZYTIME, b",lazytime"),
)


def mangled(name: bytes) -> bytes:
    """`name` as one word: blanks, backslashes and the like in octal (Linux: fs/proc_namespace.c, mangle)."""
    if not any(byte in b" \t\n\\#" for byte in name):
        return name
    return b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else pack_u8(byte) for byte in name)


def mount_options(mount: Mount) -> bytes:
    """The options of the mount itself, after `rw` or `ro`. Linux: fs/proc_namespace.c, show_vfsmnt_opts."""
    options = b"".join(option for flag, option in MOUNT_OPTIONS if mount.flags & flag)
    return options if mount.id_map is None else options + b",idmapped"


def file_system_flags(superblock: Superblock) -> bytes:
    """What is said of the file system before its own options. Linux: fs/proc_namespace.c, show_sb_opts."""
    flags = superblock.flags
    return b"".join(option for flag, option in FILE_SYSTEM_OPTIONS if flags & flag) if flags else b""


def file_system_options(superblock: Superblock) -> bytes:
    """The options of the file system, each after a comma."""
    options = superblock.show_options()
    return b"," + options if options else b""


def visible_mounts(namespace: MountNamespace, root: Path) -> list[tuple[Mount, bytes]]:
    """The mounts of a namespace below `root`, and where they are, in the order of their making."""
    found: list[tuple[Mount, bytes]] = []
    for mount in namespace.in_order():
        name, is_reachable = path_below(Path(mount, mount.root), root)
        if is_reachable:
            found.append((mount, name))
    return found


class MountsInode(ProcFile):
    """/proc/PID/mounts, mountinfo and mountstats."""

    __slots__ = ("name", "task")

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, name: bytes) -> None:
        super().__init__(superblock, number, 0o400 if name == b"mountstats" else 0o444)
        self.task = task
        self.name = name

    def check_can_write(self) -> None:
        raise EINVAL("there is nothing to write")

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        if not has_files(self.task):
            raise EINVAL(f"process {self.task.tid} has no mounts any more")
        kind = MountStatsFile if self.name == b"mountstats" else MountsFile
        return kind(path, flags, subject, self)


class MountsFile(RecordsFile):
    """The mounts that a process saw when this was opened, as they are when it's read.

    poll(2) tells of each change once (Linux: fs/proc_namespace.c, mounts_open_common, mounts_poll).
    """

    __slots__ = ("event", "kind", "namespace", "root")

    can_poll = True

    def __init__(self, path: Path, flags: int, subject: Subject, inode: MountsInode) -> None:
        super().__init__(path, flags, subject, self)
        self.kind = inode.name
        self.namespace = inode.task.namespaces.mounts
        self.root = inode.task.fs.root
        self.event = self.namespace.event
        self.namespace.acquire()
        self.root.mount.user_count += 1

    def release(self) -> None:
        super().release()
        self.root.mount.put_user()
        self.namespace.put()

    def store(self, data: bytes, subject: Subject) -> None:
        """Linux has no way to write these."""
        raise EINVAL("there is nothing to write")

    def show(self, subject: Subject) -> bytes:
        """The contents now."""
        self.namespace.root.superblock.vfs.clock.spend_showing_mounts(len(self.namespace.mounts))
        show = show_mounts if self.kind == b"mounts" else show_mountinfo
        return show(self.namespace, self.root)

    def poll_mask(self) -> int:
        mask = POLLIN | POLLRDNORM
        if self.event != self.namespace.event:
            self.event = self.namespace.event
            mask |= POLLERR | POLLPRI
        return mask

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.namespace.changed,)


class MountStatsFile(MountsFile):
    """/proc/PID/mountstats, which tells nobody of changes. Linux: fs/proc_namespace.c, mountstats_open."""

    __slots__ = ()

    can_poll = False

    def show(self, subject: Subject) -> bytes:
        return show_mountstats(self.namespace, self.root)

    def poll_mask(self) -> int:
        return ALWAYS_READY

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return ()


def show_mounts(namespace: MountNamespace, root: Path) -> bytes:
    """/proc/PID/mounts. Linux: fs/proc_namespace.c, show_vfsmnt."""
    return b"".join(
        b"%s %s %s %s%s%s 0 0\n"
        % (
            mangled(mount.source),
            mangled(name),
            mangled(mount.superblock.type_name.encode()),
            b"ro" if mount.is_read_only else b"rw",
            file_system_flags(mount.superblock) + mount_options(mount),
            file_system_options(mount.superblock),
        )
        for mount, name in visible_mounts(namespace, root)
    )


def show_mountinfo(namespace: MountNamespace, root: Path) -> bytes:
    """/proc/PID/mountinfo. Linux: fs/proc_namespace.c, show_mountinfo."""
    lines: list[bytes] = []
    for mount, name in visible_mounts(namespace, root):
        superblock = mount.superblock
        parent = mount.parent if mount.parent is not None else mount
        lines.append(
            b"%d %d %d:%d %s %s %s%s%s - %s %s %s%s\n"
            % (
                mount.number,
                parent.number,
                device_major(superblock.device),
                device_minor(superblock.device),
                mangled(superblock.show_path(mount.root)),
                mangled(name),
                b"ro" if mount.flags & MS_RDONLY else b"rw",
                mount_options(mount),
                propagation(mount, root),
                mangled(superblock.type_name.encode()),
                mangled(mount.source),
                b"ro" if superblock.is_read_only else b"rw",
                file_system_flags(superblock) + file_system_options(superblock),
            )
        )
    return b"".join(lines)


def propagation(mount: Mount, root: Path) -> bytes:
    """The optional fields of mountinfo: with whom the mount shares what is mounted on it."""
    fields = b""
    if mount.group:
        fields += b" shared:%d" % mount.group
    if mount.master is not None:
        fields += b" master:%d" % mount.master.group
        dominating = dominating_group(mount, root)
        if dominating not in (0, mount.master.group):
            fields += b" propagate_from:%d" % dominating
    if mount.is_unbindable:
        fields += b" unbindable"
    return fields


def show_mountstats(namespace: MountNamespace, root: Path) -> bytes:
    """/proc/PID/mountstats. Linux: fs/proc_namespace.c, show_vfsstat."""
    return b"".join(
        b"device %s mounted on %s with fstype %s\n"
        % (mangled(mount.source), mangled(name), mangled(mount.superblock.type_name.encode()))
        for mount, name in visible_mounts(namespace, root)
    )
