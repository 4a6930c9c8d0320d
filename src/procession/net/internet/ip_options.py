"""The options of SOL_IP, of sockets of both protocols (ip(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import (
    EADDRINUSE,
    EINVAL,
    ENOBUFS,
    ENOPROTOOPT,
    ENOTCONN,
)
from procession.abi.internet import IpOption
from procession.abi.socket import SocketLevel, SocketOption, SocketType
from procession.abi.word import pack_address, pack_u8
from procession.net.internet.address import AF_INET
from procession.net.internet.control import CONGESTION_BITS
from procession.net.internet.group_options import GROUP_OPTIONS_4, get_group_option, set_group_option
from procession.net.internet.header_options import checked_options
from procession.net.internet.option_rule import (
    SWITCH,
    Rule,
    keep,
    read_interface,
    require_net_admin,
)
from procession.net.internet.original_destination import ORIGINAL_DESTINATION, original_destination
from procession.net.internet.packet import TCP, priority_of
from procession.net.internet.socket import PORT_RANGE
from procession.net.socket_options import pack_int, read_int

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket

SOL_IP = int(SocketLevel.SOL_IP)
_RAW = int(SocketType.SOCK_RAW)
_SO_PRIORITY = int(SocketOption.SO_PRIORITY)
_STREAM = int(SocketType.SOCK_STREAM)

IP_TOS = int(IpOption.IP_TOS)
_IP_OPTIONS = int(IpOption.IP_OPTIONS)
_IP_HDRINCL = int(IpOption.IP_HDRINCL)
_IP_ROUTER_ALERT = int(IpOption.IP_ROUTER_ALERT)
# A packet's length has 16 bits (in Linux, IP_MAX_MTU).
_LARGEST_PACKET = 0xFFFF
_IP_MTU = int(IpOption.IP_MTU)
_IP_NODEFRAG = int(IpOption.IP_NODEFRAG)
_IP_TRANSPARENT = int(IpOption.IP_TRANSPARENT)
_IP_UNICAST_IF = int(IpOption.IP_UNICAST_IF)
_IP_LOCAL_PORT_RANGE = int(IpOption.IP_LOCAL_PORT_RANGE)
_IP_PROTOCOL = int(IpOption.IP_PROTOCOL)
_IP_RECVFRAGSIZE = int(IpOption.IP_RECVFRAGSIZE)
_IP_MULTICAST_TTL = int(IpOption.IP_MULTICAST_TTL)
_IP_TTL = int(IpOption.IP_TTL)

UNICAST_INTERFACE = (SOL_IP, _IP_UNICAST_IF)

_RULES: dict[int, Rule] = {
    int(option): rule
    for option, rule in (
        (IpOption.IP_TOS, Rule(0)),
        (IpOption.IP_TTL, Rule(64, -1, 255, needs_value=True, sysctl="time_to_live")),
        (IpOption.IP_RECVOPTS, SWITCH),
        (IpOption.IP_RETOPTS, SWITCH),
        (IpOption.IP_PKTINFO, SWITCH),
        (IpOption.IP_MTU_DISCOVER, Rule(1, 0, 5)),
        (IpOption.IP_RECVERR, SWITCH),
        (IpOption.IP_RECVTTL, SWITCH),
        (IpOption.IP_RECVTOS, SWITCH),
        (IpOption.IP_FREEBIND, Rule(0, is_switch=True, needs_value=True)),
        (IpOption.IP_PASSSEC, SWITCH),
        (IpOption.IP_TRANSPARENT, Rule(0, is_switch=True, needs_value=True)),
        (IpOption.IP_ORIGDSTADDR, SWITCH),
        (IpOption.IP_MINTTL, Rule(0, 0, 255, needs_value=True)),
        (IpOption.IP_CHECKSUM, SWITCH),
        (IpOption.IP_BIND_ADDRESS_NO_PORT, SWITCH),
        (IpOption.IP_RECVFRAGSIZE, SWITCH),
        (IpOption.IP_RECVERR_RFC4884, Rule(0, 0, 1)),
        (IpOption.IP_MULTICAST_TTL, Rule(1, -1, 255, needs_value=True)),
        (IpOption.IP_MULTICAST_LOOP, Rule(1, is_switch=True, needs_value=True)),
        (IpOption.IP_MULTICAST_ALL, Rule(1, 0, 1, needs_value=True)),
    )
}
_OTHERS = (_IP_OPTIONS, _IP_ROUTER_ALERT, _IP_UNICAST_IF, _IP_LOCAL_PORT_RANGE)
_OF_RAW_SOCKETS = (_IP_HDRINCL, _IP_NODEFRAG)


def check_ip_option(socket: InternetSocket, name: int) -> None:
    """Raise ENOPROTOOPT for what can't be set, before its value is looked at."""
    if (
        name not in _RULES
        and name not in GROUP_OPTIONS_4
        and name not in _OTHERS
        and name not in _OF_RAW_SOCKETS
    ):
        raise ENOPROTOOPT(f"no option {name} of SOL_IP")


