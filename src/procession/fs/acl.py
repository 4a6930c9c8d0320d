"""POSIX access control lists: more users and groups than one of each, and what new files get (acl(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP, Errno
from procession.abi.file_mode import S_IFMT, FileType
from procession.abi.named_tuple import NamedTuple
from procession.abi.word import Words, pack_u32
from procession.fs.owner import gid_from_own, gid_in_own, uid_from_own, uid_in_own
from procession.fs.user_namespace import NO_ID
from procession.hardware.physical_memory import OutOfFrames

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.fs.inode import Inode
    from procession.fs.permission import Subject

ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER = 1, 2, 4, 8, 0x10, 0x20
"""Whom an entry is for: the owner, a user, the owning group, a group, all of those but the owner, others."""
_TAGS = (ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER)
_NAMED = (ACL_USER, ACL_GROUP)
_S_IFLNK = int(FileType.S_IFLNK)
_VERSION = 2
_HEADER_SIZE = 4
_ENTRY = Words("<HHI")
_NO_ID_BITS = 0xFFFFFFFF
_ENTRY_COST = 200


class AclEntry(NamedTuple):
    """Who gets which of read, write and execute; `id` is the machine's number of a user or group."""

    tag: int
    permissions: int
    id: int


Acl = tuple[AclEntry, ...]


class AccessLists:
    """The lists of one inode: `access` decides who may use it, `default` what is made in a directory gets.

    None where there is none. `access` is there only if it says more than the mode, whose bits of the group
    are its mask.
    """

    __slots__ = ("access", "default")

    def __init__(self) -> None:
        self.access: Acl | None = None
        self.default: Acl | None = None

    @property
    def cost(self) -> int:
        """How many bytes both are taken to cost."""
        return _ENTRY_COST * (len(self.access or ()) + len(self.default or ()))


def parse_acl(value: bytes, subject: Subject) -> Acl | None:
    """The list in an extended attribute's value; None for one without entries. Raises EINVAL, EOPNOTSUPP.

    Linux: fs/posix_acl.c, posix_acl_from_xattr.
    """
    if not value:
        return None
    if len(value) < _HEADER_SIZE:
        raise EINVAL("too short for a list")
    if int.from_bytes(value[:_HEADER_SIZE], "little") != _VERSION:
        raise EOPNOTSUPP("another version")
    if (len(value) - _HEADER_SIZE) % _ENTRY.size:
        raise EINVAL("no whole entries")
    entries: list[AclEntry] = []
    for tag, permissions, number in _ENTRY.iter_unpack(value[_HEADER_SIZE:]):
        if tag not in _TAGS:
            raise EINVAL("no such entry")
        if tag in _NAMED:
            named = uid_from_own(subject, number) if tag == ACL_USER else gid_from_own(subject, number)
            if named == NO_ID:
                raise EINVAL("no such user or group")
            entries.append(AclEntry(tag, permissions, named))
        else:
            entries.append(AclEntry(tag, permissions, NO_ID))
    return tuple(entries) or None


def check_acl(acl: Acl) -> None:
    """Raise EINVAL unless the list makes sense. Linux: fs/posix_acl.c, posix_acl_valid."""
    if any(entry.permissions & ~7 for entry in acl):
        raise EINVAL("no such permissions")
    tags = [entry.tag for entry in acl]
    # Each kind in its place, one of each that names nobody, and a mask where somebody is named.
    if tags != sorted(tags) or any(tags.count(tag) != 1 for tag in (ACL_USER_OBJ, ACL_GROUP_OBJ, ACL_OTHER)):
        raise EINVAL("not the entries that there must be, in their order")
    mask_count = tags.count(ACL_MASK)
    if mask_count > 1 or (not mask_count and any(tag in _NAMED for tag in tags)):
        raise EINVAL("a list with names takes one mask")


def format_acl(acl: Acl, subject: Subject) -> bytes:
    """The value of the extended attribute. Linux: fs/posix_acl.c, posix_acl_to_xattr."""
    parts = [pack_u32(_VERSION)]
    for entry in acl:
        number = _NO_ID_BITS
        if entry.tag == ACL_USER:
            number = uid_in_own(subject, entry.id)
        elif entry.tag == ACL_GROUP:
            number = gid_in_own(subject, entry.id)
        parts.append(_ENTRY.pack(entry.tag, entry.permissions, number & _NO_ID_BITS))
    return b"".join(parts)


