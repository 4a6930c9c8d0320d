"""open_tree, move_mount, mount_setattr and open_tree_attr: trees of mounts by file descriptor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EFAULT, EINVAL, EPERM, Errno
from procession.abi.mount_flags import (
    MOUNT_ATTR_SIZE_VER0,
    MountAttr,
    MountAttribute,
    MoveMountFlag,
    OpenTreeFlag,
)
from procession.abi.named_tuple import NamedTuple
from procession.abi.open_flags import AtFlag
from procession.fs.file import O_PATH, PathFile
from procession.fs.mounts.attach import copy_for_bind, move, share_like
from procession.fs.mounts.attributes import ATIME_MASK, FSMOUNT_ATTRIBUTES, flags_of, time_flags_of
from procession.fs.mounts.context_file import open_detached
from procession.fs.mounts.mount import MS_NODIRATIME, TIME_FLAGS
from procession.fs.mounts.peers import PROPAGATION_FLAGS
from procession.fs.mounts.reconfigure import change_attributes
from procession.fs.permission import CAP_SYS_ADMIN
from procession.fs.user_namespace import UserNamespace
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.namespaces.nsfs import NamespaceFile
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.mount import check_topology, install, own_namespace
from procession.syscalls.parameters import Fd, Flags, OptionalPath, Size, SizedIn
from procession.syscalls.paths import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, find, find_by_flags
from procession.syscalls.sized_structure import read_sized

if TYPE_CHECKING:
    from procession.fs import dentry
    from procession.fs.file import File
    from procession.fs.mounts.namespace import MountNamespace
    from procession.kernel.task import Task

_AT_RECURSIVE = int(AtFlag.AT_RECURSIVE)
_AT_NO_AUTOMOUNT = int(AtFlag.AT_NO_AUTOMOUNT)
_CLONE = int(OpenTreeFlag.OPEN_TREE_CLONE)
_CLOEXEC = int(OpenTreeFlag.OPEN_TREE_CLOEXEC)
_SETATTR_FLAGS = AT_EMPTY_PATH | _AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT
_OPEN_TREE_FLAGS = _SETATTR_FLAGS | _CLONE | _CLOEXEC
_SET_GROUP = int(MoveMountFlag.MOVE_MOUNT_SET_GROUP)
_BENEATH = int(MoveMountFlag.MOVE_MOUNT_BENEATH)
_MOVE_FLAGS = 0x377
_IDMAP = int(MountAttribute.MOUNT_ATTR_IDMAP)
_PAGE_SIZE = 4096


class AttributeChange(NamedTuple):
    """What mount_setattr(2) is to change: MS_* flags, the kind of propagation or 0, and by whose map ids are
    to be mapped, or by none any more; a new mount's map may be another one (MOUNT_KATTR_IDMAP_REPLACE)."""

    added: int
    cleared: int
    propagation: int
    ids_of: UserNamespace | None
    drops_ids: bool
    may_replace_ids: bool


@syscall(428)
def open_tree(task: Task, directory: Fd, path: OptionalPath, flags: Flags[OpenTreeFlag | AtFlag]) -> int:
    """open_tree(2). Linux: fs/namespace.c, SYSCALL_DEFINE3(open_tree)."""
    file = _open_tree(task, directory, path, flags)
    return install(task, file, close_on_exec=bool(flags & _CLOEXEC))


def _open_tree(task: Task, directory: int, path: bytes | None, flags: int) -> File:
    """Linux: fs/namespace.c, vfs_open_tree."""
    if flags & ~_OPEN_TREE_FLAGS or flags & (_AT_RECURSIVE | _CLONE) == _AT_RECURSIVE:
        raise EINVAL
    namespace = own_namespace(task) if flags & _CLONE else None
    if path is None:
        raise EFAULT
    place = find_by_flags(task, directory, path, flags)
    if namespace is None:
        return PathFile(place, O_PATH, task.credentials)
    return _open_copy(task, namespace, place, is_recursive=bool(flags & _AT_RECURSIVE))


def _open_copy(task: Task, namespace: MountNamespace, place: dentry.Path, *, is_recursive: bool) -> File:
    """A copy of the mount at `place` in no namespace. Linux: fs/namespace.c, open_detached_copy."""
    mount = copy_for_bind(namespace, place, is_recursive=is_recursive)
    origin: MountNamespace | None = namespace
    source = place.mount.namespace
    if source is not None and source.is_anonymous:
        origin = source.origin
    return open_detached(mount, namespace.owner, origin, task.credentials)


@syscall(429)
def move_mount(
    task: Task,
    from_directory: Fd,
    from_path: OptionalPath,
    to_directory: Fd,
    to_path: OptionalPath,
    flags: Flags[MoveMountFlag],
) -> int:
    """move_mount(2). Linux: fs/namespace.c, SYSCALL_DEFINE5(move_mount)."""
    namespace = own_namespace(task)
    if flags & ~_MOVE_FLAGS or flags & (_SET_GROUP | _BENEATH) == _SET_GROUP | _BENEATH:
        raise EINVAL
    target = _find_side(task, to_directory, to_path, flags >> 4)
    source = _find_side(task, from_directory, from_path, flags)
    check_topology(task)
    if flags & _SET_GROUP:
        for place in (source, target):
            owner = place.mount.namespace
            if owner is not None and not task.credentials.ns_capable(owner.owner, CAP_SYS_ADMIN):
                raise EPERM
        share_like(source, target)
    else:
        move(namespace, source, target, is_beneath=bool(flags & _BENEATH), root=task.fs.root)
    return 0


