"""Signals as bits of a mask, and which of them stop, dump core or do nothing by default."""

from __future__ import annotations

from procession.abi.signals import SIGRTMAX, SIGRTMIN, Signal

SIGNAL_COUNT = SIGRTMAX
FIRST_REAL_TIME = SIGRTMIN

# Plain ints: delivery does arithmetic on these, and that of an IntEnum costs 20 times as much.
SIGHUP = int(Signal.SIGHUP)
SIGQUIT = int(Signal.SIGQUIT)
SIGILL = int(Signal.SIGILL)
SIGTRAP = int(Signal.SIGTRAP)
SIGABRT = int(Signal.SIGABRT)
SIGBUS = int(Signal.SIGBUS)
SIGFPE = int(Signal.SIGFPE)
SIGKILL = int(Signal.SIGKILL)
SIGSEGV = int(Signal.SIGSEGV)
SIGPIPE = int(Signal.SIGPIPE)
SIGALRM = int(Signal.SIGALRM)
SIGCHLD = int(Signal.SIGCHLD)
SIGCONT = int(Signal.SIGCONT)
SIGSTOP = int(Signal.SIGSTOP)
SIGTSTP = int(Signal.SIGTSTP)
SIGTTIN = int(Signal.SIGTTIN)
SIGTTOU = int(Signal.SIGTTOU)
SIGURG = int(Signal.SIGURG)
SIGXCPU = int(Signal.SIGXCPU)
SIGXFSZ = int(Signal.SIGXFSZ)
SIGWINCH = int(Signal.SIGWINCH)
SIGPOLL = int(Signal.SIGPOLL)
SIGSYS = int(Signal.SIGSYS)


def mask_of(*signals: int) -> int:
    """The mask with the bits of `signals` set; signal 1 is bit 0."""
    mask = 0
    for signal in signals:
        mask |= 1 << (signal - 1)
    return mask


KILL_BIT = mask_of(SIGKILL)
ALL_SIGNALS = (1 << SIGNAL_COUNT) - 1
UNBLOCKABLE = mask_of(SIGKILL, SIGSTOP)
"""What can't be blocked, handled or ignored (Linux: include/linux/signal.h, SIG_KERNEL_ONLY_MASK)."""
STOPPING = mask_of(SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU)
"""What stops the process by default (Linux: include/linux/signal.h, SIG_KERNEL_STOP_MASK)."""
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
"""What ends the process with a core dump by default.

Linux: include/linux/signal.h, SIG_KERNEL_COREDUMP_MASK.
"""
IGNORED_BY_DEFAULT = mask_of(SIGCONT, SIGCHLD, SIGWINCH, SIGURG)
"""Linux: include/linux/signal.h, SIG_KERNEL_IGNORE_MASK."""
SYNCHRONOUS = mask_of(SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS)
"""What an instruction causes, and is delivered before all else (Linux: kernel/signal.c, SYNCHRONOUS_MASK)."""
