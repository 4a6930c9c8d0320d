"""User namespaces: who owns other namespaces, relative to whom rights are checked (user_namespaces(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from procession.fs.namespace import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    USER_NUMBER,
    Namespace,
    NamespaceTable,
)
from procession.hardware.kernel_memory import NAMESPACE

if TYPE_CHECKING:
    from procession.fs.binary_format import BinaryFormats
    from procession.fs.vfs import Caller
    from procession.hardware.kernel_memory import KernelMemory

KINDS: Final = (
    CLONE_NEWUSER,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWCGROUP,
    CLONE_NEWTIME,
)
INOTIFY_INSTANCES, INOTIFY_WATCHES = -1, -2
"""What is counted of a user as namespaces are, beside them (Linux: include/linux/user_namespace.h, enum
ucount_type)."""
DEFAULT_MAXIMUM: Final = 31_500
"""How many namespaces of a kind a user may have: half of kernel.threads-max (Linux: kernel/ucount.c). In
namespaces below the first there is no limit until somebody sets one there."""
NO_MAXIMUM: Final = 0x7FFF_FFFF
MAXIMUM_LEVEL: Final = 33
"""How deep a user namespace can be below the machine's first.

Linux: kernel/user_namespace.c, create_user_ns.
"""
_NOBODY: Final = 65534
NO_ID: Final = 0xFFFF_FFFF
"""(uid_t) -1: no user's and no group's id."""

Extent = tuple[int, int, int]
"""The first of a row of ids in a user namespace, the machine's id that it stands for, and how many there
are."""


class IdMap:
    """Which of the machine's ids the ids of a user namespace stand for.

    Linux: include/linux/user_namespace.h, struct uid_gid_map.
    """

    __slots__ = ("extents",)

    def __init__(self, extents: tuple[Extent, ...] = ()) -> None:
        self.extents = extents

    def down(self, number: int) -> int:
        """The machine's id for one of the namespace's, NO_ID for none.

        Linux: kernel/user_namespace.c, map_id_down.
        """
        for first, lower, count in self.extents:
            if first <= number < first + count:
                return lower + number - first
        return NO_ID

    def range_down(self, number: int, length: int) -> int:
        """The machine's id for the first of `length` ids, NO_ID if they aren't all in one extent.

        Linux: kernel/user_namespace.c, map_id_range_down.
        """
        for first, lower, count in self.extents:
            if first <= number and number + length <= first + count:
                return lower + number - first
        return NO_ID

    def up(self, number: int) -> int:
        """The namespace's id for one of the machine's, NO_ID for none.

        Linux: kernel/user_namespace.c, map_id_up.
        """
        for first, lower, count in self.extents:
            if lower <= number < lower + count:
                return first + number - lower
        return NO_ID


WHOLE_MAP: Final = ((0, 0, NO_ID),)


class OverflowIds:
    """What is shown of a user or group that has no id in a user namespace: nobody's and nogroup's at first;
    `file_uid` and `file_gid` in file systems that have no room for large ids, of which there are none.

    Linux: kernel/sys.c, overflowuid.
    """

    __slots__ = ("file_gid", "file_uid", "gid", "uid")

    def __init__(self) -> None:
        self.uid = self.gid = self.file_uid = self.file_gid = _NOBODY


class UserNamespace(Namespace):
    """A user namespace (Linux: include/linux/user_namespace.h, struct user_namespace).

    `parent` is the one around it, also its `owner`; `level` is 0 for the machine's first. `owner_uid` and
    `owner_gid` are the effective ids, as the machine's first namespace has them, of who made it.
    `uid_map`, `gid_map` and `projid_map` are empty until somebody writes them, once. `allows_setgroups` says
    whether setgroups(2) may be called, `capable_parent` whether its maker had CAP_SETFCAP around it.
    `maximum` says for each kind of namespace, and what else is counted so, how many a user may have in it
    (/proc/sys/user/max_*), and `limits`
    for some of setrlimit(2)'s resources what its maker was allowed when it was made: no more of that may be
    used in it and below. `counts` is how much of either each user has (Linux: include/linux/user_namespace.h,
    struct ucounts), by user and kind; what is 0 isn't there. `charged_bytes` is what it takes of `memory`,
    the machine's, which bounds maps as well. `caller` is who makes system calls, and so may use capabilities.
    `binary_formats` are those of programs that have interpreters in
    here, once a file system for them has been mounted; None before. `overflow` is all namespaces'.
    """

    __slots__ = (
        "allows_setgroups",
        "binary_formats",
        "caller",
        "capable_parent",
        "charged_bytes",
        "counts",
        "gid_map",
        "level",
        "limits",
        "maximum",
        "memory",
        "overflow",
        "owner_gid",
        "owner_uid",
        "parent",
        "projid_map",
        "uid_map",
    )

    kind: ClassVar[int] = CLONE_NEWUSER
    type_name: ClassVar[str] = "user"

    def __init__(
        self, table: NamespaceTable, parent: UserNamespace | None, owner_uid: int = 0, owner_gid: int = 0
    ) -> None:
        super().__init__(table, self if parent is None else parent, 0 if parent is not None else USER_NUMBER)
        self.parent = parent
        self.level: int = 0 if parent is None else parent.level + 1
        self.overflow: OverflowIds = OverflowIds() if parent is None else parent.overflow
        self.owner_uid = owner_uid
        self.owner_gid = owner_gid
        self.maximum: dict[int, int] = dict.fromkeys(KINDS, DEFAULT_MAXIMUM if parent is None else NO_MAXIMUM)
        self.maximum[INOTIFY_INSTANCES] = self.maximum[INOTIFY_WATCHES] = NO_MAXIMUM
        self.limits: dict[int, int] = {}
        self.counts: dict[tuple[int, int], int] = {}
        whole = WHOLE_MAP if parent is None else ()
        self.uid_map = IdMap(whole)
        self.gid_map = IdMap(whole)
        self.projid_map = IdMap(whole)
        self.allows_setgroups: bool = parent is None or parent.allows_setgroups
        self.capable_parent = False
        self.caller: Caller | None = None if parent is None else parent.caller
        self.memory: KernelMemory | None = None
        self.binary_formats: BinaryFormats | None = None
        self.charged_bytes = 0

    def charge_memory(self, memory: KernelMemory, size: int) -> None:
        """This takes `size` bytes more of the machine's memory, until its end. Raises OutOfFrames."""
        memory.charge(NAMESPACE, size)
        self.memory = memory
        self.charged_bytes += size

    def end(self) -> None:
        if self.memory is not None:
            self.memory.uncharge(NAMESPACE, self.charged_bytes)
            self.charged_bytes = 0

    def seen_binary_formats(self) -> BinaryFormats | None:
        """The formats of programs that count in here: this namespace's, or else of the next around it.

        Linux: fs/binfmt_misc.c, load_binfmt_misc.
        """
        space: UserNamespace | None = self
        while space is not None:
            if space.binary_formats is not None:
                return space.binary_formats
            space = space.parent
        return None

    # A "kuid" or "kgid" is the machine's own id, as all of the kernel keeps it.

    def make_kuid(self, uid: int) -> int:
        """The machine's id for a user id of this namespace; NO_ID if it has none."""
        return self.uid_map.down(uid) if self.level else uid

    def make_kgid(self, gid: int) -> int:
        """The machine's id for a group id of this namespace; NO_ID if it has none."""
        return self.gid_map.down(gid) if self.level else gid

    def from_kuid(self, kuid: int) -> int:
        """This namespace's id for a user; NO_ID if it has none.

        Linux: kernel/user_namespace.c, from_kuid.
        """
        return self.uid_map.up(kuid) if self.level else kuid

    def from_kgid(self, kgid: int) -> int:
        """This namespace's id for a group; NO_ID if it has none.

        Linux: kernel/user_namespace.c, from_kgid.
        """
        return self.gid_map.up(kgid) if self.level else kgid

    def from_kuid_munged(self, kuid: int) -> int:
        """This namespace's id for a user, nobody's if it has none.

        Linux: kernel/user_namespace.c, from_kuid_munged.
        """
        if not self.level:
            return kuid
        uid = self.uid_map.up(kuid)
        return self.overflow.uid if uid == NO_ID else uid

    def from_kgid_munged(self, kgid: int) -> int:
        """This namespace's id for a group, nogroup's if it has none.

        Linux: kernel/user_namespace.c, from_kgid_munged.
        """
        if not self.level:
            return kgid
        gid = self.gid_map.up(kgid)
        return self.overflow.gid if gid == NO_ID else gid

    def has_root_around(self, kuid: int) -> bool:
        """Whether a user is the superuser of this namespace or of one around it.

        Linux: security/commoncap.c, rootid_owns_currentns.
        """
        space: UserNamespace | None = self
        while space is not None:
            if space.from_kuid(kuid) == 0:
                return True
            space = space.parent
        return False

    def is_in(self, ancestor: UserNamespace) -> bool:
        """Whether `ancestor` is this namespace or one around it.

        Linux: kernel/user_namespace.c, in_userns.
        """
        space: UserNamespace | None = self
        while space is not None and space.level >= ancestor.level:
            if space is ancestor:
                return True
            space = space.parent
        return False

    def charge(self, uid: int, kind: int) -> bool:
        """Count one more of `kind`, a namespace or what else is limited so, for `uid` here, and in all around
        this for who made it.

        False, and nothing is counted, if one of them has as many as it may.
        Linux: kernel/ucount.c, inc_ucount.
        """
        # Whoever the user is in here, the namespace counts as its makers' all the way out: else making one in
        # which one is somebody else would be a way around the limit.
        accounts = self._accounts(uid, kind)
        if any(space.counts.get(key, 0) >= space.maximum[kind] for space, key in accounts):
            return False
        for space, key in accounts:
            space.counts[key] = space.counts.get(key, 0) + 1
        return True

    def uncharge(self, uid: int, kind: int) -> None:
        """One namespace less than `charge` counted. Linux: kernel/ucount.c, dec_ucount."""
        self.count(uid, kind, -1)

    def count(self, uid: int, kind: int, amount: int) -> None:
        """`uid` has so much more of `kind` here, or less, and who made this in all around it.

        Linux: kernel/ucount.c, inc_rlimit_ucounts, dec_rlimit_ucounts.
        """
        space: UserNamespace | None = self
        while space is not None:
            counts, key = space.counts, (uid, kind)
            value = counts.get(key, 0) + amount
            if value:
                counts[key] = value
            else:
                counts.pop(key, None)
            uid = space.owner_uid
            space = space.parent

    def has_room(self, uid: int, resource: int, amount: int, limit: int) -> bool:
        """Whether `uid` can have so much more of `resource`: up to `limit` here, and all in this and each
        namespace around it up to what its maker was allowed.

        Linux: kernel/ucount.c, is_rlimit_overlimit.
        """
        space: UserNamespace | None = self
        while space is not None:
            if space.counts.get((uid, resource), 0) + amount > limit:
                return False
            limit = space.limits.get(resource, limit)
            uid = space.owner_uid
            space = space.parent
        return True

    def _accounts(self, uid: int, kind: int) -> list[tuple[UserNamespace, tuple[int, int]]]:
        accounts: list[tuple[UserNamespace, tuple[int, int]]] = []
        space: UserNamespace | None = self
        while space is not None:
            accounts.append((space, (uid, kind)))
            uid = space.owner_uid
            space = space.parent
        return accounts
