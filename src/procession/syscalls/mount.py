"""mount, umount2 and pivot_root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.abi.mount_flags import MS_MGC_MSK, MS_MGC_VAL, MountFlag, UmountFlag
from procession.fs.file_system_type import make_file_system
from procession.fs.mounts.mount import MS_NOATIME, MS_RDONLY, MS_RELATIME, MountNamespace
from procession.fs.mounts.tree import (
    MOUNT_FLAGS,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
    bind,
    move,
    remount,
    set_propagation,
    unmount,
)
from procession.fs.mounts.tree import (
    pivot_root as pivot,
)
from procession.fs.namei import lookup
from procession.fs.permission import CAP_SYS_ADMIN
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Flags, LongFlags, OptionalPath, Path

if TYPE_CHECKING:
    from procession.kernel.task import Task

_MS_REMOUNT = int(MountFlag.MS_REMOUNT)
_MS_BIND = int(MountFlag.MS_BIND)
_MS_MOVE = int(MountFlag.MS_MOVE)
_MS_REC = int(MountFlag.MS_REC)
_MS_SILENT = int(MountFlag.MS_SILENT)
_MS_NOUSER = 1 << 31
_PROPAGATION = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE
_UMOUNT_NOFOLLOW = int(UmountFlag.UMOUNT_NOFOLLOW)
_UMOUNT_FLAGS = int(UmountFlag.MNT_FORCE | UmountFlag.MNT_DETACH | UmountFlag.MNT_EXPIRE) | _UMOUNT_NOFOLLOW
_PAGE_SIZE = 4096


def _namespace(task: Task) -> MountNamespace:
    """The caller's mount namespace. Raises EPERM unless it may change mounts. Linux: may_mount."""
    namespace = task.fs.root.mount.namespace
    if namespace is None:
        raise EINVAL("the root directory isn't mounted any more")
    if not task.credentials.has_capability(CAP_SYS_ADMIN):
        raise EPERM
    return namespace


def _read_options(task: Task, address: int) -> bytes:
    """The text at `address`, at most a page. Linux: fs/namespace.c, copy_mount_options."""
    if not address:
        return b""
    options = task.mm.read_cstring(address, _PAGE_SIZE - 1)
    return task.mm.read(address, _PAGE_SIZE - 1) if options is None else options


@syscall(165)
def mount(
    task: Task,
    source: OptionalPath,
    target: Path,
    kind: OptionalPath,
    flags: LongFlags[MountFlag],
    data: Address,
) -> int:
    """mount(2). Linux: fs/namespace.c, path_mount."""
    bits = int(flags)
    if bits & MS_MGC_MSK == MS_MGC_VAL:
        bits &= ~MS_MGC_MSK
    if any(text is not None and len(text) >= _PAGE_SIZE for text in (kind, source)):
        raise EINVAL("no NUL within a page")
    options = _read_options(task, data)
    place = lookup(task.fs, task.credentials, target)
    if bits & _MS_NOUSER:
        raise EINVAL
    namespace = _namespace(task)
    mount_flags = bits & MOUNT_FLAGS
    if not bits & MS_NOATIME:
        mount_flags |= MS_RELATIME
    is_recursive = bool(bits & _MS_REC)
    if bits & _MS_REMOUNT:
        remount(place, mount_flags, is_bind=bool(bits & _MS_BIND))
    elif bits & (_MS_BIND | _MS_MOVE) and not bits & _PROPAGATION:
        if not source:
            raise EINVAL("no source")
        origin = lookup(task.fs, task.credentials, source)
        if bits & _MS_BIND:
            bind(namespace, origin, place, is_recursive=is_recursive)
        else:
            move(namespace, origin, place)
    elif bits & _PROPAGATION:
        propagation = bits & ~(_MS_REC | _MS_SILENT)
        if propagation not in (MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE):
            raise EINVAL
        set_propagation(place, propagation, is_recursive=is_recursive)
    else:
        if kind is None:
            raise EINVAL("no type")
        superblock = make_file_system(kind, task.kernel, options)
        if bits & MS_RDONLY:
            superblock.is_read_only = True
        namespace.mount(superblock, place, mount_flags, source)
    return 0


@syscall(166)
def umount2(task: Task, target: Path, flags: Flags[UmountFlag]) -> int:
    """umount(2). Linux: fs/namespace.c, ksys_umount."""
    if flags & ~_UMOUNT_FLAGS:
        raise EINVAL
    place = lookup(task.fs, task.credentials, target, follow=not flags & _UMOUNT_NOFOLLOW)
    unmount(_namespace(task), place, flags)
    return 0


@syscall(155)
def pivot_root(task: Task, new_root: Path, put_old: Path) -> int:
    """pivot_root(2). Linux: fs/namespace.c, path_pivot_root and chroot_fs_refs."""
    namespace = _namespace(task)
    credentials = task.credentials
    new = lookup(task.fs, credentials, new_root, must_be_directory=True)
    old = lookup(task.fs, credentials, put_old, must_be_directory=True)
    root = task.fs.root
    pivot(namespace, root, new, old)
    for other in task.kernel.tasks.values():
        context = getattr(other, "fs", None)
        if context is None:
            continue
        if context.root == root:
            context.set_root(new)
        if context.cwd == root:
            context.set_cwd(new)
    return 0
