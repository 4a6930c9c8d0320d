"""Who may do what to an inode: permission bits, capabilities, sticky directories."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Final, Protocol

from procession.abi.capability import Capability
from procession.abi.errno import EACCES, EOVERFLOW, EPERM, EROFS, Errno
from procession.abi.file_mode import S_IFMT, AccessMode, FileType
from procession.fs.acl import allows
from procession.fs.owner import sees_nobody, uid_in_own
from procession.fs.user_namespace import NO_ID

if TYPE_CHECKING:
    from procession.fs.inode import Inode
    from procession.fs.landlock import Domain
    from procession.fs.mounts.id_map import MountIdMap
    from procession.fs.superblock import Superblock
    from procession.fs.user_namespace import UserNamespace

MAY_EXEC: Final = int(AccessMode.X_OK)
MAY_WRITE: Final = int(AccessMode.W_OK)
MAY_READ: Final = int(AccessMode.R_OK)

CAP_CHOWN: Final = int(Capability.CAP_CHOWN)
CAP_DAC_OVERRIDE: Final = int(Capability.CAP_DAC_OVERRIDE)
CAP_DAC_READ_SEARCH: Final = int(Capability.CAP_DAC_READ_SEARCH)
CAP_FOWNER: Final = int(Capability.CAP_FOWNER)
CAP_FSETID: Final = int(Capability.CAP_FSETID)
CAP_LINUX_IMMUTABLE: Final = int(Capability.CAP_LINUX_IMMUTABLE)
CAP_LEASE: Final = int(Capability.CAP_LEASE)
CAP_SETFCAP: Final = int(Capability.CAP_SETFCAP)
CAP_MKNOD: Final = int(Capability.CAP_MKNOD)
CAP_SYSLOG: Final = int(Capability.CAP_SYSLOG)
CAP_NET_ADMIN: Final = int(Capability.CAP_NET_ADMIN)
CAP_CHECKPOINT_RESTORE: Final = int(Capability.CAP_CHECKPOINT_RESTORE)
CAP_SYS_ADMIN: Final = int(Capability.CAP_SYS_ADMIN)
CAP_SYS_RESOURCE: Final = int(Capability.CAP_SYS_RESOURCE)

_S_IFDIR: Final = int(FileType.S_IFDIR)
_S_IFREG: Final = int(FileType.S_IFREG)
_S_IFIFO: Final = int(FileType.S_IFIFO)
_FILES_ON_A_FILE_SYSTEM: Final = frozenset({int(FileType.S_IFREG), _S_IFDIR, int(FileType.S_IFLNK)})


class Subject(Protocol):
    """Whose permissions count: the credentials of a task."""

    @property
    def euid(self) -> int:
        """The effective user id, which counts for the kernel's parameters."""

    @property
    def egid(self) -> int:
        """The effective group id."""

    @property
    def fsuid(self) -> int:
        """The user whose files these are (in Linux, cred.fsuid)."""

    @property
    def fsgid(self) -> int:
        """The group that new files belong to."""

    @property
    def groups(self) -> Container[int]:
        """The supplementary groups."""

    @property
    def landlock(self) -> Domain:
        """The domain of Landlock in which it is, () for none."""

    @property
    def user_namespace(self) -> UserNamespace:
        """Where its ids and capabilities count."""

    def capable(self, capability: int) -> bool:
        """Whether capability number `capability` is effective over the whole machine; then it's used."""

    def has_capability(self, capability: int) -> bool:
        """Whether `capability` is effective over the whole machine, of anybody, as who opened a file."""

    def ns_capable(self, namespace: UserNamespace, capability: int) -> bool:
        """Whether `capability` is effective over what `namespace` owns; then it's used."""

    def has_ns_capability(self, namespace: UserNamespace, capability: int) -> bool:
        """Whether `capability` is effective over what `namespace` owns, of anybody."""

    def cap_raised(self, capability: int) -> bool:
        """Whether `capability` is in the effective set."""

    def may_checkpoint(self, namespace: UserNamespace) -> bool:
        """Whether it may put back what was kept of a process, where `namespace` owns what that is in."""

    def capable_wrt_inode_uidgid(self, inode: Inode, capability: int) -> bool:
        """Whether `capability` is effective over a file whose owner and group have ids for the subject."""

    @property
    def id_map(self) -> MountIdMap | None:
        """How it sees the ids of files, None for as they are: see `mounts.id_map`."""


def is_in_group(subject: Subject, gid: int) -> bool:
    """Whether `gid` is the subject's own or a supplementary group (Linux: kernel/groups.c, in_group_p)."""
    return subject.fsgid == gid or gid in subject.groups


def check_permission(inode: Inode, subject: Subject, mask: int) -> None:
    """Raise EACCES unless `subject` has all of `mask` (MAY_READ, MAY_WRITE, MAY_EXEC) on `inode`.

    Linux: fs/namei.c, generic_permission.
    """
    mode = inode.mode
    acl = inode.acl
    if mask & MAY_WRITE and sees_nobody(subject, inode):
        # With the change of its times the owner would be written back. Linux: fs/namei.c, inode_permission.
        raise EACCES
    if subject.fsuid == inode.uid:
        granted = mode >> 6
    elif acl is not None and acl.access is not None and mode & 0o70:
        granted = mask if allows(acl.access, inode, subject, mask, is_in_group) else 0
    elif (mode >> 3 ^ mode) & 7 and is_in_group(subject, inode.gid):
        granted = mode >> 3
    else:
        granted = mode
    if not mask & ~granted:
        return
    if mode & S_IFMT == _S_IFDIR:
        if not mask & MAY_WRITE and subject.capable_wrt_inode_uidgid(inode, CAP_DAC_READ_SEARCH):
            return
        if subject.capable_wrt_inode_uidgid(inode, CAP_DAC_OVERRIDE):
            return
        raise EACCES
    if mask == MAY_READ and subject.capable_wrt_inode_uidgid(inode, CAP_DAC_READ_SEARCH):
        return
    # Root may run a program only when somebody may.
    if (not mask & MAY_EXEC or mode & 0o111) and subject.capable_wrt_inode_uidgid(inode, CAP_DAC_OVERRIDE):
        return
    raise EACCES


