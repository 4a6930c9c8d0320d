"""Classic BPF: the verifier and the interpreter of the programs that filter packets and system calls.

A program is checked once; it can only jump forward, so it ends after as many steps as it has instructions.
What it may load is its user's matter: seccomp lets it load words of struct seccomp_data and nothing else.
"""

from __future__ import annotations

from typing import Protocol

from procession.abi.bpf import (
    BPF_MAXINSNS,
    BPF_MEMWORDS,
    BpfAlu,
    BpfClass,
    BpfJump,
    BpfMisc,
    BpfMode,
    BpfReturn,
    BpfSize,
    BpfSource,
    SockFilter,
)
from procession.abi.errno import EINVAL
from procession.abi.named_tuple import NamedTuple

Program = tuple[tuple[int, int, int, int], ...]
"""Checked instructions: code, how many to skip if a jump's condition holds and if it doesn't, the operand.
A jump that is always made skips the operand."""

_WORD = 0xFFFFFFFF
_ANCILLARY_OFFSET = 0xFFFFF000
"""SKF_AD_OFF: packet loads from here on ask for something else, all of which needs a packet."""
_ANCILLARY_WORDS = frozenset(range(0, 64, 4))
"""What they may ask for: SKF_AD_PROTOCOL to SKF_AD_VLAN_TPID."""

_LD, _LDX = int(BpfClass.BPF_LD), int(BpfClass.BPF_LDX)
_ALU, _JMP, _RET, _MISC = (
    int(kind) for kind in (BpfClass.BPF_ALU, BpfClass.BPF_JMP, BpfClass.BPF_RET, BpfClass.BPF_MISC)
)
_W, _H, _B = int(BpfSize.BPF_W), int(BpfSize.BPF_H), int(BpfSize.BPF_B)
_X = int(BpfSource.BPF_X)

LOAD_ABSOLUTE = _LD | _W | int(BpfMode.BPF_ABS)
LOAD_LENGTH = _LD | _W | int(BpfMode.BPF_LEN)
LOAD_X_LENGTH = _LDX | _W | int(BpfMode.BPF_LEN)
LOAD_IMMEDIATE = _LD | int(BpfMode.BPF_IMM)
LOAD_X_IMMEDIATE = _LDX | int(BpfMode.BPF_IMM)
LOAD_MEMORY = _LD | int(BpfMode.BPF_MEM)
LOAD_X_MEMORY = _LDX | int(BpfMode.BPF_MEM)
STORE = int(BpfClass.BPF_ST)
STORE_X = int(BpfClass.BPF_STX)
JUMP = _JMP | int(BpfJump.BPF_JA)
JUMP_EQUAL = _JMP | int(BpfJump.BPF_JEQ)
JUMP_GREATER = _JMP | int(BpfJump.BPF_JGT)
JUMP_GREATER_EQUAL = _JMP | int(BpfJump.BPF_JGE)
JUMP_SET = _JMP | int(BpfJump.BPF_JSET)
RETURN = _RET
RETURN_A = _RET | int(BpfReturn.BPF_A)
TAX = _MISC | int(BpfMisc.BPF_TAX)
TXA = _MISC | int(BpfMisc.BPF_TXA)
AND = _ALU | int(BpfAlu.BPF_AND)
NEGATE = _ALU | int(BpfAlu.BPF_NEG)
MODULO = _ALU | int(BpfAlu.BPF_MOD)

_OR, _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE = (
    _ALU | int(operation)
    for operation in (BpfAlu.BPF_OR, BpfAlu.BPF_ADD, BpfAlu.BPF_SUB, BpfAlu.BPF_MUL, BpfAlu.BPF_DIV)
)
_SHIFT_LEFT, _SHIFT_RIGHT = _ALU | int(BpfAlu.BPF_LSH), _ALU | int(BpfAlu.BPF_RSH)

