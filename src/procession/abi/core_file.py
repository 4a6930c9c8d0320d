"""The notes of a core file, in which a debugger finds the registers of a process that died."""

from __future__ import annotations

from typing import Annotated

from procession.abi.ptrace import UserRegsStruct
from procession.abi.structure import I8, I16, I32, U32, U64, Structure
from procession.abi.time import Timeval


class ElfSiginfo(Structure):
    """struct elf_siginfo, whose order isn't siginfo_t's."""

    si_signo: I32 = 0
    si_code: I32 = 0
    si_errno: I32 = 0


class ElfPrstatus(Structure):
    """struct elf_prstatus: NT_PRSTATUS of a core file, one for each thread."""

    pr_info: ElfSiginfo = ElfSiginfo()
    pr_cursig: I16 = 0
    pr_sigpend: U64 = 0
    pr_sighold: U64 = 0
    pr_pid: I32 = 0
    pr_ppid: I32 = 0
    pr_pgrp: I32 = 0
    pr_sid: I32 = 0
    pr_utime: Timeval = Timeval()
    pr_stime: Timeval = Timeval()
    pr_cutime: Timeval = Timeval()
    pr_cstime: Timeval = Timeval()
    pr_reg: UserRegsStruct = UserRegsStruct()
    pr_fpvalid: I32 = 0


class ElfPrpsinfo(Structure):
    """struct elf_prpsinfo: NT_PRPSINFO of a core file."""

    pr_state: I8 = 0
    pr_sname: I8 = 0
    pr_zomb: I8 = 0
    pr_nice: I8 = 0
    pr_flag: U64 = 0
    pr_uid: U32 = 0
    pr_gid: U32 = 0
    pr_pid: I32 = 0
    pr_ppid: I32 = 0
    pr_pgrp: I32 = 0
    pr_sid: I32 = 0
    pr_fname: Annotated[bytes, 16] = b""
    pr_psargs: Annotated[bytes, 80] = b""
