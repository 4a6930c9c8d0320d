"""The frame that a signal handler runs on, byte for byte Linux's rt_sigframe, and the return from it."""

from __future__ import annotations

from array import array
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT
from procession.abi.signal_frame import (
    FP_XSTATE_MAGIC1,
    FP_XSTATE_MAGIC2,
    Fpstate,
    FpxSwBytes,
    RtSigframe,
    Sigcontext,
    UcontextFlag,
)
from procession.abi.word import Words, pack_u32
from procession.hardware.extended_state import (
    AVX,
    AVX_OFFSET,
    FXSAVE_BYTES,
    INITIAL_STATE,
    SSE,
    X87,
    XSAVE_BYTES,
    UnloadableState,
    canonical,
    has_avx,
    restored,
    with_fxsave_area,
)
from procession.hardware.processor_level import LEVELS
from procession.hardware.registers import (
    NUMBERS,
    PRIVILEGE_BITS,
    RAX,
    RDI,
    RDX,
    RIP,
    RSI,
    RSP,
    USER_CS,
    USER_DS,
    set_register,
)
from procession.kernel.signal.alternate_stack import (
    SS_AUTODISARM,
    SS_DISABLE,
    is_on_alternate_stack,
    is_within_alternate_stack,
    restore_alternate_stack,
)
from procession.kernel.signal.handlers import SA_ONSTACK, SA_RESTORER, SA_SIGINFO
from procession.kernel.signal.mask import set_blocked
from procession.kernel.task import OTHER_SEGMENTS

if TYPE_CHECKING:
    from procession.hardware.processor_level import ProcessorLevel
    from procession.hardware.registers import Registers
    from procession.kernel.kernel import Kernel
    from procession.kernel.signal.handlers import SignalAction
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task

_MASK_64 = (1 << 64) - 1
_SIGN = 1 << 31
_RED_ZONE = 128
_FRAME = RtSigframe.STRUCT
FRAME_SIZE = RtSigframe.SIZE
"""The floating-point state lies above, aligned to 64."""
_HEAD = Words(_FRAME.format.removesuffix("128s"))
"""The frame without the siginfo: pretcode, ucontext (flags, link, stack), sigcontext (18 registers, cs, gs,
fs, ss, err, trapno, oldmask, cr2, fpstate), the saved mask."""

_UCONTEXT_OFFSET = RtSigframe.OFFSETS["uc"]
_INFO_OFFSET = RtSigframe.OFFSETS["info"]

_UC_FLAGS = int(UcontextFlag.UC_SIGCONTEXT_SS)
_UC_FP_XSTATE = int(UcontextFlag.UC_FP_XSTATE)
_STRICT_STACK_SEGMENT = int(UcontextFlag.UC_STRICT_RESTORE_SS)

_SAVED_REGISTERS = tuple([NUMBERS[name] for name in Sigcontext.OFFSETS if name in NUMBERS])
"""The order in which they lie in struct sigcontext."""
_in_frame = itemgetter(*_SAVED_REGISTERS)
"""All registers in that order."""
_SAVED_FIRST = 6
_of_frame = itemgetter(*(_SAVED_FIRST + _SAVED_REGISTERS.index(register) for register in range(RIP + 1)))
"""The registers in the processor's order, out of a frame's fields."""
_CLEARED_FLAGS = 0x100 | 0x400 | 0x10000
"""TF, DF and RF are off in a handler."""
_RESTORED_FLAGS = 0x50DD5
"""What of rflags a program may set itself (in Linux, FIX_EFLAGS): AC RF OF DF TF SF ZF AF PF CF."""

_SOFTWARE_OFFSET = Fpstate.OFFSETS["sw_reserved"]
_MAGIC1, _MAGIC2 = pack_u32(FP_XSTATE_MAGIC1), pack_u32(FP_XSTATE_MAGIC2)
_MAGIC_BYTES = len(_MAGIC2)
_SOFTWARE = FpxSwBytes(FP_XSTATE_MAGIC1, XSAVE_BYTES + _MAGIC_BYTES, X87 | SSE | AVX, XSAVE_BYTES).pack()


def is_canonical(address: int) -> bool:
    """Whether the processor can hold `address` in rip."""
    return address < 1 << 47 or address >= _MASK_64 + 1 - (1 << 47)


