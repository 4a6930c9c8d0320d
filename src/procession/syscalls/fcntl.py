"""fcntl and flock: descriptors duplicated and flagged, files locked, owners for SIGIO, sizes of pipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBADF, EINVAL, ENOTDIR, EPERM, ESRCH
from procession.abi.file_mode import S_IFMT
from procession.abi.open_flags import (
    DirectoryNotifyFlag,
    FcntlCommand,
    Flock,
    FlockOperation,
    FOwnerEx,
    LockType,
    OwnerType,
    Whence,
)
from procession.abi.word import pack_array, pack_u64
from procession.fs.file import (
    FASYNC,
    MAXIMUM_SIZE,
    O_APPEND,
    O_DIRECT,
    O_NOATIME,
    O_NONBLOCK,
    File,
    PathFile,
)
from procession.fs.host_stream import StreamInode
from procession.fs.inode import APPEND_ONLY, S_IFIFO
from procession.fs.inotify import inotify_of
from procession.fs.lock import (
    F_UNLCK,
    RecordLock,
    WholeLock,
    check_lockable,
    lock_range,
    locks_of,
    set_lock,
    test_lock,
    unlock,
)
from procession.fs.lock import flock as lock_whole
from procession.fs.memfd import add_seals, seals_of
from procession.fs.mounts.id_map import through
from procession.fs.permission import inode_owner_or_capable
from procession.fs.pipe import PipeFile
from procession.fs.regular_file import RegularFile
from procession.fs.wait_queue import Sleep
from procession.kernel.pid import find_pid
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.signal.io import FileOwner, can_signal_readiness, owner_of, set_async
from procession.kernel.signal.message import LeaseSignal, become_owner, notify_of_directory
from procession.kernel.task import Task
from procession.kernel.time.costs import LOCK_NS
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import U64, Choice, Fd, Flags

if TYPE_CHECKING:
    from collections.abc import Callable

_SETTABLE = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME
_SIGNAL_COUNT = 64
_LAST_WRITE_HINT = 5
_UNSIGNED = 0xFFFFFFFF
_LOCK_SH = int(FlockOperation.LOCK_SH)
_LOCK_EX = int(FlockOperation.LOCK_EX)
_LOCK_NB = int(FlockOperation.LOCK_NB)
_LOCK_UN = int(FlockOperation.LOCK_UN)
_LOCK_MAND = int(FlockOperation.LOCK_MAND)
_OFD_COMMANDS = frozenset(
    {int(FcntlCommand.F_OFD_GETLK), int(FcntlCommand.F_OFD_SETLK), int(FcntlCommand.F_OFD_SETLKW)}
)
_BLOCKING_LOCKS = frozenset({int(FcntlCommand.F_SETLKW), int(FcntlCommand.F_OFD_SETLKW)})


@syscall(72)
def fcntl(task: Task, fd: Fd, command: Choice[FcntlCommand], argument: U64) -> int:
    """fcntl(2). Linux: fs/fcntl.c, do_fcntl."""
    file = task.file_of_call(fd)
    if file is None:
        raise EBADF
    if isinstance(file, PathFile) and command not in _FOR_PATHS:
        raise EBADF("opened with O_PATH")
    do = _COMMANDS.get(command)
    if do is None:
        raise EINVAL(f"command {command}")
    return do(task, fd, file, command, argument)


def _duplicate(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_DUPFD, F_DUPFD_CLOEXEC. Linux: fs/file.c, f_dupfd."""
    minimum = argument & _UNSIGNED
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    if minimum >= limit:
        raise EINVAL
    return task.files.install(
        file, close_on_exec=command == FcntlCommand.F_DUPFD_CLOEXEC, minimum=minimum, limit=limit
    )


