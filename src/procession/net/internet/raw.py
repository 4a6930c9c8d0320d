"""Raw sockets, and those that send echo requests only (raw(7), icmp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import (
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EDESTADDRREQ,
    EFAULT,
    EINVAL,
    EMSGSIZE,
    ENETUNREACH,
    ENOPROTOOPT,
    EOPNOTSUPP,
)
from procession.abi.internet import IpOption, Ipv6Option
from procession.abi.socket import IpProtocol, SocketLevel, SocketOption, SocketType
from procession.abi.word import pack_port, pack_u16
from procession.net.buffer_charge import PACKET_ROOMS
from procession.net.internet.address import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    ANY_4,
    SHORTEST_6,
    family_of,
    is_any,
    is_multicast,
    scope_of,
)
from procession.net.internet.control import PacketChoice
from procession.net.internet.datagram import DatagramSocket
from procession.net.internet.error_queue import report_sent, report_undelivered
from procession.net.internet.flow_label import put_label
from procession.net.internet.group import hears_group, is_joined
from procession.net.internet.icmp import ECHO, ECHO_6, HEADER_BYTES, is_sound, message_about, with_checksum
from procession.net.internet.ipv6_options import IPV6_CHECKSUM
from procession.net.internet.output import send_astray, send_packet
from procession.net.internet.packet import ICMP, ICMP6, LONGEST_PACKET, UDP, UDP_LITE, Packet
from procession.net.internet.port_table import PortTable
from procession.net.internet.routing_rule import ANY_TRAFFIC, Traffic
from procession.net.internet.written_header import read_header, read_header_6
from procession.net.queue_ioctl import QUEUE_REQUESTS, tell_queue
from procession.net.socket import ESTABLISHED, MSG_MORE, MSG_OOB, MSG_PROBE, SENDING, QuietBrokenPipe
from procession.net.socket_options import pack_int, read_int

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.internet.flow import Flow
    from procession.net.internet.icmp_error import IcmpError
    from procession.net.link.interface import Interface
    from procession.net.message import Control, Received
    from procession.net.network import Network

_IPPROTO_RAW = int(IpProtocol.IPPROTO_RAW)
_RAW = int(SocketType.SOCK_RAW)
_SOL_RAW = int(SocketLevel.SOL_RAW)
_SO_REUSEADDR = int(SocketOption.SO_REUSEADDR)
_SOL_ICMPV6 = ICMP6
_SHORTEST_4 = 16
_MOBILITY = 135
_CHECKSUM_PLACES = {ICMP6: 2, _MOBILITY: 4}
"""Linux: net/ipv6/raw.c, rawv6_init_sk."""
_LOOKED_AT = {(AF_INET, ICMP): 2, (AF_INET6, ICMP6): 2, (AF_INET6, _MOBILITY): 4}
"""How many bytes of a message routes are looked for by. Linux: net/ipv4/raw.c, raw_probe_proto_opt;
net/ipv6/raw.c, rawv6_probe_proto_opt."""
_ICMP_FILTER = 1
_ICMP6_FILTER_BYTES = 32
_FILTERED = {ICMP: HEADER_BYTES, ICMP6: 4}
"""How much of a message a filter wants to see."""
_HEADER_INCLUDED = (int(SocketLevel.SOL_IP), int(IpOption.IP_HDRINCL))
_SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_ONLY_6 = (_SOL_IPV6, int(Ipv6Option.IPV6_V6ONLY))
_IPV6_HDRINCL = int(Ipv6Option.IPV6_HDRINCL)
_HEADER_INCLUDED_6 = (_SOL_IPV6, _IPV6_HDRINCL)


class _MessageSocket(DatagramSocket):
    """What raw and ping sockets have in common."""

    __slots__ = ()

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, family, kind, protocol, owner_uid)
        # Linux: include/net/protocol.h, INET_PROTOSW_REUSE.
        self.options[_SO_REUSEADDR] = 1

    def may_hear(self, packet: Packet, interface: Interface) -> bool:
        """Whether a packet of its protocol is for this socket."""
        if (len(packet.target) == 4) != (self.family == AF_INET) or not self.hears(interface):
            return False
        if not is_any(self.local_address) and self.local_address != packet.target:
            return False
        if is_multicast(packet.target) and not (
            is_joined(self.network, interface, packet.target)
            and hears_group(self, packet.target, packet.source, interface)
        ):
            return False
        return self.remote_address is None or self.remote_address == packet.source

    def target_of(self, address: bytes | None) -> tuple[bytes, int, int]:
        """Where a message goes, with the port that the address says and its scope. Raises EDESTADDRREQ."""
        if address:
            target, port = self.parse_target(address)
            return target, port, scope_of(address)
        if self.remote_address is None:
            raise EDESTADDRREQ
        return self.remote_address, self.remote_port, 0

    def check_sending(self, data: bytes, flags: int) -> None:
        """Raise EMSGSIZE, EOPNOTSUPP."""
        self.check_length(len(data))
        if flags & MSG_OOB:
            raise EOPNOTSUPP("no urgent data here")

    def check_open(self) -> None:
        """Raise a pending error or EPIPE. Linux: net/core/sock.c, sock_alloc_send_pskb."""
        self.raise_error()
        if self.ended & SENDING:
            raise QuietBrokenPipe("the socket was shut down")

    def receive(self, length: int, flags: int) -> Received:
        """Linux: net/ipv4/raw.c, raw_recvmsg; net/ipv4/ping.c, ping_recvmsg."""
        if flags & MSG_OOB:
            raise EOPNOTSUPP("no urgent data here")
        return super().receive(length, flags)

    def check_length(self, length: int, address: bytes | None = None) -> None:
        if length > LONGEST_PACKET:
            if self.family == AF_INET6 and self.kind == _RAW:
                self.target_of(address)
            raise EMSGSIZE("longer than a packet may be")

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        if flags & MSG_OOB:
            raise EOPNOTSUPP("no urgent data here")
        self.target_of(address)

    def connect(self, address: bytes, flags: int) -> None:
        """Linux: net/ipv6/datagram.c, ip6_datagram_connect_v6_only."""
        if self.family == AF_INET6 and family_of(address) not in (AF_UNSPEC, AF_INET6):
            raise EAFNOSUPPORT
        super().connect(address, flags)

    def bind_automatically(self, *, for_connection: bool = False) -> None:
        """There are no ports of its protocol."""


class HeldWay:
    """Where a packet goes of which the rest is to come, as its first part was told."""

    __slots__ = ("choice", "info", "scope", "target")

    def __init__(self, target: bytes, scope: int, choice: PacketChoice, info: int) -> None:
        self.target = target
        self.scope = scope
        self.choice = choice
        self.info = info


class RawSocket(_MessageSocket):
    """A raw socket (Linux: include/net/raw.h, struct raw_sock).

    `unwanted_types` has a bit for each type of ICMP that is dropped. `checksum_place` is where in a message
    of IPv6 the checksum goes, -1 for nowhere. TCP's segments aren't made, so that none arrives here. `held`
    is what MSG_MORE keeps back and where it goes, None for nothing.
    """

    __slots__ = ("checksum_place", "held", "unwanted_types")

    prototype: ClassVar[bytes] = b"RAW"
    can_peek_at_offset: ClassVar[bool] = False

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, family, kind, protocol, owner_uid)
        self.unwanted_types = b""
        self.held: tuple[bytes, HeldWay] | None = None
        self.checksum_place = _CHECKSUM_PLACES.get(protocol, -1) if family == AF_INET6 else -1
        # Linux: net/ipv4/af_inet.c, inet_create.
        self.local_port = protocol
        if protocol == _IPPROTO_RAW:
            self.protocol_options[_HEADER_INCLUDED if family == AF_INET else _HEADER_INCLUDED_6] = 1
        network.raw_sockets[self] = None

    def bind(self, address: bytes) -> None:
        """Linux: net/ipv4/raw.c, raw_bind; net/ipv6/raw.c, rawv6_bind."""
        if self.family == AF_INET6 and family_of(address) != AF_INET6:
            raise EINVAL("an address of another family")
        if self.family == AF_INET:
            # Whatever family it says.
            if len(address) < _SHORTEST_4:
                raise EINVAL("a struct sockaddr_in is needed")
            wanted = address[4:8]
        else:
            wanted, _ = self.parse_for_bind(address)
            if len(wanted) == 4:
                raise EADDRNOTAVAIL("an address of IPv4")
        if self.state == ESTABLISHED:
            raise EINVAL("the socket is connected")
        self.check_bindable(wanted, scope_of(address))
        # It doesn't count as chosen: who disconnects has none.
        self.local_address = wanted

    def way_to(
        self,
        target: bytes,
        local: bytes | None,
        scope: int,
        chosen: int = 0,
        *,
        traffic: Traffic = ANY_TRAFFIC,
    ) -> Flow:
        if len(target) == 4 and self.family == AF_INET6:
            # Only connect(2) comes so far with it: what the socket is bound to is no source for IPv4.
            local = ANY_4
        return super().way_to(target, local, scope, chosen, traffic=traffic)

    def target_of(self, address: bytes | None) -> tuple[bytes, int, int]:
        """Linux: net/ipv4/raw.c, raw_sendmsg; net/ipv6/raw.c, rawv6_sendmsg: an address of no family is one
        of the socket's, and with IPv6 a port names the protocol. Addresses that stand for IPv4's are routed
        as IPv6's, so that there's no way to them.
        """
        if self.family == AF_INET:
            if address and len(address) >= _SHORTEST_4 and family_of(address) == AF_UNSPEC:
                address = pack_u16(AF_INET) + address[2:]
            return super().target_of(address)
        if address is not None:
            if len(address) < SHORTEST_6:
                raise EINVAL("a struct sockaddr_in6 is needed")
            if family_of(address) not in (AF_UNSPEC, AF_INET6):
                raise EAFNOSUPPORT
            address = pack_u16(AF_INET6) + address[2:]
        target, port, scope = super().target_of(address)
        if address is not None and port and (port > 0xFF or self.protocol not in (port, _IPPROTO_RAW)):
            raise EINVAL("the port isn't the protocol")
        if len(target) == 4:
            raise ENETUNREACH("no way to an address of IPv4")
        return target, port, scope

    @property
    def has_own_header(self) -> bool:
        """Whether programs write the header of IP themselves (IP_HDRINCL, IPV6_HDRINCL)."""
        options = self.protocol_options
        return bool(options.get(_HEADER_INCLUDED if self.family == AF_INET else _HEADER_INCLUDED_6))

    @property
    def sends_from_anywhere(self) -> bool:
        return self.has_own_header or super().sends_from_anywhere

    def contents(self, packet: Packet) -> bytes:
        whole = packet.with_header() if self.family == AF_INET else packet.payload
        return whole[: packet.most_bytes]

    def sender_port(self, packet: Packet) -> int:
        """None: what is behind the header of IP isn't looked at."""
        return 0

    def wants(self, packet: Packet, interface: Interface) -> bool:
        """Linux: net/ipv4/raw.c, raw_v4_match, icmp_filter; net/ipv6/raw.c, icmpv6_filter, rawv6_rcv_skb."""
        if self.protocol != packet.protocol or not self.may_hear(packet, interface):
            return False
        if len(packet.data) < _FILTERED.get(packet.protocol, 0):
            # There's no whole header to be looked at.
            return False
        is_made_here = packet.protocol in (UDP, UDP_LITE) and packet.written is None
        if self.checksum_place >= 0 and not is_made_here and not is_sound(packet):
            return False
        kind = packet.data[0] if packet.data else 0
        if packet.protocol == ICMP and len(self.unwanted_types) >= 4:
            return kind > 31 or not int.from_bytes(self.unwanted_types[:4], "little") >> kind & 1
        if packet.protocol == ICMP6 and len(self.unwanted_types) == _ICMP6_FILTER_BYTES:
            return not int.from_bytes(self.unwanted_types, "little") >> kind & 1
        return True

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/ipv4/raw.c, raw_sendmsg; net/ipv6/raw.c, rawv6_sendmsg."""
        self.check_sending(data, flags)
        target, _, scope = self.target_of(address)
        choice = PacketChoice(self, control, target)
        if len(data) < _LOOKED_AT.get((self.family, self.protocol), 0) and not self.has_own_header:
            raise EFAULT("shorter than what is looked at for the route")
        flow = self.way_to(
            *(target, choice.source, scope, choice.out), traffic=self.traffic_to(target, 0, choice)
        )
        if self.has_own_header:
            # For others nothing is looked at but the room (in Linux, __ip_append_data without transhdrlen).
            self.check_open()
            self._send_whole(data, flow, choice)
            return len(data)
        if flags & MSG_PROBE:
            return len(data)
        way = HeldWay(target, scope, choice, choice.info_for(self, address))
        if self.held is not None:
            begun, way = self.held
            self.held = None
            self.let_held_go()
            self.check_fits(len(begun) + len(data) + flow.header_bytes, flow, choice.is_undivided)
            if not flags & MSG_MORE:
                flow = self._way_of(way)
            self._send_or_hold(begun + data, flags, flow, way)
        else:
            self._send_or_hold(data, flags, flow, way)
        return len(data)

    def _way_of(self, held: HeldWay) -> Flow:
        choice = held.choice
        traffic = self.traffic_to(held.target, 0, choice)
        return self.way_to(held.target, choice.source, held.scope, choice.out, traffic=traffic)

    def _send_or_hold(self, data: bytes, flags: int, flow: Flow, way: HeldWay) -> None:
        """Keep it back for more of the same packet (MSG_MORE), or send it. Raises EMSGSIZE, EINVAL.

        Linux: net/ipv4/raw.c, raw_sendmsg; net/ipv6/raw.c, rawv6_push_pending_frames.
        """
        if flags & MSG_MORE:
            self.keep_back(len(data), PACKET_ROOMS[len(flow.target)])
            self.held = data, way
            return
        choice = way.choice
        tos, ttl = choice.service_and_limit(self, flow)
        place = self.checksum_place
        whole = data
        if place >= 0:
            if place + 2 > len(data):
                raise EINVAL("no place for the checksum")
            whole = with_checksum(data, flow.source, flow.target, self.protocol, place)
        time_ns = self.network.host.clock.realtime_ns
        packet = Packet(whole, flow.source, 0, flow.target, 0, time_ns, tos, ttl, self.protocol)
        if packet.protocol in (UDP, UDP_LITE):
            packet.take_written(whole)
        put_label(self, packet, way.info)
        choice.put_marks(self, packet)
        self.put_options(packet, choice)
        self.check_fits(packet.wire_bytes, flow, choice.is_undivided)
        report_sent(self, packet, flow, choice)
        send_packet(self.network, packet, flow, is_looped=self.loops_groups(flow.target))
        self.sent_is_freed()

    def _send_whole(self, whole: bytes, flow: Flow, choice: PacketChoice) -> None:
        """Send a packet with its header of IP, in which some is filled in. Raises EMSGSIZE, EINVAL.

        Linux: net/ipv4/raw.c, raw_send_hdrinc; net/ipv6/raw.c, rawv6_send_hdrinc.
        """
        if len(whole) > flow.mtu:
            raise EMSGSIZE("longer than the interface carries")
        time_ns = self.network.host.clock.realtime_ns
        read = read_header if self.family == AF_INET else read_header_6
        packet = read(whole, flow.source, time_ns)
        if packet is None:
            # It's sent, but nobody takes it for a packet.
            return
        choice.put_marks(self, packet)
        report_sent(self, packet, flow, choice)
        if packet.target != flow.target:
            send_astray(self.network, packet, flow)
        else:
            send_packet(self.network, packet, flow, is_looped=self.loops_groups(flow.target))
        self.sent_is_freed()

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: net/ipv4/raw.c, raw_ioctl; net/ipv6/raw.c, rawv6_ioctl."""
        if request in QUEUE_REQUESTS:
            first_bytes = len(self.contents(self.packets[0])) if self.packets else 0
            return tell_queue(first_bytes, request, argument, memory, held_bytes=self.used_room)
        return super().ioctl(request, argument, memory)

    def check_option(self, level: int, name: int, *, is_set: bool) -> None:
        if level == _SOL_RAW:
            if self.family == AF_INET:
                self._check_filter(level, name)
            return
        if level == _SOL_ICMPV6 and self.family == AF_INET6:
            if self.protocol != ICMP6:
                raise EOPNOTSUPP("only ICMPv6 has types")
            self._check_filter(level, name)
            return
        super().check_option(level, name, is_set=is_set)

    def set_option(self, level: int, name: int, value: bytes) -> None:
        """Linux: net/ipv4/raw.c, raw_seticmpfilter; net/ipv6/raw.c, rawv6_seticmpfilter,
        do_rawv6_setsockopt."""
        if (level == _SOL_RAW and self.family == AF_INET) or level == _SOL_ICMPV6:
            self._check_filter(level, name)
            size = 4 if level == _SOL_RAW else _ICMP6_FILTER_BYTES
            kept = self.unwanted_types.ljust(size, b"\0")
            self.unwanted_types = value[:size] + kept[len(value[:size]) :]
        elif level == _SOL_RAW or (level == _SOL_IPV6 and name in (IPV6_CHECKSUM, _IPV6_HDRINCL)):
            number = read_int(value)
            if name == _IPV6_HDRINCL:
                self.protocol_options[_HEADER_INCLUDED_6] = int(number != 0)
            elif name != IPV6_CHECKSUM:
                raise ENOPROTOOPT
            elif self.protocol == ICMP6 and level == _SOL_IPV6:
                raise EINVAL("ICMPv6's checksum is always made")
            elif number > 0 and number & 1:
                raise EINVAL("an odd place")
            else:
                self.checksum_place = max(number, -1)
        else:
            super().set_option(level, name, value)

    def _check_filter(self, level: int, name: int) -> None:
        if name != _ICMP_FILTER:
            raise ENOPROTOOPT
        if self.protocol != (ICMP if level == _SOL_RAW else ICMP6):
            raise EOPNOTSUPP("only ICMP has types")

    def get_option(self, level: int, name: int, length: int) -> bytes:
        if (level == _SOL_RAW and self.family == AF_INET) or level == _SOL_ICMPV6:
            self._check_filter(level, name)
            if length < 0:
                raise EINVAL("a negative length")
            return self.unwanted_types.ljust(4 if level == _SOL_RAW else _ICMP6_FILTER_BYTES, b"\0")
        if level == _SOL_RAW or (level == _SOL_IPV6 and name in (IPV6_CHECKSUM, _IPV6_HDRINCL)):
            if name == _IPV6_HDRINCL:
                return pack_int(self.protocol_options.get(_HEADER_INCLUDED_6, 0))
            if name == IPV6_CHECKSUM:
                return pack_int(self.checksum_place)
            raise ENOPROTOOPT
        return super().get_option(level, name, length)

    def disconnect(self) -> None:
        """Nothing arrives for it from now on, as it has no port that was chosen. Linux: net/ipv4/udp.c,
        __udp_disconnect; net/ipv4/raw.c, raw_unhash_sk."""
        super().disconnect()
        self.network.raw_sockets.pop(self, None)

    def release(self) -> None:
        self.network.raw_sockets.pop(self, None)
        super().release()


