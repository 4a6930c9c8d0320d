"""A tracee's registers and user area as its tracer reads and sets them."""

from __future__ import annotations

from struct import iter_unpack
from typing import TYPE_CHECKING

from procession.abi.elf import NoteType
from procession.abi.errno import EFAULT, EINVAL, EIO, ENXIO, EOPNOTSUPP
from procession.abi.ptrace import User, UserFpregsStruct, UserRegsStruct
from procession.abi.word import pack_array, wrap_signed
from procession.hardware.extended_state import (
    FXSAVE_STATE_BYTES,
    XSAVE_BYTES,
    UnloadableState,
    canonical,
    has_reserved_bytes,
    restored,
    with_fxsave_area,
)
from procession.hardware.page_table import USER_END
from procession.hardware.registers import NUMBERS, PRIVILEGE_BITS, TRAP_FLAG, set_register
from procession.kernel.ptrace.debug_registers import debug_register, set_debug_register
from procession.kernel.ptrace.tracing import TRAP_FLAG_FORCED
from procession.kernel.task import OTHER_SEGMENTS
from procession.kernel.user_registers import (
    SETTABLE_FLAGS,
    extended_registers,
    floating_registers,
    state_components,
    user_registers,
)

if TYPE_CHECKING:
    from procession.hardware.registers import Registers
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

NT_PRSTATUS = int(NoteType.NT_PRSTATUS)
NT_PRFPREG = int(NoteType.NT_PRFPREG)
NT_X86_XSTATE = int(NoteType.NT_X86_XSTATE)
_NT_386_IOPERM = int(NoteType.NT_386_IOPERM)
_NAME_AT = {offset: name for name, offset in UserRegsStruct.OFFSETS.items()}
_WORD = 8
_SET_BYTES = {
    NT_PRSTATUS: UserRegsStruct.SIZE,
    NT_PRFPREG: UserFpregsStruct.SIZE,
    NT_X86_XSTATE: XSAVE_BYTES,
    _NT_386_IOPERM: 8192,
}
_USER_BYTES = User.SIZE + 16
"""The kernel's struct user has two words that the C library's doesn't have."""
_DEBUG_OFFSET = User.OFFSETS["u_debugreg"]


def general_registers(task: Task) -> bytes:
    """struct user_regs_struct of `task`. Linux: arch/x86/kernel/ptrace.c, genregs_get."""
    tracing = task.ptrace
    values = user_registers(task)
    if tracing is not None and tracing.mode & TRAP_FLAG_FORCED:
        values.eflags &= ~TRAP_FLAG
    return values.pack()


def set_general_registers(kernel: Kernel, task: Task, offset: int, data: bytes) -> None:
    """Set the registers from byte `offset` of struct user_regs_struct on. Raises EIO, others set by then.

    Linux: arch/x86/kernel/ptrace.c, genregs_set, putreg.
    """
    registers = kernel.registers_of(task)
    for index, (value,) in enumerate(iter_unpack("<Q", data)):
        name = _NAME_AT[offset + _WORD * index]
        register = NUMBERS.get(name)
        if register is not None:
            set_register(registers.general, register, value)
        elif name == "orig_rax":
            task.call_number = wrap_signed(value, 64)
        elif name == "eflags":
            _set_flags(task, value)
        elif name in ("fs_base", "gs_base"):
            if value >= USER_END:
                raise EIO("a base beyond user space")
            setattr(registers, name, value)
        else:
            _set_segment(task, registers, name, value & 0xFFFF)
    kernel.registers_changed(task)


def _set_segment(task: Task, registers: Registers, name: str, selector: int) -> None:
    """What can't be loaded is found out when it's to be loaded. Linux: arch/x86/kernel/ptrace.c,
    set_segment_reg.
    """
    is_for_users = selector & PRIVILEGE_BITS == PRIVILEGE_BITS
    if not is_for_users and (selector or name in ("cs", "ss")):
        raise EIO(f"{name} can't be {selector:#x}")
    registers.set_selector(name, selector)
    task.work |= OTHER_SEGMENTS


def _set_flags(task: Task, value: int) -> None:
    """Linux: arch/x86/kernel/ptrace.c, set_flags."""
    registers, tracing = task.registers, task.ptrace
    assert tracing is not None
    if value & TRAP_FLAG:
        tracing.mode &= ~TRAP_FLAG_FORCED
    elif tracing.mode & TRAP_FLAG_FORCED:
        value |= TRAP_FLAG
    registers.rflags = registers.rflags & ~SETTABLE_FLAGS | value & SETTABLE_FLAGS


