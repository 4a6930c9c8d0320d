"""Directory entries: the cached tree of names, and places in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.file_mode import S_IFMT
from procession.abi.named_tuple import NamedTuple
from procession.fs.inode import S_IFLNK, Inode

if TYPE_CHECKING:
    from procession.fs.mounts.mount import Mount


DELETED = b" (deleted)"
"""What follows the name of what has been removed."""

SMALLEST_SWEEP = 64
"""So many names that come and go a directory keeps at least before it looks which of them have gone."""


class Dentry:
    """A name in a directory, and the inode it leads to (in Linux, struct dentry, a positive one).

    The root of a file system is its own parent. `children` holds what is known of a directory: a dentry,
    or None for a name that is known to be absent. Directories whose inode has `caches_lookups` unset keep
    their children in `volatile_children`, to be looked up each time; when there are `sweep_size` of them,
    those are dropped whose files have gone by themselves. `is_plain` is unset on symbolic
    links and mount points, which the walk must treat differently. `mounted` are the mounts that cover it,
    in whatever parent mount and namespace; None if there are none.
    """

    __slots__ = (
        "children",
        "inode",
        "is_deleted",
        "is_plain",
        "mounted",
        "name",
        "parent",
        "sweep_size",
        "volatile_children",
    )

    def __init__(self, name: bytes, parent: Dentry | None, inode: Inode) -> None:
        self.name = name
        self.parent: Dentry = self if parent is None else parent
        self.inode = inode
        self.children: dict[bytes, Dentry | None] = {}
        self.volatile_children: dict[bytes, Dentry] | None = None
        self.sweep_size = SMALLEST_SWEEP
        self.is_deleted = False
        self.is_plain = inode.mode & S_IFMT != S_IFLNK
        self.mounted: dict[Mount, None] | None = None

    def add(self, name: bytes, inode: Inode) -> Dentry:
        """The entry `name` has come to be, and leads to `inode`."""
        child = Dentry(name, self, inode)
        if inode.superblock.is_internal or self.inode.caches_lookups:
            self.children[name] = child
        return child

    def add_absent(self, name: bytes) -> None:
        """Remember that there is no entry `name`, if there is memory for it."""
        if self.inode.superblock.vfs.accounts.add_absent(self, name):
            self.children[name] = None

    def forget_absent(self) -> None:
        """Forget which names are absent."""
        self.children = {name: child for name, child in self.children.items() if child is not None}

    def forget_absent_name(self, name: bytes) -> None:
        """Forget that `name` was absent, if it still is."""
        if name in self.children and self.children[name] is None:
            del self.children[name]

    def remove(self, child: Dentry) -> None:
        """The entry `child` has been taken away; who has it open still holds it."""
        child.is_deleted = True
        children = self.children if self.volatile_children is None else self.volatile_children
        if children.get(child.name) is child:
            del children[child.name]

    def move(self, new_parent: Dentry, new_name: bytes) -> None:
        """This entry has been renamed. What was called `new_name` there has been removed before."""
        old_children = self.parent.children
        if old_children.get(self.name) is self:
            del old_children[self.name]
        self.parent = new_parent
        self.name = new_name
        new_parent.children[new_name] = self

    def exchange(self, other: Dentry) -> None:
        """This entry and `other` have changed places."""
        self.parent, other.parent = other.parent, self.parent
        self.name, other.name = other.name, self.name
        self.parent.children[self.name] = self
        other.parent.children[other.name] = other

    def is_descendant_of(self, ancestor: Dentry) -> bool:
        """Whether `ancestor` is this entry or a directory above it (Linux: fs/dcache.c, is_subdir)."""
        dentry = self
        while dentry is not ancestor:
            if dentry.parent is dentry:
                return False
            dentry = dentry.parent
        return True


class Path(NamedTuple):
    """A place in the tree of names: an entry, and the mount through which it is seen."""

    mount: "Mount"  # noqa: UP037
    dentry: Dentry

    @property
    def inode(self) -> Inode:
        """The file at this place."""
        return self.dentry.inode


def absolute_path(path: Path, root: Path) -> bytes:
    """The name of `path` as seen from `root`: what /proc/PID/fd and /proc/PID/maps show.

    A removed entry's name ends in " (deleted)"; of one that isn't below `root` it's the name in its mount.
    Pipes and the like show the name they were given, as in "pipe:[7]". Linux: fs/d_path.c, d_path.
    """
    mount, dentry = path
    if mount.superblock.is_internal:
        return dentry.name
    name, _ = path_below(path, root)
    return name + DELETED if is_unlinked(dentry) else name


def is_unlinked(dentry: Dentry) -> bool:
    """Whether `dentry` has been removed from its directory (Linux: include/linux/dcache.h, d_unlinked)."""
    return dentry.is_deleted


def path_below(path: Path, root: Path) -> tuple[bytes, bool]:
    """The name of `path` from `root` down, and whether `root` was met on the way up.

    Linux: fs/d_path.c, prepend_path.
    """
    mount, dentry = path
    root_mount, root_dentry = root
    names: list[bytes] = []
    is_reachable = True
    while dentry is not root_dentry or mount is not root_mount:
        if dentry is mount.root:
            if mount.parent is None or mount.mountpoint is None:
                is_reachable = False
                break
            dentry = mount.mountpoint
            mount = mount.parent
            continue
        if dentry.parent is dentry:
            # It was moved away from below what is mounted: nothing is said of where.
            return b"/", False
        names.append(dentry.name)
        dentry = dentry.parent
    names.append(b"")
    names.reverse()
    return b"/".join(names) if len(names) > 1 else b"/", is_reachable


def name_in_file_system(dentry: Dentry) -> bytes:
    """The name of an entry from the root of its file system down. Linux: fs/d_path.c, dentry_path."""
    if dentry.inode.can_be_bound:
        # The file of a namespace is shown by its own name. Linux: fs/nsfs.c, nsfs_show_path.
        return dentry.name
    suffix = b"//deleted" if dentry.is_deleted else b""
    names: list[bytes] = []
    while dentry.parent is not dentry:
        names.append(dentry.name)
        dentry = dentry.parent
    return b"/" + b"/".join(reversed(names)) + suffix
