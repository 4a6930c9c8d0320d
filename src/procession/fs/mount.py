"""Mounts and mount namespaces: which file system is seen where."""

from __future__ import annotations

from procession.abi.errno import EBUSY, EINVAL, ENOTDIR
from procession.abi.mount_flags import MountFlag
from procession.fs.dentry import Dentry, Path
from procession.fs.inode import Superblock

MS_RDONLY = int(MountFlag.MS_RDONLY)
MS_NOSUID = int(MountFlag.MS_NOSUID)
MS_NODEV = int(MountFlag.MS_NODEV)
MS_NOEXEC = int(MountFlag.MS_NOEXEC)
MS_NOSYMFOLLOW = int(MountFlag.MS_NOSYMFOLLOW)
MS_NOATIME = int(MountFlag.MS_NOATIME)
MS_NODIRATIME = int(MountFlag.MS_NODIRATIME)
MS_RELATIME = int(MountFlag.MS_RELATIME)


class Mount:
    """A file system, or a directory of one, seen at a place (Linux: struct mount).

    `root` is the entry seen there; `parent` and `mountpoint` say where, None for a namespace's root and
    for a mount that has been taken away. `children` are the mounts on entries of this one. `flags` are
    MS_* of mount(2). `user_count` counts the open files and current and root directories on it.
    """

    __slots__ = (
        "children",
        "flags",
        "mountpoint",
        "namespace",
        "number",
        "parent",
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

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may be written through this mount (Linux: __mnt_is_readonly)."""
        return bool(self.flags & MS_RDONLY) or self.superblock.is_read_only

    def attach(self, parent: Mount, mountpoint: Dentry) -> None:
        """Put this mount on `mountpoint` of `parent`."""
        self.parent = parent
        self.mountpoint = mountpoint
        parent.children[mountpoint] = self
        mountpoint.mount_count += 1
        mountpoint.is_plain = False

    def detach(self) -> None:
        """Take this mount away from its mount point."""
        parent, mountpoint = self.parent, self.mountpoint
        if parent is None or mountpoint is None:
            return
        del parent.children[mountpoint]
        mountpoint.mount_count -= 1
        if not mountpoint.mount_count:
            mountpoint.is_plain = not mountpoint.inode.is_symlink
        self.parent = self.mountpoint = None


class MountNamespace:
    """A tree of mounts that a group of tasks sees (Linux: struct mnt_namespace)."""

    __slots__ = ("mounts", "root")

    def __init__(self, root: Mount) -> None:
        self.root = root
        self.mounts: dict[int, Mount] = {root.number: root}
        root.namespace = self

    @property
    def root_path(self) -> Path:
        """The root directory of the namespace, below everything mounted on it."""
        return top_of(Path(self.root, self.root.root))

    def mount(
        self, superblock: Superblock, where: Path, flags: int = 0, source: bytes | None = None
    ) -> Mount:
        """Show `superblock` at `where`. Raises ENOTDIR, EBUSY (it's there already), EINVAL."""
        return self.attach(Mount(superblock, None, flags, source), where)

    def attach(self, mount: Mount, where: Path) -> Mount:
        """Put `mount` on top of `where`. Linux: fs/namespace.c, graft_tree."""
        where = top_of(where)
        if where.dentry.is_deleted:
            raise EINVAL
        if where.inode.is_directory != mount.root.inode.is_directory:
            raise ENOTDIR
        if where.mount.root is where.dentry and where.mount.root is mount.root:
            raise EBUSY
        mount.attach(where.mount, where.dentry)
        mount.namespace = self
        self.mounts[mount.number] = mount
        return mount


def root_dentry(superblock: Superblock) -> Dentry:
    """The entry of the root directory of `superblock`, the same for all its mounts."""
    dentry = superblock.root_dentry
    if dentry is None:
        dentry = superblock.root_dentry = Dentry(b"", None, superblock.root)
    return dentry


def top_of(path: Path) -> Path:
    """What is seen at `path`: the root of the topmost mount on it (Linux: follow_mount)."""
    mount, dentry = path
    while dentry.mount_count:
        above = mount.children.get(dentry)
        if above is None:
            break
        mount, dentry = above, above.root
    return Path(mount, dentry)
