"""Netlink sockets that hear of devices: NETLINK_KOBJECT_UEVENT, as udev reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EPERM
from procession.abi.netlink import NetlinkProtocol
from procession.net.netlink.socket import NetlinkSocket

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.netlink.attributes import Answer, Request
    from procession.net.network import Network

_PROTOCOL = int(NetlinkProtocol.NETLINK_KOBJECT_UEVENT)
_CAP_SYS_ADMIN = int(Capability.CAP_SYS_ADMIN)
_GROUP = 1


class UeventSocket(NetlinkSocket):
    """A socket of NETLINK_KOBJECT_UEVENT (Linux: lib/kobject_uevent.c)."""

    __slots__ = ()

    def answer_to(self, request: Request) -> Answer:
        """Who administrates the network may tell its listeners of an event of his own. Raises EPERM.

        Linux: lib/kobject_uevent.c, uevent_net_rcv_skb, uevent_net_broadcast.
        """
        if not request.credentials.ns_capable(request.network.owner, _CAP_SYS_ADMIN):
            raise EPERM("CAP_SYS_ADMIN is needed")
        number = b"SEQNUM=%d\0" % next_number(request.network)
        _broadcast(request.network, request.body + number)
        return []

    def lists_all(self, request: Request) -> bool:
        return False


def next_number(network: Network) -> int:
    """The number of the next event: /sys/kernel/uevent_seqnum."""
    system = network.system
    system.uevent_count += 1
    return system.uevent_count


def _broadcast(network: Network, message: bytes) -> None:
    for (protocol, _), socket in list(network.netlink_sockets.items()):
        if protocol == _PROTOCOL and socket.groups & _GROUP:
            socket.tell(message, _GROUP)


def tell_of_device(
    network: Network, interface: Interface, action: bytes, more: tuple[bytes, ...] = ()
) -> None:
    """An interface was made ("add") or deleted ("remove"), or somebody says so, which `more` tells.

    Linux: net/core/net-sysfs.c, netdev_uevent.
    """
    number = next_number(network)
    path = b"/devices/virtual/net/" + interface.name
    fields = (
        action + b"@" + path,
        b"ACTION=" + action,
        b"DEVPATH=" + path,
        b"SUBSYSTEM=net",
        *more,
        b"INTERFACE=" + interface.name,
        b"IFINDEX=%d" % interface.index,
        b"SEQNUM=%d" % number,
    )
    _broadcast(network, b"\0".join(fields) + b"\0")
