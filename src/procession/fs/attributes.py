"""Changing what an inode says about itself: chmod, chown, utimensat and truncate by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EACCES, EINVAL, EISDIR, EOPNOTSUPP, EOVERFLOW, EPERM, EROFS, ETXTBSY
from procession.abi.file_mode import S_IFMT
from procession.abi.ioctls import ExtendedFlag, FileFlag, Fsxattr
from procession.fs.acl import with_mode
from procession.fs.file_events import IN_ACCESS, IN_ATTRIB, IN_MODIFY, note_change
from procession.fs.inode import APPEND_ONLY, IMMUTABLE, S_IFDIR, S_IFLNK, S_IFREG, S_ISGID, S_ISUID, Inode
from procession.fs.landlock import TRUNCATE, check_right
from procession.fs.mounts.id_map import kept_owner, through
from procession.fs.owner import sees_nobody
from procession.fs.permission import (
    CAP_CHOWN,
    CAP_FSETID,
    CAP_LINUX_IMMUTABLE,
    MAY_EXEC,
    MAY_WRITE,
    Subject,
    in_group_or_capable,
    inode_owner_or_capable,
    is_in_group,
)
from procession.fs.user_namespace import NO_ID

if TYPE_CHECKING:
    from procession.fs.dentry import Path

NOW = -1
"""A time stamp for `change_times`: this moment (UTIME_NOW)."""
OMIT = -2
"""A time stamp for `change_times`: leave it (UTIME_OMIT)."""
_LIMITS_S = (-1 << 63, (1 << 63) - 1)


def change_mode(path: Path, subject: Subject, mode: int) -> None:
    """Set the permission bits. Raises EPERM, EROFS, EOPNOTSUPP (a symbolic link).

    Linux: fs/open.c, chmod_common.
    """
    inode = path.inode
    if path.mount.is_read_only:
        raise EROFS
    if inode.mode & S_IFMT == S_IFLNK:
        raise EOPNOTSUPP
    subject = through(path.mount, subject)
    _check_settable(inode)
    _check_owned(inode, subject)
    if not inode_owner_or_capable(subject, inode):
        raise EPERM
    mode &= 0o7777
    if not in_group_or_capable(subject, inode):
        mode &= ~S_ISGID
    inode.set_attributes(mode=mode)
    lists = inode.acl
    if lists is not None and lists.access is not None:
        lists.access = with_mode(lists.access, mode)
    note_change(path.dentry, IN_ATTRIB)


def change_owner(path: Path, subject: Subject, uid: int | None, gid: int | None) -> None:
    """Set the owner, the group or both. Raises EPERM, EROFS. Linux: fs/open.c, chown_common."""
    inode = path.inode
    if path.mount.is_read_only:
        raise EROFS
    if uid is not None or gid is not None:
        _check_settable(inode)
    subject = through(path.mount, subject)
    uid, gid = kept_owner(path.mount, uid, gid)
    if uid is None or gid is None:
        _check_owned(inode, subject)
    is_owner = subject.fsuid == inode.uid
    if uid is not None and not (is_owner and uid == inode.uid) and not _may_give_away(inode, subject):
        raise EPERM
    if (
        gid is not None
        and not (is_owner and (gid == inode.gid or is_in_group(subject, gid)))
        and not _may_give_away(inode, subject)
    ):
        raise EPERM
    mode = None
    if inode.mode & S_IFMT != S_IFDIR:
        mode = inode.mode & ~_set_id_bits_to_drop(inode, subject) & 0o7777
        if mode != inode.mode & 0o7777 and not inode_owner_or_capable(subject, inode):
            # Taking bits away changes the mode, which isn't everybody's to do, though nothing else is asked.
            raise EPERM
        if mode == inode.mode & 0o7777:
            mode = None
        drop_file_capabilities(inode)
    inode.set_attributes(mode=mode, uid=uid, gid=gid)
    if uid is not None or gid is not None:
        note_change(path.dentry, IN_ATTRIB)


def _may_give_away(inode: Inode, subject: Subject) -> bool:
    """Whether the subject may change a file's owner as it likes. Linux: fs/attr.c, chown_ok, chgrp_ok."""
    return subject.capable_wrt_inode_uidgid(inode, CAP_CHOWN) or (
        sees_nobody(subject, inode) and subject.ns_capable(inode.superblock.owner, CAP_CHOWN)
    )


