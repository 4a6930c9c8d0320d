"""How much memory a process may lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EPERM
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_MEMLOCK
from procession.kernel.security.capability import CAP_IPC_LOCK
from procession.mm.vma import LOCKED

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor


def check_lock_limit(task: Task, size: int, *, is_anew: bool = False) -> None:
    """Raise EAGAIN or EPERM if `size` bytes may not be locked, besides what is or, with `is_anew`, in all.

    Linux: mm/mlock.c, can_do_mlock; mm/mmap.c, mlock_future_ok.
    """
    if task.credentials.has_capability(CAP_IPC_LOCK):
        return
    limit = task.group.limits.soft[RLIMIT_MEMLOCK]
    if limit == 0:
        raise EPERM("RLIMIT_MEMLOCK is 0")
    locked = 0 if is_anew else locked_bytes(task.mm)
    if limit != RLIM_INFINITY and locked + size > limit:
        raise EAGAIN("RLIMIT_MEMLOCK")


def check_lock_growth(task: Task, size: int) -> None:
    """Raise EAGAIN if a locked mapping may not grow by `size` bytes. Linux: mm/mmap.c, mlock_future_ok."""
    limit = task.group.limits.soft[RLIMIT_MEMLOCK]
    if limit == RLIM_INFINITY or task.credentials.has_capability(CAP_IPC_LOCK):
        return
    if locked_bytes(task.mm) + size > limit:
        raise EAGAIN("RLIMIT_MEMLOCK")


def locked_bytes(mm: MemoryDescriptor) -> int:
    """How large the locked areas are (VmLck)."""
    return sum(area.size for area in mm.areas if area.flags & LOCKED)
