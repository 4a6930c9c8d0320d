"""What keeps a user namespace's root from mounting proc or sysfs anew, where parts of them are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EPERM
from procession.fs.mounts.mount import MS_RDONLY, TIME_FLAGS, Mount

if TYPE_CHECKING:
    from procession.fs.file_system_type import FileSystemType
    from procession.fs.mounts.namespace import MountNamespace


def check_visibility(namespace: MountNamespace, kind: FileSystemType, flags: int) -> int:
    """The MS_* flags with which a new mount of `kind` may be made.

    Raises EPERM unless one that shows all of it is there already. Linux: fs/namespace.c,
    mount_too_revealing.
    """
    if kind.is_always_visible or namespace.owner.parent is None:
        return flags
    for mount in namespace.in_order():
        if mount.superblock.type_name.encode() == kind.name and _shows_all(mount, flags):
            return flags
    raise EPERM(f"no mount in the namespace shows all of {kind.name.decode()}")


def _shows_all(mount: Mount, flags: int) -> bool:
    """Linux: fs/namespace.c, mnt_already_visible."""
    if mount.root is not mount.superblock.root_dentry:
        return False
    locked = mount.locked_flags
    is_read_only = bool(mount.flags & MS_RDONLY and locked & MS_RDONLY) or mount.superblock.is_read_only
    if is_read_only and not flags & MS_RDONLY:
        return False
    if locked & TIME_FLAGS and (mount.flags ^ flags) & TIME_FLAGS:
        return False
    # Something on an empty directory hides nothing.
    return all(
        not child.is_locked or (place.inode.is_directory and not place.inode.list_entries())
        for place, child in mount.children.items()
    )
