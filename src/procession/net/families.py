"""Which kinds of socket there are: what socket(2) makes of a family, a type and a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EACCES, EAFNOSUPPORT, EINVAL, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from procession.abi.netlink import NetlinkProtocol
from procession.abi.socket import AddressFamily, IpProtocol, SocketType
from procession.net.diag.socket import DiagSocket
from procession.net.internet.raw import PingSocket, RawSocket
from procession.net.internet.tcp import TcpSocket
from procession.net.internet.udp import UdpSocket
from procession.net.netfilter.socket import NetfilterSocket
from procession.net.netlink.generic import GenericSocket
from procession.net.netlink.socket import NetlinkSocket
from procession.net.netlink.uevent import UeventSocket
from procession.net.netlink.user import UserSocket
from procession.net.packet.socket import PacketSocket
from procession.net.unix.datagram import UnixDatagram, UnixSequenced
from procession.net.unix.stream import UnixStream

if TYPE_CHECKING:
    from procession.net.network import Network
    from procession.net.socket import Socket
    from procession.net.unix.socket import UnixSocket

_LAST_FAMILY = 46
_CAP_NET_RAW = int(Capability.CAP_NET_RAW)
_LAST_TYPE = 10
_UNIX = int(AddressFamily.AF_UNIX)
_INET = int(AddressFamily.AF_INET)
_INET6 = int(AddressFamily.AF_INET6)
_ICMP = int(IpProtocol.IPPROTO_ICMP)
_ICMP6 = int(IpProtocol.IPPROTO_ICMPV6)
_TCP = int(IpProtocol.IPPROTO_TCP)
_UDP = int(IpProtocol.IPPROTO_UDP)
_UDP_LITE = int(IpProtocol.IPPROTO_UDPLITE)
_LAST_PROTOCOL = 262
_ROUTE = int(NetlinkProtocol.NETLINK_ROUTE)
_GENERIC = int(NetlinkProtocol.NETLINK_GENERIC)
_SOCK_DIAG = int(NetlinkProtocol.NETLINK_SOCK_DIAG)
_NETFILTER = int(NetlinkProtocol.NETLINK_NETFILTER)
_UEVENT = int(NetlinkProtocol.NETLINK_KOBJECT_UEVENT)
_USER = int(NetlinkProtocol.NETLINK_USERSOCK)
_PACKET = int(AddressFamily.AF_PACKET)
_NETLINK = int(AddressFamily.AF_NETLINK)
_STREAM = int(SocketType.SOCK_STREAM)
_DATAGRAM = int(SocketType.SOCK_DGRAM)
_RAW = int(SocketType.SOCK_RAW)
_SEQUENCED = int(SocketType.SOCK_SEQPACKET)


def create_socket(network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> Socket:
    """A new socket. Raises EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL, EPERM.

    Linux: net/socket.c, __sock_create.
    """
    if not 0 <= family < _LAST_FAMILY:
        raise EAFNOSUPPORT(f"no address family {family}")
    if not 0 <= kind <= _LAST_TYPE:
        raise EINVAL(f"no socket type {kind}")
    if family == _UNIX:
        return _create_unix(network, kind, protocol, owner_uid)
    if family in (_INET, _INET6):
        return _create_internet(network, family, kind, protocol, owner_uid)
    if family == _PACKET:
        # Linux: net/packet/af_packet.c, packet_create.
        _check_raw(network)
        if kind not in (_DATAGRAM, _RAW):
            raise ESOCKTNOSUPPORT
        # The protocol is in network byte order.
        return PacketSocket(network, kind, (protocol & 0xFF) << 8 | protocol >> 8 & 0xFF, owner_uid)
    if family == _NETLINK:
        return _create_netlink(network, kind, protocol, owner_uid)
    raise EAFNOSUPPORT(f"address family {family} is not built in")


def _create_unix(network: Network, kind: int, protocol: int, owner_uid: int) -> Socket:
    """Linux: net/unix/af_unix.c, unix_create."""
    if protocol not in (0, _UNIX):
        raise EPROTONOSUPPORT
    socket: UnixSocket
    if kind == _STREAM:
        socket = UnixStream(network, kind, 0, owner_uid)
    elif kind in (_DATAGRAM, _RAW):
        # unix(7): SOCK_RAW means the same.
        socket = UnixDatagram(network, _DATAGRAM, 0, owner_uid)
    elif kind == _SEQUENCED:
        socket = UnixSequenced(network, kind, 0, owner_uid)
    else:
        raise ESOCKTNOSUPPORT
    maker = network.host.current
    if maker is not None:
        socket.domain = maker.credentials.landlock
    return socket


def _create_internet(network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> Socket:
    """Linux: net/ipv4/af_inet.c, inet_create; net/ipv6/af_inet6.c, inet6_create."""
    if not 0 <= protocol <= _LAST_PROTOCOL:
        raise EINVAL(f"no protocol {protocol}")
    if kind == _STREAM and protocol in (0, _TCP):
        return TcpSocket(network, family, kind, _TCP, owner_uid)
    if kind == _DATAGRAM and protocol in (0, _UDP, _UDP_LITE):
        return UdpSocket(network, family, kind, protocol or _UDP, owner_uid)
    if kind == _DATAGRAM and (family, protocol) in ((_INET, _ICMP), (_INET6, _ICMP6)):
        _check_ping(network)
        return PingSocket(network, family, kind, protocol, owner_uid)
    if kind == _RAW and protocol:
        _check_raw(network)
        return RawSocket(network, family, kind, protocol, owner_uid)
    if kind in (_STREAM, _DATAGRAM, _RAW):
        raise EPROTONOSUPPORT
    raise ESOCKTNOSUPPORT


def _check_raw(network: Network) -> None:
    caller = network.host.current
    assert caller is not None
    if not caller.credentials.ns_capable(network.owner, _CAP_NET_RAW):
        raise EPERM("CAP_NET_RAW is needed")


def _check_ping(network: Network) -> None:
    """Linux: net/ipv4/ping.c, ping_init_sock."""
    caller = network.host.current
    assert caller is not None
    first, last = network.sysctls.ping_groups
    credentials = caller.credentials
    if not any(first <= group <= last for group in (credentials.egid, *credentials.groups)):
        raise EACCES("no group of the caller's may send echo requests (net.ipv4.ping_group_range)")


def _create_netlink(network: Network, kind: int, protocol: int, owner_uid: int) -> Socket:
    """Linux: net/netlink/af_netlink.c, netlink_create."""
    if kind not in (_DATAGRAM, _RAW):
        raise ESOCKTNOSUPPORT
    if protocol == _ROUTE:
        return NetlinkSocket(network, kind, protocol, owner_uid)
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
    raise EPROTONOSUPPORT
