"""/proc/zoneinfo and buddyinfo: the machine's memory as Linux divides it, one node and one zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.physical_memory import PAGE_SHIFT

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

FIRST_PFN = 1
"""The number by which user space knows the first page frame, as the one at address 0 is the BIOS's: tools
take 0 for no frame. Linux: arch/x86/kernel/setup.c, trim_bios_range.
"""
_BLOCK_ORDERS = 11
_KIB_PER_PAGE_SHIFT = PAGE_SHIFT - 10
_LEAST_MINIMUM_KIB, _MOST_MINIMUM_KIB = 128, 262_144
_SCALE_FACTOR, _WHOLE = 10, 10_000
"""vm.watermark_scale_factor: the marks lie so many of ten thousand of the memory apart."""


def show_free_blocks(kernel: Kernel) -> bytes:
    """/proc/buddyinfo: free frames, as blocks of powers of two. Linux: mm/vmstat.c, frag_show_print.

    Nothing here keeps them in blocks: they're shown as few as they could be.
    """
    free, counts = kernel.memory.free_frames, []
    for order in reversed(range(_BLOCK_ORDERS)):
        counts.append(free >> order)
        free &= (1 << order) - 1
    return b"Node 0, zone   Normal " + b"".join(b"%6d " % count for count in reversed(counts)) + b"\n"


def _watermarks(frame_count: int) -> tuple[int, int, int, int]:
    """min, low, high and promo of a zone, in pages. Linux: mm/page_alloc.c, __setup_per_zone_wmarks,
    calculate_min_free_kbytes.
    """
    kib = frame_count << _KIB_PER_PAGE_SHIFT
    least_kib = min(max(int((kib * 16) ** 0.5), _LEAST_MINIMUM_KIB), _MOST_MINIMUM_KIB)
    least = least_kib >> _KIB_PER_PAGE_SHIFT
    step = max(least >> 2, frame_count * _SCALE_FACTOR // _WHOLE)
    return least, least + step, least + 2 * step, least + 3 * step


def show_zones(kernel: Kernel) -> bytes:
    """/proc/zoneinfo: what of it is counted. Linux: mm/vmstat.c, zoneinfo_show_print."""
    memory = kernel.memory
    total = memory.frame_count
    least, low, high, promo = _watermarks(total)
    lines = [
        b"Node 0, zone   Normal\n",
        b"  pages free     %d\n" % memory.free_frames,
        b"        boost    0\n",
        b"        min      %d\n        low      %d\n" % (least, low),
        b"        high     %d\n        promo    %d\n" % (high, promo),
        b"        spanned  %d\n        present  %d\n        managed  %d\n" % (total, total, total),
        b"        cma      0\n",
        b"        protection: (0, 0, 0, 0)\n",
        b"      nr_free_pages %d\n" % memory.free_frames,
        b"  pagesets\n",
    ]
    for number in range(len(kernel.scheduler.processors)):
        lines.append(b"    cpu: %d\n              count:    0\n              high:     0\n" % number)
        lines.append(b"              batch:    1\n")
    lines.append(b"  node_unreclaimable:  0\n  start_pfn:           %d\n" % FIRST_PFN)
    return b"".join(lines)
