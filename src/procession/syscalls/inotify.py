"""inotify_init1, inotify_add_watch, inotify_rm_watch; fanotify is configured out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOSYS
from procession.abi.inotify import InotifyFlag, InotifyMask
from procession.fs.file import O_CLOEXEC, O_NONBLOCK
from procession.fs.inotify import InotifyFile
from procession.fs.mounts.id_map import through
from procession.fs.namei import lookup
from procession.fs.permission import MAY_READ
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import U64, Fd, Flags, Int, Path, UInt

if TYPE_CHECKING:
    from procession.fs.inotify import InotifyFile
    from procession.kernel.task import Task

_ONLYDIR = int(InotifyMask.IN_ONLYDIR)
_DONT_FOLLOW = int(InotifyMask.IN_DONT_FOLLOW)
_MASK_ADD = int(InotifyMask.IN_MASK_ADD)
_MASK_CREATE = int(InotifyMask.IN_MASK_CREATE)
_ALL_BITS = 0xFFF | 0xE000 | 0xF700_0000


@syscall(253)
def inotify_init(task: Task) -> int:
    """inotify_init(2). Linux: fs/notify/inotify/inotify_user.c, do_inotify_init."""
    return _new_instance(task, 0)


@syscall(294)
def inotify_init1(task: Task, flags: Flags[InotifyFlag]) -> int:
    """inotify_init1(2). Linux: fs/notify/inotify/inotify_user.c, do_inotify_init."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise EINVAL("unknown flags")
    return _new_instance(task, flags)


def _new_instance(task: Task, flags: int) -> int:
    file = InotifyFile(task.kernel.vfs, flags & O_NONBLOCK, task.credentials)
    return task.files.install(
        file, close_on_exec=bool(flags & O_CLOEXEC), limit=task.group.limits.soft[RLIMIT_NOFILE]
    )


def _instance(task: Task, fd: int) -> InotifyFile:
    """The inotify instance behind `fd`. Raises EBADF, EINVAL."""
    file = opened_file(task, fd)
    if not isinstance(file, InotifyFile):
        raise EINVAL("no inotify instance")
    return file


@syscall(254)
def inotify_add_watch(task: Task, fd: Fd, path: Path, mask: Flags[InotifyMask]) -> int:
    """inotify_add_watch(2). Linux: fs/notify/inotify/inotify_user.c, SYSCALL_DEFINE3(inotify_add_watch)."""
    if mask & ~_ALL_BITS or not mask:
        raise EINVAL("no event, or unknown ones")
    opened_file(task, fd)
    if mask & _MASK_ADD and mask & _MASK_CREATE:
        raise EINVAL("both IN_MASK_ADD and IN_MASK_CREATE")
    instance = _instance(task, fd)
    credentials = task.credentials
    place = lookup(
        task.fs,
        credentials,
        path,
        follow=not mask & _DONT_FOLLOW,
        must_be_directory=bool(mask & _ONLYDIR),
    )
    place.dentry.inode.check_permission(through(place.mount, credentials), MAY_READ)
    return instance.watch(place.dentry.inode, mask)


@syscall(255)
def inotify_rm_watch(task: Task, fd: Fd, watch: Int) -> int:
    """inotify_rm_watch(2). Linux: fs/notify/inotify/inotify_user.c, SYSCALL_DEFINE2(inotify_rm_watch)."""
    _instance(task, fd).unwatch(watch)
    return 0


@syscall(300)
def fanotify_init(task: Task, flags: UInt, event_flags: UInt) -> int:
    """fanotify_init(2): not configured."""
    raise ENOSYS


@syscall(301)
def fanotify_mark(task: Task, fd: Fd, flags: UInt, mask: U64, directory: Fd, path: U64) -> int:
    """fanotify_mark(2): not configured."""
    raise ENOSYS
