"""Putting trees of mounts somewhere: new mounts, binds and moves, and how that spreads."""

from __future__ import annotations

from procession.abi.errno import EBUSY, EINVAL, ELOOP, ENOENT, ENOTDIR, Errno
from procession.fs.dentry import Dentry, Path
from procession.fs.mounts.mount import Mount, is_reachable, top_of
from procession.fs.mounts.namespace import MountNamespace
from procession.fs.mounts.peers import join_peers, make_shared, receive_beside
from procession.fs.mounts.propagation import propagate_mount, would_cover
from procession.fs.mounts.tree import clone_mount, copy_tree, discard_tree, has_locked_children, lock_tree
from procession.hardware.physical_memory import OutOfFrames


def mount_point(where: Path) -> Path:
    """The place on which a mount at `where` comes to lie: on top of all that are there.

    Raises ENOENT where nothing can be mounted any more. Linux: fs/namespace.c, do_lock_mount.
    """
    place = top_of(where)
    if place.dentry.is_deleted or where.mount.namespace is None:
        raise ENOENT("nothing can be mounted here any more")
    return place


def _mount_point_beneath(where: Path) -> Path:
    """The place on which the topmost mount at `where` lies. Raises EINVAL, ENOENT."""
    if where.dentry is not where.mount.root:
        raise EINVAL("not the root of a mount")
    mount = where.mount.topmost()
    if where.mount.namespace is None:
        raise ENOENT
    if mount.parent is None or mount.mountpoint is None:
        raise EINVAL("the root of the namespace")
    if mount.mountpoint.is_deleted:
        raise ENOENT
    return Path(mount.parent, mount.mountpoint)


def add_mount(namespace: MountNamespace, mount: Mount, where: Path) -> None:
    """Put the new `mount` on top of `where`, or let nothing remain of it.

    Raises ENOENT, EINVAL, EBUSY (it's there already), ENOTDIR, ENOSPC. Linux: fs/namespace.c, do_add_mount.
    """
    try:
        parent, mountpoint = mount_point(where)
        if parent.namespace is not namespace:
            raise EINVAL("in another namespace")
        if parent.superblock is mount.superblock and parent.root is mountpoint:
            raise EBUSY("the same file system on itself")
        if mount.root.inode.is_symlink:
            raise EINVAL
        _graft(mount, parent, mountpoint)
    except (Errno, OutOfFrames):
        discard_tree(mount)
        raise


def _graft(mount: Mount, parent: Mount, mountpoint: Dentry) -> None:
    """Linux: fs/namespace.c, graft_tree."""
    if mountpoint.inode.is_directory != mount.root.inode.is_directory:
        raise ENOTDIR
    attach_everywhere(mount, parent, mountpoint)


def attach_everywhere(mount: Mount, parent: Mount, mountpoint: Dentry) -> None:
    """Put the tree of `mount` on `mountpoint` of `parent`, and copies of it where that spreads to.

    What is there comes to lie on top of it. The tree is new, in an anonymous namespace, or elsewhere in
    that of `parent`. Raises ENOSPC, EPERM. Linux: fs/namespace.c, attach_recursive_mnt.
    """
    vfs = mount.superblock.vfs
    namespace = parent.namespace
    assert namespace is not None
    if mount.topmost().root.is_deleted:
        raise ENOENT("what is seen there has been removed")
    is_moving = mount.parent is not None
    pending: dict[MountNamespace, int] = {}
    if not is_moving:
        namespace.check_room(mount, pending)
    copies: list[Mount] = []
    if parent.group:
        invented: list[Mount] = []
        for each in mount.tree():
            if not each.group:
                each.group = vfs.mount_table.group_numbers.take()
                invented.append(each)
        try:
            copies = propagate_mount(mount, parent, mountpoint, pending)
        except (Errno, OutOfFrames):
            for each in invented:
                vfs.mount_table.group_numbers.give_back(each.group)
                each.group = 0
            raise
        for each in mount.tree():
            make_shared(each, vfs.mount_table)
    if is_moving:
        mount.detach()
    elif mount.namespace is not None:
        # From a tree that wasn't mounted, whose namespace is no more.
        anonymous = mount.namespace
        for each in mount.tree():
            anonymous.remove(each)
        anonymous.put()
    mount.parent, mount.mountpoint = parent, mountpoint
    for copy in (mount, *reversed(copies)):
        place, entry = copy.parent, copy.mountpoint
        assert place is not None
        assert entry is not None
        assert place.namespace is not None
        # Who gets mounts from more privileged ones mustn't take them apart, and look at what they hide.
        if place.namespace.owner is not namespace.owner:
            lock_tree(copy)
        covered = place.children.get(entry)
        if covered is not None:
            covered.detach()
        copy.attach(place, entry)
        if copy.namespace is None:
            place.namespace.add_tree(copy)
        else:
            place.namespace.touch()
        if covered is not None:
            top = copy.topmost()
            covered.attach(top, top.root)


