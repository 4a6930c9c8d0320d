"""What eBPF's arithmetic and comparisons come to, for the verifier and the interpreter alike (RFC 9669)."""

from __future__ import annotations

from procession.abi.bpf import BpfAlu, BpfJump
from procession.abi.ebpf import EbpfAlu, EbpfJump

WORD = 0xFFFFFFFF
DOUBLE_WORD = 0xFFFFFFFFFFFFFFFF

ADD, SUBTRACT, MULTIPLY, DIVIDE = (
    int(each) for each in (BpfAlu.BPF_ADD, BpfAlu.BPF_SUB, BpfAlu.BPF_MUL, BpfAlu.BPF_DIV)
)
OR, AND, SHIFT_LEFT, SHIFT_RIGHT = (
    int(each) for each in (BpfAlu.BPF_OR, BpfAlu.BPF_AND, BpfAlu.BPF_LSH, BpfAlu.BPF_RSH)
)
NEGATE, MODULO, XOR = int(BpfAlu.BPF_NEG), int(BpfAlu.BPF_MOD), int(BpfAlu.BPF_XOR)
MOVE, SHIFT_ARITHMETIC, SWAP = int(EbpfAlu.BPF_MOV), int(EbpfAlu.BPF_ARSH), int(EbpfAlu.BPF_END)

ALWAYS = int(BpfJump.BPF_JA)
EQUAL, GREATER, GREATER_EQUAL, SET = (
    int(each) for each in (BpfJump.BPF_JEQ, BpfJump.BPF_JGT, BpfJump.BPF_JGE, BpfJump.BPF_JSET)
)
NOT_EQUAL, LESS, LESS_EQUAL = int(EbpfJump.BPF_JNE), int(EbpfJump.BPF_JLT), int(EbpfJump.BPF_JLE)
SIGNED_GREATER, SIGNED_GREATER_EQUAL = int(EbpfJump.BPF_JSGT), int(EbpfJump.BPF_JSGE)
SIGNED_LESS, SIGNED_LESS_EQUAL = int(EbpfJump.BPF_JSLT), int(EbpfJump.BPF_JSLE)
CALL, EXIT = int(EbpfJump.BPF_CALL), int(EbpfJump.BPF_EXIT)


def signed(value: int, bits: int) -> int:
    """The lowest `bits` of `value` as a number with a sign."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def compute(operation: int, left: int, right: int, bits: int, offset: int) -> int:
    """The result of an operation on the lowest `bits` (32 or 64) of both, without a sign.

    `offset` is the instruction's: 1 makes division signed, another width a move extend the sign. Division by
    zero gives 0, a remainder by zero what was divided; a shift takes as many bits of its distance as count.
    """
    mask = (1 << bits) - 1
    left &= mask
    right &= mask
    result = 0
    if operation == MOVE:
        result = signed(right, offset) if offset else right
    elif operation == ADD:
        result = left + right
    elif operation == SUBTRACT:
        result = left - right
    elif operation == MULTIPLY:
        result = left * right
    elif operation == OR:
        result = left | right
    elif operation == AND:
        result = left & right
    elif operation == XOR:
        result = left ^ right
    elif operation == SHIFT_LEFT:
        result = left << (right & bits - 1)
    elif operation == SHIFT_RIGHT:
        result = left >> (right & bits - 1)
    elif operation == SHIFT_ARITHMETIC:
        result = signed(left, bits) >> (right & bits - 1)
    elif operation == NEGATE:
        result = -left
    else:
        result = _divide(left, right, bits, wants_rest=operation == MODULO, is_signed=bool(offset))
    return result & mask


def _divide(left: int, right: int, bits: int, *, wants_rest: bool, is_signed: bool) -> int:
    if not right:
        return left if wants_rest else 0
    if not is_signed:
        return left % right if wants_rest else left // right
    left, right = signed(left, bits), signed(right, bits)
    # C's division goes towards zero.
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        quotient = -quotient
    return left - quotient * right if wants_rest else quotient


def compare(jump: int, left: int, right: int, bits: int) -> bool:
    """Whether a conditional jump is made, by the lowest `bits` of both."""
    mask = (1 << bits) - 1
    left &= mask
    right &= mask
    if jump == EQUAL:
        return left == right
    if jump == NOT_EQUAL:
        return left != right
    if jump == GREATER:
        return left > right
    if jump == GREATER_EQUAL:
        return left >= right
    if jump == LESS:
        return left < right
    if jump == LESS_EQUAL:
        return left <= right
    if jump == SET:
        return bool(left & right)
    left, right = signed(left, bits), signed(right, bits)
    if jump == SIGNED_GREATER:
        return left > right
    if jump == SIGNED_GREATER_EQUAL:
        return left >= right
    if jump == SIGNED_LESS:
        return left < right
    return left <= right
