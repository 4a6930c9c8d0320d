"""What there is of a file and where it is kept: truncate, fallocate, fadvise64, sync and their relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.cachestat import Cachestat, CachestatRange
from procession.abi.errno import EACCES, EBADF, EFBIG, EINVAL, EISDIR, ENODEV, EOPNOTSUPP, EPERM, ESPIPE
from procession.abi.fadvise import FileAdvice
from procession.abi.file_mode import S_IFMT
from procession.abi.open_flags import FallocateFlag
from procession.abi.signals import Signal
from procession.fs.attributes import check_truncation
from procession.fs.attributes import truncate as truncate_path
from procession.fs.file import MAXIMUM_SIZE, O_LARGEFILE
from procession.fs.file_events import note_modification
from procession.fs.inode import APPEND_ONLY, IMMUTABLE, S_IFBLK, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG
from procession.fs.landlock import TRUNCATE
from procession.fs.mounts.id_map import through
from procession.fs.namei import lookup
from procession.fs.permission import may_see_cache
from procession.fs.superblock import LARGEST_OF_OLD
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_FSIZE
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SI_USER
from procession.kernel.signal.kill import sender_info
from procession.kernel.time.costs import SEEN_PAGE_NS
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Choice, Fd, Flags, In, Long, Out, Path, Size, UInt
from procession.syscalls.read_write import readable_file

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.inode import Inode
    from procession.kernel.task import Task

_SIGXFSZ = int(Signal.SIGXFSZ)
_KEEP_SIZE = int(FallocateFlag.FALLOC_FL_KEEP_SIZE)
_WRITE_ZEROES = int(FallocateFlag.FALLOC_FL_WRITE_ZEROES)
_PUNCH_HOLE = int(FallocateFlag.FALLOC_FL_PUNCH_HOLE)
# What there is to do to a range, and whether the size may, or must, be kept; not all file systems do it all.
_OPERATIONS = {
    0: (False, True),
    _PUNCH_HOLE: (True,),
    int(FallocateFlag.FALLOC_FL_COLLAPSE_RANGE): (False,),
    int(FallocateFlag.FALLOC_FL_ZERO_RANGE): (False, True),
    int(FallocateFlag.FALLOC_FL_INSERT_RANGE): (False,),
    int(FallocateFlag.FALLOC_FL_UNSHARE_RANGE): (False, True),
    _WRITE_ZEROES: (False,),
}
_SYNC_FILE_RANGE_FLAGS = 7
_U64_MAX = (1 << 64) - 1
_LONG_MAX = (1 << 63) - 1
_HAS_RANGES = (S_IFREG, S_IFBLK, S_IFDIR, S_IFLNK)


def _check_size(task: Task, inode: Inode, size: int) -> None:
    """Raise EFBIG for a file that's larger than its file system has any, or than RLIMIT_FSIZE lets it grow.

    Linux: fs/attr.c, inode_newsize_ok.
    """
    _check_size_limit(task, inode.size, size)
    if size > inode.superblock.largest_file:
        raise EFBIG("no file is so large on this file system")


def _check_size_limit(task: Task, old_size: int, size: int) -> None:
    """Raise EFBIG, with SIGXFSZ, if a file that grows to `size` exceeds RLIMIT_FSIZE."""
    limit = task.group.limits.soft[RLIMIT_FSIZE]
    if size > old_size and limit != RLIM_INFINITY and size > limit:
        send_signal(task.kernel, task, sender_info(task, _SIGXFSZ, SI_USER))
        raise EFBIG("over RLIMIT_FSIZE")


@syscall(76)
def truncate(task: Task, path: Path, length: Long) -> int:
    """truncate(2). Linux: fs/open.c, do_sys_truncate."""
    if length < 0:
        raise EINVAL
    place = lookup(task.fs, task.credentials, path)
    check_truncation(place, task.credentials)
    _check_size(task, place.dentry.inode, length)
    truncate_path(place, task.credentials, length)
    return 0


@syscall(77)
def ftruncate(task: Task, fd: Fd, length: Long) -> int:
    """ftruncate(2). Linux: fs/open.c, do_ftruncate."""
    if length < 0:
        raise EINVAL
    file = opened_file(task, fd)
    if not (file.inode.is_regular and file.is_writable):
        raise EINVAL
    if length > LARGEST_OF_OLD and not file.flags & O_LARGEFILE:
        raise EINVAL("the file wasn't opened for so much")
    if file.inode.has_attributes:
        _check_size(task, file.inode, length)
    if not file.landlock_rights & TRUNCATE:
        raise EACCES("the Landlock domain of who opened it forbids it")
    if file.inode.flags & APPEND_ONLY:
        raise EPERM("the file is only appended to")
    file.truncate(length)
    return 0


@syscall(285)
def fallocate(task: Task, fd: Fd, mode: Flags[FallocateFlag], offset: Long, length: Long) -> int:
    """fallocate(2)."""
    allocate_space(task, opened_file(task, fd), mode, offset, length)
    return 0


def allocate_space(task: Task, file: File, mode: int, offset: int, length: int) -> None:
    """Make room, or holes. Raises EINVAL, EOPNOTSUPP, EBADF, EPERM and others.

    Linux: fs/open.c, vfs_fallocate.
    """
    if offset < 0 or length <= 0:
        raise EINVAL
    operation = mode & ~_KEEP_SIZE
    if operation not in _OPERATIONS or bool(mode & _KEEP_SIZE) not in _OPERATIONS[operation]:
        raise EOPNOTSUPP
    if not file.is_writable:
        raise EBADF
    if file.inode.flags & IMMUTABLE or (operation and file.inode.flags & APPEND_ONLY):
        raise EPERM("the file is immutable, or only appended to")
    kind = file.inode.mode & S_IFMT
    if kind == S_IFIFO:
        raise ESPIPE
    if kind == S_IFDIR:
        raise EISDIR
    if kind not in (S_IFREG, S_IFBLK):
        raise ENODEV
    if offset + length > file.inode.superblock.largest_file:
        raise EFBIG
    if operation == _WRITE_ZEROES:
        raise EOPNOTSUPP("no file system here writes zeros on a device")
    pages = file.inode.pages
    # It's files that have such room who look at the limit.
    if not operation and file.inode.has_attributes and (pages is None or not pages.is_secret):
        _check_size_limit(task, file.inode.size, offset + length)
    file.allocate(mode, offset, length)
    note_modification(file)


@syscall(221)
def fadvise64(task: Task, fd: Fd, offset: Long, length: Long, advice: Choice[FileAdvice]) -> int:
    """posix_fadvise(2): what is in memory stays there, and nothing is read ahead. Linux: mm/fadvise.c."""
    file = opened_file(task, fd)
    if file.inode.mode & S_IFMT == S_IFIFO:
        raise ESPIPE
    if length < 0 or not FileAdvice.POSIX_FADV_NORMAL <= advice <= FileAdvice.POSIX_FADV_NOREUSE:
        raise EINVAL
    return 0


@syscall(187)
def readahead(task: Task, fd: Fd, offset: Long, count: Size) -> int:
    """readahead(2). Linux: mm/readahead.c, ksys_readahead."""
    file = readable_file(task, fd)
    if file.inode.is_anonymous or file.inode.mode & S_IFMT not in (S_IFREG, S_IFBLK):
        raise EINVAL
    if count > _LONG_MAX:
        raise EINVAL("a negative length")
    return 0


@syscall(162)
def sync(task: Task) -> int:
    """sync(2): what is in memory is the file. Linux: fs/sync.c, ksys_sync."""
    return 0


@syscall(306)
def syncfs(task: Task, fd: Fd) -> int:
    """syncfs(2). Linux: fs/sync.c, SYSCALL_DEFINE1(syncfs)."""
    opened_file(task, fd)
    return 0


@syscall(74)
def fsync(task: Task, fd: Fd) -> int:
    """fsync(2). Linux: fs/sync.c, do_fsync."""
    opened_file(task, fd).sync()
    return 0


@syscall(75)
def fdatasync(task: Task, fd: Fd) -> int:
    """fdatasync(2). Linux: fs/sync.c, do_fsync."""
    opened_file(task, fd).sync()
    return 0


@syscall(277)
def sync_file_range(task: Task, fd: Fd, offset: Long, length: Long, flags: UInt) -> int:
    """sync_file_range(2). Linux: fs/sync.c, sync_file_range."""
    file = opened_file(task, fd)
    if flags & ~_SYNC_FILE_RANGE_FLAGS or offset < 0 or length < 0 or offset + length > MAXIMUM_SIZE:
        raise EINVAL
    if file.inode.mode & S_IFMT not in _HAS_RANGES:
        raise ESPIPE
    return 0


@syscall(451)
def cachestat(task: Task, fd: Fd, span: In[CachestatRange], counts: Out[Cachestat], flags: UInt) -> int:
    """cachestat(2): what is in memory is the file, so that no page is dirty, and none was ever evicted.

    Linux: mm/filemap.c, SYSCALL_DEFINE4(cachestat).
    """
    file = opened_file(task, fd)
    wanted = span.get()
    inode, mount = file.inode, file.path.mount
    if not file.is_writable and not may_see_cache(through(mount, task.credentials), inode):
        raise EPERM("neither the caller's file nor one that it may write to")
    if flags:
        raise EINVAL("there are no flags")
    first = wanted.off >> PAGE_SHIFT
    last = (wanted.off + wanted.len - 1 & _U64_MAX) >> PAGE_SHIFT if wanted.len else _U64_MAX
    pages = file.cache
    count = 0
    if pages is not None:
        count = sum(first <= index <= last for index in pages.frames)
        task.kernel.clock.spend(len(pages.frames) * SEEN_PAGE_NS)
    counts.put(Cachestat(nr_cache=count))
    return 0
