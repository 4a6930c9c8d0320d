"""The debug registers of a task: breakpoints, and watchpoints for writes or for any access.

A tracer sets them, and they stay when it leaves: what is met then is a SIGTRAP to the task itself.
No engine has such registers: a task with any of them enabled runs one instruction at a time. Before each the
kernel looks what the instruction will access, after each whether it has come to a breakpoint. It looks then,
too, whether what is watched for writes has changed, for a few instructions can't be told beforehand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EIO
from procession.abi.signals import TrapCode
from procession.hardware.instruction import LONGEST_INSTRUCTION
from procession.hardware.page_table import USER_END
from procession.hardware.registers import RIP, TRAP_FLAG
from procession.kernel.ptrace.block_step import has_branched, look_for_branch
from procession.kernel.ptrace.tracing import BLOCK_STEP, SINGLE_STEP, TRAP_FLAG_FORCED
from procession.kernel.task_state import TRACED
from procession.mm.peek import peek

if TYPE_CHECKING:
    from procession.hardware.registers import Registers
    from procession.kernel.kernel import Kernel
    from procession.kernel.ptrace.tracing import Tracing
    from procession.kernel.task import Task

_STATUS, _CONTROL = 6, 7
_STATUS_RESERVED = 0xFFFF0FF0
_STEP_BIT = 0x4000
_LENGTHS = (1, 2, 8, 4)
_EXECUTE, _WRITE, _PORT, _ACCESS = 0, 1, 2, 3
_BREAKPOINTS = 4
_TRAP_TRACE, _TRAP_HWBKPT = int(TrapCode.TRAP_TRACE), int(TrapCode.TRAP_HWBKPT)


class Watch:
    """What one debug register watches: `length` bytes at `address`, which were `value`.

    With a length of 0 it's a breakpoint: whether the instruction there is reached. One that `sees_reads` is
    met by any access, others by writes, whatever is written; it `is_due` when the next instruction has one.
    """

    __slots__ = ("address", "is_due", "length", "number", "sees_reads", "value")

    def __init__(self, number: int, address: int, length: int, *, sees_reads: bool) -> None:
        self.number = number
        self.address = address
        self.length = length
        self.sees_reads = sees_reads
        self.is_due = False
        self.value = b""


class DebugRegisters:
    """dr0 to dr7 of a task as a tracer has set them (in Linux, thread_struct.ptrace_bps and its like).

    `watches` follows from the `values`; `breakpoints` has a bit for each that was one once. Of a task that
    nobody traces `is_flag_forced` says that the trap flag isn't its own; of others TRAP_FLAG_FORCED does.
    It isn't charged: a living task is charged a kernel stack, and others don't have it.
    """

    __slots__ = ("breakpoints", "is_flag_forced", "values", "watches")

    def __init__(self, values: list[int], breakpoints: int, watches: list[Watch]) -> None:
        self.values = values
        self.breakpoints = breakpoints
        self.watches = watches
        self.is_flag_forced = False


def debug_register(task: Task, number: int) -> int:
    """Linux: arch/x86/kernel/ptrace.c, ptrace_get_debugreg."""
    debug = task.debug_registers
    value = 0 if debug is None else debug.values[number]
    return value ^ _STATUS_RESERVED if number == _STATUS else value


def set_debug_register(task: Task, number: int, value: int) -> None:
    """Raises EIO, EINVAL.

    Linux: arch/x86/kernel/ptrace.c, ptrace_set_debugreg.
    """
    debug = task.debug_registers
    values, known = ([0] * 8, 0) if debug is None else (debug.values.copy(), debug.breakpoints)
    breakpoints = known
    if number < _BREAKPOINTS:
        if value >= USER_END:
            raise EINVAL("no address of a program")
        values[number] = value
        breakpoints |= 1 << number
    elif number == _STATUS:
        values[number] = value ^ _STATUS_RESERVED
    elif number == _CONTROL:
        values[number] = value
    else:
        raise EIO("there is no such debug register")
    # One that begins now is for writes to a byte, whatever is said of it otherwise.
    watches = _watches(values, known)
    for watch in watches:
        breakpoints |= 1 << watch.number
    task.debug_registers = DebugRegisters(values, breakpoints, watches)


def _watches(values: list[int], breakpoints: int) -> list[Watch]:
    """What the registers `values` ask for. Raises EINVAL.

    Those of `breakpoints` must make sense though they aren't enabled. Linux: arch/x86/kernel/ptrace.c,
    ptrace_write_dr7.
    """
    control = values[_CONTROL]
    watches: list[Watch] = []
    for number in range(_BREAKPOINTS):
        is_enabled = bool(control >> 2 * number & 3)
        if not is_enabled and not breakpoints >> number & 1:
            continue
        kind, length = control >> 16 + 4 * number & 3, _LENGTHS[control >> 18 + 4 * number & 3]
        # Linux: arch/x86/kernel/hw_breakpoint.c, arch_build_bp_info.
        if kind == _PORT or (kind == _EXECUTE and length != 1) or values[number] & (length - 1):
            raise EINVAL("not a breakpoint that a program can have")
        if not is_enabled:
            continue
        length = 0 if kind == _EXECUTE else length
        watches.append(Watch(number, values[number], length, sees_reads=kind == _ACCESS))
    return watches


def arm(task: Task, registers: Registers) -> None:
    """Make the processor stop after each instruction of `task`, if anything is watched; and look at the first
    if it's stepped by branches."""
    tracing, debug = task.ptrace, task.debug_registers
    if tracing is not None:
        look_for_branch(task, tracing, registers)
    if debug is None or not debug.watches:
        return
    for watch in debug.watches:
        watch.value = peek(task.mm, watch.address, watch.length)
    _look_ahead(task, debug.watches, registers)
    if not registers.rflags & TRAP_FLAG:
        registers.rflags |= TRAP_FLAG
        if tracing is None:
            debug.is_flag_forced = True
        else:
            tracing.mode |= TRAP_FLAG_FORCED


