"""Loads of segment registers and transfers between segments, which trap: there is no table of segments.

What a 64-bit program can have by them is its own flat segments, so that these instructions come to a check of
selectors, which the registers keep, and to the bases of fs and gs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT, Errno
from procession.abi.word import pack_u64
from procession.hardware.engine import FAULT_USER, FAULT_WRITE
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SIZE
from procession.hardware.registers import (
    CHANGEABLE_FLAGS,
    RIP,
    RSP,
    SEGMENT_NUMBERS,
    SELECTOR_ERROR,
    USER_CS,
    USER_DS,
    WORD_MASK,
    is_loadable,
    set_register,
)
from procession.hardware.translation.decode import FS, GS, OPERAND_SIZE, WIDE, Instruction, decode
from procession.hardware.translation.opcodes import FAR, INTERRUPT_RETURN, SEGMENT_LOAD
from procession.hardware.translation.operand import effective_address
from procession.kernel.signal.frame import is_canonical

if TYPE_CHECKING:
    from procession.hardware.registers import Registers
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

DONE, DONE_WITHOUT_TRAP = -1, -2
"""A load of the stack's segment has no debug exception, so that nothing comes before a load of rsp."""
_SS, _FS, _GS = SEGMENT_NUMBERS["ss"], SEGMENT_NUMBERS["fs"], SEGMENT_NUMBERS["gs"]
_NAMES = {number: name for name, number in SEGMENT_NUMBERS.items()}
_POPS = {0xA1: _FS, 0xA9: _GS}
_WITH_POINTER = {0xB2: _SS, 0xB4: _FS, 0xB5: _GS}
"""lss, lfs, lgs, which load a general register too."""
_RETURNS = (0xCA, 0xCB)
_FAR_CALL = 3
"""The middle field of ModRM; a jump has another one."""
_LONGEST = 15


class BadSelector(Exception):
    """A selector or an address that a program can't have; `error_code` is what the processor says of it."""

    def __init__(self, selector: int) -> None:
        self.error_code = selector & SELECTOR_ERROR


class Absent(Exception):
    """The instruction can't have its operand in memory; `access` is what a page fault says of it."""

    def __init__(self, address: int, access: int) -> None:
        self.address = address
        self.access = access


def emulate_segments(kernel: Kernel, task: Task, error_code: int) -> int:
    """Do the instruction at rip if it's one of these. DONE, DONE_WITHOUT_TRAP, or the error code of the fault
    that it raises.

    Raises OutOfFrames and Absent: then nothing is done.
    """
    address = kernel.cpu.general[RIP]
    try:
        code = _code_at(task, address)
        instruction = decode(code, 0)
        if instruction.kind not in (SEGMENT_LOAD, FAR, INTERRUPT_RETURN):
            return error_code
        registers = kernel.registers_of(task)
        if instruction.kind == SEGMENT_LOAD:
            _load(task, registers, instruction, code)
            set_register(registers.general, RIP, address + instruction.length)
        elif instruction.kind == INTERRUPT_RETURN:
            _return_from_interrupt(task, registers, instruction)
        elif instruction.opcode in _RETURNS:
            _return_far(task, registers, instruction)
        else:
            _go_far(task, registers, instruction, code)
    except BadSelector as bad:
        return bad.error_code
    except Errno:
        return error_code
    kernel.registers_changed(task)
    is_move = instruction.kind == SEGMENT_LOAD and instruction.table == 0
    return DONE_WITHOUT_TRAP if is_move and instruction.modrm >> 3 & 7 == _SS else DONE


def _code_at(task: Task, address: int) -> bytes:
    """As many bytes of the instruction as there are. Raises EFAULT."""
    length = min(_LONGEST, PAGE_SIZE - (address & PAGE_MASK))
    code = task.mm.read(address, length)
    with suppress(EFAULT):
        code += task.mm.read(address + length, _LONGEST - length)
    return code


def _read(task: Task, address: int, length: int, first: int = 0) -> bytes:
    """An operand, of which the processor looks at what is `first` bytes behind its beginning at once.

    Raises Absent, or EFAULT for an address that none can have.
    """
    try:
        return task.mm.read(address, length)
    except EFAULT:
        if not is_canonical(address):
            raise
        for start in (first, 0):
            if not _is_there(task, address + start):
                raise Absent(address + start, FAULT_USER) from None
        raise Absent((address | PAGE_MASK) + 1, FAULT_USER) from None


def _is_there(task: Task, address: int) -> bool:
    try:
        task.mm.read(address, 1)
    except EFAULT:
        return False
    return True


def _size(instruction: Instruction) -> int:
    """Of what lies on the stack, and of the offset in a far pointer."""
    if instruction.rex & WIDE:
        return 8
    return 2 if instruction.prefixes & OPERAND_SIZE else 4


