"""What is promised of a machine's memory beside what is taken: vm.overcommit_memory and what goes with it."""

from __future__ import annotations

from enum import IntEnum


class Overcommit(IntEnum):
    """Nothing that is larger than the machine; everything; or no more than the limit.

    Linux: include/uapi/linux/mman.h, OVERCOMMIT_GUESS.
    """

    GUESS = 0
    ALWAYS = 1
    NEVER = 2


class CommitRule:
    """The present rule: `mode` is an Overcommit, and the limit `ratio` hundredths of the memory, or `kbytes`
    if that isn't 0; of which a program leaves a part of its size, up to `reserve_kbytes`.
    """

    __slots__ = ("kbytes", "mode", "ratio", "reserve_kbytes")

    def __init__(self, frame_count: int) -> None:
        self.mode = int(Overcommit.GUESS)
        self.ratio = 50
        self.kbytes = 0
        # Linux: mm/mmap.c, init_user_reserve.
        self.reserve_kbytes = min(frame_count << 2 >> 5, 1 << 17)
