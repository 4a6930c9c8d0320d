"""prctl(2): what a process says about itself."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U32, U64, Pointer, Structure


class PrctlOption(IntEnum):
    """The first argument."""

    PR_SET_PDEATHSIG = 1
    PR_GET_PDEATHSIG = 2
    PR_GET_DUMPABLE = 3
    PR_SET_DUMPABLE = 4
    PR_GET_UNALIGN = 5
    PR_SET_UNALIGN = 6
    PR_GET_KEEPCAPS = 7
    PR_SET_KEEPCAPS = 8
    PR_GET_FPEMU = 9
    PR_SET_FPEMU = 10
    PR_GET_FPEXC = 11
    PR_SET_FPEXC = 12
    PR_GET_TIMING = 13
    PR_SET_TIMING = 14
    PR_SET_NAME = 15
    PR_GET_NAME = 16
    PR_GET_ENDIAN = 19
    PR_SET_ENDIAN = 20
    PR_GET_SECCOMP = 21
    PR_SET_SECCOMP = 22
    PR_CAPBSET_READ = 23
    PR_CAPBSET_DROP = 24
    PR_GET_TSC = 25
    PR_SET_TSC = 26
    PR_GET_SECUREBITS = 27
    PR_SET_SECUREBITS = 28
    PR_SET_TIMERSLACK = 29
    PR_GET_TIMERSLACK = 30
    PR_TASK_PERF_EVENTS_DISABLE = 31
    PR_TASK_PERF_EVENTS_ENABLE = 32
    PR_MCE_KILL = 33
    PR_MCE_KILL_GET = 34
    PR_SET_MM = 35
    PR_SET_CHILD_SUBREAPER = 36
    PR_GET_CHILD_SUBREAPER = 37
    PR_SET_NO_NEW_PRIVS = 38
    PR_GET_NO_NEW_PRIVS = 39
    PR_GET_TID_ADDRESS = 40
    PR_SET_THP_DISABLE = 41
    PR_GET_THP_DISABLE = 42
    PR_MPX_ENABLE_MANAGEMENT = 43
    PR_MPX_DISABLE_MANAGEMENT = 44
    PR_SET_FP_MODE = 45
    PR_GET_FP_MODE = 46
    PR_CAP_AMBIENT = 47
    PR_SVE_SET_VL = 50
    PR_SVE_GET_VL = 51
    PR_GET_SPECULATION_CTRL = 52
    PR_SET_SPECULATION_CTRL = 53
    PR_PAC_RESET_KEYS = 54
    PR_SET_TAGGED_ADDR_CTRL = 55
    PR_GET_TAGGED_ADDR_CTRL = 56
    PR_SET_IO_FLUSHER = 57
    PR_GET_IO_FLUSHER = 58
    PR_SET_SYSCALL_USER_DISPATCH = 59
    PR_PAC_SET_ENABLED_KEYS = 60
    PR_PAC_GET_ENABLED_KEYS = 61
    PR_SCHED_CORE = 62
    PR_SME_SET_VL = 63
    PR_SME_GET_VL = 64
    PR_SET_MDWE = 65
    PR_GET_MDWE = 66
    PR_SET_MEMORY_MERGE = 67
    PR_GET_MEMORY_MERGE = 68
    PR_RISCV_V_SET_CONTROL = 69
    PR_RISCV_V_GET_CONTROL = 70
    PR_RISCV_SET_ICACHE_FLUSH_CTX = 71
    PR_PPC_GET_DEXCR = 72
    PR_PPC_SET_DEXCR = 73
    PR_TIMER_CREATE_RESTORE_IDS = 77
    PR_GET_AUXV = 0x41555856
    PR_SET_VMA = 0x53564D41
    PR_SET_PTRACER = 0x59616D61


# PR_SET_PTRACER's argument: anybody.
PR_SET_PTRACER_ANY = 0xFFFFFFFFFFFFFFFF


class SetMmField(IntEnum):
    """PR_SET_MM."""

    PR_SET_MM_START_CODE = 1
    PR_SET_MM_END_CODE = 2
    PR_SET_MM_START_DATA = 3
    PR_SET_MM_END_DATA = 4
    PR_SET_MM_START_STACK = 5
    PR_SET_MM_START_BRK = 6
    PR_SET_MM_BRK = 7
    PR_SET_MM_ARG_START = 8
    PR_SET_MM_ARG_END = 9
    PR_SET_MM_ENV_START = 10
    PR_SET_MM_ENV_END = 11
    PR_SET_MM_AUXV = 12
    PR_SET_MM_EXE_FILE = 13
    PR_SET_MM_MAP = 14
    PR_SET_MM_MAP_SIZE = 15


class CapAmbientOperation(IntEnum):
    """PR_CAP_AMBIENT."""

    PR_CAP_AMBIENT_IS_SET = 1
    PR_CAP_AMBIENT_RAISE = 2
    PR_CAP_AMBIENT_LOWER = 3
    PR_CAP_AMBIENT_CLEAR_ALL = 4


class RestoreIds(IntEnum):
    """PR_TIMER_CREATE_RESTORE_IDS."""

    PR_TIMER_CREATE_RESTORE_IDS_OFF = 0
    PR_TIMER_CREATE_RESTORE_IDS_ON = 1
    PR_TIMER_CREATE_RESTORE_IDS_GET = 2


class TscMode(IntEnum):
    """PR_SET_TSC."""

    PR_TSC_ENABLE = 1
    PR_TSC_SIGSEGV = 2


class MceKill(IntEnum):
    """PR_MCE_KILL."""

    PR_MCE_KILL_CLEAR = 0
    PR_MCE_KILL_SET = 1


class MceKillPolicy(IntEnum):
    """PR_MCE_KILL_SET, PR_MCE_KILL_GET."""

    PR_MCE_KILL_LATE = 0
    PR_MCE_KILL_EARLY = 1
    PR_MCE_KILL_DEFAULT = 2


class Speculation(IntEnum):
    """PR_GET_SPECULATION_CTRL: which misfeature."""

    PR_SPEC_STORE_BYPASS = 0
    PR_SPEC_INDIRECT_BRANCH = 1
    PR_SPEC_L1D_FLUSH = 2


class SpeculationControl(IntFlag):
    """PR_SET_SPECULATION_CTRL."""

    PR_SPEC_NOT_AFFECTED = 0
    PR_SPEC_PRCTL = 1
    PR_SPEC_ENABLE = 2
    PR_SPEC_DISABLE = 4
    PR_SPEC_FORCE_DISABLE = 8
    PR_SPEC_DISABLE_NOEXEC = 0x10


class MdweFlag(IntFlag):
    """PR_SET_MDWE: memory-deny-write-execute."""

    PR_MDWE_REFUSE_EXEC_GAIN = 1
    PR_MDWE_NO_INHERIT = 2


class SyscallUserDispatch(IntEnum):
    """PR_SET_SYSCALL_USER_DISPATCH."""

    PR_SYS_DISPATCH_OFF = 0
    PR_SYS_DISPATCH_ON = 1
    PR_SYS_DISPATCH_INCLUSIVE_ON = 2


class SchedCoreOperation(IntEnum):
    """PR_SCHED_CORE."""

    PR_SCHED_CORE_GET = 0
    PR_SCHED_CORE_CREATE = 1
    PR_SCHED_CORE_SHARE_TO = 2
    PR_SCHED_CORE_SHARE_FROM = 3


class HugePagesFlag(IntFlag):
    """PR_SET_THP_DISABLE."""

    PR_THP_DISABLE_EXCEPT_ADVISED = 2


class SetVmaOperation(IntEnum):
    """PR_SET_VMA."""

    PR_SET_VMA_ANON_NAME = 0


class PrctlMmMap(Structure):
    """PR_SET_MM_MAP's struct prctl_mm_map."""

    start_code: U64 = 0
    end_code: U64 = 0
    start_data: U64 = 0
    end_data: U64 = 0
    start_brk: U64 = 0
    brk: U64 = 0
    start_stack: U64 = 0
    arg_start: U64 = 0
    arg_end: U64 = 0
    env_start: U64 = 0
    env_end: U64 = 0
    auxv: Pointer = 0
    auxv_size: U32 = 0
    exe_fd: U32 = 0
