"""Taking mounts away: umount(2), and what becomes of a tree that nobody can reach any more."""

from __future__ import annotations

from procession.abi.errno import EAGAIN, EBUSY, EINVAL, EPERM
from procession.abi.mount_flags import UmountFlag
from procession.fs.dentry import Dentry, Path
from procession.fs.mounts.mount import Mount
from procession.fs.mounts.namespace import MountNamespace
from procession.fs.mounts.peers import make_all_private
from procession.fs.mounts.propagation import is_busy, spread_unmount

MNT_DETACH = int(UmountFlag.MNT_DETACH)
MNT_EXPIRE = int(UmountFlag.MNT_EXPIRE)
MNT_FORCE = int(UmountFlag.MNT_FORCE)


def unmount(
    namespace: MountNamespace, path: Path, flags: int = 0, root: Path | None = None, *, is_owner: bool = True
) -> None:
    """umount2(2), for somebody of `namespace` whose root directory is `root`.

    Who `is_owner` has CAP_SYS_ADMIN over the file system, without which nothing is forced or made read-only.

    Raises EINVAL (not a mount, or locked), EPERM, EBUSY, EAGAIN (MNT_EXPIRE, the first time).
    Linux: fs/namespace.c, can_umount, do_umount.
    """
    mount = path.mount
    if path.dentry is not mount.root or mount.namespace is not namespace or mount.is_locked:
        raise EINVAL
    is_own_root = root is not None and mount is root.mount
    if flags & MNT_FORCE and not is_owner:
        raise EPERM("it takes CAP_SYS_ADMIN over the file system")
    if flags & MNT_EXPIRE:
        if flags & (MNT_FORCE | MNT_DETACH) or is_own_root:
            raise EINVAL
        if mount.user_count or mount.children:
            raise EBUSY
        if not mount.is_expiring:
            mount.is_expiring = True
            raise EAGAIN
    if is_own_root and not flags & MNT_DETACH:
        # Old init programs relied on it: the root's file system becomes read-only. Linux: fs/namespace.c,
        # do_umount_root.
        if not is_owner:
            raise EPERM("it takes CAP_SYS_ADMIN over the file system")
        make_read_only(mount)
        return
    if mount.parent is None:
        raise EINVAL("the root of the namespace")
    if not flags & MNT_DETACH and is_busy(mount):
        raise EBUSY
    unmount_tree(mount, spreads=True, is_lazy=bool(flags & MNT_DETACH))


def make_read_only(mount: Mount) -> None:
    """Let nobody write to the file system of `mount`. Raises EBUSY if somebody does.

    Linux: fs/super.c, reconfigure_super.
    """
    superblock = mount.superblock
    if not superblock.is_read_only and superblock.writer_count:
        raise EBUSY("a file is open for writing")
    superblock.is_read_only = True


def unmount_tree(
    mount: Mount, *, spreads: bool = False, is_lazy: bool = True, stays_connected: bool = False
) -> None:
    """Unmount `mount` and all that is mounted on it; who is inside stays there.

    With `spreads`, also where that spreads to. If it `is_lazy`, a locked mount stays on what it hides, and
    with `stays_connected` every one does. Linux: fs/namespace.c, umount_tree.
    """
    going = mount.tree()
    for each in going:
        each.will_be_unmounted = True
    if spreads:
        going += spread_unmount(going)
    mount.superblock.vfs.clock.spend_mounts(len(going))
    make_all_private(going)
    for each in going:
        namespace = each.namespace
        if namespace is not None:
            namespace.remove(each)
            namespace.touch()
        parent = each.parent
        if parent is None:
            continue
        if is_lazy and parent.will_be_unmounted and (stays_connected or each.is_locked):
            continue
        each.detach()
    for each in reversed(going):
        each.is_attached = False
        if not each.user_count and each.parent is None:
            each.end()


def detach_mounts(dentry: Dentry) -> None:
    """Unmount what other namespaces have mounted on an entry that has been removed.

    Linux: fs/namespace.c, __detach_mounts.
    """
    while dentry.mounted:
        mount = next(iter(dentry.mounted))
        if mount.namespace is None:
            mount.detach()
        else:
            unmount_tree(mount, stays_connected=True)
