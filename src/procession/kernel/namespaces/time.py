"""Time namespaces: how far CLOCK_MONOTONIC and CLOCK_BOOTTIME are from the machine's (time_namespaces(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.time import Clock
from procession.fs.namespace import CLONE_NEWTIME, Namespace, NamespaceTable

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace

_MONOTONIC = frozenset(
    {int(Clock.CLOCK_MONOTONIC), int(Clock.CLOCK_MONOTONIC_RAW), int(Clock.CLOCK_MONOTONIC_COARSE)}
)
_BOOTTIME = frozenset({int(Clock.CLOCK_BOOTTIME), int(Clock.CLOCK_BOOTTIME_ALARM)})
_KTIME_MAX = (1 << 63) - 1


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

    def copy(self, owner: UserNamespace) -> TimeNamespace:
        """One with the same offsets, nobody in it. Linux: kernel/time/namespace.c, clone_time_ns."""
        copy = TimeNamespace(self.table, owner)
        copy.monotonic_offset_ns = self.monotonic_offset_ns
        copy.boottime_offset_ns = self.boottime_offset_ns
        return copy

    def offset_ns(self, clock_id: int) -> int:
        """How far the clock is from the machine's."""
        if clock_id in _MONOTONIC:
            return self.monotonic_offset_ns
        return self.boottime_offset_ns if clock_id in _BOOTTIME else 0

    def to_machine_ns(self, clock_id: int, time_ns: int) -> int:
        """When it is by the machine's clock that the clock here says `time_ns`.

        Linux: kernel/time/namespace.c, do_timens_ktime_to_host.
        """
        return min(max(time_ns - self.offset_ns(clock_id), 0), _KTIME_MAX)
