"""Mount namespaces: trees of mounts, each seen by a group of tasks (mount_namespaces(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import ENOSPC
from procession.fs.dentry import Path
from procession.fs.mounts.mount import Mount, MountId, top_of
from procession.fs.mounts.tree import CopyKind, copy_tree, lock_tree
from procession.fs.namespace import CLONE_NEWNS, MOUNT_NUMBER, Namespace
from procession.fs.tmpfs import Tmpfs
from procession.fs.wait_queue import WaitQueue

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry
    from procession.fs.fs_context import FsContext
    from procession.fs.superblock import Superblock
    from procession.fs.user_namespace import UserNamespace


class MountNamespace(Namespace):
    """A tree of mounts that a group of tasks sees (Linux: fs/mount.h, struct mnt_namespace).

    `root` is the mount below all others. `mounts` are all of them by id; `has_locked_mounts` is set once a
    locked one was among them. An anonymous one holds a tree that open_tree(2) or fsmount(2) has made and
    that isn't mounted; `origin` is the namespace from whose mounts it was copied, None if from none.

    `event` is the number of its last change; who polls its mountinfo waits on `changed`.
    """

    __slots__ = (
        "changed",
        "event",
        "has_locked_mounts",
        "is_anonymous",
        "mounts",
        "origin",
        "root",
    )

    kind: ClassVar[int] = CLONE_NEWNS
    type_name: ClassVar[str] = "mnt"

    def __init__(self, root: Mount, owner: UserNamespace, number: int = 0) -> None:
        super().__init__(root.superblock.vfs.namespaces, owner, number)
        self.root = root
        self.is_anonymous = False
        self.origin: MountNamespace | None = None
        self.has_locked_mounts = False
        self.event = 0
        self.changed = WaitQueue()
        self.mounts: dict[MountId, Mount] = {}
        self.add_tree(root)

    def end(self) -> None:
        """Its last task has left. Linux: fs/namespace.c, put_mnt_ns."""
        from procession.fs.mounts.unmount import unmount_tree

        # The tree of an anonymous one may have been mounted elsewhere.
        if self.mounts:
            unmount_tree(self.root)

    @property
    def root_path(self) -> Path:
        """The root directory that is seen in it, on top of everything mounted there."""
        return top_of(self.root.path)

    def add_tree(self, root: Mount) -> None:
        """`root` and all that are on it are in this namespace now. Linux: fs/namespace.c, commit_tree."""
        for mount in root.tree():
            mount.namespace = self
            self.mounts[mount.id] = mount
            if mount.is_locked:
                self.has_locked_mounts = True
        self.touch()

    def remove(self, mount: Mount) -> None:
        """`mount` isn't in this namespace any more."""
        del self.mounts[mount.id]
        mount.namespace = None

    def touch(self) -> None:
        """Tell who polls that something has changed. Linux: fs/namespace.c, touch_mnt_namespace."""
        table = self.root.superblock.vfs.mount_table
        table.event += 1
        self.event = table.event
        if self.changed.waiters:
            self.changed.wake_all()

    def check_room(self, tree: Mount, pending: dict[MountNamespace, int]) -> None:
        """Raise ENOSPC unless the mounts of `tree` may be added beside those of `pending` (fs.mount-max).

        They are pending from now on. Linux: fs/namespace.c, count_mounts.
        """
        count = pending.get(self, 0) + (len(tree.tree()) if tree.children else 1)
        if len(self.mounts) + count > self.root.superblock.vfs.mount_table.maximum:
            raise ENOSPC("no mounts left in the namespace")
        pending[self] = count

    def in_order(self) -> list[Mount]:
        """All of its mounts, by age."""
        return [self.mounts[mount_id] for mount_id in sorted(self.mounts)]

    def may_use(self, mount: Mount) -> bool:
        """Whether a task of this namespace may work with `mount`: it's here, or in no other's tree.

        Linux: fs/namespace.c, may_use_mount, check_anonymous_mnt.
        """
        namespace = mount.namespace
        if namespace is self:
            return True
        return (
            namespace is not None
            and namespace.is_anonymous
            and (namespace.origin is None or namespace.origin is self)
        )

    def mount(
        self,
        superblock: Superblock,
        where: Path,
        flags: int = 0,
        source: bytes | None = None,
        root: Dentry | None = None,
    ) -> Mount:
        """Show `superblock`, or what is below its directory `root`, at `where`.

        Raises ENOTDIR, EBUSY (it's there), EINVAL, ENOENT, ENOSPC.
        """
        from procession.fs.mounts.attach import add_mount

        superblock.vfs.accounts.check_mounts(1)
        mount = Mount(superblock, root, flags, source)
        add_mount(self, mount, where)
        return mount


def first_namespace(root: Superblock) -> MountNamespace:
    """The namespace in which the machine boots: `root` on top of an empty file system called rootfs.

    Linux: fs/namespace.c, init_mount_tree; without it, pivot_root(2) couldn't move the root away.
    """
    rootfs = Tmpfs(root.vfs, "rootfs", mode=0o755)
    namespace = MountNamespace(Mount(rootfs), root.vfs.init_user_namespace, MOUNT_NUMBER)
    namespace.mount(root, namespace.root_path)
    return namespace


def copy_mount_namespace(
    namespace: MountNamespace,
    context: FsContext | None = None,
    owner: UserNamespace | None = None,
    *,
    charged_uid: int | None = None,
) -> MountNamespace:
    """A namespace of its own for a task (CLONE_NEWNS), whose root and current directory move there.

    `context` is the task's, and nobody else's. The namespace belongs to the user namespace `owner`, None for
    that of the old one; in another one's, mounts receive but don't send, and can't be taken apart.
    It counts against the user `charged_uid`, unless that is None. Raises ENOSPC, EPERM, OutOfFrames.
    Linux: fs/namespace.c, copy_mnt_ns.
    """
    if owner is None:
        owner = namespace.owner
    root = namespace.root
    root.superblock.vfs.accounts.check_mounts(len(namespace.mounts))
    is_less_privileged = owner is not namespace.owner
    kind = CopyKind.SLAVE if is_less_privileged else CopyKind.SAME
    copied = copy_tree(root, root.root, kind, keeps_unbindable=True)
    if is_less_privileged:
        lock_tree(copied)
    copy = MountNamespace(copied, owner)
    if charged_uid is not None:
        copy.charge_to(charged_uid, root.superblock.memory.account)
    if context is not None:
        _move_context(context, root, copied)
    return copy


def _move_context(context: FsContext, root: Mount, copied: Mount) -> None:
    """Go from the tree of `root` to its copy, in which files of mount namespaces have been left out."""
    left = [(root, copied)]
    while left:
        original, copy = left.pop()
        if original is context.root.mount:
            context.set_root(Path(copy, context.root.dentry))
        if original is context.cwd.mount:
            context.set_cwd(Path(copy, context.cwd.dentry))
        for mountpoint, child in copy.children.items():
            left.append((original.children[mountpoint], child))


def enter(namespace: MountNamespace, context: FsContext) -> None:
    """Make the root of `namespace` the root and current directory. Linux: fs/namespace.c, mntns_install."""
    root = namespace.root_path
    context.set_cwd(root)
    context.set_root(root)
