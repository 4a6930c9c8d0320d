"""Capabilities that a program file gives: the attribute security.capability (capabilities(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import (
    VFS_CAP_FLAGS_EFFECTIVE,
    VFS_CAP_REVISION_1,
    VFS_CAP_REVISION_2,
    VFS_CAP_REVISION_3,
    VFS_CAP_REVISION_MASK,
    VfsNsCapData,
)
from procession.abi.errno import EINVAL
from procession.abi.named_tuple import NamedTuple
from procession.fs.user_namespace import NO_ID
from procession.kernel.security.capability import CAP_FULL_SET

if TYPE_CHECKING:
    from procession.fs.inode import Inode
    from procession.fs.mounts.id_map import MountIdMap
    from procession.fs.user_namespace import UserNamespace

_NAME = b"security.capability"
_SIZES = {VFS_CAP_REVISION_1: 12, VFS_CAP_REVISION_2: 20, VFS_CAP_REVISION_3: 24}
_WORD = 0xFFFFFFFF


class FileCapabilities(NamedTuple):
    """What is permitted to who executes the file, beside what he has and the file makes inheritable.

    `is_effective` says that it's in effect at once, and that the file can't do without.
    """

    permitted: int
    inheritable: int
    is_effective: bool


def capabilities_of(
    inode: Inode, namespace: UserNamespace, id_map: MountIdMap | None = None
) -> FileCapabilities | None:
    """What a file permits in `namespace`; None if nothing. Raises EINVAL for an attribute that isn't one.

    Linux: security/commoncap.c, get_vfs_caps_from_disk.
    """
    value = inode.read_xattrs().get(_NAME)
    if value is None:
        return None
    data = VfsNsCapData.unpack_from(value.ljust(VfsNsCapData.SIZE, b"\0"))
    revision = data.magic_etc & VFS_CAP_REVISION_MASK
    if _SIZES.get(revision) != len(value):
        raise EINVAL("the file's capabilities are in no known form")
    # They are for the namespaces whose superuser is that user of the file system.
    owner = inode.superblock.owner
    root = owner.make_kuid(data.rootid if revision == VFS_CAP_REVISION_3 else 0)
    if root != NO_ID and id_map is not None:
        root = id_map.seen_uid(root)
    if root == NO_ID or not namespace.has_root_around(root):
        return None
    # The first revision has 32 capabilities.
    mask = CAP_FULL_SET & _WORD if revision == VFS_CAP_REVISION_1 else CAP_FULL_SET
    return FileCapabilities(
        (data.permitted_low | data.permitted_high << 32) & mask,
        (data.inheritable_low | data.inheritable_high << 32) & mask,
        bool(data.magic_etc & VFS_CAP_FLAGS_EFFECTIVE),
    )
