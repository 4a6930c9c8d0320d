"""Protection keys: pkey_alloc, pkey_free, pkey_mprotect on a processor that has none.

Linux is built for them nevertheless, as it runs on processors with them too. What it keeps of the keys of an
address space begins as zeros there, by which key 0 is free and what can only be executed has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOSPC
from procession.abi.mmap_flags import PkeyRight, Protection
from procession.syscalls.declaration import syscall
from procession.syscalls.memory import protect
from procession.syscalls.parameters import Address, Int, LongFlags, Size

if TYPE_CHECKING:
    from procession.kernel.task import Task

_RIGHTS = int(sum(PkeyRight))


@syscall(329)
def pkey_mprotect(
    task: Task, address: Address, length: Size, protection: LongFlags[Protection], key: Int
) -> int:
    """pkey_mprotect(2): no key but -1 is anybody's."""
    return protect(task, address, length, protection, key)


@syscall(330)
def pkey_alloc(task: Task, flags: Size, rights: LongFlags[PkeyRight]) -> int:
    """pkey_alloc(2): always refused. The only key is found to be of no use once it has been taken, and can't
    be given back, as it's the one of what can only be executed: so there is none the next time.

    Linux: mm/mprotect.c, SYSCALL_DEFINE2(pkey_alloc); arch/x86/include/asm/pkeys.h, mm_pkey_alloc.
    """
    if flags or rights & ~_RIGHTS:
        raise EINVAL("there are no flags, or unknown rights")
    if task.mm.has_used_key:
        raise ENOSPC("the only key has been taken")
    task.mm.has_used_key = True
    raise EINVAL("the processor has no protection keys")


@syscall(331)
def pkey_free(task: Task, key: Int) -> int:
    """pkey_free(2): no key is anybody's. Linux: mm/mprotect.c, SYSCALL_DEFINE1(pkey_free)."""
    raise EINVAL(f"key {key} isn't the caller's")
