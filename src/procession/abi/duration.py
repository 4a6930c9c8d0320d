"""How long a second is, in the unit of the kernel's clocks."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
"""Linux's NSEC_PER_SEC."""