def _is_duplicate(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_DUPFD_QUERY: whether another descriptor leads to the same open file."""
    return int(task.files.file(argument & _UNSIGNED) is file)


def _get_descriptor_flags(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    return int(fd in task.files.close_on_exec)


def _set_descriptor_flags(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    task.files.set_close_on_exec(fd, bool(argument & 1))
    return 0


def _get_flags(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    return file.flags


def _set_flags(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    change_flags(task, fd, file, argument)
    return 0


def change_flags(task: Task, fd: int, file: File, flags: int) -> None:
    """Set what F_SETFL can set of an open file's flags. Raises EPERM, EINVAL. Linux: fs/fcntl.c, setfl."""
    if (flags ^ file.flags) & O_APPEND and file.inode.flags & APPEND_ONLY:
        raise EPERM("the file is only appended to")
    if (
        flags & O_NOATIME
        and not file.flags & O_NOATIME
        and not inode_owner_or_capable(through(file.path.mount, task.credentials), file.inode)
    ):
        raise EPERM
    if (
        flags & O_DIRECT
        and file.inode.mode & S_IFMT != S_IFIFO
        and (not isinstance(file, RegularFile) or file.inode.superblock.is_internal)
    ):
        raise EINVAL("there is no direct access to a file that is made up, nor to a memfd")
    if (flags ^ file.flags) & FASYNC and can_signal_readiness(file):
        set_async(task.kernel, file, fd, bool(flags & FASYNC))
        file.flags ^= FASYNC
    file.flags = flags & _SETTABLE | file.flags & ~_SETTABLE


def _as_int(argument: int) -> int:
    return (argument & _UNSIGNED ^ 0x80000000) - 0x80000000


def set_owner(task: Task, file: File, kind: int, number: int) -> None:
    """Make a thread, process or process group, or with 0 nobody, get the file's signals. Raises ESRCH.

    Linux: fs/fcntl.c, __f_setown.
    """
    pid = find_pid(task.pid_namespace, number) if number else None
    if number and pid is None:
        raise ESRCH
    owner_of(file).set(kind, pid, task)


def owner_number(task: Task, file: File) -> tuple[int, int]:
    """The kind and number of whom the file's signals go to, for `task`; 0 for nobody it sees."""
    owner = file.owner
    if not isinstance(owner, FileOwner):
        return int(OwnerType.F_OWNER_TID), 0
    if owner.pid is None or owner.target is None:
        return owner.kind, 0
    return owner.kind, owner.pid.number_in(task.pid_namespace)


def _set_owner(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    set_owner_number(task, file, _as_int(argument))
    return 0


def set_owner_number(task: Task, file: File, number: int) -> None:
    """F_SETOWN: a process, or by a negative number a process group. Linux: fs/fcntl.c, f_setown."""
    if number == -0x80000000:
        raise EINVAL
    kind = OwnerType.F_OWNER_PGRP if number < 0 else OwnerType.F_OWNER_PID
    set_owner(task, file, int(kind), abs(number))


def _get_owner(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    return signed_owner_number(task, file)


def signed_owner_number(task: Task, file: File) -> int:
    """F_GETOWN: negative for a process group."""
    kind, number = owner_number(task, file)
    return -number if kind == OwnerType.F_OWNER_PGRP else number


def _set_owner_ex(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    wanted = FOwnerEx.unpack(task.mm.read(argument, FOwnerEx.SIZE))
    if wanted.type not in (OwnerType.F_OWNER_TID, OwnerType.F_OWNER_PID, OwnerType.F_OWNER_PGRP):
        raise EINVAL
    set_owner(task, file, wanted.type, wanted.pid)
    return 0


def _get_owner_ex(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    task.mm.write(argument, FOwnerEx(*owner_number(task, file)).pack())
    return 0


def _get_owner_uids(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_GETOWNER_UIDS: the real and effective user id of who set the owner."""
    owner = file.owner
    credentials = owner.credentials if isinstance(owner, FileOwner) else None
    ids = (0, 0) if credentials is None else (credentials.uid, credentials.euid)
    shown = task.credentials.user_namespace.from_kuid
    task.mm.write(argument, pack_array("I", tuple(map(shown, ids))))
    return 0


def _set_signal(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    if argument > _SIGNAL_COUNT:
        raise EINVAL
    owner_of(file).signo = argument
    return 0


def _get_signal(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    return file.owner.signo if isinstance(file.owner, FileOwner) else 0


def _get_lease(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    locks = file.inode.locks
    return F_UNLCK if locks is None else locks.leases.kind_for(file)


def _set_lease(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_SETLEASE. Linux: fs/locks.c, fcntl_setlease."""
    leases = locks_of(file.inode).leases
    holder = LeaseSignal(task.kernel, file, fd)
    leases.set(file, _as_int(argument), through(file.path.mount, task.credentials), task.group.pid, holder)
    if argument & _UNSIGNED != F_UNLCK:
        become_owner(task, file)
    return 0


def _notify(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_NOTIFY. Linux: fs/notify/dnotify/dnotify.c, fcntl_dirnotify."""
    vfs = task.kernel.vfs
    if not vfs.has_directory_notification:
        raise EINVAL("fs.dir-notify-enable is 0")
    mask = argument & _UNSIGNED
    if mask & ~int(DirectoryNotifyFlag.DN_MULTISHOT) and not file.inode.is_directory:
        raise ENOTDIR
    notify_of_directory(task, inotify_of(vfs), file, fd, mask)
    return 0


def _was_created(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_CREATED_QUERY: whether the open made the file."""
    return int(file.is_created)


def _set_pipe_size(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    size = argument & _UNSIGNED
    if isinstance(file.inode, StreamInode) and file.inode.is_pipe:
        return file.inode.resize(size, task.credentials)
    if not isinstance(file, PipeFile):
        raise EBADF("not a pipe")
    return file.pipe.resize(size, task.credentials)


def _get_pipe_size(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    if isinstance(file.inode, StreamInode) and file.inode.is_pipe:
        return file.inode.capacity
    if not isinstance(file, PipeFile):
        raise EBADF("not a pipe")
    return file.pipe.capacity


def _add_seals(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    add_seals(file, argument & _UNSIGNED)
    return 0


def _get_seals(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    return seals_of(file)


def _set_write_hint(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_SET_RW_HINT. Linux: fs/fcntl.c, fcntl_set_rw_hint."""
    if not inode_owner_or_capable(through(file.path.mount, task.credentials), file.inode):
        raise EPERM
    hint = int.from_bytes(task.mm.read(argument, 8), "little")
    if hint > _LAST_WRITE_HINT:
        raise EINVAL
    file.inode.write_hint = hint
    return 0


def _get_write_hint(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_GET_RW_HINT. Linux: fs/fcntl.c, fcntl_get_rw_hint."""
    task.mm.write(argument, pack_u64(file.inode.write_hint))
    return 0


def _wanted_lock(task: Task, file: File, command: int, lock: Flock) -> RecordLock:
    """What a struct flock asks for. Raises EINVAL, EOVERFLOW."""
    start, end = lock_range(file, lock.l_whence, lock.l_start, lock.l_len)
    if command in _OFD_COMMANDS:
        if lock.l_pid:
            if command != FcntlCommand.F_OFD_GETLK:
                check_lockable(file, lock.l_type)
            raise EINVAL
        return RecordLock(file, None, lock.l_type, start, end)
    return RecordLock(task.files, task.group.pid, lock.l_type, start, end)


def _set_record_lock(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_SETLK, F_SETLKW and their OFD kin. Linux: fs/locks.c, fcntl_setlk."""
    task.kernel.clock.spend(LOCK_NS)
    frame = task.frame
    if frame is not None and isinstance(frame.progress, RecordLock):
        wanted = frame.progress
    else:
        lock = Flock.unpack(task.mm.read(argument, Flock.SIZE))
        wanted = _wanted_lock(task, file, command, lock)
    try:
        set_lock(file, wanted, is_blocking=command in _BLOCKING_LOCKS)
    except Sleep as sleep:
        sleep.progress = wanted
        raise
    if frame is not None and wanted.kind != F_UNLCK and task.files.files.get(fd) is not file:
        # Another thread has closed the descriptor: whoever gets the file next must not find it locked.
        set_lock(
            file, RecordLock(wanted.owner, wanted.pid, F_UNLCK, wanted.start, wanted.end), is_blocking=False
        )
        raise EBADF("the descriptor was closed meanwhile")
    return 0


def _get_record_lock(task: Task, fd: int, file: File, command: int, argument: int) -> int:
    """F_GETLK, F_OFD_GETLK. Linux: fs/locks.c, fcntl_getlk."""
    task.kernel.clock.spend(LOCK_NS)
    lock = Flock.unpack(task.mm.read(argument, Flock.SIZE))
    is_ofd = command in _OFD_COMMANDS
    is_known = lock.l_type in (LockType.F_RDLCK, LockType.F_WRLCK)
    if not is_known and not is_ofd:
        raise EINVAL
    wanted = _wanted_lock(task, file, command, lock)
    if not is_known and lock.l_type != F_UNLCK:
        raise EINVAL
    held = test_lock(file, wanted)
    if held is None:
        lock.l_type = F_UNLCK
    else:
        number = -1 if held.pid is None else held.pid.number_in(task.pid_namespace)
        length = 0 if held.end == MAXIMUM_SIZE else held.end - held.start + 1
        lock = Flock(held.kind, int(Whence.SEEK_SET), held.start, length, number)
    task.mm.write(argument, lock.pack())
    return 0


_COMMANDS: dict[int, Callable[[Task, int, File, int, int], int]] = {
    int(command): do
    for command, do in (
        (FcntlCommand.F_DUPFD, _duplicate),
        (FcntlCommand.F_DUPFD_CLOEXEC, _duplicate),
        (FcntlCommand.F_DUPFD_QUERY, _is_duplicate),
        (FcntlCommand.F_GETFD, _get_descriptor_flags),
        (FcntlCommand.F_SETFD, _set_descriptor_flags),
        (FcntlCommand.F_GETFL, _get_flags),
        (FcntlCommand.F_SETFL, _set_flags),
        (FcntlCommand.F_SETOWN, _set_owner),
        (FcntlCommand.F_GETOWN, _get_owner),
        (FcntlCommand.F_SETOWN_EX, _set_owner_ex),
        (FcntlCommand.F_GETOWN_EX, _get_owner_ex),
        (FcntlCommand.F_GETOWNER_UIDS, _get_owner_uids),
        (FcntlCommand.F_SETSIG, _set_signal),
        (FcntlCommand.F_GETSIG, _get_signal),
        (FcntlCommand.F_SETLEASE, _set_lease),
        (FcntlCommand.F_GETLEASE, _get_lease),
        (FcntlCommand.F_NOTIFY, _notify),
        (FcntlCommand.F_CREATED_QUERY, _was_created),
        (FcntlCommand.F_SETPIPE_SZ, _set_pipe_size),
        (FcntlCommand.F_GETPIPE_SZ, _get_pipe_size),
        (FcntlCommand.F_SET_RW_HINT, _set_write_hint),
        (FcntlCommand.F_GET_RW_HINT, _get_write_hint),
        (FcntlCommand.F_ADD_SEALS, _add_seals),
        (FcntlCommand.F_GET_SEALS, _get_seals),
        (FcntlCommand.F_GETLK, _get_record_lock),
        (FcntlCommand.F_OFD_GETLK, _get_record_lock),
        (FcntlCommand.F_SETLK, _set_record_lock),
        (FcntlCommand.F_SETLKW, _set_record_lock),
        (FcntlCommand.F_OFD_SETLK, _set_record_lock),
        (FcntlCommand.F_OFD_SETLKW, _set_record_lock),
    )
}
_FOR_PATHS = frozenset(
    int(command)
    for command in (
        FcntlCommand.F_DUPFD,
        FcntlCommand.F_DUPFD_CLOEXEC,
        FcntlCommand.F_DUPFD_QUERY,
        FcntlCommand.F_GETFD,
        FcntlCommand.F_SETFD,
        FcntlCommand.F_GETFL,
        FcntlCommand.F_CREATED_QUERY,
    )
)


@syscall(73)
def flock(task: Task, fd: Fd, operation: Flags[FlockOperation]) -> int:
    """flock(2). Linux: fs/locks.c, SYSCALL_DEFINE2(flock)."""
    if operation & _LOCK_MAND:
        # Mandatory locks of Windows shares, which do nothing since 5.17.
        return 0
    kind = operation & ~_LOCK_NB
    if kind not in (_LOCK_SH, _LOCK_EX, _LOCK_UN):
        raise EINVAL
    file = opened_file(task, fd)
    task.kernel.clock.spend(LOCK_NS)
    if kind == _LOCK_UN:
        unlock(file)
        return 0
    if not (file.is_readable or file.is_writable):
        raise EBADF
    awaited = task.frame.progress if task.frame is not None else None
    lock_whole(
        file,
        task.group.pid,
        is_exclusive=kind == _LOCK_EX,
        is_blocking=not operation & _LOCK_NB,
        awaited=awaited if isinstance(awaited, WholeLock) else None,
    )
    return 0
