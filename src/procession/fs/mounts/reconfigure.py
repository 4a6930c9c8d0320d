"""Changing mounts where they are: their flags, their propagation (mount(2), mount_setattr(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBUSY, EINVAL, EPERM
from procession.fs.dentry import Path
from procession.fs.mounts.id_map import MountIdMap
from procession.fs.mounts.mount import LOCKABLE_FLAGS, MOUNT_FLAGS, MS_NOATIME, MS_RDONLY, TIME_FLAGS, Mount
from procession.fs.mounts.namespace import MountNamespace
from procession.fs.mounts.peers import change_propagation
from procession.fs.permission import CAP_SYS_ADMIN

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.fs.user_namespace import UserNamespace


def set_propagation(path: Path, kind: int, *, is_recursive: bool) -> None:
    """Make a mount MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE. Raises EINVAL.

    The caller's rights over its namespace have been checked. Linux: fs/namespace.c, do_change_type.
    """
    mount = path.mount
    if path.dentry is not mount.root or mount.namespace is None:
        raise EINVAL("not a mount")
    mounts = mount.tree() if is_recursive else [mount]
    mount.superblock.vfs.clock.spend_mounts(len(mounts))
    for each in mounts:
        change_propagation(each, kind)


def may_change_flags(mount: Mount, flags: int) -> bool:
    """Whether nothing in `flags` is against what is locked.

    Linux: fs/namespace.c, can_change_locked_flags.
    """
    locked = mount.locked_flags
    if locked & LOCKABLE_FLAGS & ~flags:
        return False
    return not (locked & MS_NOATIME and (mount.flags ^ flags) & TIME_FLAGS)


def check_remount(namespace: MountNamespace, path: Path, flags: int) -> None:
    """Raise EINVAL or EPERM unless the mount at `path` may have these MS_* flags."""
    mount = path.mount
    if mount.namespace is not namespace or path.dentry is not mount.root:
        raise EINVAL("not a mount of the namespace")
    if not may_change_flags(mount, flags):
        raise EPERM("a locked flag")


def remount_bind(namespace: MountNamespace, path: Path, flags: int) -> None:
    """Change a mount's own flags. Raises EINVAL, EPERM (a locked flag), EBUSY (a file is open for writing).

    Linux: fs/namespace.c, do_reconfigure_mnt.
    """
    check_remount(namespace, path, flags)
    mount = path.mount
    if flags & MS_RDONLY and not mount.is_read_only and mount.writer_count:
        raise EBUSY("a file is open for writing")
    set_flags(mount, flags)


def set_flags(mount: Mount, flags: int) -> None:
    """Give a mount the MS_* flags of its own, which have been checked.

    Linux: fs/namespace.c, set_mount_attributes.
    """
    mount.flags = flags & MOUNT_FLAGS
    if mount.namespace is not None:
        mount.namespace.touch()


def change_attributes(
    namespace: MountNamespace,
    path: Path,
    *,
    added: int,
    cleared: int,
    propagation: int,
    ids_of: UserNamespace | None,
    drops_ids: bool,
    may_replace_ids: bool,
    subject: Subject,
    is_recursive: bool,
) -> None:
    """mount_setattr(2): add and clear MS_* flags, change the propagation unless it's 0, and map ids unless
    `ids_of` is None, or no more; all or nothing.

    Raises EINVAL, EPERM (a locked flag), EBUSY (a file is open for writing).
    Linux: fs/namespace.c, do_mount_setattr.
    """
    mount = path.mount
    if ids_of is not None and not (ids_of.uid_map.extents and ids_of.gid_map.extents):
        # Linux: fs/mnt_idmapping.c, copy_mnt_idmap.
        raise EINVAL("no ids in the user namespace")
    if path.dentry is not mount.root:
        raise EINVAL("not the root of a mount")
    own = mount.namespace
    if own is not namespace and (own is None or not own.is_anonymous or own.root is not mount):
        raise EINVAL("in another namespace")
    mounts = mount.tree() if is_recursive else [mount]
    maps_ids = drops_ids or ids_of is not None
    for each in mounts:
        flags = each.flags & ~cleared | added
        if not may_change_flags(each, flags):
            raise EPERM("a locked flag")
        if maps_ids:
            _check_id_map(each, ids_of, subject, may_replace=may_replace_ids)
        is_closed = added & MS_RDONLY and not each.flags & MS_RDONLY
        if (is_closed or maps_ids) and each.writer_count:
            raise EBUSY("a file is open for writing")
    for each in mounts:
        each.flags = each.flags & ~cleared | added
        if maps_ids:
            each.map_ids(None if ids_of is None else MountIdMap(ids_of, each.superblock.owner))
        if propagation:
            change_propagation(each, propagation)
    if own is not None:
        own.touch()


def _check_id_map(
    mount: Mount, namespace: UserNamespace | None, subject: Subject, *, may_replace: bool
) -> None:
    """Raise EINVAL or EPERM unless `subject` may give files other owners on `mount`.

    Linux: fs/namespace.c, can_idmap_mount.
    """
    owner = mount.superblock.owner
    if namespace is owner:
        raise EINVAL("the file system's ids are those of the namespace")
    if mount.id_map is not None and not may_replace:
        raise EPERM("a mount's map of ids stays")
    if not mount.superblock.allows_id_maps:
        raise EINVAL("the file system's mounts don't map ids")
    if not subject.ns_capable(owner, CAP_SYS_ADMIN):
        raise EPERM("it takes CAP_SYS_ADMIN over the file system")
    if mount.namespace is None or not mount.namespace.is_anonymous:
        raise EINVAL("the mount has been seen")
