"""Copies of trees of mounts, and what keeps a less privileged user namespace from taking them apart."""

from __future__ import annotations

from enum import IntEnum

from procession.abi.errno import EINVAL, EPERM, Errno
from procession.fs.dentry import Dentry
from procession.fs.mounts.mount import LOCKABLE_FLAGS, MS_NOATIME, Mount
from procession.fs.mounts.peers import join_peers, make_all_private, receive_beside, receive_from
from procession.hardware.physical_memory import OutOfFrames


class CopyKind(IntEnum):
    """What a copy has to do with its original (Linux: fs/pnode.h, CL_SLAVE, CL_MAKE_SHARED).

    SAME: it's a peer if that is shared, and receives from the same master. SHARED: the same, and it's shared
    in any case. SLAVE: it receives from its original if that is shared. SHARED_SLAVE: the same, and it's
    shared, in a group of its own.
    """

    SAME = 0
    SHARED = 1
    SLAVE = 2
    SHARED_SLAVE = 3


def clone_mount(original: Mount, root: Dentry, kind: int = CopyKind.SAME) -> Mount:
    """The same file system once more, seen from `root` on. Raises ENOSPC, OutOfFrames.

    Linux: fs/namespace.c, clone_mnt.
    """
    original.superblock.vfs.accounts.check_mounts(1)
    mount = Mount(original.superblock, root, original.flags, original.source)
    mount.locked_flags = original.locked_flags
    mount.map_ids(original.id_map)
    is_slave = kind in (CopyKind.SLAVE, CopyKind.SHARED_SLAVE)
    if original.group and not is_slave:
        join_peers(mount, original)
    if is_slave and original.group:
        receive_from(mount, original)
    elif original.master is not None:
        receive_beside(mount, original)
    if kind in (CopyKind.SHARED, CopyKind.SHARED_SLAVE) and not mount.group:
        mount.group = mount.superblock.vfs.mount_table.group_numbers.take()
    return mount


def copy_tree(
    original: Mount,
    root: Dentry,
    kind: int = CopyKind.SAME,
    *,
    keeps_unbindable: bool = False,
    keeps_namespaces: bool = False,
) -> Mount:
    """Copies of `original`, seen from `root` on, and of all mounts on it below there, in no namespace yet.

    Unbindable mounts are left out unless `keeps_unbindable`, and so are those of the files that stand for
    mount namespaces unless `keeps_namespaces`. Raises EINVAL if `original` is one, EPERM if one is locked:
    its absence would show what is below. Linux: fs/namespace.c, copy_tree.
    """
    if original.is_unbindable and not keeps_unbindable:
        raise EINVAL("an unbindable mount")
    if root.inode.mount_namespace is not None and not keeps_namespaces:
        raise EINVAL("a mount namespace")
    copy = clone_mount(original, root, kind)
    clock = original.superblock.vfs.clock
    try:
        left = [
            (child, copy)
            for child in reversed(list(original.children.values()))
            if child.mountpoint is not None and child.mountpoint.is_descendant_of(root)
        ]
        while left:
            mount, parent = left.pop()
            if mount.is_unbindable and not keeps_unbindable:
                if mount.is_locked:
                    raise EPERM("an unbindable mount that is locked")
                continue
            if mount.root.inode.mount_namespace is not None and not keeps_namespaces:
                continue
            assert mount.mountpoint is not None
            copied = clone_mount(mount, mount.root, kind)
            copied.is_locked = mount.is_locked
            clock.spend_mounts(2)
            copied.attach(parent, mount.mountpoint)
            left.extend((child, copied) for child in reversed(list(mount.children.values())))
    except (Errno, OutOfFrames):
        discard_tree(copy)
        raise
    return copy


def discard_tree(mount: Mount) -> None:
    """Undo a copy that nobody has seen."""
    mounts = mount.tree()
    for each in mounts:
        each.will_be_unmounted = True
    make_all_private(mounts)
    for each in reversed(mounts):
        each.detach()
        each.is_attached = False
        each.release()


def lock_tree(mount: Mount) -> None:
    """Keep a less privileged user namespace from changing flags, and from showing what is below a mount.

    Linux: fs/namespace.c, lock_mnt_tree.
    """
    for each in mount.tree():
        each.locked_flags = each.flags & LOCKABLE_FLAGS | MS_NOATIME
        if each is not mount:
            each.is_locked = True


def has_locked_children(mount: Mount, root: Dentry) -> bool:
    """Whether a locked mount is on `mount` below `root`. Linux: fs/namespace.c, __has_locked_children."""
    namespace = mount.namespace
    if namespace is not None and not namespace.has_locked_mounts:
        return False
    return any(
        child.is_locked and mountpoint.is_descendant_of(root) for mountpoint, child in mount.children.items()
    )
