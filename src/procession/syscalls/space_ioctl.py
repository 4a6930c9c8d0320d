"""The requests of ioctl(2) that make room in a file, holes and zeros, as XFS's did before fallocate(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.ioctls import FileIoctl, SpaceReservation
from procession.abi.open_flags import FallocateFlag
from procession.fs.file import SEEK_CUR, SEEK_END, SEEK_SET
from procession.syscalls.file_space import allocate_space

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.task import Task

_KEEP_SIZE = int(FallocateFlag.FALLOC_FL_KEEP_SIZE)
_HOLE = int(FallocateFlag.FALLOC_FL_PUNCH_HOLE) | _KEEP_SIZE
_ZERO = int(FallocateFlag.FALLOC_FL_ZERO_RANGE) | _KEEP_SIZE
MODES = {
    int(FileIoctl.FS_IOC_RESVSP): _KEEP_SIZE,
    int(FileIoctl.FS_IOC_RESVSP64): _KEEP_SIZE,
    int(FileIoctl.FS_IOC_UNRESVSP): _HOLE,
    int(FileIoctl.FS_IOC_UNRESVSP64): _HOLE,
    int(FileIoctl.FS_IOC_ZERO_RANGE): _ZERO,
}
"""What each request asks of fallocate(2)."""


def change_space(task: Task, file: File, request: int, address: int) -> None:
    """Do what one of `MODES` asks. Raises EFAULT, EINVAL and what fallocate(2) does.

    Linux: fs/ioctl.c, ioctl_preallocate.
    """
    asked = SpaceReservation.unpack(task.mm.read(address, SpaceReservation.SIZE))
    start = asked.l_start
    if asked.l_whence == SEEK_CUR:
        start += file.position
    elif asked.l_whence == SEEK_END:
        start += file.inode.size
    elif asked.l_whence != SEEK_SET:
        raise EINVAL("from nowhere")
    # What is too far wraps around, as it does in C.
    start = (start + (1 << 63)) % (1 << 64) - (1 << 63)
    allocate_space(task, file, MODES[request], start, asked.l_len)
