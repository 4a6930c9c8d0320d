"""What futex(2) does with two futexes at once: waking on one and moving the rest to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOSYS
from procession.abi.futex import FutexComparison, FutexWakeOperation
from procession.kernel.futex.queue import (
    FutexKey,
    FutexTable,
    FutexWaiter,
    expect_value,
    futex_key,
    read_word,
    wake_waiters,
    write_word,
)
from procession.kernel.time.costs import FUTEX_WAITER_NS

if TYPE_CHECKING:
    from procession.kernel.task import Task

_WORD = 0xFFFF_FFFF
_SET = int(FutexWakeOperation.FUTEX_OP_SET)
_ADD = int(FutexWakeOperation.FUTEX_OP_ADD)
_OR = int(FutexWakeOperation.FUTEX_OP_OR)
_ANDN = int(FutexWakeOperation.FUTEX_OP_ANDN)
_XOR = int(FutexWakeOperation.FUTEX_OP_XOR)
_SHIFTED_OPERAND = 8 << 28
"""FUTEX_OP_OPARG_SHIFT in its place."""


def move_waiter(table: FutexTable, waiter: FutexWaiter, key: FutexKey) -> None:
    """Let a waiter wait on another futex. Linux: kernel/futex/requeue.c, requeue_futex."""
    if waiter.key != key:
        table.remove(waiter)
        waiter.key = key
        table.add(waiter)


def futex_requeue(
    task: Task,
    sources: tuple[int, bool],
    targets: tuple[int, bool],
    wake_count: int,
    requeue_count: int,
    expected: int | None,
) -> int:
    """Wake up to `wake_count` waiters of one futex and let up to `requeue_count` more wait on another.

    Each futex is an address and whether it's private; `expected` is what the first must hold, None for
    anything. Returns how many waiters were woken or moved. Raises EINVAL, EFAULT, EAGAIN.
    Linux: kernel/futex/requeue.c, futex_requeue.
    """
    if wake_count < 0 or requeue_count < 0:
        raise EINVAL("a negative count")
    (source, is_private), (target, is_target_private) = sources, targets
    source_key = futex_key(task, source, is_private=is_private)
    target_key = futex_key(task, target, is_private=is_target_private)
    if expected is not None:
        expect_value(task, source, expected)
    table = task.kernel.futexes
    count = 0
    for waiter in table.waiters.get(source_key, []).copy():
        if count - wake_count >= requeue_count:
            break
        if waiter.is_for_lock:
            raise EINVAL("somebody waits there for a lock")
        count += 1
        if count <= wake_count:
            waiter.wake()
        else:
            move_waiter(table, waiter, target_key)
    if count > 1:
        task.kernel.clock.spend((count - 1) * FUTEX_WAITER_NS)
    return count


def futex_wake_op(
    task: Task,
    address: int,
    address2: int,
    counts: tuple[int, int],
    encoded: int,
    *,
    is_private: bool,
) -> int:
    """Change the word at `address2` as `encoded` says, wake waiters of the futex at `address`, and if the
    word's old value was as `encoded` says, those of the futex at `address2`; `counts` limits both.

    Returns how many were woken. Raises EINVAL, EFAULT, ENOSYS. Linux: kernel/futex/waitwake.c, futex_wake_op.
    """
    key = futex_key(task, address, is_private=is_private)
    key2 = futex_key(task, address2, is_private=is_private, is_written=True)
    is_second_woken = _change_word(task, address2, encoded)
    table = task.kernel.futexes
    woken = wake_waiters(table, key, counts[0])
    if is_second_woken:
        woken += wake_waiters(table, key2, counts[1])
    return woken


def _change_word(task: Task, address: int, encoded: int) -> bool:
    """Linux: kernel/futex/waitwake.c, futex_atomic_op_inuser."""
    operation = encoded >> 28 & 7
    operand = _signed_12(encoded >> 12)
    if encoded & _SHIFTED_OPERAND:
        operand = 1 << (operand & 31)
    if operation > _XOR:
        raise ENOSYS(f"no operation {operation}")
    old = read_word(task, address)
    if operation == _SET:
        new = operand
    elif operation == _ADD:
        new = old + operand
    elif operation == _OR:
        new = old | operand
    elif operation == _ANDN:
        new = old & ~operand
    else:
        new = old ^ operand
    write_word(task, address, new & _WORD)
    return _compare(encoded >> 24 & 15, (old ^ 0x8000_0000) - 0x8000_0000, _signed_12(encoded))


def _signed_12(bits: int) -> int:
    return (bits & 0xFFF ^ 0x800) - 0x800


def _compare(comparison: int, old: int, operand: int) -> bool:
    if comparison == FutexComparison.FUTEX_OP_CMP_EQ:
        return old == operand
    if comparison == FutexComparison.FUTEX_OP_CMP_NE:
        return old != operand
    if comparison == FutexComparison.FUTEX_OP_CMP_LT:
        return old < operand
    if comparison == FutexComparison.FUTEX_OP_CMP_LE:
        return old <= operand
    if comparison == FutexComparison.FUTEX_OP_CMP_GT:
        return old > operand
    if comparison == FutexComparison.FUTEX_OP_CMP_GE:
        return old >= operand
    raise ENOSYS(f"no comparison {comparison}")
