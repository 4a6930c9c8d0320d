"""UDP: datagrams that arrive at once or not at all; udp(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EAFNOSUPPORT, EDESTADDRREQ, EINVAL, EIO, EMSGSIZE, ENETUNREACH, EOPNOTSUPP
from procession.abi.internet import UdpOption
from procession.abi.socket import IpProtocol, SocketLevel, SocketOption
from procession.net.buffer_charge import PACKET_ROOMS
from procession.net.internet.address import AF_INET, AF_INET6, AF_UNSPEC, family_of, is_multicast, scope_of
from procession.net.internet.control import PacketChoice
from procession.net.internet.datagram import DatagramSocket
from procession.net.internet.error_queue import report_sent
from procession.net.internet.flow import DELIVERED
from procession.net.internet.flow_label import put_label
from procession.net.internet.frame import HEADER_BYTES as ETHERNET_HEADER_BYTES
from procession.net.internet.group import hears_group, is_joined
from procession.net.internet.ipv6_options import LONGEST_FRAGMENT
from procession.net.internet.output import send_packet
from procession.net.internet.packet import UDP_HEADER_BYTES, Packet
from procession.net.internet.port_table import reach
from procession.net.internet.reuseport import choose_place, join_group, newest_place
from procession.net.internet.tcp_connection import hash_of
from procession.net.internet.udp_options import COALESCE, SEGMENT, SOL_UDP
from procession.net.queue_ioctl import QUEUE_REQUESTS, tell_queue
from procession.net.socket import MSG_MORE, MSG_OOB, MSG_PROBE, SENDING, QuietBrokenPipe
from procession.net.socket_filter import FilteredPacket
from procession.net.timestamp import stamped_stages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.fs.file import UserMemory
    from procession.net.internet.flow import Flow
    from procession.net.internet.port_table import PortTable
    from procession.net.link.interface import Interface
    from procession.net.message import Control
    from procession.net.network import Network

LONGEST_DATAGRAM = 65_507
_LONGEST_LENGTH = 0xFFFF
_MOST_SEGMENTS = 128
"""Linux: include/linux/udp.h, UDP_MAX_SEGMENTS."""
_SEGMENT_SIZE = 2
_SO_NO_CHECK = int(SocketOption.SO_NO_CHECK)
_LONGEST_DATAGRAM_6 = 65_527
_UDP = int(IpProtocol.IPPROTO_UDP)
_CORK = (int(SocketLevel.SOL_UDP), int(UdpOption.UDP_CORK))
_NO_CHECK_6 = (int(SocketLevel.SOL_UDP), int(UdpOption.UDP_NO_CHECK6_TX))


class UdpSocket(DatagramSocket):
    """A UDP or UDP-Lite socket (Linux: include/linux/udp.h, struct udp_sock). Nothing damages packets:
    checksums aren't made.

    `held` is the datagram that MSG_MORE or UDP_CORK keeps back, None for none, and `held_target` where it
    goes: an address, a port, a source and an interface; and the length of its pieces (UDP_SEGMENT).
    `held_info` is its flow label.
    """

    __slots__ = ("held", "held_info", "held_target")

    prototype: ClassVar[bytes] = b"UDP"
    notes_processor: ClassVar[bool] = True

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, family, kind, protocol, owner_uid)
        self.held: bytes | None = None
        self.held_info = 0
        self.held_target: tuple[bytes, int, bytes | None, int, int] = (b"", 0, None, 0, 0)

    def port_taken(self) -> None:
        if self.reuses_port:
            join_group(self)

    def filtered_bytes(self, packet: Packet) -> bytes:
        """UDP's header too. Linux: net/ipv4/udp.c, udp_queue_rcv_one_skb."""
        return packet.payload[: UDP_HEADER_BYTES + len(packet.data)]

    def cut(self, packet: Packet, length: int) -> Packet:
        return packet.cut_to(max(length - UDP_HEADER_BYTES, 0))

    def count_received(self, packet: Packet) -> None:
        self.network.count("UdpInDatagrams" if len(packet.target) == 4 else "Udp6InDatagrams")

    def count_dropped(self, packet: Packet) -> None:
        group = "Udp" if len(packet.target) == 4 else "Udp6"
        self.network.count(group + "InErrors")
        self.network.count(group + "RcvbufErrors")

    @property
    def protocol_name(self) -> bytes:
        """Linux: net/ipv4/udplite.c, udplite_prot; net/ipv6/udplite.c, udplitev6_prot."""
        if self.protocol == _UDP:
            return super().protocol_name
        return b"UDPLITEv6" if self.family == AF_INET6 else b"UDP-Lite"

    @property
    def ports(self) -> PortTable:
        network = self.network
        return network.udp_ports if self.protocol == _UDP else network.udp_lite_ports

    def check_length(self, length: int, address: bytes | None = None) -> None:
        if length > (_LONGEST_LENGTH if self.family == AF_INET else _LONGEST_DATAGRAM_6):
            if self.family == AF_INET6:
                self._target_of(address)
            raise EMSGSIZE("longer than a datagram may be")

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        self.bind_automatically()
        self.check_length(length, address)
        self._check_urgent(flags)
        if self.held is None:
            target, port, scope = self._target_of(address)
            self.way_to(target, None, scope, traffic=self.traffic_to(target, port))
            self._check_open(length)

    def _check_urgent(self, flags: int) -> None:
        if flags & MSG_OOB and self.family == AF_INET:
            # Only IPv4 looks.
            raise EOPNOTSUPP("no urgent data here")

    def _check_open(self, length: int) -> None:
        if self.family == AF_INET and length > LONGEST_DATAGRAM:
            # Linux: net/ipv4/ip_output.c, __ip_append_data.
            raise EMSGSIZE("longer than a datagram may be")
        self.raise_error()
        if self.ended & SENDING:
            raise QuietBrokenPipe("the socket was shut down")

    def _target_of(self, address: bytes | None) -> tuple[bytes, int, int]:
        """Where a datagram goes: address, port and interface. Raises EDESTADDRREQ, EINVAL, EAFNOSUPPORT."""
        is_nobody = address is not None and self._is_nobody(address)
        if address is not None and not is_nobody:
            target, port = self._parse_target(address)
            if not port:
                raise EINVAL("port 0")
            return target, port, scope_of(address)
        if self.remote_address is None:
            raise EDESTADDRREQ
        if self.family == AF_INET6 and len(self.remote_address) == 4:
            # Linux: net/ipv6/udp.c, udpv6_sendmsg: IPv4's code sees the connection's address as one that was
            # named; nobody's keeps it from going there.
            if is_nobody:
                raise ENETUNREACH("IPv6 has no way to an address of IPv4")
            if not self.remote_port:
                raise EINVAL("port 0")
        return self.remote_address, self.remote_port, 0

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/ipv4/udp.c, udp_sendmsg; net/ipv6/udp.c, udpv6_sendmsg."""
        self.bind_automatically()
        self.check_length(len(data), address)
        self._check_urgent(flags)
        if self.held is not None:
            return self._add_to_held(data, flags)
        target, port, scope = self._target_of(address)
        if flags & MSG_OOB and len(target) == 4:
            raise EOPNOTSUPP("no urgent data here")
        choice = PacketChoice(self, control, target)
        info = choice.info_for(self, address) if self.family == AF_INET6 else 0
        segment_bytes = self.protocol_options.get(SEGMENT, 0)
        if control is not None and control.items:
            segment_bytes = _chosen_segment(control.items, segment_bytes)
        traffic = self.traffic_to(target, port, choice)
        flow = self.way_to(target, choice.source, scope, choice.out, traffic=traffic)
        if flags & MSG_PROBE:
            # Nothing is sent, but the way has been looked for (Linux: net/ipv4/ip_output.c, ip_make_skb).
            return len(data)
        self._check_open(len(data))
        if flags & MSG_MORE or self.protocol_options.get(_CORK):
            self.keep_back(len(data), PACKET_ROOMS[len(target)] + UDP_HEADER_BYTES)
            self.held, self.held_target = data, (target, port, choice.source, scope, segment_bytes)
            self.held_info = info
        else:
            choice.flow_info = info
            self._send_pieces(data, flow, port, choice, segment_bytes)
        return len(data)

    def _send_pieces(
        self, data: bytes, flow: Flow, port: int, choice: PacketChoice, segment_bytes: int
    ) -> None:
        """Send a datagram, or several one after another (UDP_SEGMENT), which a receiver that likes that gets
        at once (UDP_GRO). Raises EMSGSIZE, EINVAL, EIO. Linux: net/ipv4/udp.c, udp_send_skb.
        """
        size = len(data)
        if not segment_bytes:
            self._deliver(data, flow, port, choice)
            return
        if flow.header_bytes + min(size, segment_bytes) > flow.mtu:
            raise EMSGSIZE("a piece is longer than what the way lets pass")
        if size > segment_bytes * _MOST_SEGMENTS:
            raise EINVAL("too many pieces")
        is_of_ipv6 = len(flow.target) == 16
        if self.protocol_options.get(_NO_CHECK_6) if is_of_ipv6 else self.options.get(_SO_NO_CHECK):
            raise EINVAL("pieces need checksums")
        if self.protocol != _UDP:
            raise EIO("UDP-Lite has no pieces")
        if size <= segment_bytes:
            self._deliver(data, flow, port, choice)
        elif flow.outcome == DELIVERED and self._is_coalesced(flow, port, size):
            self._deliver(data, flow, port, choice, segment_bytes)
        else:
            for start in range(0, size, segment_bytes):
                self._deliver(data[start : start + segment_bytes], flow, port, choice)

    def _is_coalesced(self, flow: Flow, port: int, size: int) -> bool:
        """Whether whoever gets what is sent takes the pieces of one call together.

        Linux: net/core/dev.c, gso_features_check: what is too long for the interface is cut before.
        """
        if not flow.is_short or flow.is_filtered:
            return False
        if ETHERNET_HEADER_BYTES + flow.header_bytes + size >= flow.out.most_cut_bytes(len(flow.target)):
            return False
        packet = Packet(b"", flow.source, self.local_port, flow.target, port, 0, 0, 0, self.protocol)
        receivers = find_receivers(flow.network, packet, flow.interface, is_for_all=False)
        return bool(receivers) and all(each.protocol_options.get(COALESCE) for each in receivers)

    def _add_to_held(self, data: bytes, flags: int) -> int:
        """Add a part to the datagram that is kept back; without MSG_MORE it goes, unless UDP_CORK is on."""
        held = self.held
        assert held is not None
        if len(held) + len(data) > LONGEST_DATAGRAM:
            raise EMSGSIZE("longer than a datagram may be")
        if self.ended & SENDING:
            raise QuietBrokenPipe("the socket was shut down")
        self.keep_back(len(data), 0)
        self.held = held + data
        if not flags & MSG_MORE and not self.protocol_options.get(_CORK):
            self._send_held()
        return len(data)

    def _send_held(self) -> None:
        """Linux: net/ipv4/udp.c, udp_push_pending_frames."""
        data, self.held = self.held, None
        self.let_held_go()
        if data is not None:
            target, port, source, scope, segment_bytes = self.held_target
            flow = self.way_to(target, source, scope, traffic=self.traffic_to(target, port))
            choice = PacketChoice(self, None, target)
            choice.flow_info = self.held_info
            self._send_pieces(data, flow, port, choice, segment_bytes)

    def set_option(self, level: int, name: int, value: bytes) -> None:
        super().set_option(level, name, value)
        if (level, name) == _CORK and not self.protocol_options[_CORK]:
            self._send_held()

    def _is_nobody(self, address: bytes) -> bool:
        """Whether an address of no family is none, as IPv6 takes it. Linux: net/ipv6/udp.c, udpv6_sendmsg."""
        return self.family == AF_INET6 and len(address) >= 2 and family_of(address) == AF_UNSPEC

    def _parse_target(self, address: bytes) -> tuple[bytes, int]:
        """Linux: net/ipv4/udp.c, udp_sendmsg; net/ipv6/udp.c, udpv6_sendmsg."""
        if self.family == AF_INET6 and len(address) >= 2 and family_of(address) not in (AF_INET, AF_INET6):
            raise EINVAL("neither IPv6 nor IPv4")
        if self.family == AF_INET and len(address) >= 16 and family_of(address) not in (AF_INET, AF_UNSPEC):
            raise EAFNOSUPPORT
        if self.family == AF_INET and len(address) >= 16:
            # udp_sendmsg takes a missing family for its own.
            return address[4:8], int.from_bytes(address[2:4], "big")
        return self.parse_target(address)

    def _deliver(
        self, data: bytes, flow: Flow, port: int, choice: PacketChoice, segment_bytes: int = 0
    ) -> None:
        """Linux: net/ipv4/udp.c, udp_send_skb."""
        target = flow.target
        tos, ttl = choice.service_and_limit(self, flow)
        self.network.count("UdpOutDatagrams" if len(target) == 4 else "Udp6OutDatagrams")
        time_ns = self.network.host.clock.realtime_ns
        packet = Packet(data, flow.source, self.local_port, target, port, time_ns, tos, ttl, self.protocol)
        packet.segment_bytes = segment_bytes
        put_label(self, packet, choice.flow_info or 0)
        if self.options or choice.is_marked:
            choice.put_marks(self, packet)
        if self.header_options or self.extension_headers or choice.has_headers:
            self.put_options(packet, choice)
        network = flow.network
        is_stamped = bool((self.options or choice.stamping) and stamped_stages(self.options, choice.stamping))
        if (
            flow.outcome == DELIVERED
            and flow.is_short
            and not flow.is_filtered
            and not (network.raw_sockets or is_stamped or packet.options)
        ):
            # The shortest way: what follows is what receive_packet would do.
            size = len(data) + flow.header_bytes
            if (size <= flow.mtu or segment_bytes) and LONGEST_FRAGMENT not in self.protocol_options:
                interface = flow.interface
                receivers = find_receivers(network, packet, interface, is_for_all=False)
                if receivers:
                    flow.packet_count += 1
                    flow.byte_count += size
                    packet.interface_index = interface.index
                    for receiver in receivers:
                        receiver.arrive(packet)
                    self.sent_is_freed()
                    return
        self.check_fits(len(data) + len(packet.options) + flow.header_bytes, flow, choice.is_undivided)
        if is_stamped:
            # What changes on its way isn't to be told.
            report_sent(self, packet, flow, choice)
        send_packet(self.network, packet, flow, is_looped=self.loops_groups(target))
        self.sent_is_freed()

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: net/ipv4/udp.c, udp_ioctl."""
        if request in QUEUE_REQUESTS:
            first_bytes = len(self.contents(self.packets[0])) if self.packets else 0
            return tell_queue(first_bytes, request, argument, memory, held_bytes=self.used_room)
        return super().ioctl(request, argument, memory)


