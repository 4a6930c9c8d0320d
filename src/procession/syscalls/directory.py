"""Directories: listing, making, removing, and the current and root directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EFAULT, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, ERANGE
from procession.abi.limits import PATH_MAX
from procession.abi.open_flags import AT_FDCWD
from procession.abi.word import Words, pack_u8, wrap_signed
from procession.fs import directory as directories
from procession.fs.dentry import path_below
from procession.fs.file import O_NOATIME
from procession.fs.file_events import note_access
from procession.fs.mounts.id_map import through
from procession.fs.namei import lookup
from procession.fs.permission import MAY_EXEC
from procession.kernel.time.costs import LISTED_NAME_NS
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Fd, Mode, OutBuffer, Path, Size, UInt
from procession.syscalls.paths import start_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.fs.file import File
    from procession.fs.inode import DirectoryEntry
    from procession.kernel.task import Task

_CAP_SYS_CHROOT = int(Capability.CAP_SYS_CHROOT)
_HEADER, _HEADER_AND_TYPE = Words("<QqH"), Words("<QqHB")


@syscall(217)
def getdents64(task: Task, fd: Fd, buffer: Address, size: UInt) -> int:
    """getdents64(2). Linux: fs/readdir.c, SYSCALL_DEFINE3(getdents64)."""
    return _list(task, fd, buffer, size, _pack_64)


@syscall(78)
def getdents(task: Task, fd: Fd, buffer: Address, size: UInt) -> int:
    """getdents(2). Linux: fs/readdir.c, SYSCALL_DEFINE3(getdents)."""
    return _list(task, fd, buffer, size, _pack_old)


def _pack_64(entry: DirectoryEntry, offset: int) -> bytes:
    """struct linux_dirent64: the type, then the name, padded to eight bytes."""
    length = 19 + len(entry.name) + 1 + 7 & ~7
    header = _HEADER_AND_TYPE.pack(entry.number, offset, length, entry.type)
    return (header + entry.name).ljust(length, b"\0")


def _pack_old(entry: DirectoryEntry, offset: int) -> bytes:
    """struct linux_dirent: the name, padded, and the type in the last byte."""
    length = 18 + len(entry.name) + 2 + 7 & ~7
    header = _HEADER.pack(entry.number, offset, length)
    return (header + entry.name).ljust(length - 1, b"\0") + pack_u8(entry.type)


def _list(task: Task, fd: int, buffer: int, size: int, pack: Callable[[DirectoryEntry, int], bytes]) -> int:
    """Fill `buffer` with as many entries as fit; `size` is an int. Linux: fs/readdir.c, iterate_dir."""
    size = wrap_signed(size, 32)
    file = task.files.file(fd)
    entries = file.list_directory()
    try:
        return _put_entries(task, file, entries, buffer, size, pack)
    finally:
        _note_listing(file)


def _note_listing(file: File) -> None:
    """The directory was gone through, whatever has come of it. Linux: fs/readdir.c, iterate_dir."""
    note_access(file)
    if not file.flags & O_NOATIME:
        file.inode.touch_accessed(file.path.mount.flags)


def _put_entries(
    task: Task,
    file: File,
    entries: list[DirectoryEntry],
    buffer: int,
    size: int,
    pack: Callable[[DirectoryEntry, int], bytes],
) -> int:
    """Fill `buffer` and move the position behind what fits. Raises EINVAL for none of them, EFAULT."""
    packed: list[bytes] = []
    total = 0
    for index, entry in enumerate(entries):
        record = pack(entry, file.position_behind(index))
        if total + len(record) > size:
            if not packed:
                raise EINVAL("no room for one entry")
            break
        packed.append(record)
        total += len(record)
    if packed:
        task.kernel.clock.spend(len(packed) * LISTED_NAME_NS)
        try:
            task.mm.write(buffer, b"".join(packed))
        except EFAULT:
            packed, total = _put_some(task, buffer, packed)
        file.position = file.position_behind(len(packed) - 1)
    return total


def _put_some(task: Task, buffer: int, records: list[bytes]) -> tuple[list[bytes], int]:
    """The records that go whole before memory ends, and their length. Raises EFAULT if it's none."""
    total = 0
    for count, record in enumerate(records):
        try:
            task.mm.write(buffer + total, record)
        except EFAULT:
            if not count:
                raise
            return records[:count], total
        total += len(record)
    return records, total


@syscall(83)
def mkdir(task: Task, path: Path, mode: Mode) -> int:
    """mkdir(2). Linux: fs/namei.c, do_mkdirat."""
    directories.make_directory(task.fs, task.credentials, path, None, mode)
    return 0


@syscall(258)
def mkdirat(task: Task, directory: Fd, path: Path, mode: Mode) -> int:
    """mkdirat(2). Linux: fs/namei.c, do_mkdirat."""
    directories.make_directory(task.fs, task.credentials, path, start_of(task, directory, path), mode)
    return 0


@syscall(84)
def rmdir(task: Task, path: Path) -> int:
    """rmdir(2). Linux: fs/namei.c, do_rmdir."""
    directories.remove_directory(task.fs, task.credentials, path, start_of(task, AT_FDCWD, path))
    return 0


@syscall(80)
def chdir(task: Task, path: Path) -> int:
    """chdir(2). Linux: fs/open.c, SYSCALL_DEFINE1(chdir)."""
    place = lookup(task.fs, task.credentials, path, must_be_directory=True)
    place.dentry.inode.check_permission(through(place.mount, task.credentials), MAY_EXEC)
    task.fs.set_cwd(place)
    return 0


@syscall(81)
def fchdir(task: Task, fd: Fd) -> int:
    """fchdir(2). Linux: fs/open.c, SYSCALL_DEFINE1(fchdir)."""
    place = task.files.file(fd).path
    if not place.dentry.inode.is_directory:
        raise ENOTDIR
    place.dentry.inode.check_permission(through(place.mount, task.credentials), MAY_EXEC)
    task.fs.set_cwd(place)
    return 0


@syscall(161)
def chroot(task: Task, path: Path) -> int:
    """chroot(2). Linux: fs/open.c, SYSCALL_DEFINE1(chroot)."""
    place = lookup(task.fs, task.credentials, path, must_be_directory=True)
    place.dentry.inode.check_permission(through(place.mount, task.credentials), MAY_EXEC)
    if not task.credentials.capable_in_own(_CAP_SYS_CHROOT):
        raise EPERM
    task.fs.set_root(place)
    return 0


@syscall(79)
def getcwd(task: Task, buffer: OutBuffer, size: Size) -> int:
    """getcwd(2): the length with the NUL. Linux: fs/d_path.c, SYSCALL_DEFINE2(getcwd)."""
    cwd = task.fs.cwd
    if cwd.dentry.is_deleted:
        raise ENOENT
    name, is_reachable = path_below(cwd, task.fs.root)
    if not is_reachable:
        name = b"(unreachable)" + name
    if len(name) >= PATH_MAX:
        raise ENAMETOOLONG("a name longer than PATH_MAX")
    if len(name) >= size:
        raise ERANGE
    task.mm.write(buffer, name + b"\0")
    return len(name) + 1
