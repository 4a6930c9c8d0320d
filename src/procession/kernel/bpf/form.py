"""The form of eBPF programs: decoding, and what is wrong with one whatever its registers hold."""

from __future__ import annotations

from procession.abi.bpf import BpfAlu, BpfClass, BpfMode, BpfSize, BpfSource
from procession.abi.bpf_attributes import BpfInsn
from procession.abi.ebpf import EbpfClass, EbpfMode, EbpfSize
from procession.abi.errno import EINVAL
from procession.abi.named_tuple import NamedTuple
from procession.kernel.bpf.arithmetic import (
    ALWAYS,
    CALL,
    DOUBLE_WORD,
    EQUAL,
    EXIT,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    MOVE,
    NEGATE,
    NOT_EQUAL,
    SET,
    SHIFT_ARITHMETIC,
    SIGNED_GREATER,
    SIGNED_GREATER_EQUAL,
    SIGNED_LESS,
    SIGNED_LESS_EQUAL,
    SWAP,
    WORD,
)


class Instruction(NamedTuple):
    """An instruction; that of 16 bytes has its whole `immediate`, and one of zeros after it."""

    code: int
    destination: int
    source: int
    offset: int
    immediate: int


Program = tuple[Instruction, ...]

LD, LDX, ST, STX = (
    int(each) for each in (BpfClass.BPF_LD, BpfClass.BPF_LDX, BpfClass.BPF_ST, BpfClass.BPF_STX)
)
ALU, JMP = int(BpfClass.BPF_ALU), int(BpfClass.BPF_JMP)
JMP32, ALU64 = int(EbpfClass.BPF_JMP32), int(EbpfClass.BPF_ALU64)
X = int(BpfSource.BPF_X)
MEMORY, SIGNED_MEMORY = int(BpfMode.BPF_MEM), int(EbpfMode.BPF_MEMSX)
SIZES = {
    int(BpfSize.BPF_B): 1,
    int(BpfSize.BPF_H): 2,
    int(BpfSize.BPF_W): 4,
    int(EbpfSize.BPF_DW): 8,
}
"""Bytes by bits 3 and 4 of a load or store."""
LOAD_DOUBLE_WORD = LD | int(BpfMode.BPF_IMM) | int(EbpfSize.BPF_DW)

_ARITHMETIC = (*(int(each) for each in BpfAlu if each != BpfAlu.BPF_NEG), MOVE, SHIFT_ARITHMETIC)
_COMPARISONS = (
    *(EQUAL, NOT_EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL, SET),
    *(SIGNED_GREATER, SIGNED_GREATER_EQUAL, SIGNED_LESS, SIGNED_LESS_EQUAL),
)
_CODES = frozenset(
    (
        *(
            kind | operation | source
            for kind in (ALU, ALU64)
            for operation in _ARITHMETIC
            for source in (0, X)
        ),
        *(kind | NEGATE for kind in (ALU, ALU64)),
        *(ALU | SWAP, ALU | SWAP | X, ALU64 | SWAP),
        *(kind | jump | source for kind in (JMP, JMP32) for jump in _COMPARISONS for source in (0, X)),
        *(JMP | ALWAYS, JMP32 | ALWAYS, JMP | CALL, JMP | EXIT),
        *(kind | MEMORY | size for kind in (LDX, ST, STX) for size in SIZES),
        *(LDX | SIGNED_MEMORY | size for size, length in SIZES.items() if length < 8),
        LOAD_DOUBLE_WORD,
    )
)


def decode(data: bytes) -> Program:
    """The instructions of `data`, 8 bytes each. Raises EINVAL for a half of one that has 16."""
    raw = [BpfInsn.unpack(data[at : at + BpfInsn.SIZE]) for at in range(0, len(data), BpfInsn.SIZE)]
    program = [
        Instruction(each.code, each.registers & 15, each.registers >> 4, each.off, each.imm) for each in raw
    ]
    for position, each in enumerate(program):
        if each.code != LOAD_DOUBLE_WORD:
            continue
        following = program[position + 1] if position + 1 < len(program) else None
        if following is None or any(following[:4]):
            raise EINVAL("invalid bpf_ld_imm64 insn")
        immediate = each.immediate & WORD | (following.immediate & WORD) << 32
        program[position] = each._replace(immediate=immediate & DOUBLE_WORD)
    return tuple(program)


def target_of(program: Program, position: int) -> int:
    """Where the jump at `position` leads."""
    instruction = program[position]
    if instruction.code == JMP32 | ALWAYS:
        return position + 1 + instruction.immediate
    return position + 1 + instruction.offset


def is_jump(code: int) -> bool:
    """Whether it's a jump within the program, conditional or not."""
    return code & 7 in (JMP, JMP32) and code & 0xF0 not in (CALL, EXIT)


def check_form(program: Program) -> None:
    """Raise EINVAL unless all instructions are known, no jump leads out or back, and each can be reached.

    Loops are refused, as Linux did up to 5.2, and calls and atomic operations too.
    Linux: kernel/bpf/verifier.c, check_subprogs, check_cfg.
    """
    count = len(program)
    for position, instruction in enumerate(program):
        if is_jump(instruction.code) and not 0 <= target_of(program, position) < count:
            raise EINVAL(f"jump out of range from insn {position} to {target_of(program, position)}")
    last = program[-1].code
    if last not in (JMP | EXIT, JMP | ALWAYS, JMP32 | ALWAYS):
        raise EINVAL("last insn is not an exit or jmp")
    _check_codes(program)
    reached = _reach(program)
    for position, is_reached in enumerate(reached):
        if not is_reached:
            raise EINVAL(f"unreachable insn {position}")


def _check_codes(program: Program) -> None:
    """Linux: kernel/bpf/verifier.c, resolve_pseudo_ldimm64."""
    position = 0
    while position < len(program):
        instruction = program[position]
        code = instruction.code
        if code not in _CODES:
            raise EINVAL(f"unknown opcode {code:02x}")
        if code & 7 == LDX and instruction.immediate:
            raise EINVAL("BPF_LDX uses reserved fields")
        if code == LOAD_DOUBLE_WORD:
            if instruction.source or instruction.offset:
                # There are no maps, nor anything else of the kernel's that such an instruction could name.
                raise EINVAL("unrecognized bpf_ld_imm64 insn")
            position += 1
        position += 1


def _reach(program: Program) -> list[bool]:
    """Which instructions can be reached: jumps lead on, so one pass finds them."""
    reached = [False] * len(program)
    reached[0] = True
    for position, instruction in enumerate(program):
        if not reached[position]:
            continue
        code = instruction.code
        if code == LOAD_DOUBLE_WORD:
            reached[position + 1] = True
            reached[position + 2] = True
            continue
        if is_jump(code):
            target = target_of(program, position)
            if target <= position:
                raise EINVAL(f"back-edge from insn {position} to {target}")
            if _is_second_half(program, target):
                raise EINVAL(f"jump into the middle of ldimm64 insn {target}")
            reached[target] = True
        if code not in (JMP | EXIT, JMP | ALWAYS, JMP32 | ALWAYS):
            reached[position + 1] = True
    return reached


def _is_second_half(program: Program, position: int) -> bool:
    return position > 0 and program[position - 1].code == LOAD_DOUBLE_WORD and not program[position].code
