"""What a slice's work may be: two counters in the context, of jumps and of indirect transfers."""

from __future__ import annotations


class Budget:
    """The two `counters` that the code counts down, `jumps` and `transfers`, a word each: apart, as one would
    wait for the other. `given` is what they were given last.

    When one is spent what is left of the other is parted again: so it makes no difference to what is counted
    how they are parted. Of both together one unit isn't there, as neither begins spent.
    """

    __slots__ = ("given", "jumps", "transfers")

    def __init__(self, jumps: memoryview[int], transfers: memoryview[int]) -> None:
        self.jumps = jumps
        self.transfers = transfers
        self.given = 1, 1

    @property
    def left(self) -> int:
        """Units left. Zero or less: none."""
        jumps: int = self.jumps[0]
        transfers: int = self.transfers[0]
        return jumps + transfers - 1

    @property
    def is_spent(self) -> bool:
        """Whether the code can't go on as the counters are."""
        return self.jumps[0] <= 0 or self.transfers[0] <= 0

    def give(self, units: int) -> bool:
        """Part `units` among the two as they were used lately; whether there are any."""
        if units <= 0:
            self.jumps[0], self.transfers[0] = units, 1
            self.given = 1, 1
            return False
        jumps = max(self.given[0] - self.jumps[0], 0) + 1
        transfers = max(self.given[1] - self.transfers[0], 0) + 1
        share = min(max(units * jumps // (jumps + transfers), 1), units)
        self.given = share, units + 1 - share
        self.jumps[0], self.transfers[0] = self.given
        return True
