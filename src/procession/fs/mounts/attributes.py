"""The attributes of mounts as fsmount(2), mount_setattr(2) and statmount(2) have them: MOUNT_ATTR_*."""

from __future__ import annotations

from procession.abi.errno import EINVAL
from procession.abi.mount_flags import MOUNT_ATTR__ATIME, MountAttribute
from procession.fs.mounts.mount import (
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_NOSYMFOLLOW,
    MS_RDONLY,
    MS_RELATIME,
    MS_STRICTATIME,
)

ATIME_MASK = int(MOUNT_ATTR__ATIME)
ATTR_NOATIME = int(MountAttribute.MOUNT_ATTR_NOATIME)
ATTR_STRICTATIME = int(MountAttribute.MOUNT_ATTR_STRICTATIME)
_FLAGS = (
    (int(MountAttribute.MOUNT_ATTR_RDONLY), MS_RDONLY),
    (int(MountAttribute.MOUNT_ATTR_NOSUID), MS_NOSUID),
    (int(MountAttribute.MOUNT_ATTR_NODEV), MS_NODEV),
    (int(MountAttribute.MOUNT_ATTR_NOEXEC), MS_NOEXEC),
    (int(MountAttribute.MOUNT_ATTR_NODIRATIME), MS_NODIRATIME),
    (int(MountAttribute.MOUNT_ATTR_NOSYMFOLLOW), MS_NOSYMFOLLOW),
)
FSMOUNT_ATTRIBUTES = ATIME_MASK | sum(attribute for attribute, _ in _FLAGS)


def flags_of(attributes: int) -> int:
    """The MS_* flags of MOUNT_ATTR_*, those of time left out.

    Linux: fs/namespace.c, attr_flags_to_mnt_flags.
    """
    return sum(flag for attribute, flag in _FLAGS if attributes & attribute)


def time_flags_of(choice: int) -> int:
    """The MS_* flag for one of the choices of MOUNT_ATTR__ATIME. Raises EINVAL."""
    if choice == ATTR_NOATIME:
        return MS_NOATIME
    if choice == ATTR_STRICTATIME:
        return MS_STRICTATIME
    if choice:
        raise EINVAL("no such way to keep times")
    return MS_RELATIME


def attributes_of(flags: int) -> int:
    """MOUNT_ATTR_* of a mount's MS_* flags. Linux: fs/namespace.c, mnt_to_attr_flags."""
    attributes = sum(attribute for attribute, flag in _FLAGS if flags & flag)
    if flags & MS_NOATIME:
        return attributes | ATTR_NOATIME
    return attributes if flags & MS_RELATIME else attributes | ATTR_STRICTATIME