def check_maker(subject: Subject, superblock: Superblock) -> None:
    """Raise EOVERFLOW if what the subject makes couldn't be its own.

    Linux: include/linux/fs.h, fsuidgid_has_mapping.
    """
    owner = superblock.owner
    if (owner.level or subject.id_map is not None) and NO_ID in (
        subject.fsuid,
        subject.fsgid,
        owner.from_kuid(subject.fsuid),
        owner.from_kgid(subject.fsgid),
    ):
        raise EOVERFLOW("the file system has no id for who makes the file")


def check_writable_file_system(inode: Inode) -> None:
    """Raise EROFS when `inode` is a file, directory or link on a read-only file system.

    Linux: fs/namei.c, sb_permission.
    """
    if inode.superblock.is_read_only and inode.mode & S_IFMT in _FILES_ON_A_FILE_SYSTEM:
        raise EROFS


def inode_owner_or_capable(subject: Subject, inode: Inode) -> bool:
    """Whether the subject may do what only a file's owner may: the owner needs an id there, not the group.

    Linux: fs/inode.c, inode_owner_or_capable.
    """
    if subject.fsuid == inode.uid:
        return True
    return uid_in_own(subject, inode.uid) != NO_ID and subject.ns_capable(subject.user_namespace, CAP_FOWNER)


def may_see_cache(subject: Subject, inode: Inode) -> bool:
    """Whether it's told which of a file's pages are in memory, as that tells what others read.

    Linux: mm/mincore.c, can_do_mincore.
    """
    if inode_owner_or_capable(subject, inode):
        return True
    try:
        inode.check_permission(subject, MAY_WRITE)
    except Errno:
        return False
    return True


def in_group_or_capable(subject: Subject, inode: Inode) -> bool:
    """Whether the subject may leave set-group-ID on `inode`. Linux: fs/inode.c, in_group_or_capable."""
    return is_in_group(subject, inode.gid) or subject.capable_wrt_inode_uidgid(inode, CAP_FSETID)


def check_following(inode: Inode, directory: Inode, subject: Subject) -> None:
    """Raise EACCES for a symbolic link of somebody else in a sticky directory that all may write to.

    Linux: fs/namei.c, may_follow_link; proc_sys_fs(5), protected_symlinks.
    """
    if (
        directory.mode & 0o1002 == 0o1002
        and inode.uid not in (subject.fsuid, directory.uid)
        and inode.superblock.vfs.protected_symlinks
    ):
        raise EACCES


def check_linking(inode: Inode, subject: Subject) -> None:
    """Raise EPERM when a file of somebody else mustn't get one more name.

    Linux: fs/namei.c, may_linkat; proc_sys_fs(5), protected_hardlinks.
    """
    if sees_nobody(subject, inode):
        raise EOVERFLOW
    if not inode.superblock.vfs.protected_hardlinks or subject.fsuid == inode.uid:
        return
    if not _is_safe_to_link(inode, subject) and not inode_owner_or_capable(subject, inode):
        raise EPERM


def _is_safe_to_link(inode: Inode, subject: Subject) -> bool:
    """Linux: fs/namei.c, safe_hardlink_source."""
    mode = inode.mode
    if mode & S_IFMT != _S_IFREG or mode & 0o4000 or mode & 0o2010 == 0o2010:
        return False
    try:
        inode.check_permission(subject, MAY_READ | MAY_WRITE)
    except EACCES:
        return False
    return True


def check_opening_by_creation(inode: Inode, directory: Inode, subject: Subject) -> None:
    """Raise EACCES when O_CREAT meets somebody else's file in a sticky directory that others may write to.

    Linux: fs/namei.c, may_create_in_sticky; proc_sys_fs(5), protected_fifos and protected_regular.
    """
    kind, vfs = inode.mode & S_IFMT, inode.superblock.vfs
    # Other kinds, sockets and devices, are protected in any case.
    level = vfs.protected_fifos if kind == _S_IFIFO else vfs.protected_regular if kind == _S_IFREG else 1
    if (
        level
        and directory.mode & 0o1000
        and inode.uid not in (directory.uid, subject.fsuid)
        and (directory.mode & 0o002 or (directory.mode & 0o020 and level >= 2))
    ):
        raise EACCES


def check_sticky(directory: Inode, victim: Inode, subject: Subject) -> None:
    """Raise EPERM when the sticky bit of `directory` keeps `victim` from being taken out or replaced.

    Linux: include/linux/fs.h, check_sticky.
    """
    if (
        directory.mode & 0o1000
        and subject.fsuid not in (victim.uid, directory.uid)
        and not subject.capable_wrt_inode_uidgid(victim, CAP_FOWNER)
    ):
        raise EPERM
