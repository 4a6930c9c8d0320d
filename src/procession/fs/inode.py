"""Inodes: what every file system's files have in common, with the answers of a file system that can do
nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from procession.abi.device_numbers import device_major
from procession.abi.ebpf import BpfDeviceAccess
from procession.abi.errno import EACCES, EINVAL, ENODEV, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM, ETXTBSY, Errno
from procession.abi.file_mode import S_IFMT, FileType, Permission
from procession.abi.ioctls import FileFlag
from procession.abi.mount_flags import MountFlag
from procession.abi.named_tuple import NamedTuple
from procession.fs.permission import (
    MAY_READ,
    MAY_WRITE,
    Subject,
    check_permission,
    check_writable_file_system,
)

if TYPE_CHECKING:
    from procession.fs.acl import AccessLists
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.file_events import FileWatch
    from procession.fs.lock import FileLocks
    from procession.fs.mounts.namespace import MountNamespace
    from procession.fs.superblock import Superblock
    from procession.mm.page_cache import PageCache

# Plain ints: the arithmetic of IntFlag is slow on the paths that use these.
S_IFSOCK: Final = int(FileType.S_IFSOCK)
S_IFLNK: Final = int(FileType.S_IFLNK)
S_IFREG: Final = int(FileType.S_IFREG)
S_IFBLK: Final = int(FileType.S_IFBLK)
S_IFDIR: Final = int(FileType.S_IFDIR)
S_IFCHR: Final = int(FileType.S_IFCHR)
S_IFIFO: Final = int(FileType.S_IFIFO)
S_ISUID: Final = int(Permission.S_ISUID)
S_ISGID: Final = int(Permission.S_ISGID)
S_ISVTX: Final = int(Permission.S_ISVTX)

_DEVICE_READ: Final = int(BpfDeviceAccess.BPF_DEVCG_ACC_READ)
_DEVICE_WRITE: Final = int(BpfDeviceAccess.BPF_DEVCG_ACC_WRITE)
_NO_TIME: Final = int(MountFlag.MS_NOATIME)
_NO_DIRECTORY_TIME: Final = int(MountFlag.MS_NODIRATIME)
_STRICT_TIME: Final = int(MountFlag.MS_STRICTATIME)
_TIME_FLAGS: Final = _NO_TIME | _NO_DIRECTORY_TIME | _STRICT_TIME

DAY_NS: Final = 24 * 3600 * 10**9
_NEARLY_A_DAY_NS: Final = DAY_NS - 10**9


class DirectoryEntry(NamedTuple):
    """One name in a directory."""

    name: bytes
    number: int
    """The inode number (d_ino)."""
    type: int
    """The file type as DT_* (the type bits of the mode, shifted right by 12)."""


IMMUTABLE: Final = int(FileFlag.FS_IMMUTABLE_FL)
APPEND_ONLY: Final = int(FileFlag.FS_APPEND_FL)


class Inode:
    """A file, whatever its names (Linux: include/linux/fs.h, struct inode).

    `mode` holds type and permission bits. A regular file whose contents can be mapped has `pages`; `size`
    is in bytes. Times are nanoseconds since the epoch. `open_count` counts open file descriptions and the
    mounts of this very file; the inode is evicted when it and `link_count` are 0. `writer_count` counts
    descriptions open for writing, or below zero the programs that are run from this file (i_writecount), and
    `reader_count` those open for reading alone (i_readcount).

    The methods are the operations of a file system; these answer as Linux does for a file system that
    doesn't have them. Names given to them are single components, checked against "", "." and "..".
    Permissions are checked by the caller.
    """

    __slots__ = (
        "acl",
        "atime_ns",
        "ctime_ns",
        "flags",
        "gid",
        "is_evicted",
        "is_linkable",
        "link_count",
        "locks",
        "mode",
        "mtime_ns",
        "number",
        "open_count",
        "pages",
        "pipe",
        "rdev",
        "reader_count",
        "size",
        "superblock",
        "uid",
        "watches",
        "write_hint",
        "writer_count",
        "xattrs",
        "xattr_bytes",
    )

    caches_lookups: ClassVar[bool] = True
    """Whether the walk may remember what `lookup` answered; False where names come and go by themselves."""
    # Whether where it leads can't be told in a walk that takes no references (RESOLVE_CACHED).
    needs_slow_walk: ClassVar[bool] = False
    is_magic_link: ClassVar[bool] = False
    """Whether `follow_magic_link` may answer: /proc/PID/fd/N, /proc/PID/exe, ns/*."""
    seeks_from_end: ClassVar[bool] = False
    """Whether lseek(2) on the directory knows SEEK_END, as generic_file_llseek does of any file."""
    can_be_synced: ClassVar[bool] = True
    """Whether fsync(2) of the directory does anything; else EINVAL."""
    can_be_bound: ClassVar[bool] = False
    """Whether it may be bound to a place though its own mount is in no namespace: files of namespaces."""
    is_anonymous: ClassVar[bool] = False
    """Whether it's a regular file in name only, for calls that ask (S_ANON_INODE)."""
    is_private: ClassVar[bool] = False
    """Whether security modules aren't asked about it (S_PRIVATE)."""
    has_attributes: ClassVar[bool] = True
    """Whether mode, owner and times can be set: not of what is everybody's."""
    settable_flags: ClassVar[int] = 0
    """Which of FileFlag's bits chattr(1) may set; with none it's ENOTTY."""
    can_get_names: ClassVar[bool] = True
    """Whether a name that isn't there may be made, by who has the right to; else it's ENOENT to everybody."""

    def __init__(
        self, superblock: Superblock, mode: int, uid: int = 0, gid: int = 0, rdev: int = 0, number: int = 0
    ) -> None:
        """Its number is a new one unless `number` is given."""
        self.superblock = superblock
        self.number = number or superblock.allocate_inode_number()
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.rdev = rdev
        self.link_count = 2 if mode & S_IFMT == S_IFDIR else 1
        self.size = 0
        self.atime_ns = self.mtime_ns = self.ctime_ns = superblock.vfs.clock.realtime_ns
        self.pages: PageCache | None = None
        self.xattrs: dict[bytes, bytes] | None = None
        self.xattr_bytes = 0
        # What a FIFO's or a bound socket's openers share; fs/pipe.py and the sockets own what is in it.
        self.pipe: object = None
        self.locks: FileLocks | None = None
        self.open_count = 0
        self.reader_count = 0
        self.acl: AccessLists | None = None
        self.is_evicted = False
        # Whether a file without a name may be given one: it was opened by O_TMPFILE without O_EXCL.
        self.is_linkable = False
        self.writer_count = 0
        # How long what is written will live: fcntl(F_SET_RW_HINT).
        self.write_hint = 0
        # FileFlag: what chattr(1) sets, and what the kernel itself does.
        self.flags = 0
        # Who is told what happens to this file; None for nobody.
        self.watches: list[FileWatch] | None = None

    @property
    def is_directory(self) -> bool:
        return self.mode & S_IFMT == S_IFDIR

    @property
    def is_regular(self) -> bool:
        return self.mode & S_IFMT == S_IFREG

    @property
    def is_symlink(self) -> bool:
        return self.mode & S_IFMT == S_IFLNK

    @property
    def shown_size(self) -> int:
        """What stat(2) says of it."""
        return self.size

    @property
    def shown_link_count(self) -> int:
        """What stat(2) says of it."""
        return self.link_count

    @property
    def shown_mode(self) -> int:
        """What stat(2) says of it."""
        return self.mode

    @property
    def block_count(self) -> int:
        """How many blocks of 512 bytes the file takes (st_blocks)."""
        return 0 if self.pages is None else 8 * len(self.pages.frames)

    @property
    def block_size(self) -> int:
        """What st_blksize says."""
        return self.superblock.block_size

    @property
    def birth_ns(self) -> int | None:
        """When it was made, if its file system remembers that."""
        return None

    def now_ns(self) -> int:
        """The time for a time stamp."""
        return self.superblock.vfs.clock.realtime_ns

    # What a directory does.

    def lookup(self, name: bytes) -> Inode:
        """The inode called `name` in this directory. Raises ENOENT, ENAMETOOLONG; ENOTDIR for other files."""
        raise ENOTDIR

    def needs_reference(self, name: bytes) -> bool:
        """Whether who finds `name` here has to hold what it means to look at it again: RESOLVE_CACHED can't.

        In Linux, d_revalidate says ECHILD.
        """
        return False

    def revalidate(self) -> bool:
        """Whether it's still what its name means, and as it should be now: asked of what `lookup` makes anew
        each time, and True only there. In Linux, d_revalidate.
        """
        return False

    def list_entries(self) -> list[DirectoryEntry]:
        """All names of this directory but "." and "..", in a fixed order."""
        raise ENOTDIR

    def create(self, name: bytes, mode: int, subject: Subject) -> Inode:
        """Make a regular file `name`. `mode` holds permission bits. Raises EEXIST, ENOSPC, EROFS ..."""
        raise EACCES

    def mkdir(self, name: bytes, mode: int, subject: Subject) -> Inode:
        """Make a directory `name`."""
        raise EPERM

    def mknod(self, name: bytes, mode: int, rdev: int, subject: Subject) -> Inode:
        """Make a special file `name`; `mode` holds the type and permission bits."""
        raise EPERM

    def symlink(self, name: bytes, target: bytes, subject: Subject) -> Inode:
        """Make a symbolic link `name` to `target`."""
        raise EPERM

    def link(self, name: bytes, inode: Inode) -> None:
        """Give `inode`, of this file system, one more name. Raises EEXIST, EMLINK ..."""
        raise EPERM

    def unlink(self, name: bytes) -> None:
        """Take away `name`, which isn't a directory. The inode's link count drops."""
        raise EPERM

    def rmdir(self, name: bytes) -> None:
        """Take away the empty directory `name`. Raises ENOTEMPTY."""
        raise EPERM

    def rename(
        self, name: bytes, new_directory: Inode, new_name: bytes, flags: int, subject: Subject
    ) -> Inode | None:
        """Move `name` to `new_name` in `new_directory`, of this file system, replacing what is there.

        `flags` are those of renameat2(2); RENAME_NOREPLACE has been checked by the caller. Return what
        RENAME_WHITEOUT has left in place.
        """
        raise EPERM

    def create_unnamed(self, mode: int, subject: Subject) -> Inode:
        """Make a regular file without a name, for O_TMPFILE."""
        raise EOPNOTSUPP

    # What other files do.

    def readlink(self) -> bytes:
        """A symbolic link's target. Raises EINVAL for other files."""
        raise EINVAL

    def follow_magic_link(self) -> Path | None:
        """Where a link of /proc leads, past all names; None where `readlink` is to be followed."""
        return None

    def truncate(self, size: int) -> None:
        """Make a regular file `size` bytes long, with new time stamps. Raises EINVAL for other files."""
        raise EINVAL

    def truncate_by_name(self, size: int) -> None:
        """As `truncate`, for truncate(2), which leaves the time stamps to the file system."""
        self.truncate(size)

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        """Open this file; permissions have been checked. `flags` are open(2)'s.

        An open that can block (a FIFO's) raises Sleep, and is called again with the `progress` it gave.
        Special files are opened by their driver whatever file system they are on.
        """
        kind = self.mode & S_IFMT
        if kind == S_IFCHR:
            driver = self.superblock.vfs.character_drivers.get(device_major(self.rdev))
            if driver is None:
                raise ENXIO("no driver for this character device")
            return driver.open(path, flags, subject)
        if kind == S_IFIFO:
            from procession.fs.pipe import open_fifo

            return open_fifo(path, flags, subject, progress)
        if kind == S_IFDIR:
            from procession.fs.file import DirectoryFile

            return DirectoryFile(path, flags, subject)
        if kind == S_IFREG and self.pages is not None:
            from procession.fs.regular_file import RegularFile

            return RegularFile(path, flags, subject)
        raise ENODEV if kind == S_IFREG else ENXIO

    # What all do.

    def check_permission(self, subject: Subject, mask: int) -> None:
        """Raise EACCES or EROFS unless `subject` has `mask` (MAY_*) here.

        Linux: fs/namei.c, inode_permission.
        """
        if mask & MAY_WRITE:
            check_writable_file_system(self)
            if self.flags & IMMUTABLE:
                raise EPERM("the file is immutable")
        check_permission(self, subject, mask)
        if self.rdev:
            self._check_device(mask)

    def _check_device(self, mask: int) -> None:
        """Linux: include/linux/device_cgroup.h, devcgroup_inode_permission."""
        gate = self.superblock.vfs.device_gate
        if gate is not None:
            access = (_DEVICE_READ if mask & MAY_READ else 0) | (_DEVICE_WRITE if mask & MAY_WRITE else 0)
            gate.check(self.mode, self.rdev, access)

    def set_attributes(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Set what is given, and the change time. `mode` holds permission bits only."""
        if mode is not None:
            self.mode = self.mode & S_IFMT | mode & 0o7777
        if uid is not None:
            self.uid = uid
        if gid is not None:
            self.gid = gid
        if atime_ns is not None:
            self.atime_ns = atime_ns
        if mtime_ns is not None:
            self.mtime_ns = mtime_ns
        self.ctime_ns = self.now_ns()

    @property
    def keeps_flags(self) -> bool:
        """Whether its file system knows any of FileFlag's bits."""
        return bool(self.settable_flags)

    @property
    def has_flags(self) -> bool:
        """Whether chattr(1) may set any of FileFlag's bits."""
        return self.keeps_flags and self.mode & S_IFMT in (S_IFREG, S_IFDIR)

    def set_flags(self, flags: int) -> None:
        """Set FileFlag's bits, and the change time. Raises EOPNOTSUPP for bits that aren't kept.

        Linux: mm/shmem.c, shmem_fileattr_set.
        """
        if flags & ~self.settable_flags:
            raise EOPNOTSUPP
        self.flags = flags
        self.ctime_ns = self.now_ns()

    @property
    def unlisted_bytes(self) -> int:
        """How long the names of attributes are that count for a list's length and aren't told."""
        return 0

    def writable_xattrs(self) -> dict[bytes, bytes]:
        """The extended attributes, of which the caller is about to change one by `change_xattr`."""
        return self.read_xattrs()

    def change_xattr(self, name: bytes, value: bytes | None) -> None:
        """Give an extended attribute another value, None for none, and account for that. Raises ENOSPC."""
        attributes = self.read_xattrs()
        old = attributes.get(name)
        growth = (0 if value is None else len(name) + len(value)) - (
            0 if old is None else len(name) + len(old)
        )
        self.superblock.charge_attribute(name, old, value)
        try:
            self.superblock.vfs.accounts.add_text(growth)
        except Errno:
            self.superblock.charge_attribute(name, value, old)
            raise
        self.xattr_bytes += growth
        if value is None:
            attributes.pop(name, None)
        else:
            attributes[name] = value

    def read_xattrs(self) -> dict[bytes, bytes]:
        """The extended attributes by name, to be looked at."""
        if self.xattrs is None:
            self.xattrs = {}
        return self.xattrs

    def read_xattr(self, name: bytes) -> bytes | None:
        """One of them, None if there is no such one."""
        return self.read_xattrs().get(name)

    def size_of_xattrs(self) -> int:
        """How many bytes the names and values of those that `writable_xattrs` gives have."""
        return self.xattr_bytes

    def told_xattrs(self) -> dict[bytes, bytes]:
        """The extended attributes that the kernel tells of it and nobody sets, by name."""
        return {}

    @property
    def mount_namespace(self) -> MountNamespace | None:
        """The mount namespace that this stands for; None for all other files.

        Linux: fs/namespace.c, is_mnt_ns_file.
        """
        return None

    def touch_modified(self) -> None:
        """The contents have changed now."""
        self.mtime_ns = self.ctime_ns = self.superblock.vfs.clock.realtime_ns

    @property
    def is_written_back(self) -> bool:
        """Whether it's kept elsewhere than in memory (in Linux, mapping_can_writeback)."""
        return self.superblock.is_written_back

    def touch_accessed(self, mount_flags: int = 0) -> None:
        """The contents have been read now, through a mount with these MS_* flags.

        Without MS_STRICTATIME that is written down when it says something new, or once a day.
        Linux: fs/inode.c, atime_needs_update, relatime_need_update.
        """
        if mount_flags & _TIME_FLAGS:
            if mount_flags & _NO_TIME or (mount_flags & _NO_DIRECTORY_TIME and self.is_directory):
                return
            if mount_flags & _STRICT_TIME:
                self.atime_ns = self.superblock.vfs.clock.realtime_ns
                return
        atime_ns, clock = self.atime_ns, self.superblock.vfs.clock
        is_old = atime_ns <= self.mtime_ns or atime_ns <= self.ctime_ns
        if is_old or clock.latest_realtime_ns - atime_ns >= _NEARLY_A_DAY_NS:
            now_ns = clock.realtime_ns
            if is_old or now_ns - atime_ns >= DAY_NS:
                self.atime_ns = now_ns

    def deny_write_access(self) -> None:
        """Keep others from writing to a program that runs. Raises ETXTBSY if it's open for writing."""
        if self.writer_count > 0:
            raise ETXTBSY
        self.writer_count -= 1

    def allow_write_access(self) -> None:
        """Undo one `deny_write_access`."""
        self.writer_count += 1

    @property
    def has_acls(self) -> bool:
        """Whether it can have lists of access control."""
        return self.superblock.has_acls and self.mode & S_IFMT != S_IFLNK

    @property
    def has_fine_times(self) -> bool:
        """Whether times of changes are told only to who asks (see `Superblock.is_multigrain`)."""
        return self.superblock.is_multigrain

    @property
    def is_below(self) -> bool:
        """Whether it's an overlay's file that isn't in the upper layer."""
        return False

    def set_lists(self, lists: AccessLists | None) -> None:
        """Let these be its lists of access control; they're charged already."""
        self.acl = lists

    def copy_up(self) -> None:
        """See that it may be changed: an overlay's file has to be in the upper layer. Raises ENOSPC."""

    def evict_if_unused(self) -> None:
        """Give the contents' memory back if the file has neither a name nor an opener left."""
        if self.link_count <= 0 and self.open_count <= 0 and not self.is_evicted:
            events = self.superblock.vfs.file_events
            if events is not None:
                if self.watches is not None and not self.superblock.tells_removal:
                    return
                events.removed(self)
            self.is_evicted = True
            self.evict()

    def evict(self) -> None:
        """The file is gone for good: give its memory back. Linux: fs/inode.c, evict."""
        if self.pages is not None:
            self.pages.release()
        if self.xattrs:
            for name in list(self.xattrs):
                self.change_xattr(name, None)
            self.xattrs = None
        self.superblock.forget(self)
