"""tmpfs: files and directories that live in the machine's memory alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import (
    EEXIST,
    EFBIG,
    EINVAL,
    EMLINK,
    ENAMETOOLONG,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    ENOTEMPTY,
    Errno,
)
from procession.abi.file_mode import S_IFMT, RenameFlag
from procession.abi.ioctls import FileFlag
from procession.abi.limits import NAME_MAX
from procession.abi.statfs import Magic
from procession.abi.xattr import XATTR_SIZE_MAX
from procession.fs.acl import AccessLists, put_lists
from procession.fs.directory_position import DirectoryPositions, TmpfsDirectoryFile
from procession.fs.file import MAXIMUM_SIZE
from procession.fs.handle import ExportOperations
from procession.fs.inode import (
    APPEND_ONLY,
    IMMUTABLE,
    S_IFCHR,
    S_IFDIR,
    S_IFLNK,
    S_IFREG,
    S_ISGID,
    DirectoryEntry,
    Inode,
)
from procession.fs.permission import Subject, in_group_or_capable
from procession.fs.superblock import FileSystemStatistics, Superblock
from procession.fs.vfs import Vfs
from procession.hardware.physical_memory import OutOfFrames
from procession.mm.page_cache import Backing, FileSystemFull, PageCache
from procession.mm.policy import MOST_PAGES, policy_text

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File

TMPFS_MAGIC = int(Magic.TMPFS_MAGIC)
LINK_MAX = 65_000
# What Linux's tmpfs counts for an entry (mm/shmem.c, BOGO_DIRENT_SIZE).
_DIRECTORY_ENTRY_SIZE = 20
# The longest target, with its NUL, that has no page (mm/shmem.c, SHORT_SYMLINK_LEN).
_SHORT_TARGET = 128
RENAME_NOREPLACE = int(RenameFlag.RENAME_NOREPLACE)
RENAME_EXCHANGE = int(RenameFlag.RENAME_EXCHANGE)
RENAME_WHITEOUT = int(RenameFlag.RENAME_WHITEOUT)


# What an inode takes of the room for inodes, and an attribute beside its name and value (Linux:
# mm/shmem.c, shmem_free_inode; fs/xattr.c, simple_xattr_space).
_INODE_SIZE = 1024
_ATTRIBUTE_OVERHEAD = 40


def _attribute_size(name: bytes, value: bytes) -> int:
    """Linux: fs/xattr.c, simple_xattr_space."""
    return _ATTRIBUTE_OVERHEAD + len(name) + len(value)


class TmpfsExports(ExportOperations):
    """Handles of files in memory. Linux: mm/shmem.c, shmem_export_ops."""

    __slots__ = ()

    def children(self, directory: Inode) -> Iterable[tuple[bytes, Inode]]:
        assert isinstance(directory, MemoryInode)
        return directory.entries.items()


class Tmpfs(Superblock):
    """A file system in memory (Linux: mm/shmem.c).

    `maximum_pages` bounds the pages of all its files, `maximum_inodes` the number of files; the machine's
    memory bounds both in any case. `limits` are both as they were asked for, None for the defaults and 0 for
    none at all; `memory_policy` is what the pages of new files have; `first_mode` and `first_owner` what the
    root directory was given.
    """

    __slots__ = (
        "attribute_bytes",
        "default_inodes",
        "first_mode",
        "first_owner",
        "inode_count",
        "has_full_numbers",
        "is_unswappable",
        "limits",
        "maximum_inodes",
        "maximum_pages",
        "memory_policy",
        "page_count",
    )

    notes_reading_nothing: ClassVar[bool] = True
    is_multigrain: ClassVar[bool] = True
    allows_id_maps: ClassVar[bool] = True

    has_acls: ClassVar[bool] = True
    has_xattrs: ClassVar[bool] = True
    attributes_limit: ClassVar[int] = 16 * XATTR_SIZE_MAX
    counts_attributes: ClassVar[bool] = True
    """Whether attributes take room that there is for inodes."""
    exports: ClassVar[ExportOperations | None] = TmpfsExports()
    is_written_back: ClassVar[bool] = False

    has_uuid: ClassVar[bool] = True

    def __init__(
        self,
        vfs: Vfs,
        type_name: str = "tmpfs",
        *,
        mode: int = 0o1777,
        uid: int = 0,
        gid: int = 0,
        maximum_pages: int | None = None,
        maximum_inodes: int | None = None,
    ) -> None:
        super().__init__(vfs, type_name, TMPFS_MAGIC)
        half = vfs.memory.frame_count // 2
        self.maximum_pages = half if maximum_pages is None else maximum_pages
        self.default_inodes = max(half, 4096)
        self.maximum_inodes = self.default_inodes if maximum_inodes is None else maximum_inodes
        self.limits: tuple[int | None, int | None] = (None, None)
        self.is_unswappable = False
        # Whether inode numbers may have more than 32 bits, which is only told.
        self.has_full_numbers = False
        self.memory_policy = 0
        self.page_count = 0
        self.inode_count = 0
        self.attribute_bytes = 0
        self.first_mode = mode
        self.first_owner = (uid, gid)
        self.root = self.new_inode(S_IFDIR | mode, uid, gid)

    def show_options(self) -> bytes:
        """Linux: mm/shmem.c, shmem_show_options. Owner and mode are those that it was mounted with."""
        blocks, inodes = self.limits
        parts: list[bytes] = []
        if blocks is not None and (not blocks or blocks != self.vfs.memory.frame_count // 2):
            parts.append(b"size=%dk" % (blocks << 2))
        if inodes is not None:
            parts.append(b"nr_inodes=%d" % inodes)
        if self.first_mode & 0o7777 != 0o1777:
            parts.append(b"mode=%03o" % (self.first_mode & 0o7777))
        if self.first_owner[0]:
            parts.append(b"uid=%d" % self.first_owner[0])
        if self.first_owner[1]:
            parts.append(b"gid=%d" % self.first_owner[1])
        if self.has_full_numbers:
            parts.append(b"inode64")
        if self.memory_policy:
            parts.append(b"mpol=" + policy_text(self.memory_policy))
        if self.is_unswappable:
            parts.append(b"noswap")
        return b",".join(parts)

    def new_inode(self, mode: int, uid: int, gid: int, rdev: int = 0) -> MemoryInode:
        """A new file without a name. Raises ENOSPC when there are too many."""
        self.count_inode()
        return MemoryInode(self, mode, uid, gid, rdev)

    def count_inode(self) -> None:
        """One more file, or one more name of one. Raises ENOSPC. Linux: mm/shmem.c, shmem_reserve_inode."""
        if self._inode_room < _INODE_SIZE:
            raise ENOSPC("no inodes left")
        self.vfs.accounts.add_inode()
        self.inode_count += 1

    def uncount_inode(self) -> None:
        """A file, or a name beside the first, is gone."""
        self.inode_count -= 1
        self.vfs.accounts.remove_inodes()

    @property
    def _inode_room(self) -> int:
        """The bytes left for inodes and their attributes (in Linux, free_ispace)."""
        return (self.maximum_inodes - self.inode_count) * _INODE_SIZE - self.attribute_bytes

    @property
    def used_inodes(self) -> int:
        """How many inodes, their attributes counted by the room for them, rounded up."""
        return self.inode_count - -self.attribute_bytes // _INODE_SIZE

    def charge_attribute(self, name: bytes, old: bytes | None, new: bytes | None) -> None:
        """Linux: mm/shmem.c, shmem_xattr_handler_set."""
        if self.limits[1] == 0 or not self.counts_attributes:
            return
        if new is not None:
            growth = _attribute_size(name, new)
            if growth > self._inode_room:
                raise ENOSPC("no room for attributes")
            self.attribute_bytes += growth
        if old is not None:
            self.attribute_bytes -= _attribute_size(name, old)

    def new_pages(self, backing: Backing | None = None) -> PageCache:
        """The contents of a new regular file."""
        pages = TmpfsPages(self, backing)
        if self.memory_policy:
            # Linux: mm/mempolicy.c, mpol_shared_policy_init.
            pages.set_policy(0, MOST_PAGES, self.memory_policy)
        return pages

    def forget(self, inode: Inode) -> None:
        self.uncount_inode()

    def shut_down(self) -> None:
        inodes = [self.root]
        for inode in inodes:
            assert isinstance(inode, MemoryInode)
            inodes.extend(inode.entries.values())
            if not inode.is_evicted:
                inode.is_evicted = True
                inode.evict()
        self.vfs.accounts.remove_inodes(self.inode_count)
        self.inode_count = 0

    @property
    def has_room(self) -> bool:
        """Whether its files may take one more page."""
        return self.page_count < self.maximum_pages

    @property
    def free_pages(self) -> int:
        """How many more pages its files may take."""
        return min(self.maximum_pages - self.page_count, self.memory.available_frames)

    def statistics(self) -> FileSystemStatistics:
        """What has no limit is told as 0. Linux: mm/shmem.c, shmem_statfs."""
        blocks, inodes = (limit != 0 for limit in self.limits)
        return FileSystemStatistics(
            self.magic,
            self.maximum_pages if blocks else 0,
            max(self.free_pages, 0) if blocks else 0,
            self.maximum_inodes if inodes else 0,
            self._inode_room // _INODE_SIZE if inodes else 0,
        )


class TmpfsPages(PageCache):
    """Pages that are counted against their file system's size."""

    __slots__ = ("superblock",)

    def __init__(self, superblock: Tmpfs, backing: Backing | None = None) -> None:
        super().__init__(superblock.memory, backing)
        self.superblock = superblock

    def _add(self, index: int, contents: bytes | None) -> int:
        superblock = self.superblock
        if not self.is_lower(index) and not superblock.has_room:
            raise FileSystemFull
        frame = super()._add(index, contents)
        superblock.page_count += 1
        return frame

    def _add_several(self, indexes: list[int]) -> int:
        superblock = self.superblock
        done = super()._add_several(indexes[: max(superblock.maximum_pages - superblock.page_count, 0)])
        superblock.page_count += done
        return done

    @property
    def is_kept_elsewhere(self) -> bool:
        return self.superblock.is_written_back

    def is_lower(self, index: int) -> bool:
        """Whether page `index` is one of a layer below, to which the limits of this one don't apply."""
        return False

    def truncate(self, size: int) -> None:
        before = len(self.frames)
        super().truncate(size)
        self.superblock.page_count -= before - len(self.frames)

    def zero(self, start: int, end: int) -> None:
        before = len(self.frames)
        super().zero(start, end)
        self.superblock.page_count -= before - len(self.frames)

    def drop(self, index: int) -> None:
        super().drop(index)
        self.superblock.page_count -= 1

    def evict(self, index: int) -> None:
        before = len(self.frames)
        super().evict(index)
        self.superblock.page_count -= before - len(self.frames)

    def release(self) -> None:
        self.superblock.page_count -= len(self.frames)
        super().release()


