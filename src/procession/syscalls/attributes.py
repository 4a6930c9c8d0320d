"""Permissions, owners and time stamps: chmod, chown, utimensat and their relatives, umask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EBADF, EFAULT, EINVAL, EROFS
from procession.abi.open_flags import AT_FDCWD, AtFlag
from procession.abi.time import Timespec, Timeval
from procession.fs.attributes import NOW, OMIT, change_mode, change_owner, change_times
from procession.fs.file import File, PathFile
from procession.fs.namei import lookup
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Fd, Flags, In, Mode, OptionalPath, Path, UInt
from procession.syscalls.paths import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, find_by_flags

if TYPE_CHECKING:
    from procession.fs import dentry
    from procession.kernel.task import Task

_FLAGS = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH
_UNCHANGED = 0xFFFFFFFF
_UTIME_NOW = (1 << 30) - 1
_UTIME_OMIT = (1 << 30) - 2


def opened_file(task: Task, fd: int) -> File:
    """The file behind `fd`. Raises EBADF, also for one that O_PATH opened. Linux: fs/file.c, fdget."""
    file = task.file_of_call(fd)
    if file is None:
        raise EBADF
    if isinstance(file, PathFile):
        raise EBADF("opened with O_PATH")
    return file


def _find(task: Task, directory_fd: int, name: bytes, flags: int) -> dentry.Path:
    if flags & ~_FLAGS:
        raise EINVAL
    return find_by_flags(task, directory_fd, name, flags)


@syscall(90)
def chmod(task: Task, path: Path, mode: Mode) -> int:
    """chmod(2). Linux: fs/open.c, SYSCALL_DEFINE2(chmod)."""
    change_mode(lookup(task.fs, task.credentials, path), task.credentials, mode)
    return 0


@syscall(91)
def fchmod(task: Task, fd: Fd, mode: Mode) -> int:
    """fchmod(2). Linux: fs/open.c, SYSCALL_DEFINE2(fchmod)."""
    change_mode(opened_file(task, fd).path, task.credentials, mode)
    return 0


@syscall(268)
def fchmodat(task: Task, directory: Fd, path: Path, mode: Mode) -> int:
    """fchmodat(2) without flags. Linux: fs/open.c, SYSCALL_DEFINE3(fchmodat)."""
    change_mode(_find(task, directory, path, 0), task.credentials, mode)
    return 0


@syscall(452)
def fchmodat2(task: Task, directory: Fd, path: Path, mode: Mode, flags: Flags[AtFlag]) -> int:
    """fchmodat(2) with flags. Linux: fs/open.c, do_fchmodat."""
    change_mode(_find(task, directory, path, flags), task.credentials, mode)
    return 0


def _change_owner(task: Task, place: dentry.Path, uid: int, gid: int) -> int:
    namespace = task.credentials.user_namespace
    kuid, kgid = namespace.make_kuid(uid), namespace.make_kgid(gid)
    if place.mount.is_read_only:
        raise EROFS
    if (kuid == _UNCHANGED and uid != _UNCHANGED) or (kgid == _UNCHANGED and gid != _UNCHANGED):
        raise EINVAL("an id that stands for nobody in the user namespace")
    change_owner(
        place, task.credentials, None if kuid == _UNCHANGED else kuid, None if kgid == _UNCHANGED else kgid
    )
    return 0


@syscall(92)
def chown(task: Task, path: Path, uid: UInt, gid: UInt) -> int:
    """chown(2). Linux: fs/open.c, SYSCALL_DEFINE3(chown)."""
    return _change_owner(task, lookup(task.fs, task.credentials, path), uid, gid)


@syscall(93)
def fchown(task: Task, fd: Fd, uid: UInt, gid: UInt) -> int:
    """fchown(2). Linux: fs/open.c, ksys_fchown."""
    return _change_owner(task, opened_file(task, fd).path, uid, gid)


@syscall(94)
def lchown(task: Task, path: Path, uid: UInt, gid: UInt) -> int:
    """lchown(2). Linux: fs/open.c, SYSCALL_DEFINE3(lchown)."""
    return _change_owner(task, lookup(task.fs, task.credentials, path, follow=False), uid, gid)


@syscall(260)
def fchownat(task: Task, directory: Fd, path: Path, uid: UInt, gid: UInt, flags: Flags[AtFlag]) -> int:
    """fchownat(2). Linux: fs/open.c, do_fchownat."""
    return _change_owner(task, _find(task, directory, path, flags), uid, gid)


@syscall(132)
def utime(task: Task, path: Path, times: Address) -> int:
    """utime(2). Linux: fs/utimes.c, SYSCALL_DEFINE2(utime)."""
    stamps = (NOW, NOW)
    if times:
        data = task.mm.read(times, 16)
        stamps = (_seconds(data[:8]) * NS_PER_S, _seconds(data[8:]) * NS_PER_S)
    change_times(lookup(task.fs, task.credentials, path), task.credentials, *stamps)
    return 0


def _seconds(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


@syscall(235)
def utimes(task: Task, path: OptionalPath, times: In[Timeval]) -> int:
    """utimes(2). Linux: fs/utimes.c, SYSCALL_DEFINE2(utimes)."""
    return _set_times(task, AT_FDCWD, path, _from_timevals(task, times.address), 0)


@syscall(261)
def futimesat(task: Task, directory: Fd, path: OptionalPath, times: In[Timeval]) -> int:
    """futimesat(2). Linux: fs/utimes.c, do_futimesat."""
    return _set_times(task, directory, path, _from_timevals(task, times.address), 0)


def _from_timevals(task: Task, address: int) -> tuple[int, int]:
    """The two time stamps of a struct timeval[2], now for NULL. Raises EINVAL, EFAULT."""
    if not address:
        return NOW, NOW
    stamps = Timeval.unpack_array(task.mm.read(address, 2 * Timeval.SIZE))
    for stamp in stamps:
        if not 0 <= stamp.tv_usec < 1_000_000:
            raise EINVAL
    access, modification = (stamp.tv_sec * NS_PER_S + stamp.tv_usec * 1000 for stamp in stamps)
    return access, modification


@syscall(280)
def utimensat(
    task: Task, directory: Fd, path: OptionalPath, times: In[Timespec], flags: Flags[AtFlag]
) -> int:
    """utimensat(2). Linux: fs/utimes.c, SYSCALL_DEFINE4(utimensat)."""
    if not times:
        return _set_times(task, directory, path, (NOW, NOW), flags)
    access, modification = Timespec.unpack_array(task.mm.read(times.address, 2 * Timespec.SIZE))
    if access.tv_nsec == _UTIME_OMIT and modification.tv_nsec == _UTIME_OMIT:
        return 0
    return _set_times(task, directory, path, (_from_timespec(access), _from_timespec(modification)), flags)


def _from_timespec(stamp: Timespec) -> int | None:
    """Nanoseconds, NOW or OMIT; None if it's invalid."""
    if stamp.tv_nsec == _UTIME_NOW:
        return NOW
    if stamp.tv_nsec == _UTIME_OMIT:
        return OMIT
    return stamp.tv_sec * NS_PER_S + stamp.tv_nsec if 0 <= stamp.tv_nsec < NS_PER_S else None


def _set_times(
    task: Task, directory_fd: int, name: bytes | None, stamps: tuple[int | None, int | None], flags: int
) -> int:
    """Linux: fs/utimes.c, do_utimes."""
    if name is None and directory_fd != AT_FDCWD:
        if flags:
            raise EINVAL
        place = opened_file(task, directory_fd).path
    else:
        if flags & ~_FLAGS:
            raise EINVAL
        if name is None:
            raise EFAULT
        place = _find(task, directory_fd, name, flags)
    access, modification = stamps
    # Linux looks at the times only once it has found the file.
    if access is None or modification is None:
        raise EINVAL
    change_times(place, task.credentials, access, modification)
    return 0


@syscall(95)
def umask(task: Task, mask: Mode) -> int:
    """umask(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(umask)."""
    context = task.fs
    previous, context.umask = context.umask, mask & 0o777
    return previous
