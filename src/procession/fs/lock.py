"""File locks: POSIX and open-file-description locks of fcntl(2), and flock(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.fs.fd_table import FdTable
    from procession.fs.file import File


class FileLocks:
    """The locks on one inode (Linux: struct file_lock_context)."""

    __slots__ = ()

    def release_posix(self, owner: FdTable) -> None:
        """`owner` closes a descriptor of this file: its POSIX locks go."""

    def release_file(self, file: File) -> None:
        """`file` is closed for good: its flock and open-file-description locks go."""
