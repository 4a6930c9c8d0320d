"""The heap that brk(2) moves the end of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENOMEM, EPERM
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SIZE
from procession.mm.area_map import RLIM_INFINITY, RLIMIT_DATA
from procession.mm.vma import PROT_READ, PROT_WRITE, VirtualMemoryArea, future_lock

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor


def set_brk(mm: MemoryDescriptor, address: int, protection: int = PROT_READ | PROT_WRITE) -> int:
    """Move the end of the heap, with `protection` for what is new; where it is afterwards.

    It is unmoved if it can't be moved. Linux: mm/mmap.c, SYSCALL_DEFINE1(brk).
    """
    if address < mm.heap_start:
        return mm.brk
    limit = mm.limits.soft[RLIMIT_DATA]
    # Linux: include/linux/mm.h, check_data_rlimit.
    if limit != RLIM_INFINITY and address - mm.heap_start + mm.data_end - mm.data_start > limit:
        return mm.brk
    old_end = (mm.brk + PAGE_MASK) & ~PAGE_MASK
    new_end = (address + PAGE_MASK) & ~PAGE_MASK
    if new_end < old_end:
        try:
            mm.unmap(new_end, old_end)
        except EPERM:
            return mm.brk
    elif new_end > old_end:
        if new_end > pte.USER_END or mm.areas_in(old_end, new_end + PAGE_SIZE):
            return mm.brk
        flags = future_lock(mm.locks_future)
        heap = VirtualMemoryArea(old_end, new_end, protection, name=b"[heap]", flags=flags)
        try:
            mm.map(heap)
        except ENOMEM:
            return mm.brk
    mm.brk = address
    return address