def read_byte_or_int(value: bytes) -> int:
    """The number in a value that may be as short as a byte: no bytes are 0.

    Linux: net/ipv4/ip_sockglue.c, do_ip_setsockopt.
    """
    if len(value) >= 4:
        return read_int(value)
    return value[0] if value else 0


def set_ip_option(socket: InternetSocket, name: int, value: bytes) -> None:
    """setsockopt(2) at SOL_IP. Linux: net/ipv4/ip_sockglue.c, do_ip_setsockopt."""
    rule = _RULES.get(name)
    if rule is not None:
        _set_number(socket, name, rule, value)
    elif name in GROUP_OPTIONS_4:
        set_group_option(socket, name, value)
    elif name in _OF_RAW_SOCKETS and socket.kind == _RAW:
        socket.protocol_options[SOL_IP, name] = int(read_byte_or_int(value) != 0)
    elif name == _IP_ROUTER_ALERT:
        _set_router_alert(socket, read_byte_or_int(value))
    elif name == _IP_UNICAST_IF:
        socket.protocol_options[UNICAST_INTERFACE] = read_interface(socket, value)
    elif name == _IP_LOCAL_PORT_RANGE:
        _set_port_range(socket, value)
    elif name == _IP_OPTIONS:
        socket.header_options = checked_options(value, socket.may_choose_routes)
    else:
        raise ENOPROTOOPT(f"no option {name} of SOL_IP")


def _set_number(socket: InternetSocket, name: int, rule: Rule, value: bytes) -> None:
    if rule.needs_value and not value:
        raise EINVAL("a value is needed")
    number = read_byte_or_int(value)
    is_stream = socket.protocol == TCP
    if name == IP_TOS:
        number &= 0xFF
        if is_stream:
            number = (number & ~CONGESTION_BITS) | (
                socket.protocol_options.get((SOL_IP, IP_TOS), 0) & CONGESTION_BITS
            )
        if number != socket.protocol_options.get((SOL_IP, IP_TOS), 0):
            socket.options[_SO_PRIORITY] = priority_of(number)
    elif name == _IP_TTL and number == 0:
        raise EINVAL("no time to live")
    elif name == _IP_MULTICAST_TTL:
        if is_stream:
            raise EINVAL("a stream has no groups")
    elif name == _IP_RECVFRAGSIZE and is_stream:
        raise EINVAL("a stream has no fragments")
    elif name == _IP_TRANSPARENT and number:
        require_net_admin(socket)
    keep(socket, SOL_IP, name, rule, number)


def _set_router_alert(socket: InternetSocket, number: int) -> None:
    """Linux: net/ipv4/ip_sockglue.c, ip_ra_control."""
    if socket.kind != _RAW or socket.protocol == 255:
        raise EINVAL("only raw sockets hear of alerts")
    key = (SOL_IP, _IP_ROUTER_ALERT)
    is_on = bool(socket.protocol_options.get(key))
    if number and is_on:
        raise EADDRINUSE
    if not number and not is_on:
        raise ENOBUFS
    socket.protocol_options[key] = int(number != 0)


def _set_port_range(socket: InternetSocket, value: bytes) -> None:
    """IP_LOCAL_PORT_RANGE: the first port in the lower half, the last one in the upper, 0 for any."""
    if len(value) != 4:
        raise EINVAL("an int is needed")
    number = int.from_bytes(value, "little")
    first, last = number & 0xFFFF, number >> 16
    if first and last and first > last:
        raise EINVAL("the range ends before it begins")
    socket.protocol_options[PORT_RANGE] = number


def get_ip_option(socket: InternetSocket, name: int, length: int) -> bytes:
    """getsockopt(2) at SOL_IP. Raises EINVAL, ENOPROTOOPT, ENOTCONN.

    Linux: net/ipv4/ip_sockglue.c, do_ip_getsockopt.
    """
    if length < 0:
        raise EINVAL("a negative length")
    rule = _RULES.get(name)
    options = socket.protocol_options
    if rule is not None:
        number = options.get((SOL_IP, name), rule.at_first(socket))
    elif name in GROUP_OPTIONS_4:
        return get_group_option(socket, name)
    elif name in (_IP_HDRINCL, _IP_NODEFRAG, _IP_ROUTER_ALERT, _IP_LOCAL_PORT_RANGE):
        number = options.get((SOL_IP, name), 0)
    elif name == _IP_UNICAST_IF:
        number = int.from_bytes(pack_address(options.get(UNICAST_INTERFACE, 0), 4), "little")
    elif name == _IP_MTU:
        if socket.remote_address is None:
            raise ENOTCONN
        mtu = socket.way_to_peer().mtu
        number = min(mtu, _LARGEST_PACKET) if len(socket.remote_address) == 4 else mtu
    elif name == _IP_OPTIONS:
        return socket.header_options
    elif name == ORIGINAL_DESTINATION:
        return original_destination(socket, AF_INET, length)
    elif name == _IP_PROTOCOL:
        number = socket.protocol if socket.kind == _RAW else socket.local_port
    else:
        raise ENOPROTOOPT(f"no option {name} of SOL_IP")
    if 0 < length < 4 and 0 <= number <= 255:
        return pack_u8(number)
    return pack_int(number)
