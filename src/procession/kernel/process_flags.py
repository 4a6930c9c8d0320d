"""What the kernel notes of a task in its flags (in Linux, PF_*), and what others see of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.acct import AcctFlag
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.kernel.task import Task

PF_EXITING: Final = 0x4
PF_POSTCOREDUMP: Final = 0x8
PF_FORKNOEXEC: Final = 0x40
PF_MCE_PROCESS: Final = 0x80
PF_SUPERPRIV: Final = 0x100
"""It has had something done that took a capability."""
PF_DUMPCORE: Final = 0x200
PF_SIGNALED: Final = 0x400
PF_NPROC_EXCEEDED: Final = 0x1000
"""A change of the real user id went over RLIMIT_NPROC: execve(2) fails with EAGAIN while it's still so."""
PF_NOFREEZE: Final = 0x8000
PF_IO_FLUSHER: Final = 0x80000 | 0x100000
"""PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE."""
PF_RANDOMIZE: Final = 0x400000
PF_MCE_EARLY: Final = 0x8000000
TIF_NOTSC: Final = 1 << 32
"""rdtsc raises SIGSEGV. Beside what is a process's own, which is seen, in the same number (Linux:
arch/x86/include/asm/thread_info.h)."""

_SEEN: Final = (1 << 32) - 1


def shown_flags(task: Task) -> int:
    """PF_* of a task, as far as they are known here: 32 bits."""
    flags = task.flags & _SEEN
    if not task.has_executed:
        flags |= PF_FORKNOEXEC
    if task.is_exiting:
        # Linux: kernel/exit.c, synchronize_group_exit, do_exit.
        flags |= PF_EXITING | PF_POSTCOREDUMP
        if task.exit_code & 0x7F:
            flags |= PF_SIGNALED
    if task.state in ENDED:
        # Linux: kernel/sched/core.c, do_task_dead.
        flags |= PF_NOFREEZE
    return flags


def accounting_flags(task: Task) -> int:
    """What a record of an ended task says of its flags (acct(5)). Linux: kernel/acct.c, acct_collect."""
    flags = shown_flags(task)
    seen = (
        (PF_FORKNOEXEC, AcctFlag.AFORK),
        (PF_SUPERPRIV, AcctFlag.ASU),
        (PF_DUMPCORE, AcctFlag.ACORE),
        (PF_SIGNALED, AcctFlag.AXSIG),
    )
    return sum(int(noted) for flag, noted in seen if flags & flag)
