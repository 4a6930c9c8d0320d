"""What the kernel has gone through that makes what it says afterwards doubtful, as root may say too."""

from __future__ import annotations

from typing import Final

TAINT_FLAGS: Final = b"PFSRMBUDAWCIOELKXTN"
"""A letter for each bit of kernel.tainted (Linux: kernel/panic.c, taint_flags)."""
_IS_FREE: Final = b"G"
"""In the first one's place where it isn't set."""
_MEANINGS: Final = (
    *("PROPRIETARY_MODULE", "FORCED_MODULE", "CPU_OUT_OF_SPEC", "FORCED_RMMOD", "MACHINE_CHECK", "BAD_PAGE"),
    *("USER", "DIE", "OVERRIDDEN_ACPI_TABLE", "WARN", "CRAP", "FIRMWARE_WORKAROUND", "OOT_MODULE"),
    *("UNSIGNED_MODULE", "SOFTLOCKUP", "LIVEPATCH", "AUX", "RANDSTRUCT", "TEST"),
)


def known_taints(value: int) -> int:
    """Those of the bits of `value` that there are."""
    return value & (1 << len(TAINT_FLAGS)) - 1


def show_taints(taints: int) -> bytes:
    """All of them by their letters. Linux: kernel/panic.c, print_tainted."""
    if not taints:
        return b"Not tainted"
    return b"Tainted: " + b"".join(
        TAINT_FLAGS[bit : bit + 1] if taints >> bit & 1 else b" " if bit else _IS_FREE
        for bit in range(len(TAINT_FLAGS))
    )


def explain_taints(taints: int) -> bytes:
    """Those that are set by their meanings. Linux: kernel/panic.c, print_tainted_verbose."""
    meanings = [
        f"[{TAINT_FLAGS[bit : bit + 1].decode()}]={meaning}"
        for bit, meaning in enumerate(_MEANINGS)
        if taints >> bit & 1
    ]
    return b"Tainted: " + ", ".join(meanings).encode()
