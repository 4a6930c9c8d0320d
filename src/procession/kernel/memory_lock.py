"""How much memory a process may lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, ENOMEM, EPERM
from procession.kernel.rlimit import RLIMIT_MEMLOCK
from procession.kernel.security.capability import CAP_IPC_LOCK
from procession.mm.vma import LOCKED

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor


def check_locking(task: Task) -> None:
    """Raise EPERM if the task may lock nothing at all. Linux: mm/mlock.c, can_do_mlock."""
    if task.group.limits.soft[RLIMIT_MEMLOCK] == 0 and not task.credentials.capable(CAP_IPC_LOCK):
        raise EPERM("RLIMIT_MEMLOCK is 0")


def check_lock_limit(task: Task, size: int) -> None:
    """Raise ENOMEM if `size` bytes, all that would be locked, may not be.

    Linux: mm/mlock.c, do_mlock, SYSCALL_DEFINE1(mlockall).
    """
    if size > task.group.limits.soft[RLIMIT_MEMLOCK] and not task.credentials.capable(CAP_IPC_LOCK):
        raise ENOMEM("RLIMIT_MEMLOCK")


def check_lock_growth(task: Task, size: int) -> None:
    """Raise EAGAIN if locked mappings may not grow by `size` bytes. Linux: mm/mmap.c, mlock_future_ok."""
    if task.credentials.capable(CAP_IPC_LOCK):
        return
    if count_locked(task) + size > task.group.limits.soft[RLIMIT_MEMLOCK]:
        raise EAGAIN("RLIMIT_MEMLOCK")


def count_locked(task: Task) -> int:
    """How many bytes `task` has locked. All of its areas are looked at for that, which takes time."""
    task.kernel.clock.spend_looking(len(task.mm.areas))
    return locked_bytes(task.mm)


def locked_bytes(mm: MemoryDescriptor) -> int:
    """How large the locked areas are (VmLck)."""
    return sum(area.size for area in mm.areas if area.flags & LOCKED)
