"""What personality(2) changes in the kernel's ways with a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.personality import PER_CLEAR_ON_SETID, PersonalityFlag
from procession.mm.vma import PROT_EXEC, PROT_READ

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.security.credentials import ExecCredentials
    from procession.kernel.task import Task

READ_IMPLIES_EXEC: Final = int(PersonalityFlag.READ_IMPLIES_EXEC)


def personality_after(task: Task, gained: ExecCredentials) -> int:
    """The caller's personality once it has executed a program by which it becomes `gained`.

    Linux: fs/exec.c, begin_new_exec; include/linux/elf.h, SET_PERSONALITY2.
    """
    return task.personality & ~(PER_CLEAR_ON_SETID if gained.clears_personality else READ_IMPLIES_EXEC)


def effective_protection(task: Task, protection: int, file: File | None = None) -> int:
    """The PROT_* bits that a mapping of `file` gets: what can be read can be executed, for old programs.

    Linux: mm/mmap.c, do_mmap; mm/mprotect.c, do_mprotect_pkey (READ_IMPLIES_EXEC).
    """
    if not task.personality & READ_IMPLIES_EXEC or not protection & PROT_READ:
        return protection
    is_noexec = file is not None and file.path.mount.is_noexec
    return protection if is_noexec else protection | PROT_EXEC
