"""name_to_handle_at and open_by_handle_at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP, EOVERFLOW, EPERM, ESTALE, Errno
from procession.abi.open_flags import AT_FDCWD, O_ACCMODE, HandleFlag, KernelRoot, OpenFlag
from procession.abi.word import Words, pack_u32, pack_u64
from procession.fs.dentry import Path as Place
from procession.fs.file import O_CLOEXEC, O_EXCL, O_LARGEFILE, O_NONBLOCK, O_PATH
from procession.fs.handle import NoExportOperations, find_by_handle
from procession.fs.opening import finish_opening, open_place
from procession.fs.permission import CAP_DAC_READ_SEARCH
from procession.fs.pipe import FifoOpening
from procession.kernel.namespaces.nsfs import (
    NamespaceFileSystem,
    find_namespace_by_handle,
    namespace_file_system,
)
from procession.kernel.pidfd import PidFileSystem, open_pidfd_by_handle, pid_file_system
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Fd, Flags, Path
from procession.syscalls.paths import find

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.task import Task

_UNIQUE = int(HandleFlag.AT_HANDLE_MNT_ID_UNIQUE)
_CONNECTABLE = int(HandleFlag.AT_HANDLE_CONNECTABLE)
_FID = int(HandleFlag.AT_HANDLE_FID)
_FOLLOW = int(HandleFlag.AT_SYMLINK_FOLLOW)
_EMPTY = int(HandleFlag.AT_EMPTY_PATH)
_HEADER = Words("<Ii")
_NOT_TO_BE_OPENED = NoExportOperations()
_IS_CONNECTABLE, _IS_DIRECTORY = 0x10000, 0x20000
_USER_FLAGS, _KNOWN_USER_FLAGS = 0xFFFF0000, _IS_CONNECTABLE | _IS_DIRECTORY
"""What is above a handle's type: whether it's connectable, and a directory's."""
_FILEID_INVALID = 255
"""The type of a handle for which there was no room (Linux: include/linux/exportfs.h)."""
_PIDFD_FLAGS = O_ACCMODE | O_NONBLOCK | O_CLOEXEC | O_EXCL
_LARGEST = 128
"""How long a handle may be (Linux: include/linux/exportfs.h, MAX_HANDLE_SZ)."""


@syscall(303)
def name_to_handle_at(
    task: Task, directory: Fd, path: Path, handle: Address, mount_id: Address, flags: Flags[HandleFlag]
) -> int:
    """name_to_handle_at(2). Linux: fs/fhandle.c, do_sys_name_to_handle."""
    if flags & ~(_UNIQUE | _CONNECTABLE | _FID | _FOLLOW | _EMPTY):
        raise EINVAL("unknown flags")
    if flags & _CONNECTABLE and flags & (_FID | _EMPTY):
        raise EINVAL("flags that exclude each other")
    place = find(task, directory, path, follow=bool(flags & _FOLLOW), allow_empty=bool(flags & _EMPTY))
    superblock = place.inode.superblock
    operations = (superblock.fid_exports or _NOT_TO_BE_OPENED) if flags & _FID else superblock.exports
    if flags & _CONNECTABLE and (operations is None or not operations.can_connect):
        raise EOPNOTSUPP("no handle tells the directory")
    if operations is None:
        raise EOPNOTSUPP("files of this file system have no handles")
    room, _ = _HEADER.unpack(task.mm.read(handle, _HEADER.size))
    if room > _LARGEST:
        raise EINVAL("a handle longer than any")
    mount = place.mount
    task.mm.write(mount_id, pack_u64(mount.id) if flags & _UNIQUE else pack_u32(mount.number))
    encoded = operations.encode(place.inode)
    if room < len(encoded):
        task.mm.write(handle, _HEADER.pack(len(encoded), _FILEID_INVALID))
        raise EOVERFLOW
    kind = operations.kind
    if flags & _CONNECTABLE:
        kind |= _IS_CONNECTABLE | (_IS_DIRECTORY if place.inode.is_directory else 0)
    task.mm.write(handle, _HEADER.pack(len(encoded), kind) + encoded)
    return 0