CONDITIONAL = frozenset(
    jump | source for jump in (JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, JUMP_SET) for source in (0, _X)
)
ARITHMETIC = frozenset(_ALU | int(operation) | source for operation in BpfAlu for source in (0, _X)) - {
    NEGATE | _X
}
_MEMORY = frozenset((LOAD_MEMORY, LOAD_X_MEMORY, STORE, STORE_X))
_PACKET_LOADS = frozenset(
    _LD | size | int(mode) for size in (_W, _H, _B) for mode in (BpfMode.BPF_ABS, BpfMode.BPF_IND)
) | {_LDX | _B | int(BpfMode.BPF_MSH)}
_ABSOLUTE_LOADS = frozenset(_LD | size | int(BpfMode.BPF_ABS) for size in (_W, _H, _B))
_REGISTER_CODES = frozenset(
    (LOAD_LENGTH, LOAD_X_LENGTH, LOAD_IMMEDIATE, LOAD_X_IMMEDIATE, JUMP, RETURN, RETURN_A, TAX, TXA)
)
_CODES = CONDITIONAL | ARITHMETIC | _MEMORY | _PACKET_LOADS | _REGISTER_CODES


class Suspension(NamedTuple):
    """Where a program stands that wants a word which isn't known: before instruction `position`."""

    position: int
    a: int
    x: int
    memory: tuple[int, ...]


_NO_MEMORY = (0,) * BPF_MEMWORDS
START = Suspension(0, 0, 0, _NO_MEMORY)


def check_length(count: int) -> None:
    """Raise EINVAL unless a program may have `count` instructions. Linux: net/core/filter.c,
    bpf_check_basics_ok."""
    if not 0 < count <= BPF_MAXINSNS:
        raise EINVAL(f"a program of {count} instructions")


def check_program(instructions: list[SockFilter]) -> None:
    """Raise EINVAL unless the program ends whatever it is given, and reads no memory that it hasn't written.

    Its length has been checked. Linux: net/core/filter.c, bpf_check_classic.
    """
    count = len(instructions)
    for position, instruction in enumerate(instructions):
        code, operand = instruction.code, instruction.k
        if code not in _CODES:
            raise EINVAL(f"instruction {position}: no code {code:#x}")
        left = count - position - 1
        if code in CONDITIONAL:
            is_wrong = instruction.jt >= left or instruction.jf >= left
        elif code == JUMP:
            is_wrong = operand >= left
        elif code in (_DIVIDE, MODULO):
            is_wrong = operand == 0
        elif code in (_SHIFT_LEFT, _SHIFT_RIGHT):
            is_wrong = operand >= 32
        elif code in _MEMORY:
            is_wrong = operand >= BPF_MEMWORDS
        else:
            is_wrong = (
                code in _ABSOLUTE_LOADS
                and operand >= _ANCILLARY_OFFSET
                and operand - _ANCILLARY_OFFSET not in _ANCILLARY_WORDS
            )
        if is_wrong:
            raise EINVAL(f"instruction {position}: operand {operand:#x}")
    if instructions[-1].code not in (RETURN, RETURN_A):
        raise EINVAL("the program doesn't end in a return")
    _check_memory(instructions)


def _check_memory(instructions: list[SockFilter]) -> None:
    """Raise EINVAL if a word is read that may not have been written. Linux: net/core/filter.c,
    check_load_and_stores."""
    every = (1 << BPF_MEMWORDS) - 1
    masks = [every] * len(instructions)
    written = 0
    for position, instruction in enumerate(instructions):
        code, operand = instruction.code, instruction.k
        written &= masks[position]
        if code in (STORE, STORE_X):
            written |= 1 << operand
        elif code in (LOAD_MEMORY, LOAD_X_MEMORY):
            if not written >> operand & 1:
                raise EINVAL(f"instruction {position}: word {operand} isn't written")
        elif code == JUMP:
            masks[position + 1 + operand] &= written
            written = every
        elif code in CONDITIONAL:
            masks[position + 1 + instruction.jt] &= written
            masks[position + 1 + instruction.jf] &= written
            written = every


