"""Peer groups of mounts, and the mounts that receive from them; how a mount comes into one and leaves.

Linux: fs/pnode.c; mount_namespaces(7), "Shared subtrees". A mount is shared if it has a `group`, a slave if
it has a `master`, and it may be both. Peers form a ring; the slaves of a mount a list that begins with its
`first_slave`, in which those that are peers of each other stand side by side.
"""

from __future__ import annotations

from procession.abi.mount_flags import MountFlag
from procession.fs.dentry import Path
from procession.fs.mounts.mount import Mount, MountTable, is_reachable

MS_SHARED = int(MountFlag.MS_SHARED)
MS_PRIVATE = int(MountFlag.MS_PRIVATE)
MS_SLAVE = int(MountFlag.MS_SLAVE)
MS_UNBINDABLE = int(MountFlag.MS_UNBINDABLE)
PROPAGATION_FLAGS = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE


# Rings and lists


def join_peers(mount: Mount, peer: Mount) -> None:
    """Put `mount` into the ring of `peer`, right after it."""
    mount.group = peer.group
    following = peer.next_peer
    mount.previous_peer, mount.next_peer = peer, following
    peer.next_peer = following.previous_peer = mount


def _leave_ring(mount: Mount) -> None:
    before, after = mount.previous_peer, mount.next_peer
    before.next_peer, after.previous_peer = after, before
    mount.next_peer = mount.previous_peer = mount


def receive_from(mount: Mount, master: Mount) -> None:
    """Make `mount` the first slave of `master`."""
    mount.master = master
    first = master.first_slave
    mount.previous_slave, mount.next_slave = None, first
    if first is not None:
        first.previous_slave = mount
    master.first_slave = mount


def receive_beside(mount: Mount, slave: Mount) -> None:
    """Make `mount` a slave of the same master as `slave`, right after it."""
    mount.master = slave.master
    following = slave.next_slave
    mount.previous_slave, mount.next_slave = slave, following
    slave.next_slave = mount
    if following is not None:
        following.previous_slave = mount


def _leave_master(mount: Mount) -> None:
    master = mount.master
    if master is None:
        return
    before, after = mount.previous_slave, mount.next_slave
    if before is not None:
        before.next_slave = after
    else:
        master.first_slave = after
    if after is not None:
        after.previous_slave = before
    mount.master = mount.previous_slave = mount.next_slave = None


def are_peers(first: Mount, second: Mount) -> bool:
    """Whether both are of one peer group."""
    return bool(first.group) and first.group == second.group


def peers_of(mount: Mount) -> list[Mount]:
    """All of its group, `mount` first."""
    peers = [mount]
    peer = mount.next_peer
    while peer is not mount:
        peers.append(peer)
        peer = peer.next_peer
    return peers


def slaves_of(mount: Mount) -> list[Mount]:
    """Those that receive from this very mount."""
    slaves: list[Mount] = []
    slave = mount.first_slave
    while slave is not None:
        slaves.append(slave)
        slave = slave.next_slave
    return slaves


# Kinds of propagation


def make_shared(mount: Mount, table: MountTable) -> None:
    """Give `mount` a peer group of its own unless it has one. Linux: fs/namespace.c, invent_group_ids."""
    if not mount.group:
        mount.group = table.group_numbers.take()
    mount.is_unbindable = False


def change_propagation(mount: Mount, kind: int) -> None:
    """Make `mount` MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE.

    Linux: fs/pnode.c, change_mnt_propagation.
    """
    table = mount.superblock.vfs.mount_table
    if kind == MS_SHARED:
        make_shared(mount, table)
        return
    source = mount.master
    if mount.group:
        if kind == MS_SLAVE or mount.first_slave is not None:
            source = _source_without(mount)
        _leave_group(mount, source, table)
    _leave_master(mount)
    if kind == MS_SLAVE:
        if source is not None:
            receive_from(mount, source)
    else:
        mount.is_unbindable = kind == MS_UNBINDABLE


def _leave_group(mount: Mount, heir: Mount | None, table: MountTable) -> None:
    if mount.next_peer is mount:
        table.group_numbers.give_back(mount.group)
    else:
        _leave_ring(mount)
    mount.group = 0
    _transfer_slaves(mount, heir)


def _source_without(mount: Mount) -> Mount | None:
    """Whom those receive from who have received from `mount`: a peer that stays, or else its master.

    Linux: fs/pnode.c, propagation_source.
    """
    source: Mount | None = mount
    while source is not None:
        peer = source.next_peer
        while peer is not source:
            if not peer.will_be_unmounted:
                return peer
            peer = peer.next_peer
        source = source.master
        if source is not None and not source.will_be_unmounted:
            return source
    return None


def _transfer_slaves(mount: Mount, heir: Mount | None) -> None:
    """Let the slaves of `mount` receive from `heir`, before its own.

    Linux: fs/pnode.c, transfer_propagation.
    """
    first = mount.first_slave
    if first is None:
        return
    last: Mount | None = None
    for slave in slaves_of(mount):
        slave.master = heir
        if heir is None:
            slave.previous_slave = slave.next_slave = None
        last = slave
    mount.first_slave = None
    if heir is not None and last is not None:
        following = heir.first_slave
        last.next_slave = following
        if following is not None:
            following.previous_slave = last
        heir.first_slave = first


def make_all_private(mounts: list[Mount]) -> None:
    """Let mounts that are being unmounted share and receive nothing more. Linux: fs/pnode.c,
    bulk_make_private.

    Who has received from them gets one of their peers as master that stays: looked for once a group.
    """
    heirs: dict[int, Mount | None] = {}
    for mount in mounts:
        table = mount.superblock.vfs.mount_table
        if mount.group:
            heir: Mount | None = None
            if mount.first_slave is not None:
                if mount.group not in heirs:
                    heirs[mount.group] = _source_without(mount)
                heir = heirs[mount.group]
            _leave_group(mount, heir, table)
        _leave_master(mount)
        mount.is_unbindable = False


def dominating_group(mount: Mount, root: Path) -> int:
    """The nearest group above that has a mount below `root`: propagate_from, 0 if there is none.

    Linux: fs/pnode.c, get_dominating_id.
    """
    master = mount.master
    while master is not None:
        for peer in peers_of(master):
            if peer.namespace is mount.namespace and is_reachable(peer.path, root):
                return peer.group
        master = master.master
    return 0
