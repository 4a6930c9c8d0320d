"""Extended attributes: names and bytes kept with an inode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import (
    E2BIG,
    EACCES,
    EAGAIN,
    EEXIST,
    EINVAL,
    ENODATA,
    ENOSPC,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
    EROFS,
)
from procession.abi.file_mode import S_IFMT
from procession.abi.xattr import XATTR_LIST_MAX, XATTR_NAME_MAX, XATTR_SIZE_MAX, XattrFlag
from procession.fs.acl import AccessLists, check_acl, format_acl, is_minimal, mode_of, parse_acl, put_lists
from procession.fs.attributes import check_unchanging
from procession.fs.capability_attribute import CAPABILITY_NAME, kept_capability, shown_capability
from procession.fs.file_events import IN_ATTRIB, note_change
from procession.fs.inode import S_IFDIR, S_IFREG, S_ISGID, S_ISVTX, Inode
from procession.fs.mounts.id_map import through
from procession.fs.owner import sees_nobody
from procession.fs.permission import (
    CAP_SETFCAP,
    CAP_SYS_ADMIN,
    MAY_READ,
    MAY_WRITE,
    Subject,
    in_group_or_capable,
    inode_owner_or_capable,
)

if TYPE_CHECKING:
    from procession.fs.dentry import Path

XATTR_CREATE = int(XattrFlag.XATTR_CREATE)
XATTR_REPLACE = int(XattrFlag.XATTR_REPLACE)
_SECURITY = b"security."


def _check_name(inode: Inode, subject: Subject, name: bytes, *, writes: bool) -> None:
    """Raise unless `subject` may read or write attribute `name`, and it's of a family that is kept."""
    _check_rights(inode, subject, name, writes=writes)
    _check_family(inode, name, writes=writes)


def _check_rights(
    inode: Inode, subject: Subject, name: bytes, *, writes: bool, is_empty: bool = False
) -> None:
    """Raise unless `subject` may read or write attribute `name`. Capabilities that are written `is_empty` are
    none, which anybody may give.

    Linux: fs/xattr.c, xattr_permission; security/commoncap.c, cap_inode_setxattr.
    """
    if not 0 < len(name) <= XATTR_NAME_MAX:
        raise ERANGE
    if is_empty and name == CAPABILITY_NAME:
        _check_changeable(inode, subject)
    else:
        family, dot, _ = name.partition(b".")
        _check_permission(inode, subject, name, family if dot else b"", writes=writes)


def _check_family(inode: Inode, name: bytes, *, writes: bool) -> None:
    """Raise EOPNOTSUPP, EINVAL. Linux: fs/xattr.c, xattr_resolve_name."""
    family, dot, rest = name.partition(b".")
    if not inode.superblock.has_xattrs or not dot or family not in inode.superblock.xattr_families:
        raise EOPNOTSUPP
    if not rest:
        raise EINVAL
    if writes and family == b"user" and not inode.superblock.keeps_user_xattrs:
        # As kernfs answers unless it's of control groups.
        raise EOPNOTSUPP("nobody's names are kept here")


def _check_changeable(inode: Inode, subject: Subject) -> None:
    """Raise EPERM if the file keeps its attributes. Linux: fs/xattr.c, may_write_xattr."""
    check_unchanging(inode)
    if sees_nobody(subject, inode):
        raise EPERM("the file is nobody's here")


def _check_permission(inode: Inode, subject: Subject, name: bytes, family: bytes, *, writes: bool) -> None:
    if writes:
        _check_changeable(inode, subject)
    if family == b"trusted":
        if not subject.capable(CAP_SYS_ADMIN):
            raise EPERM if writes else ENODATA
        return
    if family == b"security":
        if writes and not inode.is_private:
            is_permitted = (
                subject.capable_wrt_inode_uidgid(inode, CAP_SETFCAP)
                if name == CAPABILITY_NAME
                else subject.ns_capable(inode.superblock.owner, CAP_SYS_ADMIN)
            )
            if not is_permitted:
                raise EPERM
        return
    if family == b"system":
        return
    if family == b"user":
        _check_user_attribute(inode, subject, writes=writes)
    inode.check_permission(subject, MAY_WRITE if writes else MAY_READ)


def _check_user_attribute(inode: Inode, subject: Subject, *, writes: bool) -> None:
    kind = inode.mode & S_IFMT
    if kind not in (S_IFREG, S_IFDIR):
        raise EPERM if writes else ENODATA
    if writes and kind == S_IFDIR and inode.mode & S_ISVTX and not inode_owner_or_capable(subject, inode):
        raise EPERM


_ACCESS_LIST, _DEFAULT_LIST = b"system.posix_acl_access", b"system.posix_acl_default"
_LISTS = (_ACCESS_LIST, _DEFAULT_LIST)


def _check_lists(inode: Inode) -> None:
    """Raise EOPNOTSUPP for a file that can't have lists of access control."""
    if not inode.has_acls:
        raise EOPNOTSUPP


def _get_list(inode: Inode, subject: Subject, name: bytes) -> bytes:
    """Linux: fs/posix_acl.c, vfs_get_acl."""
    _check_lists(inode)
    lists = inode.acl
    acl = None if lists is None else lists.access if name == _ACCESS_LIST else lists.default
    if acl is None:
        raise ENODATA
    return format_acl(acl, subject)


