"""A mount: a file system seen at a place of the tree of names."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NewType

from procession.abi.mount_flags import MountFlag
from procession.abi.numbers import Numbers
from procession.fs.dentry import Dentry, Path
from procession.fs.superblock import Superblock

if TYPE_CHECKING:
    from procession.fs.mounts.id_map import MountIdMap
    from procession.fs.mounts.namespace import MountNamespace

MS_RDONLY: Final = int(MountFlag.MS_RDONLY)
MS_NOSUID: Final = int(MountFlag.MS_NOSUID)
MS_NODEV: Final = int(MountFlag.MS_NODEV)
MS_NOEXEC: Final = int(MountFlag.MS_NOEXEC)
MS_NOSYMFOLLOW: Final = int(MountFlag.MS_NOSYMFOLLOW)
MS_NOATIME: Final = int(MountFlag.MS_NOATIME)
MS_NODIRATIME: Final = int(MountFlag.MS_NODIRATIME)
MS_RELATIME: Final = int(MountFlag.MS_RELATIME)
MS_STRICTATIME: Final = int(MountFlag.MS_STRICTATIME)

TIME_FLAGS: Final = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME
"""When reading is written down. A mount has one of MS_NOATIME, MS_RELATIME, MS_STRICTATIME."""
MOUNT_FLAGS: Final = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW | TIME_FLAGS
"""The flags that belong to a mount, not to its file system.

Linux: include/linux/mount.h, MNT_USER_SETTABLE_MASK.
"""
LOCKABLE_FLAGS: Final = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC

MountId = NewType("MountId", int)
"""A mount's id that is never used again: STATX_MNT_ID_UNIQUE."""

FIRST_MOUNT_ID: Final = MountId((1 << 31) + 1)
"""Ids that are never used again can't be taken for the numbers that are.

Linux: fs/namespace.c, MNT_UNIQUE_ID_OFFSET.
"""
DEFAULT_MOUNT_MAXIMUM: Final = 100_000


class MountTable:
    """What the mounts of all namespaces of a machine count by (in Linux, the statics of fs/namespace.c).

    `numbers` are mountinfo's ids, `group_numbers` those of peer groups; `maximum` is fs.mount-max: how many
    mounts a namespace may have. `event` counts the changes that poll(2) of mountinfo tells of.
    """

    __slots__ = ("event", "group_numbers", "maximum", "next_id", "numbers")

    def __init__(self) -> None:
        self.numbers = Numbers(1)
        self.group_numbers = Numbers(1)
        self.next_id = FIRST_MOUNT_ID
        self.maximum = DEFAULT_MOUNT_MAXIMUM
        self.event = 0

    def allocate_id(self) -> MountId:
        """The next id that was never used before."""
        mount_id = self.next_id
        self.next_id = MountId(mount_id + 1)
        return mount_id


