"""Cgroup namespaces: which control group a task sees as the root of all (cgroup_namespaces(7))."""

from __future__ import annotations

from typing import ClassVar

from procession.fs.namespace import CLONE_NEWCGROUP, Namespace


class CgroupNamespace(Namespace):
    """

    Linux: include/linux/cgroup.h, struct cgroup_namespace. There is one control group yet, which is the root
    in each.
    """

    __slots__ = ()

    kind: ClassVar[int] = CLONE_NEWCGROUP
    type_name: ClassVar[str] = "cgroup"
