"""The options that join groups, leave them, and say where what is sent to one goes (ip(7), ipv6(7))."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from procession.abi.errno import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENODEV, ENOPROTOOPT, EPROTO
from procession.abi.internet import IpOption, Ipv6Option
from procession.abi.socket import SocketLevel
from procession.abi.word import pack_address
from procession.net.internet.address import AF_INET, AF_INET6, ANY_4, ANY_6, family_of, is_any
from procession.net.internet.group import (
    change_source,
    interface_for,
    join,
    leave,
)
from procession.net.internet.packet import TCP
from procession.net.internet.source_filter import GROUP_FILTER, IP_FILTER, set_group_filter, set_ip_filter
from procession.net.socket_options import pack_int, read_int

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket

_ADD = int(IpOption.IP_ADD_MEMBERSHIP)
_DROP = int(IpOption.IP_DROP_MEMBERSHIP)
_INTERFACE = int(IpOption.IP_MULTICAST_IF)
_ADD_6 = int(Ipv6Option.IPV6_ADD_MEMBERSHIP)
_DROP_6 = int(Ipv6Option.IPV6_DROP_MEMBERSHIP)
_INTERFACE_6 = int(Ipv6Option.IPV6_MULTICAST_IF)
_JOIN, _LEAVE = int(IpOption.MCAST_JOIN_GROUP), int(IpOption.MCAST_LEAVE_GROUP)
_SOURCES = {
    int(IpOption.IP_UNBLOCK_SOURCE): (False, False),
    int(IpOption.IP_BLOCK_SOURCE): (False, True),
    int(IpOption.IP_ADD_SOURCE_MEMBERSHIP): (True, True),
    int(IpOption.IP_DROP_SOURCE_MEMBERSHIP): (True, False),
}
"""Whether the sources are those that are heard, and whether one is added."""
_NAMED_SOURCES = {
    int(IpOption.MCAST_BLOCK_SOURCE): (False, True),
    int(IpOption.MCAST_UNBLOCK_SOURCE): (False, False),
    int(IpOption.MCAST_JOIN_SOURCE_GROUP): (True, True),
    int(IpOption.MCAST_LEAVE_SOURCE_GROUP): (True, False),
}
_OF_BOTH = frozenset((_JOIN, _LEAVE, GROUP_FILTER, *_NAMED_SOURCES))
GROUP_OPTIONS_4 = frozenset((_ADD, _DROP, _INTERFACE, IP_FILTER, *_SOURCES)) | _OF_BOTH
GROUP_OPTIONS_6 = frozenset((_ADD_6, _DROP_6, _INTERFACE_6)) | _OF_BOTH

MULTICAST_INTERFACE = (int(SocketLevel.SOL_IP), _INTERFACE)
MULTICAST_INTERFACE_6 = (int(SocketLevel.SOL_IPV6), _INTERFACE_6)
MULTICAST_ADDRESS = (int(SocketLevel.SOL_IP), -_INTERFACE)
"""The address that IP_MULTICAST_IF was given, as a number, in the same place as the options."""
_REQUEST, _REQUEST_WITH_INDEX, _REQUEST_WITH_SOURCE, _REQUEST_6 = 8, 12, 12, 20
_GROUP_REQUEST, _GROUP_SOURCE_REQUEST = 136, 264
_SOCKADDR = 8
"""Where in a struct group_req the address is: behind the index, aligned."""
_SOCKADDR_STORAGE = 128


def set_group_option(socket: InternetSocket, name: int, value: bytes) -> None:
    """setsockopt(2) at SOL_IP. Linux: net/ipv4/ip_sockglue.c, do_ip_setsockopt."""
    is_stream = socket.protocol == TCP
    if name in (_ADD, _DROP):
        if is_stream:
            raise EPROTO("a stream has no groups")
        group, index, address = _request(value)
        if name == _ADD:
            join(socket, group, index, address, is_inclusive=False)
        else:
            leave(socket, group, index, address)
    elif name == _INTERFACE:
        if is_stream:
            raise EINVAL("a stream has no groups")
        _choose_interface(socket, value)
    elif name in _SOURCES:
        if len(value) != _REQUEST_WITH_SOURCE:
            raise EINVAL("a struct ip_mreq_source is needed")
        group, address, source = value[:4], value[4:8], value[8:]
        _change_source(socket, group, source, (0, address), _SOURCES[name])
    elif name == IP_FILTER:
        set_ip_filter(socket, value)
    else:
        _set_named(socket, name, value, AF_INET)


def set_group_option_6(socket: InternetSocket, name: int, value: bytes) -> None:
    """setsockopt(2) at SOL_IPV6. Linux: net/ipv6/ipv6_sockglue.c, do_ipv6_setsockopt."""
    is_stream = socket.protocol == TCP
    if name in (_ADD_6, _DROP_6):
        if len(value) < _REQUEST_6:
            raise EINVAL("a struct ipv6_mreq is needed")
        if is_stream:
            raise EPROTO("a stream has no groups")
        group, index = value[:16], int.from_bytes(value[16:20], "little")
        if name == _ADD_6:
            join(socket, group, index, ANY_6, is_inclusive=False)
        else:
            leave(socket, group, index, ANY_6)
    elif name == _INTERFACE_6:
        if is_stream:
            raise ENOPROTOOPT("a stream has no groups")
        index = read_int(value)
        if index:
            if index not in socket.network.interfaces:
                raise ENODEV("no such interface")
            bound = socket.bound_index
            if bound and bound != index:
                raise EINVAL("the socket is bound to another interface")
        socket.protocol_options[MULTICAST_INTERFACE_6] = index
    else:
        _set_named(socket, name, value, AF_INET6)


def _request(value: bytes) -> tuple[bytes, int, bytes]:
    """A struct ip_mreq or ip_mreqn: the group, the interface's index and its address. Raises EINVAL."""
    if len(value) < _REQUEST:
        raise EINVAL("a struct ip_mreq is needed")
    index = int.from_bytes(value[8:12], "little", signed=True) if len(value) >= _REQUEST_WITH_INDEX else 0
    return value[:4], index, value[4:8]


