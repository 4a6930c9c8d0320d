"""The kinds of file system that mount(2) and fsopen(2) know."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ENODEV

if TYPE_CHECKING:
    from procession.fs.mounts.context import MountContext, Parameter
    from procession.fs.superblock import Superblock
    from procession.fs.user_namespace import UserNamespace


class FileSystemType:
    """A kind of file system (Linux: include/linux/fs.h, struct file_system_type).

    To add one: a subclass with a `name` and `get_tree`, and an instance of it in `FILE_SYSTEM_TYPES`.
    """

    __slots__ = ()

    name: ClassVar[bytes] = b""
    is_for_users: ClassVar[bool] = True
    """Whether a user namespace's root may mount it, not only the machine's (FS_USERNS_MOUNT)."""
    is_always_visible: ClassVar[bool] = True
    """Whether it may be mounted anew whatever hides its files elsewhere; not so proc and sysfs
    (SB_I_USERNS_VISIBLE)."""

    def begin(self, context: MountContext) -> None:
        """Take from `context.task` what the file system will show. It's Linux's init_fs_context."""

    def split_options(self, options: bytes) -> list[bytes]:
        """The options of mount(2) one by one."""
        return options.split(b",")

    def parse(self, context: MountContext, parameter: Parameter) -> bool:
        """Take a parameter into `context.values`; False if there is none of that name. Raises EINVAL."""
        return False

    def get_tree(self, context: MountContext) -> Superblock:
        """Make the file system, or find it where there is only one."""
        raise EINVAL

    def owner_of_tree(self, context: MountContext) -> UserNamespace:
        """Which user namespace a new file system belongs to."""
        return context.owner

    def reconfigure(self, context: MountContext, superblock: Superblock) -> None:
        """Change what `context.values` say. Raises EINVAL, and then has changed nothing."""


FIXED = FileSystemType()
"""The kind of a file system that can't be mounted."""

FILE_SYSTEM_TYPES: dict[bytes, FileSystemType] = {}
"""By name; each kind's module puts its own in."""


def find_type(name: bytes) -> FileSystemType:
    """The kind of file system called `name`. Raises ENODEV. Linux: fs/filesystems.c, get_fs_type."""
    kind = FILE_SYSTEM_TYPES.get(name)
    if kind is None:
        raise ENODEV(f"no file system {name.decode(errors='replace')}")
    return kind


def type_of(superblock: Superblock) -> FileSystemType:
    """The kind of `superblock`; what no program has mounted takes no options."""
    if superblock.type is not None:
        return superblock.type
    return FILE_SYSTEM_TYPES.get(superblock.type_name.encode(), FIXED)


def register(kind: FileSystemType) -> None:
    """Let `kind` be mounted by its name."""
    FILE_SYSTEM_TYPES[kind.name] = kind
