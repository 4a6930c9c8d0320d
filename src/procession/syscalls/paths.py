"""How system calls name files: relative to a directory's descriptor, or by a descriptor itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.open_flags import AT_FDCWD, AtFlag
from procession.fs.namei import NOWHERE, lookup

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.kernel.task import Task

SLASH: Final = 0x2F
AT_SYMLINK_NOFOLLOW: Final = int(AtFlag.AT_SYMLINK_NOFOLLOW)
AT_EMPTY_PATH: Final = int(AtFlag.AT_EMPTY_PATH)


def start_of(task: Task, directory_fd: int, name: bytes, *, is_in_root: bool = False) -> Path | None:
    """Where a walk along `name` starts, None for the current directory.

    With `is_in_root` (RESOLVE_IN_ROOT) an absolute one does so too. That there is no such descriptor is found
    out by the walk, after all that comes before it.
    Linux: fs/namei.c, path_init.
    """
    if directory_fd == AT_FDCWD or (name and name[0] == SLASH and not is_in_root):
        return None
    file = task.files.files.get(directory_fd)
    return NOWHERE if file is None else file.path


def find_by_flags(task: Task, directory_fd: int, name: bytes | None, flags: int) -> Path:
    """The place called `name` relative to a descriptor, by AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH of `flags`.

    Raises what `find` does. Linux: fs/namei.c, user_path_at.
    """
    if name is None:
        name = b""
    start = start_of(task, directory_fd, name)
    follow, allow_empty = not flags & AT_SYMLINK_NOFOLLOW, bool(flags & AT_EMPTY_PATH)
    return lookup(task.fs, task.credentials, name, start, follow=follow, allow_empty=allow_empty)


def find(
    task: Task,
    directory_fd: int,
    name: bytes | None,
    *,
    follow: bool,
    allow_empty: bool = False,
) -> Path:
    """The place called `name` relative to a descriptor; None is as empty a name as b"".

    Raises EBADF, and what `namei.lookup` raises. Linux: fs/namei.c, user_path_at.
    """
    if name is None:
        name = b""
    start = start_of(task, directory_fd, name)
    return lookup(task.fs, task.credentials, name, start, follow=follow, allow_empty=allow_empty)
