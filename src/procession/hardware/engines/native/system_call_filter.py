"""What a stub may ask of the host: to map pages of the machine's memory, never executable; to answer; to
wait; to let others run.

Whatever else it calls ends it. Nothing in a stub makes system calls but the code that does what the machine
orders, so the filter is the second wall, not the first. Linux: include/uapi/linux/seccomp.h.
"""

from __future__ import annotations

from typing import Final

from procession.abi.futex import FutexCommand
from procession.abi.mmap_flags import MapFlag
from procession.abi.open_flags import FcntlCommand
from procession.abi.word import Words

_INSTRUCTION: Final = Words("<HBBI")
_LOAD, _EQUAL, _ANY_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X86_64: Final = 0xC000003E
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
MMAP: Final = 9
MUNMAP: Final = 11
_WRITE, _SCHED_YIELD, _FCNTL, _FUTEX, _EXIT_GROUP = 1, 24, 72, 202, 231
_F_SETSIG: Final = int(FcntlCommand.F_SETSIG)
_FUTEX_WAIT: Final = int(FutexCommand.FUTEX_WAIT)
_NEITHER_READ_NOR_WRITE: Final = 0xFFFF_FFFC
MAP_SHARED_FIXED: Final = 0x11
MAP_POPULATE: Final = int(MapFlag.MAP_POPULATE)


def assemble_filter(memory_descriptor: int, bell_descriptor: int) -> bytes:
    """The filter's instructions, eight bytes each, for a stub that has the machine's memory and the eventfd
    there.
    """

    def argument(number: int) -> tuple[int, int | str, int | str, int]:
        return _LOAD, 0, 0, _ARGUMENTS + 8 * number

    # The jumps count instructions to skip: to `allow`, the last but one, or to `kill`, the last.
    program: list[tuple[int, int | str, int | str, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, "kill", _X86_64),
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, "answer", 0, _FCNTL),
        (_EQUAL, "bell", 0, _WRITE),
        (_EQUAL, "futex", 0, _FUTEX),
        (_EQUAL, "allow", 0, MUNMAP),
        (_EQUAL, "allow", 0, _SCHED_YIELD),
        (_EQUAL, "allow", 0, _EXIT_GROUP),
        (_EQUAL, 0, "kill", MMAP),
        argument(4),
        (_EQUAL, 0, "kill", memory_descriptor),
        argument(3),
        (_EQUAL, 1, 0, MAP_SHARED_FIXED),
        (_EQUAL, 0, "kill", MAP_SHARED_FIXED | MAP_POPULATE),
        argument(2),
        (_ANY_SET, "kill", "allow", _NEITHER_READ_NOR_WRITE),
        argument(1),
        (_EQUAL, "allow", "kill", _FUTEX_WAIT),
        argument(1),
        (_EQUAL, 0, "kill", _F_SETSIG),
        argument(0),
        (_EQUAL, "allow", "kill", bell_descriptor),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _KILL),
    ]
    end = len(program)
    places = {"futex": end - 8, "answer": end - 6, "bell": end - 4, "allow": end - 2, "kill": end - 1}

    def distance(place: int, target: int | str) -> int:
        return places[target] - place - 1 if isinstance(target, str) else target

    return b"".join(
        _INSTRUCTION.pack(code, distance(place, true), distance(place, false), operand)
        for place, (code, true, false, operand) in enumerate(program)
    )
