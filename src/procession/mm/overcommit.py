"""How much memory programs may be promised: private memory that they may write, whether they do or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.errno import ENOMEM
from procession.hardware.overcommit import Overcommit
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.mm.area_map import AreaMap
from procession.mm.vma import ACCOUNTED

if TYPE_CHECKING:
    from procession.hardware.physical_memory import PhysicalMemory

_GUESS: Final = int(Overcommit.GUESS)
_ALWAYS: Final = int(Overcommit.ALWAYS)
_NEVER: Final = int(Overcommit.NEVER)
_KB_SHIFT: Final = PAGE_SHIFT - 10
_SHARE_SHIFT: Final = 5
"""A program leaves free one in 1 << that of the pages that it has (of its reserve at most)."""


def committed_pages(memory: PhysicalMemory) -> int:
    """How many pages are promised to all programs. Linux: mm/util.c, vm_memory_committed."""
    return sum(promised_pages(space) for space in memory.address_spaces if isinstance(space, AreaMap))


def promised_pages(space: AreaMap) -> int:
    """How many are promised to one."""
    space.note_areas(space.areas.length)
    return sum(area.size for area in space.areas if area.flags & ACCOUNTED) >> PAGE_SHIFT


def commit_limit(memory: PhysicalMemory) -> int:
    """How many may be, where nothing more is promised. Linux: mm/util.c, vm_commit_limit."""
    rule = memory.commit_rule
    if rule.kbytes:
        return rule.kbytes >> _KB_SHIFT
    return memory.frame_count * rule.ratio // 100


def check_commit(space: AreaMap, pages: int, promised_besides: int = 0) -> None:
    """Raise ENOMEM if `pages` more can't be promised to the program, beside those that are about to be.

    Linux: mm/util.c, __vm_enough_memory.
    """
    memory = space.memory
    rule = memory.commit_rule
    if rule.mode == _ALWAYS:
        return
    if rule.mode == _GUESS:
        if pages > memory.frame_count:
            raise ENOMEM("more than the machine's memory")
        return
    own_share = min(space.total_pages >> _SHARE_SHIFT, rule.reserve_kbytes >> _KB_SHIFT)
    kept = rule.kept_kbytes >> _KB_SHIFT
    if committed_pages(memory) + promised_besides + pages >= commit_limit(memory) - own_share - kept:
        raise ENOMEM("more than may be promised (vm.overcommit_memory)")


def check_copy(space: AreaMap) -> None:
    """Raise ENOMEM if what is promised to a program can't be promised to a child too.

    Linux: kernel/fork.c, dup_mmap.
    """
    if space.memory.commit_rule.mode == _NEVER:
        check_commit(space, promised_pages(space))


def takes_no_reserve(memory: PhysicalMemory) -> bool:
    """Whether MAP_NORESERVE says anything: nothing is promised, then. Linux: mm/mmap.c, do_mmap."""
    return memory.commit_rule.mode != _NEVER
