"""The entries of x86-64 page tables: what the processor's own walk reads from the page frames."""

from __future__ import annotations

from typing import Final

PRESENT: Final = 1 << 0
WRITABLE: Final = 1 << 1
USER: Final = 1 << 2
ACCESSED: Final = 1 << 5
DIRTY: Final = 1 << 6
SHARED: Final = 1 << 9
"""A bit that the processor ignores: the page belongs to a shared mapping, so fork leaves it writable."""
CACHED: Final = 1 << 10
"""Another: the frame belongs to a page cache, which keeps it as long as any area maps that cache; the entry
holds no reference."""
LAZY: Final = 1 << 11
"""A third: the page may be taken when memory is short. It isn't writable: the first write keeps it."""
NO_EXECUTE: Final = 1 << 63

ADDRESS_MASK: Final = 0x000F_FFFF_FFFF_F000
ENTRIES: Final = 512
LEAF_SHIFT: Final = 21
"""A leaf table maps 2 MiB: addresses with the same `address >> LEAF_SHIFT` share one."""

TABLE: Final = PRESENT | WRITABLE | USER | ACCESSED
"""An entry of an upper table that points to the next one; access is limited by the leaf's entries."""

USER_END: Final = 0x7FFF_FFFF_F000
"""The first address past user space (in Linux, TASK_SIZE_MAX with four levels)."""
