"""Routes as ioctl(2) is told them: SIOCADDRT, SIOCDELRT."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag


class RouteFlag(IntFlag):
    """RTF_*: what a struct rtentry or in6_rtmsg says of its route."""

    RTF_UP = 0x0001
    RTF_GATEWAY = 0x0002
    RTF_HOST = 0x0004
    RTF_MTU = 0x0040
    RTF_REJECT = 0x0200
    RTF_CACHE = 0x01000000
