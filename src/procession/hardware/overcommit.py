"""What is promised of a machine's memory beside what is taken: vm.overcommit_memory and what goes with it."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from procession.abi.capability import Capability

_CAP_SYS_ADMIN = int(Capability.CAP_SYS_ADMIN)


class Subject(Protocol):
    """Whose memory it is to be."""

    def has_capability(self, capability: int, /) -> bool:
        """Whether it has that capability over the whole machine."""


class Asker(Protocol):
    """What knows who asks for memory."""

    @property
    def acting_subject(self) -> Subject | None:
        """The running task's credentials; None while no task runs."""


class Overcommit(IntEnum):
    """Nothing that is larger than the machine; everything; or no more than the limit.

    Linux: include/uapi/linux/mman.h, OVERCOMMIT_GUESS.
    """

    GUESS = 0
    ALWAYS = 1
    NEVER = 2


class CommitRule:
    """The present rule: `mode` is an Overcommit, and the limit `ratio` hundredths of the memory, or `kbytes`
    if that isn't 0; of which a program leaves a part of its size, up to `reserve_kbytes`, and those that
    don't administer the machine `administrators_kbytes`. `asker` knows who that is.
    """

    __slots__ = ("administrators_kbytes", "asker", "kbytes", "mode", "ratio", "reserve_kbytes")

    def __init__(self, frame_count: int) -> None:
        self.mode = int(Overcommit.GUESS)
        self.ratio = 50
        self.kbytes = 0
        self.asker: Asker | None = None
        # Linux: mm/mmap.c, init_admin_reserve, init_user_reserve.
        self.administrators_kbytes = min(frame_count << 2 >> 5, 1 << 13)
        self.reserve_kbytes = min(frame_count << 2 >> 5, 1 << 17)

    @property
    def kept_kbytes(self) -> int:
        """What is kept for those who administer the machine, 0 if one of them asks."""
        subject = None if self.asker is None else self.asker.acting_subject
        return self.administrators_kbytes if subject and not subject.has_capability(_CAP_SYS_ADMIN) else 0
