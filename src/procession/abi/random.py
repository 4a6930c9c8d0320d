"""getrandom(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag


class GetrandomFlag(IntFlag):
    """getrandom(2)."""

    GRND_NONBLOCK = 1
    GRND_RANDOM = 2
    GRND_INSECURE = 4