def check_unchanging(inode: Inode) -> None:
    """Raise EPERM for a file that is immutable or only appended to. Linux: fs/attr.c, may_setattr."""
    if inode.flags & (IMMUTABLE | APPEND_ONLY):
        raise EPERM("the file is immutable, or only appended to")


def _check_settable(inode: Inode) -> None:
    """Raise EPERM as `check_unchanging` does, and EOPNOTSUPP if nothing can be set, whoever asks.

    Linux: fs/attr.c, notify_change; fs/anon_inodes.c, anon_inode_setattr.
    """
    check_unchanging(inode)
    if not inode.has_attributes:
        raise EOPNOTSUPP


def _check_owned(inode: Inode, subject: Subject) -> None:
    """Raise EOVERFLOW for a file whose owner would be written back, and isn't known.

    Linux: fs/attr.c, notify_change.
    """
    if sees_nobody(subject, inode):
        raise EOVERFLOW("the file is nobody's here")


def _set_id_bits_to_drop(inode: Inode, subject: Subject) -> int:
    """Linux: fs/attr.c, setattr_should_drop_suidgid."""
    dropped = inode.mode & S_ISUID
    if inode.mode & S_ISGID and (inode.mode & 0o010 or not in_group_or_capable(subject, inode)):
        dropped |= S_ISGID
    return dropped


def change_times(path: Path, subject: Subject, atime_ns: int, mtime_ns: int) -> None:
    """Set the time stamps; each is nanoseconds since the epoch, NOW or OMIT.

    Raises EACCES (both NOW), EPERM, EROFS. Linux: fs/utimes.c, vfs_utimes; utimensat(2).
    """
    if atime_ns == OMIT and mtime_ns == OMIT:
        return
    inode = path.inode
    if path.mount.is_read_only:
        raise EROFS
    subject = through(path.mount, subject)
    if atime_ns == NOW and mtime_ns == NOW:
        if inode.flags & IMMUTABLE:
            raise EPERM("the file is immutable")
        if not inode_owner_or_capable(subject, inode):
            inode.check_permission(subject, MAY_WRITE)
    else:
        _check_settable(inode)
        if not inode_owner_or_capable(subject, inode):
            raise EPERM
    _check_owned(inode, subject)
    now_ns = inode.now_ns()
    times = {NOW: now_ns, OMIT: None}
    inode.set_attributes(
        atime_ns=times.get(atime_ns, _kept_time(atime_ns)), mtime_ns=times.get(mtime_ns, _kept_time(mtime_ns))
    )
    # One time alone is taken for a read or a write, as Linux does.
    note_change(path.dentry, IN_MODIFY if atime_ns == OMIT else IN_ACCESS if mtime_ns == OMIT else IN_ATTRIB)


def _kept_time(stamp_ns: int) -> int:
    """What a file keeps of a time stamp: of the first and the last second only their beginning.

    Linux: fs/inode.c, timestamp_truncate.
    """
    seconds = stamp_ns // NS_PER_S
    return seconds * NS_PER_S if seconds in _LIMITS_S else stamp_ns


def check_truncation(path: Path, subject: Subject) -> None:
    """Raise what forbids to change a file's length, whatever it becomes, and take leases of it back.

    Raises EISDIR, EINVAL, EACCES, EROFS, ETXTBSY. Linux: fs/open.c, vfs_truncate.
    """
    inode = path.inode
    kind = inode.mode & S_IFMT
    if kind == S_IFDIR:
        raise EISDIR
    if kind != S_IFREG:
        raise EINVAL
    if path.mount.is_read_only:
        raise EROFS
    inode.check_permission(through(path.mount, subject), MAY_WRITE)
    if inode.flags & APPEND_ONLY:
        raise EPERM("the file is only appended to")
    if inode.writer_count < 0:
        raise ETXTBSY
    if subject.landlock:
        check_right(subject, path, TRUNCATE)
    if inode.locks is not None:
        inode.locks.leases.break_for(is_write=True, is_blocking=True)


