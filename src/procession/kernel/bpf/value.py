"""What the verifier knows of a register: nothing, the bounds of a number, or what it points to."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple
from procession.kernel.bpf.arithmetic import (
    ADD,
    AND,
    DIVIDE,
    DOUBLE_WORD,
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    MODULO,
    MOVE,
    MULTIPLY,
    NOT_EQUAL,
    OR,
    SET,
    SHIFT_ARITHMETIC,
    SHIFT_LEFT,
    SHIFT_RIGHT,
    XOR,
    compare,
    compute,
)

UNKNOWN, NUMBER, CONTEXT, STACK, LOST = range(5)
"""Kinds: what may not have been written; a number; a pointer to the context, to the stack's end, or to
somewhere about the context."""
KIND_NAMES = ("?", "scalar", "ctx", "fp", "ctx")


class Value(NamedTuple):
    """A register's contents: a number between `low` and `high`, without signs, or a pointer.

    `low` of a pointer is how far behind its beginning it points. Linux: include/linux/bpf_verifier.h,
    struct bpf_reg_state.
    """

    kind: int
    low: int = 0
    high: int = 0


NOTHING = Value(UNKNOWN)
ANY_NUMBER = Value(NUMBER, 0, DOUBLE_WORD)


_SHIFTS = (SHIFT_LEFT, SHIFT_RIGHT, SHIFT_ARITHMETIC)


def constant(number: int) -> Value:
    """A known number."""
    return Value(NUMBER, number & DOUBLE_WORD, number & DOUBLE_WORD)


def up_to(high: int) -> Value:
    """A number from 0 to `high`."""
    return Value(NUMBER, 0, high)


def merge(one: Value, other: Value) -> Value:
    """What is known where two ways meet."""
    if one == other:
        return one
    if one.kind == other.kind == NUMBER:
        return Value(NUMBER, min(one.low, other.low), max(one.high, other.high))
    return NOTHING


def narrow(value: Value, bits: int) -> Value:
    """The lowest `bits` of a number."""
    mask = (1 << bits) - 1
    if value.high <= mask:
        return value
    return constant(value.low & mask) if value.low == value.high else up_to(mask)


def bounds_of(operation: int, left: Value, right: Value, bits: int, offset: int) -> Value:
    """What an operation on numbers gives. Linux: kernel/bpf/verifier.c, adjust_scalar_min_max_vals."""
    left, right = narrow(left, bits), narrow(right, bits)
    mask = (1 << bits) - 1
    if operation in (DIVIDE, MODULO) or (operation in _SHIFTS and right.high >= bits):
        return up_to(mask)
    if left.low == left.high and right.low == right.high:
        return constant(compute(operation, left.low, right.low, bits, offset))
    if operation == MOVE and not offset:
        return right
    if operation == ADD and left.high + right.high <= mask:
        return Value(NUMBER, left.low + right.low, left.high + right.high)
    if operation == MULTIPLY and left.high * right.high <= mask:
        return Value(NUMBER, left.low * right.low, left.high * right.high)
    if operation == AND:
        return up_to(min(left.high, right.high))
    if operation in (OR, XOR):
        return up_to((1 << max(left.high, right.high).bit_length()) - 1)
    if operation == SHIFT_RIGHT and right.low == right.high:
        return Value(NUMBER, left.low >> right.low, left.high >> right.low)
    return up_to(mask)


def branches(jump: int, left: Value, right: Value, bits: int) -> tuple[Value | None, Value | None]:
    """What is known of `left` where the jump is made, and where it isn't; None where that can't be.

    Linux: kernel/bpf/verifier.c, reg_set_min_max.
    """
    if left.kind != NUMBER or right.kind != NUMBER:
        return left, left
    mask = (1 << bits) - 1
    if left.high > mask or right.high > mask:
        return left, left
    if left.low == left.high and right.low == right.high:
        is_made = compare(jump, left.low, right.low, bits)
        return (left, None) if is_made else (None, left)
    if right.low != right.high or jump == SET or jump not in _OPPOSITES:
        return left, left
    return _within(jump, left, right.low), _within(_OPPOSITES[jump], left, right.low)


_OPPOSITES = {
    EQUAL: NOT_EQUAL,
    NOT_EQUAL: EQUAL,
    GREATER: LESS_EQUAL,
    LESS_EQUAL: GREATER,
    GREATER_EQUAL: LESS,
    LESS: GREATER_EQUAL,
}


def _within(jump: int, value: Value, number: int) -> Value | None:
    """The part of `value` for which the comparison with `number` holds; None if there is none."""
    low, high = value.low, value.high
    if jump == EQUAL:
        low, high = max(low, number), min(high, number)
    elif jump == NOT_EQUAL:
        low += low == number
        high -= high == number
    elif jump == GREATER:
        low = max(low, number + 1)
    elif jump == GREATER_EQUAL:
        low = max(low, number)
    elif jump == LESS:
        high = min(high, number - 1)
    else:
        high = min(high, number)
    return Value(NUMBER, low, high) if low <= high else None
