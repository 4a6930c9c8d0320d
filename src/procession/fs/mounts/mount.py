"""Mounts and mount namespaces: which file system is seen where."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EBUSY, EINVAL, ENOENT, ENOTDIR, Errno
from procession.abi.mount_flags import MountFlag
from procession.fs.dentry import Dentry, Path
from procession.fs.inode import Superblock
from procession.fs.namespace import CLONE_NEWNS, MOUNT_NUMBER, Namespace

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace

MS_RDONLY = int(MountFlag.MS_RDONLY)
MS_NOSUID = int(MountFlag.MS_NOSUID)
MS_NODEV = int(MountFlag.MS_NODEV)
MS_NOEXEC = int(MountFlag.MS_NOEXEC)
MS_NOSYMFOLLOW = int(MountFlag.MS_NOSYMFOLLOW)
MS_NOATIME = int(MountFlag.MS_NOATIME)
MS_NODIRATIME = int(MountFlag.MS_NODIRATIME)
MS_RELATIME = int(MountFlag.MS_RELATIME)
MS_STRICTATIME = int(MountFlag.MS_STRICTATIME)


class Mount:
    """A file system, or a directory or file of one, seen at a place (Linux: struct mount).

    `root` is the entry seen there; `parent` and `mountpoint` say where, None for a namespace's root and
    for a mount that has been taken away. `children` are the mounts on entries of this one. `flags` are
    MS_* of mount(2). `user_count` counts the open files and current and root directories on it.

    `peer_group` is the number of the group of mounts that share mounts and unmounts on them, 0 for none;
    `master` that of the group from which this one receives them. Locked mounts hide what is below from
    the user namespace they were copied into, and can't be taken away alone.
    """

    __slots__ = (
        "children",
        "flags",
        "is_attached",
        "is_expiring",
        "is_locked",
        "is_unbindable",
        "locked_flags",
        "master",
        "mountpoint",
        "namespace",
        "number",
        "parent",
        "peer_group",
        "root",
        "source",
        "superblock",
        "user_count",
    )

    def __init__(
        self, superblock: Superblock, root: Dentry | None = None, flags: int = 0, source: bytes | None = None
    ) -> None:
        vfs = superblock.vfs
        self.number = vfs.next_mount_number
        vfs.next_mount_number += 1
        self.superblock = superblock
        self.root = root_dentry(superblock) if root is None else root
        self.flags = flags
        self.source = superblock.source if source is None else source
        self.parent: Mount | None = None
        self.mountpoint: Dentry | None = None
        self.children: dict[Dentry, Mount] = {}
        self.namespace: MountNamespace | None = None
        self.user_count = 0
        self.peer_group = 0
        self.master = 0
        self.is_unbindable = False
        self.is_locked = False
        self.locked_flags = 0
        self.is_expiring = False
        # Until `take_away`, it may be walked through.
        self.is_attached = True
        superblock.mount_count += 1
        vfs.accounts.mount_count += 1
        self.root.inode.open_count += 1

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may be written through this mount (Linux: __mnt_is_readonly)."""
        return bool(self.flags & MS_RDONLY) or self.superblock.is_read_only

    @property
    def path(self) -> Path:
        """Its root directory, or file."""
        return Path(self, self.root)

    def attach(self, parent: Mount, mountpoint: Dentry) -> None:
        """Put this mount on `mountpoint` of `parent`."""
        self.parent = parent
        self.mountpoint = mountpoint
        parent.children[mountpoint] = self
        if mountpoint.mounted is None:
            mountpoint.mounted = {}
        mountpoint.mounted[self] = None
        mountpoint.is_plain = False

    def detach(self) -> None:
        """Take this mount from its mount point, with all that is mounted on it."""
        parent, mountpoint = self.parent, self.mountpoint
        if parent is None or mountpoint is None:
            return
        del parent.children[mountpoint]
        assert mountpoint.mounted is not None
        del mountpoint.mounted[self]
        if not mountpoint.mounted:
            mountpoint.mounted = None
            mountpoint.is_plain = not mountpoint.inode.is_symlink
        self.parent = self.mountpoint = None

    def tree(self) -> list[Mount]:
        """This mount and all that are on it, parents first (Linux: next_mnt)."""
        mounts = [self]
        for mount in mounts:
            mounts.extend(mount.children.values())
        return mounts

    def take_away(self) -> None:
        """Unmount this and all that is mounted on it; who is inside stays there.

        Linux: fs/namespace.c, umount_tree.
        """
        for mount in reversed(self.tree()):
            mount.detach()
            if mount.namespace is not None:
                del mount.namespace.mounts[mount.number]
                mount.namespace = None
            mount.leave_groups()
            mount.is_attached = False
            if not mount.user_count:
                mount.release()

    def leave_groups(self) -> None:
        """Share mounts with nobody any more, and receive none. Linux: change_mnt_propagation, MS_PRIVATE."""
        groups = self.superblock.vfs.mount_groups
        groups.leave(self)
        groups.release(self)

    def release(self) -> None:
        """Nobody is on this mount that was taken away; the last one of a file system ends it."""
        inode = self.root.inode
        inode.open_count -= 1
        if inode.link_count <= 0:
            inode.evict_if_unused()
        superblock = self.superblock
        superblock.mount_count -= 1
        superblock.vfs.accounts.mount_count -= 1
        if not superblock.mount_count:
            if superblock.vfs.file_events is not None:
                superblock.vfs.file_events.unmounted(superblock)
            superblock.shut_down()

    def put_user(self) -> None:
        """An open file or a current directory on this mount is gone."""
        self.user_count -= 1
        if not self.user_count and not self.is_attached:
            self.release()

    def clone(self, root: Dentry) -> Mount:
        """The same file system once more, seen from `root` on. Linux: fs/namespace.c, clone_mnt."""
        mount = Mount(self.superblock, root, self.flags, self.source)
        mount.locked_flags = self.locked_flags
        groups = self.superblock.vfs.mount_groups
        if self.peer_group:
            groups.join(mount, self.peer_group)
        if self.master:
            groups.follow(mount, self.master)
        return mount


