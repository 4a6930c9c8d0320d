"""siginfo_t: why a signal was sent, one structure for each layout of its union."""

from __future__ import annotations

from typing import Annotated

from procession.abi.structure import I16, I32, I64, U32, U64, Pointer, Structure

# sizeof(siginfo_t).
SI_MAX_SIZE = 128


class SiginfoHeader(Structure, alignment=8):
    """What every layout starts with."""

    si_signo: I32 = 0
    si_errno: I32 = 0
    si_code: I32 = 0


class SiginfoRaw(SiginfoHeader, size=128):
    """The union as bytes: what rt_sigqueueinfo(2) takes from a program."""

    fields: Annotated[bytes, 112] = b""


class SiginfoKill(SiginfoHeader, size=128):
    """From kill(2) and tkill(2): the sender."""

    si_pid: I32 = 0
    si_uid: U32 = 0


class SiginfoTimer(SiginfoHeader, size=128):
    """From timer_settime(2)."""

    si_tid: I32 = 0
    si_overrun: I32 = 0
    si_value: U64 = 0


class SiginfoRt(SiginfoHeader, size=128):
    """From sigqueue(3) and mq_notify(2): the sender and a value."""

    si_pid: I32 = 0
    si_uid: U32 = 0
    si_value: U64 = 0


class SiginfoChild(SiginfoHeader, size=128):
    """SIGCHLD, and what waitid(2) tells; times are in ticks of 10 ms."""

    si_pid: I32 = 0
    si_uid: U32 = 0
    si_status: I32 = 0
    si_utime: I64 = 0
    si_stime: I64 = 0


class SiginfoFault(SiginfoHeader, size=128):
    """SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP: the address."""

    si_addr: Pointer = 0
    si_addr_lsb: I16 = 0


class SiginfoPoll(SiginfoHeader, size=128):
    """SIGIO with F_SETSIG."""

    si_band: I64 = 0
    si_fd: I32 = 0


class SiginfoSys(SiginfoHeader, size=128):
    """SIGSYS from seccomp."""

    si_call_addr: Pointer = 0
    si_syscall: I32 = 0
    si_arch: U32 = 0
