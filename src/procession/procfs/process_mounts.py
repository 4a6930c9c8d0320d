"""The mounts that a process sees: mounts, mountinfo, mountstats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.device_numbers import device_major, device_minor
from procession.abi.word import pack_u8
from procession.fs.dentry import Dentry, Path, path_below
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

if TYPE_CHECKING:
    from procession.fs.permission import Subject
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


def mangled(name: bytes) -> bytes:
    """`name` as one word: blanks, backslashes and the like in octal (Linux: fs/proc_namespace.c, mangle)."""
    if not any(byte in b" \t\n\\#" for byte in name):
        return name
    return b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else pack_u8(byte) for byte in name)


def mount_options(mount: Mount) -> bytes:
    """The options of the mount itself, after `rw` or `ro`. Linux: fs/proc_namespace.c, show_vfsmnt_opts."""
    return b"".join(option for flag, option in MOUNT_OPTIONS if mount.flags & flag)


def file_system_options(mount: Mount) -> bytes:
    """The options of the file system, each after a comma."""
    options = mount.superblock.options
    return b"," + options if options else b""


def visible_mounts(task: Task) -> list[tuple[Mount, bytes]]:
    """The mounts of the task's namespace below its root, and where they are, in the order of their making."""
    if not has_files(task):
        return []
    root = task.fs.root
    namespace = task.namespaces.mounts
    found: list[tuple[Mount, bytes]] = []
    for mount in namespace.in_order():
        name, is_reachable = path_below(Path(mount, mount.root), root)
        if is_reachable:
            found.append((mount, name))
    return found


def show_mounts(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/mounts. Linux: fs/proc_namespace.c, show_vfsmnt."""
    return b"".join(
        b"%s %s %s %s%s%s 0 0\n"
        % (
            mangled(mount.source),
            mangled(name),
            mangled(mount.superblock.type_name.encode()),
            b"ro" if mount.is_read_only else b"rw",
            mount_options(mount),
            file_system_options(mount),
        )
        for mount, name in visible_mounts(task)
    )


def show_mountinfo(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/mountinfo. Linux: fs/proc_namespace.c, show_mountinfo."""
    lines: list[bytes] = []
    for mount, name in visible_mounts(task):
        superblock = mount.superblock
        parent = mount.parent if mount.parent is not None else mount
        lines.append(
            b"%d %d %d:%d %s %s %s%s%s - %s %s %s%s\n"
            % (
                mount.number,
                parent.number,
                device_major(superblock.device),
                device_minor(superblock.device),
                mangled(name_in_file_system(mount.root)),
                mangled(name),
                b"ro" if mount.flags & MS_RDONLY else b"rw",
                mount_options(mount),
                propagation(mount, task.fs.root),
                mangled(superblock.type_name.encode()),
                mangled(mount.source),
                b"ro" if superblock.is_read_only else b"rw",
                file_system_options(mount),
            )
        )
    return b"".join(lines)


def name_in_file_system(dentry: Dentry) -> bytes:
    """The name of an entry from the root of its file system down. Linux: fs/d_path.c, dentry_path."""
    suffix = b"//deleted" if dentry.is_deleted else b""
    names: list[bytes] = []
    while dentry.parent is not dentry:
        names.append(dentry.name)
        dentry = dentry.parent
    return b"/" + b"/".join(reversed(names)) + suffix


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


def show_mountstats(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/mountstats. Linux: fs/proc_namespace.c, show_vfsstat."""
    return b"".join(
        b"device %s mounted on %s with fstype %s\n"
        % (mangled(mount.source), mangled(name), mangled(mount.superblock.type_name.encode()))
        for mount, name in visible_mounts(task)
    )