def truncate(path: Path, subject: Subject, size: int) -> None:
    """Make a file `size` bytes long that `check_truncation` lets through. Linux: fs/open.c, do_truncate."""
    path.inode.truncate_by_name(size)
    _note_truncation(path, subject)


def truncate_opened(path: Path, subject: Subject, size: int) -> None:
    """Set the size, and drop set-id bits that a write drops. Linux: fs/open.c, do_truncate."""
    path.inode.truncate(size)
    _note_truncation(path, subject)


def _note_truncation(path: Path, subject: Subject) -> None:
    inode = path.inode
    mode = inode.mode
    _drop_set_id_bits(inode, through(path.mount, subject))
    note_change(path.dentry, IN_MODIFY if inode.mode == mode else IN_MODIFY | IN_ATTRIB)


def remove_privileges(path: Path, subject: Subject) -> None:
    """Take set-id bits and file capabilities from a file that is written to.

    Linux: fs/inode.c, file_remove_privs.
    """
    inode = path.inode
    mode = inode.mode
    _drop_set_id_bits(inode, through(path.mount, subject))
    if inode.mode != mode:
        note_change(path.dentry, IN_ATTRIB)


def _drop_set_id_bits(inode: Inode, subject: Subject) -> None:
    """Linux: fs/inode.c, dentry_needs_remove_privs."""
    dropped = _set_id_bits_to_drop(inode, subject)
    if dropped and not subject.capable(CAP_FSETID):
        inode.mode &= ~dropped
    drop_file_capabilities(inode)


def drop_file_capabilities(inode: Inode) -> None:
    """Take what setcap(8) gave a program, if that is anything.

    Linux: security/commoncap.c, cap_inode_need_killpriv, cap_inode_killpriv.
    """
    if inode.read_xattrs().get(b"security.capability"):
        inode.change_xattr(b"security.capability", None)


def check_access(path: Path, subject: Subject, mask: int) -> None:
    """Whether a file may be read, written or run: access(2). Raises EACCES, EROFS.

    `subject` has the ids and capabilities that count: the real ones for access(2) itself.
    Linux: fs/open.c, do_faccessat.
    """
    inode = path.inode
    kind = inode.mode & S_IFMT
    if mask & MAY_EXEC and kind == S_IFREG and path.mount.is_noexec:
        raise EACCES
    inode.check_permission(through(path.mount, subject), mask)
    if mask & MAY_WRITE and kind in (S_IFREG, S_IFDIR, S_IFLNK) and path.mount.is_read_only:
        raise EROFS


_EXTENDED = {
    int(FileFlag.FS_IMMUTABLE_FL): int(ExtendedFlag.FS_XFLAG_IMMUTABLE),
    int(FileFlag.FS_APPEND_FL): int(ExtendedFlag.FS_XFLAG_APPEND),
    int(FileFlag.FS_NODUMP_FL): int(ExtendedFlag.FS_XFLAG_NODUMP),
    int(FileFlag.FS_NOATIME_FL): int(ExtendedFlag.FS_XFLAG_NOATIME),
}


def extended_flags(flags: int) -> int:
    """FileFlags as ExtendedFlags. Linux: fs/file_attr.c, fileattr_fill_flags."""
    return sum(extended for flag, extended in _EXTENDED.items() if flags & flag)