def mode_of(acl: Acl) -> int:
    """The nine bits of a mode that say the same, or as much of it as they can.

    Linux: fs/posix_acl.c, posix_acl_equiv_mode.
    """
    by_tag = {entry.tag: entry.permissions for entry in acl}
    group = by_tag.get(ACL_MASK, by_tag[ACL_GROUP_OBJ])
    return by_tag[ACL_USER_OBJ] << 6 | group << 3 | by_tag[ACL_OTHER]


def is_minimal(acl: Acl) -> bool:
    """Whether it says no more than a mode."""
    return all(entry.tag in (ACL_USER_OBJ, ACL_GROUP_OBJ, ACL_OTHER) for entry in acl)


def with_mode(acl: Acl, mode: int) -> Acl:
    """The list after chmod(2). Linux: fs/posix_acl.c, __posix_acl_chmod_masq."""
    has_mask = any(entry.tag == ACL_MASK for entry in acl)
    bits = {ACL_USER_OBJ: mode >> 6, ACL_OTHER: mode, ACL_MASK if has_mask else ACL_GROUP_OBJ: mode >> 3}
    return tuple(
        entry._replace(permissions=bits[entry.tag] & 7) if entry.tag in bits else entry for entry in acl
    )


def allows(
    acl: Acl, inode: Inode, subject: Subject, mask: int, is_member: Callable[[Subject, int], bool]
) -> bool:
    """Whether the list lets a subject that isn't the owner do all of `mask`.

    `is_member` tells whether a group is the subject's. Linux: fs/posix_acl.c, posix_acl_permission.
    """
    limit = next((entry.permissions for entry in acl if entry.tag == ACL_MASK), 7)
    is_found = False
    for entry in acl:
        if entry.tag == ACL_USER:
            if entry.id == subject.fsuid:
                return not mask & ~(entry.permissions & limit)
        elif entry.tag in (ACL_GROUP_OBJ, ACL_GROUP):
            gid = inode.gid if entry.tag == ACL_GROUP_OBJ else entry.id
            if is_member(subject, gid):
                is_found = True
                if not mask & ~entry.permissions:
                    return not mask & ~limit
        elif entry.tag == ACL_OTHER:
            return not is_found and not mask & ~entry.permissions
    return False


def inherited(directory: Inode, mode: int, umask: int) -> int:
    """The mode of what is made in `directory` with `mode`: its default list takes the place of the umask.

    Raises ENOSPC or OutOfFrames if there's no room for the lists that `inherit` will give it.

    Linux: fs/posix_acl.c, posix_acl_create, posix_acl_create_masq.
    """
    lists = directory.acl
    if lists is None or lists.default is None:
        return mode & ~umask
    directory.superblock.vfs.accounts.check_text(2 * _ENTRY_COST * len(lists.default))
    return mode & ~0o777 | mode & mode_of(lists.default)


def inherit(directory: Inode, made: Inode) -> None:
    """Give what was made in `directory`, with the mode that `inherited` said, its lists."""
    lists = directory.acl
    if lists is None or lists.default is None or made.mode & S_IFMT == _S_IFLNK:
        return
    own = AccessLists()
    if not is_minimal(lists.default):
        own.access = with_mode(lists.default, made.mode)
    if made.is_directory:
        own.default = lists.default
    if own.cost:
        made.superblock.vfs.accounts.count_text(own.cost)
        made.set_lists(own)


def put_lists(inode: Inode, lists: AccessLists, mode: int | None = None) -> None:
    """Let these be the inode's lists, and charge them; `mode` its permission bits from then on, if given.

    Raises ENOSPC, OutOfFrames or what setting the mode does, nothing changed.
    """
    inode.copy_up()
    growth = lists.cost - (0 if inode.acl is None else inode.acl.cost)
    accounts = inode.superblock.vfs.accounts
    accounts.add_text(max(growth, 0))
    if mode is not None:
        try:
            inode.set_attributes(mode=mode)
        except (Errno, OutOfFrames):
            accounts.add_text(-max(growth, 0))
            raise
    accounts.add_text(min(growth, 0))
    inode.set_lists(lists if lists.cost else None)
