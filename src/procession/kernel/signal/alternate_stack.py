"""The stack that a thread has set aside for its signal handlers (sigaltstack(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOMEM, EPERM
from procession.abi.signals import MINSIGSTKSZ, SignalStackFlag

if TYPE_CHECKING:
    from procession.kernel.task import Task

SS_ONSTACK = int(SignalStackFlag.SS_ONSTACK)
SS_DISABLE = int(SignalStackFlag.SS_DISABLE)
SS_AUTODISARM = int(SignalStackFlag.SS_AUTODISARM)


def is_within_alternate_stack(task: Task, pointer: int) -> bool:
    """Whether the stack pointer is in it, armed or not.

    Linux: include/linux/sched/signal.h, __on_sig_stack.
    """
    base, size, _ = task.alternate_stack
    return 0 < pointer - base <= size


def is_on_alternate_stack(task: Task, pointer: int) -> bool:
    """Whether the thread runs on it; one that disarms itself never counts.

    Linux: include/linux/sched/signal.h, on_sig_stack.
    """
    base, size, flags = task.alternate_stack
    return 0 < pointer - base <= size and not flags & SS_AUTODISARM


def stack_flags(task: Task, pointer: int) -> int:
    """What sigaltstack(2) reports as ss_flags. Linux: include/linux/sched/signal.h, sas_ss_flags."""
    _, size, flags = task.alternate_stack
    state = SS_ONSTACK if is_on_alternate_stack(task, pointer) else 0
    return (state if size else SS_DISABLE) | flags & SS_AUTODISARM


def set_alternate_stack(task: Task, base: int, flags: int, size: int, pointer: int) -> None:
    """Use the `size` bytes from `base`; `flags` are SS_*, unsigned. Raises EPERM, EINVAL and ENOMEM.

    Linux: kernel/signal.c, do_sigaltstack.
    """
    if is_on_alternate_stack(task, pointer):
        raise EPERM("the thread runs on its alternate stack")
    flags &= 0xFFFFFFFF
    mode = flags & ~SS_AUTODISARM
    if mode not in {0, SS_ONSTACK, SS_DISABLE}:
        raise EINVAL(f"unknown ss_flags {mode:#x}")
    if task.alternate_stack == (base, size, flags):
        return
    if mode == SS_DISABLE:
        base = size = 0
    elif size < MINSIGSTKSZ:
        raise ENOMEM(f"{size} bytes are less than MINSIGSTKSZ")
    task.alternate_stack = (base, size, flags)


def restore_alternate_stack(task: Task, base: int, flags: int, size: int, pointer: int) -> None:
    """Use what a signal frame says, if it's valid and no change is refused.

    Linux: kernel/signal.c, restore_altstack.
    """
    if task.alternate_stack == (base, size, flags & 0xFFFFFFFF):
        return
    try:
        set_alternate_stack(task, base, flags, size, pointer)
    except (EPERM, EINVAL, ENOMEM):
        return
