"""What SIOCETHTOOL tells of an interface, of which there is no hardware behind any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EOPNOTSUPP
from procession.abi.ethtool import EthtoolCommand
from procession.abi.word import Words
from procession.net.link.interface import BRIDGE, DUMMY, VETH

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

_VALUE = Words("<II")
_TIMESTAMPS = Words("<IIiI12xI12x")
"""struct ethtool_ts_info: the command, which times there are, a clock's number, what is stamped."""
_SETTINGS = Words("<IIIHBBBBBBIIHBBI8x")
"""struct ethtool_cmd."""
_OF_SENT, _OF_RECEIVED, _SOFTWARE = 2, 8, 16
"""SOF_TIMESTAMPING_TX_SOFTWARE, RX_SOFTWARE and SOFTWARE."""
_NO_CLOCK = -1
_VETH_SPEED_MBIT, _FULL_DUPLEX = 10_000, 1


def answer(interface: Interface, command: int) -> bytes:
    """The structure that goes back, with the command at its beginning (in Linux, __dev_ethtool).

    Raises EOPNOTSUPP.
    """
    if command == EthtoolCommand.ETHTOOL_GLINK and interface.kind != DUMMY:
        return _VALUE.pack(command, interface.is_up and interface.has_carrier)
    if command == EthtoolCommand.ETHTOOL_GET_TS_INFO:
        told = _OF_RECEIVED | _SOFTWARE
        if interface.kind != BRIDGE:
            told |= _OF_SENT
        return _TIMESTAMPS.pack(command, told, _NO_CLOCK, 0, 0)
    if command == EthtoolCommand.ETHTOOL_GSET and interface.kind == VETH:
        return _SETTINGS.pack(command, 0, 0, _VETH_SPEED_MBIT, _FULL_DUPLEX, *(0,) * 11)
    raise EOPNOTSUPP("no such hardware")