def set_floating_registers(kernel: Kernel, task: Task, data: bytes) -> None:
    """Raises EINVAL. Linux: arch/x86/kernel/fpu/regset.c, xfpregs_set."""
    if len(data) != UserFpregsStruct.SIZE:
        raise EINVAL("all of it, or nothing")
    registers = kernel.registers_of(task)
    try:
        whole = with_fxsave_area(registers.extended_state, data)
    except UnloadableState as error:
        raise EINVAL(str(error)) from None
    _set_floating_state(kernel, task, whole)


def set_extended_registers(kernel: Kernel, task: Task, data: bytes) -> None:
    """Raises EFAULT, EINVAL, ENODEV. Linux: arch/x86/kernel/fpu/regset.c, xstateregs_set."""
    components = state_components(task)
    if len(data) != XSAVE_BYTES:
        raise EFAULT("all of it, or nothing")
    if has_reserved_bytes(data):
        # Linux: arch/x86/kernel/fpu/xstate.c, validate_user_xstate_header.
        raise EINVAL("the header has reserved bits set")
    try:
        whole = restored(data, components)
    except UnloadableState as error:
        raise EINVAL(str(error)) from None
    _set_floating_state(kernel, task, whole)


def _set_floating_state(kernel: Kernel, task: Task, whole: bytes) -> None:
    """`whole` has more than a task keeps, which is told while it stops as it does now."""
    state = canonical(whole)
    kernel.registers_of(task).floating = state
    if task.trace_stop is not None:
        task.trace_stop.floating_as_set = state, whole
    kernel.registers_changed(task)


def _told_floating_state(kernel: Kernel, task: Task, told: bytes) -> bytes:
    """What is `told` of the state, with what the tracer has set beside."""
    stop = task.trace_stop
    if stop is None or stop.floating_as_set is None:
        return told
    state, whole = stop.floating_as_set
    if state != kernel.registers_of(task).extended_state:
        return told
    return whole[:FXSAVE_STATE_BYTES] + told[FXSAVE_STATE_BYTES:]


def register_set(kernel: Kernel, task: Task, kind: int, length: int) -> bytes:
    """At most `length` bytes of a set of registers. Raises EINVAL, ENODEV, ENXIO.

    Linux: kernel/ptrace.c, ptrace_regset.
    """
    _check_set(kind, length)
    if kind == NT_PRSTATUS:
        return general_registers(task)[:length]
    if kind == _NT_386_IOPERM:
        # Linux: arch/x86/kernel/ptrace.c, ioperm_get.
        raise ENXIO("it has no rights to ports")
    if kind == NT_PRFPREG:
        return _told_floating_state(kernel, task, floating_registers(kernel, task))[:length]
    return _told_floating_state(kernel, task, extended_registers(kernel, task))[:length]


def size_of_set(kind: int, length: int) -> int:
    """How many of `length` bytes a set of registers takes. Raises EINVAL, EOPNOTSUPP."""
    _check_set(kind, length)
    if kind == _NT_386_IOPERM:
        raise EOPNOTSUPP("the rights to ports are set by ioperm")
    return min(length, _SET_BYTES[kind])


def set_register_set(kernel: Kernel, task: Task, kind: int, data: bytes) -> None:
    """Linux: kernel/ptrace.c, ptrace_regset."""
    if kind == NT_PRSTATUS:
        set_general_registers(kernel, task, 0, data)
    elif kind == NT_PRFPREG:
        set_floating_registers(kernel, task, data)
    else:
        set_extended_registers(kernel, task, data)


def _check_set(kind: int, length: int) -> None:
    if kind not in _SET_BYTES or length % _WORD:
        raise EINVAL(f"no set of registers {kind:#x} in words of 8 bytes")


def user_word(task: Task, offset: int) -> int:
    """The word at `offset` of struct user. Raises EIO.

    Linux: arch/x86/kernel/ptrace.c, arch_ptrace.
    """
    _check_offset(offset)
    if offset < UserRegsStruct.SIZE:
        return int.from_bytes(general_registers(task)[offset : offset + _WORD], "little")
    if _DEBUG_OFFSET <= offset < _DEBUG_OFFSET + 8 * _WORD:
        return debug_register(task, (offset - _DEBUG_OFFSET) // _WORD)
    return 0


def set_user_word(kernel: Kernel, task: Task, offset: int, value: int) -> None:
    """Raises EIO, EINVAL. Linux: arch/x86/kernel/ptrace.c, arch_ptrace."""
    _check_offset(offset)
    if offset < UserRegsStruct.SIZE:
        set_general_registers(kernel, task, offset, pack_array("Q", (value,)))
    elif _DEBUG_OFFSET <= offset < _DEBUG_OFFSET + 8 * _WORD:
        set_debug_register(task, (offset - _DEBUG_OFFSET) // _WORD, value)
    else:
        raise EIO("this part of the user area can't be set")


def _check_offset(offset: int) -> None:
    if offset % _WORD or offset >= _USER_BYTES:
        raise EIO(f"no word of the user area at {offset:#x}")
