"""The options beyond SOL_SOCKET of Internet sockets: which levels a socket has, and whose matter each is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENOPROTOOPT, EOPNOTSUPP
from procession.abi.internet import IpOption, Ipv6Option
from procession.abi.socket import SocketType
from procession.net.internet.address import AF_INET6
from procession.net.internet.ip_options import SOL_IP, check_ip_option, get_ip_option, set_ip_option
from procession.net.internet.ipv6_options import SOL_IPV6, get_ipv6_option, set_ipv6_option
from procession.net.internet.packet import ICMP6, TCP, UDP, UDP_LITE
from procession.net.internet.tcp import TcpSocket
from procession.net.internet.tcp_options import SOL_TCP, get_tcp_option, set_tcp_option
from procession.net.internet.udp_options import SOL_UDP, SOL_UDPLITE, get_udp_option, set_udp_option

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket

NO_PORT_YET = (SOL_IP, int(IpOption.IP_BIND_ADDRESS_NO_PORT))
FREE_BIND = (
    (SOL_IP, int(IpOption.IP_FREEBIND)),
    (SOL_IPV6, int(Ipv6Option.IPV6_FREEBIND)),
    (SOL_IP, int(IpOption.IP_TRANSPARENT)),
)
_RAW = int(SocketType.SOCK_RAW)
_ROUTING_4, _ROUTING_6 = range(200, 212), range(200, 213)
"""The options of a multicast router, which has a raw socket of IGMP or ICMPv6.

Linux: include/uapi/linux/mroute.h, MRT_BASE, MRT_MAX; include/uapi/linux/mroute6.h.
"""
_IGMP = 2
_UDP_LEVELS = (SOL_UDP, SOL_UDPLITE)


def check_option(socket: InternetSocket, level: int, name: int, *, is_set: bool) -> None:
    """Raise ENOPROTOOPT, or EOPNOTSUPP as IPv4 says it of what is asked, unless there are options there.

    Linux: net/ipv4/ip_sockglue.c, do_ip_setsockopt, do_ip_getsockopt; net/ipv6/ipv6_sockglue.c,
    ipv6_getsockopt.
    """
    if level == SOL_TCP and socket.protocol == TCP and socket.kind != _RAW:
        return
    if level in _UDP_LEVELS and socket.protocol in (UDP, UDP_LITE) and socket.kind != _RAW:
        return
    if socket.family == AF_INET6:
        if level == SOL_IPV6:
            if not is_set:
                _check_router_6(socket, name)
            return
        if level == SOL_IP and socket.kind != _RAW:
            _check_router(socket, name)
            if is_set:
                check_ip_option(socket, name)
            return
    elif level == SOL_IP:
        _check_router(socket, name)
        if is_set:
            check_ip_option(socket, name)
        return
    elif not is_set:
        raise EOPNOTSUPP(f"no options of level {level} here")
    raise ENOPROTOOPT(f"no options of level {level} here")


def _check_router(socket: InternetSocket, name: int) -> None:
    """Linux: net/ipv4/ipmr.c, ip_mroute_setsockopt."""
    if name in _ROUTING_4 and not (socket.kind == _RAW and socket.protocol == _IGMP):
        raise EOPNOTSUPP("not the socket of a multicast router")


def _check_router_6(socket: InternetSocket, name: int) -> None:
    """Linux: net/ipv6/ip6mr.c, ip6_mroute_setsockopt."""
    if name in _ROUTING_6 and not (socket.kind == _RAW and socket.protocol == ICMP6):
        raise EOPNOTSUPP("not the socket of a multicast router")


def set_internet_option(socket: InternetSocket, level: int, name: int, value: bytes) -> None:
    """setsockopt(2) beyond SOL_SOCKET. Raises ENOPROTOOPT, EINVAL, EPERM, ENODEV ..."""
    if level == SOL_IP:
        set_ip_option(socket, name, value)
    elif level == SOL_IPV6:
        # Who sets one is asked for its value first, as for all of IPv6's.
        _check_router_6(socket, name)
        set_ipv6_option(socket, name, value)
    elif level == SOL_TCP:
        assert isinstance(socket, TcpSocket)
        set_tcp_option(socket, name, value)
    else:
        set_udp_option(socket, name, value)


def get_internet_option(socket: InternetSocket, level: int, name: int, length: int) -> bytes:
    """getsockopt(2) beyond SOL_SOCKET. Raises ENOPROTOOPT, EINVAL, ENOTCONN ..."""
    if level == SOL_IP:
        return get_ip_option(socket, name, length)
    if level == SOL_IPV6:
        return get_ipv6_option(socket, name, length)
    if level == SOL_TCP:
        assert isinstance(socket, TcpSocket)
        return get_tcp_option(socket, name, length)
    return get_udp_option(socket, name, length)
