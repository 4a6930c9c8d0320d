"""The attribute security.capability: as user namespaces write and read it, and as it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import (
    VFS_CAP_FLAGS_EFFECTIVE,
    VFS_CAP_REVISION_2,
    VFS_CAP_REVISION_3,
    VfsNsCapData,
)
from procession.abi.errno import EINVAL, EOVERFLOW, EPERM
from procession.fs.owner import uid_from_own
from procession.fs.permission import CAP_SETFCAP
from procession.fs.user_namespace import NO_ID

if TYPE_CHECKING:
    from procession.fs.inode import Inode
    from procession.fs.permission import Subject

CAPABILITY_NAME = b"security.capability"
_SIZE_2, _SIZE_3 = VfsNsCapData.OFFSETS["rootid"], VfsNsCapData.SIZE


def _parse(value: bytes) -> VfsNsCapData:
    """Raises EINVAL for what isn't of the second or third revision."""
    data = VfsNsCapData.unpack_from(value[:_SIZE_3].ljust(_SIZE_3, b"\0"))
    revision = data.magic_etc & ~VFS_CAP_FLAGS_EFFECTIVE
    if (len(value), revision) not in ((_SIZE_2, VFS_CAP_REVISION_2), (_SIZE_3, VFS_CAP_REVISION_3)):
        raise EINVAL("the capabilities are in no known form")
    return data


def _with_root(data: VfsNsCapData, root: int | None) -> bytes:
    """For the namespaces whose superuser is `root`; None: in the second revision, which doesn't say."""
    revision = VFS_CAP_REVISION_2 if root is None else VFS_CAP_REVISION_3
    data.magic_etc = revision | data.magic_etc & VFS_CAP_FLAGS_EFFECTIVE
    data.rootid = root or 0
    return data.pack()[: _SIZE_2 if root is None else _SIZE_3]


def kept_capability(inode: Inode, subject: Subject, value: bytes) -> bytes:
    """What is kept of `value`, which `subject` writes. Raises EINVAL, EPERM.

    Who has no rights over the file system gives them to his own namespace's superuser, and to those below.
    Linux: security/commoncap.c, cap_convert_nscap.
    """
    data = _parse(value)
    if not subject.capable_wrt_inode_uidgid(inode, CAP_SETFCAP):
        raise EPERM
    owner = inode.superblock.owner
    if len(value) == _SIZE_2 and subject.ns_capable(owner, CAP_SETFCAP):
        return value
    kroot = uid_from_own(subject, data.rootid)
    root = NO_ID if kroot == NO_ID else owner.from_kuid(kroot)
    if root == NO_ID:
        raise EINVAL("the superuser that is meant has no id")
    return _with_root(data, root)


def shown_capability(inode: Inode, subject: Subject, value: bytes) -> bytes:
    """`value`, which is kept, as `subject` sees it. Raises EINVAL, and EOVERFLOW if it's for others.

    Linux: security/commoncap.c, cap_inode_getsecurity.
    """
    data = _parse(value)
    kroot = inode.superblock.owner.make_kuid(data.rootid)
    if subject.id_map is not None:
        kroot = subject.id_map.seen_uid(kroot)
    namespace = subject.user_namespace
    root = NO_ID if kroot == NO_ID else namespace.from_kuid(kroot)
    if root not in (NO_ID, 0):
        return _with_root(data, root)
    if not namespace.has_root_around(kroot):
        raise EOVERFLOW("the capabilities are another user namespace's")
    return _with_root(data, None)