class Mount:
    """A file system, or a directory or file of one, seen at a place (Linux: fs/mount.h, struct mount).

    `root` is the entry seen there; `parent` and `mountpoint` say where, None for a namespace's root and
    for a mount that has been taken away. `children` are the mounts on entries of this one, in the order in
    which they came; that on `root` covers the mount wholly. `number` is its id in mountinfo, which another
    may have once this one is gone; `id` is its own for ever. `flags` are MS_* of mount(2). `user_count`
    counts the open files and current and root directories on it, `writer_count` the files that are open
    for writing.

    `group` is the number of the group of peers that share mounts and unmounts on them, 0 for none, and
    `next_peer` and `previous_peer` close them into a ring. `master` is a mount of the group from which this
    one receives them; `first_slave` begins the list of those that receive from this one, which goes on by
    `next_slave`. See fs/mounts/propagation.py.

    A locked mount hides what is below it from the user namespace that it was copied into, and can't be taken
    away alone; of `locked_flags` none may be cleared, and MS_NOATIME among them means that what is said of
    times must stay. `id_map` says who owns files here, None for whom their file system says.
    `will_be_unmounted` is set while the mount is being taken away with others.
    """

    __slots__ = (
        "children",
        "first_slave",
        "flags",
        "group",
        "id",
        "id_map",
        "is_attached",
        "is_expiring",
        "is_locked",
        "is_unbindable",
        "locked_flags",
        "master",
        "mountpoint",
        "namespace",
        "next_peer",
        "next_slave",
        "number",
        "parent",
        "previous_peer",
        "previous_slave",
        "root",
        "source",
        "superblock",
        "user_count",
        "will_be_unmounted",
        "writer_count",
    )

    is_internal: ClassVar[bool] = False
    """Whether it's the kernel's own, in no namespace (in Linux, MNT_INTERNAL)."""

    def __init__(
        self, superblock: Superblock, root: Dentry | None = None, flags: int = 0, source: bytes | None = None
    ) -> None:
        table = superblock.vfs.mount_table
        self.number = table.numbers.take()
        self.id = table.allocate_id()
        self.superblock = superblock
        self.root = root_dentry(superblock) if root is None else root
        self.flags = flags
        self.source = superblock.source if source is None else source
        self.parent: Mount | None = None
        self.mountpoint: Dentry | None = None
        self.children: dict[Dentry, Mount] = {}
        self.namespace: MountNamespace | None = None
        self.user_count = 0
        self.writer_count = 0
        self.group = 0
        self.next_peer = self
        self.previous_peer = self
        self.master: Mount | None = None
        self.first_slave: Mount | None = None
        self.next_slave: Mount | None = None
        self.previous_slave: Mount | None = None
        self.is_unbindable = False
        self.is_locked = False
        self.locked_flags = 0
        self.is_expiring = False
        self.id_map: MountIdMap | None = None
        self.will_be_unmounted = False
        # Until it's unmounted, it may be walked through.
        self.is_attached = True
        superblock.mount_count += 1
        superblock.vfs.accounts.add_mount()
        self.root.inode.open_count += 1

    def map_ids(self, id_map: MountIdMap | None) -> None:
        """Let files have other owners here, from the beginning on."""
        if id_map is not None:
            id_map.namespace.acquire()
        if self.id_map is not None:
            self.id_map.namespace.put()
        self.id_map = id_map

    @property
    def is_noexec(self) -> bool:
        """Whether nothing is executed through this mount. Linux: fs/exec.c, path_noexec."""
        return bool(self.flags & MS_NOEXEC) or self.superblock.forbids_execution

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may be written through this mount (Linux: fs/namespace.c, __mnt_is_readonly)."""
        return bool(self.flags & MS_RDONLY) or self.superblock.is_read_only

    @property
    def path(self) -> Path:
        """Its root directory, or file."""
        return Path(self, self.root)

    @property
    def cover(self) -> Mount | None:
        """The mount on its root (in Linux, mnt->overmount)."""
        return self.children.get(self.root)

    def attach(self, parent: Mount, mountpoint: Dentry) -> None:
        """Put this mount on `mountpoint` of `parent`, where there is none.

        Linux: fs/namespace.c, attach_mnt.
        """
        self.parent = parent
        self.mountpoint = mountpoint
        parent.children[mountpoint] = self
        if mountpoint.mounted is None:
            mountpoint.mounted = {}
        mountpoint.mounted[self] = None
        mountpoint.is_plain = False

    def detach(self) -> None:
        """Take this mount from its mount point, with all that is mounted on it.

        Linux: fs/namespace.c, umount_mnt.
        """
        parent, mountpoint = self.parent, self.mountpoint
        if parent is None or mountpoint is None:
            return
        if parent.children.get(mountpoint) is self:
            del parent.children[mountpoint]
        assert mountpoint.mounted is not None
        del mountpoint.mounted[self]
        if not mountpoint.mounted:
            mountpoint.mounted = None
            mountpoint.is_plain = not mountpoint.inode.is_symlink
        self.parent = self.mountpoint = None

    def tree(self) -> list[Mount]:
        """This mount and all that are on it, parents first and each with its own.

        Linux: fs/namespace.c, next_mnt.
        """
        if not self.children:
            return [self]
        mounts: list[Mount] = []
        left = [self]
        while left:
            mount = left.pop()
            mounts.append(mount)
            if mount.children:
                left.extend(reversed(mount.children.values()))
        return mounts

    def topmost(self) -> Mount:
        """The last of the mounts that cover this one wholly, or itself.

        Linux: fs/namespace.c, topmost_overmount.
        """
        mount = self
        while (cover := mount.children.get(mount.root)) is not None:
            mount = cover
        return mount

    def is_below(self, other: Mount) -> bool:
        """Whether `other` is this mount or one that it's on, directly or not.

        Linux: fs/mount.h, mount_is_ancestor.
        """
        mount: Mount | None = self
        while mount is not None:
            if mount is other:
                return True
            mount = mount.parent
        return False

    def release(self) -> None:
        """Nobody is on this mount that was taken away; the last one of a file system ends it.

        Linux: fs/namespace.c, cleanup_mnt.
        """
        inode = self.root.inode
        inode.open_count -= 1
        if inode.link_count <= 0:
            inode.evict_if_unused()
        if self.id_map is not None:
            self.id_map.namespace.put()
        superblock = self.superblock
        superblock.vfs.mount_table.numbers.give_back(self.number)
        superblock.vfs.accounts.remove_mount()
        superblock.drop_mount()

    def put_user(self) -> None:
        """An open file or a current directory on this mount is gone. Linux: fs/namespace.c, mntput."""
        self.user_count -= 1
        self.is_expiring = False
        if not self.user_count and not self.is_attached and self.parent is None:
            self.end()

    def end(self) -> None:
        """Nobody is on this mount, which was taken away: it's gone, with what has stayed connected to it."""
        ended = [self]
        for mount in ended:
            for child in list(mount.children.values()):
                child.detach()
                if not child.user_count:
                    ended.append(child)
            mount.release()


class KernelMount(Mount):
    """One that the kernel keeps for itself, as for pipes and for the queues of a namespace.

    Linux: fs/namespace.c, kern_mount.
    """

    __slots__ = ()

    is_internal: ClassVar[bool] = True


def root_dentry(superblock: Superblock) -> Dentry:
    """The entry of the root directory of `superblock`, the same for all its mounts."""
    dentry = superblock.root_dentry
    if dentry is None:
        dentry = superblock.root_dentry = Dentry(b"", None, superblock.root)
    return dentry


def top_of(path: Path) -> Path:
    """What is seen at `path`: the root of the topmost mount on it (Linux: fs/namei.c, __traverse_mounts)."""
    mount, dentry = path
    while dentry.mounted:
        above = mount.children.get(dentry)
        if above is None:
            break
        mount, dentry = above, above.root
    return Path(mount, dentry)


def is_reachable(path: Path, root: Path) -> bool:
    """Whether `path` is `root` or below it, through mounts too (Linux: fs/namespace.c, is_path_reachable)."""
    mount, dentry = path
    while mount is not root.mount:
        if mount.parent is None or mount.mountpoint is None:
            return False
        dentry = mount.mountpoint
        mount = mount.parent
    return dentry.is_descendant_of(root.dentry)