def _find_side(task: Task, directory: int, path: bytes | None, flags: int) -> dentry.Path:
    """The place that one side names; `flags` are MOVE_MOUNT_F_*."""
    allow_empty = bool(flags & MoveMountFlag.MOVE_MOUNT_F_EMPTY_PATH)
    if path is None and not allow_empty:
        raise EFAULT
    return find(
        task,
        directory,
        path,
        follow=bool(flags & MoveMountFlag.MOVE_MOUNT_F_SYMLINKS),
        allow_empty=allow_empty,
    )


@syscall(442)
def mount_setattr(
    task: Task,
    directory: Fd,
    path: OptionalPath,
    flags: Flags[AtFlag],
    attributes: SizedIn[MountAttr],
    size: Size,
) -> int:
    """mount_setattr(2). Linux: fs/namespace.c, SYSCALL_DEFINE5(mount_setattr)."""
    if flags & ~_SETATTR_FLAGS:
        raise EINVAL
    change = _read_change(task, attributes.address, size)
    if change is None:
        return 0
    if path is None:
        raise EFAULT
    place = find_by_flags(task, directory, path, flags)
    _change(task, place, change, flags)
    return 0


def _change(task: Task, place: dentry.Path, change: AttributeChange, flags: int) -> None:
    change_attributes(
        task.namespaces.mounts,
        place,
        added=change.added,
        cleared=change.cleared,
        propagation=change.propagation,
        ids_of=change.ids_of,
        drops_ids=change.drops_ids,
        may_replace_ids=change.may_replace_ids,
        subject=task.credentials,
        is_recursive=bool(flags & _AT_RECURSIVE),
    )


@syscall(467)
def open_tree_attr(
    task: Task,
    directory: Fd,
    path: OptionalPath,
    flags: Flags[OpenTreeFlag | AtFlag],
    attributes: SizedIn[MountAttr],
    size: Size,
) -> int:
    """open_tree_attr(2). Linux: fs/namespace.c, SYSCALL_DEFINE5(open_tree_attr)."""
    if not attributes and size:
        raise EINVAL("no attributes")
    file = _open_tree(task, directory, path, flags)
    try:
        if attributes:
            is_new = bool(flags & _CLONE)
            change = _read_change(task, attributes.address, size, may_replace_ids=is_new)
            if change is not None:
                _change(task, file.path, change, flags)
    except (Errno, OutOfFrames):
        file.release_if_unheld()
        raise
    return install(task, file, close_on_exec=bool(flags & _CLOEXEC))


def _read_change(
    task: Task, address: int, size: int, *, may_replace_ids: bool = False
) -> AttributeChange | None:
    """What struct mount_attr asks for, None for nothing. Raises EINVAL, E2BIG, EPERM, EFAULT, EBADF.

    Linux: fs/namespace.c, wants_mount_setattr, build_mount_kattr.
    """
    if size > _PAGE_SIZE:
        raise E2BIG
    if size < MOUNT_ATTR_SIZE_VER0:
        raise EINVAL("too small a structure")
    own_namespace(task)
    wanted = MountAttr.unpack(read_sized(task.mm, address, size, MountAttr.SIZE))
    added, cleared = wanted.attr_set, wanted.attr_clr
    if not added and not cleared and not wanted.propagation:
        return None
    propagation = wanted.propagation
    if propagation & ~PROPAGATION_FLAGS or propagation & (propagation - 1):
        raise EINVAL("more than a kind of propagation")
    if (added | cleared) & ~(FSMOUNT_ATTRIBUTES | _IDMAP):
        raise EINVAL("no such attribute")
    flags_added, flags_cleared = flags_of(added), flags_of(cleared)
    if cleared & ATIME_MASK:
        if cleared & ATIME_MASK != ATIME_MASK:
            raise EINVAL("a part of the ways to keep times")
        flags_cleared |= TIME_FLAGS & ~MS_NODIRATIME
        flags_added |= time_flags_of(added & ATIME_MASK)
    elif added & ATIME_MASK:
        raise EINVAL("another way to keep times without clearing the one there is")
    # Linux: fs/namespace.c, build_mount_idmapped.
    if cleared & _IDMAP and not may_replace_ids:
        raise EINVAL("a map of ids stays")
    ids_of = _mapping_namespace(task, wanted) if added & _IDMAP else None
    drops_ids = bool(cleared & _IDMAP) and ids_of is None
    return AttributeChange(flags_added, flags_cleared, propagation, ids_of, drops_ids, may_replace_ids)


def _mapping_namespace(task: Task, wanted: MountAttr) -> UserNamespace:
    """The user namespace by whose map a mount is to map ids. Raises EINVAL, EBADF, EPERM.

    Linux: fs/namespace.c, build_mount_idmapped.
    """
    if wanted.userns_fd > 0x7FFFFFFF:
        raise EINVAL("no descriptor")
    file = opened_file(task, wanted.userns_fd)
    if not isinstance(file, NamespaceFile) or not isinstance(file.namespace, UserNamespace):
        raise EINVAL("no user namespace")
    namespace = file.namespace
    if not namespace.level:
        raise EPERM("the first user namespace stands for no map")
    if not task.credentials.ns_capable(namespace, CAP_SYS_ADMIN):
        raise EPERM("it takes CAP_SYS_ADMIN over the user namespace")
    return namespace
