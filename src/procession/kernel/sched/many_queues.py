"""What a task takes of the machine's memory while it waits on many queues at once, as poll(2) does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.kernel_memory import WAIT, WAIT_BYTES

if TYPE_CHECKING:
    from procession.hardware.kernel_memory import KernelMemory

FEW_QUEUES = 16
"""So many are part of what a task takes."""


def check_wait_room(account: KernelMemory, count: int) -> None:
    """Raise OutOfFrames unless a task may wait on `count` queues."""
    if count > FEW_QUEUES and not account.can_charge(count * WAIT_BYTES):
        account.memory.refuse()


def charge_wait(account: KernelMemory, count: int) -> None:
    """A task begins to wait on `count` queues, more than few, as `check_wait_room` allowed."""
    account.charge_always(WAIT, count * WAIT_BYTES)


def uncharge_wait(account: KernelMemory, count: int) -> None:
    """It waits on them no more."""
    account.uncharge(WAIT, count * WAIT_BYTES)