def _chosen_segment(items: Iterable[tuple[int, int, bytes]], segment_bytes: int) -> int:
    """What a control message says of the length of pieces, `segment_bytes` if none does. Raises EINVAL.

    Linux: net/ipv4/udp.c, udp_cmsg_send.
    """
    for level, kind, body in items:
        if level == SOL_UDP:
            if (level, kind) != SEGMENT or len(body) != _SEGMENT_SIZE:
                raise EINVAL("no such control message")
            segment_bytes = int.from_bytes(body, "little")
    return segment_bytes


def find_receivers(
    network: Network, packet: Packet, interface: Interface, *, is_for_all: bool
) -> list[UdpSocket]:
    """Who gets a datagram that arrives at `interface`: the socket that fits best, of several the newest; all
    of them if it is for all.

    Linux: net/ipv4/udp.c, __udp4_lib_lookup, __udp4_lib_mcast_deliver.
    """
    ports = network.udp_ports if packet.protocol == _UDP else network.udp_lite_ports
    source, target = packet.source, packet.target
    found: list[UdpSocket] = []
    best = 0
    is_group = is_for_all and is_multicast(target)
    if is_group and not is_joined(network, interface, target):
        return found
    for holder in ports.at(packet.target_port):
        assert isinstance(holder, UdpSocket)
        fit = reach(holder, target)
        if not fit or not holder.hears(interface):
            continue
        if holder.remote_address is not None:
            if (holder.remote_address, holder.remote_port) != (source, packet.source_port):
                continue
            fit += 10
        if is_group and not hears_group(holder, target, source, interface):
            continue
        if is_for_all:
            found.append(holder)
        elif fit > best:
            found, best = [holder], fit
        elif fit == best:
            found.append(holder)
    if is_for_all or len(found) < 2:
        return found
    last = found[-1]
    if not last.reuses_port:
        return [found[newest_place(found)]]
    whole = b""
    if last.reuse_program is not None:
        whole = packet.with_header() if len(target) == 4 else packet.with_header_6()
    seen = FilteredPacket(packet.data, whole, len(target), interface.index)
    return [found[choose_place(found, hash_of(source, packet.source_port), seen)]]
