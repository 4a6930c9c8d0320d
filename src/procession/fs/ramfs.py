"""ramfs: files and directories in memory, without any limit of their own and with little beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL
from procession.abi.statfs import Magic
from procession.fs.file_system_type import FileSystemType
from procession.fs.inode import Inode
from procession.fs.superblock import FileSystemStatistics
from procession.fs.tmpfs import RENAME_WHITEOUT, MemoryInode, Tmpfs

if TYPE_CHECKING:
    from procession.fs.handle import ExportOperations
    from procession.fs.mounts.context import MountContext, Parameter
    from procession.fs.permission import Subject
    from procession.fs.superblock import Superblock
    from procession.fs.vfs import Vfs

_DEFAULT_MODE = 0o755
_NO_LIMIT = (1 << 63) - 1


class Ramfs(Tmpfs):
    """A file system in memory that tells nothing of it (Linux: fs/ramfs/inode.c).

    It's bounded by the machine's memory alone. Its files have neither attributes nor holes.
    """

    __slots__ = ()

    notes_reading_nothing: ClassVar[bool] = False
    allows_id_maps: ClassVar[bool] = False
    is_multigrain: ClassVar[bool] = False
    has_acls: ClassVar[bool] = False
    has_xattrs: ClassVar[bool] = False
    has_holes: ClassVar[bool] = False
    exports: ClassVar[ExportOperations | None] = None

    has_uuid: ClassVar[bool] = False

    def __init__(self, vfs: Vfs, mode: int) -> None:
        super().__init__(
            vfs, "ramfs", mode=mode, maximum_pages=vfs.memory.frame_count, maximum_inodes=_NO_LIMIT
        )
        self.magic = int(Magic.RAMFS_MAGIC)

    def show_options(self) -> bytes:
        """Linux: fs/ramfs/inode.c, ramfs_show_options."""
        mode = self.first_mode & 0o7777
        return b"" if mode == _DEFAULT_MODE else b"mode=%o" % mode

    def new_inode(self, mode: int, uid: int, gid: int, rdev: int = 0) -> MemoryInode:
        self.count_inode()
        return RamfsInode(self, mode, uid, gid, rdev)

    def statistics(self) -> FileSystemStatistics:
        """Linux: fs/libfs.c, simple_statfs."""
        return FileSystemStatistics(self.magic, 0, 0, 0, 0)


class RamfsInode(MemoryInode):
    """A file whose directory has no size, and that has no flags and no time of birth."""

    __slots__ = ()

    settable_flags: ClassVar[int] = 0

    def __init__(self, superblock: Ramfs, mode: int, uid: int, gid: int, rdev: int = 0) -> None:
        super().__init__(superblock, mode, uid, gid, rdev)
        self.size = 0

    @property
    def birth_ns(self) -> int | None:
        return None

    def truncate_by_name(self, size: int) -> None:
        """It sets what it's told to set. Linux: fs/libfs.c, simple_setattr."""
        self.resize(size)

    def set_entry(self, name: bytes, inode: MemoryInode) -> None:
        self.entries[name] = inode

    def remove_entry(self, name: bytes) -> None:
        del self.entries[name]

    def rename(
        self, name: bytes, new_directory: Inode, new_name: bytes, flags: int, subject: Subject
    ) -> Inode | None:
        """Linux: fs/libfs.c, simple_rename."""
        if flags & RENAME_WHITEOUT:
            raise EINVAL("no whiteouts here")
        return super().rename(name, new_directory, new_name, flags, subject)


class RamfsType(FileSystemType):
    """Linux: fs/ramfs/inode.c, ramfs_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"ramfs"

    def parse(self, context: MountContext, parameter: Parameter) -> bool:
        """It takes options of tmpfs too, or any others, and does nothing with them.

        Linux: fs/ramfs/inode.c, ramfs_parse_param.
        """
        if parameter.key == b"mode":
            context.values["mode"] = context.number(parameter, 8) & 0o7777
        return parameter.key != b"source"

    def get_tree(self, context: MountContext) -> Superblock:
        """Linux: fs/ramfs/inode.c, ramfs_fill_super."""
        return Ramfs(context.kernel.vfs, context.values.get("mode", _DEFAULT_MODE))
