"""The options of SOL_IPV6 (ipv6(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import (
    EADDRINUSE,
    EADDRNOTAVAIL,
    EINVAL,
    ENOBUFS,
    ENOPROTOOPT,
    ENOTCONN,
    EPERM,
)
from procession.abi.internet import In6Pktinfo, Ip6Mtuinfo, IpOption, Ipv6Option
from procession.abi.socket import IpProtocol, SocketLevel, SocketType
from procession.abi.word import pack_address
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.anycast import change_anycast
from procession.net.internet.control import CONGESTION_BITS, PacketChoice
from procession.net.internet.extension_headers import header_length, keep_headers
from procession.net.internet.group_options import GROUP_OPTIONS_6, get_group_option_6, set_group_option_6
from procession.net.internet.option_rule import (
    CAP_NET_RAW,
    SWITCH,
    Rule,
    keep,
    read_interface,
    require_net_admin,
)
from procession.net.internet.original_destination import ORIGINAL_DESTINATION, original_destination
from procession.net.internet.packet import TCP, UDP, UDP_LITE
from procession.net.internet.packet_options import CONTROL_HEADER
from procession.net.message import Control
from procession.net.socket import ESTABLISHED
from procession.net.socket_options import pack_int, read_int
from procession.net.sysctls import HOP_LIMIT

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket

SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_RAW = int(SocketType.SOCK_RAW)
_LEAST_MTU = 1_280
_AUTOMATIC = 0x500
"""The preferences that nobody chose: IPV6_PREFER_SRC_PUBTMP_DEFAULT and _HOME."""

_ADDRFORM = int(Ipv6Option.IPV6_ADDRFORM)
IPV6_CHECKSUM = int(Ipv6Option.IPV6_CHECKSUM)
_MTU = int(Ipv6Option.IPV6_MTU)
_V6ONLY = int(Ipv6Option.IPV6_V6ONLY)
_TRANSPARENT = int(Ipv6Option.IPV6_TRANSPARENT)
_PREFERENCES = int(Ipv6Option.IPV6_ADDR_PREFERENCES)
_UNICAST_IF = int(Ipv6Option.IPV6_UNICAST_IF)
_UNICAST_HOPS = int(Ipv6Option.IPV6_UNICAST_HOPS)
_MULTICAST_HOPS = int(Ipv6Option.IPV6_MULTICAST_HOPS)
_TCLASS = int(Ipv6Option.IPV6_TCLASS)
_IPPROTO_RAW = int(IpProtocol.IPPROTO_RAW)
_ROUTER_ALERT = int(Ipv6Option.IPV6_ROUTER_ALERT)
_HEARS_ALERTS = 2
"""Beside whether the option is on: whether the socket is told, which a number of 0 lets it be too."""
_PATHMTU = int(Ipv6Option.IPV6_PATHMTU)
EXTENSIONS = tuple(
    int(option)
    for option in (
        Ipv6Option.IPV6_HOPOPTS,
        Ipv6Option.IPV6_RTHDRDSTOPTS,
        Ipv6Option.IPV6_RTHDR,
        Ipv6Option.IPV6_DSTOPTS,
    )
)
_ROUTE = int(Ipv6Option.IPV6_RTHDR)
LONGEST_EXTENSION = 8 * 255
"""Longer ones, and null pointers, are refused unread."""
OLD_OPTIONS = int(Ipv6Option.IPV6_2292PKTOPTIONS)
_ANYCAST = (int(Ipv6Option.IPV6_JOIN_ANYCAST), int(Ipv6Option.IPV6_LEAVE_ANYCAST))
_WITHOUT_LENGTH = tuple(
    int(option)
    for option in (Ipv6Option.IPV6_DONTFRAG, Ipv6Option.IPV6_AUTOFLOWLABEL, Ipv6Option.IPV6_RECVFRAGSIZE)
)
"""For these a value that is too short is 0."""
KEPT_CHOICE = (SOL_IPV6, int(Ipv6Option.IPV6_PKTINFO))
UNICAST_INTERFACE_6 = (SOL_IPV6, _UNICAST_IF)
TRAFFIC_CLASS = (SOL_IPV6, _TCLASS)
LONGEST_FRAGMENT = (SOL_IPV6, _MTU)
UNDIVIDED = (SOL_IPV6, int(Ipv6Option.IPV6_DONTFRAG))

_RULES: dict[int, Rule] = {
    int(option): rule
    for option, rule in (
        (Ipv6Option.IPV6_2292PKTINFO, SWITCH),
        (Ipv6Option.IPV6_2292HOPOPTS, SWITCH),
        (Ipv6Option.IPV6_2292DSTOPTS, SWITCH),
        (Ipv6Option.IPV6_2292RTHDR, SWITCH),
        (Ipv6Option.IPV6_2292HOPLIMIT, SWITCH),
        (Ipv6Option.IPV6_FLOWINFO, SWITCH),
        (Ipv6Option.IPV6_V6ONLY, SWITCH),
        (Ipv6Option.IPV6_UNICAST_HOPS, Rule(64, -1, 255)),
        (Ipv6Option.IPV6_MULTICAST_HOPS, Rule(1, -1, 255)),
        (Ipv6Option.IPV6_MULTICAST_LOOP, Rule(1, 0, 1)),
        (Ipv6Option.IPV6_MULTICAST_ALL, Rule(1, is_switch=True)),
        (Ipv6Option.IPV6_MTU_DISCOVER, Rule(1, 0, 5)),
        (Ipv6Option.IPV6_RECVERR, SWITCH),
        (Ipv6Option.IPV6_RECVERR_RFC4884, Rule(0, 0, 1)),
        (Ipv6Option.IPV6_ROUTER_ALERT_ISOLATE, SWITCH),
        (Ipv6Option.IPV6_RECVPKTINFO, SWITCH),
        (Ipv6Option.IPV6_RECVHOPLIMIT, SWITCH),
        (Ipv6Option.IPV6_RECVHOPOPTS, SWITCH),
        (Ipv6Option.IPV6_RECVRTHDR, SWITCH),
        (Ipv6Option.IPV6_RECVDSTOPTS, SWITCH),
        (Ipv6Option.IPV6_RECVPATHMTU, SWITCH),
        (Ipv6Option.IPV6_RECVTCLASS, SWITCH),
        (Ipv6Option.IPV6_RECVFRAGSIZE, SWITCH),
        (Ipv6Option.IPV6_ORIGDSTADDR, SWITCH),
        (Ipv6Option.IPV6_TCLASS, Rule(0, -1, 255)),
        (Ipv6Option.IPV6_DONTFRAG, SWITCH),
        (Ipv6Option.IPV6_AUTOFLOWLABEL, Rule(1, is_switch=True)),
        (Ipv6Option.IPV6_FREEBIND, SWITCH),
        (Ipv6Option.IPV6_TRANSPARENT, SWITCH),
        (Ipv6Option.IPV6_MINHOPCOUNT, Rule(0, 0, 255)),
        (Ipv6Option.IPV6_FLOWINFO_SEND, SWITCH),
    )
}

_SHARED = {
    int(Ipv6Option.IPV6_FREEBIND): (int(SocketLevel.SOL_IP), int(IpOption.IP_FREEBIND)),
    _TRANSPARENT: (int(SocketLevel.SOL_IP), int(IpOption.IP_TRANSPARENT)),
}
"""Options that are one with those of IPv4 (Linux: include/net/inet_sock.h, INET_FLAGS_FREEBIND)."""


def set_ipv6_option(socket: InternetSocket, name: int, value: bytes) -> None:
    """setsockopt(2) at SOL_IPV6. Linux: net/ipv6/ipv6_sockglue.c, do_ipv6_setsockopt."""
    rule = _RULES.get(name)
    options = socket.protocol_options
    if rule is not None:
        _set_number(socket, name, rule, value)
    elif name in GROUP_OPTIONS_6:
        set_group_option_6(socket, name, value)
    elif name == _ADDRFORM:
        _change_family(socket, read_int(value))
    elif name == _MTU:
        number = read_int(value)
        if number and number < _LEAST_MTU:
            raise EINVAL(f"an MTU below {_LEAST_MTU}")
        socket.protocol_options[SOL_IPV6, name] = number
    elif name == _PREFERENCES:
        _set_preferences(socket, read_int(value))
    elif (SOL_IPV6, name) == KEPT_CHOICE:
        _keep_choice(socket, value)
    elif name == _UNICAST_IF:
        options[UNICAST_INTERFACE_6] = read_interface(socket, value)
    elif name == _ROUTER_ALERT:
        _set_router_alert(socket, read_int(value))
    elif name in EXTENSIONS:
        _set_extension(socket, name, value)
    elif name == OLD_OPTIONS:
        _set_old_options(socket, value)
    elif name in _ANYCAST:
        change_anycast(socket, value, joins=name == _ANYCAST[0])
    else:
        raise ENOPROTOOPT(f"no option {name} of SOL_IPV6")


def _set_router_alert(socket: InternetSocket, number: int) -> None:
    """Hear of the alerts of a number, or with a negative one of no more. Raises ENOPROTOOPT, EADDRINUSE,
    ENOBUFS. Linux: net/ipv6/ipv6_sockglue.c, ip6_ra_control.
    """
    if socket.kind != _RAW or socket.protocol != _IPPROTO_RAW:
        raise ENOPROTOOPT("only raw sockets of every protocol hear of alerts")
    key = (SOL_IPV6, _ROUTER_ALERT)
    hears = socket.protocol_options.get(key, 0) & _HEARS_ALERTS
    if number >= 0 and hears:
        raise EADDRINUSE("the socket hears of alerts")
    if number < 0 and not hears:
        raise ENOBUFS("the socket doesn't hear of alerts")
    socket.protocol_options[key] = (number != 0) | (_HEARS_ALERTS if number >= 0 else 0)


def _set_number(socket: InternetSocket, name: int, rule: Rule, value: bytes) -> None:
    if name == _MULTICAST_HOPS and socket.protocol == TCP:
        raise ENOPROTOOPT("a stream has no groups")
    number = 0 if name in _WITHOUT_LENGTH and len(value) < 4 else read_int(value)
    if name == _TRANSPARENT and number:
        require_net_admin(socket)
    elif name == _TCLASS and socket.protocol == TCP and number > 0:
        # The two lowest bits are TCP's own.
        number &= ~CONGESTION_BITS
    elif name == _V6ONLY:
        if socket.has_port or socket.kind == _RAW:
            raise EINVAL("the socket has an address")
        socket.is_ipv6_only = number != 0
    level, name = _SHARED.get(name, (SOL_IPV6, name))
    keep(socket, level, name, rule, number)


def _set_extension(socket: InternetSocket, name: int, value: bytes) -> None:
    """A header that all packets shall have; no bytes are for none. Raises EPERM, EINVAL.

    Linux: net/ipv6/ipv6_sockglue.c, ipv6_set_opt_hdr.
    """
    if not socket.caller.credentials.ns_capable(socket.network.owner, CAP_NET_RAW) and name != _ROUTE:
        raise EPERM("CAP_NET_RAW is needed")
    kept = dict(socket.extension_headers)
    if not value:
        kept.pop(name, None)
        keep_headers(socket, kept)
        return
    if len(value) < 8 or len(value) & 7 or len(value) > LONGEST_EXTENSION:
        raise EINVAL("no length of an extension header")
    if header_length(value) > len(value) or name == _ROUTE:
        raise EINVAL("a header that's longer than the value, or a route of a kind that isn't sent")
    kept[name] = value[: header_length(value)]
    keep_headers(socket, kept)


def _set_old_options(socket: InternetSocket, value: bytes) -> None:
    """IPV6_2292PKTOPTIONS: what all packets shall have, as control messages. Raises EINVAL, EPERM."""
    control, place = Control(), 0
    while len(value) - place >= CONTROL_HEADER.size:
        size, level, kind = CONTROL_HEADER.unpack_from(value, place)
        if not CONTROL_HEADER.size <= size <= len(value) - place:
            raise EINVAL("the length of a control message")
        control.items.append((level, kind, value[place + CONTROL_HEADER.size : place + size]))
        place += size + 7 & ~7
    chosen = PacketChoice(socket, control, bytes(16))
    keep_headers(socket, chosen.extension_headers or {})


def _keep_choice(socket: InternetSocket, value: bytes) -> None:
    """IPV6_PKTINFO for all that is sent. Of the address nothing comes: Linux never looks at it again."""
    if len(value) < In6Pktinfo.SIZE:
        raise EINVAL("a struct in6_pktinfo is needed")
    index = In6Pktinfo.unpack_from(value).ipi6_ifindex
    bound = socket.bound_index
    if bound and index != bound:
        raise EINVAL("the socket is bound to another interface")
    socket.protocol_options[KEPT_CHOICE] = index


def _change_family(socket: InternetSocket, family: int) -> None:
    """IPV6_ADDRFORM: a socket that talks IPv4 becomes one of IPv4, for a program that knows no other."""
    if family != AF_INET:
        raise EINVAL("no other family")
    if socket.protocol not in (TCP, UDP, UDP_LITE):
        raise ENOPROTOOPT("neither TCP nor UDP")
    if socket.state != ESTABLISHED:
        raise ENOTCONN
    if socket.is_ipv6_only or socket.remote_address is None or len(socket.remote_address) != 4:
        raise EADDRNOTAVAIL("the other end is not one of IPv4")
    socket.family = AF_INET


def _set_preferences(socket: InternetSocket, wanted: int) -> None:
    """Which addresses are to be sent from; nowhere is one that would make a difference.

    Linux: include/net/ipv6.h, ip6_sock_set_addr_preferences.
    """
    lifetime, home, generated = wanted & 0x103, wanted & 0x404, wanted & 0x808
    if lifetime not in (0, 1, 2, 0x100) or home == 0x404 or generated == 0x808:
        raise EINVAL("preferences that contradict each other")
    # What was wanted before doesn't count, of what nothing is said now either.
    socket.protocol_options[SOL_IPV6, _PREFERENCES] = lifetime | home


def _hops_at_first(socket: InternetSocket) -> int:
    """How far packets go that nobody has said it of. Linux: net/ipv6/output_core.c, ip6_dst_hoplimit."""
    if socket.remote_address is None or len(socket.remote_address) == 4:
        return socket.network.sysctls.of_all(HOP_LIMIT)
    return socket.way_to_peer().default_ttl


def get_ipv6_option(socket: InternetSocket, name: int, length: int) -> bytes:
    """getsockopt(2) at SOL_IPV6. Raises EINVAL, ENOPROTOOPT, ENOTCONN.

    A negative length is taken for a long one. Linux: net/ipv6/ipv6_sockglue.c, do_ipv6_getsockopt.
    """
    rule = _RULES.get(name)
    options = socket.protocol_options
    if name == _UNICAST_HOPS and (SOL_IPV6, name) not in options:
        return pack_int(_hops_at_first(socket))
    if rule is not None:
        return pack_int(options.get(_SHARED.get(name, (SOL_IPV6, name)), rule.default))
    if name in GROUP_OPTIONS_6:
        return get_group_option_6(socket, name)
    if name == _ADDRFORM:
        if socket.protocol not in (TCP, UDP, UDP_LITE):
            raise ENOPROTOOPT("neither TCP nor UDP")
        if socket.state != ESTABLISHED:
            raise ENOTCONN
        return pack_int(socket.family)
    if name == _MTU:
        if socket.remote_address is None:
            raise ENOTCONN
        return pack_int(socket.way_to_peer().mtu)
    if name == _PATHMTU:
        if 0 <= length < Ip6Mtuinfo.SIZE:
            raise EINVAL("a struct ip6_mtuinfo is needed")
        if socket.remote_address is None:
            raise ENOTCONN
        mtu = socket.way_to_peer().mtu
        return bytes(Ip6Mtuinfo.OFFSETS["ip6m_mtu"]) + pack_int(mtu)
    if name == _PREFERENCES:
        kept = options.get((SOL_IPV6, name), _AUTOMATIC)
        return pack_int((kept & 3 or 0x100) | (kept & 4 or 0x400))
    if name == _UNICAST_IF:
        return pack_address(options.get(UNICAST_INTERFACE_6, 0), 4)
    if name == _ROUTER_ALERT:
        return pack_int(options.get((SOL_IPV6, name), 0) & ~_HEARS_ALERTS)
    if name == ORIGINAL_DESTINATION:
        return original_destination(socket, AF_INET6, length)
    if name in EXTENSIONS:
        return socket.extension_headers.get(name, b"")
    raise ENOPROTOOPT(f"no option {name} of SOL_IPV6")