def disarm(debug: DebugRegisters, registers: Registers) -> None:
    """Take back the trap flag that a task which nobody traces has for its `debug` registers."""
    if debug.is_flag_forced:
        debug.is_flag_forced = False
        registers.rflags &= ~TRAP_FLAG


def pass_to_tracer(debug: DebugRegisters, tracing: Tracing) -> None:
    """A task with such registers is traced from now on: whose the trap flag is, is said there."""
    if debug.is_flag_forced:
        debug.is_flag_forced = False
        tracing.mode |= TRAP_FLAG_FORCED


def take_from_tracer(kernel: Kernel, task: Task, debug: DebugRegisters, tracing: Tracing) -> None:
    """Nobody traces `task` any more. A step that it was to do it does, and gets the signal for that."""
    debug.is_flag_forced = tracing.mode & (TRAP_FLAG_FORCED | SINGLE_STEP) == TRAP_FLAG_FORCED
    if task.state is TRACED:
        arm(task, kernel.registers_of(task))
        kernel.registers_changed(task)


def _look_ahead(task: Task, watches: list[Watch], registers: Registers) -> None:
    """Note which watchpoints the instruction at rip will meet, if nothing else happens first."""
    if not any(watch.length for watch in watches):
        return
    # Few tracers watch memory: nobody else needs the tables of all instructions.
    from procession.hardware.translation.memory_access import accesses

    code = peek(task.mm, registers.general[RIP], LONGEST_INSTRUCTION)
    coming = accesses(code, registers)
    for watch in watches:
        start, end = watch.address, watch.address + watch.length
        watch.is_due = any(
            address < end and start < address + length and (is_write or watch.sees_reads)
            for address, length, is_write in coming
        )


def debug_trap(kernel: Kernel, task: Task) -> int:
    """The running `task` has executed an instruction with the trap flag set: the si_code for that.

    It's 0 if nobody wants to know. Linux: arch/x86/kernel/traps.c, exc_debug_user.
    """
    tracing, debug = task.ptrace, task.debug_registers
    instruction = kernel.cpu.general[RIP]
    if tracing is None:
        is_step = debug is None or not debug.is_flag_forced
    else:
        is_step = bool(tracing.mode & SINGLE_STEP) or not tracing.mode & TRAP_FLAG_FORCED
        if tracing.mode & BLOCK_STEP:
            is_step = has_branched(tracing, instruction)
            look_for_branch(task, tracing, kernel.registers_of(task))
    if debug is None or not debug.watches:
        return _TRAP_TRACE if is_step else 0
    hits = 0
    for watch in debug.watches:
        if not watch.length:
            hits |= (instruction == watch.address) << watch.number
            continue
        value = peek(task.mm, watch.address, watch.length)
        hits |= (watch.is_due or value != watch.value) << watch.number
        watch.value = value
    _look_ahead(task, debug.watches, kernel.registers_of(task))
    debug.values[_STATUS] = hits | (_STEP_BIT if is_step else 0)
    if is_step:
        return _TRAP_TRACE
    return _TRAP_HWBKPT if hits else 0
