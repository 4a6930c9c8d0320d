"""Time namespaces: how far CLOCK_MONOTONIC and CLOCK_BOOTTIME are from the machine's (time_namespaces(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.fs.namespace import CLONE_NEWTIME, Namespace, NamespaceTable

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace


class TimeNamespace(Namespace):
    """Linux: include/linux/time_namespace.h, struct time_namespace.

    The offsets are added to the machine's clocks. They can be set until `is_frozen`: a task is in it.
    """

    __slots__ = ("boottime_offset_ns", "is_frozen", "monotonic_offset_ns")

    kind: ClassVar[int] = CLONE_NEWTIME
    type_name: ClassVar[str] = "time"

    def __init__(self, table: NamespaceTable, owner: UserNamespace, number: int = 0) -> None:
        super().__init__(table, owner, number)
        self.monotonic_offset_ns = 0
        self.boottime_offset_ns = 0
        self.is_frozen = False