def _set_list(path: Path, subject: Subject, name: bytes, value: bytes) -> None:
    """Set a list of access control, or with b"" remove it. Whether there was one doesn't matter.

    Linux: fs/posix_acl.c, set_posix_acl, posix_acl_update_mode.
    """
    inode = path.inode
    acl = parse_acl(value, subject)
    _check_changeable(inode, subject)
    _check_lists(inode)
    if name == _DEFAULT_LIST and not inode.is_directory:
        if acl is not None:
            raise EACCES("only a directory has a default list")
        note_change(path.dentry, IN_ATTRIB)
        return
    if not inode_owner_or_capable(subject, inode):
        raise EPERM
    if acl is not None:
        check_acl(acl)
    lists = AccessLists()
    mode: int | None = None
    if inode.acl is not None:
        lists.access, lists.default = inode.acl.access, inode.acl.default
    if acl is None and inode.is_below and (lists.default if name == _DEFAULT_LIST else lists.access) is None:
        raise ENODATA("nothing is copied up for what isn't there")
    if name == _DEFAULT_LIST:
        lists.default = acl
    else:
        lists.access = None if acl is None or is_minimal(acl) else acl
        if acl is not None:
            mode = inode.mode & 0o7000 | mode_of(acl)
            if not in_group_or_capable(subject, inode):
                mode &= ~S_ISGID
    put_lists(inode, lists, mode)
    inode.ctime_ns = inode.now_ns()
    note_change(path.dentry, IN_ATTRIB)


def get_xattr(path: Path, subject: Subject, name: bytes) -> bytes:
    """The value of attribute `name`. Raises ENODATA, EOPNOTSUPP, ERANGE. getxattr(2)."""
    inode = path.inode
    subject = through(path.mount, subject)
    if name in _LISTS:
        return _get_list(inode, subject, name)
    told = inode.told_xattrs().get(name)
    if told is not None:
        return told
    _check_name(inode, subject, name, writes=False)
    value = inode.read_xattr(name)
    if value is None:
        raise ENODATA
    return shown_capability(inode, subject, value) if name == CAPABILITY_NAME else value


def set_xattr(path: Path, subject: Subject, name: bytes, value: bytes, flags: int) -> None:
    """Set attribute `name`. Raises EEXIST, ENODATA, EPERM, ENOSPC, E2BIG, EROFS ... setxattr(2)."""
    if flags & ~(XATTR_CREATE | XATTR_REPLACE):
        raise EINVAL
    if not 0 < len(name) <= XATTR_NAME_MAX:
        raise ERANGE
    if len(value) > XATTR_SIZE_MAX:
        raise E2BIG
    if path.mount.is_read_only:
        raise EROFS
    inode = path.inode
    subject = through(path.mount, subject)
    if name in _LISTS:
        _set_list(path, subject, name, value)
        return
    if name == CAPABILITY_NAME:
        # Before anything else, even where none can be kept. Linux: fs/xattr.c, vfs_setxattr.
        value = kept_capability(inode, subject, value)
    _check_rights(inode, subject, name, writes=True, is_empty=not value)
    # An overlay asks the layer whether it keeps such names. Linux: fs/overlayfs/xattrs.c, ovl_xattr_set.
    inode.copy_up()
    _check_family(inode, name, writes=True)
    attributes = inode.writable_xattrs()
    previous = attributes.get(name)
    if previous is not None and flags & XATTR_CREATE:
        raise EEXIST
    if previous is None and flags & XATTR_REPLACE:
        raise ENODATA
    replaced = 0 if previous is None else len(name) + len(previous)
    if inode.size_of_xattrs() - replaced + len(name) + len(value) > inode.superblock.attributes_limit:
        raise ENOSPC
    inode.change_xattr(name, value)
    inode.ctime_ns = inode.now_ns()
    note_change(path.dentry, IN_ATTRIB)


def remove_xattr(path: Path, subject: Subject, name: bytes) -> None:
    """Remove attribute `name`. Raises ENODATA, EPERM, EROFS ... removexattr(2).

    Linux: fs/xattr.c, __vfs_removexattr; net/socket.c, sockfs_security_xattr_set.
    """
    if path.mount.is_read_only:
        raise EROFS
    inode = path.inode
    subject = through(path.mount, subject)
    if name in _LISTS:
        _set_list(path, subject, name, b"")
        return
    if inode.superblock.leaves_security_to_modules and name.startswith(_SECURITY):
        _check_permission(inode, subject, name, _SECURITY[:-1], writes=True)
        # What setxattr(2) takes as the sign to ask a module, removexattr(2) hands on.
        raise EAGAIN("a security module would keep it")
    _check_name(inode, subject, name, writes=True)
    if inode.is_below and name not in inode.read_xattrs():
        raise ENODATA("nothing is copied up for what isn't there")
    if name not in inode.writable_xattrs():
        raise ENODATA
    inode.change_xattr(name, None)
    inode.ctime_ns = inode.now_ns()
    note_change(path.dentry, IN_ATTRIB)


def list_xattrs(inode: Inode, subject: Subject) -> bytes:
    """All names that the subject may know, each ended by a NUL. Raises E2BIG. listxattr(2)."""
    sees_trusted = subject.capable(CAP_SYS_ADMIN)
    names = [name for name in inode.read_xattrs() if sees_trusted or not name.startswith(b"trusted.")]
    names += inode.told_xattrs()
    names.sort(reverse=inode.superblock.lists_attributes_backwards)
    if inode.acl is not None:
        present = (inode.acl.access, inode.acl.default)
        names[:0] = [name for name, acl in zip(_LISTS, present, strict=True) if acl is not None]
    listed = b"".join(name + b"\0" for name in names)
    if len(listed) > XATTR_LIST_MAX:
        raise E2BIG
    return listed
