"""open, close, dup and their relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EAGAIN, EBADF, EINVAL, EMFILE
from procession.abi.open_flags import (
    AT_FDCWD,
    CloseRangeFlag,
    OpenFlag,
    OpenHow,
    ResolveFlag,
)
from procession.fs import opening
from procession.fs.file import (
    FASYNC,
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECT,
    O_DIRECTORY,
    O_DSYNC,
    O_EXCL,
    O_LARGEFILE,
    O_NOATIME,
    O_NOCTTY,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_PATH,
    O_SYNC,
    O_TRUNC,
    O_WRONLY,
)
from procession.fs.namei import check_name
from procession.fs.opening import UNNAMED, check_directory_flags
from procession.fs.pipe import FifoOpening
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import CreationMode, Fd, Flags, Mode, Path, Size, SizedIn, UInt
from procession.syscalls.paths import start_of
from procession.syscalls.sized_structure import read_sized

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.task import Task

_VALID_FLAGS = (
    3 | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | FASYNC
) | (O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | UNNAMED)
_PATH_FLAGS = O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC
_CREATING = O_CREAT | UNNAMED
_VALID_RESOLVE = int(
    ResolveFlag.RESOLVE_NO_XDEV
    | ResolveFlag.RESOLVE_NO_MAGICLINKS
    | ResolveFlag.RESOLVE_NO_SYMLINKS
    | ResolveFlag.RESOLVE_BENEATH
    | ResolveFlag.RESOLVE_IN_ROOT
    | ResolveFlag.RESOLVE_CACHED
)
_SCOPED = int(ResolveFlag.RESOLVE_BENEATH | ResolveFlag.RESOLVE_IN_ROOT)
_RESOLVE_IN_ROOT = int(ResolveFlag.RESOLVE_IN_ROOT)
_RESOLVE_CACHED = int(ResolveFlag.RESOLVE_CACHED)
_CLOSE_RANGE_UNSHARE = int(CloseRangeFlag.CLOSE_RANGE_UNSHARE)
_CLOSE_RANGE_CLOEXEC = int(CloseRangeFlag.CLOSE_RANGE_CLOEXEC)
_PAGE_SIZE = 4096


@syscall(2)
def open_(task: Task, path: Path, flags: Flags[OpenFlag], mode: CreationMode) -> int:
    """open(2). Linux: fs/open.c, SYSCALL_DEFINE3(open)."""
    return open_file(task, AT_FDCWD, path, flags & _VALID_FLAGS | O_LARGEFILE, mode & 0o7777)


@syscall(257)
def openat(task: Task, directory: Fd, path: Path, flags: Flags[OpenFlag], mode: CreationMode) -> int:
    """openat(2). Linux: fs/open.c, do_sys_open."""
    return open_file(task, directory, path, flags & _VALID_FLAGS | O_LARGEFILE, mode & 0o7777)


@syscall(85)
def creat(task: Task, path: Path, mode: Mode) -> int:
    """creat(2). Linux: fs/open.c, SYSCALL_DEFINE2(creat)."""
    return open_file(task, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode & 0o7777)


@syscall(437)
def openat2(task: Task, directory: Fd, path: Path, how: SizedIn[OpenHow], size: Size) -> int:
    """openat2(2). Linux: fs/open.c, SYSCALL_DEFINE4(openat2) and build_open_flags."""
    if size < OpenHow.SIZE:
        raise EINVAL
    if size > _PAGE_SIZE:
        raise E2BIG
    wanted = OpenHow.unpack(read_sized(task.mm, how.address, size, OpenHow.SIZE))
    flags, resolve = wanted.flags, wanted.resolve
    if flags & ~_VALID_FLAGS or resolve & ~_VALID_RESOLVE or resolve & _SCOPED == _SCOPED:
        raise EINVAL
    if wanted.mode & ~0o7777 if flags & _CREATING else wanted.mode:
        raise EINVAL
    if flags & O_PATH and flags & ~_PATH_FLAGS:
        raise EINVAL
    check_directory_flags(flags)
    if resolve & _RESOLVE_CACHED and flags & (O_TRUNC | _CREATING):
        raise EAGAIN
    if not flags & O_PATH:
        flags |= O_LARGEFILE
    return open_file(task, directory, path, flags, wanted.mode, resolve)


def open_file(task: Task, directory_fd: int, name: bytes, flags: int, mode: int, resolve: int = 0) -> int:
    """Open `name` relative to a descriptor and give it the lowest free one.

    Linux: fs/open.c, do_sys_openat2.
    """
    files = task.files
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    frame = task.frame
    if flags & O_SYNC & ~O_DSYNC:
        # Its own bit alone means both. Linux: fs/open.c, build_open_flags.
        flags |= O_DSYNC
    file: File
    if frame is not None and isinstance(frame.progress, FifoOpening):
        file = opening.finish_opening(frame.progress)
    else:
        if not flags & (O_PATH | _CREATING):
            mode = 0
        # A full table must not leave a new file behind.
        try:
            files.lowest_free(0, limit)
        except EMFILE:
            check_name(name)
            raise
        start = start_of(task, directory_fd, name, is_in_root=bool(resolve & _RESOLVE_IN_ROOT))
        file = opening.open(task.fs, task.credentials, name, start, flags, mode, resolve=resolve)
    return files.install(file, close_on_exec=bool(flags & O_CLOEXEC), limit=limit)


@syscall(3)
def close(task: Task, fd: Fd) -> int:
    """close(2). Linux: fs/open.c, SYSCALL_DEFINE1(close)."""
    task.files.close(fd)
    return 0


@syscall(436)
def close_range(task: Task, first: UInt, last: UInt, flags: Flags[CloseRangeFlag]) -> int:
    """close_range(2). Linux: fs/file.c, SYSCALL_DEFINE3(close_range)."""
    if flags & ~(_CLOSE_RANGE_UNSHARE | _CLOSE_RANGE_CLOEXEC) or first > last:
        raise EINVAL
    files = task.files
    if flags & _CLOSE_RANGE_UNSHARE and files.reference_count > 1:
        shared, files = files, files.copy()
        task.files = files
        shared.put()
    files.note_files(len(files.files))
    for fd in files.descriptors():
        if first <= fd <= last:
            if flags & _CLOSE_RANGE_CLOEXEC:
                files.set_close_on_exec(fd, True)
            else:
                files.close(fd)
    return 0


@syscall(32)
def dup(task: Task, fd: Fd) -> int:
    """dup(2). Linux: fs/file.c, SYSCALL_DEFINE1(dup)."""
    files = task.files
    return files.install(files.file(fd), limit=task.group.limits.soft[RLIMIT_NOFILE])


@syscall(33)
def dup2(task: Task, old: Fd, new: Fd) -> int:
    """dup2(2). Linux: fs/file.c, SYSCALL_DEFINE2(dup2)."""
    if old == new:
        task.files.file(old)
        return new
    return _duplicate(task, old, new, False)


@syscall(292)
def dup3(task: Task, old: Fd, new: Fd, flags: Flags[OpenFlag]) -> int:
    """dup3(2). Linux: fs/file.c, ksys_dup3."""
    if flags & ~O_CLOEXEC or old == new:
        raise EINVAL
    return _duplicate(task, old, new, bool(flags & O_CLOEXEC))


def _duplicate(task: Task, old: int, new: int, close_on_exec: bool) -> int:
    if not 0 <= new < task.group.limits.soft[RLIMIT_NOFILE]:
        raise EBADF("over RLIMIT_NOFILE")
    files = task.files
    files.replace(new, files.file(old), close_on_exec=close_on_exec)
    return new
