"""fsopen, fsconfig, fsmount and fspick: file systems that are configured by steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBADF, EBUSY, EFAULT, EINVAL, ENAMETOOLONG, ENOENT, EOPNOTSUPP, Errno
from procession.abi.limits import PATH_MAX
from procession.abi.mount_flags import (
    FsconfigCommand,
    FsmountFlag,
    FsopenFlag,
    FspickFlag,
    MountAttribute,
)
from procession.abi.open_flags import AT_FDCWD
from procession.fs.file_system_type import FILE_SYSTEM_TYPES, find_type, type_of
from procession.fs.mounts.attributes import ATIME_MASK, FSMOUNT_ATTRIBUTES, flags_of, time_flags_of
from procession.fs.mounts.context import MountContext, Parameter, ParameterKind, Phase
from procession.fs.mounts.context_file import ContextFile, open_detached
from procession.fs.mounts.mount import Mount
from procession.fs.mounts.visibility import check_visibility
from procession.fs.namei import address_of_unreadable
from procession.hardware.physical_memory import OutOfFrames
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.mount import check_topology, install, own_namespace
from procession.syscalls.parameters import Address, Choice, Fd, Flags, Int, OptionalPath
from procession.syscalls.paths import find, start_of

if TYPE_CHECKING:
    from procession.kernel.task import Task

_SET_FLAG = int(FsconfigCommand.FSCONFIG_SET_FLAG)
_SET_STRING = int(FsconfigCommand.FSCONFIG_SET_STRING)
_SET_BINARY = int(FsconfigCommand.FSCONFIG_SET_BINARY)
_SET_PATH = int(FsconfigCommand.FSCONFIG_SET_PATH)
_SET_PATH_EMPTY = int(FsconfigCommand.FSCONFIG_SET_PATH_EMPTY)
_SET_FD = int(FsconfigCommand.FSCONFIG_SET_FD)
_CREATE = int(FsconfigCommand.FSCONFIG_CMD_CREATE)
_CREATE_EXCL = int(FsconfigCommand.FSCONFIG_CMD_CREATE_EXCL)
_RECONFIGURE = int(FsconfigCommand.FSCONFIG_CMD_RECONFIGURE)
_CLOEXEC = 1
# What sysfs(2) does: its options have no names.
_GET_INDEX, _GET_NAME, _GET_COUNT = 1, 2, 3
_FSPICK_FLAGS = int(
    FspickFlag.FSPICK_CLOEXEC
    | FspickFlag.FSPICK_SYMLINK_NOFOLLOW
    | FspickFlag.FSPICK_NO_AUTOMOUNT
    | FspickFlag.FSPICK_EMPTY_PATH
)
_LONGEST_NAME = 256
_LONGEST_BINARY = 1 << 20
_PAGE_SIZE = 4096


def _text(task: Task, address: int, limit: int) -> bytes:
    """The text at `address`, with its NUL at most `limit` bytes. Raises EFAULT, EINVAL.

    Linux: mm/util.c, strndup_user.
    """
    text = task.mm.read_cstring(address, limit)
    if text is None:
        raise EINVAL("too long")
    return text


def _context_of(task: Task, fd: int) -> MountContext:
    """The context behind a descriptor. Raises EBADF, EINVAL."""
    file = opened_file(task, fd)
    if not isinstance(file, ContextFile):
        raise EINVAL("not a descriptor of fsopen or fspick")
    return file.context


@syscall(430)
def fsopen(task: Task, kind: OptionalPath, flags: Flags[FsopenFlag]) -> int:
    """fsopen(2). Linux: fs/fsopen.c, SYSCALL_DEFINE2(fsopen)."""
    own_namespace(task)
    if flags & ~_CLOEXEC:
        raise EINVAL
    if kind is None or address_of_unreadable(kind) is not None:
        raise EFAULT
    if len(kind) >= _PAGE_SIZE:
        raise EINVAL("too long")
    context = MountContext(find_type(kind), task)
    return _install(task, context, flags)


def _install(task: Task, context: MountContext, flags: int) -> int:
    try:
        file = ContextFile(task.kernel.vfs, context, task.credentials)
    except (Errno, OutOfFrames):
        context.close()
        raise
    context.task = None
    return install(task, file, close_on_exec=bool(flags & _CLOEXEC))


@syscall(433)
def fspick(task: Task, directory: Fd, path: OptionalPath, flags: Flags[FspickFlag]) -> int:
    """fspick(2). Linux: fs/fsopen.c, SYSCALL_DEFINE3(fspick)."""
    own_namespace(task)
    if flags & ~_FSPICK_FLAGS:
        raise EINVAL
    if path is None:
        raise EFAULT
    place = find(
        task,
        directory,
        path,
        follow=not flags & FspickFlag.FSPICK_SYMLINK_NOFOLLOW,
        allow_empty=bool(flags & FspickFlag.FSPICK_EMPTY_PATH),
    )
    if place.dentry is not place.mount.root:
        raise EINVAL("not the root of a mount")
    superblock = place.mount.superblock
    return _install(task, MountContext(type_of(superblock), task, superblock), flags)


@syscall(431)
def fsconfig(
    task: Task, fd: Fd, command: Choice[FsconfigCommand], key: OptionalPath, value: Address, auxiliary: Int
) -> int:
    """fsconfig(2). Linux: fs/fsopen.c, SYSCALL_DEFINE5(fsconfig)."""
    if fd < 0:
        raise EINVAL
    _check_arguments(command, key, value, auxiliary)
    context = _context_of(task, fd)
    context.task = task
    try:
        if command in (_CREATE, _CREATE_EXCL):
            if context.phase == Phase.CREATE_PARAMETERS:
                context.is_exclusive = command == _CREATE_EXCL
            context.create()
        elif command == _RECONFIGURE:
            check_topology(task)
            context.reconfigure()
        else:
            assert key is not None
            context.add(_parameter(task, command, key, value, auxiliary))
    finally:
        context.task = None
    return 0


def _check_arguments(command: int, key: bytes | None, value: int, auxiliary: int) -> None:
    """Raise EINVAL for arguments that don't go with the command, EOPNOTSUPP if there is none such."""
    has_key = key is not None
    if command == _SET_FLAG:
        is_right = has_key and not value and not auxiliary
    elif command == _SET_STRING:
        is_right = has_key and bool(value) and not auxiliary
    elif command == _SET_BINARY:
        is_right = has_key and bool(value) and 0 < auxiliary <= _LONGEST_BINARY
    elif command in (_SET_PATH, _SET_PATH_EMPTY):
        is_right = has_key and bool(value) and (auxiliary == AT_FDCWD or auxiliary >= 0)
    elif command == _SET_FD:
        is_right = has_key and not value and auxiliary >= 0
    elif command in (_CREATE, _CREATE_EXCL, _RECONFIGURE):
        is_right = not has_key and not value and not auxiliary
    else:
        raise EOPNOTSUPP("no such command")
    if not is_right:
        raise EINVAL("arguments that the command doesn't take")


