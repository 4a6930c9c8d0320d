"""The lowest free number, for what is counted by small numbers that are given back."""

from __future__ import annotations

from heapq import heappop, heappush


class Numbers:
    """Small numbers, of which the lowest that is free is given out.

    Linux: include/linux/idr.h, struct ida.
    """

    __slots__ = ("free", "next")

    def __init__(self, first: int) -> None:
        self.next = first
        self.free: list[int] = []

    @property
    def lowest(self) -> int:
        """The lowest free number, which stays free."""
        return self.free[0] if self.free else self.next

    def take(self) -> int:
        """The lowest free number."""
        if self.free:
            return heappop(self.free)
        number = self.next
        self.next = number + 1
        return number

    def give_back(self, number: int) -> None:
        """`number` is free again."""
        heappush(self.free, number)
