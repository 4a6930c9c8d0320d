"""What a subject calls the owners of files, and whom it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.user_namespace import NO_ID

if TYPE_CHECKING:
    from procession.fs.inode import Inode
    from procession.fs.permission import Subject


def sees_nobody(subject: Subject, inode: Inode) -> bool:
    """Whether the owner or group of a file is nobody's for the subject, so that it can't be written back.

    Linux: include/linux/fs.h, HAS_UNMAPPED_ID.
    """
    id_map = subject.id_map
    return id_map is not None and NO_ID in (id_map.seen_uid(inode.uid), id_map.seen_gid(inode.gid))


def uid_in_own(subject: Subject, kuid: int) -> int:
    """What the subject calls a user that a file names, NO_ID if it has no id for it."""
    if subject.id_map is not None:
        kuid = subject.id_map.seen_uid(kuid)
    return NO_ID if kuid == NO_ID else subject.user_namespace.from_kuid(kuid)


def gid_in_own(subject: Subject, kgid: int) -> int:
    """The same for a group."""
    if subject.id_map is not None:
        kgid = subject.id_map.seen_gid(kgid)
    return NO_ID if kgid == NO_ID else subject.user_namespace.from_kgid(kgid)


def uid_from_own(subject: Subject, uid: int) -> int:
    """The user to keep in a file for what the subject calls `uid`, NO_ID if there is none."""
    kuid = subject.user_namespace.make_kuid(uid)
    return kuid if subject.id_map is None or kuid == NO_ID else subject.id_map.kept_uid(kuid)


def gid_from_own(subject: Subject, gid: int) -> int:
    """The same for a group."""
    kgid = subject.user_namespace.make_kgid(gid)
    return kgid if subject.id_map is None or kgid == NO_ID else subject.id_map.kept_gid(kgid)
