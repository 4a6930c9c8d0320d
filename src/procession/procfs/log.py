"""/proc/kmsg: the kernel's log, to which nothing is ever written."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EAGAIN, EIO, EPERM
from procession.fs.file import O_NONBLOCK, File
from procession.fs.inode import S_IFREG
from procession.fs.wait_queue import Sleep
from procession.kernel.security.capability import CAP_SYSLOG
from procession.procfs.inode import ProcInode

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.procfs.file_system import ProcFileSystem


class LogInode(ProcInode):
    """/proc/kmsg."""

    __slots__ = ()

    def __init__(self, superblock: ProcFileSystem) -> None:
        super().__init__(superblock, S_IFREG | 0o400, superblock.allocate_static_number())

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        """Linux: fs/proc/kmsg.c, kmsg_open."""
        if not subject.has_capability(CAP_SYSLOG):
            raise EPERM("the kernel's log takes CAP_SYSLOG")
        return LogFile(path, flags, subject)


class LogFile(File):
    """The open log: whoever reads it waits for a message, and none comes."""

    __slots__ = ()

    has_write: ClassVar[bool] = True

    def read(self, length: int) -> bytes:
        """Linux: fs/proc/kmsg.c, kmsg_read."""
        if self.flags & O_NONBLOCK:
            raise EAGAIN("the log is empty")
        if not length:
            return b""
        raise Sleep

    def write(self, data: bytes) -> int:
        """Linux: fs/proc/inode.c, proc_reg_write."""
        raise EIO

    def poll_mask(self) -> int:
        return 0
