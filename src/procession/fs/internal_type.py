"""The kinds of file system that mount(2) knows by name and leaves to the kernel: pipefs and sockfs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from procession.abi.errno import EINVAL
from procession.fs.file_system_type import FileSystemType

if TYPE_CHECKING:
    from procession.fs.mounts.context import MountContext


class InternalType(FileSystemType):
    """A kind that no program mounts (in Linux, SB_NOUSER)."""

    __slots__ = ()

    is_for_users = False

    def get_tree(self, context: MountContext) -> NoReturn:
        """Linux: fs/namespace.c, do_new_mount."""
        raise EINVAL("only the kernel mounts it")


class PipeFileSystemType(InternalType):
    """pipefs."""

    __slots__ = ()

    name = b"pipefs"


class SocketFileSystemType(InternalType):
    """sockfs."""

    __slots__ = ()

    name = b"sockfs"
