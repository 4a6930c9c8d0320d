"""Signals as bits of a mask, and which of them stop, dump core or do nothing by default."""

from __future__ import annotations

SIGNAL_COUNT = 64
FIRST_REAL_TIME = 32

# Plain ints: delivery does arithmetic on these, and that of an IntEnum costs 20 times as much.
SIGHUP = 1
SIGQUIT = 3
SIGILL = 4
SIGTRAP = 5
SIGABRT = 6
SIGBUS = 7
SIGFPE = 8
SIGKILL = 9
SIGSEGV = 11
SIGPIPE = 13
SIGALRM = 14
SIGCHLD = 17
SIGCONT = 18
SIGSTOP = 19
SIGTSTP = 20
SIGTTIN = 21
SIGTTOU = 22
SIGURG = 23
SIGXCPU = 24
SIGXFSZ = 25
SIGWINCH = 28
SIGPOLL = 29
SIGSYS = 31


def mask_of(*signals: int) -> int:
    """The mask with the bits of `signals` set; signal 1 is bit 0."""
    mask = 0
    for signal in signals:
        mask |= 1 << (signal - 1)
    return mask


KILL_BIT = mask_of(SIGKILL)
ALL_SIGNALS = (1 << SIGNAL_COUNT) - 1
UNBLOCKABLE = mask_of(SIGKILL, SIGSTOP)
"""What can't be blocked, handled or ignored (Linux: SIG_KERNEL_ONLY_MASK)."""
STOPPING = mask_of(SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU)
"""What stops the process by default (Linux: SIG_KERNEL_STOP_MASK)."""
DUMPING = mask_of(
    SIGQUIT,
    SIGILL,
    SIGTRAP,
    SIGABRT,
    SIGFPE,
    SIGSEGV,
    SIGBUS,
    SIGSYS,
    SIGXCPU,
    SIGXFSZ,
)
"""What ends the process with a core dump by default (Linux: SIG_KERNEL_COREDUMP_MASK)."""
IGNORED_BY_DEFAULT = mask_of(SIGCONT, SIGCHLD, SIGWINCH, SIGURG)
"""Linux: SIG_KERNEL_IGNORE_MASK."""
SYNCHRONOUS = mask_of(SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS)
"""What an instruction causes, and is delivered before all else (Linux: SYNCHRONOUS_MASK)."""
