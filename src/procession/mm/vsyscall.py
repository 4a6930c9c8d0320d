"""Where the vsyscall page is, which no table of pages maps: it's in the maps, and programs may jump there."""

from __future__ import annotations

from typing import Final

from procession.hardware.physical_memory import PAGE_SHIFT
from procession.mm.vma import PROT_EXEC, VirtualMemoryArea

VSYSCALL_ADDRESS: Final = 0xFFFF_FFFF_FF60_0000
VSYSCALL_PAGE: Final = VSYSCALL_ADDRESS >> PAGE_SHIFT
GATE: Final = VirtualMemoryArea(
    VSYSCALL_ADDRESS, VSYSCALL_ADDRESS + (1 << PAGE_SHIFT), PROT_EXEC, name=b"[vsyscall]"
)
"""What maps and smaps show of it (in Linux, gate_vma)."""
