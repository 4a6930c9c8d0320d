"""The kinds of socket that few programs ask for: packet sockets, and netlink's but for routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EPROTONOSUPPORT, ESOCKTNOSUPPORT
from procession.abi.netlink import NetlinkProtocol
from procession.abi.socket import SocketType
from procession.net.diag.socket import DiagSocket
from procession.net.netfilter.socket import NetfilterSocket
from procession.net.netlink.connector import ConnectorSocket
from procession.net.netlink.generic import GenericSocket
from procession.net.netlink.uevent import UeventSocket
from procession.net.netlink.user import UserSocket
from procession.net.packet.obsolete import ObsoletePacketSocket
from procession.net.packet.socket import PacketSocket
from procession.net.raw_permission import check_raw

if TYPE_CHECKING:
    from procession.net.network import Network
    from procession.net.socket import Socket

_GENERIC = int(NetlinkProtocol.NETLINK_GENERIC)
_CONNECTOR = int(NetlinkProtocol.NETLINK_CONNECTOR)
_SOCK_DIAG = int(NetlinkProtocol.NETLINK_SOCK_DIAG)
_NETFILTER = int(NetlinkProtocol.NETLINK_NETFILTER)
_UEVENT = int(NetlinkProtocol.NETLINK_KOBJECT_UEVENT)
_USER = int(NetlinkProtocol.NETLINK_USERSOCK)
_DATAGRAM = int(SocketType.SOCK_DGRAM)
_RAW = int(SocketType.SOCK_RAW)
_PACKET = int(SocketType.SOCK_PACKET)


def create_packet(network: Network, kind: int, protocol: int, owner_uid: int) -> Socket:
    """A new socket of AF_PACKET. Raises EPERM, ESOCKTNOSUPPORT.

    Linux: net/packet/af_packet.c, packet_create.
    """
    check_raw(network)
    if kind not in (_DATAGRAM, _RAW, _PACKET):
        raise ESOCKTNOSUPPORT
    made = ObsoletePacketSocket if kind == _PACKET else PacketSocket
    # The protocol is in network byte order.
    return made(network, kind, (protocol & 0xFF) << 8 | protocol >> 8 & 0xFF, owner_uid)


def create_netlink(network: Network, kind: int, protocol: int, owner_uid: int) -> Socket:
    """A new socket of AF_NETLINK, not for routes. Raises EPROTONOSUPPORT."""
    if protocol == _SOCK_DIAG:
        return DiagSocket(network, kind, protocol, owner_uid)
    if protocol == _GENERIC:
        return GenericSocket(network, kind, protocol, owner_uid)
    if protocol == _NETFILTER:
        return NetfilterSocket(network, kind, protocol, owner_uid)
    if protocol == _UEVENT:
        return UeventSocket(network, kind, protocol, owner_uid)
    if protocol == _USER:
        return UserSocket(network, kind, protocol, owner_uid)
    if protocol == _CONNECTOR:
        return ConnectorSocket(network, kind, protocol, owner_uid)
    raise EPROTONOSUPPORT
