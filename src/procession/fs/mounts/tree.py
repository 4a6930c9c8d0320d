"""What mount(2) and umount(2) do with trees of mounts, and how that spreads between namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EBUSY, EINVAL, ELOOP, ENOENT, ENOTDIR, EPERM, Errno
from procession.abi.mount_flags import MountFlag, UmountFlag
from procession.fs.dentry import Dentry, Path
from procession.fs.mounts.mount import (
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_NOSYMFOLLOW,
    MS_RDONLY,
    MS_RELATIME,
    MS_STRICTATIME,
    Mount,
    MountNamespace,
    top_of,
)

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace

MNT_DETACH = int(UmountFlag.MNT_DETACH)
MNT_EXPIRE = int(UmountFlag.MNT_EXPIRE)
MNT_FORCE = int(UmountFlag.MNT_FORCE)
MS_SHARED = int(MountFlag.MS_SHARED)
MS_PRIVATE = int(MountFlag.MS_PRIVATE)
MS_SLAVE = int(MountFlag.MS_SLAVE)
MS_UNBINDABLE = int(MountFlag.MS_UNBINDABLE)

MOUNT_FLAGS = (
    MS_RDONLY
    | MS_NOSUID
    | MS_NODEV
    | MS_NOEXEC
    | MS_NOSYMFOLLOW
    | MS_NOATIME
    | MS_NODIRATIME
    | MS_RELATIME
    | MS_STRICTATIME
)
"""The flags that belong to a mount, not to its file system."""


def attach_everywhere(mount: Mount, parent: Mount, mountpoint: Dentry) -> None:
    """Put the tree of `mount` on `mountpoint` of `parent`, and copies of it where that spreads to.

    Linux: fs/namespace.c, attach_recursive_mnt; fs/pnode.c, propagate_mnt.
    """
    vfs = mount.superblock.vfs
    receivers: list[Mount] = []
    if parent.peer_group:
        receivers = [
            receiver
            for receiver in vfs.mount_groups.receivers(parent.peer_group)
            if receiver is not parent
            and receiver.namespace is not None
            and mountpoint.is_descendant_of(receiver.root)
        ]
    tree = mount.tree()
    vfs.accounts.check_mounts(len(tree) * len(receivers))
    if parent.peer_group:
        for each in tree:
            vfs.mount_groups.found(each)
    first_of_groups: dict[int, list[Mount]] = {}
    for receiver in receivers:
        copy = copy_tree(mount, mount.root, keeps_unbindable=True)
        if receiver.peer_group != parent.peer_group:
            copies = copy.tree()
            peers = first_of_groups.get(receiver.peer_group)
            for position, copied in enumerate(copies):
                _follow_instead(copied, tree[position])
                if receiver.peer_group and peers is None:
                    vfs.mount_groups.found(copied)
                elif peers is not None:
                    vfs.mount_groups.join(copied, peers[position].peer_group)
            if receiver.peer_group and peers is None:
                first_of_groups[receiver.peer_group] = copies
        _place(copy, receiver, mountpoint)
    _place(mount, parent, mountpoint)


def _follow_instead(copy: Mount, original: Mount) -> None:
    """Make a copy that is a peer of `original` receive from it only."""
    groups = copy.superblock.vfs.mount_groups
    groups.leave(copy)
    groups.release(copy)
    groups.follow(copy, original.peer_group)


def _place(mount: Mount, parent: Mount, mountpoint: Dentry) -> None:
    """Attach the tree of `mount`; what is there already comes to lie on top of it."""
    covered = parent.children.get(mountpoint)
    if covered is not None:
        covered.detach()
        mount.attach(parent, mountpoint)
        covered.attach(*top_of(mount.path))
    else:
        mount.attach(parent, mountpoint)
    assert parent.namespace is not None
    for each in mount.tree():
        parent.namespace.add(each)


def copy_tree(mount: Mount, root: Dentry, *, keeps_unbindable: bool = False) -> Mount:
    """Copies of `mount`, seen from `root` on, and of all mounts on it below there.

    Unbindable mounts are left out unless `keeps_unbindable`. Linux: fs/namespace.c, copy_tree.
    """
    copy = mount.clone(root)
    copies = {mount: copy}
    for original in mount.tree()[1:]:
        parent, mountpoint = original.parent, original.mountpoint
        assert parent is not None
        assert mountpoint is not None
        if parent not in copies or (original.is_unbindable and not keeps_unbindable):
            continue
        if parent is mount and not mountpoint.is_descendant_of(root):
            continue
        copied = copies[original] = original.clone(original.root)
        copied.is_unbindable = original.is_unbindable
        copied.is_locked = original.is_locked
        copied.attach(copies[parent], mountpoint)
    return copy


def bind(namespace: MountNamespace, source: Path, where: Path, *, is_recursive: bool) -> Mount:
    """Show what is at `source` at `where` too. Raises EINVAL, ENOTDIR. Linux: do_loopback."""
    if source.mount.is_unbindable or source.mount.namespace is None:
        raise EINVAL
    if not is_recursive and _has_locked_children(source):
        raise EINVAL("it would show what a locked mount hides")
    accounts = source.mount.superblock.vfs.accounts
    accounts.check_mounts(len(source.mount.tree()) if is_recursive else 1)
    mount = copy_tree(source.mount, source.dentry) if is_recursive else source.mount.clone(source.dentry)
    try:
        namespace.attach(mount, where)
    except Errno:
        mount.take_away()
        raise
    return mount


def _has_locked_children(source: Path) -> bool:
    namespace = source.mount.namespace
    if namespace is None or not namespace.has_locked_mounts:
        return False
    return any(
        child.is_locked and mountpoint.is_descendant_of(source.dentry)
        for mountpoint, child in source.mount.children.items()
    )


def move(namespace: MountNamespace, source: Path, where: Path) -> None:
    """Take a mount to another place. Raises EINVAL, ELOOP, ENOTDIR. Linux: do_move_mount."""
    mount = source.mount
    where = top_of(where)
    if source.dentry is not mount.root or mount.parent is None:
        raise EINVAL
    if mount.namespace is not namespace or where.mount.namespace is not namespace or mount.is_locked:
        raise EINVAL
    if mount.parent.peer_group:
        raise EINVAL("its parent is shared")
    if mount.root.inode.is_directory != where.inode.is_directory:
        raise ENOTDIR
    if where.mount.peer_group and any(each.is_unbindable for each in mount.tree()):
        raise EINVAL
    above: Mount | None = where.mount
    while above is not None:
        if above is mount:
            raise ELOOP
        above = above.parent
    if where.dentry.is_deleted:
        raise ENOENT
    mount.detach()
    attach_everywhere(mount, where.mount, where.dentry)


def unmount(namespace: MountNamespace, path: Path, flags: int = 0) -> None:
    """umount2(2). Raises EINVAL (not a mount, or locked), EBUSY, EAGAIN (MNT_EXPIRE, the first time).

    Linux: fs/namespace.c, do_umount.
    """
    mount = path.mount
    if path.dentry is not mount.root or mount.namespace is not namespace or mount.is_locked:
        raise EINVAL
    if flags & MNT_EXPIRE:
        if flags & (MNT_FORCE | MNT_DETACH):
            raise EINVAL
        if mount.user_count or mount.children:
            raise EBUSY
        if not mount.is_expiring:
            mount.is_expiring = True
            raise EAGAIN
    if mount.parent is None:
        raise EINVAL("the root of the namespace")
    is_lazy = bool(flags & MNT_DETACH)
    copies = _copies_of(mount)
    if not is_lazy and (mount.children or mount.user_count or any(copy.user_count for copy in copies)):
        raise EBUSY
    for copy in copies:
        if is_lazy or not copy.children:
            copy.take_away()
    mount.take_away()


def _copies_of(mount: Mount) -> list[Mount]:
    """The mounts that came to be when `mount` spread, and go with it. Linux: fs/pnode.c, propagate_umount."""
    parent, mountpoint = mount.parent, mount.mountpoint
    assert parent is not None
    assert mountpoint is not None
    if not parent.peer_group:
        return []
    return [
        copy
        for receiver in mount.superblock.vfs.mount_groups.receivers(parent.peer_group)
        if receiver is not parent
        and (copy := receiver.children.get(mountpoint)) is not None
        and copy.root is mount.root
        and not copy.is_locked
    ]


def set_propagation(path: Path, kind: int, *, is_recursive: bool) -> None:
    """Make a mount MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE. Raises EINVAL.

    Linux: fs/namespace.c, do_change_type.
    """
    mount = path.mount
    if path.dentry is not mount.root:
        raise EINVAL
    groups = mount.superblock.vfs.mount_groups
    for each in mount.tree() if is_recursive else [mount]:
        each.is_unbindable = kind == MS_UNBINDABLE
        if kind == MS_SHARED:
            groups.found(each)
        elif kind == MS_SLAVE:
            number = each.peer_group
            if number and len(groups.members[number]) > 1:
                groups.leave(each)
                groups.release(each)
                groups.follow(each, number)
            elif number:
                groups.leave(each)
        else:
            each.leave_groups()


def remount(path: Path, flags: int, *, is_bind: bool) -> None:
    """Change a mount's flags and, unless `is_bind`, whether its file system is read-only.

    Raises EINVAL, EPERM (a locked flag), EBUSY (a file is open for writing). Linux: do_remount,
    do_reconfigure_mnt.
    """
    mount = path.mount
    if path.dentry is not mount.root or mount.namespace is None:
        raise EINVAL
    flags &= MOUNT_FLAGS
    if mount.locked_flags & ~flags:
        raise EPERM
    if not is_bind:
        superblock = mount.superblock
        if flags & MS_RDONLY and not superblock.is_read_only and superblock.writer_count:
            raise EBUSY
        superblock.is_read_only = bool(flags & MS_RDONLY)
    mount.flags = flags


def pivot_root(namespace: MountNamespace, root: Path, new_root: Path, put_old: Path) -> None:
    """Make `new_root` the root of the namespace, and put what is at `root` now on `put_old`.

    `root` is the caller's root directory. Whoever has it as root or current directory is to be moved by
    the caller. Raises EINVAL, EBUSY, ENOENT. Linux: fs/namespace.c, path_pivot_root.
    """
    root_mount, new_mount, old_mount = root.mount, new_root.mount, put_old.mount
    if any(mount.namespace is not namespace for mount in (root_mount, new_mount, old_mount)):
        raise EINVAL
    parents = (root_mount.parent, new_mount.parent)
    if new_mount.peer_group or any(parent is not None and parent.peer_group for parent in parents):
        raise EINVAL("a shared mount")
    if new_mount.is_locked:
        raise EINVAL
    if new_root.dentry.is_deleted:
        raise ENOENT
    if root_mount in (new_mount, old_mount):
        raise EBUSY
    if root.dentry is not root_mount.root or root_mount.parent is None or root_mount.mountpoint is None:
        raise EINVAL("the root isn't a mount point")
    if new_root.dentry is not new_mount.root or new_mount.parent is None:
        raise EINVAL("the new root isn't a mount point")
    if not is_reachable(put_old, new_root) or not is_reachable(new_root, root):
        raise EINVAL
    base, mountpoint = root_mount.parent, root_mount.mountpoint
    new_mount.detach()
    root_mount.detach()
    if root_mount.is_locked:
        root_mount.is_locked, new_mount.is_locked = False, True
    root_mount.attach(*top_of(put_old))
    new_mount.attach(base, mountpoint)


def is_reachable(path: Path, root: Path) -> bool:
    """Whether `path` is `root` or below it, through mounts too (Linux: is_path_reachable)."""
    mount, dentry = path
    while mount is not root.mount:
        if mount.parent is None or mount.mountpoint is None:
            return False
        dentry = mount.mountpoint
        mount = mount.parent
    return dentry.is_descendant_of(root.dentry)


def copy_namespace(
    namespace: MountNamespace, owner: UserNamespace | None = None, *, is_less_privileged: bool = False
) -> tuple[MountNamespace, dict[Mount, Mount]]:
    """A namespace of its own for a new task (CLONE_NEWNS), and which mount became which.

    It belongs to the user namespace `owner`, or where the old one does.
    With `is_less_privileged`, for a new user namespace, mounts receive but don't send, and can't be taken
    apart. Raises ENOSPC. Linux: fs/namespace.c, copy_mnt_ns.
    """
    originals = namespace.root.tree()
    namespace.root.superblock.vfs.accounts.check_mounts(len(originals))
    copied = copy_tree(namespace.root, namespace.root.root, keeps_unbindable=True)
    copies = dict(zip(originals, copied.tree(), strict=True))
    if is_less_privileged:
        for original, copy in copies.items():
            if copy.peer_group:
                _follow_instead(copy, original)
            copy.is_locked = copy.parent is not None
            copy.locked_flags = copy.flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    return MountNamespace(copied, namespace.owner if owner is None else owner), copies
