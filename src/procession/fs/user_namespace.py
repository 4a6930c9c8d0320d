"""User namespaces: who owns other namespaces, relative to whom rights are checked (user_namespaces(7))."""

from __future__ import annotations

from typing import ClassVar

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

KINDS = (
    CLONE_NEWUSER,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWCGROUP,
    CLONE_NEWTIME,
)
DEFAULT_MAXIMUM = 31_500
"""How many namespaces of a kind a user may have: half of kernel.threads-max (Linux: kernel/ucount.c)."""


class UserNamespace(Namespace):
    """A user namespace (Linux: include/linux/user_namespace.h, struct user_namespace).

    `parent` is the one around it, also its `owner`; `level` is 0 for the machine's first. `owner_uid` and
    `owner_gid` are the effective ids, as the machine's first namespace has them, of who made it.
    `maximum` says for each kind of namespace how many a user may have in it (max_*_namespaces), `counts` how
    many each user has.
    """

    __slots__ = ("counts", "level", "maximum", "owner_gid", "owner_uid", "parent")

    kind: ClassVar[int] = CLONE_NEWUSER
    type_name: ClassVar[str] = "user"

    def __init__(
        self, table: NamespaceTable, parent: UserNamespace | None, owner_uid: int = 0, owner_gid: int = 0
    ) -> None:
        super().__init__(table, self if parent is None else parent, 0 if parent is not None else USER_NUMBER)
        self.parent = parent
        self.level: int = 0 if parent is None else parent.level + 1
        self.owner_uid = owner_uid
        self.owner_gid = owner_gid
        self.maximum: dict[int, int] = dict.fromkeys(KINDS, DEFAULT_MAXIMUM)
        self.counts: dict[tuple[int, int], int] = {}

    def charge(self, uid: int, kind: int) -> bool:
        """Count one more namespace of `kind` for `uid` here, and in all around this for who made it.

        False, and nothing is counted, if one of them has as many as it may.
        Linux: kernel/ucount.c, inc_ucount.
        """
        accounts = self._accounts(uid, kind)
        if any(space.counts.get(key, 0) >= space.maximum[kind] for space, key in accounts):
            return False
        for space, key in accounts:
            space.counts[key] = space.counts.get(key, 0) + 1
        return True

    def uncharge(self, uid: int, kind: int) -> None:
        """One namespace less than `charge` counted. Linux: kernel/ucount.c, dec_ucount."""
        for space, key in self._accounts(uid, kind):
            space.counts[key] -= 1
            if not space.counts[key]:
                del space.counts[key]

    def _accounts(self, uid: int, kind: int) -> list[tuple[UserNamespace, tuple[int, int]]]:
        accounts: list[tuple[UserNamespace, tuple[int, int]]] = []
        space: UserNamespace | None = self
        while space is not None:
            accounts.append((space, (uid, kind)))
            uid = space.owner_uid
            space = space.parent
        return accounts
