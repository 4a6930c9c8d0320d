"""Packets of IPv4 and IPv6, without the headers that sockets don't see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.socket import IpProtocol
from procession.abi.word import Words, pack_address, pack_port, pack_u8
from procession.net.buffer_charge import PACKET_ROOMS, packet_charge

if TYPE_CHECKING:
    from procession.net.netfilter.tracking import Tracked
    from procession.net.network import Network

TCP = int(IpProtocol.IPPROTO_TCP)
UDP, UDP_LITE = int(IpProtocol.IPPROTO_UDP), int(IpProtocol.IPPROTO_UDPLITE)
IGMP = int(IpProtocol.IPPROTO_IGMP)
ICMP, ICMP6 = int(IpProtocol.IPPROTO_ICMP), int(IpProtocol.IPPROTO_ICMPV6)
IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, UDP_HEADER_BYTES = 20, 40, 8
LONGEST_PACKET = 65_535
_IPV4_HEADER = Words(">BBHHHBBH")
_PORTS = Words(">HHHH")
_PLACE = Words(">HH")
_DONT_FRAGMENT, _PIECE = 0x4000, 0x3FFF
SOUND, CUT_SHORT, WRONG_CHECKSUM = 0, 1, 2
"""What is wrong with a datagram."""


_SERVICE_BITS = 0x1E
_PRIORITIES = (0, 2, 6, 4)
"""Of packets, by what service is asked for: the best effort, bulk, interactive, and both."""


def priority_of(service: int) -> int:
    """Of a packet with that type of service. Linux: include/net/route.h, rt_tos2priority."""
    return _PRIORITIES[(service & _SERVICE_BITS) >> 3]


class Packet:
    """A packet. `data` is what UDP carries, or all behind the header of IP for other protocols, whose ports
    are 0. `options` are those in the header of IPv4. `time_ns` is when it was sent, since the epoch;
    `interface_index` is where it has arrived.

    `tracked` is what the connection tracking of the network where it is says of it, and `mark` what its
    sender or rules have marked it with there; `priority` is what the sender gave it (SO_PRIORITY).
    `is_peeked` says that an empty one has been looked at, `is_quoting_anew` that it's a message about a
    packet whose addresses were changed back in it.

    What a program has written itself is kept as it is: `place` is the identification of IPv4 and where a
    piece belongs, as in the header (empty if the kernel chose them), and `written` all of a datagram with its
    header, of which `data` is what a socket gets unless `flaw` says that it gets nothing.

    `flow_label` is IPv6's. `segment_bytes` says of data that were to be sent in pieces how long each is
    (UDP_SEGMENT); 0 for others.

    All who hear it share it. What a filter cuts short is a copy for its socket alone, of which programs get
    `most_bytes` at most, whatever they get of packets.
    """

    __slots__ = (
        "charge",
        "data",
        "first_header",
        "flaw",
        "flow_label",
        "interface_index",
        "is_peeked",
        "is_quoting_anew",
        "mark",
        "most_bytes",
        "options",
        "place",
        "priority",
        "protocol",
        "segment_bytes",
        "source",
        "source_port",
        "target",
        "target_port",
        "time_ns",
        "tos",
        "tracked",
        "ttl",
        "written",
    )

    def __init__(
        self,
        data: bytes,
        source: bytes,
        source_port: int,
        target: bytes,
        target_port: int,
        time_ns: int,
        tos: int,
        ttl: int,
        protocol: int = UDP,
    ) -> None:
        self.data = data
        room = PACKET_ROOMS[len(target)]
        self.charge = packet_charge(len(data), room + UDP_HEADER_BYTES if protocol == UDP else room)
        self.source = source
        self.source_port = source_port
        self.target = target
        self.target_port = target_port
        self.time_ns = time_ns
        self.tos = tos
        self.ttl = ttl
        self.protocol = protocol
        self.interface_index = 0
        self.most_bytes = LONGEST_PACKET
        self.options = b""
        self.first_header = 0
        self.tracked: tuple[Network, Tracked | None] | None = None
        self.mark = 0
        self.priority = 0
        self.is_quoting_anew = self.is_peeked = False
        self.segment_bytes = 0
        self.flow_label = 0
        self.place = b""
        self.written: bytes | None = None
        self.flaw = SOUND

    def copy(self) -> Packet:
        """The same once more, for another who hears it."""
        packet = Packet(
            *(self.data, self.source, self.source_port, self.target, self.target_port),
            *(self.time_ns, self.tos, self.ttl, self.protocol),
        )
        packet.mark, packet.priority = self.mark, self.priority
        packet.options = self.options
        packet.first_header = self.first_header
        packet.segment_bytes = self.segment_bytes
        packet.flow_label = self.flow_label
        packet.place = self.place
        packet.written = self.written
        packet.flaw = self.flaw
        return packet

    @property
    def payload(self) -> bytes:
        """What is behind the header of IP."""
        if self.written is not None:
            ports = pack_port(self.source_port) + pack_port(self.target_port)
            return ports[: len(self.written)] + self.written[4:]
        if self.protocol in (UDP, UDP_LITE):
            return (
                _PORTS.pack(self.source_port, self.target_port, UDP_HEADER_BYTES + len(self.data), 0)
                + self.data
            )
        return self.data

    @property
    def wire_bytes(self) -> int:
        """How long it is with its header of IP."""
        header = header_bytes(self.target) + len(self.options)
        if self.written is not None:
            return header + len(self.written)
        if self.protocol in (UDP, UDP_LITE):
            header += UDP_HEADER_BYTES
        return header + len(self.data)

    @property
    def is_piece(self) -> bool:
        """Whether its header says that there are more pieces of it."""
        return bool(self.place) and bool(int.from_bytes(self.place[2:], "big") & _PIECE)

    def take_written(self, datagram: bytes) -> None:
        """`datagram` is what a program has written behind the header of IP, with the header of UDP if that's
        there; see what it is.

        Linux: net/ipv4/udp.c, __udp4_lib_rcv, udp4_csum_init; include/net/udplite.h, udplite_checksum_init.
        """
        self.written = datagram
        self.source_port = int.from_bytes(datagram[:2], "big") if len(datagram) >= 2 else 0
        self.target_port = int.from_bytes(datagram[2:4], "big") if len(datagram) >= 4 else 0
        self.data = datagram[UDP_HEADER_BYTES:]
        size = len(datagram)
        if size < UDP_HEADER_BYTES:
            self.flaw = CUT_SHORT
            return
        _, _, told, found = _PORTS.unpack_from(datagram)
        is_6 = len(self.target) == 16
        covered = told
        if not told and (is_6 or self.protocol == UDP_LITE):
            covered = told = size
        if not UDP_HEADER_BYTES <= told <= size:
            self.flaw = CUT_SHORT
            return
        if self.protocol == UDP:
            self.data = datagram[UDP_HEADER_BYTES:told]
            size = told
        if not found:
            # Only IPv4's UDP can do without.
            self.flaw = WRONG_CHECKSUM if is_6 or self.protocol == UDP_LITE else SOUND
            return
        front = self.source + self.target + pack_address(self.protocol, 4) + pack_address(size, 4)
        if checksum(front + datagram[:covered]):
            self.flaw = WRONG_CHECKSUM

    def with_header(self) -> bytes:
        """All of a packet of IPv4, as raw sockets get it."""
        payload = self.payload
        length = IPV4_HEADER_BYTES + len(self.options) + len(payload)
        header = _IPV4_HEADER.pack(
            *(
                0x45 + len(self.options) // 4,
                self.tos,
                length & 0xFFFF,
                *(_PLACE.unpack(self.place) if self.place else (0, _DONT_FRAGMENT)),
                self.ttl,
                self.protocol,
                0,
            )
        )
        header += self.source + self.target + self.options
        return header[:10] + pack_port(checksum(header)) + header[12:] + payload

    def with_header_6(self) -> bytes:
        """All of a packet of IPv6, as a filter may look at it."""
        payload = self.payload
        first = pack_address(0x60000000 | self.tos << 20 | self.flow_label, 4)
        following = self.first_header if self.options else self.protocol
        payload = self.options + payload
        header = first + pack_port(len(payload) & 0xFFFF) + pack_u8(following) + pack_u8(self.ttl)
        return header + self.source + self.target + payload

    def cut_to(self, length: int) -> Packet:
        """The same for a program that gets the first `length` bytes; it takes the same room."""
        packet = self.copy()
        packet.charge = self.charge
        packet.interface_index = self.interface_index
        packet.most_bytes = length
        return packet


def header_bytes(target: bytes) -> int:
    """How long the header of IP is for packets to `target`."""
    return IPV4_HEADER_BYTES if len(target) == 4 else IPV6_HEADER_BYTES


def checksum(data: bytes) -> int:
    """The Internet's checksum (RFC 1071)."""
    if len(data) & 1:
        data += b"\0"
    number = int.from_bytes(data, "big")
    # What is carried comes in again below, so that the sum of the words is what 65,535 leaves of all of them.
    total = number % 0xFFFF
    if number and not total:
        total = 0xFFFF
    return total ^ 0xFFFF