class MountGroups:
    """Peer groups of mounts, by number, and the mounts that follow them.

    Linux: fs/pnode.c; mount_namespaces(7), "Shared subtrees".
    """

    __slots__ = ("followers", "members", "next_number")

    def __init__(self) -> None:
        # Sets in the order of joining: a group may have thousands, of which any may leave.
        self.members: dict[int, dict[Mount, None]] = {}
        self.followers: dict[int, dict[Mount, None]] = {}
        self.next_number = 1

    def found(self, mount: Mount) -> None:
        """Make `mount` shared, in a group of its own, if it isn't yet."""
        if not mount.peer_group:
            number = self.next_number
            self.next_number = number + 1
            self.join(mount, number)

    def join(self, mount: Mount, number: int) -> None:
        """Put `mount` into peer group `number`."""
        mount.peer_group = number
        self.members.setdefault(number, {})[mount] = None

    def follow(self, mount: Mount, number: int) -> None:
        """Let `mount` receive what happens in group `number`."""
        mount.master = number
        self.followers.setdefault(number, {})[mount] = None

    def leave(self, mount: Mount) -> None:
        """Take `mount` out of its peer group. The last to leave hands its followers to its own master."""
        number = mount.peer_group
        if not number:
            return
        mount.peer_group = 0
        members = self.members[number]
        del members[mount]
        if members:
            return
        del self.members[number]
        for follower in self.followers.pop(number, {}):
            follower.master = 0
            if mount.master:
                self.follow(follower, mount.master)

    def release(self, mount: Mount) -> None:
        """Let `mount` receive nothing any more."""
        number = mount.master
        if number:
            mount.master = 0
            followers = self.followers[number]
            del followers[mount]
            if not followers:
                del self.followers[number]

    def receivers(self, number: int) -> list[Mount]:
        """All mounts to which what happens in group `number` spreads, members of it first."""
        receivers: dict[Mount, None] = {}
        numbers = [number]
        seen = {number}
        for group in numbers:
            receivers.update(self.members.get(group, {}))
            for follower in self.followers.get(group, {}):
                if follower.peer_group and follower.peer_group not in seen:
                    numbers.append(follower.peer_group)
                    seen.add(follower.peer_group)
                else:
                    receivers[follower] = None
        return list(receivers)


