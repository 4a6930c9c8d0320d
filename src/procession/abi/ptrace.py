"""ptrace(2): requests, options, events, and the registers as a tracer sees them."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, I64, U8, U16, U32, U64, Pointer, Structure


class PtraceRequest(IntEnum):
    """The first argument."""

    PTRACE_TRACEME = 0
    PTRACE_PEEKTEXT = 1
    PTRACE_PEEKDATA = 2
    PTRACE_PEEKUSR = 3
    PTRACE_POKETEXT = 4
    PTRACE_POKEDATA = 5
    PTRACE_POKEUSR = 6
    PTRACE_CONT = 7
    PTRACE_KILL = 8
    PTRACE_SINGLESTEP = 9
    PTRACE_GETREGS = 12
    PTRACE_SETREGS = 13
    PTRACE_GETFPREGS = 14
    PTRACE_SETFPREGS = 15
    PTRACE_ATTACH = 16
    PTRACE_DETACH = 17
    PTRACE_GETFPXREGS = 18
    PTRACE_SETFPXREGS = 19
    PTRACE_OLDSETOPTIONS = 21
    PTRACE_SYSCALL = 24
    PTRACE_GET_THREAD_AREA = 25
    PTRACE_SET_THREAD_AREA = 26
    PTRACE_ARCH_PRCTL = 30
    PTRACE_SYSEMU = 31
    PTRACE_SYSEMU_SINGLESTEP = 32
    PTRACE_SINGLEBLOCK = 33
    PTRACE_SETOPTIONS = 16896
    PTRACE_GETEVENTMSG = 16897
    PTRACE_GETSIGINFO = 16898
    PTRACE_SETSIGINFO = 16899
    PTRACE_GETREGSET = 16900
    PTRACE_SETREGSET = 16901
    PTRACE_SEIZE = 16902
    PTRACE_INTERRUPT = 16903
    PTRACE_LISTEN = 16904
    PTRACE_PEEKSIGINFO = 16905
    PTRACE_GETSIGMASK = 16906
    PTRACE_SETSIGMASK = 16907
    PTRACE_SECCOMP_GET_FILTER = 16908
    PTRACE_SECCOMP_GET_METADATA = 16909
    PTRACE_GET_SYSCALL_INFO = 16910
    PTRACE_GET_RSEQ_CONFIGURATION = 16911
    PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG = 16912
    PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 16913
    PTRACE_SET_SYSCALL_INFO = 16914


class PtraceOption(IntFlag):
    """PTRACE_SETOPTIONS."""

    PTRACE_O_TRACESYSGOOD = 1
    PTRACE_O_TRACEFORK = 2
    PTRACE_O_TRACEVFORK = 4
    PTRACE_O_TRACECLONE = 8
    PTRACE_O_TRACEEXEC = 0x10
    PTRACE_O_TRACEVFORKDONE = 0x20
    PTRACE_O_TRACEEXIT = 0x40
    PTRACE_O_TRACESECCOMP = 0x80
    PTRACE_O_EXITKILL = 0x100000
    PTRACE_O_SUSPEND_SECCOMP = 0x200000


class PtraceEvent(IntEnum):
    """What a tracer finds in bits 16 to 23 of a status."""

    PTRACE_EVENT_FORK = 1
    PTRACE_EVENT_VFORK = 2
    PTRACE_EVENT_CLONE = 3
    PTRACE_EVENT_EXEC = 4
    PTRACE_EVENT_VFORK_DONE = 5
    PTRACE_EVENT_EXIT = 6
    PTRACE_EVENT_SECCOMP = 7
    PTRACE_EVENT_STOP = 128


class PtraceEventMessage(IntEnum):
    """PTRACE_GETEVENTMSG at a stop for a system call."""

    PTRACE_EVENTMSG_SYSCALL_ENTRY = 1
    PTRACE_EVENTMSG_SYSCALL_EXIT = 2


class SyscallInfoOperation(IntEnum):
    """op of struct ptrace_syscall_info."""

    PTRACE_SYSCALL_INFO_NONE = 0
    PTRACE_SYSCALL_INFO_ENTRY = 1
    PTRACE_SYSCALL_INFO_EXIT = 2
    PTRACE_SYSCALL_INFO_SECCOMP = 3


class PeeksiginfoFlag(IntFlag):
    """PTRACE_PEEKSIGINFO."""

    PTRACE_PEEKSIGINFO_SHARED = 1


class UserRegsStruct(Structure):
    """struct user_regs_struct: PTRACE_GETREGS, NT_PRSTATUS."""

    r15: U64 = 0
    r14: U64 = 0
    r13: U64 = 0
    r12: U64 = 0
    rbp: U64 = 0
    rbx: U64 = 0
    r11: U64 = 0
    r10: U64 = 0
    r9: U64 = 0
    r8: U64 = 0
    rax: U64 = 0
    rcx: U64 = 0
    rdx: U64 = 0
    rsi: U64 = 0
    rdi: U64 = 0
    orig_rax: U64 = 0
    rip: U64 = 0
    cs: U64 = 0
    eflags: U64 = 0
    rsp: U64 = 0
    ss: U64 = 0
    fs_base: U64 = 0
    gs_base: U64 = 0
    ds: U64 = 0
    es: U64 = 0
    fs: U64 = 0
    gs: U64 = 0


class UserFpregsStruct(Structure, size=512):
    """struct user_fpregs_struct: PTRACE_GETFPREGS, NT_PRFPREG; the image of FXSAVE."""

    cwd: U16 = 0
    swd: U16 = 0
    ftw: U16 = 0
    fop: U16 = 0
    rip: U64 = 0
    rdp: U64 = 0
    mxcsr: U32 = 0
    mxcr_mask: U32 = 0
    st_space: Annotated[bytes, 128] = b""
    xmm_space: Annotated[bytes, 256] = b""


class User(Structure):
    """struct user: what PTRACE_PEEKUSER reads of. Only regs and u_debugreg are more than zeros."""

    regs: UserRegsStruct = UserRegsStruct()
    u_fpvalid: I32 = 0
    i387: UserFpregsStruct = UserFpregsStruct()
    u_tsize: U64 = 0
    u_dsize: U64 = 0
    u_ssize: U64 = 0
    start_code: U64 = 0
    start_stack: U64 = 0
    signal: I64 = 0
    reserved: I32 = 0
    u_ar0: Pointer = 0
    u_fpstate: Pointer = 0
    magic: U64 = 0
    u_comm: Annotated[bytes, 32] = b""
    u_debugreg: Annotated[tuple[int, ...], U64, 8] = (0,) * 8


class PtraceSyscallInfo(Structure):
    """struct ptrace_syscall_info up to its union, which is empty for PTRACE_SYSCALL_INFO_NONE."""

    op: U8 = 0
    arch: U32 = 0
    instruction_pointer: U64 = 0
    stack_pointer: U64 = 0


class PtraceSyscallInfoEntry(PtraceSyscallInfo):
    """struct ptrace_syscall_info of PTRACE_SYSCALL_INFO_ENTRY."""

    nr: U64 = 0
    args: Annotated[tuple[int, ...], U64, 6] = (0, 0, 0, 0, 0, 0)


class PtraceSyscallInfoExit(PtraceSyscallInfo):
    """struct ptrace_syscall_info of PTRACE_SYSCALL_INFO_EXIT."""

    rval: I64 = 0
    is_error: U8 = 0


class PtraceSyscallInfoSeccomp(PtraceSyscallInfo):
    """struct ptrace_syscall_info of PTRACE_SYSCALL_INFO_SECCOMP."""

    nr: U64 = 0
    args: Annotated[tuple[int, ...], U64, 6] = (0, 0, 0, 0, 0, 0)
    ret_data: U32 = 0


class PtracePeeksiginfoArgs(Structure):
    """struct ptrace_peeksiginfo_args."""

    off: U64 = 0
    flags: U32 = 0
    nr: I32 = 0


class SeccompMetadata(Structure):
    """PTRACE_SECCOMP_GET_METADATA's struct seccomp_metadata."""

    filter_off: U64 = 0
    flags: U64 = 0


class PtraceRseqConfiguration(Structure):
    """struct ptrace_rseq_configuration."""

    rseq_abi_pointer: U64 = 0
    rseq_abi_size: U32 = 0
    signature: U32 = 0
    flags: U32 = 0
    pad: U32 = 0


class PtraceSudConfig(Structure):
    """struct ptrace_sud_config: syscall user dispatch."""

    mode: U64 = 0
    selector: U64 = 0
    offset: U64 = 0
    len: U64 = 0
