"""What is known about one generated signal, and its 128 bytes in user memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.siginfo import (
    SI_MAX_SIZE,
    SiginfoChild,
    SiginfoFault,
    SiginfoHeader,
    SiginfoKill,
    SiginfoPoll,
    SiginfoRt,
    SiginfoSys,
    SiginfoTimer,
)
from procession.abi.signals import (
    BusCode,
    FpeCode,
    IllCode,
    PollCode,
    SegvCode,
    Signal,
    SignalCode,
    SysCode,
    TrapCode,
)
from procession.abi.wait_options import ChildCode
from procession.abi.word import pack_u32

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.pid import Pid
    from procession.kernel.security.credentials import Credentials

KERNEL_SIZE = 48
"""What of the 128 bytes Linux keeps (sizeof(struct kernel_siginfo))."""
_FIELDS_OFFSET = 12
_PID_IN_FIELDS = slice(4, 8)
UID_IN_FIELDS = slice(8, 12)
"""Of a sender, among the fields."""

SI_USER = int(SignalCode.SI_USER)
SI_KERNEL = int(SignalCode.SI_KERNEL)
SI_TIMER = int(SignalCode.SI_TIMER)
SI_SIGIO = int(SignalCode.SI_SIGIO)
SI_TKILL = int(SignalCode.SI_TKILL)
SI_DETHREAD = int(SignalCode.SI_DETHREAD)
SI_ASYNCNL = int(SignalCode.SI_ASYNCNL)

# The members of the union (Linux: include/linux/signal.h, enum siginfo_layout).
(
    LAYOUT_KILL,
    LAYOUT_TIMER,
    LAYOUT_POLL,
    LAYOUT_FAULT,
    LAYOUT_CHILD,
    LAYOUT_REAL_TIME,
    LAYOUT_SYSTEM_CALL,
) = range(7)

# The signals whose positive codes say which member holds, and the last such code (Linux: kernel/signal.c,
# sig_sicodes).
_SPECIFIC: dict[int, tuple[int, int]] = {
    int(signal): (max(codes), layout)
    for signal, codes, layout in (
        (Signal.SIGILL, IllCode, LAYOUT_FAULT),
        (Signal.SIGFPE, FpeCode, LAYOUT_FAULT),
        (Signal.SIGSEGV, SegvCode, LAYOUT_FAULT),
        (Signal.SIGBUS, BusCode, LAYOUT_FAULT),
        (Signal.SIGTRAP, TrapCode, LAYOUT_FAULT),
        (Signal.SIGCHLD, ChildCode, LAYOUT_CHILD),
        (Signal.SIGPOLL, PollCode, LAYOUT_POLL),
        (Signal.SIGSYS, SysCode, LAYOUT_SYSTEM_CALL),
    )
}
_LAST_POLL_CODE = int(PollCode.POLL_HUP)


class QueuingTimer(Protocol):
    """A timer whose signal is queued: it learns when the signal is taken, and rearms then."""

    def signal_taken(self, kernel: Kernel, info: SigInfo, /) -> None:
        """Put the overrun count into `info` and arm the timer again."""

    def signal_let_go(self) -> None:
        """The signal isn't pending any more, taken or discarded."""


