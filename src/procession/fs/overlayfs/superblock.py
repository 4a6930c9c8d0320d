"""An overlay's file system: its layers, and which inode stands for which file of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.statfs import Magic
from procession.fs.dentry import Dentry, Path
from procession.fs.inode import Inode
from procession.fs.mounts.tree import clone_mount, discard_tree
from procession.fs.overlayfs.export import OverlayFids
from procession.fs.overlayfs.inode import LayeredInode
from procession.fs.overlayfs.notes import Notes
from procession.fs.superblock import FileSystemStatistics, Superblock
from procession.fs.uuid import UUID_BYTES, random_uuid

if TYPE_CHECKING:
    from procession.fs.handle import ExportOperations
    from procession.fs.mounts.mount import Mount
    from procession.fs.overlayfs.options import OverlayOptions
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

OVERLAYFS_MAGIC = int(Magic.OVERLAYFS_SUPER_MAGIC)
MAXIMUM_DEPTH = 2
"""How many overlays may lie upon each other (Linux: include/linux/fs.h, FILESYSTEM_MAX_STACK_DEPTH)."""


class OverlayFileSystem(Superblock):
    """Linux: fs/overlayfs/ovl_entry.h, struct ovl_fs.

    `subject` is who mounted it: the layers are changed in its name. `lower_roots` are the layers below, the
    topmost first. `uppers` are the inodes by the files of
    the upper layer, which may have several names; `inodes` are all. `mounts` are the overlay's own of the
    layers, which stay whatever becomes of those that were named. `depth` counts the overlays below.
    """

    __slots__ = (
        "config",
        "depth",
        "inodes",
        "lower_roots",
        "mounts",
        "notes",
        "shown",
        "subject",
        "upper",
        "uppers",
    )

    has_xattrs: ClassVar[bool] = True

    has_blocks: ClassVar[bool] = False

    def __init__(
        self, vfs: Vfs, upper: Path | None, lowers: list[Path], subject: Subject, config: OverlayOptions
    ) -> None:
        super().__init__(vfs, "overlay", OVERLAYFS_MAGIC)
        self.subject = subject
        self.config = config
        self.notes = Notes(uses_user_names=config.uses_user_names, is_trusted=config.is_trusted)
        if upper is not None and upper.inode.superblock.has_xattrs:
            self.notes.can_be_made = self.notes.can_be_read
        self.shown: list[bytes] = []
        self.depth = stacking_depth([*lowers] if upper is None else [upper, *lowers])
        self.uppers: dict[Inode, LayeredInode] = {}
        self.inodes: dict[LayeredInode, None] = {}
        self.mounts: list[Mount] = []
        for path in [*lowers] if upper is None else [upper, *lowers]:
            mount = clone_mount(path.mount, path.dentry)
            mount.locked_flags = 0
            self.mounts.append(mount)
        self.upper = upper
        self.lower_roots = [path.dentry for path in lowers]
        self.root = self.inode_for(b"", None, None if upper is None else upper.dentry, self.lower_roots)

    @property
    def fid_exports(self) -> ExportOperations | None:
        return OverlayFids() if self.config.has_handles else None

    def settle_uuid(self) -> None:
        """Have the identifier that is noted with the upper layer, or note a new one with a layer that has
        been in no overlay yet. Raises ENOSPC. Linux: fs/overlayfs/util.c, ovl_init_uuid_xattr.
        """
        chosen = self.config.chosen
        if self.upper is None or chosen[b"uuid"] not in (b"auto", b"on"):
            return
        real = self.upper.inode
        known = self.notes.read(real, b"uuid")
        if known is not None and len(known) == UUID_BYTES:
            self.uuid = known
            return
        if known is not None or (chosen[b"uuid"] == b"auto" and self.notes.read(real, b"impure") is not None):
            chosen[b"uuid"] = b"null"
            return
        chosen[b"uuid"] = b"on"
        self.uuid = random_uuid(self.vfs.random)
        self.notes.make(real, b"uuid", self.uuid)

    def show_options(self) -> bytes:
        return b",".join(self.shown)

    def inode_for(
        self, name: bytes, place: LayeredInode | None, upper: Dentry | None, lowers: list[Dentry]
    ) -> LayeredInode:
        """The inode of a file of the layers, the same for all names of one of the upper layer.

        Raises ENOSPC when there are too many.
        """
        if upper is not None:
            known = self.uppers.get(upper.inode)
            if known is not None:
                return known
        self.vfs.accounts.add_inode()
        inode = LayeredInode(self, name, place, upper, lowers)
        self.inodes[inode] = None
        if upper is not None:
            self.uppers[upper.inode] = inode
        return inode

    def forget_inode(self, inode: LayeredInode) -> None:
        """`inode` is gone."""
        if self.inodes.pop(inode, self) is None:
            self.vfs.accounts.remove_inodes()
        if inode.upper is not None:
            self.uppers.pop(inode.upper.inode, None)

    def statistics(self) -> FileSystemStatistics:
        """What the upper layer says, or else the topmost."""
        return self.mounts[0].superblock.statistics()._replace(magic=OVERLAYFS_MAGIC)

    def shut_down(self) -> None:
        for inode in list(self.inodes):
            if not inode.is_evicted:
                inode.is_evicted = True
                inode.evict()
        for mount in self.mounts:
            discard_tree(mount)
        self.mounts = []


def stacking_depth(layers: list[Path]) -> int:
    """How many overlays one on these layers would have below it, itself included."""
    depth = 0
    for path in layers:
        superblock = path.mount.superblock
        if isinstance(superblock, OverlayFileSystem):
            depth = max(depth, superblock.depth)
    return depth + 1