def _place(registers: Registers, instruction: Instruction, code: bytes) -> int:
    """Where the memory operand is."""
    base = registers.fs_base if instruction.prefixes & FS else 0
    base = registers.gs_base if instruction.prefixes & GS else base
    general = registers.general
    return effective_address(instruction, code, general, general[RIP] + instruction.length, base)


def _load(task: Task, registers: Registers, instruction: Instruction, code: bytes) -> None:
    """mov, pop, lss, lfs and lgs. Raises BadSelector, Absent, EFAULT."""
    general, opcode = registers.general, instruction.opcode
    if instruction.table and opcode in _POPS:
        size = 2 if instruction.prefixes & OPERAND_SIZE and not instruction.rex & WIDE else 8
        # The rest may be missing.
        selector = int.from_bytes(_read(task, general[RSP], 2), "little")
        _use(registers, _POPS[opcode], selector)
        set_register(general, RSP, general[RSP] + size)
    elif instruction.table:
        size = _size(instruction)
        data = _read(task, _place(registers, instruction, code), size + 2)
        _use(registers, _WITH_POINTER[opcode], int.from_bytes(data[size:], "little"))
        number = instruction.modrm >> 3 & 7 | (instruction.rex & 4) << 1
        kept = general[number] & ~0xFFFF if size == 2 else 0
        set_register(general, number, kept | int.from_bytes(data[:size], "little"))
    elif instruction.has_memory:
        selector = int.from_bytes(_read(task, _place(registers, instruction, code), 2), "little")
        _use(registers, instruction.modrm >> 3 & 7, selector)
    else:
        selector = general[instruction.modrm & 7 | (instruction.rex & 1) << 3] & 0xFFFF
        _use(registers, instruction.modrm >> 3 & 7, selector)


def _use(registers: Registers, segment: int, selector: int) -> None:
    """Raises BadSelector unless the segment can be had there."""
    if selector != USER_DS and (segment == _SS or not is_loadable(selector)):
        raise BadSelector(selector)
    registers.set_selector(_NAMES[segment], selector)
    if segment == _FS:
        registers.fs_base = 0
    elif segment == _GS:
        registers.gs_base = 0


def _return_from_interrupt(task: Task, registers: Registers, instruction: Instruction) -> None:
    """iretq and iretd. Raises BadSelector, Absent, EFAULT."""
    size = _size(instruction)
    data = _read(task, registers.general[RSP], 5 * size, 2 * size)
    rip, code, flags, stack, data_segment = (
        int.from_bytes(data[start : start + size], "little") for start in range(0, 5 * size, size)
    )
    _check_code(code, rip)
    if data_segment & 0xFFFF != USER_DS:
        raise BadSelector(data_segment)
    set_register(registers.general, RIP, rip)
    set_register(registers.general, RSP, stack)
    registers.rflags = registers.rflags & ~CHANGEABLE_FLAGS | flags & CHANGEABLE_FLAGS


def _return_far(task: Task, registers: Registers, instruction: Instruction) -> None:
    """lret. Raises BadSelector, Absent, EFAULT."""
    general, size = registers.general, _size(instruction)
    data = _read(task, general[RSP], 2 * size, size)
    rip = int.from_bytes(data[:size], "little")
    _check_code(int.from_bytes(data[size:], "little"), rip)
    set_register(general, RIP, rip)
    set_register(general, RSP, general[RSP] + 2 * size + instruction.immediate)


def _go_far(task: Task, registers: Registers, instruction: Instruction, code: bytes) -> None:
    """ljmp and lcall by a pointer in memory. Raises BadSelector, Absent, EFAULT."""
    general, size = registers.general, _size(instruction)
    data = _read(task, _place(registers, instruction, code), size + 2)
    rip = int.from_bytes(data[:size], "little")
    _check_code(int.from_bytes(data[size:], "little"), rip)
    if instruction.modrm >> 3 & 7 == _FAR_CALL:
        behind = (general[RIP] + instruction.length) & WORD_MASK
        frame = pack_u64(behind)[:size] + pack_u64(USER_CS)[:size]
        place = (general[RSP] - len(frame)) & WORD_MASK
        try:
            task.mm.write(place, frame)
        except EFAULT:
            if not is_canonical(place):
                raise
            raise Absent(place, FAULT_USER | FAULT_WRITE) from None
        set_register(general, RSP, general[RSP] - len(frame))
    set_register(general, RIP, rip)


def _check_code(selector: int, rip: int) -> None:
    """Raise BadSelector for another segment than that of 64-bit code, or an address that none can have."""
    if selector & 0xFFFF != USER_CS:
        raise BadSelector(selector)
    if rip >= USER_END:
        raise BadSelector(0)
