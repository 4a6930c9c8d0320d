"""mount, umount2 and pivot_root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.abi.mount_flags import MS_MGC_MSK, MS_MGC_VAL, MountFlag, UmountFlag
from procession.fs.file_system_type import find_type, type_of
from procession.fs.mounts.attach import bind, move
from procession.fs.mounts.attach import pivot_root as pivot
from procession.fs.mounts.context import (
    REMOUNT_FLAGS,
    SUPERBLOCK_FLAGS,
    MountContext,
    Parameter,
    ParameterKind,
)
from procession.fs.mounts.mount import (
    MOUNT_FLAGS,
    MS_NOATIME,
    MS_RELATIME,
    MS_STRICTATIME,
    TIME_FLAGS,
)
from procession.fs.mounts.peers import PROPAGATION_FLAGS
from procession.fs.mounts.reconfigure import check_remount, remount_bind, set_flags, set_propagation
from procession.fs.mounts.unmount import unmount
from procession.fs.mounts.visibility import check_visibility
from procession.fs.namei import lookup, lookup_mount_point
from procession.fs.permission import CAP_SYS_ADMIN
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Flags, LongFlags, OptionalText, Path

if TYPE_CHECKING:
    from procession.fs import dentry
    from procession.fs.file import File
    from procession.fs.mounts.namespace import MountNamespace
    from procession.kernel.task import Task

_MS_REMOUNT = int(MountFlag.MS_REMOUNT)
_MS_BIND = int(MountFlag.MS_BIND)
_MS_MOVE = int(MountFlag.MS_MOVE)
_MS_REC = int(MountFlag.MS_REC)
_MS_SILENT = int(MountFlag.MS_SILENT)
_MS_NOUSER = 1 << 31
_UMOUNT_NOFOLLOW = int(UmountFlag.UMOUNT_NOFOLLOW)
_UMOUNT_FLAGS = int(UmountFlag.MNT_FORCE | UmountFlag.MNT_DETACH | UmountFlag.MNT_EXPIRE) | _UMOUNT_NOFOLLOW
_PAGE_SIZE = 4096


def own_namespace(task: Task) -> MountNamespace:
    """The caller's mount namespace. Raises EPERM unless it may change mounts.

    Linux: fs/namespace.c, may_mount.
    """
    namespace = task.namespaces.mounts
    if not task.credentials.ns_capable(namespace.owner, CAP_SYS_ADMIN):
        raise EPERM("changing mounts takes CAP_SYS_ADMIN")
    return namespace


def check_topology(task: Task) -> None:
    """Raise EPERM if the caller's Landlock domain keeps the mounts as they are.

    Linux: security/landlock/fs.c, hook_sb_mount, hook_move_mount, hook_sb_umount, hook_sb_remount,
    hook_sb_pivotroot.
    """
    if any(layer.files for layer in task.credentials.landlock):
        raise EPERM("the Landlock domain forbids it")


def install(task: Task, file: File, *, close_on_exec: bool) -> int:
    """The descriptor by which the caller has `file` now. Raises EMFILE, having closed it."""
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    return task.files.install(file, close_on_exec=close_on_exec, limit=limit)


def _read_options(task: Task, address: int) -> bytes:
    """The text at `address`, at most a page. Linux: fs/namespace.c, copy_mount_options."""
    if not address:
        return b""
    options = task.mm.read_cstring(address, _PAGE_SIZE - 1)
    return task.mm.read(address, _PAGE_SIZE - 1) if options is None else options


@syscall(165)
def mount(
    task: Task,
    source: OptionalText,
    target: Path,
    kind: OptionalText,
    flags: LongFlags[MountFlag],
    data: Address,
) -> int:
    """mount(2). Linux: fs/namespace.c, path_mount."""
    bits = int(flags)
    if any(text is not None and len(text) >= _PAGE_SIZE for text in (kind, source)):
        raise EINVAL("no NUL within a page")
    options = _read_options(task, data)
    place = lookup(task.fs, task.credentials, target)
    if bits & MS_MGC_MSK == MS_MGC_VAL:
        bits &= ~MS_MGC_MSK
    if bits & _MS_NOUSER:
        raise EINVAL
    namespace = own_namespace(task)
    check_topology(task)
    mount_flags = _flags_of_mount(bits, place)
    if bits & _MS_REMOUNT:
        if bits & _MS_BIND:
            remount_bind(namespace, place, mount_flags)
        else:
            _remount(task, namespace, place, mount_flags, bits, options)
    elif bits & _MS_BIND:
        bind(namespace, _source(task, source), place, is_recursive=bool(bits & _MS_REC))
    elif bits & PROPAGATION_FLAGS:
        kind_of_propagation = bits & ~(_MS_REC | _MS_SILENT)
        if kind_of_propagation & ~PROPAGATION_FLAGS or kind_of_propagation & (kind_of_propagation - 1):
            raise EINVAL("more than a kind of propagation")
        if place.mount.namespace is not None:
            _check_owner(task, place.mount.namespace)
        set_propagation(place, kind_of_propagation, is_recursive=bool(bits & _MS_REC))
    elif bits & _MS_MOVE:
        move(namespace, _source(task, source), place, root=task.fs.root)
    else:
        if kind is None:
            raise EINVAL("no type")
        _mount_new(task, namespace, place, kind, source, bits, mount_flags, options)
    return 0


def _flags_of_mount(bits: int, place: dentry.Path) -> int:
    """The flags of the mount itself among those of mount(2), and the one that says how times are kept."""
    flags = bits & MOUNT_FLAGS
    if bits & _MS_REMOUNT and not bits & TIME_FLAGS:
        return flags | place.mount.flags & TIME_FLAGS
    if flags & MS_STRICTATIME:
        return flags & ~(MS_RELATIME | MS_NOATIME)
    return flags & ~MS_RELATIME if flags & MS_NOATIME else flags | MS_RELATIME


def _source(task: Task, name: bytes | None) -> dentry.Path:
    if not name:
        raise EINVAL("no source")
    return lookup(task.fs, task.credentials, name)


def _check_owner(task: Task, namespace: MountNamespace) -> None:
    """Raise EPERM unless the caller may change how mounts of `namespace` spread."""
    if not task.credentials.ns_capable(namespace.owner, CAP_SYS_ADMIN):
        raise EPERM("changing mounts takes CAP_SYS_ADMIN")


def _mount_new(
    task: Task,
    namespace: MountNamespace,
    place: dentry.Path,
    kind: bytes,
    source: bytes | None,
    bits: int,
    mount_flags: int,
    options: bytes,
) -> None:
    """Linux: fs/namespace.c, do_new_mount."""
    context = MountContext(find_type(kind), task)
    context.is_old_call = True
    context.flags = bits & SUPERBLOCK_FLAGS
    try:
        if source is not None:
            context.add(Parameter(b"source", ParameterKind.STRING, source))
        context.add_options(options)
        superblock = context.create()
        mount_flags = check_visibility(namespace, context.type, mount_flags)
        namespace.mount(superblock, place, mount_flags, _name_of_source(context), context.root)
    finally:
        context.close()


def _name_of_source(context: MountContext) -> bytes:
    return b"none" if context.source is None else context.source


def _remount(
    task: Task, namespace: MountNamespace, place: dentry.Path, mount_flags: int, bits: int, options: bytes
) -> None:
    """Linux: fs/namespace.c, do_remount."""
    check_remount(namespace, place, mount_flags)
    superblock = place.mount.superblock
    context = MountContext(type_of(superblock), task, superblock)
    context.is_old_call = True
    context.flags, context.flags_mask = bits & REMOUNT_FLAGS, REMOUNT_FLAGS
    try:
        context.add_options(options)
        context.reconfigure()
    finally:
        context.close()
    set_flags(place.mount, mount_flags)


@syscall(166)
def umount2(task: Task, target: Path, flags: Flags[UmountFlag]) -> int:
    """umount(2). Linux: fs/namespace.c, ksys_umount."""
    if flags & ~_UMOUNT_FLAGS:
        raise EINVAL
    follow = not flags & _UMOUNT_NOFOLLOW
    place = lookup_mount_point(task.fs, task.credentials, target, follow=follow)
    namespace = own_namespace(task)
    if place.dentry is place.mount.root:
        check_topology(task)
    is_owner = task.credentials.ns_capable(place.mount.superblock.owner, CAP_SYS_ADMIN)
    unmount(namespace, place, flags, task.fs.root, is_owner=is_owner)
    return 0


@syscall(155)
def pivot_root(task: Task, new_root: Path, put_old: Path) -> int:
    """pivot_root(2). Linux: fs/namespace.c, path_pivot_root; fs/fs_struct.c, chroot_fs_refs."""
    namespace = own_namespace(task)
    credentials = task.credentials
    new = lookup(task.fs, credentials, new_root, must_be_directory=True)
    old = lookup(task.fs, credentials, put_old, must_be_directory=True)
    check_topology(task)
    root = task.fs.root
    pivot(namespace, root, new, old)
    for other in task.kernel.tasks:
        context = getattr(other, "fs", None)
        if context is not None:
            context.replace(root, new)
    return 0
