"""Who may have several frames of anonymous memory at once: what the settings in sysfs say."""

from __future__ import annotations

from enum import IntEnum


class HugePages(IntEnum):
    """Nobody, who asks (MADV_HUGEPAGE), everybody, or as it is for all sizes.

    Linux: mm/huge_memory.c, anon_enabled_store.
    """

    NEVER = 0
    MADVISE = 1
    ALWAYS = 2
    INHERIT = 3