_EXTENT_SIZE = int(ExtendedFlag.FS_XFLAG_EXTSIZE)
_EXTENT_SIZE_INHERITED = int(ExtendedFlag.FS_XFLAG_EXTSZINHERIT)
_COPIED_EXTENT_SIZE = int(ExtendedFlag.FS_XFLAG_COWEXTSIZE)
_INHERITED_PROJECT = int(ExtendedFlag.FS_XFLAG_PROJINHERIT)
_INHERITED_PROJECT_FLAG = int(FileFlag.FS_PROJINHERIT_FL)
_PROTECTING = (int(FileFlag.FS_IMMUTABLE_FL), int(FileFlag.FS_APPEND_FL))
_READ_ONLY = int(ExtendedFlag.FS_XFLAG_PREALLOC | ExtendedFlag.FS_XFLAG_HASATTR)
KNOWN_EXTENDED = sum(int(flag) for flag in ExtendedFlag)


def set_extended_flags(path: Path, subject: Subject, attributes: Fsxattr) -> None:
    """Set FileFlag's bits by ExtendedFlags. Raises what `set_file_flags` does, EINVAL for hints of another
    kind of file, and EOPNOTSUPP for flags, extents and projects that no file system here has.

    Linux: fs/ioctl.c, fileattr_fill_xflags, fileattr_set_prepare; mm/shmem.c, shmem_fileattr_set.
    """
    _check_setting(path, subject)
    extended = attributes.fsx_xflags & ~_READ_ONLY
    protecting = sum(flag for flag in _PROTECTING if extended & _EXTENDED[flag])
    _check_protection(path.inode, subject, protecting)
    _check_project(subject, attributes.fsx_projid, is_inherited=bool(extended & _INHERITED_PROJECT))
    if extended & (_EXTENT_SIZE_INHERITED if path.inode.is_regular else _EXTENT_SIZE):
        raise EINVAL("a hint of extents for another kind of file")
    if not attributes.fsx_extsize:
        extended &= ~(_EXTENT_SIZE | _EXTENT_SIZE_INHERITED)
    if not attributes.fsx_cowextsize:
        extended &= ~_COPIED_EXTENT_SIZE
    others = attributes.fsx_extsize | attributes.fsx_projid | attributes.fsx_cowextsize
    if others or extended & ~extended_flags(sum(_EXTENDED)):
        raise EOPNOTSUPP
    set_file_flags(path, subject, sum(flag for flag, bit in _EXTENDED.items() if extended & bit))


def _check_setting(path: Path, subject: Subject) -> None:
    """Raise EROFS or EPERM if `subject` may not set flags of what is at `path`."""
    if path.mount.is_read_only:
        raise EROFS
    if not inode_owner_or_capable(through(path.mount, subject), path.inode):
        raise EPERM


def _check_protection(inode: Inode, subject: Subject, flags: int) -> None:
    """Raise EPERM if what FileFlags say of protection differs, and isn't for `subject` to change."""
    if (flags ^ inode.flags) & (IMMUTABLE | APPEND_ONLY) and not subject.capable(CAP_LINUX_IMMUTABLE):
        raise EPERM("it takes CAP_LINUX_IMMUTABLE")


def _check_project(subject: Subject, project: int, *, is_inherited: bool) -> None:
    """Raise EINVAL for a project that isn't for `subject` to give, or none; all files are of project 0.

    Linux: fs/ioctl.c, fileattr_set_prepare.
    """
    if subject.user_namespace.level:
        if project or is_inherited:
            raise EINVAL("projects are the first user namespace's to give")
    elif project == NO_ID:
        raise EINVAL("no project has that number")


def set_file_flags(path: Path, subject: Subject, flags: int) -> None:
    """What chattr(1) does: set FileFlag's bits. Raises EROFS, EPERM, EOPNOTSUPP for bits that aren't kept.

    Linux: fs/ioctl.c, vfs_fileattr_set.
    """
    inode = path.inode
    _check_setting(path, subject)
    _check_protection(inode, subject, flags)
    _check_project(subject, 0, is_inherited=bool(flags & _INHERITED_PROJECT_FLAG))
    inode.set_flags(flags)
