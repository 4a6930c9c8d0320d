"""Raw sockets, and those that send echo requests only (raw(7), icmp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import (
    EADDRINUSE,
    EDESTADDRREQ,
    EINVAL,
    EMSGSIZE,
    ENOPROTOOPT,
    EOPNOTSUPP,
)
from procession.abi.internet import IpOption
from procession.abi.socket import IpProtocol, SocketLevel
from procession.abi.word import pack_port
from procession.net.internet.address import AF_INET, AF_INET6, is_any, scope_of
from procession.net.internet.control import PacketChoice
from procession.net.internet.datagram import DatagramSocket
from procession.net.internet.error_queue import report_undelivered
from procession.net.internet.icmp import ECHO, ECHO_6, HEADER_BYTES, message_about, with_checksum
from procession.net.internet.output import send_packet
from procession.net.internet.packet import ICMP, ICMP6, IPV4_HEADER_BYTES, Packet, header_bytes
from procession.net.internet.port_table import PortTable
from procession.net.socket import ESTABLISHED, MSG_OOB, SENDING, QuietBrokenPipe
from procession.net.socket_options import read_int

if TYPE_CHECKING:
    from procession.net.internet.icmp_error import IcmpError
    from procession.net.link.interface import Interface
    from procession.net.message import Control
    from procession.net.network import Network

LONGEST_PACKET = 65_535
_IPPROTO_RAW = int(IpProtocol.IPPROTO_RAW)
_SOL_RAW = int(SocketLevel.SOL_RAW)
_SOL_ICMPV6 = ICMP6
_ICMP_FILTER = 1
_ICMP6_FILTER_BYTES = 32
_HEADER_INCLUDED = (int(SocketLevel.SOL_IP), int(IpOption.IP_HDRINCL))
_SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_IPV6_CHECKSUM = 7


class _MessageSocket(DatagramSocket):
    """What raw and ping sockets have in common."""

    __slots__ = ()

    def may_hear(self, packet: Packet, interface: Interface) -> bool:
        """Whether a packet of its protocol is for this socket."""
        if (len(packet.target) == 4) != (self.family == AF_INET) or not self.hears(interface):
            return False
        if not is_any(self.local_address) and self.local_address != packet.target:
            return False
        return self.remote_address is None or self.remote_address == packet.source

    def target_of(self, address: bytes | None) -> tuple[bytes, int, int]:
        """Where a message goes, with the port that the address says and its scope. Raises EDESTADDRREQ."""
        if address is not None:
            target, port = self.parse_target(address)
            return target, port, scope_of(address)
        if self.remote_address is None:
            raise EDESTADDRREQ
        return self.remote_address, self.remote_port, self.remote_scope

    def check_sending(self, data: bytes, flags: int) -> None:
        """Raise EMSGSIZE, EOPNOTSUPP, a pending error or EPIPE."""
        if len(data) > LONGEST_PACKET:
            raise EMSGSIZE("longer than a packet may be")
        if flags & MSG_OOB:
            raise EOPNOTSUPP("no urgent data here")
        self.raise_error()
        if self.ended & SENDING:
            raise QuietBrokenPipe("the socket was shut down")

    def check_length(self, length: int) -> None:
        if length > LONGEST_PACKET:
            raise EMSGSIZE("longer than a packet may be")

    def bind_automatically(self, *, for_connection: bool = False) -> None:
        """There are no ports of its protocol."""


class RawSocket(_MessageSocket):
    """A raw socket (Linux: include/net/raw.h, struct raw_sock).

    `filter` has a bit for each type of ICMP that isn't wanted. TCP's segments aren't made, so that none
    arrives here.
    """

    __slots__ = ("filter",)

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, family, kind, protocol, owner_uid)
        self.filter = b""
        self.local_port = protocol if family == AF_INET6 else 0
        if protocol == _IPPROTO_RAW:
            self.protocol_options[_HEADER_INCLUDED] = 1
        network.raw_sockets[self] = None

    def bind(self, address: bytes) -> None:
        """Linux: net/ipv4/raw.c, raw_bind; net/ipv6/raw.c, rawv6_bind."""
        wanted, _ = self.parse_for_bind(address)
        self.check_bindable(wanted, scope_of(address))
        if self.state == ESTABLISHED and self.family == AF_INET:
            raise EINVAL("the socket is connected")
        self.local_address = wanted
        self.has_chosen_address = not is_any(wanted)

    def contents(self, packet: Packet) -> bytes:
        return packet.with_header() if self.family == AF_INET else packet.payload

    def wants(self, packet: Packet, interface: Interface) -> bool:
        """Linux: net/ipv4/raw.c, raw_v4_match, icmp_filter."""
        if self.protocol != packet.protocol or not self.may_hear(packet, interface):
            return False
        kind = packet.data[0] if packet.data else 0
        if packet.protocol == ICMP and len(self.filter) >= 4:
            return kind > 31 or not int.from_bytes(self.filter[:4], "little") >> kind & 1
        if packet.protocol == ICMP6 and len(self.filter) == _ICMP6_FILTER_BYTES:
            return not int.from_bytes(self.filter, "little") >> kind & 1
        return True

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/ipv4/raw.c, raw_sendmsg; net/ipv6/raw.c, rawv6_sendmsg."""
        self.check_sending(data, flags)
        target, _, scope = self.target_of(address)
        choice = PacketChoice(self.network, control.items if control is not None else ())
        length = len(data)
        protocol = self.protocol
        if self.family == AF_INET and self.protocol_options.get(_HEADER_INCLUDED):
            if length < IPV4_HEADER_BYTES or data[0] >> 4 != 4 or (data[0] & 15) * 4 > length:
                raise EINVAL("no header of IP")
            protocol, choice.ttl, choice.tos = data[9], data[8], data[1]
            if any(data[12:16]):
                choice.source = data[12:16]
            data = data[(data[0] & 15) * 4 :]
        flow = self.way_to(target, choice.source, scope)
        if length > flow.mtu and self.protocol_options.get(_HEADER_INCLUDED):
            raise EMSGSIZE("longer than the interface carries")
        tos, ttl = choice.service_and_limit(self, flow.target)
        if self.family == AF_INET6 and protocol == ICMP6:
            if len(data) < 4:
                raise EINVAL("no place for the checksum")
            data = with_checksum(data, flow.source, flow.target)
        time_ns = self.network.host.clock.realtime_ns
        self.check_fits(header_bytes(flow.target) + len(data), flow)
        packet = Packet(data, flow.source, 0, flow.target, 0, time_ns, tos, ttl, protocol)
        send_packet(self.network, packet, flow)
        return length

    def set_option(self, level: int, name: int, value: bytes) -> None:
        """Linux: net/ipv4/raw.c, raw_seticmpfilter; net/ipv6/raw.c, rawv6_seticmpfilter."""
        if level == _SOL_RAW and self.family == AF_INET:
            if name != _ICMP_FILTER:
                raise ENOPROTOOPT
            if self.protocol != ICMP:
                raise EOPNOTSUPP("only ICMP has types")
            self.filter = (value[:4]).ljust(4, b"\0")
        elif level == _SOL_ICMPV6 and self.family == AF_INET6 and self.protocol == ICMP6:
            if name != _ICMP_FILTER:
                raise ENOPROTOOPT
            self.filter = value[:_ICMP6_FILTER_BYTES].ljust(_ICMP6_FILTER_BYTES, b"\0")
        elif level in (_SOL_RAW, _SOL_IPV6) and name == _IPV6_CHECKSUM and self.family == AF_INET6:
            if self.protocol == ICMP6 and level == _SOL_IPV6:
                raise EINVAL("ICMPv6's checksum is always made")
            if read_int(value) % 2 and read_int(value) > 0:
                raise EINVAL("an odd place")
            if self.protocol != ICMP6:
                raise ENOPROTOOPT
        else:
            super().set_option(level, name, value)

    def get_option(self, level: int, name: int, length: int) -> bytes:
        if level == _SOL_RAW and self.family == AF_INET:
            if name != _ICMP_FILTER:
                raise ENOPROTOOPT
            if self.protocol != ICMP:
                raise EOPNOTSUPP("only ICMP has types")
            return self.filter.ljust(4, b"\0")
        return super().get_option(level, name, length)

    def release(self) -> None:
        self.network.raw_sockets.pop(self, None)
        super().release()