def _choose_interface(socket: InternetSocket, value: bytes) -> None:
    """IP_MULTICAST_IF. Raises EINVAL, EADDRNOTAVAIL."""
    if len(value) < 4:
        raise EINVAL("an address is needed")
    if len(value) >= _REQUEST:
        _, index, address = _request(value)
    else:
        index, address = 0, value[:4]
    options = socket.protocol_options
    if index or not is_any(address):
        interface = interface_for(socket.network, ANY_4, index, address)
        if interface is None:
            raise EADDRNOTAVAIL("no such interface")
        index = interface.index
        bound = socket.bound_index
        if bound and bound != index:
            raise EINVAL("the socket is bound to another interface")
    options[MULTICAST_INTERFACE] = index
    options[MULTICAST_ADDRESS] = int.from_bytes(address, "big")


def _change_source(
    socket: InternetSocket, group: bytes, source: bytes, where: tuple[int, bytes], what: tuple[bool, bool]
) -> None:
    is_inclusive, is_added = what
    if is_inclusive and is_added:
        with contextlib.suppress(EADDRINUSE):
            join(socket, group, *where, is_inclusive=True)
    change_source(socket, group, source, where, is_inclusive=is_inclusive, is_added=is_added)


def _address_in(sockaddr: bytes, family: int) -> bytes | None:
    """The address in a struct sockaddr_storage, None if it's another family's."""
    if family_of(sockaddr) != family:
        return None
    return sockaddr[4:8] if family == AF_INET else sockaddr[8:24]


def _set_named(socket: InternetSocket, name: int, value: bytes, family: int) -> None:
    """Options that name group and source by sockaddrs, whatever the protocol.

    Linux: net/ipv4/ip_sockglue.c, ip_mcast_join_leave, do_mcast_group_source.
    """
    if name == GROUP_FILTER:
        set_group_filter(socket, value, family)
        return
    is_source = name in _NAMED_SOURCES
    if len(value) < (_GROUP_SOURCE_REQUEST if is_source else _GROUP_REQUEST):
        raise EINVAL("a struct group_req is needed")
    if is_source and family == AF_INET and len(value) != _GROUP_SOURCE_REQUEST:
        raise EINVAL("more than a struct group_source_req")
    index = int.from_bytes(value[:4], "little")
    group = _address_in(value[_SOCKADDR : _SOCKADDR + _SOCKADDR_STORAGE], family)
    nowhere = ANY_4 if family == AF_INET else ANY_6
    if not is_source:
        if group is None:
            # IPv6 says so otherwise.
            raise EINVAL("another family's group") if family == AF_INET else EADDRNOTAVAIL
        if name == _JOIN:
            join(socket, group, index, nowhere, is_inclusive=False)
        else:
            leave(socket, group, index, nowhere)
        return
    source = _address_in(value[_SOCKADDR + _SOCKADDR_STORAGE :], family)
    if group is None or source is None:
        raise EADDRNOTAVAIL("another family's address")
    _change_source(socket, group, source, (index, nowhere), _NAMED_SOURCES[name])


def get_group_option(socket: InternetSocket, name: int) -> bytes:
    """getsockopt(2) at SOL_IP. Raises EINVAL, ENODEV, EADDRNOTAVAIL, ENOPROTOOPT."""
    if name == _INTERFACE:
        return pack_address(socket.protocol_options.get(MULTICAST_ADDRESS, 0), 4)
    raise ENOPROTOOPT(f"option {name} tells nothing")


def get_group_option_6(socket: InternetSocket, name: int) -> bytes:
    """getsockopt(2) at SOL_IPV6. Raises ENOPROTOOPT."""
    if name == _INTERFACE_6:
        return pack_int(socket.protocol_options.get(MULTICAST_INTERFACE_6, 0))
    raise ENOPROTOOPT(f"option {name} tells nothing")
