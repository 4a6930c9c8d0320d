"""Commands of SIOCETHTOOL, as ethtool(8) uses them."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum


class EthtoolCommand(IntEnum):
    """The first number in the structure that the request points to."""

    ETHTOOL_GSET = 0x1
    ETHTOOL_GLINK = 0xA
    ETHTOOL_GET_TS_INFO = 0x41
