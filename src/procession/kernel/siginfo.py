"""What is known about one generated signal, and its 128 bytes in user memory."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Protocol

from procession.kernel.signal_set import (
    SIGBUS,
    SIGCHLD,
    SIGFPE,
    SIGILL,
    SIGPOLL,
    SIGSEGV,
    SIGSYS,
    SIGTRAP,
)

if TYPE_CHECKING:
    from procession.kernel.credentials import User
    from procession.kernel.kernel import Kernel

SIGINFO_SIZE = 128
KERNEL_SIZE = 48
"""What of the 128 bytes Linux keeps (struct kernel_siginfo)."""

SI_USER = 0
SI_KERNEL = 0x80
SI_QUEUE = -1
SI_TIMER = -2
SI_MESGQ = -3
SI_ASYNCIO = -4
SI_SIGIO = -5
SI_TKILL = -6
SI_DETHREAD = -7
SI_ASYNCNL = -60

_LAST_POLL_CODE = 6
_TRAP_PERF = 6
_SEGV_BNDERR = 3
_SEGV_PKUERR = 4

# The members of the union (Linux: enum siginfo_layout).
(
    LAYOUT_KILL,
    LAYOUT_TIMER,
    LAYOUT_POLL,
    LAYOUT_FAULT,
    LAYOUT_FAULT_BOUNDS,
    LAYOUT_FAULT_KEY,
    LAYOUT_PERF,
    LAYOUT_CHILD,
    LAYOUT_REAL_TIME,
    LAYOUT_SYSTEM_CALL,
) = range(10)

_HEADER = Struct("<iii4x")
_KILL = Struct("<iii4xiI104x")
_RT = Struct("<iii4xiIQ96x")
_TIMER = Struct("<iii4xiiQ96x")
_CHILD = Struct("<iii4xiIi4xqq80x")
_FAULT = Struct("<iii4xQh102x")
_FAULT_BOUNDS = Struct("<iii4xQ8xQQ80x")
_FAULT_KEY = Struct("<iii4xQ8xI92x")
_PERF = Struct("<iii4xQQII88x")
_POLL = Struct("<iii4xqi100x")
_SYSTEM_CALL = Struct("<iii4xQiI96x")

# The signals whose positive codes say which member holds, and the last such code (Linux: sig_sicodes).
_SPECIFIC: dict[int, tuple[int, int]] = {
    SIGILL: (11, LAYOUT_FAULT),
    SIGFPE: (15, LAYOUT_FAULT),
    SIGSEGV: (10, LAYOUT_FAULT),
    SIGBUS: (5, LAYOUT_FAULT),
    SIGTRAP: (6, LAYOUT_FAULT),
    SIGCHLD: (6, LAYOUT_CHILD),
    SIGPOLL: (_LAST_POLL_CODE, LAYOUT_POLL),
    SIGSYS: (2, LAYOUT_SYSTEM_CALL),
}


class QueuingTimer(Protocol):
    """A timer whose signal is queued: it learns when the signal is taken, and rearms then."""

    def signal_taken(self, kernel: Kernel, info: SigInfo, /) -> None:
        """Put the overrun count into `info` and arm the timer again."""


class SigInfo:
    """One generated signal (Linux: struct kernel_siginfo).

    Which fields hold something depends on `signal` and `code`, see `layout`. `utime` and `stime` are in
    clock ticks of 10 ms. `pid` and `uid` are in the receiver's namespaces. `fields` holds the 32 bytes of
    the union as they were given by rt_sigqueueinfo(2). `account` is the user whose pending signals it
    counts among while it's queued (RLIMIT_SIGPENDING), None when it isn't counted; `timer` the POSIX timer
    that owns this object.
    """

    __slots__ = (
        "account",
        "address",
        "band",
        "code",
        "errno",
        "fd",
        "fields",
        "overrun",
        "pid",
        "signo",
        "status",
        "stime",
        "timer",
        "timer_id",
        "uid",
        "upper",
        "utime",
        "value",
    )

    def __init__(
        self,
        signo: int,
        code: int = SI_KERNEL,
        *,
        pid: int = 0,
        uid: int = 0,
        value: int = 0,
        status: int = 0,
        utime: int = 0,
        stime: int = 0,
        address: int = 0,
        errno: int = 0,
    ) -> None:
        self.signo = signo
        self.code = code
        self.errno = errno
        self.pid = pid
        self.uid = uid
        self.value = value
        """The sigval of a queued signal; of a fault what is besides the address: the lower bound, the
        protection key, the number of significant address bits, perf's data; of SIGSYS the call's number."""
        self.status = status
        self.utime = utime
        self.stime = stime
        self.address = address
        self.upper = 0
        """The upper bound of SEGV_BNDERR; the architecture of SIGSYS."""
        self.band = 0
        self.fd = 0
        self.timer_id = 0
        self.overrun = 0
        self.timer: QueuingTimer | None = None
        self.fields: bytes | None = None
        self.account: User | None = None

    @property
    def layout(self) -> int:
        """Which member of the union holds: LAYOUT_*. Linux: kernel/signal.c, siginfo_layout."""
        code = self.code
        if SI_USER < code < SI_KERNEL:
            specific = _SPECIFIC.get(self.signo)
            if specific is not None and code <= specific[0]:
                if self.signo == SIGSEGV and code == _SEGV_BNDERR:
                    return LAYOUT_FAULT_BOUNDS
                if self.signo == SIGSEGV and code == _SEGV_PKUERR:
                    return LAYOUT_FAULT_KEY
                if self.signo == SIGTRAP and code == _TRAP_PERF:
                    return LAYOUT_PERF
                return specific[1]
            return LAYOUT_POLL if code <= _LAST_POLL_CODE else LAYOUT_KILL
        if code == SI_TIMER:
            return LAYOUT_TIMER
        if code == SI_SIGIO:
            return LAYOUT_POLL
        return LAYOUT_REAL_TIME if code < 0 else LAYOUT_KILL

    @property
    def has_sender(self) -> bool:
        """Whether `pid` and `uid` hold. Linux: has_si_pid_and_uid."""
        return self.layout in (LAYOUT_KILL, LAYOUT_CHILD, LAYOUT_REAL_TIME)

    def pack(self) -> bytes:
        """The 128 bytes that a program sees. Linux: kernel/signal.c, copy_siginfo_to_user."""
        signo, errno, code = self.signo, self.errno, self.code
        if self.fields is not None:
            return (_HEADER.pack(signo, errno, code) + self.fields).ljust(SIGINFO_SIZE, b"\0")
        layout = self.layout
        if layout == LAYOUT_KILL:
            return _KILL.pack(signo, errno, code, self.pid, self.uid)
        if layout == LAYOUT_CHILD:
            return _CHILD.pack(signo, errno, code, self.pid, self.uid, self.status, self.utime, self.stime)
        if layout == LAYOUT_REAL_TIME:
            return _RT.pack(signo, errno, code, self.pid, self.uid, self.value)
        if layout == LAYOUT_TIMER:
            return _TIMER.pack(signo, errno, code, self.timer_id, self.overrun, self.value)
        if layout == LAYOUT_FAULT:
            return _FAULT.pack(signo, errno, code, self.address, self.value)
        if layout == LAYOUT_SYSTEM_CALL:
            return _SYSTEM_CALL.pack(signo, errno, code, self.address, self.value, self.upper)
        if layout == LAYOUT_FAULT_BOUNDS:
            return _FAULT_BOUNDS.pack(signo, errno, code, self.address, self.value, self.upper)
        if layout == LAYOUT_FAULT_KEY:
            return _FAULT_KEY.pack(signo, errno, code, self.address, self.value)
        if layout == LAYOUT_PERF:
            return _PERF.pack(signo, errno, code, self.address, self.value, self.upper, 0)
        return _POLL.pack(signo, errno, code, self.band, self.fd)

    @classmethod
    def unpack(cls, signo: int, data: bytes) -> SigInfo:
        """From the 128 bytes that a program gives; `signo` overrides theirs.

        Linux: kernel/signal.c, copy_siginfo_from_user.
        """
        _, errno, code = _HEADER.unpack_from(data)
        info = cls(signo, code, errno=errno)
        info.fields = data[16:KERNEL_SIZE]
        layout = info.layout
        if layout == LAYOUT_TIMER:
            *_, info.timer_id, info.overrun, info.value = _TIMER.unpack(data)
        elif layout == LAYOUT_POLL:
            *_, info.band, info.fd = _POLL.unpack(data)
        elif layout == LAYOUT_CHILD:
            *_, info.pid, info.uid, info.status, info.utime, info.stime = _CHILD.unpack(data)
        elif layout in (LAYOUT_KILL, LAYOUT_REAL_TIME):
            *_, info.pid, info.uid, info.value = _RT.unpack(data)
        elif layout == LAYOUT_SYSTEM_CALL:
            *_, info.address, info.value, info.upper = _SYSTEM_CALL.unpack(data)
        else:
            *_, info.address, info.value = _FAULT.unpack(data)
        return info

    @property
    def is_known(self) -> bool:
        """Whether Linux knows what lies where. Linux: kernel/signal.c, known_siginfo_layout."""
        code = self.code
        if code == SI_KERNEL:
            return True
        if code > SI_USER:
            specific = _SPECIFIC.get(self.signo)
            return code <= (specific[0] if specific is not None else _LAST_POLL_CODE)
        return code >= SI_DETHREAD or code == SI_ASYNCNL

    def hide_sender(self) -> None:
        """Make the sender's pid 0: the receiver's pid namespace doesn't know it."""
        self.pid = 0
        if self.fields is not None:
            self.fields = b"\0\0\0\0" + self.fields[4:]

    def __repr__(self) -> str:
        return f"<SigInfo {self.signo} code {self.code} pid {self.pid}>"