class SigInfo:
    """One generated signal (Linux: include/linux/signal_types.h, struct kernel_siginfo).

    Which fields hold something depends on `signal` and `code`, see `layout`. `utime` and `stime` are in
    clock ticks of 10 ms. `sender` is the process or thread that it's about, whose number is said when the
    receiver is told; `pid` is the number that a program gave instead. `fields` holds the 36 bytes that
    follow the code as they were given by rt_sigqueueinfo(2): four that mean nothing, and the union.
    `account` are the credentials for whose user it counts among the pending signals while it's queued
    (RLIMIT_SIGPENDING), None when it isn't counted; `timer` the POSIX timer that owns this object.
    `is_stale` says of a timer's that it was taken back, and nothing comes of it when it's its turn.
    `named_in` is the namespace by whose numbers the sender is called, None for the receiver's.
    `is_queued` says whether it's pending now, and `arrival` is its place among all that are queued with it.
    """

    __slots__ = (
        "account",
        "address",
        "architecture",
        "arrival",
        "band",
        "code",
        "errno",
        "fd",
        "fields",
        "is_queued",
        "is_stale",
        "named_in",
        "overrun",
        "pid",
        "sender",
        "signo",
        "status",
        "stime",
        "timer",
        "timer_id",
        "uid",
        "utime",
        "value",
    )

    def __init__(
        self,
        signo: int,
        code: int = SI_KERNEL,
        *,
        sender: Pid | None = None,
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
        self.sender = sender
        self.named_in: PidNamespace | None = None
        self.pid = 0
        self.uid = uid
        self.value = value
        """The sigval of a queued signal; of SIGSYS the call's number, of SIGBUS si_addr_lsb."""
        self.status = status
        self.utime = utime
        self.stime = stime
        self.address = address
        self.architecture = 0
        self.arrival = 0
        self.band = 0
        self.fd = 0
        self.timer_id = 0
        self.is_queued = False
        self.is_stale = False
        self.overrun = 0
        self.timer: QueuingTimer | None = None
        self.fields: bytes | None = None
        self.account: Credentials | None = None

    def without_timer(self) -> SigInfo:
        """What a POSIX timer's signal tells, in an object that isn't the timer's."""
        info = SigInfo(self.signo, self.code, value=self.value)
        info.timer_id = self.timer_id
        info.overrun = self.overrun
        return info

    @property
    def layout(self) -> int:
        """Which member of the union holds: LAYOUT_*. Linux: kernel/signal.c, siginfo_layout."""
        code = self.code
        if SI_USER < code < SI_KERNEL:
            specific = _SPECIFIC.get(self.signo)
            if specific is not None and code <= specific[0]:
                return specific[1]
            return LAYOUT_POLL if code <= _LAST_POLL_CODE else LAYOUT_KILL
        if code == SI_TIMER:
            return LAYOUT_TIMER
        if code == SI_SIGIO:
            return LAYOUT_POLL
        return LAYOUT_REAL_TIME if code < 0 else LAYOUT_KILL

    @property
    def has_sender(self) -> bool:
        """Whether it tells a process and a user. Linux: kernel/signal.c, has_si_pid_and_uid."""
        return self.layout in (LAYOUT_KILL, LAYOUT_CHILD, LAYOUT_REAL_TIME)

    def pid_in(self, namespace: PidNamespace) -> int:
        """The number of the sender for a receiver in `namespace`; its own, where it says that itself."""
        return self.pid if self.sender is None else self.sender.number_in(self.named_in or namespace)

    def seen_in(self, namespace: PidNamespace) -> SigInfo:
        """What a receiver there finds who reads the union as `layout` says.

        That is something else where a child announces its end, or a tracee its stop, by a signal whose codes
        have a meaning of their own: the union's bytes are a child's then.
        """
        if self.sender is None or self.has_sender:
            return self
        return SigInfo.unpack(self.signo, self.pack(namespace))

    def pack(self, namespace: PidNamespace) -> bytes:
        """The 128 bytes that a receiver in `namespace` sees. Linux: kernel/signal.c, copy_siginfo_to_user."""
        signo, errno, code = self.signo, self.errno, self.code
        if self.fields is not None:
            header = SiginfoHeader(signo, errno, code).pack()[:_FIELDS_OFFSET]
            return (header + self.fields).ljust(SI_MAX_SIZE, b"\0")
        layout = self.layout
        if layout == LAYOUT_KILL:
            return SiginfoKill.STRUCT.pack(signo, errno, code, self.pid_in(namespace), self.uid)
        if layout == LAYOUT_CHILD or (self.sender is not None and layout != LAYOUT_REAL_TIME):
            number = self.pid_in(namespace)
            return SiginfoChild.STRUCT.pack(
                signo, errno, code, number, self.uid, self.status, self.utime, self.stime
            )
        if layout == LAYOUT_REAL_TIME:
            return SiginfoRt.STRUCT.pack(signo, errno, code, self.pid_in(namespace), self.uid, self.value)
        if layout == LAYOUT_TIMER:
            return SiginfoTimer.STRUCT.pack(signo, errno, code, self.timer_id, self.overrun, self.value)
        if layout == LAYOUT_FAULT:
            return SiginfoFault.STRUCT.pack(signo, errno, code, self.address, self.value)
        if layout == LAYOUT_SYSTEM_CALL:
            return SiginfoSys.STRUCT.pack(signo, errno, code, self.address, self.value, self.architecture)
        return SiginfoPoll.STRUCT.pack(signo, errno, code, self.band, self.fd)

    @classmethod
    def unpack(cls, signo: int, data: bytes) -> SigInfo:
        """From 128 bytes, of which the first 48 are a program's; `signo` overrides theirs.

        Linux: kernel/signal.c, copy_siginfo_from_user.
        """
        header = SiginfoHeader.unpack_from(data)
        info = cls(signo, header.si_code, errno=header.si_errno)
        info.fields = data[_FIELDS_OFFSET:KERNEL_SIZE]
        layout = info.layout
        if layout == LAYOUT_TIMER:
            *_, info.timer_id, info.overrun, info.value = SiginfoTimer.STRUCT.unpack(data)
        elif layout == LAYOUT_POLL:
            *_, info.band, info.fd = SiginfoPoll.STRUCT.unpack(data)
        elif layout == LAYOUT_CHILD:
            *_, info.pid, info.uid, info.status, info.utime, info.stime = SiginfoChild.STRUCT.unpack(data)
        elif layout == LAYOUT_SYSTEM_CALL:
            *_, info.address, info.value, info.architecture = SiginfoSys.STRUCT.unpack(data)
        elif layout == LAYOUT_FAULT:
            *_, info.address, info.value = SiginfoFault.STRUCT.unpack(data)
        else:
            *_, info.pid, info.uid, info.value = SiginfoRt.STRUCT.unpack(data)
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
        self.sender = None
        self.pid = 0
        self.put_field(_PID_IN_FIELDS, 0)

    def put_field(self, place: slice, number: int) -> None:
        """Put a number among the bytes that were given, if any were."""
        if self.fields is not None:
            self.fields = self.fields[: place.start] + pack_u32(number) + self.fields[place.stop :]

    def __repr__(self) -> str:
        return f"<SigInfo {self.signo} code {self.code} from {self.sender or self.pid}>"