class PingSocket(_MessageSocket):
    """A datagram socket of ICMP, which sends echo requests: its port is their identifier.

    Linux: net/ipv4/ping.c; include/net/ping.h.
    """

    __slots__ = ()

    can_peek_at_offset: ClassVar[bool] = False

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
        self.local_address = wanted
        self.has_chosen_address = not is_any(wanted)
        self.has_chosen_port = port != 0

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/ipv4/ping.c, ping_v4_sendmsg; net/ipv6/ping.c, ping_v6_sendmsg."""
        self.check_sending(data, flags)
        if len(data) < HEADER_BYTES:
            raise EINVAL("shorter than a header of ICMP")
        if data[0] != (ECHO if self.family == AF_INET else ECHO_6) or data[1]:
            raise EINVAL("only echo requests may be sent")
        target, _, scope = self.target_of(address)
        choice = PacketChoice(self.network, control.items if control is not None else ())
        flow = self.way_to(target, choice.source, scope)
        self.bind_automatically()
        tos, ttl = choice.service_and_limit(self, flow.target)
        message = data[:4] + pack_port(self.local_port) + data[6:]
        message = with_checksum(message, flow.source, flow.target)
        time_ns = self.network.host.clock.realtime_ns
        self.check_fits(header_bytes(flow.target) + len(message), flow)
        packet = Packet(message, flow.source, 0, flow.target, 0, time_ns, tos, ttl, self.protocol)
        send_packet(self.network, packet, flow)
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
            report_undelivered(socket, packet, error, offender)


def tell_ping(network: Network, packet: Packet, error: IcmpError, offender: bytes) -> None:
    """Linux: net/ipv4/ping.c, ping_err."""
    identifier = int.from_bytes(packet.data[4:6], "big")
    for socket in list(network.ping_sockets):
        if socket.protocol == packet.protocol and socket.local_port == identifier:
            report_undelivered(socket, packet, error, offender)