def _parameter(task: Task, command: int, name: bytes, value: int, auxiliary: int) -> Parameter:
    if address_of_unreadable(name) is not None:
        raise EFAULT
    if len(name) >= _LONGEST_NAME:
        raise EINVAL("too long a name")
    if command == _SET_FLAG:
        return Parameter(name, ParameterKind.FLAG)
    if command == _SET_STRING:
        return Parameter(name, ParameterKind.STRING, _text(task, value, _LONGEST_NAME))
    if command == _SET_BINARY:
        return Parameter(name, ParameterKind.BINARY, task.mm.read(value, auxiliary))
    if command == _SET_FD:
        file = task.files.files.get(auxiliary)
        if file is None:
            raise EBADF
        return Parameter(name, ParameterKind.FILE, start=file.path)
    text = task.mm.read_cstring(value, PATH_MAX)
    if text is None:
        raise ENAMETOOLONG
    if not text and command == _SET_PATH:
        raise ENOENT
    return Parameter(name, ParameterKind.PATH, text, start=start_of(task, auxiliary, text))


@syscall(432)
def fsmount(task: Task, fd: Fd, flags: Flags[FsmountFlag], attributes: Flags[MountAttribute]) -> int:
    """fsmount(2). Linux: fs/namespace.c, SYSCALL_DEFINE3(fsmount)."""
    namespace = own_namespace(task)
    if flags & ~_CLOEXEC or attributes & ~FSMOUNT_ATTRIBUTES:
        raise EINVAL
    mount_flags = flags_of(attributes) | time_flags_of(attributes & ATIME_MASK)
    context = _context_of(task, fd)
    superblock = context.superblock
    if superblock is None:
        raise EINVAL("the file system isn't made yet")
    mount_flags = check_visibility(namespace, context.type, mount_flags)
    if context.phase != Phase.AWAITING_MOUNT:
        raise EBUSY("mounted already")
    superblock.vfs.accounts.check_mounts(1)
    mount = Mount(superblock, context.root, mount_flags, context.source or b"none")
    context.finish()
    file = open_detached(mount, namespace.owner, None, task.credentials)
    return install(task, file, close_on_exec=bool(flags & _CLOEXEC))


@syscall(139)
def sysfs(task: Task, option: Int, first: Address, second: Address) -> int:
    """sysfs(2): the kinds of file system by number. Linux: fs/filesystems.c, SYSCALL_DEFINE3(sysfs)."""
    names = list(FILE_SYSTEM_TYPES)
    if option == _GET_INDEX:
        name = task.mm.read_cstring(first, PATH_MAX)
        if name is None:
            raise ENAMETOOLONG
        if not name:
            raise ENOENT
        if name not in names:
            raise EINVAL("no such kind")
        return names.index(name)
    if option == _GET_NAME:
        index = first & 0xFFFFFFFF
        if index >= len(names):
            raise EINVAL("no such number")
        task.mm.write(second, names[index] + b"\0")
        return 0
    if option == _GET_COUNT:
        return len(names)
    raise EINVAL(f"no option {option}")
