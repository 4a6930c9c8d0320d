"""ioctl: the requests that all files know; the others go to the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from procession.abi.errno import (
    EACCES,
    EBADF,
    EINVAL,
    EISDIR,
    ENOENT,
    ENOMEM,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
    EXDEV,
)
from procession.abi.file_mode import S_IFMT
from procession.abi.ioctls import FileIoctl, Fsxattr, SocketIoctl, TerminalIoctl
from procession.abi.word import Words, pack_u8, pack_u32, pack_u64
from procession.fs.attributes import (
    KNOWN_EXTENDED,
    extended_flags,
    set_extended_flags,
    set_file_flags,
)
from procession.fs.devices import UserFaultDevice
from procession.fs.file import FASYNC, O_APPEND, O_CLOEXEC, O_NONBLOCK, O_PATH, File, PathFile
from procession.fs.inode import S_IFBLK, S_IFCHR, S_IFSOCK
from procession.fs.landlock import IOCTL_DEV
from procession.fs.permission import CAP_SYS_ADMIN
from procession.fs.terminal.devpts import open_peer
from procession.fs.terminal.tty import TtyFile
from procession.fs.uuid import uuid_of_file_system
from procession.hardware.physical_memory import PAGE_SIZE
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.security.capability import CAP_NET_ADMIN, CAP_SYS_RAWIO
from procession.kernel.security.seccomp_listener import ListenerFile, control_listener
from procession.kernel.signal.io import can_signal_readiness
from procession.net.socket_file import SocketFile
from procession.net.unix.socket import UnixSocket
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.fcntl import change_flags, set_owner_number, signed_owner_number
from procession.syscalls.parameters import Address, Fd, UInt
from procession.syscalls.space_ioctl import MODES, change_space
from procession.syscalls.userfaultfd import control_device

if TYPE_CHECKING:
    from procession.kernel.task import Task

_FIOCLEX = int(FileIoctl.FIOCLEX)
_FIONCLEX = int(FileIoctl.FIONCLEX)
_FIONBIO = int(FileIoctl.FIONBIO)
_FIOASYNC = int(FileIoctl.FIOASYNC)
_FIOQSIZE = int(FileIoctl.FIOQSIZE)
_FIGETBSZ = int(FileIoctl.FIGETBSZ)
_FIONREAD = int(FileIoctl.FIONREAD)
_FICLONE = int(FileIoctl.FICLONE)
_FICLONERANGE = int(FileIoctl.FICLONERANGE)
_SIOCUNIXFILE = int(SocketIoctl.SIOCUNIXFILE)
_TIOCGPTPEER = int(TerminalIoctl.TIOCGPTPEER)
_OWNER_SETTERS = (int(SocketIoctl.FIOSETOWN), int(SocketIoctl.SIOCSPGRP))
_OWNER_REQUESTS = (*_OWNER_SETTERS, int(SocketIoctl.FIOGETOWN), int(SocketIoctl.SIOCGPGRP))
_FITHAW = int(FileIoctl.FITHAW)
_FREEZING = (int(FileIoctl.FIFREEZE), _FITHAW)
_GET_UUID, _GET_SYSFS_PATH = int(FileIoctl.FS_IOC_GETFSUUID), int(FileIoctl.FS_IOC_GETFSSYSFSPATH)
_FIEMAP = int(FileIoctl.FS_IOC_FIEMAP)
_FIDEDUPERANGE = int(FileIoctl.FIDEDUPERANGE)
_GET_FLAGS = int(FileIoctl.FS_IOC_GETFLAGS)
_SET_FLAGS = int(FileIoctl.FS_IOC_SETFLAGS)
_SET_EXTENDED = int(FileIoctl.FS_IOC_FSSETXATTR)
_OF_FLAGS = (_GET_FLAGS, _SET_FLAGS, int(FileIoctl.FS_IOC_FSGETXATTR), _SET_EXTENDED)
_FIBMAP = int(FileIoctl.FIBMAP)
_DEDUPE_HEADER = Words("<QQHHI")
_DEDUPE_ENTRY_SIZE = 32


def _write_uuid(task: Task, file: File, argument: int) -> None:
    """Linux: fs/ioctl.c, ioctl_getfsuuid."""
    uuid = uuid_of_file_system(file.inode.superblock)
    if not uuid:
        raise ENOTTY("the file system has no identifier")
    task.mm.write(argument, pack_u8(len(uuid)) + uuid)


@syscall(16)
def ioctl(task: Task, fd: Fd, request: UInt, argument: Address) -> int:
    """ioctl(2). Linux: fs/ioctl.c, do_vfs_ioctl, vfs_ioctl."""
    file = opened_file(task, fd)
    if request in (_FIOCLEX, _FIONCLEX):
        task.files.set_close_on_exec(fd, request == _FIOCLEX)
        return 0
    if request == _FIONBIO:
        if _read_int(task, argument):
            file.flags |= O_NONBLOCK
        else:
            file.flags &= ~O_NONBLOCK
        return 0
    if request == _FIOASYNC:
        is_on = bool(_read_int(task, argument))
        if is_on != bool(file.flags & FASYNC):
            if not can_signal_readiness(file):
                raise ENOTTY
            change_flags(task, fd, file, file.flags ^ FASYNC)
        return 0
    if request == _FIGETBSZ:
        if not file.inode.superblock.has_blocks:
            raise EINVAL("the file system has no blocks")
        task.mm.write(argument, pack_u32(file.inode.block_size))
        return 0
    inode = file.inode
    if request == _FIOQSIZE:
        if inode.is_anonymous or not (inode.is_directory or inode.is_regular or inode.is_symlink):
            raise ENOTTY
        task.mm.write(argument, pack_u64(inode.block_count * 512))
        return 0
    if request in _FREEZING:
        if not task.credentials.ns_capable(inode.superblock.owner, CAP_SYS_ADMIN):
            raise EPERM
        if request == _FITHAW:
            raise EINVAL("the file system isn't frozen")
        raise EOPNOTSUPP
    if request == _FIEMAP:
        raise EOPNOTSUPP
    if request == _GET_UUID:
        _write_uuid(task, file, argument)
        return 0
    if request == _GET_SYSFS_PATH:
        raise ENOTTY("the file system has no place in sysfs")
    if request == _FIDEDUPERANGE:
        _refuse_deduplication(task, file, argument)
    if request in _OF_FLAGS:
        wanted = _wanted_flags(task, request, argument)
        if inode.has_flags:
            if isinstance(wanted, Fsxattr):
                set_extended_flags(file.path, task.credentials, wanted)
            elif wanted is not None:
                set_file_flags(file.path, task.credentials, wanted)
            elif request == _GET_FLAGS:
                task.mm.write(argument, pack_u32(inode.flags))
            else:
                task.mm.write(argument, Fsxattr(fsx_xflags=extended_flags(inode.flags)).pack())
            return 0
    is_in_blocks = inode.is_regular and not inode.is_anonymous
    if request in (_FICLONE, _FICLONERANGE):
        _refuse_clone(task, file, request, argument)
    if request in MODES and is_in_blocks:
        change_space(task, file, request, argument)
        return 0
    if request == _FIBMAP and is_in_blocks:
        _refuse_block_map(task, argument)
    if request == _FIONREAD and is_in_blocks:
        left = (inode.size - file.position) & 0xFFFFFFFF
        task.mm.write(argument, pack_u32(left))
        return 0
    if not file.landlock_rights & IOCTL_DEV and inode.mode & S_IFMT in (S_IFCHR, S_IFBLK):
        raise EACCES("the Landlock domain of who opened it forbids it")
    if request == _TIOCGPTPEER and isinstance(file, TtyFile) and not file.is_hung_up:
        return _open_slave(task, file, argument & 0xFFFFFFFF)
    if request in _OWNER_REQUESTS and inode.mode & S_IFMT == S_IFSOCK:
        # Linux: net/socket.c, sock_ioctl.
        if request in _OWNER_SETTERS:
            set_owner_number(task, file, (_read_int(task, argument) ^ 0x80000000) - 0x80000000)
        else:
            task.mm.write(argument, pack_u32(signed_owner_number(task, file)))
        return 0
    if request == _SIOCUNIXFILE and isinstance(file, SocketFile) and isinstance(file.socket, UnixSocket):
        return _open_bound_file(task, file.socket)
    if isinstance(file, UserFaultDevice):
        return control_device(task, request, argument)
    if isinstance(file, ListenerFile):
        return control_listener(task, file, request, argument)
    return file.ioctl(request, argument, task.mm)


def _wanted_flags(task: Task, request: int, argument: int) -> int | Fsxattr | None:
    """What is to be set, FileFlags or more, None for a request that asks. Raises EFAULT, EOPNOTSUPP.

    Whatever the file, Linux looks at the argument first: fs/file_attr.c, ioctl_setflags, ioctl_fssetxattr.
    """
    if request == _SET_FLAGS:
        return _read_int(task, argument)
    if request == _SET_EXTENDED:
        asked = Fsxattr.unpack(task.mm.read(argument, Fsxattr.SIZE))
        if asked.fsx_xflags & ~KNOWN_EXTENDED:
            raise EOPNOTSUPP("unknown attributes")
        return asked
    return None


def _open_slave(task: Task, master: TtyFile, flags: int) -> int:
    """TIOCGPTPEER: a new descriptor for a master's slave. Linux: drivers/tty/pty.c, ptm_open_peer."""
    file = open_peer(master, flags, task.credentials)
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    return task.files.install(file, close_on_exec=bool(flags & O_CLOEXEC), limit=limit)


