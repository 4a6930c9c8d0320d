"""What the host must have for code to be translated and run on it."""

from __future__ import annotations

import os

_NEEDED_FLAGS = (
    *("abm", "aes", "avx", "avx2", "bmi1", "bmi2", "erms", "f16c", "fma", "movbe", "pclmulqdq", "popcnt"),
    *("ssse3", "sse4_1", "sse4_2", "fsgsbase", "xsave"),
)
"""What a program is told of that not all processors have, and what stubs use themselves."""


def what_host_lacks() -> str | None:
    """What this host lacks for the native engine, as far as can be seen without a stub; None if nothing."""
    if os.uname().machine != "x86_64" or os.uname().sysname != "Linux":
        return "the host isn't Linux on x86-64"
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    except OSError as error:
        return f"/proc/cpuinfo can't be read: {error.strerror}"
    missing = [flag for flag in _NEEDED_FLAGS if flag not in flags]
    if missing:
        return f"the host's processor has no {', '.join(missing)}"
    return None
