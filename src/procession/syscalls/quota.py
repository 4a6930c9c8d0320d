"""quotactl(2), on a machine none of whose file systems has quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from procession.abi.errno import EACCES, EBADF, EINVAL, ENODEV, ENOSYS, ENOTBLK, EROFS
from procession.abi.file_mode import S_IFMT
from procession.abi.mount_flags import MountFlag
from procession.abi.open_flags import AT_FDCWD
from procession.abi.quota import MAXQUOTAS, SUBCMDMASK, SUBCMDSHIFT, QuotaCommand
from procession.fs.inode import S_IFBLK
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Fd, OptionalPath, UInt
from procession.syscalls.paths import find

if TYPE_CHECKING:
    from procession.kernel.task import Task

_MS_NODEV = int(MountFlag.MS_NODEV)
_SYNC = int(QuotaCommand.Q_SYNC)
_READS = frozenset(
    int(command)
    for command in (
        *(QuotaCommand.Q_SYNC, QuotaCommand.Q_GETFMT, QuotaCommand.Q_GETINFO, QuotaCommand.Q_XQUOTASYNC),
        *(QuotaCommand.Q_XGETQSTAT, QuotaCommand.Q_XGETQSTATV),
        *(QuotaCommand.Q_XGETQUOTA, QuotaCommand.Q_XGETNEXTQUOTA),
    )
)
"""Commands for which a mount needn't be writable."""


def _split(command: int) -> int:
    """The command without the kind of quota. Raises EINVAL for an unknown kind."""
    if command & SUBCMDMASK >= MAXQUOTAS:
        raise EINVAL("no such kind of quota")
    return command >> SUBCMDSHIFT


@syscall(179)
def quotactl(task: Task, command: UInt, special: OptionalPath, identity: UInt, address: Address) -> None:
    """quotactl(2)."""
    kind = _split(command)
    if special is None:
        if kind != _SYNC:
            raise ENODEV("no device")
        return
    _find_device(task, special)


def _find_device(task: Task, name: bytes) -> NoReturn:
    """No file system is on a device. Raises ENOTBLK, EACCES, ENODEV, and what a walk does.

    Linux: fs/namei.c, may_open_dev.
    """
    path = find(task, AT_FDCWD, name, follow=True)
    if path.dentry.inode.mode & S_IFMT != S_IFBLK:
        raise ENOTBLK("no block device")
    if path.mount.flags & _MS_NODEV:
        raise EACCES("on a mount without devices")
    raise ENODEV("no file system is on it")


@syscall(443)
def quotactl_fd(task: Task, fd: Fd, command: UInt, identity: UInt, address: Address) -> NoReturn:
    """quotactl_fd(2)."""
    file = task.file_of_call(fd)
    if file is None:
        raise EBADF
    if _split(command) not in _READS and file.path.mount.is_read_only:
        raise EROFS
    raise ENOSYS("a file system without quotas")