def copy_for_bind(namespace: MountNamespace, source: Path, *, is_recursive: bool) -> Mount:
    """What is seen at `source` once more, mounted nowhere yet. Raises EINVAL, EPERM, ENOSPC.

    Linux: fs/namespace.c, __do_loopback, may_copy_tree.
    """
    mount = source.mount
    if mount.is_unbindable:
        raise EINVAL("an unbindable mount")
    # Files of namespaces are mounted nowhere, and binding them is the way to keep a namespace alive.
    if not namespace.may_use(mount) and not source.inode.can_be_bound:
        raise EINVAL("in another namespace")
    if not is_recursive and has_locked_children(mount, source.dentry):
        raise EINVAL("it would show what a locked mount hides")
    if is_recursive:
        return copy_tree(mount, source.dentry, keeps_namespaces=True)
    return clone_mount(mount, source.dentry)


def bind(namespace: MountNamespace, source: Path, where: Path, *, is_recursive: bool) -> Mount:
    """Show what is at `source` at `where` too. Raises EINVAL, ENOENT, ENOTDIR, ENOSPC.

    Linux: fs/namespace.c, do_loopback.
    """
    if _would_loop(namespace, source.dentry):
        raise EINVAL("a mount namespace can't hold itself, or an older one")
    parent, mountpoint = mount_point(where)
    if parent.namespace is not namespace:
        raise EINVAL("in another namespace")
    mount = copy_for_bind(namespace, source, is_recursive=is_recursive)
    try:
        _graft(mount, parent, mountpoint)
    except (Errno, OutOfFrames):
        discard_tree(mount)
        raise
    return mount


def _would_loop(namespace: MountNamespace, dentry: Dentry) -> bool:
    """Whether `dentry` stands for `namespace` or an older one, which would keep itself alive so.

    Linux: fs/namespace.c, mnt_ns_loop.
    """
    other = dentry.inode.mount_namespace
    return other is not None and other.id <= namespace.id


def move(
    namespace: MountNamespace,
    source: Path,
    where: Path,
    *,
    is_beneath: bool = False,
    root: Path | None = None,
) -> None:
    """Take a mount, or a tree that isn't mounted yet, to another place, with all that is on it.

    With `is_beneath` it comes to lie under the topmost mount at `where`; `root` is the caller's root
    directory. Raises EINVAL, ELOOP, ENOENT, ENOSPC. Linux: fs/namespace.c, do_move_mount.
    """
    mount = source.mount
    if source.dentry is not mount.root:
        raise EINVAL("not the root of a mount")
    if where.inode.is_directory != source.inode.is_directory:
        raise EINVAL("a directory and something else")
    parent, mountpoint = _mount_point_beneath(where) if is_beneath else mount_point(where)
    if mount.namespace is namespace:
        if mount.parent is None or mount.is_locked:
            raise EINVAL("it can't be taken from where it is")
        # It would have to vanish from the parent's peers, of whom the mover may know nothing.
        if mount.parent.group:
            raise EINVAL("its parent is shared")
        if parent.namespace is not namespace:
            raise EINVAL("in another namespace")
    else:
        if mount.namespace is None or not mount.namespace.is_anonymous or mount.namespace.root is not mount:
            raise EINVAL("in another namespace")
        if parent.namespace is mount.namespace or not namespace.may_use(parent):
            raise EINVAL
    if is_beneath:
        _check_beneath(namespace, mount, parent, mountpoint, root)
    if parent.group and any(each.is_unbindable for each in mount.tree()):
        raise EINVAL("an unbindable mount doesn't spread")
    if any(_would_loop(namespace, each.root) for each in mount.tree()):
        raise ELOOP("a mount namespace can't hold itself, or an older one")
    if parent.is_below(mount):
        raise ELOOP("on itself")
    attach_everywhere(mount, parent, mountpoint)