@syscall(304)
def open_by_handle_at(task: Task, mount_fd: Fd, handle: Address, flags: Flags[OpenFlag]) -> int:
    """open_by_handle_at(2). Linux: fs/fhandle.c, do_handle_open."""
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    frame = task.frame
    if frame is not None and isinstance(frame.progress, FifoOpening):
        file = finish_opening(frame.progress)
    else:
        file = _open_found(task, mount_fd, handle, flags, limit)
    return task.files.install(file, close_on_exec=bool(flags & O_CLOEXEC), limit=limit)


def _open_found(task: Task, mount_fd: int, handle: int, flags: int, limit: int) -> File:
    """The file of a handle, opened for a descriptor below `limit`. Linux: fs/fhandle.c, handle_to_path."""
    length, kind = _read_header(task, handle)
    anchor = _anchor_of(task, mount_fd)
    superblock = anchor.mount.superblock
    wanted, kind = kind & _USER_FLAGS, kind & ~_USER_FLAGS
    if isinstance(superblock, PidFileSystem):
        # Linux: fs/pidfs.c, pidfs_export_permission.
        if flags & ~_PIDFD_FLAGS:
            raise EINVAL("no such flags of a pidfd")
        pidfd = open_pidfd_by_handle(task, superblock, kind, _read_rest(task, handle, length), flags)
        try:
            _check_wanted(wanted, pidfd.path, anchor)
        except Errno:
            pidfd.release_if_unheld()
            raise
        return pidfd
    if isinstance(superblock, NamespaceFileSystem):
        place = find_namespace_by_handle(task, kind, _read_rest(task, handle, length))
    elif not task.credentials.capable(CAP_DAC_READ_SEARCH):
        raise EPERM("takes CAP_DAC_READ_SEARCH")
    else:
        place = find_by_handle(anchor.mount, kind, _read_rest(task, handle, length))
    _check_wanted(wanted, place, anchor)
    task.files.lowest_free(0, limit)
    return open_place(task.fs, task.credentials, place, flags if flags & O_PATH else flags | O_LARGEFILE)


def _anchor_of(task: Task, fd: int) -> Place:
    """Where a handle is looked for. Raises EBADF."""
    if fd == AT_FDCWD:
        return task.fs.cwd
    if fd == KernelRoot.FD_PIDFS_ROOT:
        mount = pid_file_system(task.kernel.vfs).mount
    elif fd == KernelRoot.FD_NSFS_ROOT:
        mount = namespace_file_system(task.kernel).mount
    else:
        return opened_file(task, fd).path
    return Place(mount, mount.root)


def _check_wanted(wanted: int, place: Place, anchor: Place) -> None:
    """Raise ESTALE of what isn't as the handle says: a directory, or where others look for it from `anchor`.

    Linux: fs/fhandle.c, vfs_dentry_acceptable.
    """
    if wanted & _IS_DIRECTORY and not place.inode.is_directory:
        raise ESTALE("it's no directory")
    # What has no name is below nothing but itself.
    is_named = not place.mount.superblock.is_internal
    is_below = place.dentry.is_descendant_of(anchor.dentry) if is_named else place.inode is anchor.inode
    if wanted & _IS_CONNECTABLE and not is_below:
        raise ESTALE("it isn't below the directory that was given")


def _read_header(task: Task, address: int) -> tuple[int, int]:
    """How long a handle is, and its type, which newer Linux looks at before the mount.

    Linux: fs/fhandle.c, handle_to_path.
    """
    length, kind = _HEADER.unpack(task.mm.read(address, _HEADER.size))
    if not 0 < length <= _LARGEST:
        raise EINVAL("no length of a handle")
    if kind & _USER_FLAGS & ~_KNOWN_USER_FLAGS:
        raise EINVAL("no type of handles")
    return length, kind


def _read_rest(task: Task, address: int, length: int) -> bytes:
    return task.mm.read(address + _HEADER.size, length)
