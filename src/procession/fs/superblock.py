"""Superblocks: what all file systems have in common, with the answers of one that can do nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.limits import NAME_MAX
from procession.abi.named_tuple import NamedTuple
from procession.abi.xattr import XATTR_SIZE_MAX
from procession.fs.dentry import name_in_file_system

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry
    from procession.fs.file_system_type import FileSystemType
    from procession.fs.handle import ExportOperations
    from procession.fs.inode import Inode
    from procession.fs.user_namespace import UserNamespace
    from procession.fs.vfs import Vfs
    from procession.hardware.physical_memory import PhysicalMemory


class FileSystemStatistics(NamedTuple):
    """The figures of statfs(2); blocks are of 4,096 bytes."""

    magic: int
    total_blocks: int
    free_blocks: int
    total_inodes: int
    free_inodes: int


LARGEST_OF_OLD = (1 << 31) - 1
"""How large files may be on file systems that say nothing else (Linux: include/linux/fs.h, MAX_NON_LFS)."""


class Superblock:
    """One instance of a file system (Linux: include/linux/fs.h, struct super_block).

    `device` is its st_dev, `type_name` what /proc/filesystems calls it, `options` what /proc/PID/mountinfo
    shows after `rw`. `root` is set by the file system once it has made its root directory. `owner` is the
    user namespace of who mounted it, over which one needs rights to change it; `flags` are the MS_* of
    mount(2) that are a file system's, and `type` is what changes its options: None for what no program has
    mounted. `is_set_up` is set once all that has been said.
    """

    __slots__ = (
        "device",
        "flags",
        "is_internal",
        "is_read_only",
        "is_set_up",
        "magic",
        "memory",
        "mount_count",
        "next_inode_number",
        "options",
        "owner",
        "root",
        "root_dentry",
        "source",
        "type",
        "type_name",
        "uuid",
        "vfs",
        "writer_count",
    )

    is_multigrain: ClassVar[bool] = False
    """Whether times of changes are made finer when somebody asks (FS_MGTIME): who doesn't isn't told them."""
    root: Inode

    is_written_back: ClassVar[bool] = True
    """Whether its files are kept elsewhere than in memory, or at least seem so."""
    has_uuid: ClassVar[bool] = False
    """Whether it has an identifier of its own, `uuid`, once that was asked for."""
    has_acls: ClassVar[bool] = False
    """Whether its files may have lists of access control."""
    has_xattrs: ClassVar[bool] = False
    """Whether its files have extended attributes; where they haven't, all names are EOPNOTSUPP."""
    allows_id_maps: ClassVar[bool] = False
    """Whether mounts of it may give files other owners (FS_ALLOW_IDMAP)."""
    notes_reading_nothing: ClassVar[bool] = False
    """Whether a read of no bytes is an access to a file, too."""
    forbids_execution: ClassVar[bool] = False
    """Whether nothing on it is executed, whatever a mount's flags say (SB_I_NOEXEC)."""
    tells_removal: ClassVar[bool] = True
    """Whether who watches a file hears that it's gone; where not (kernfs), it stays until nobody does."""
    has_holes: ClassVar[bool] = True
    """Whether its files tell where there is nothing in them, and can be given room beforehand."""
    attributes_limit: ClassVar[int] = 2 * XATTR_SIZE_MAX
    """What all attributes of one inode may take together: one as long as may be, and as much besides."""
    lists_attributes_backwards: ClassVar[bool] = True
    """Whether names of attributes are listed from the last (Linux: fs/xattr.c, rbtree_simple_xattr_cmp)."""
    xattr_families: ClassVar[tuple[bytes, ...]] = (b"user", b"trusted", b"security")
    """Which families of names there are."""
    keeps_user_xattrs: ClassVar[bool] = True
    """Whether names of `user` are among them that programs may set."""
    leaves_security_to_modules: ClassVar[bool] = False
    """Whether it has names of `security` only so that a security module keeps them."""
    longest_name: ClassVar[int] = NAME_MAX
    """How long a name may be that is looked for; whoever has no such bound has PATH_MAX."""
    block_size: ClassVar[int] = 4096
    """What st_blksize says of its files."""
    has_blocks: ClassVar[bool] = True
    """Whether FIGETBSZ has an answer: an overlay has none, whatever its files say."""
    largest_file: ClassVar[int] = (1 << 63) - 1
    """How many bytes a file may have (Linux: include/linux/fs.h, s_maxbytes)."""
    exports: ClassVar[ExportOperations | None] = None
    """How its files have handles that can be opened; None where they haven't."""

    @property
    def fid_exports(self) -> ExportOperations | None:
        """How they have handles that tell them apart and no more; None for a number (AT_HANDLE_FID)."""
        return self.exports

    def __init__(self, vfs: Vfs, type_name: str, magic: int) -> None:
        self.vfs = vfs
        self.memory: PhysicalMemory = vfs.memory
        self.device = vfs.allocate_device()
        self.type_name = type_name
        self.uuid = b""
        self.magic = magic
        self.source = type_name.encode()
        self.options = b""
        self.is_read_only = False
        self.is_set_up = False
        self.flags = 0
        self.owner: UserNamespace = vfs.init_user_namespace
        self.type: FileSystemType | None = None
        # Pipes, sockets and anonymous inodes live on file systems that nobody can walk into.
        self.is_internal = False
        self.mount_count = 0
        # How many open files are open for writing: none may be when it becomes read-only.
        self.writer_count = 0
        self.root_dentry: Dentry | None = None
        self.next_inode_number = 1

    def allocate_inode_number(self) -> int:
        """The next number: inodes are numbered in the order in which they appear."""
        number = self.next_inode_number
        self.next_inode_number = number + 1
        return number

    def charge_attribute(self, name: bytes, old: bytes | None, new: bytes | None) -> None:
        """Count what it takes that an extended attribute has another value, None for none. Raises ENOSPC."""

    def show_options(self) -> bytes:
        """The options as mountinfo has them, with commas between."""
        return self.options

    def show_path(self, entry: Dentry) -> bytes:
        """What mountinfo calls the root of a mount of this. Linux: fs/d_path.c, dentry_path."""
        return name_in_file_system(entry)

    def statistics(self) -> FileSystemStatistics:
        """What statfs(2) says."""
        return FileSystemStatistics(self.magic, 0, 0, 0, 0)

    def shut_down(self) -> None:
        """The last mount is gone, and nobody is inside: give everything back."""

    def drop_mount(self) -> None:
        """A mount is gone, or who configured this; the last one ends it.

        Linux: fs/super.c, deactivate_super.
        """
        self.mount_count -= 1
        if not self.mount_count:
            events = self.vfs.file_events
            if events is not None:
                events.unmounted(self)
            self.shut_down()

    def forget(self, inode: Inode) -> None:
        """Called when `inode` is gone for good: no name, no open file."""
