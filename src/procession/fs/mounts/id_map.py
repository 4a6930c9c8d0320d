"""Mounts on which files have other owners than their file system says (MOUNT_ATTR_IDMAP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EOVERFLOW
from procession.fs.owner import gid_in_own, uid_in_own
from procession.fs.permission import Subject
from procession.fs.user_namespace import NO_ID, UserNamespace

if TYPE_CHECKING:
    from collections.abc import Container

    from procession.fs.inode import Inode
    from procession.fs.landlock import Domain
    from procession.fs.mounts.mount import Mount


class MountIdMap:
    """How owners are seen through a mount: as the ids that `namespace` gives its own ids of the same numbers.

    A file that is 0's on its file system, whose ids are those of `owner`, belongs to whom 0 stands for in the
    namespace; who has no such id owns nothing there. All mounts with the map hold the namespace, whose map is
    written once.

    Linux: fs/mnt_idmapping.c, struct mnt_idmap.
    """

    __slots__ = ("namespace", "owner")

    def __init__(self, namespace: UserNamespace, owner: UserNamespace) -> None:
        self.namespace = namespace
        self.owner = owner

    def seen_uid(self, kuid: int) -> int:
        """Who owns a file that is `kuid`'s on its file system, NO_ID for nobody.

        Linux: fs/mnt_idmapping.c, make_vfsuid.
        """
        uid = self.owner.from_kuid(kuid)
        return NO_ID if uid == NO_ID else self.namespace.uid_map.down(uid)

    def seen_gid(self, kgid: int) -> int:
        """The same for groups. Linux: fs/mnt_idmapping.c, make_vfsgid."""
        gid = self.owner.from_kgid(kgid)
        return NO_ID if gid == NO_ID else self.namespace.gid_map.down(gid)

    def kept_uid(self, uid: int) -> int:
        """Whose a file of user `uid` is on its file system, NO_ID if it can't be.

        Linux: fs/mnt_idmapping.c, from_vfsuid.
        """
        kept = self.namespace.uid_map.up(uid)
        return NO_ID if kept == NO_ID else self.owner.make_kuid(kept)

    def kept_gid(self, gid: int) -> int:
        """The same for groups. Linux: fs/mnt_idmapping.c, from_vfsgid."""
        kept = self.namespace.gid_map.up(gid)
        return NO_ID if kept == NO_ID else self.owner.make_kgid(kept)

    def lines(self, reader: UserNamespace, *, is_of_groups: bool) -> list[bytes]:
        """The map as statmount(2) tells it in `reader`; what that has no ids for is left out.

        Linux: fs/mnt_idmapping.c, statmount_mnt_idmap.
        """
        extents = (self.namespace.gid_map if is_of_groups else self.namespace.uid_map).extents
        told = reader.gid_map if is_of_groups else reader.uid_map
        lines = []
        for first, lower, count in extents:
            seen = lower if not reader.level else told.up(lower)
            if seen != NO_ID:
                lines.append(b"%u %u %u" % (first, seen, count))
        return lines


class _MappedGroups:
    """The supplementary groups of who looks through a mount, by their numbers on the file system."""

    __slots__ = ("groups", "id_map")

    def __init__(self, id_map: MountIdMap, groups: Container[int]) -> None:
        self.id_map = id_map
        self.groups = groups

    def __contains__(self, kgid: object) -> bool:
        if not isinstance(kgid, int):
            return False
        seen = self.id_map.seen_gid(kgid)
        return seen != NO_ID and seen in self.groups


class MappedSubject:
    """Who looks through a mount that maps ids: with the ids that the file system has for those of `subject`.

    So whatever compares a subject with a file's owner compares what is kept with what is kept, and new files
    get owners that can be kept.
    """

    __slots__ = ("_fsgid", "_fsuid", "_groups", "_id_map", "subject")

    def __init__(self, id_map: MountIdMap, subject: Subject) -> None:
        self._id_map = id_map
        self.subject = subject
        self._fsuid = id_map.kept_uid(subject.fsuid)
        self._fsgid = id_map.kept_gid(subject.fsgid)
        self._groups = _MappedGroups(id_map, subject.groups)

    @property
    def id_map(self) -> MountIdMap | None:
        return self._id_map

    @property
    def euid(self) -> int:
        return self.subject.euid

    @property
    def egid(self) -> int:
        return self.subject.egid

    @property
    def fsuid(self) -> int:
        return self._fsuid

    @property
    def fsgid(self) -> int:
        return self._fsgid

    @property
    def groups(self) -> Container[int]:
        return self._groups

    @property
    def landlock(self) -> Domain:
        return self.subject.landlock

    @property
    def user_namespace(self) -> UserNamespace:
        return self.subject.user_namespace

    def capable(self, capability: int) -> bool:
        return self.subject.capable(capability)

    def has_capability(self, capability: int) -> bool:
        return self.subject.has_capability(capability)

    def ns_capable(self, namespace: UserNamespace, capability: int) -> bool:
        return self.subject.ns_capable(namespace, capability)

    def has_ns_capability(self, namespace: UserNamespace, capability: int) -> bool:
        return self.subject.has_ns_capability(namespace, capability)

    def cap_raised(self, capability: int) -> bool:
        return self.subject.cap_raised(capability)

    def may_checkpoint(self, namespace: UserNamespace) -> bool:
        return self.subject.may_checkpoint(namespace)

    def capable_wrt_inode_uidgid(self, inode: Inode, capability: int) -> bool:
        """Linux: kernel/capability.c, privileged_wrt_inode_uidgid."""
        is_known = NO_ID not in (uid_in_own(self, inode.uid), gid_in_own(self, inode.gid))
        return is_known and self.subject.ns_capable(self.user_namespace, capability)


def through(mount: Mount, subject: Subject) -> Subject:
    """`subject` with the ids that it has on the file system of `mount`."""
    return subject if mount.id_map is None else MappedSubject(mount.id_map, subject)


def seen_owner(mount: Mount, inode: Inode) -> tuple[int, int]:
    """The user and group that own a file as it's seen through `mount`, NO_ID for nobody."""
    id_map = mount.id_map
    if id_map is None:
        return inode.uid, inode.gid
    return id_map.seen_uid(inode.uid), id_map.seen_gid(inode.gid)


def shown_owner(mount: Mount, inode: Inode, reader: UserNamespace) -> tuple[int, int]:
    """The same as numbers for who is in namespace `reader`, nobody's for what has none there."""
    if mount.id_map is None:
        return reader.from_kuid_munged(inode.uid), reader.from_kgid_munged(inode.gid)
    uid, gid = seen_owner(mount, inode)
    return (
        reader.overflow.uid if uid == NO_ID else reader.from_kuid_munged(uid),
        reader.overflow.gid if gid == NO_ID else reader.from_kgid_munged(gid),
    )


def kept_owner(mount: Mount, uid: int | None, gid: int | None) -> tuple[int | None, int | None]:
    """The ids to keep for an owner and a group that are given a file through `mount`. Raises EOVERFLOW.

    Linux: fs/attr.c, notify_change.
    """
    id_map = mount.id_map
    if id_map is not None:
        uid = None if uid is None else id_map.kept_uid(uid)
        gid = None if gid is None else id_map.kept_gid(gid)
        if NO_ID in (uid, gid):
            raise EOVERFLOW("the file system has no id for them")
    return uid, gid
