"""Names of files: link, symlink, unlink, rename, mknod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT
from procession.abi.file_mode import RenameFlag
from procession.abi.limits import PATH_MAX
from procession.abi.open_flags import AT_FDCWD, AtFlag
from procession.fs import directory as directories
from procession.fs.permission import CAP_DAC_READ_SEARCH
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Fd, Flags, Mode, Path, Text, UInt
from procession.syscalls.paths import find, start_of

if TYPE_CHECKING:
    from procession.kernel.task import Task

_AT_SYMLINK_FOLLOW = int(AtFlag.AT_SYMLINK_FOLLOW)
_AT_EMPTY_PATH = int(AtFlag.AT_EMPTY_PATH)
_AT_REMOVEDIR = int(AtFlag.AT_REMOVEDIR)


@syscall(86)
def link(task: Task, old: Path, new: Path) -> int:
    """link(2). Linux: fs/namei.c, SYSCALL_DEFINE2(link)."""
    return _link(task, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall(265)
def linkat(
    task: Task, old_directory: Fd, old: Path, new_directory: Fd, new: Path, flags: Flags[AtFlag]
) -> int:
    """linkat(2). Linux: fs/namei.c, do_linkat."""
    if flags & ~(_AT_SYMLINK_FOLLOW | _AT_EMPTY_PATH):
        raise EINVAL
    return _link(task, old_directory, old, new_directory, new, flags)


def _check_owner_of_descriptor(task: Task, fd: int, name: bytes) -> None:
    """Raise ENOENT unless who opened a descriptor makes the link, whether there is a name below it or not.

    Linux: fs/namei.c, path_init.
    """
    file = task.files.files.get(fd)
    if file is None or name[:1] in (b"/", b"\0") or len(name) >= PATH_MAX:
        # The walk tells what's wrong, if anything is.
        return
    if file.subject is not task.credentials and not task.credentials.capable(CAP_DAC_READ_SEARCH):
        raise ENOENT


def _link(task: Task, old_fd: int, old: bytes, new_fd: int, new: bytes, flags: int) -> int:
    if flags & _AT_EMPTY_PATH:
        _check_owner_of_descriptor(task, old_fd, old)
    place = find(
        task,
        old_fd,
        old,
        follow=bool(flags & _AT_SYMLINK_FOLLOW),
        allow_empty=bool(flags & _AT_EMPTY_PATH),
    )
    directories.make_link(task.fs, task.credentials, place, new, start_of(task, new_fd, new))
    return 0


@syscall(88)
def symlink(task: Task, target: Text, path: Path) -> int:
    """symlink(2). Linux: fs/namei.c, SYSCALL_DEFINE2(symlink)."""
    directories.make_symlink(task.fs, task.credentials, target, path)
    return 0


@syscall(266)
def symlinkat(task: Task, target: Text, directory: Fd, path: Path) -> int:
    """symlinkat(2). Linux: fs/namei.c, do_symlinkat."""
    directories.make_symlink(task.fs, task.credentials, target, path, start_of(task, directory, path))
    return 0


@syscall(87)
def unlink(task: Task, path: Path) -> int:
    """unlink(2). Linux: fs/namei.c, do_unlinkat."""
    directories.remove_file(task.fs, task.credentials, path)
    return 0


@syscall(263)
def unlinkat(task: Task, directory: Fd, path: Path, flags: Flags[AtFlag]) -> int:
    """unlinkat(2). Linux: fs/namei.c, SYSCALL_DEFINE3(unlinkat)."""
    if flags & ~_AT_REMOVEDIR:
        raise EINVAL
    remove = directories.remove_directory if flags else directories.remove_file
    remove(task.fs, task.credentials, path, start_of(task, directory, path))
    return 0


@syscall(82)
def rename(task: Task, old: Path, new: Path) -> int:
    """rename(2). Linux: fs/namei.c, SYSCALL_DEFINE2(rename)."""
    directories.rename(task.fs, task.credentials, old, None, new)
    return 0


@syscall(264)
def renameat(task: Task, old_directory: Fd, old: Path, new_directory: Fd, new: Path) -> int:
    """renameat(2). Linux: fs/namei.c, SYSCALL_DEFINE4(renameat)."""
    return _rename(task, old_directory, old, new_directory, new, 0)


@syscall(316)
def renameat2(
    task: Task, old_directory: Fd, old: Path, new_directory: Fd, new: Path, flags: Flags[RenameFlag]
) -> int:
    """renameat2(2). Linux: fs/namei.c, do_renameat2."""
    return _rename(task, old_directory, old, new_directory, new, flags)


def _rename(task: Task, old_fd: int, old: bytes, new_fd: int, new: bytes, flags: int) -> int:
    old_start, new_start = start_of(task, old_fd, old), start_of(task, new_fd, new)
    directories.rename(task.fs, task.credentials, old, old_start, new, new_start, flags)
    return 0


@syscall(133)
def mknod(task: Task, path: Path, mode: Mode, device: UInt) -> int:
    """mknod(2). Linux: fs/namei.c, SYSCALL_DEFINE3(mknod)."""
    directories.make_node(task.fs, task.credentials, path, None, mode, device)
    return 0


@syscall(259)
def mknodat(task: Task, directory: Fd, path: Path, mode: Mode, device: UInt) -> int:
    """mknodat(2). Linux: fs/namei.c, do_mknodat."""
    start = start_of(task, directory, path)
    directories.make_node(task.fs, task.credentials, path, start, mode, device)
    return 0