def _open_bound_file(task: Task, socket: UnixSocket) -> int:
    """SIOCUNIXFILE: a new descriptor for the place of the file that a local socket is bound to.

    Raises EPERM, ENOENT, EMFILE. Linux: net/unix/af_unix.c, unix_open_file.
    """
    if not task.credentials.ns_capable(socket.network.owner, CAP_NET_ADMIN):
        raise EPERM("it takes CAP_NET_ADMIN")
    if socket.path is None:
        raise ENOENT("it's bound to no file")
    file = PathFile(socket.path, O_PATH, task.credentials)
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    return task.files.install(file, close_on_exec=True, limit=limit)


def _read_int(task: Task, address: int) -> int:
    return int.from_bytes(task.mm.read(address, 4), "little")


def _refuse_clone(task: Task, file: File, request: int, argument: int) -> None:
    """Say why a file's blocks can't be shared; no file system here shares any.

    Linux: fs/ioctl.c, ioctl_file_clone; fs/remap_range.c, vfs_clone_file_range.
    """
    number = argument if request == _FICLONE else task.mm.read_word(argument)
    source = opened_file(task, (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000)
    if source.inode.superblock is not file.inode.superblock:
        raise EXDEV
    if source.inode.is_directory or file.inode.is_directory:
        raise EISDIR
    if not (source.inode.is_regular and file.inode.is_regular):
        raise EINVAL
    if not source.is_readable or not file.is_writable or file.flags & O_APPEND:
        raise EBADF
    raise EOPNOTSUPP


def _refuse_deduplication(task: Task, file: File, argument: int) -> NoReturn:
    """Say why a file's ranges can't be made the same as others'.

    Linux: fs/ioctl.c, ioctl_file_dedupe_range; fs/remap_range.c, vfs_dedupe_file_range.
    """
    header = task.mm.read(argument, _DEDUPE_HEADER.size)
    _, _, count, first_reserved, second_reserved = _DEDUPE_HEADER.unpack(header)
    size = _DEDUPE_HEADER.size + count * _DEDUPE_ENTRY_SIZE
    if size > PAGE_SIZE:
        raise ENOMEM("more than a page of ranges")
    task.mm.read(argument, size)
    if not file.is_readable or first_reserved or second_reserved:
        raise EINVAL
    if file.inode.is_directory:
        raise EISDIR
    if not file.inode.is_regular:
        raise EINVAL
    raise EOPNOTSUPP


def _refuse_block_map(task: Task, argument: int) -> NoReturn:
    """No file system here has blocks on a device. Linux: fs/ioctl.c, ioctl_fibmap."""
    if not task.credentials.capable(CAP_SYS_RAWIO):
        raise EPERM("it takes CAP_SYS_RAWIO")
    task.mm.read(argument, 4)
    raise EINVAL