def build_frame(
    kernel: Kernel,
    task: Task,
    registers: Registers,
    info: SigInfo,
    action: SignalAction,
    mask: int,
) -> None:
    """Write the frame for the handler of `action` and point `registers` at the handler.

    `mask` is what is blocked again when the handler returns. Raises EFAULT when there's no stack for it.
    Linux: arch/x86/kernel/signal_64.c, x64_setup_rt_frame; arch/x86/kernel/signal.c, get_sigframe.
    """
    flags = action.flags
    if not flags & SA_RESTORER:
        raise EFAULT("the action has no restorer")
    general = registers.general
    stack = general[RSP] - _RED_ZONE
    base, size, stack_flags = task.alternate_stack
    is_alternate = False
    if size:
        is_alternate = is_on_alternate_stack(task, general[RSP])
        if flags & SA_ONSTACK and not is_on_alternate_stack(task, stack):
            stack = base + size
            is_alternate = True
    image = _floating_frame(registers.extended_state, LEVELS[task.mm.processor_level])
    has_components = len(image) > FXSAVE_BYTES
    floating = (stack - len(image)) & ~63
    frame = ((floating - FRAME_SIZE) & ~15) - 8
    if is_alternate and not is_within_alternate_stack(task, frame):
        raise EFAULT("the alternate stack would overflow")
    if frame < 0 or floating + len(image) > _MASK_64:
        raise EFAULT("the stack pointer is no address")
    trap, error, fault_address = task.last_trap
    # Linux: arch/x86/kernel/signal_64.c, frame_uc_flags.
    frame_flags = _UC_FLAGS if registers.code_segment != USER_CS else _UC_FLAGS | _STRICT_STACK_SEGMENT
    if has_components:
        frame_flags |= _UC_FP_XSTATE
    head = _FRAME.pack(
        action.restorer,
        frame_flags,
        0,
        base,
        (stack_flags ^ _SIGN) - _SIGN,
        size,
        *_in_frame(general),
        registers.rflags,
        registers.code_segment,
        0,
        0,
        registers.stack_segment,
        error,
        trap,
        mask,
        fault_address,
        floating,
        mask,
        info.pack(task.pid_namespace) if flags & SA_SIGINFO else b"",
    )
    gap = bytes(floating - frame - FRAME_SIZE)
    task.mm.write(frame, b"".join((head, gap, image)))
    if stack_flags & SS_AUTODISARM:
        task.alternate_stack = (0, 0, SS_DISABLE)
    set_register(general, RDI, info.signo)
    set_register(general, RAX, 0)
    set_register(general, RSI, frame + _INFO_OFFSET)
    set_register(general, RDX, frame + _UCONTEXT_OFFSET)
    set_register(general, RIP, action.handler)
    set_register(general, RSP, frame)
    registers.rflags &= ~_CLEARED_FLAGS
    registers.code_segment, registers.stack_segment = USER_CS, USER_DS
    # No bytes stand for the state of a fresh processor, which is what a handler starts with.
    registers.floating = b""


FrameHead = tuple[int, ...]
"""The fields of the frame before the siginfo."""


def read_frame(task: Task, stack_pointer: int) -> FrameHead:
    """What the frame says to which a handler that returns has left the stack pointer. Raises EFAULT."""
    return _HEAD.unpack(task.mm.read(stack_pointer - 8, _HEAD.size))


def leave_frame(kernel: Kernel, task: Task, registers: Registers, fields: FrameHead) -> None:
    """Put back what the frame says, which the program may have changed, all of it but the bases.

    Raises EFAULT when no processor would load its floating-point state, which is that of a fresh one then.
    Linux: arch/x86/kernel/signal_64.c, SYSCALL_DEFINE0(rt_sigreturn), restore_sigcontext.
    """
    set_blocked(task, fields[33])
    task.restart_block = None
    # Where the handler's stack is alternate, it's still in use: so since Linux 6.12.
    restore_alternate_stack(task, fields[3], fields[4], fields[5], registers.general[RSP])
    # Unpacked, they are words already.
    registers.general = array("Q", _of_frame(fields))
    rflags = fields[23]
    registers.rflags = registers.rflags & ~_RESTORED_FLAGS | rflags & _RESTORED_FLAGS
    code_segment, stack_segment = fields[24] | PRIVILEGE_BITS, fields[27] | PRIVILEGE_BITS
    if not fields[1] & _STRICT_STACK_SEGMENT and code_segment == USER_CS:
        # Who says nothing of it may not know that it's kept.
        stack_segment = USER_DS
    registers.code_segment, registers.stack_segment = code_segment, stack_segment
    if code_segment != USER_CS or stack_segment != USER_DS:
        task.work |= OTHER_SEGMENTS
    _restore_floating(kernel, task, registers, fields[32])


def _restore_floating(kernel: Kernel, task: Task, registers: Registers, address: int) -> None:
    """Linux: arch/x86/kernel/fpu/signal.c, fpu__restore_sig."""
    registers.floating = b""
    if address == 0:
        return
    if address & 15:
        raise EFAULT("the floating point state isn't aligned")
    image = task.mm.read(address, FXSAVE_BYTES)
    try:
        components = _components_in_frame(task, image, address)
        if components:
            area = image + task.mm.read(address + FXSAVE_BYTES, XSAVE_BYTES - FXSAVE_BYTES)
            registers.floating = canonical(restored(area, components))
        else:
            registers.floating = _state_of_fxsave(image)
    except UnloadableState as error:
        raise EFAULT(str(error)) from None


@lru_cache(64)
def _state_of_fxsave(image: bytes) -> bytes:
    """The state that an FXSAVE area alone tells of. Raises UnloadableState.

    A handler mostly returns to one of few states, and an engine knows one that it has seen by its identity.
    """
    return canonical(with_fxsave_area(INITIAL_STATE, image))


def _floating_frame(image: bytes, level: ProcessorLevel) -> bytes:
    """The floating-point state as a handler finds it. Linux: arch/x86/kernel/fpu/signal.c,
    copy_fpstate_to_sigframe, save_xstate_epilog.
    """
    if not level.components and not has_avx(image):
        return image[:FXSAVE_BYTES]
    # A program may use AVX without having asked whether it's there.
    return image[:_SOFTWARE_OFFSET] + _SOFTWARE + image[FXSAVE_BYTES:] + _MAGIC2


def _components_in_frame(task: Task, image: bytes, address: int) -> int:
    """What a frame says that it has beside FXSAVE's state; 0 if it doesn't say it as the kernel does.

    Linux: arch/x86/kernel/fpu/signal.c, check_xstate_in_sigframe.
    """
    if not image.startswith(_MAGIC1, _SOFTWARE_OFFSET):
        return 0
    software = FpxSwBytes.unpack(image[_SOFTWARE_OFFSET:])
    size = software.xstate_size
    if (
        not AVX_OFFSET <= size <= XSAVE_BYTES
        or size > software.extended_size
        or task.mm.read(address + size, _MAGIC_BYTES) != _MAGIC2
    ):
        return 0
    return software.xfeatures & (X87 | SSE | AVX)
