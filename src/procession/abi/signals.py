"""Signals: numbers, default actions, the codes that say why, and the flags of sigaction(2)."""

from __future__ import annotations

from typing import Final

from procession.abi.enumeration import IntEnum, IntFlag


class Signal(IntEnum):
    """The standard signals; 32 (SIGRTMIN) to 64 are real-time signals and have no names of their own."""

    SIGHUP = 1
    SIGINT = 2
    SIGQUIT = 3
    SIGILL = 4
    SIGTRAP = 5
    SIGABRT = 6
    SIGIOT = 6
    SIGBUS = 7
    SIGFPE = 8
    SIGKILL = 9
    SIGUSR1 = 10
    SIGSEGV = 11
    SIGUSR2 = 12
    SIGPIPE = 13
    SIGALRM = 14
    SIGTERM = 15
    SIGSTKFLT = 16
    SIGCHLD = 17
    SIGCONT = 18
    SIGSTOP = 19
    SIGTSTP = 20
    SIGTTIN = 21
    SIGTTOU = 22
    SIGURG = 23
    SIGXCPU = 24
    SIGXFSZ = 25
    SIGVTALRM = 26
    SIGPROF = 27
    SIGWINCH = 28
    SIGIO = 29
    SIGPOLL = 29
    SIGPWR = 30
    SIGSYS = 31


# The kernel's first real-time signal: C libraries keep a few and give programs a larger SIGRTMIN.
SIGRTMIN: Final = 32

SIGRTMAX: Final = 64

# Handlers that aren't addresses.
SIG_DFL: Final = 0
SIG_IGN: Final = 1


class SigactionFlag(IntFlag):
    """sa_flags."""

    SA_NOCLDSTOP = 1
    SA_NOCLDWAIT = 2
    SA_SIGINFO = 4
    SA_UNSUPPORTED = 0x400
    SA_EXPOSE_TAGBITS = 0x800
    SA_RESTORER = 0x4000000
    SA_ONSTACK = 0x8000000
    SA_RESTART = 0x10000000
    SA_NODEFER = 0x40000000
    SA_RESETHAND = 0x80000000


class SigprocmaskHow(IntEnum):
    """sigprocmask(2)."""

    SIG_BLOCK = 0
    SIG_UNBLOCK = 1
    SIG_SETMASK = 2


class SignalStackFlag(IntFlag):
    """sigaltstack(2)'s ss_flags."""

    SS_ONSTACK = 1
    SS_DISABLE = 2
    SS_AUTODISARM = 0x80000000


# The least size of a signal stack in bytes.
MINSIGSTKSZ: Final = 2048


class SignalCode(IntEnum):
    """si_code of any signal: who sent it. Zero and less come from user space, more from the kernel."""

    SI_KERNEL = 0x80
    SI_USER = 0
    SI_QUEUE = -1
    SI_TIMER = -2
    SI_MESGQ = -3
    SI_ASYNCIO = -4
    SI_SIGIO = -5
    SI_TKILL = -6
    SI_DETHREAD = -7
    SI_ASYNCNL = -60


class IllCode(IntEnum):
    """si_code of SIGILL."""

    ILL_ILLOPC = 1
    ILL_ILLOPN = 2
    ILL_ILLADR = 3
    ILL_ILLTRP = 4
    ILL_PRVOPC = 5
    ILL_PRVREG = 6
    ILL_COPROC = 7
    ILL_BADSTK = 8
    ILL_BADIADDR = 9


class FpeCode(IntEnum):
    """si_code of SIGFPE."""

    FPE_INTDIV = 1
    FPE_INTOVF = 2
    FPE_FLTDIV = 3
    FPE_FLTOVF = 4
    FPE_FLTUND = 5
    FPE_FLTRES = 6
    FPE_FLTINV = 7
    FPE_FLTSUB = 8
    FPE_FLTUNK = 14
    FPE_CONDTRAP = 15


class SegvCode(IntEnum):
    """si_code of SIGSEGV."""

    SEGV_MAPERR = 1
    SEGV_ACCERR = 2
    SEGV_BNDERR = 3
    SEGV_PKUERR = 4
    SEGV_ACCADI = 5
    SEGV_ADIDERR = 6
    SEGV_ADIPERR = 7
    SEGV_MTEAERR = 8
    SEGV_MTESERR = 9
    SEGV_CPERR = 10


class BusCode(IntEnum):
    """si_code of SIGBUS."""

    BUS_ADRALN = 1
    BUS_ADRERR = 2
    BUS_OBJERR = 3
    BUS_MCEERR_AR = 4
    BUS_MCEERR_AO = 5


class TrapCode(IntEnum):
    """si_code of SIGTRAP; a ptrace event's is ``SIGTRAP | event << 8``."""

    TRAP_BRKPT = 1
    TRAP_TRACE = 2
    TRAP_BRANCH = 3
    TRAP_HWBKPT = 4
    TRAP_UNK = 5
    TRAP_PERF = 6


class PollCode(IntEnum):
    """si_code of SIGIO."""

    POLL_IN = 1
    POLL_OUT = 2
    POLL_MSG = 3
    POLL_ERR = 4
    POLL_PRI = 5
    POLL_HUP = 6


class SysCode(IntEnum):
    """si_code of SIGSYS."""

    SYS_SECCOMP = 1
    SYS_USER_DISPATCH = 2


class DefaultAction(IntEnum):
    """What a signal does to a thread group that neither handles nor ignores it."""

    TERMINATE = 0
    CORE = 1
    STOP = 2
    CONTINUE = 3
    IGNORE = 4


# signal(7).
DEFAULT_ACTIONS: Final = dict.fromkeys(range(1, SIGRTMAX + 1), DefaultAction.TERMINATE)
DEFAULT_ACTIONS.update(
    dict.fromkeys(
        (
            Signal.SIGQUIT,
            Signal.SIGILL,
            Signal.SIGTRAP,
            Signal.SIGABRT,
            Signal.SIGBUS,
            Signal.SIGFPE,
            Signal.SIGSEGV,
            Signal.SIGXCPU,
            Signal.SIGXFSZ,
            Signal.SIGSYS,
        ),
        DefaultAction.CORE,
    )
)
DEFAULT_ACTIONS.update(
    dict.fromkeys((Signal.SIGSTOP, Signal.SIGTSTP, Signal.SIGTTIN, Signal.SIGTTOU), DefaultAction.STOP)
)
DEFAULT_ACTIONS[Signal.SIGCONT] = DefaultAction.CONTINUE
DEFAULT_ACTIONS.update(dict.fromkeys((Signal.SIGCHLD, Signal.SIGURG, Signal.SIGWINCH), DefaultAction.IGNORE))
