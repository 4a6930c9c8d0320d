"""The options that set and tell all sources of a group at once: IP_MSFILTER and MCAST_MSFILTER (RFC 3678)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV
from procession.abi.internet import IpOption
from procession.abi.socket import SocketLevel
from procession.abi.word import Words
from procession.net.internet.address import AF_INET, AF_INET6, ANY_4, ANY_6, family_of, is_multicast
from procession.net.internet.group import (
    Membership,
    interface_for,
    leave,
    membership_at,
    most_sources,
    set_sources,
)

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket

IP_FILTER, GROUP_FILTER = int(IpOption.IP_MSFILTER), int(IpOption.MCAST_MSFILTER)
_SOL_IP, _SOL_IPV6 = int(SocketLevel.SOL_IP), int(SocketLevel.SOL_IPV6)
_IP_FILTER = Words("<4s4sII")
"""A struct ip_msfilter before its sources: the group, the interface's address, mode and count."""
_GROUP_FILTER = Words("<I4x128sII")
"""A struct group_filter before its sources, each a struct sockaddr_storage."""
_SOCKADDR_STORAGE = 128
_SOCKADDR_4, _SOCKADDR_6 = Words("<H2x4s120x"), Words("<H6x16s104x")
_EXCLUDE, _INCLUDE = 0, 1


def set_ip_filter(socket: InternetSocket, value: bytes) -> None:
    """IP_MSFILTER. Raises EINVAL, ENOBUFS, ENODEV, EADDRNOTAVAIL. Linux: net/ipv4/ip_sockglue.c."""
    if len(value) < _IP_FILTER.size:
        raise EINVAL("a struct ip_msfilter is needed")
    group, address, mode, count = _IP_FILTER.unpack_from(value)
    if count > socket.network.sysctls.most_sources:
        raise ENOBUFS("too many sources")
    if _IP_FILTER.size + 4 * count > len(value):
        raise EINVAL("fewer sources than it says")
    sources = [value[at : at + 4] for at in range(_IP_FILTER.size, _IP_FILTER.size + 4 * count, 4)]
    _set_sources(socket, group, (0, address), mode, sources)


def set_group_filter(socket: InternetSocket, value: bytes, family: int) -> None:
    """MCAST_MSFILTER. Raises EINVAL, ENOBUFS, ENODEV, EADDRNOTAVAIL.

    Linux: net/ipv4/ip_sockglue.c, ip_set_mcast_msfilter; net/ipv6/ipv6_sockglue.c, ipv6_set_mcast_msfilter.
    """
    if len(value) < _GROUP_FILTER.size:
        raise EINVAL("a struct group_filter is needed")
    index, sockaddr, mode, count = _GROUP_FILTER.unpack_from(value)
    if count > most_sources(socket, ANY_4 if family == AF_INET else ANY_6):
        raise ENOBUFS("too many sources")
    if _GROUP_FILTER.size + _SOCKADDR_STORAGE * count > len(value):
        raise EINVAL("fewer sources than it says")
    starts = range(_GROUP_FILTER.size, _GROUP_FILTER.size + _SOCKADDR_STORAGE * count, _SOCKADDR_STORAGE)
    sockaddrs = [sockaddr, *(value[at : at + _SOCKADDR_STORAGE] for at in starts)]
    if family == AF_INET and any(family_of(each) != AF_INET for each in sockaddrs):
        # IPv6 takes whatever is at its place.
        raise EADDRNOTAVAIL("another family's address")
    group, *sources = (_address_in(each, family) for each in sockaddrs)
    _set_sources(socket, group, (index, ANY_4 if family == AF_INET else ANY_6), mode, sources)


def _address_in(sockaddr: bytes, family: int) -> bytes:
    return sockaddr[4:8] if family == AF_INET else sockaddr[8:24]


def _sockaddr_of(address: bytes) -> bytes:
    if len(address) == 4:
        return _SOCKADDR_4.pack(AF_INET, address)
    return _SOCKADDR_6.pack(AF_INET6, address)


def _set_sources(
    socket: InternetSocket, group: bytes, where: tuple[int, bytes], mode: int, sources: list[bytes]
) -> None:
    """Linux: net/ipv4/igmp.c, ip_mc_msfilter; net/ipv6/mcast.c, ip6_mc_msfilter."""
    if not is_multicast(group) or mode not in (_EXCLUDE, _INCLUDE):
        raise EINVAL("no group, or no mode")
    interface = interface_for(socket.network, group, *where)
    if interface is None:
        raise ENODEV("no such interface")
    if mode == _INCLUDE and not sources:
        leave(socket, group, *where)
        return
    membership = membership_at(socket, group, interface)
    if membership is None:
        raise EINVAL("the socket isn't in this group")
    set_sources(socket, membership, sources, is_inclusive=mode == _INCLUDE)


def tells_sources(socket: InternetSocket, level: int, name: int) -> bool:
    """Whether getsockopt(2) of this option is told of a group and answers with its sources."""
    if level == _SOL_IPV6:
        return name == GROUP_FILTER and socket.family == AF_INET6
    return level == _SOL_IP and name in (IP_FILTER, GROUP_FILTER)


def asked_bytes(name: int, room: int) -> int:
    """How much of the buffer says what is asked. Raises EINVAL where there is less."""
    size = _IP_FILTER.size if name == IP_FILTER else _GROUP_FILTER.size
    if room < size:
        raise EINVAL("no room for what is asked")
    return size


def told_sources(socket: InternetSocket, level: int, name: int, asked: bytes) -> bytes:
    """The mode of a group, how many sources it has, and as many of them as are asked for.

    Raises EINVAL, ENODEV, EADDRNOTAVAIL. Linux: net/ipv4/igmp.c, ip_mc_msfget, ip_mc_gsfget;
    net/ipv6/mcast.c, ip6_mc_msfget.
    """
    if name == IP_FILTER:
        group, address, _, room = _IP_FILTER.unpack(asked)
        if not is_multicast(group):
            raise EINVAL("no group")
        interface = interface_for(socket.network, group, 0, address)
        if interface is None:
            raise ENODEV("no such interface")
        membership, sources = _found(socket, group, interface.index)
        header = _IP_FILTER.pack(group, address, _mode_of(membership), len(sources))
        return header + b"".join(sources[:room])
    index, sockaddr, _, room = _GROUP_FILTER.unpack(asked)
    family = AF_INET if level == _SOL_IP else AF_INET6
    if family_of(sockaddr) != family:
        raise EINVAL("another family's group") if family == AF_INET else EADDRNOTAVAIL
    group = _address_in(sockaddr, family)
    if not is_multicast(group):
        raise EINVAL("no group")
    membership, sources = _found(socket, group, index)
    header = _GROUP_FILTER.pack(index, sockaddr, _mode_of(membership), len(sources))
    return header + b"".join(_sockaddr_of(source) for source in sources[:room])


def _found(socket: InternetSocket, group: bytes, index: int) -> tuple[Membership, list[bytes]]:
    """The socket's membership at an interface, and its sources. Raises EADDRNOTAVAIL."""
    for found in socket.memberships:
        if found.group == group and found.index == index:
            return found, found.sources or []
    raise EADDRNOTAVAIL("the socket isn't in this group")


def _mode_of(membership: Membership) -> int:
    return _INCLUDE if membership.is_inclusive else _EXCLUDE
