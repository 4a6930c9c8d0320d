"""How a mount and an unmount spread from a shared mount to its peers and to those that receive from them.

Linux: fs/pnode.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import Errno
from procession.fs.dentry import Dentry
from procession.fs.mounts.mount import Mount
from procession.fs.mounts.peers import are_peers
from procession.fs.mounts.tree import CopyKind, copy_tree, discard_tree

if TYPE_CHECKING:
    from procession.fs.mounts.namespace import MountNamespace
from procession.hardware.physical_memory import OutOfFrames

# The way through a propagation tree


def next_receiver(mount: Mount, origin: Mount) -> Mount | None:
    """Which mount comes after `mount` among those that receive from `origin`.

    Linux: fs/pnode.c, propagation_next.
    """
    if mount.namespace is not None and mount.first_slave is not None:
        return mount.first_slave
    while True:
        if mount.master is origin.master:
            following = mount.next_peer
            return None if following is origin else following
        if mount.next_slave is not None:
            return mount.next_slave
        assert mount.master is not None
        mount = mount.master


def _skip_receivers(mount: Mount, origin: Mount) -> Mount:
    """The last of the peers of `mount` that the way comes by, none of whose slaves are of interest.

    Linux: fs/pnode.c, skip_propagation_subtree.
    """
    while (
        mount.master is not origin.master
        and mount.next_slave is not None
        and are_peers(mount.next_slave, mount)
    ):
        mount = mount.next_slave
    return mount


def _next_group(mount: Mount, origin: Mount) -> Mount | None:
    """The first mount of the next peer group on the way. Linux: fs/pnode.c, next_group."""
    while True:
        while True:
            if mount.namespace is not None and mount.first_slave is not None:
                return mount.first_slave
            following = mount.next_peer
            if mount.group == origin.group:
                if following is origin:
                    return None
            elif mount.next_slave is not following:
                break
            mount = following
        # It's the last of its peers.
        while True:
            master = mount.master
            assert master is not None
            if mount.next_slave is not None:
                return mount.next_slave
            mount = master.next_peer
            if master.group == origin.group:
                break
            if master.next_slave is mount:
                break
            mount = master
        if mount is origin:
            return None


# Mounting


def propagate_mount(
    source: Mount, parent: Mount, mountpoint: Dentry, pending: dict[MountNamespace, int]
) -> list[Mount]:
    """Copies of the tree `source` for all mounts that receive from `parent`, where it is to be mounted.

    They know where they go, but aren't there yet; those for the nearest come first. `pending` counts them by
    namespace. Raises ENOSPC, EPERM, and then has undone what it did. Linux: fs/pnode.c, propagate_mnt.
    """
    copies: list[Mount] = []
    marked: set[Mount] = set()
    if parent.master is not None:
        marked.add(parent.master)
    last = source
    first: Mount | None = parent
    try:
        while first is not None:
            is_first_of_group = first is not parent
            mount = first.next_peer if first is parent else first
            while mount is not first or is_first_of_group:
                if _takes(mount, mountpoint):
                    if is_first_of_group:
                        last = _master_for(mount, last, source, marked)
                        kind = CopyKind.SHARED_SLAVE if mount.group else CopyKind.SLAVE
                    else:
                        kind = CopyKind.SHARED
                    is_first_of_group = False
                    last = copy_tree(last, last.root, kind)
                    last.parent, last.mountpoint = mount, mountpoint
                    copies.append(last)
                    assert mount.namespace is not None
                    mount.namespace.check_room(last, pending)
                    if mount.master is not None:
                        marked.add(mount.master)
                mount = mount.next_peer
                if mount is first:
                    break
            first = _next_group(first, parent)
    except (Errno, OutOfFrames):
        for copy in copies:
            copy.parent = copy.mountpoint = None
            discard_tree(copy)
        raise
    return copies


def _takes(mount: Mount, mountpoint: Dentry) -> bool:
    """Whether `mount` is to get a copy. Linux: fs/pnode.c, need_secondary."""
    return (
        mount.namespace is not None
        and not mount.namespace.is_anonymous
        and mountpoint.is_descendant_of(mount.root)
    )


def _master_for(mount: Mount, last: Mount, source: Mount, marked: set[Mount]) -> Mount:
    """Of which copy that for `mount`, the first of its peers, is to be a slave.

    Linux: fs/pnode.c, find_master.
    """
    while True:
        master = mount.master
        if master is None or master in marked:
            break
        mount = master
    while not are_peers(last, source):
        parent = last.parent
        assert parent is not None
        above = last.master
        if parent.master is master:
            if not are_peers(parent, mount):
                assert above is not None
                last = above
            break
        assert above is not None
        last = above
    return last


def would_cover(parent: Mount, mount: Mount, mountpoint: Dentry) -> bool:
    """Whether what is mounted on `mountpoint` of `parent` would come to lie on `mount`, too.

    Linux: fs/pnode.c, propagation_would_overmount.
    """
    if not parent.group or mount.root is not mountpoint:
        return False
    receiver = next_receiver(parent, parent)
    while receiver is not None:
        if receiver is mount:
            return True
        receiver = next_receiver(receiver, parent)
    return False


# Unmounting


def is_busy(mount: Mount) -> bool:
    """Whether `mount`, or one that would go with it, is in use. Linux: fs/pnode.c, propagate_mount_busy."""
    if mount.children or mount.user_count:
        return True
    parent, mountpoint = mount.parent, mount.mountpoint
    if parent is None or mountpoint is None:
        return False
    receiver = next_receiver(parent, parent)
    while receiver is not None:
        child = receiver.children.get(mountpoint)
        # One with mounts on it, but for one that covers it wholly, stays anyhow.
        if (
            child is not None
            and not (child.children and (len(child.children) > 1 or child.cover is None))
            and child.user_count
        ):
            return True
        receiver = next_receiver(receiver, parent)
    return False


def spread_unmount(mounts: list[Mount]) -> list[Mount]:
    """The mounts that go with `mounts`, trees that are marked `will_be_unmounted`; these are marked, too.

    What covers one of them and stays is put where that one was. Linux: fs/pnode.c, propagate_umount;
    Documentation/filesystems/propagate_umount.txt.
    """
    candidates = _candidates(mounts)
    if not candidates:
        return []
    _keep_parents(candidates)
    going: list[Mount] = []
    # Parents come first: a locked mount goes only with what it's on.
    for mount in sorted(candidates, key=_depth):
        if not mount.is_locked or (mount.parent is not None and mount.parent.will_be_unmounted):
            mount.will_be_unmounted = True
            going.append(mount)
    for mount in going:
        cover = mount.cover
        if cover is not None and not cover.will_be_unmounted:
            _reparent(cover)
    return going


def _depth(mount: Mount) -> int:
    depth = 0
    parent = mount.parent
    while parent is not None:
        depth += 1
        parent = parent.parent
    return depth


def _candidates(mounts: list[Mount]) -> dict[Mount, None]:
    """What is on the same place of each mount to which an unmount spreads.

    Linux: fs/pnode.c, gather_candidates.
    """
    seen: set[Mount] = set()
    candidates: dict[Mount, None] = {}
    for mount in mounts:
        parent, mountpoint = mount.parent, mount.mountpoint
        if mount in seen or parent is None or mountpoint is None or not parent.group:
            continue
        seen.add(mount)
        receiver = next_receiver(parent, parent)
        while receiver is not None:
            child = receiver.children.get(mountpoint)
            if child is not None:
                if child in seen:
                    receiver = next_receiver(_skip_receivers(receiver, parent), parent)
                    continue
                seen.add(child)
                if not child.will_be_unmounted:
                    candidates[child] = None
            receiver = next_receiver(receiver, parent)
    return candidates


def _keep_parents(candidates: dict[Mount, None]) -> None:
    """Leave out those in which something would stay: only what covers one wholly can take its place.

    Linux: fs/pnode.c, trim_one, trim_ancestors.
    """
    kept: set[Mount] = set()
    carrying: set[Mount] = set()
    for mount in reversed(list(candidates)):
        leaves_something = False
        for child in mount.children.values():
            if child in candidates and child not in kept:
                continue
            leaves_something = True
            if child is not mount.cover:
                kept.add(mount)
                break
        if leaves_something:
            _carry_up(mount, candidates, kept, carrying)
    for mount in kept:
        del candidates[mount]


def _carry_up(mount: Mount, candidates: dict[Mount, None], kept: set[Mount], carrying: set[Mount]) -> None:
    """Something stays in `mount`, or in its place: so it does in what that is on."""
    while mount not in carrying:
        carrying.add(mount)
        parent = mount.parent
        if parent is None or parent not in candidates:
            break
        if mount is not parent.cover:
            kept.add(parent)
        mount = parent


def _reparent(cover: Mount) -> None:
    """Put what covers a mount that goes where that one was. Linux: fs/pnode.c, reparent."""
    below = cover
    while True:
        parent, mountpoint = below.parent, below.mountpoint
        assert parent is not None
        assert mountpoint is not None
        if not parent.will_be_unmounted:
            break
        below = parent
    below.detach()
    if below is not cover:
        cover.detach()
    cover.attach(parent, mountpoint)