INHERITED_FLAGS = int(FileFlag.FS_NODUMP_FL | FileFlag.FS_NOATIME_FL)
"""What a new file has from its directory. Linux: include/linux/shmem_fs.h, SHMEM_FL_INHERITED."""


class MemoryInode(Inode):
    """A file of a file system whose changes are kept in memory.

    `entries` are a directory's, in the order in which they were made. `target` is a symbolic link's.
    `extra_names` are those that were made by `link`; each counts as an inode. `born_ns` is when it was made,
    0 if that isn't known. `positions` are where a directory's names stand, None until it's listed.
    """

    __slots__ = ("born_ns", "entries", "extra_names", "positions", "target", "tmpfs")

    settable_flags: ClassVar[int] = INHERITED_FLAGS | IMMUTABLE | APPEND_ONLY

    def __init__(
        self, superblock: Tmpfs, mode: int, uid: int, gid: int, rdev: int = 0, number: int = 0
    ) -> None:
        super().__init__(superblock, mode, uid, gid, rdev, number)
        self.tmpfs = superblock
        self.entries: dict[bytes, MemoryInode] = {}
        self.positions: DirectoryPositions | None = None
        self.target = b""
        self.extra_names = 0
        self.born_ns = self.ctime_ns
        if mode & S_IFMT == S_IFREG:
            self.pages = superblock.new_pages()
        elif mode & S_IFMT == S_IFDIR:
            self.size = 2 * _DIRECTORY_ENTRY_SIZE

    @property
    def birth_ns(self) -> int | None:
        return self.born_ns or None

    @property
    def block_count(self) -> int:
        # A long target is kept in a page of its own.
        return 8 if len(self.target) >= _SHORT_TARGET else super().block_count

    # The four places where the entries of a directory are touched; the overlay adds its lower layer here.

    def entry(self, name: bytes) -> MemoryInode | None:
        """The file called `name` in this directory, None if there is none."""
        return self.entries.get(name)

    def set_entry(self, name: bytes, inode: MemoryInode) -> None:
        """Make `name` lead to `inode`."""
        self.entries[name] = inode
        if self.positions is not None:
            self.positions.change_count += 1
        self.size = (2 + len(self.entries)) * _DIRECTORY_ENTRY_SIZE

    def remove_entry(self, name: bytes) -> None:
        """Take the name away."""
        del self.entries[name]
        if self.positions is not None:
            self.positions.forget(name)
        self.size = (2 + len(self.entries)) * _DIRECTORY_ENTRY_SIZE

    def all_entries(self) -> list[tuple[bytes, MemoryInode]]:
        """The names of this directory and their files, newest first, as Linux lists them."""
        return list(reversed(self.entries.items()))

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        # What is kept elsewhere too is listed in other ways.
        if self.mode & S_IFMT == S_IFDIR and type(self) is MemoryInode:
            return TmpfsDirectoryFile(path, flags, subject, self)
        return super().open(path, flags, subject, progress)

    def lookup(self, name: bytes) -> Inode:
        if self.mode & S_IFMT != S_IFDIR:
            raise ENOTDIR
        inode = self.entry(name)
        if inode is None:
            raise ENOENT
        return inode

    def list_entries(self) -> list[DirectoryEntry]:
        if self.mode & S_IFMT != S_IFDIR:
            raise ENOTDIR
        return [DirectoryEntry(name, inode.number, inode.mode >> 12) for name, inode in self.all_entries()]

    def _new_child(self, mode: int, rdev: int, subject: Subject) -> MemoryInode:
        """A new file in this directory. Linux: fs/inode.c, inode_init_owner, mode_strip_sgid."""
        gid = subject.fsgid
        if self.mode & S_ISGID:
            gid = self.gid
            if mode & S_IFMT == S_IFDIR:
                mode |= S_ISGID
        if (
            self.mode & S_ISGID
            and mode & S_IFMT != S_IFDIR
            and mode & (S_ISGID | 0o010) == S_ISGID | 0o010
            and not in_group_or_capable(subject, self)
        ):
            mode &= ~S_ISGID
        inode = self.tmpfs.new_inode(mode, subject.fsuid, gid, rdev)
        inode.flags = self.flags & INHERITED_FLAGS
        return inode

    def _add_child(self, name: bytes, mode: int, rdev: int, subject: Subject) -> MemoryInode:
        if len(name) > NAME_MAX:
            raise ENAMETOOLONG
        if self.entry(name) is not None:
            raise EEXIST
        inode = self._new_child(mode, rdev, subject)
        self.set_entry(name, inode)
        self.touch_modified()
        return inode

    def create(self, name: bytes, mode: int, subject: Subject) -> Inode:
        return self._add_child(name, S_IFREG | mode, 0, subject)

    def mkdir(self, name: bytes, mode: int, subject: Subject) -> Inode:
        if self.link_count >= LINK_MAX:
            raise EMLINK
        inode = self._add_child(name, S_IFDIR | mode, 0, subject)
        self.count_subdirectories(1)
        return inode

    def mknod(self, name: bytes, mode: int, rdev: int, subject: Subject) -> Inode:
        return self._add_child(name, mode, rdev, subject)

    def symlink(self, name: bytes, target: bytes, subject: Subject) -> Inode:
        """A longer target takes a page. Raises ENOSPC and others. Linux: mm/shmem.c, shmem_symlink."""
        is_long = len(target) >= _SHORT_TARGET and not self.tmpfs.is_written_back
        if is_long and not self.tmpfs.has_room:
            raise ENOSPC
        self.tmpfs.vfs.accounts.add_text(len(target))
        try:
            inode = self._add_child(name, S_IFLNK | 0o777, 0, subject)
        except (Errno, OutOfFrames):
            self.tmpfs.vfs.accounts.add_text(-len(target))
            raise
        inode.set_target(target)
        if is_long:
            self.tmpfs.page_count += 1
        return inode

    def set_target(self, target: bytes) -> None:
        """Where this symbolic link leads."""
        self.target = target
        self.size = len(target)

    def create_unnamed(self, mode: int, subject: Subject) -> Inode:
        inode = self._new_child(S_IFREG | mode, 0, subject)
        inode.link_count = 0
        return inode

    def link(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, MemoryInode)
        if self.entry(name) is not None:
            raise EEXIST
        if inode.link_count >= LINK_MAX:
            raise EMLINK
        if inode.link_count:
            self.tmpfs.count_inode()
            inode.extra_names += 1
        self.set_entry(name, inode)
        inode.link_count += 1
        inode.ctime_ns = self.now_ns()
        self.touch_modified()

    def unlink(self, name: bytes) -> None:
        inode = self.entry(name)
        if inode is None:
            raise ENOENT
        self.remove_entry(name)
        self.touch_modified()
        inode.drop_link()

    def rmdir(self, name: bytes) -> None:
        inode = self.entry(name)
        if inode is None:
            raise ENOENT
        if inode.all_entries():
            raise ENOTEMPTY
        self.remove_entry(name)
        self.count_subdirectories(-1)
        self.touch_modified()
        inode.link_count = 0
        inode.ctime_ns = self.mtime_ns
        inode.evict_if_unused()

    def count_subdirectories(self, change: int) -> None:
        """This directory has so many subdirectories more, each with a ".." that is one more name for it."""
        self.link_count += change

    def drop_link(self) -> None:
        """One name of this file is gone."""
        if self.extra_names:
            self.extra_names -= 1
            self.tmpfs.uncount_inode()
        self.link_count -= 1
        self.ctime_ns = self.now_ns()
        self.evict_if_unused()

    def rename(
        self, name: bytes, new_directory: Inode, new_name: bytes, flags: int, subject: Subject
    ) -> Inode | None:
        """Linux: mm/shmem.c, shmem_rename2."""
        assert isinstance(new_directory, MemoryInode)
        inode = self.entry(name)
        if inode is None:
            raise ENOENT
        replaced = new_directory.entry(new_name)
        if flags & RENAME_EXCHANGE:
            if replaced is None:
                raise ENOENT
            self._exchange(name, inode, new_directory, new_name, replaced)
            return None
        if replaced is not None and replaced.is_directory and replaced.all_entries():
            raise ENOTEMPTY
        # Linux: mm/shmem.c, shmem_whiteout.
        whiteout = self._new_child(S_IFCHR, 0, subject) if flags & RENAME_WHITEOUT else None
        if replaced is not None:
            new_directory.remove_entry(new_name)
        self.remove_entry(name)
        new_directory.set_entry(new_name, inode)
        if whiteout is not None:
            self.set_entry(name, whiteout)
        if inode.is_directory:
            self.count_subdirectories(-1)
            if replaced is None:
                new_directory.count_subdirectories(1)
        self.touch_modified()
        new_directory.touch_modified()
        inode.ctime_ns = self.ctime_ns
        if replaced is not None:
            if replaced.is_directory:
                replaced.link_count = 0
                replaced.evict_if_unused()
            else:
                replaced.drop_link()
        return whiteout

    def _exchange(
        self, name: bytes, inode: MemoryInode, other: MemoryInode, other_name: bytes, second: MemoryInode
    ) -> None:
        """Linux: mm/shmem.c, shmem_rename2."""
        self.set_entry(name, second)
        other.set_entry(other_name, inode)
        if other is not self and inode.is_directory != second.is_directory:
            change = 1 if inode.is_directory else -1
            self.count_subdirectories(-change)
            other.count_subdirectories(change)
        self.touch_modified()
        other.touch_modified()
        inode.ctime_ns = second.ctime_ns = self.ctime_ns

    def readlink(self) -> bytes:
        if self.mode & S_IFMT != S_IFLNK:
            raise EINVAL
        return self.target

    def truncate(self, size: int) -> None:
        self.resize(size)
        self.touch_modified()

    def resize(self, size: int) -> None:
        """Make a regular file `size` bytes long, and leave its time stamps. Raises EINVAL, EFBIG ..."""
        pages = self.pages
        if pages is None:
            raise EINVAL
        if size > MAXIMUM_SIZE:
            raise EFBIG
        if size <= self.size:
            # Of the same size it loses what it was given beyond.
            pages.truncate(size)
        self.size = size

    def truncate_by_name(self, size: int) -> None:
        """What is as long as before keeps its time stamps. Linux: mm/shmem.c, shmem_setattr."""
        before = self.size
        self.resize(size)
        if size != before or self.tmpfs.is_written_back:
            self.touch_modified()

    def evict(self) -> None:
        self.entries = {}
        if self.positions is not None:
            self.positions.release()
            self.positions = None
        if self.acl is not None:
            put_lists(self, AccessLists())
        if self.target:
            self.tmpfs.vfs.accounts.add_text(-len(self.target))
            if len(self.target) >= _SHORT_TARGET and not self.tmpfs.is_written_back:
                self.tmpfs.page_count -= 1
        super().evict()
