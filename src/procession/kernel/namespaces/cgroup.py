"""Cgroup namespaces: which control group a task sees as the root of all (cgroup_namespaces(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.fs.namespace import CLONE_NEWCGROUP, Namespace, NamespaceTable

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.cgroup.group import Cgroup


class CgroupNamespace(Namespace):
    """`root` is the group that its maker was in.

    Linux: include/linux/cgroup.h, struct cgroup_namespace.
    """

    __slots__ = ("root",)

    kind: ClassVar[int] = CLONE_NEWCGROUP
    type_name: ClassVar[str] = "cgroup"

    def __init__(self, table: NamespaceTable, owner: UserNamespace, root: Cgroup, number: int = 0) -> None:
        super().__init__(table, owner, number)
        self.root = root
