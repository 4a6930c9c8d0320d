"""What the host must have for code to be translated and run on it."""

from __future__ import annotations

import os
from functools import cache
from itertools import islice

from procession.hardware.translation.layout import FEWER_RETURN_BITS, RETURN_BITS

_NEEDED_FLAGS = (
    *("abm", "aes", "avx", "avx2", "bmi1", "bmi2", "erms", "f16c", "fma", "movbe", "pclmulqdq", "popcnt"),
    *("ssse3", "sse4_1", "sse4_2", "fsgsbase", "xsave"),
)
"""What a program is told of that not all processors have, and what stubs use themselves."""

_SLOW_MAKERS, _SLOW_FAMILIES = ("AuthenticAMD", "HygonGenuine"), ("21", "23", "24")
"""Those whose pext is a loop in microcode: Excavator, Zen, Zen 2."""
_FIRST_LINES = 8


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


@cache
def extracts_bits_slowly() -> bool:
    """Whether the host's processor takes dozens of cycles for `pext`."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            told = [line.partition(":") for line in islice(file, _FIRST_LINES)]
    except OSError:
        return True
    values = {name.strip(): value.strip() for name, _, value in told}
    return values.get("vendor_id") in _SLOW_MAKERS and values.get("cpu family") in _SLOW_FAMILIES


def return_bits() -> int:
    """The bits of an address that say which place a return has: translated code has them."""
    return FEWER_RETURN_BITS if extracts_bits_slowly() else RETURN_BITS
