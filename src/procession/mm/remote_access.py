"""An address space as a tracer reads and writes it, whatever the protection of its pages (FOLL_FORCE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, ZERO_FRAME, OutOfFrames
from procession.mm.user_fault import GUARDED, POISONED, mark_of, reason_to_wait
from procession.mm.vma import PROT_WRITE, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor


def is_secret(area: VirtualMemoryArea) -> bool:
    """Whether only the program itself reaches what is mapped there. Linux: include/linux/secretmem.h,
    vma_is_secretmem.
    """
    return area.pages is not None and area.pages.is_secret


def read_forced(mm: MemoryDescriptor, address: int, length: int) -> bytes:
    """`length` bytes at `address`, fewer where nothing is mapped: pages without rights are read too,
    and nothing is brought in.

    Linux: mm/memory.c, __access_remote_vm.
    """
    parts: list[bytes] = []
    while length > 0:
        count = min(length, PAGE_SIZE - (address & PAGE_MASK))
        area = mm.find(address) if 0 <= address < pte.USER_END else None
        if area is None or is_secret(area):
            break
        data = _read_page(mm, area, address, count)
        if data is None:
            break
        parts.append(data)
        address += count
        length -= count
    return b"".join(parts)


def _read_page(mm: MemoryDescriptor, area: VirtualMemoryArea, address: int, count: int) -> bytes | None:
    entry = mm.tables.entry(address >> PAGE_SHIFT)
    if entry & pte.PRESENT:
        base = (entry & pte.ADDRESS_MASK) + (address & PAGE_MASK)
        return mm.bytes[base : base + count]
    if waits_for_user(mm, area, address, is_write=False):
        return None
    if area.pages is None:
        return bytes(count)
    if area.page_index(address) > area.last_index:
        return None
    return area.pages.read((area.page_index(address) << PAGE_SHIFT) + (address & PAGE_MASK), count)


def waits_for_user(mm: MemoryDescriptor, area: VirtualMemoryArea, address: int, *, is_write: bool) -> bool:
    """Whether a program would have to handle the fault first, for which nobody waits in this way of access.

    It can't let go of the lock of the address space. Linux: mm/gup.c, get_user_pages_remote.
    """
    if area.user_faults is None and mm.page_marks is None:
        return False
    page = address >> PAGE_SHIFT
    if mark_of(mm, page) & (POISONED | GUARDED) and not mm.tables.entry(page):
        return True
    return area.user_faults is not None and reason_to_wait(mm, area, address, is_write=is_write) != 0


def write_forced(mm: MemoryDescriptor, address: int, data: bytes) -> int:
    """Put `data` at `address`; how many bytes, fewer where that can't be.

    A private page that may not be written is copied and stays so; one that is shared isn't written.
    Linux: mm/memory.c, __access_remote_vm; mm/gup.c, check_vma_flags.
    """
    done = 0
    while done < len(data):
        count = min(len(data) - done, PAGE_SIZE - (address & PAGE_MASK))
        area = mm.find(address) if 0 <= address < pte.USER_END else None
        if area is None or is_secret(area):
            break
        part = data[done : done + count]
        try:
            if area.protection & PROT_WRITE:
                if waits_for_user(mm, area, address, is_write=True):
                    break
                mm.write(address, part)
            elif area.is_shared or not _write_private(mm, area, address, part):
                break
        except (EFAULT, OutOfFrames):
            break
        address += count
        done += count
    return done


def _write_private(mm: MemoryDescriptor, area: VirtualMemoryArea, address: int, data: bytes) -> bool:
    """Write to a page that the program may not write to: to a copy of its own, if it isn't one already."""
    memory = mm.memory
    page = address >> PAGE_SHIFT
    is_absent = not mm.tables.entry(page) & pte.PRESENT
    if is_absent and mark_of(mm, page) & (POISONED | GUARDED):
        return False
    if is_absent and area.pages is not None and area.page_index(address) > area.last_index:
        return False
    leaf = mm.tables.own_leaf(page >> 9)
    slot = (leaf << 9) + (page & 511)
    entry = mm.words[slot]
    bits = area.entry_bits() & ~pte.WRITABLE
    if not entry:
        frame = (
            memory.allocate()
            if area.pages is None
            else memory.allocate_copy(area.pages.frame(area.page_index(address)))
        )
        mm.words[slot] = frame << PAGE_SHIFT | bits
        memory.counted[leaf][page & 511] = None
        mm.resident_pages += 1
        mm.peak_resident_pages = max(mm.peak_resident_pages, mm.resident_pages)
    else:
        frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
        if entry & pte.CACHED or memory.references[frame] > 1:
            if frame == ZERO_FRAME:
                mm.resident_pages += 1
                mm.peak_resident_pages = max(mm.peak_resident_pages, mm.resident_pages)
            old, frame = frame, memory.allocate_copy(frame)
            mm.words[slot] = frame << PAGE_SHIFT | bits
            if entry & pte.CACHED:
                memory.counted[leaf][page & 511] = None
            else:
                memory.release(old)
        else:
            mm.words[slot] = entry & ~pte.LAZY
    if not bits & pte.NO_EXECUTE:
        memory.executable.add(frame)
    base = (frame << PAGE_SHIFT) + (address & PAGE_MASK)
    mm.bytes[base : base + len(data)] = data
    memory.translations_changed(mm.tables.root, page << PAGE_SHIFT, (page + 1) << PAGE_SHIFT)
    memory.code_changed(frame)
    return True
