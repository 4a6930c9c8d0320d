"""What belongs to the kind of an interface, and to its master's: IFLA_INFO_DATA and IFLA_INFO_SLAVE_DATA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EOPNOTSUPP
from procession.abi.netlink import VETH_INFO_PEER, Ifinfomsg, LinkAttribute, LinkInformation
from procession.net.link.interface import BRIDGE, VETH
from procession.net.netlink.bridge_options import BRIDGE_EXPECTED, change_bridge
from procession.net.netlink.bridge_ports import PORT_EXPECTED, change_port
from procession.net.netlink.policy import at_least, check_nested

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.netlink.attributes import Request

_INFORMATION = int(LinkAttribute.IFLA_LINKINFO)
_DATA, _SLAVE_DATA = int(LinkInformation.IFLA_INFO_DATA), int(LinkInformation.IFLA_INFO_SLAVE_DATA)
_VETH_EXPECTED = {VETH_INFO_PEER: at_least(Ifinfomsg.SIZE)}
"""Linux: drivers/net/veth.c, veth_policy."""


def check_kind(request: Request, kind: bytes | None) -> None:
    """What is said of a bridge or a veth is as it has to be, whichever is meant. Raises ERANGE, EINVAL."""
    expected = BRIDGE_EXPECTED if kind == BRIDGE else _VETH_EXPECTED if kind == VETH else None
    if expected is not None:
        check_nested(request, (_INFORMATION, _DATA), Ifinfomsg.SIZE, expected)


def change_kind(
    request: Request, interface: Interface, kind: bytes | None, information: dict[int, bytes]
) -> None:
    """Set what is said of `interface`. Raises EOPNOTSUPP, EINVAL, ERANGE ...

    Linux: net/core/rtnetlink.c, __rtnl_newlink.
    """
    data, slave_data = information.get(_DATA), information.get(_SLAVE_DATA)
    if data is not None:
        if interface.bridge is None or kind != BRIDGE:
            raise EOPNOTSUPP("what belongs to the kind stays")
        change_bridge(interface, data)
        interface.network.link_changed(interface)
    if slave_data is not None:
        if interface.master is None:
            raise EOPNOTSUPP("no port")
        check_nested(request, (_INFORMATION, _SLAVE_DATA), Ifinfomsg.SIZE, PORT_EXPECTED)
        change_port(interface, slave_data)
        interface.network.link_changed(interface)