def converted_length(instructions: list[SockFilter]) -> int:
    """How long Linux makes a checked program, by which it counts. Linux: net/core/filter.c,
    bpf_convert_filter."""
    length = 3
    for instruction in instructions:
        code = instruction.code
        length += 1
        if code in CONDITIONAL:
            if not code & _X and instruction.k > _WORD >> 1:
                length += 1
            has_opposite = code & ~_X != JUMP_SET
            if instruction.jf and (instruction.jt or not has_opposite):
                length += 1
        elif code in (_DIVIDE | _X, MODULO | _X):
            length += 4
        elif code == RETURN:
            length += 1
    return length


class Words(Protocol):
    """What a program loads, by number: words of 32 bits in the processor's order of bytes."""

    def __getitem__(self, index: int, /) -> int:
        """A word."""


def run(
    program: Program, words: Words, known: int, start: Suspension = START
) -> tuple[int | Suspension, int]:
    """What the program answers: 32 bits; and how many steps that took.

    When it wants a word beyond the first `known`, or something else of a packet, the answer is where it
    stands, to go on from when more are known.
    """
    position, a, x, memory = start
    steps = 0
    # Most often met first: filters are long rows of comparisons.
    while True:
        code, skip_if_true, skip_if_false, operand = program[position]
        steps += 1
        if code == JUMP_EQUAL:
            position += 1 + (skip_if_true if a == operand else skip_if_false)
        elif code == JUMP_GREATER_EQUAL:
            position += 1 + (skip_if_true if a >= operand else skip_if_false)
        elif code == JUMP_GREATER:
            position += 1 + (skip_if_true if a > operand else skip_if_false)
        elif code == LOAD_ABSOLUTE:
            if operand >= known:
                return Suspension(position, a, x, memory), steps
            a = words[operand]
            position += 1
        elif code == RETURN:
            return operand, steps
        elif code == JUMP:
            position += 1 + operand
        elif code == AND:
            a &= operand
            position += 1
        elif code == JUMP_SET:
            position += 1 + (skip_if_true if a & operand else skip_if_false)
        elif code & 7 == _JMP:
            position += 1 + (skip_if_true if _compare(code & ~_X, a, x) else skip_if_false)
        elif code & 7 == _ALU:
            by = x if code & _X else operand
            if code in (_DIVIDE | _X, MODULO | _X) and by == 0:
                return 0, steps
            a = _compute(code & ~_X, a, by)
            position += 1
        elif code == LOAD_IMMEDIATE:
            a = operand
            position += 1
        elif code == LOAD_X_IMMEDIATE:
            x = operand
            position += 1
        elif code == LOAD_MEMORY:
            a = memory[operand]
            position += 1
        elif code == LOAD_X_MEMORY:
            x = memory[operand]
            position += 1
        elif code in (STORE, STORE_X):
            memory = (*memory[:operand], a if code == STORE else x, *memory[operand + 1 :])
            position += 1
        elif code == TAX:
            x = a
            position += 1
        elif code == TXA:
            a = x
            position += 1
        elif code == RETURN_A:
            return a, steps
        else:
            return Suspension(position, a, x, memory), steps


def _compare(jump: int, a: int, x: int) -> bool:
    if jump == JUMP_EQUAL:
        return a == x
    if jump == JUMP_GREATER:
        return a > x
    if jump == JUMP_GREATER_EQUAL:
        return a >= x
    return bool(a & x)


def _compute(operation: int, a: int, by: int) -> int:
    """An arithmetic instruction's result, of 32 bits; shifts take the lowest 5 bits of how far."""
    if operation == AND:
        return a & by
    if operation == _OR:
        return a | by
    if operation == _ADD:
        return a + by & _WORD
    if operation == _SUBTRACT:
        return a - by & _WORD
    if operation == _MULTIPLY:
        return a * by & _WORD
    if operation == _DIVIDE:
        return a // by
    if operation == MODULO:
        return a % by
    if operation == _SHIFT_LEFT:
        return a << (by & 31) & _WORD
    if operation == _SHIFT_RIGHT:
        return a >> (by & 31)
    if operation == NEGATE:
        return -a & _WORD
    return a ^ by
