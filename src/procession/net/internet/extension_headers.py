"""Extension headers of IPv6: options for every hop and for the destination, sent and received (ipv6(7)).

Routing headers are of kinds that Linux doesn't send any more, or has to be configured for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOBUFS, EPERM
from procession.abi.internet import Ipv6Option
from procession.abi.socket import IpProtocol, SocketLevel
from procession.abi.word import pack_u8
from procession.hardware.kernel_memory import SOCKET
from procession.hardware.physical_memory import OutOfFrames
from procession.net.buffer_charge import packet_charge
from procession.net.internet.address import is_multicast
from procession.net.internet.icmp_error import UNKNOWN_OPTION, IcmpError
from procession.net.internet.option_rule import CAP_NET_RAW

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.internet.socket import InternetSocket
    from procession.net.sysctls import NetworkSysctls

_SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_HOP_BY_HOP, _DESTINATION = int(IpProtocol.IPPROTO_HOPOPTS), int(IpProtocol.IPPROTO_DSTOPTS)
_HOP_OPTIONS, _END_OPTIONS = int(Ipv6Option.IPV6_HOPOPTS), int(Ipv6Option.IPV6_DSTOPTS)
_OLD_HOP, _OLD_END = int(Ipv6Option.IPV6_2292HOPOPTS), int(Ipv6Option.IPV6_2292DSTOPTS)
_BEFORE_ROUTE = int(Ipv6Option.IPV6_RTHDRDSTOPTS)
_ROUTE, _OLD_ROUTE = int(Ipv6Option.IPV6_RTHDR), int(Ipv6Option.IPV6_2292RTHDR)
_KINDS = {
    _HOP_OPTIONS: _HOP_OPTIONS,
    _OLD_HOP: _HOP_OPTIONS,
    _END_OPTIONS: _END_OPTIONS,
    _OLD_END: _END_OPTIONS,
    _BEFORE_ROUTE: _BEFORE_ROUTE,
}
HEADER_MESSAGES = (*_KINDS, _ROUTE, _OLD_ROUTE)
"""The control messages that are headers."""
_TOLD = {
    _HOP_BY_HOP: (
        (int(Ipv6Option.IPV6_RECVHOPOPTS), _HOP_OPTIONS),
        (_OLD_HOP, _OLD_HOP),
    ),
    _DESTINATION: (
        (int(Ipv6Option.IPV6_RECVDSTOPTS), _END_OPTIONS),
        (_OLD_END, _OLD_END),
    ),
}
"""By which option who receives is told of a header, and in which control message."""
UNIT_BYTES = 8
_PAD_ONE, _PAD = 0, 1
_ROUTER_ALERT, _JUMBO = 5, 0xC2
_ABOUT_LISTENERS = b"\2\0\0"
"""What a router's alert says in front of MLD's messages (RFC 2711)."""
_MOST_PADDING = 7
"""More than this is suspect."""


def header_length(data: bytes, place: int = 0) -> int:
    """How long the header at `place` says that it is."""
    return (data[place + 1] + 1) * UNIT_BYTES


def checked_header(socket: InternetSocket, kind: int, body: bytes, so_far: dict[int, bytes]) -> None:
    """Add the header in a control message to those `so_far`. Raises EINVAL, EPERM.

    Linux: net/ipv6/datagram.c, ip6_datagram_send_ctl.
    """
    name = _KINDS.get(kind)
    if name is None or len(body) < 2 or (kind in (_HOP_OPTIONS, _OLD_HOP, _OLD_END) and name in so_far):
        raise EINVAL("a route, no header, or one that is there already")
    if header_length(body) > len(body):
        raise EINVAL("a header longer than its message")
    if not socket.caller.credentials.ns_capable(socket.network.owner, CAP_NET_RAW):
        raise EPERM("CAP_NET_RAW is needed")
    so_far[name] = body[: header_length(body)]


def keep_headers(socket: InternetSocket, headers: dict[int, bytes]) -> None:
    """All packets of `socket` shall have `headers`, which are charged. Raises ENOBUFS.

    Linux: net/ipv6/ipv6_sockglue.c, ipv6_update_options.
    """
    system, before = socket.network.system, socket.extension_headers
    more = sum(map(len, headers.values())) - sum(map(len, before.values()))
    if more > 0:
        try:
            system.account.charge(SOCKET, more)
        except OutOfFrames:
            raise ENOBUFS("no memory for headers") from None
    elif more:
        system.account.uncharge(SOCKET, -more)
    socket.extension_headers = headers


def put_headers(packet: Packet, headers: dict[int, bytes]) -> None:
    """Put `headers` in front of what a packet of IPv6 carries; those for a route have none to go with.

    Linux: net/ipv6/exthdrs.c, ipv6_push_nfrag_opts, ipv6_push_frag_opts.
    """
    found = [
        (protocol, headers[name])
        for protocol, name in ((_HOP_BY_HOP, _HOP_OPTIONS), (_DESTINATION, _END_OPTIONS))
        if name in headers
    ]
    if not found:
        return
    following = [protocol for protocol, _ in found[1:]] + [packet.protocol]
    packet.first_header = found[0][0]
    packet.options = b"".join(
        pack_u8(after) + header[1:] for after, (_, header) in zip(following, found, strict=True)
    )
    packet.charge = packet_charge(len(packet.data) + len(packet.options))


def take_off(protocol: int, data: bytes) -> tuple[int, bytes, int, bytes] | None:
    """The first header's protocol, all headers, the protocol behind them and what it has.

    `data` is behind the header of IPv6, which says `protocol`. None for headers that are cut short.
    """
    first, start, place = protocol, 0, 0
    while protocol == _DESTINATION or (protocol == _HOP_BY_HOP and not start):
        place = start
        if len(data) < place + UNIT_BYTES:
            return None
        start = place + header_length(data, place)
        if start > len(data):
            return None
        protocol = data[place]
    return first, data[:start], protocol, data[start:]


def _headers(packet: Packet) -> list[tuple[int, bytes]]:
    protocol, headers, place, found = packet.first_header, packet.options, 0, []
    while place < len(headers):
        past = place + header_length(headers, place)
        found.append((protocol, headers[place:past]))
        protocol, place = headers[place], past
    return found


def is_for_listeners(packet: Packet) -> bool:
    """Whether a router's alert in front of `packet` says that it's about listeners to groups.

    Linux: net/ipv6/exthdrs.c, ipv6_hop_ra.
    """
    headers = packet.options
    if packet.first_header != _HOP_BY_HOP or len(headers) < UNIT_BYTES:
        return False
    place, past = 2, header_length(headers)
    while place < past:
        kind = headers[place]
        if kind == _ROUTER_ALERT:
            return headers[place + 1 : place + 4] == _ABOUT_LISTENERS
        place += 1 if kind == _PAD_ONE else headers[place + 1] + 2 if place + 1 < past else past
    return False


def told_headers(
    options: dict[tuple[int, int], int], packet: Packet, *, is_old: bool
) -> list[tuple[int, int, bytes]]:
    """Control messages about the headers of `packet`, as `options` want them.

    Linux: net/ipv6/datagram.c, ip6_datagram_recv_specific_ctl.
    """
    return [
        (_SOL_IPV6, kind, header)
        for protocol, header in _headers(packet)
        for option, kind in _TOLD[protocol][is_old : is_old + 1]
        if options.get((_SOL_IPV6, option))
    ]


def flaw_in(packet: Packet, sysctls: NetworkSysctls) -> tuple[bool, IcmpError | None]:
    """Whether a packet that has arrived is dropped for its options, and what its sender is told.

    Linux: net/ipv6/exthdrs.c, ip6_parse_tlv, ip6_tlvopt_unknown.
    """
    for protocol, header in _headers(packet):
        is_for_hops = protocol == _HOP_BY_HOP
        most_options = sysctls.most_hop_options if is_for_hops else sysctls.most_end_options
        if len(header) > (sysctls.most_hop_bytes if is_for_hops else sysctls.most_end_bytes):
            return True, None
        place, padding, count = 2, 0, 0
        while place < len(header):
            kind = header[place]
            if kind == _PAD_ONE:
                size, padding = 1, padding + 1
            else:
                size = header[place + 1] + 2 if place + 1 < len(header) else len(header)
                if place + size > len(header):
                    return True, None
                padding = padding + size if kind == _PAD else 0
                count += kind != _PAD
            contents = header[place + 2 : place + size]
            if padding > _MOST_PADDING or count > abs(most_options) or (kind == _PAD and any(contents)):
                return True, None
            is_known = is_for_hops and kind in (_ROUTER_ALERT, _JUMBO)
            if is_known and (kind == _JUMBO or size != 4):
                return True, None
            if kind > _PAD and not is_known and most_options < 0:
                # A negative number says that none is let in that isn't known.
                return True, None
            if kind > _PAD and not is_known and kind >> 6:
                is_told = kind >> 6 == 2 or (kind >> 6 == 3 and not is_multicast(packet.target))
                return True, UNKNOWN_OPTION if is_told else None
            place += size
    return False, None
