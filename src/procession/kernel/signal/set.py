"""Signals as bits of a mask, and which of them stop, dump core or do nothing by default."""

from __future__ import annotations

from typing import Final

from procession.abi.signals import SIGRTMAX, SIGRTMIN, Signal

SIGNAL_COUNT: Final = SIGRTMAX
FIRST_REAL_TIME: Final = SIGRTMIN

# Plain ints: delivery does arithmetic on these, and that of an IntEnum costs 20 times as much.
SIGHUP: Final = int(Signal.SIGHUP)
SIGQUIT: Final = int(Signal.SIGQUIT)
SIGILL: Final = int(Signal.SIGILL)
SIGTRAP: Final = int(Signal.SIGTRAP)
SIGABRT: Final = int(Signal.SIGABRT)
SIGBUS: Final = int(Signal.SIGBUS)
SIGFPE: Final = int(Signal.SIGFPE)
SIGKILL: Final = int(Signal.SIGKILL)
SIGSEGV: Final = int(Signal.SIGSEGV)
SIGPIPE: Final = int(Signal.SIGPIPE)
SIGALRM: Final = int(Signal.SIGALRM)
SIGCHLD: Final = int(Signal.SIGCHLD)
SIGCONT: Final = int(Signal.SIGCONT)
SIGSTOP: Final = int(Signal.SIGSTOP)
SIGTSTP: Final = int(Signal.SIGTSTP)
SIGTTIN: Final = int(Signal.SIGTTIN)
SIGTTOU: Final = int(Signal.SIGTTOU)
SIGURG: Final = int(Signal.SIGURG)
SIGXCPU: Final = int(Signal.SIGXCPU)
SIGXFSZ: Final = int(Signal.SIGXFSZ)
SIGWINCH: Final = int(Signal.SIGWINCH)
SIGPOLL: Final = int(Signal.SIGPOLL)
SIGSYS: Final = int(Signal.SIGSYS)


def mask_of(*signals: int) -> int:
    """The mask with the bits of `signals` set; signal 1 is bit 0."""
    mask = 0
    for signal in signals:
        mask |= 1 << (signal - 1)
    return mask


KILL_BIT: Final = mask_of(SIGKILL)
ALL_SIGNALS: Final = (1 << SIGNAL_COUNT) - 1
UNBLOCKABLE: Final = mask_of(SIGKILL, SIGSTOP)
"""What can't be blocked, handled or ignored (Linux: include/linux/signal.h, SIG_KERNEL_ONLY_MASK)."""
STOPPING: Final = mask_of(SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU)
"""What stops the process by default (Linux: include/linux/signal.h, SIG_KERNEL_STOP_MASK)."""
DUMPING: Final = mask_of(
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
IGNORED_BY_DEFAULT: Final = mask_of(SIGCONT, SIGCHLD, SIGWINCH, SIGURG)
"""Linux: include/linux/signal.h, SIG_KERNEL_IGNORE_MASK."""
SYNCHRONOUS: Final = mask_of(SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS)
"""What an instruction causes, and is delivered before all else (Linux: kernel/signal.c, SYNCHRONOUS_MASK)."""
