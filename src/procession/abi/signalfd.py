"""signalfd(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag
from procession.abi.structure import I32, U16, U32, U64, Structure


class SignalfdFlag(IntFlag):
    """signalfd4(2)."""

    SFD_NONBLOCK = 0o4000
    SFD_CLOEXEC = 0o2000000


class SignalfdSiginfo(Structure, size=128):
    """struct signalfd_siginfo: what a read gives for each signal."""

    ssi_signo: U32 = 0
    ssi_errno: I32 = 0
    ssi_code: I32 = 0
    ssi_pid: U32 = 0
    ssi_uid: U32 = 0
    ssi_fd: I32 = 0
    ssi_tid: U32 = 0
    ssi_band: U32 = 0
    ssi_overrun: U32 = 0
    ssi_trapno: U32 = 0
    ssi_status: I32 = 0
    ssi_int: I32 = 0
    ssi_ptr: U64 = 0
    ssi_utime: U64 = 0
    ssi_stime: U64 = 0
    ssi_addr: U64 = 0
    ssi_addr_lsb: U16 = 0
    ssi_syscall: I32 = 0
    ssi_call_addr: U64 = 0
    ssi_arch: U32 = 0
