"""Which kinds of socket of the internet's families there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EINVAL, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from procession.abi.socket import AddressFamily, IpProtocol, SocketType
from procession.net.internet.raw import PingSocket, RawSocket
from procession.net.internet.tcp import TcpSocket
from procession.net.internet.udp import UdpSocket
from procession.net.raw_permission import check_raw

if TYPE_CHECKING:
    from procession.net.network import Network
    from procession.net.socket import Socket

_INET = int(AddressFamily.AF_INET)
_INET6 = int(AddressFamily.AF_INET6)
_ICMP = int(IpProtocol.IPPROTO_ICMP)
_ICMP6 = int(IpProtocol.IPPROTO_ICMPV6)
_TCP = int(IpProtocol.IPPROTO_TCP)
_UDP = int(IpProtocol.IPPROTO_UDP)
_UDP_LITE = int(IpProtocol.IPPROTO_UDPLITE)
_LAST_PROTOCOL = 262
_STREAM = int(SocketType.SOCK_STREAM)
_DATAGRAM = int(SocketType.SOCK_DGRAM)
_RAW = int(SocketType.SOCK_RAW)


def create_internet(network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> Socket:
    """A new socket of AF_INET or AF_INET6. Raises ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL, EPERM, EACCES.

    Linux: net/ipv4/af_inet.c, inet_create; net/ipv6/af_inet6.c, inet6_create.
    """
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
        check_raw(network)
        return RawSocket(network, family, kind, protocol, owner_uid)
    if kind in (_STREAM, _DATAGRAM, _RAW):
        raise EPROTONOSUPPORT
    raise ESOCKTNOSUPPORT


def _check_ping(network: Network) -> None:
    """Linux: net/ipv4/ping.c, ping_init_sock."""
    caller = network.host.current
    assert caller is not None
    first, last = network.sysctls.ping_groups
    credentials = caller.credentials
    if not any(first <= group <= last for group in (credentials.egid, *credentials.groups)):
        raise EACCES("no group of the caller's may send echo requests (net.ipv4.ping_group_range)")
