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
        of_jumps, of_transfers = self.jumps, self.transfers
        if units <= 0:
            of_jumps[0], of_transfers[0] = units, 1
            self.given = 1, 1
            return False
        given_jumps, given_transfers = self.given
        jumps = given_jumps - of_jumps[0] + 1
        transfers = given_transfers - of_transfers[0] + 1
        if jumps < 1:
            jumps = 1
        if transfers < 1:
            transfers = 1
        share = units * jumps // (jumps + transfers)
        if share < 1:
            share = 1
        rest = units + 1 - share
        self.given = share, rest
        of_jumps[0] = share
        of_transfers[0] = rest
        return True
