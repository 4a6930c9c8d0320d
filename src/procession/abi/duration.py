"""How long a second and its parts are, in the unit of the kernel's clocks."""

from __future__ import annotations

from typing import Final

NS_PER_S: Final = 1_000_000_000
"""Linux's NSEC_PER_SEC."""
NS_PER_MS: Final = 1_000_000
NS_PER_US: Final = 1000
US_PER_S: Final = 1_000_000
HZ: Final = 250
"""Linux's CONFIG_HZ: how often a second the kernel's timer ticks."""
TICK_NS: Final = NS_PER_S // HZ
NS_PER_CLOCK_TICK: Final = 10_000_000
"""What times(2), proc(5) and netlink's messages count in: a second is USER_HZ, a hundred of them."""
