"""Records of processes that have ended: acct(5)."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntFlag
from procession.abi.structure import I8, I32, U16, U32, Structure

AHZ = 100
"""Ticks in a second."""


class AcctFlag(IntFlag):
    """ac_flag."""

    AFORK = 0x01
    ASU = 0x02
    ACORE = 0x08
    AXSIG = 0x10
    AGROUP = 0x20


class AcctV3(Structure):
    """struct acct_v3; ac_etime is a float, here its 32 bits."""

    ac_flag: I8 = 0
    ac_version: I8 = 3
    ac_tty: U16 = 0
    ac_exitcode: U32 = 0
    ac_uid: U32 = 0
    ac_gid: U32 = 0
    ac_pid: U32 = 0
    ac_ppid: U32 = 0
    ac_btime: U32 = 0
    ac_etime: I32 = 0
    ac_utime: U16 = 0
    ac_stime: U16 = 0
    ac_mem: U16 = 0
    ac_io: U16 = 0
    ac_rw: U16 = 0
    ac_minflt: U16 = 0
    ac_majflt: U16 = 0
    ac_swaps: U16 = 0
    ac_comm: Annotated[bytes, 16] = b""