class PingSocket(_MessageSocket):
    """A datagram socket of ICMP, which sends echo requests: its port is their identifier.

    Linux: net/ipv4/ping.c; include/net/ping.h.
    """

    __slots__ = ()

    prototype: ClassVar[bytes] = b"PING"
    can_peek_at_offset: ClassVar[bool] = False
    tells_marks: ClassVar[bool] = False

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, family, kind, protocol, owner_uid)
        # Linux: net/ipv4/ping.c, ping_init_sock.
        if family == AF_INET6:
            self.is_ipv6_only = True
            self.protocol_options[_ONLY_6] = 1

    @property
    def ports(self) -> PortTable:
        return self.network.ping_ports

    def bind_automatically(self, *, for_connection: bool = False) -> None:
        """Linux: net/ipv4/ping.c, ping_get_port."""
        if not self.has_port:
            table = self.ports
            port = table.next_offset
            for _ in range(0xFFFF):
                port = port % 0xFFFF + 1
                if port not in table.holders:
                    break
            else:
                raise EADDRINUSE
            table.next_offset = port
            self.local_port = port
            self._listen()

    def _listen(self) -> None:
        self.has_port = True
        self.ports.add(self)
        self.network.ping_sockets[self] = None

    def bind(self, address: bytes) -> None:
        """Linux: net/ipv4/ping.c, ping_bind."""
        wanted, port = self.parse_for_bind(address)
        self.check_bindable(wanted, scope_of(address))
        if self.has_port:
            raise EINVAL("the socket has an address")
        if port:
            self.ports.check_bind(self, wanted, port)
            self.local_port = port
            self._listen()
        else:
            self.bind_automatically()
        self.choose_address(wanted)
        self.has_chosen_port = port != 0

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        """The header is fetched next. Linux: net/ipv4/ping.c, ping_common_sendmsg."""
        if length < HEADER_BYTES:
            raise EINVAL("shorter than a header of ICMP")
        if flags & MSG_OOB:
            raise EOPNOTSUPP("no urgent data here")

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/ipv4/ping.c, ping_v4_sendmsg; net/ipv6/ping.c, ping_v6_sendmsg."""
        self.check_length(len(data))
        self.check_message(len(data), flags, address)
        self.check_open()
        if data[0] != (ECHO if self.family == AF_INET else ECHO_6) or data[1]:
            raise EINVAL("only echo requests may be sent")
        target, _, scope = self.target_of(address)
        choice = PacketChoice(self, control, target)
        flow = self.way_to(
            *(target, choice.source, scope, choice.out), traffic=self.traffic_to(target, 0, choice)
        )
        self.bind_automatically()
        if flags & MSG_PROBE:
            return len(data)
        tos, ttl = choice.service_and_limit(self, flow)
        # Whatever identifier the program has put there: answers find their socket by it.
        message = data[:4] + pack_port(self.local_port) + data[6:]
        message = with_checksum(message, flow.source, flow.target)
        time_ns = self.network.host.clock.realtime_ns
        packet = Packet(message, flow.source, 0, flow.target, 0, time_ns, tos, ttl, self.protocol)
        put_label(self, packet, choice.info_for(self, address))
        choice.put_marks(self, packet)
        self.put_options(packet, choice)
        self.check_fits(packet.wire_bytes, flow, choice.is_undivided)
        report_sent(self, packet, flow, choice)
        send_packet(self.network, packet, flow, is_looped=self.loops_groups(flow.target))
        self.sent_is_freed()
        return len(data)

    def release(self) -> None:
        self.network.ping_sockets.pop(self, None)
        super().release()


def deliver_raw(network: Network, packet: Packet, interface: Interface) -> bool:
    """Give `packet` to all raw sockets that want it; whether there was one.

    Linux: net/ipv4/raw.c, raw_v4_input; net/ipv6/raw.c, ipv6_raw_deliver.
    """
    found = [socket for socket in network.raw_sockets if socket.wants(packet, interface)]
    for socket in found:
        socket.arrive(packet)
    return bool(found)


def tell_raw(network: Network, packet: Packet, error: IcmpError, offender: bytes) -> None:
    """What became of `packet` is a message itself, which raw sockets of ICMP get; and those that have sent
    it are told by their queues of errors. Linux: net/ipv4/raw.c, raw_icmp_error."""
    deliver_raw(network, message_about(packet, error, offender), network.loopback)
    for socket in list(network.raw_sockets):
        if socket.protocol == packet.protocol and (len(packet.target) == 4) == (socket.family == AF_INET):
            data = packet.with_header() if socket.has_own_header else packet.payload
            report_undelivered(socket, packet, error, offender, data)


def tell_ping(network: Network, packet: Packet, error: IcmpError, offender: bytes) -> None:
    """Linux: net/ipv4/ping.c, ping_err."""
    identifier = int.from_bytes(packet.data[4:6], "big")
    for socket in list(network.ping_sockets):
        if socket.protocol == packet.protocol and socket.local_port == identifier:
            report_undelivered(socket, packet, error, offender)
