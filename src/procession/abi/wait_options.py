"""wait4(2) and waitid(2): what is waited for, and how an end is encoded."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag


class WaitOption(IntFlag):
    """The options of wait4(2) and waitid(2); WSTOPPED is waitid's name of WUNTRACED."""

    WNOHANG = 1
    WUNTRACED = 2
    WSTOPPED = 2
    WEXITED = 4
    WCONTINUED = 8
    WNOWAIT = 0x1000000
    WNOTHREAD = 0x20000000
    WALL = 0x40000000
    WCLONE = 0x80000000


class IdType(IntEnum):
    """waitid(2): what kind of id it waits for."""

    P_ALL = 0
    P_PID = 1
    P_PGID = 2
    P_PIDFD = 3


class ChildCode(IntEnum):
    """si_code of SIGCHLD: what became of the child."""

    CLD_EXITED = 1
    CLD_KILLED = 2
    CLD_DUMPED = 3
    CLD_TRAPPED = 4
    CLD_STOPPED = 5
    CLD_CONTINUED = 6


# Python reserves names that start with two underscores: these three lose theirs but in .name.
for _member in (WaitOption.WNOTHREAD, WaitOption.WALL, WaitOption.WCLONE):
    _member.name = f"__{_member.name}"  # type: ignore[misc]


# wait4's status has the exit code in bits 8 to 15 and the signal that killed in bits 0 to 6; 0x7f there says
# that the child is stopped, by the signal in bits 8 to 15. Linux: kernel/exit.c, wait_consider_task.
CORE_DUMPED = 0x80
STOPPED = 0x7F
CONTINUED = 0xFFFF


def exited_status(exit_code: int) -> int:
    """The status of a child that called exit_group with ``exit_code``."""
    return (exit_code & 0xFF) << 8


def killed_status(signal: int, has_dumped_core: bool) -> int:
    """The status of a child that a signal killed."""
    return signal | CORE_DUMPED if has_dumped_core else signal


def stopped_status(signal: int) -> int:
    """The status of a stopped child; for a ptrace event ``signal`` is ``SIGTRAP | event << 8``."""
    return signal << 8 | STOPPED