def _check_beneath(
    namespace: MountNamespace, mount: Mount, parent: Mount, mountpoint: Dentry, root: Path | None
) -> None:
    """Raise EINVAL unless `mount` may lie between what is on `mountpoint` and `parent`.

    Linux: fs/namespace.c, can_move_mount_beneath.
    """
    covered = parent.children[mountpoint]
    if covered.is_locked:
        raise EINVAL("a locked mount")
    if mount.cover is not None:
        raise EINVAL("it's covered itself")
    if (root is not None and covered is root.mount) or parent is namespace.root:
        raise EINVAL("beneath the root")
    if mount.is_below(covered):
        raise EINVAL("it's on that mount")
    if would_cover(parent, covered, mountpoint):
        raise EINVAL("it would come to lie on top, too")
    if mount.namespace is namespace and would_cover(parent, mount, mountpoint):
        raise EINVAL("it would come to lie on itself")


def share_like(source: Path, target: Path) -> None:
    """Make the private mount at `target` a peer of that at `source`, and a slave of the same (SET_GROUP).

    Both callers' rights over the namespaces have been checked. Raises EINVAL. Linux: fs/namespace.c,
    do_set_group.
    """
    mount, taker = source.mount, target.mount
    if mount.namespace is None or taker.namespace is None:
        raise EINVAL("not mounted")
    if source.dentry is not mount.root or target.dentry is not taker.root:
        raise EINVAL("not the root of a mount")
    if mount.superblock is not taker.superblock:
        raise EINVAL("another file system")
    if not taker.root.is_descendant_of(mount.root):
        raise EINVAL("it shows more")
    if has_locked_children(mount, taker.root):
        raise EINVAL("it would show what a locked mount hides")
    if taker.group or taker.master is not None:
        raise EINVAL("it isn't private")
    if not mount.group and mount.master is None:
        raise EINVAL("a private mount")
    if mount.master is not None:
        receive_beside(taker, mount)
    if mount.group:
        join_peers(taker, mount)
        taker.is_unbindable = False


def pivot_root(namespace: MountNamespace, root: Path, new_root: Path, put_old: Path) -> None:
    """Make `new_root` the root of the namespace, and put what is at `root` now on `put_old`.

    `root` is the caller's root directory. Whoever has it as root or current directory is to be moved by
    the caller. Raises EINVAL, EBUSY, ENOENT. Linux: fs/namespace.c, path_pivot_root.
    """
    old_mount, old_entry = mount_point(put_old)
    root_mount, new_mount = root.mount, new_root.mount
    parents = (old_mount, new_mount.parent or new_mount, root_mount.parent or root_mount)
    if any(parent.group for parent in parents):
        raise EINVAL("a shared mount")
    if root_mount.namespace is not namespace or new_mount.namespace is not namespace:
        raise EINVAL("in another namespace")
    if new_mount.is_locked:
        raise EINVAL("a locked mount")
    if new_root.dentry.is_deleted:
        raise ENOENT
    if root_mount in (new_mount, old_mount):
        raise EBUSY("the root itself")
    if root.dentry is not root_mount.root or root_mount.parent is None or root_mount.mountpoint is None:
        raise EINVAL("the root isn't a mount point")
    if new_root.dentry is not new_mount.root or new_mount.parent is None:
        raise EINVAL("the new root isn't a mount point")
    if not is_reachable(Path(old_mount, old_entry), new_root) or not is_reachable(new_root, root):
        raise EINVAL("not below the root")
    base, mountpoint = root_mount.parent, root_mount.mountpoint
    new_mount.detach()
    # What is at the very bottom is what keeps anybody from looking beneath it.
    if root_mount.is_locked:
        root_mount.is_locked, new_mount.is_locked = False, True
    root_mount.detach()
    new_mount.attach(base, mountpoint)
    root_mount.attach(old_mount, old_entry)
    namespace.touch()
