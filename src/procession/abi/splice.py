"""splice(2), tee(2), vmsplice(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag


class SpliceFlag(IntFlag):
    """splice(2)."""

    SPLICE_F_MOVE = 1
    SPLICE_F_NONBLOCK = 2
    SPLICE_F_MORE = 4
    SPLICE_F_GIFT = 8
