"""The interpreter of eBPF programs that the verifier has found fit."""

from __future__ import annotations

from procession.abi.word import pack_u64, swap_bytes
from procession.kernel.bpf.arithmetic import ALWAYS, EXIT, SWAP, compare, compute, signed
from procession.kernel.bpf.form import (
    ALU,
    ALU64,
    JMP,
    JMP32,
    LDX,
    LOAD_DOUBLE_WORD,
    MEMORY,
    SIZES,
    STX,
    Instruction,
    Program,
    X,
)
from procession.kernel.bpf.verifier import FRAME_POINTER, REGISTER_COUNT, STACK_BYTES

_CONTEXT_ADDRESS = 0xFFFFC90000001000
_STACK_ADDRESS = 0xFFFFC90000010000
"""Where the context and the stack are, for a program that compares their addresses."""


def run(program: Program, context: bytes) -> tuple[int, int]:
    """What the program answers about `context`, and how many instructions that took: at most all it has.

    Linux: kernel/bpf/core.c, ___bpf_prog_run.
    """
    values = [0] * REGISTER_COUNT
    values[1] = _CONTEXT_ADDRESS
    values[FRAME_POINTER] = _STACK_ADDRESS + STACK_BYTES
    stack = bytearray(STACK_BYTES)
    position = count = 0
    while True:
        count += 1
        instruction = program[position]
        code = instruction.code
        kind = code & 7
        position += 1
        if kind in (JMP, JMP32):
            if code == JMP | EXIT:
                return values[0] & 0xFFFFFFFF, count
            if code == JMP32 | ALWAYS:
                position += instruction.immediate
            elif code == JMP | ALWAYS or _is_made(instruction, values):
                position += instruction.offset
        elif kind in (ALU, ALU64):
            values[instruction.destination] = _compute(instruction, values)
        elif kind == LDX:
            values[instruction.destination] = _load(instruction, values, context, stack)
        elif code == LOAD_DOUBLE_WORD:
            values[instruction.destination] = instruction.immediate
            position += 1
        else:
            value = values[instruction.source] if kind == STX else instruction.immediate
            at = values[instruction.destination] + instruction.offset - _STACK_ADDRESS
            size = SIZES[code & 0x18]
            stack[at : at + size] = pack_u64(value)[:size]


def _is_made(instruction: Instruction, values: list[int]) -> bool:
    code = instruction.code
    right = values[instruction.source] if code & X else instruction.immediate
    return compare(code & 0xF0, values[instruction.destination], right, 32 if code & 7 == JMP32 else 64)


def _compute(instruction: Instruction, values: list[int]) -> int:
    code = instruction.code
    left = values[instruction.destination]
    operation = code & 0xF0
    bits = 64 if code & 7 == ALU64 else 32
    if operation == SWAP:
        # To little-endian is no more than to cut off; that of 64 bits always reverses.
        width = instruction.immediate
        return swap_bytes(left, width >> 3) if bits == 64 or code & X else left & (1 << width) - 1
    right = values[instruction.source] if code & X else instruction.immediate
    return compute(operation, left, right, bits, instruction.offset)


def _load(instruction: Instruction, values: list[int], context: bytes, stack: bytearray) -> int:
    address = values[instruction.source] + instruction.offset
    size = SIZES[instruction.code & 0x18]
    if address >= _STACK_ADDRESS:
        at = address - _STACK_ADDRESS
        value = int.from_bytes(stack[at : at + size], "little")
    else:
        at = address - _CONTEXT_ADDRESS
        value = int.from_bytes(context[at : at + size], "little")
    if instruction.code & 0xE0 != MEMORY:
        return signed(value, size * 8) & 0xFFFFFFFFFFFFFFFF
    return value
