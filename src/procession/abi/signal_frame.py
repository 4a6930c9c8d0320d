"""What lies on the stack of a signal handler: registers, floating-point state, rt_sigframe."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntFlag
from procession.abi.sigaction import SignalStack
from procession.abi.structure import U16, U32, U64, Pointer, Structure


class UcontextFlag(IntFlag):
    """uc_flags."""

    UC_FP_XSTATE = 1
    UC_SIGCONTEXT_SS = 2
    UC_STRICT_RESTORE_SS = 4


# The first says that an xstate follows the fxsave image, the second ends it.
FP_XSTATE_MAGIC1 = 0x46505853
FP_XSTATE_MAGIC2 = 0x46505845


class Sigcontext(Structure, size=256):
    """struct sigcontext: the registers that sigreturn restores; fpstate is the address of an Fpstate or 0."""

    r8: U64 = 0
    r9: U64 = 0
    r10: U64 = 0
    r11: U64 = 0
    r12: U64 = 0
    r13: U64 = 0
    r14: U64 = 0
    r15: U64 = 0
    rdi: U64 = 0
    rsi: U64 = 0
    rbp: U64 = 0
    rbx: U64 = 0
    rdx: U64 = 0
    rax: U64 = 0
    rcx: U64 = 0
    rsp: U64 = 0
    rip: U64 = 0
    eflags: U64 = 0
    cs: U16 = 0
    gs: U16 = 0
    fs: U16 = 0
    ss: U16 = 0
    err: U64 = 0
    trapno: U64 = 0
    oldmask: U64 = 0
    cr2: U64 = 0
    fpstate: Pointer = 0


class Ucontext(Structure):
    """The kernel's struct ucontext; the C library's has a longer mask."""

    uc_flags: U64 = 0
    uc_link: Pointer = 0
    uc_stack: SignalStack = SignalStack()
    uc_mcontext: Sigcontext = Sigcontext()
    uc_sigmask: U64 = 0


class RtSigframe(Structure):
    """struct rt_sigframe: rsp points to it when a handler starts. Linux: arch/x86/include/asm/sigframe.h."""

    pretcode: Pointer = 0
    uc: Ucontext = Ucontext()
    info: Annotated[bytes, 128] = b""


class FpxSwBytes(Structure, size=48):
    """struct _fpx_sw_bytes: in the fxsave image's last 48 bytes, whether and how much xstate follows."""

    magic1: U32 = 0
    extended_size: U32 = 0
    xfeatures: U64 = 0
    xstate_size: U32 = 0


class Fpstate(Structure):
    """struct _fpstate: the fxsave image, 512 bytes at an address that is a multiple of 64."""

    cwd: U16 = 0
    swd: U16 = 0
    twd: U16 = 0
    fop: U16 = 0
    rip: U64 = 0
    rdp: U64 = 0
    mxcsr: U32 = 0
    mxcsr_mask: U32 = 0
    st_space: Annotated[bytes, 128] = b""
    xmm_space: Annotated[bytes, 256] = b""
    reserved2: Annotated[bytes, 48] = b""
    sw_reserved: FpxSwBytes = FpxSwBytes()


class XstateHeader(Structure, size=64):
    """struct _header: which states the xsave area after the fxsave image holds."""

    xfeatures: U64 = 0
