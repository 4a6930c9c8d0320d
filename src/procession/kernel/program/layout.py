"""Where the parts of a new program lie: its mappings, its code, its data and its heap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.personality import PersonalityFlag
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK
from procession.hardware.translation.layout import RESERVED
from procession.kernel.program.elf import ET_DYN, PIE_BASE
from procession.kernel.program.personality import personality_after
from procession.kernel.rlimit import RLIMIT_STACK
from procession.mm.unmapped_area import LEGACY_BASE
from procession.mm.vma import STACK_GUARD_GAP

if TYPE_CHECKING:
    from procession.kernel.program.elf import ElfProgram, LoadedImage
    from procession.kernel.security.credentials import ExecCredentials
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor

_ADDR_COMPAT_LAYOUT = int(PersonalityFlag.ADDR_COMPAT_LAYOUT)
_SHORTEST_STACK, _LONGEST_STACK = 128 << 20, pte.USER_END // 6 * 5
"""How much room is left for the stack at least, and at most."""
(_RESERVED_START, _RESERVED_END), _ = RESERVED
_SECURE_STACK = 8 << 20
"""What a program with more rights than its caller has at most (in Linux, _STK_LIM)."""


def pick_mmap_layout(task: Task, mm: MemoryDescriptor, gained: ExecCredentials) -> None:
    """Let mappings go downwards from below the stack, or upwards if the caller or the machine wants it so.

    Nothing is at random: the base depends on RLIMIT_STACK alone. Linux: arch/x86/mm/mmap.c,
    arch_pick_mmap_layout, mmap_base, mmap_is_legacy.
    """
    if task.kernel.uses_legacy_layout or personality_after(task, gained) & _ADDR_COMPAT_LAYOUT:
        mm.grows_up, mm.mmap_base = True, LEGACY_BASE
        return
    stack = mm.limits.soft[RLIMIT_STACK]
    if gained.is_secure:
        stack = min(stack, _SECURE_STACK)
    gap = min(max(stack + STACK_GUARD_GAP, _SHORTEST_STACK), _LONGEST_STACK)
    mm.mmap_base = (stack_end(mm) - gap + PAGE_MASK) & ~PAGE_MASK


def stack_end(mm: MemoryDescriptor) -> int:
    """Where the stack begins to grow from: the end of user space, or below what the native engine has near
    there if it may grow as far as that.

    On Linux it's anywhere in the last 16 GiB. Linux: mm/util.c, randomize_stack_top.
    """
    room = pte.USER_END - _RESERVED_END - STACK_GUARD_GAP
    return pte.USER_END if mm.limits.soft[RLIMIT_STACK] <= room else _RESERVED_START


def note_layout(mm: MemoryDescriptor, program: ElfProgram, image: LoadedImage) -> None:
    """Where code, data and heap are, for /proc and brk."""
    loads = program.loads
    code = [load for load in loads if load.flags & 1]
    data = loads[-1]
    mm.code_start = min((load.address for load in code), default=0) + image.bias
    mm.code_end = max((load.address + load.file_size for load in code), default=0) + image.bias
    mm.data_start = data.address + image.bias
    mm.data_end = data.address + data.file_size + image.bias
    mm.heap_start = mm.brk = (image.end + PAGE_MASK) & ~PAGE_MASK
    if program.kind == ET_DYN and program.interpreter is None:
        # It lies among the mappings: its heap goes elsewhere. Linux: fs/binfmt_elf.c, load_elf_binary.
        mm.heap_start = mm.brk = PIE_BASE
