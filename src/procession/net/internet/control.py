"""Control messages of IPv4 and IPv6: where a datagram was sent to, its time to live (ip(7), ipv6(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENODEV, Errno
from procession.abi.internet import In6Pktinfo, InPktinfo, IpOption, Ipv6Option
from procession.abi.socket import SocketLevel, SocketOption
from procession.abi.word import pack_address, pack_port, pack_u8, pack_u16, pack_u32
from procession.net.internet.address import (
    AF_INET,
    AF_INET6,
    format_sockaddr,
    is_any,
    is_multicast,
    mapped,
    unmapped,
)
from procession.net.internet.extension_headers import HEADER_MESSAGES, checked_header, told_headers
from procession.net.internet.flow import find_flow
from procession.net.internet.flow_label import INFO_MASK, check_label, chosen_info
from procession.net.internet.header_options import LONGEST_OPTIONS, answered, checked_options
from procession.net.internet.packet import priority_of
from procession.net.internet.udp_options import COALESCE
from procession.net.marks import Marks, mark_items
from procession.net.socket_options import check_mark
from procession.net.timestamp import TIMESTAMPING, check_socket_item, checked_stamping, timestamp_items

if TYPE_CHECKING:
    from procession.net.internet.datagram import DatagramSocket
    from procession.net.internet.flow import Flow
    from procession.net.internet.packet import Packet
    from procession.net.internet.socket import InternetSocket
    from procession.net.message import Control
    from procession.net.socket import Socket

SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
SOL_IP = int(SocketLevel.SOL_IP)
SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_IP_PKTINFO = int(IpOption.IP_PKTINFO)
_IP_TTL = int(IpOption.IP_TTL)
_IP_TOS = int(IpOption.IP_TOS)
_IP_RECVTTL = int(IpOption.IP_RECVTTL)
_IP_RECVTOS = int(IpOption.IP_RECVTOS)
_IP_PROTOCOL = int(IpOption.IP_PROTOCOL)
_IP_RECVOPTS, _IP_RETOPTS = int(IpOption.IP_RECVOPTS), int(IpOption.IP_RETOPTS)
_IP_RECVORIGDSTADDR = int(IpOption.IP_ORIGDSTADDR)
_IPV6_FLOWINFO = int(Ipv6Option.IPV6_FLOWINFO)
_INFO_SIZE = 4
_IPV6_PKTINFO = int(Ipv6Option.IPV6_PKTINFO)
_IPV6_RECVPKTINFO = int(Ipv6Option.IPV6_RECVPKTINFO)
_IPV6_HOPLIMIT = int(Ipv6Option.IPV6_HOPLIMIT)
_IPV6_RECVHOPLIMIT = int(Ipv6Option.IPV6_RECVHOPLIMIT)
_IPV6_TCLASS = int(Ipv6Option.IPV6_TCLASS)
_IPV6_RECVTCLASS = int(Ipv6Option.IPV6_RECVTCLASS)
_IPV6_2292PKTINFO = int(Ipv6Option.IPV6_2292PKTINFO)
_IPV6_2292HOPLIMIT = int(Ipv6Option.IPV6_2292HOPLIMIT)
_IPV6_ORIGDSTADDR = int(Ipv6Option.IPV6_ORIGDSTADDR)
_IPV6_DONTFRAG = int(Ipv6Option.IPV6_DONTFRAG)
_CHOICES_6 = {SOL_IP: (_IPV6_PKTINFO,), SOL_IPV6: (_IPV6_PKTINFO, _IPV6_2292PKTINFO)}
"""By which a socket of IPv6 may choose where it sends from, by the level of whom it sends to."""
DEVICE_MEMORY = 79
"""SCM_DEVMEM_DMABUF."""
_IPV6_UNICAST_HOPS = int(Ipv6Option.IPV6_UNICAST_HOPS)
_SO_RXQ_OVFL = int(SocketOption.SO_RXQ_OVFL)
SERVICES = {4: (SOL_IP, _IP_TOS), 16: (SOL_IPV6, _IPV6_TCLASS)}
"""By the length of an address: the option of the type of service."""
CONGESTION_BITS = 3
"""What of the type of service a stream keeps for itself (INET_ECN_MASK)."""
MARK, _SO_PRIORITY = int(SocketOption.SO_MARK), int(SocketOption.SO_PRIORITY)
MARKS = (MARK, _SO_PRIORITY)
_GROUP_OPTIONS = {
    4: (SERVICES[4], (SOL_IP, int(IpOption.IP_MULTICAST_TTL))),
    16: (SERVICES[16], (SOL_IPV6, int(Ipv6Option.IPV6_MULTICAST_HOPS))),
}
"""By the length of an address: the options of the type of service and the time to live."""


def _number(value: int) -> bytes:
    return pack_u32(value)


def packet_items(socket: DatagramSocket, packet: Packet) -> list[tuple[int, int, bytes]]:
    """What `socket` wants to be told of a datagram, as (level, type, data).

    Linux: net/ipv4/ip_sockglue.c, ip_cmsg_recv_offset; net/ipv6/datagram.c, ip6_datagram_recv_ctl.
    """
    plain, options = socket.options, socket.protocol_options
    items = timestamp_items(plain, packet.time_ns)
    if socket.tells_marks:
        if plain.get(_SO_RXQ_OVFL) and socket.drop_count:
            items.append((SOL_SOCKET, _SO_RXQ_OVFL, _number(socket.drop_count)))
        items += mark_items(plain, Marks(packet.mark, packet.priority))
    if not options:
        return items
    target, index = packet.target, packet.interface_index
    if packet.segment_bytes and options.get(COALESCE):
        items.append((*COALESCE, _number(packet.segment_bytes)))
    if socket.family == AF_INET6:
        if options.get((SOL_IPV6, _IPV6_RECVPKTINFO)):
            items.append((SOL_IPV6, _IPV6_PKTINFO, In6Pktinfo(mapped(target), index).pack()))
        if options.get((SOL_IPV6, _IPV6_RECVHOPLIMIT)):
            items.append((SOL_IPV6, _IPV6_HOPLIMIT, _number(packet.ttl)))
        if options.get((SOL_IPV6, _IPV6_RECVTCLASS)):
            items.append((SOL_IPV6, _IPV6_TCLASS, _number(packet.tos)))
        info = packet.tos << 20 | packet.flow_label
        if len(target) == 16 and info and options.get((SOL_IPV6, _IPV6_FLOWINFO)):
            items.append((SOL_IPV6, _IPV6_FLOWINFO, pack_address(info, 4)))
        has_headers = packet.options and len(target) == 16
        if has_headers:
            items += told_headers(options, packet, is_old=False)
        if options.get((SOL_IPV6, _IPV6_2292PKTINFO)):
            items.append((SOL_IPV6, _IPV6_2292PKTINFO, In6Pktinfo(mapped(target), index).pack()))
        if options.get((SOL_IPV6, _IPV6_2292HOPLIMIT)):
            items.append((SOL_IPV6, _IPV6_2292HOPLIMIT, _number(packet.ttl)))
        if has_headers:
            items += told_headers(options, packet, is_old=True)
        if options.get((SOL_IPV6, _IPV6_ORIGDSTADDR)):
            address = format_sockaddr(target, socket.local_port, AF_INET6, index)
            items.append((SOL_IPV6, _IPV6_ORIGDSTADDR, address))
    if len(target) == 4:
        if options.get((SOL_IP, _IP_PKTINFO)):
            own = _own_address(socket, packet)
            items.append((SOL_IP, _IP_PKTINFO, InPktinfo(index, own, target).pack()))
        if options.get((SOL_IP, _IP_RECVTTL)):
            items.append((SOL_IP, _IP_TTL, _number(packet.ttl)))
        if options.get((SOL_IP, _IP_RECVTOS)):
            items.append((SOL_IP, _IP_TOS, pack_u8(packet.tos)))
        if packet.options and options.get((SOL_IP, _IP_RECVOPTS)):
            items.append((SOL_IP, _IP_RECVOPTS, packet.options))
        if packet.options and options.get((SOL_IP, _IP_RETOPTS)):
            items.append((SOL_IP, _IP_RETOPTS, answered(packet.options)))
        if options.get((SOL_IP, _IP_RECVORIGDSTADDR)):
            address = pack_u16(AF_INET) + pack_port(socket.local_port) + target + bytes(8)
            items.append((SOL_IP, _IP_RECVORIGDSTADDR, address))
    return items


def _own_address(socket: DatagramSocket, packet: Packet) -> bytes:
    """What an answer would be sent from: of what came to a group or to all, one of this network's addresses.

    Linux: net/ipv4/fib_frontend.c, fib_compute_spec_dst.
    """
    target = packet.target
    if socket.network.routes.is_local(target):
        return target
    if is_any(packet.source):
        return packet.source
    try:
        return find_flow(socket.network, packet.source, None, None).source
    except Errno:
        return bytes(4)


def chosen_mark(socket: Socket, kind: int, body: bytes) -> int:
    """The mark or the priority in a control message. Raises EPERM, EINVAL. Linux: net/core/sock.c,
    __sock_cmsg_send."""
    if kind == MARK:
        check_mark(socket, kind, 0)
    if len(body) != 4:
        raise EINVAL
    number = int.from_bytes(body, "little", signed=True)
    if kind == _SO_PRIORITY:
        check_mark(socket, kind, number)
    return number


class PacketChoice:
    """What a sender chooses for one datagram by control messages; None where it leaves that to its socket.

    It goes to `target`, and messages of the other protocol than that's are passed over, but a socket of IPv6
    may name a source in its own way for IPv4, too. Raises EINVAL for what isn't known.
    Linux: net/ipv4/ip_sockglue.c, ip_cmsg_send; ip6_datagram_send_ctl.
    """

    __slots__ = (
        "extension_headers",
        "flow_info",
        "header_options",
        "is_undivided",
        "mark",
        "network",
        "out",
        "priority",
        "source",
        "stamping",
        "tos",
        "ttl",
    )

    def __init__(self, socket: InternetSocket, control: Control | None, target: bytes) -> None:
        level_of_target = SOL_IP if len(target) == 4 else SOL_IPV6
        self.network = socket.network
        self.source: bytes | None = None
        self.tos: int | None = None
        self.ttl: int | None = None
        self.stamping: int | None = None
        self.flow_info: int | None = None
        self.out = 0
        self.is_undivided: bool | None = None
        self.header_options: bytes | None = None
        self.extension_headers: dict[int, bytes] | None = None
        self.mark: int | None = None
        self.priority: int | None = None
        if control is None:
            return
        for level, kind, body in control.checked_items():
            if level == SOL_SOCKET:
                if kind in TIMESTAMPING:
                    self.stamping = checked_stamping(body)
                elif kind in MARKS:
                    self._mark(socket, kind, body)
                elif kind == DEVICE_MEMORY and len(body) == 4:
                    # Of no use but to TCP from memory of a device.
                    continue
                else:
                    check_socket_item(kind)
            elif level == SOL_IPV6 and kind in _CHOICES_6[level_of_target] and socket.family == AF_INET6:
                self._choose_6(socket, body, target)
            elif level != level_of_target:
                continue
            elif level == SOL_IP and kind == _IP_PKTINFO:
                if len(body) != InPktinfo.SIZE:
                    raise EINVAL
                wanted = InPktinfo.unpack(body)
                self.out = wanted.ipi_ifindex or self.out
                self.source = wanted.ipi_spec_dst if any(wanted.ipi_spec_dst) else self.source
            elif level == SOL_IP and kind == _IP_TTL:
                if len(body) != 4:
                    raise EINVAL
                self.ttl = _checked(body, 1)
            elif level == SOL_IP and kind == _IP_TOS:
                self.tos = _checked(body, 0)
                self.priority = priority_of(self.tos)
            elif level == SOL_IP and kind == _IP_RETOPTS:
                self.header_options = checked_options(body[:LONGEST_OPTIONS], socket.may_choose_routes)
            elif level == SOL_IP and kind == _IP_PROTOCOL:
                # It's for raw packets, whose own header says it.
                if len(body) != 4 or not 1 <= int.from_bytes(body, "little") <= 255:
                    raise EINVAL("no protocol")
            elif level == SOL_IPV6 and kind in (_IPV6_HOPLIMIT, _IPV6_2292HOPLIMIT):
                self.ttl = _checked_or_default(body)
            elif level == SOL_IPV6 and kind == _IPV6_DONTFRAG:
                number = int.from_bytes(body, "little")
                if len(body) != 4 or number > 1:
                    raise EINVAL("neither on nor off")
                self.is_undivided = bool(number)
            elif level == SOL_IPV6 and kind == _IPV6_TCLASS:
                self.tos = _checked_or_default(body)
            elif level == SOL_IPV6 and kind == _IPV6_FLOWINFO:
                if len(body) < _INFO_SIZE:
                    raise EINVAL
                self.flow_info = int.from_bytes(body[:_INFO_SIZE], "big") & INFO_MASK
            elif level == SOL_IPV6 and kind in HEADER_MESSAGES:
                if self.extension_headers is None:
                    self.extension_headers = {}
                checked_header(socket, kind, body, self.extension_headers)
            else:
                raise EINVAL(f"no control message {kind} at level {level}")

    @property
    def has_headers(self) -> bool:
        """Whether options or headers are chosen for this datagram alone."""
        return bool(self.header_options or self.extension_headers)

    def _mark(self, socket: InternetSocket, kind: int, body: bytes) -> None:
        number = chosen_mark(socket, kind, body)
        if kind == MARK:
            self.mark = number & 0xFFFF_FFFF
        else:
            self.priority = number

    @property
    def is_marked(self) -> bool:
        """Whether a mark or a priority is chosen for this datagram alone."""
        return self.mark is not None or self.priority is not None

    def put_marks(self, socket: InternetSocket, packet: Packet) -> None:
        """`packet` gets the mark and the priority that are chosen for it, or those of all of the socket's."""
        options = socket.options
        packet.mark = options.get(MARK, 0) if self.mark is None else self.mark
        packet.priority = options.get(_SO_PRIORITY, 0) if self.priority is None else self.priority

    def _choose_6(self, socket: InternetSocket, body: bytes, target: bytes) -> None:
        """IPV6_PKTINFO: the interface, and the address to send from. Raises EINVAL, ENODEV.

        Linux: net/ipv6/datagram.c, ip6_datagram_send_ctl; net/ipv4/ip_sockglue.c, ip_cmsg_send.
        """
        if len(body) < In6Pktinfo.SIZE:
            raise EINVAL
        chosen = In6Pktinfo.unpack_from(body)
        address, index = unmapped(chosen.ipi6_addr), chosen.ipi6_ifindex
        if len(target) == 4:
            if len(address) != 4:
                raise EINVAL("an address of IPv6")
            self.out = index or self.out
            self.source = address if any(address) else self.source
            return
        bound = socket.bound_index
        if index and bound not in (0, index):
            raise EINVAL("the socket is bound to another interface")
        self.out = index or self.out
        wanted = self.out or bound
        if wanted and wanted not in self.network.interfaces:
            raise ENODEV("no such interface")
        if not any(chosen.ipi6_addr):
            return
        if len(address) == 4 or not self.network.routes.is_local(address):
            raise EINVAL("no address of this network")
        self.source = address

    def info_for(self, socket: InternetSocket, address: bytes | None) -> int:
        """The flow label and traffic class of a datagram that is sent to `address`. Raises EINVAL."""
        if self.flow_info is None:
            return chosen_info(socket, address)
        check_label(socket, self.flow_info)
        return self.flow_info

    def service_and_limit(self, socket: InternetSocket, flow: Flow) -> tuple[int, int]:
        """The type of service and the time to live of a datagram of `socket` along `flow`."""
        options, target = socket.protocol_options, flow.target
        if is_multicast(target):
            return self._service_and_limit_of_group(socket, target)
        if len(target) == 4:
            tos = options.get((SOL_IP, _IP_TOS), 0)
            ttl = options.get((SOL_IP, _IP_TTL), flow.default_ttl)
        else:
            tos = options.get((SOL_IPV6, _IPV6_TCLASS), 0)
            ttl = options.get((SOL_IPV6, _IPV6_UNICAST_HOPS), flow.default_ttl)
        return (tos if self.tos is None else self.tos), (ttl if self.ttl is None else self.ttl)

    def _service_and_limit_of_group(self, socket: InternetSocket, target: bytes) -> tuple[int, int]:
        options = socket.protocol_options
        tos_option, ttl_option = _GROUP_OPTIONS[len(target)]
        tos, ttl = options.get(tos_option, 0), options.get(ttl_option, 1)
        return (tos if self.tos is None else self.tos), (ttl if self.ttl is None else self.ttl)


def _checked(body: bytes, least: int) -> int:
    """A number of 8 bits in a control message, as a byte or as an int. Raises EINVAL."""
    if len(body) not in (1, 4):
        raise EINVAL
    value = int.from_bytes(body, "little")
    if not least <= value <= 255:
        raise EINVAL
    return value


def _checked_or_default(body: bytes) -> int | None:
    """A number of 8 bits in an int, None for -1. Raises EINVAL."""
    if len(body) != 4:
        raise EINVAL
    value = int.from_bytes(body, "little", signed=True)
    if not -1 <= value <= 255:
        raise EINVAL
    return None if value < 0 else value