class MountNamespace(Namespace):
    """A tree of mounts that a group of tasks sees (Linux: struct mnt_namespace).

    `root` is the mount below all others. `mounts` are all of them by number, in the order in which they
    were made; `has_locked_mounts` is set once a locked one was among them.
    """

    __slots__ = ("has_locked_mounts", "mounts", "root")

    kind: ClassVar[int] = CLONE_NEWNS
    type_name: ClassVar[str] = "mnt"

    def __init__(self, root: Mount, owner: UserNamespace, number: int = 0) -> None:
        super().__init__(root.superblock.vfs.namespaces, owner, number)
        self.root = root
        self.has_locked_mounts = False
        self.mounts: dict[int, Mount] = {}
        for mount in root.tree():
            self.add(mount)

    def end(self) -> None:
        """Linux: fs/namespace.c, put_mnt_ns."""
        self.root.take_away()

    @property
    def root_path(self) -> Path:
        """The root directory that is seen in it, on top of everything mounted there."""
        return top_of(self.root.path)

    def add(self, mount: Mount) -> None:
        """`mount` is in this namespace now."""
        mount.namespace = self
        self.mounts[mount.number] = mount
        if mount.is_locked:
            self.has_locked_mounts = True

    def mount(
        self, superblock: Superblock, where: Path, flags: int = 0, source: bytes | None = None
    ) -> Mount:
        """Show `superblock` at `where`. Raises ENOTDIR, EBUSY (it's there), EINVAL, ENOENT, ENOSPC."""
        superblock.vfs.accounts.check_mounts(1)
        covered, dentry = top_of(where)
        if covered.superblock is superblock and covered.root is dentry:
            raise EBUSY
        mount = Mount(superblock, None, flags, source)
        try:
            self.attach(mount, where)
        except Errno:
            mount.take_away()
            raise
        return mount

    def attach(self, mount: Mount, where: Path) -> None:
        """Put `mount`, and what is mounted on it, on top of `where`, and wherever that spreads to.

        Linux: fs/namespace.c, do_add_mount and graft_tree.
        """
        parent, mountpoint = top_of(where)
        if parent.namespace is not self:
            raise EINVAL
        if mountpoint.is_deleted:
            raise ENOENT
        if mountpoint.inode.is_directory != mount.root.inode.is_directory:
            raise ENOTDIR
        from procession.fs.mounts.tree import attach_everywhere

        attach_everywhere(mount, parent, mountpoint)


def root_dentry(superblock: Superblock) -> Dentry:
    """The entry of the root directory of `superblock`, the same for all its mounts."""
    dentry = superblock.root_dentry
    if dentry is None:
        dentry = superblock.root_dentry = Dentry(b"", None, superblock.root)
    return dentry


def top_of(path: Path) -> Path:
    """What is seen at `path`: the root of the topmost mount on it (Linux: follow_mount)."""
    mount, dentry = path
    while dentry.mounted:
        above = mount.children.get(dentry)
        if above is None:
            break
        mount, dentry = above, above.root
    return Path(mount, dentry)


def first_namespace(root: Superblock) -> MountNamespace:
    """The namespace in which the machine boots: `root` on top of an empty file system called rootfs.

    Linux: fs/namespace.c, init_mount_tree; without it, pivot_root(2) couldn't move the root away.
    """
    from procession.fs.tmpfs import Tmpfs

    rootfs = Tmpfs(root.vfs, "rootfs", mode=0o755)
    namespace = MountNamespace(Mount(rootfs), root.vfs.init_user_namespace, MOUNT_NUMBER)
    namespace.mount(root, namespace.root_path)
    return namespace
