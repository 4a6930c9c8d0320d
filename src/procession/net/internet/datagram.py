"""Sockets of whole packets, of whatever protocol: connecting, what has arrived, and errors."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import (
    EACCES,
    EADDRINUSE,
    EAFNOSUPPORT,
    EAGAIN,
    ECONNABORTED,
    EINVAL,
    EMSGSIZE,
    ENETUNREACH,
    ENOTCONN,
)
from procession.abi.internet import IpOption, Ipv6Option
from procession.abi.socket import SocketLevel, SocketOption
from procession.abi.word import pack_address
from procession.net.buffer_charge import packet_charge
from procession.net.internet.address import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    BROADCAST_4,
    any_of,
    family_of,
    format_sockaddr,
    is_any,
    is_multicast,
    parse,
    scope_of,
)
from procession.net.internet.control import packet_items
from procession.net.internet.error_queue import queue_copied, receive_error
from procession.net.internet.extension_headers import put_headers
from procession.net.internet.flow import TO_ALL, Flow, find_flow
from procession.net.internet.flow_label import chosen_info
from procession.net.internet.group import interface_for
from procession.net.internet.group_options import (
    MULTICAST_ADDRESS,
    MULTICAST_INTERFACE,
    MULTICAST_INTERFACE_6,
)
from procession.net.internet.header_options import recorded
from procession.net.internet.ip_options import UNICAST_INTERFACE
from procession.net.internet.ipv6_options import KEPT_CHOICE, LONGEST_FRAGMENT, UNDIVIDED, UNICAST_INTERFACE_6
from procession.net.internet.packet import LONGEST_PACKET
from procession.net.internet.routing_rule import ANY_TRAFFIC, Traffic
from procession.net.internet.socket import InternetSocket
from procession.net.message import Received, is_passed_over
from procession.net.socket import (
    BOTH_WAYS,
    CLOSED,
    ESTABLISHED,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_PEEK,
    MSG_TRUNC,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLWRBAND,
    RECEIVING,
)
from procession.net.socket_filter import FilteredPacket, accepted_bytes
from procession.net.timestamp import STAMP_REQUESTS, keeps_stamp, tell_stamp

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.internet.control import PacketChoice
    from procession.net.internet.packet import Packet
    from procession.net.network import Network

_DISCOVER_4 = (int(SocketLevel.SOL_IP), int(IpOption.IP_MTU_DISCOVER))
_DISCOVER_6 = (int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_MTU_DISCOVER))
_LOOP_4 = (int(SocketLevel.SOL_IP), int(IpOption.IP_MULTICAST_LOOP))
_LOOP_6 = (int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_MULTICAST_LOOP))
_TRANSPARENT = (int(SocketLevel.SOL_IP), int(IpOption.IP_TRANSPARENT))
_NEVER_CUT = (2, 3, 4)
"""IP_PMTUDISC_DO, IP_PMTUDISC_PROBE and IP_PMTUDISC_INTERFACE."""
_SO_BROADCAST = int(SocketOption.SO_BROADCAST)


class DatagramSocket(InternetSocket):
    """A socket of UDP, of ICMP or of raw packets.

    `packets` have arrived; `arrived_bytes` is what they take of the buffer, `drop_count` how many it had no
    room for. `error_queue` is told by MSG_ERRQUEUE: packets that didn't arrive, and when some were sent, of
    which the next gets `sent_number`. `flow` is where packets to the connected address went when it was
    connected. `stamp_ns` is when the last packet came that was received, 0 if none was. `held_bytes` wait
    for the rest of what they are a part of (MSG_MORE).
    """

    __slots__ = ("drop_count", "flow", "held_bytes", "packets", "sent_number", "stamp_ns")

    can_peek_at_offset: ClassVar[bool] = True
    notes_processor: ClassVar[bool] = False
    """Whether SO_INCOMING_CPU tells where the last packet has arrived, once there is a peer."""
    tells_marks: ClassVar[bool] = True
    """Whether a reader may hear of marks and priorities, and of what was lost (sock_recv_cmsgs)."""

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, family, kind, protocol, owner_uid)
        self.packets: deque[Packet] = deque()
        self.drop_count = self.held_bytes = 0
        self.flow: Flow | None = None
        self.sent_number = 0
        self.stamp_ns = 0

    def start_numbering(self, flags: int) -> None:
        self.sent_number = 0

    def sender_port(self, packet: Packet) -> int:
        """The port in the address that a receiver is told."""
        return packet.source_port

    def contents(self, packet: Packet) -> bytes:
        """What of a packet the program gets."""
        return packet.data[: packet.most_bytes]

    def filtered_bytes(self, packet: Packet) -> bytes:
        """What a filter of this socket's calls the packet."""
        return self.contents(packet)

    def cut(self, packet: Packet, length: int) -> Packet:
        """A copy for this socket, with the first `length` bytes of what its filter has seen."""
        return packet.cut_to(length)

    def bind_automatically(self, *, for_connection: bool = False) -> None:
        if not self.has_port:
            try:
                super().bind_automatically(for_connection=for_connection)
            except EADDRINUSE:
                # Linux: net/ipv4/af_inet.c, inet_autobind.
                raise EAGAIN("there is no free port") from None

    def connect(self, address: bytes, flags: int) -> None:
        """Linux: net/ipv4/datagram.c, __ip4_datagram_connect; net/ipv6/datagram.c."""
        if family_of(address) == AF_UNSPEC:
            self.disconnect()
            return
        self.bind_automatically()
        if self.is_ipv6_only and family_of(address) == AF_INET:
            raise EAFNOSUPPORT("only IPv6 here")
        target, port = self.parse_target(address)
        scope = scope_of(address)
        if not scope and not self.bound_index and is_multicast(target):
            scope = self.protocol_options.get(MULTICAST_INTERFACE_6, 0)
        self.take_scope(target, scope)
        flow = self.way_with_source(self.way_to(target, None, 0, traffic=self.traffic_to(target, port)), port)
        if is_any(self.local_address):
            self.local_address = flow.source
        self.flow_info = chosen_info(self, address)
        self.flow = flow
        self.remote_address, self.remote_port = flow.target, port
        self.state = ESTABLISHED

    def parse_target(self, address: bytes) -> tuple[bytes, int]:
        """Where a datagram is to go; a socket of IPv6 may be told in IPv4's way too."""
        if self.family == AF_INET6 and family_of(address) == AF_INET:
            return parse(address, AF_INET)
        target, port = parse(address, self.family)
        if self.is_ipv6_only and len(target) == 4:
            raise ENETUNREACH("only IPv6 here")
        return target, port

    def check_fits(self, size: int, flow: Flow, is_undivided: bool | None = None) -> None:
        """Raise EMSGSIZE if a packet of `size` bytes is too long and mustn't be cut (IP_MTU_DISCOVER).

        `is_undivided` says so of one of IPv6, None leaves that to the socket.

        Linux: net/ipv4/ip_output.c, __ip_append_data; net/ipv6/ip6_output.c, __ip6_append_data.
        """
        options, mtu, is_4 = self.protocol_options, flow.mtu, len(flow.target) == 4
        if not is_4:
            mtu = min(options.get(LONGEST_FRAGMENT) or mtu, mtu)
        if is_4 and size > LONGEST_PACKET:
            raise EMSGSIZE("longer than IPv4 can say")
        if size > mtu and (
            options.get(_DISCOVER_4 if is_4 else _DISCOVER_6) in _NEVER_CUT
            or (not is_4 and (options.get(UNDIVIDED) if is_undivided is None else is_undivided))
        ):
            raise EMSGSIZE(f"longer than {mtu} bytes, and not to be cut")

    def put_options(self, packet: Packet, choice: PacketChoice) -> None:
        """Put what is chosen, or what IP_OPTIONS set, into the header of a packet of IPv4 to be sent; what
        IPV6_HOPOPTS and its kin set, behind that of one of IPv6."""
        if len(packet.target) == 16:
            put_headers(packet, choice.extension_headers or self.extension_headers)
            return
        options = self.header_options if choice.header_options is None else choice.header_options
        if options:
            is_own = self.network.routes.is_local
            packet.options = recorded(options, packet.source, packet.time_ns, is_own, is_sender=True)

    def loops_groups(self, target: bytes) -> bool:
        """IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP."""
        return bool(self.protocol_options.get(_LOOP_4 if len(target) == 4 else _LOOP_6, 1))

    def way_to(
        self,
        target: bytes,
        local: bytes | None,
        scope: int,
        chosen: int = 0,
        *,
        traffic: Traffic = ANY_TRAFFIC,
    ) -> Flow:
        """Where a datagram to `target` goes, out of the `chosen` interface if that isn't 0. Raises
        ENETUNREACH, EACCES ...
        """
        kept = self.flow
        if (
            kept is not None
            and local is None
            and not chosen
            and target is self.remote_address
            and not self.options
            and kept.generation == self.network.system.topology
            and not self.network.system.aspects
        ):
            return kept
        if is_multicast(target):
            return self._way_to_group(target, local, scope or chosen, traffic)
        if local is not None and len(local) == 4 and any(local) and not self.sends_from_anywhere:
            self._check_source(local)
        out = self.protocol_options.get(UNICAST_INTERFACE if len(target) == 4 else UNICAST_INTERFACE_6, 0)
        if len(target) == 16:
            out = self._kept_interface() or out
        flow = self.flow_to(target, local, scope, out, chosen=chosen, traffic=traffic)
        if flow.outcome == TO_ALL and not self.options.get(_SO_BROADCAST):
            raise EACCES("SO_BROADCAST isn't set")
        return flow

    @property
    def sends_from_anywhere(self) -> bool:
        """Whether packets may be from who isn't here (IP_TRANSPARENT)."""
        return bool(self.protocol_options.get(_TRANSPARENT))

    def _check_source(self, local: bytes) -> None:
        """Raise EINVAL, ENETUNREACH for what IPv4 doesn't send from.

        Linux: net/ipv4/route.c, ip_route_output_key_hash_rcu.
        """
        if is_multicast(local) or local == BROADCAST_4:
            raise EINVAL("no address of one machine")
        if not self.network.routes.is_local(local):
            raise ENETUNREACH("no address of this network")

    def _kept_interface(self) -> int:
        """The interface that IPV6_PKTINFO chose for all that is sent, 0 for none. Raises ENETUNREACH."""
        index = self.protocol_options.get(KEPT_CHOICE, 0)
        if index and index not in self.network.interfaces:
            raise ENETUNREACH("no such interface")
        return index

    def _way_to_group(self, target: bytes, local: bytes | None, scope: int, traffic: Traffic) -> Flow:
        """Where a datagram to a group goes: the interface is chosen, or that of the address it's sent from.

        Linux: net/ipv4/udp.c, udp_sendmsg; net/ipv4/route.c, ip_route_output_key_hash_rcu.
        """
        network, options = self.network, self.protocol_options
        is_4 = len(target) == 4
        source = self.local_address if local is None else local
        if len(source) != len(target) or is_multicast(source):
            source = any_of(AF_INET if is_4 else AF_INET6)
        index = scope or self.bound_index or (0 if is_4 else self._kept_interface())
        index = index or options.get(MULTICAST_INTERFACE if is_4 else MULTICAST_INTERFACE_6, 0)
        device = self.interface_out(target, index)
        if is_4:
            if is_any(source):
                source = pack_address(options.get(MULTICAST_ADDRESS, 0), 4)
            if device is None and not is_any(source):
                device = interface_for(network, target, 0, source)
        return find_flow(network, target, None if is_any(source) else source, device, traffic)

    def destroy(self) -> None:
        """An administrator ends what it's used for. Linux: net/ipv4/udp.c, udp_abort; net/ipv4/raw.c,
        raw_abort."""
        self.disconnect()
        self.error = ECONNABORTED.number
        self.state_changed()

    def disconnect(self) -> None:
        """Linux: net/ipv4/udp.c, __udp_disconnect."""
        self.state = CLOSED
        self.flow = None
        self.remote_address, self.remote_port = None, 0
        if not self.has_chosen_address:
            self.local_address = any_of(self.family)
        if not self.has_chosen_port:
            self.give_up_port()
            self.local_port = 0

    def keep_back(self, size: int, room: int) -> None:
        """`size` bytes more are to wait for the rest of what they are a part of, which has `room` for
        headers. Raises OutOfBuffers."""
        charge = size if self.held_bytes else packet_charge(size, room)
        self.charge(charge)
        self.held_bytes += charge

    def let_held_go(self) -> None:
        """What was kept back goes, or is given up."""
        held, self.held_bytes = self.held_bytes, 0
        self.uncharge(held)

    @property
    def is_writable(self) -> bool:
        """Whether half of the room is free. Linux: include/net/sock.h, sock_writeable."""
        used = self.used_room
        return used < self.send_room >> 1 and (used == 0 or not self.network.system.is_under_pressure)

    def arrive(self, packet: Packet) -> None:
        """Keep a datagram if there is room. Linux: net/ipv4/udp.c, __udp_enqueue_schedule_skb."""
        system = self.network.system
        if self.filter is not None:
            kept = self._let_in(packet)
            if kept is None:
                return
            packet = kept
        if self.arrived_bytes + packet.charge > self.receive_room and (
            self.packets or packet.charge > 2 * self.receive_room
        ):
            self.drop_count += 1
            self.count_dropped(packet)
            return
        if (system.is_under_pressure and self.packets) or not system.charge_arrived(
            packet.charge, self.payer
        ):
            self.drop_count += 1
            self.count_dropped(packet)
            return
        if self.notes_processor and self.remote_address is not None:
            self.incoming_processor = self.network.host.processor
        self.arrived_bytes += packet.charge
        self.packets.append(packet)
        self.read_queue.wake_all()

    def count_received(self, packet: Packet) -> None:
        """A packet is received by the program: UDP counts that."""

    def count_dropped(self, packet: Packet) -> None:
        """There was no room for a packet."""

    def _let_in(self, packet: Packet) -> Packet | None:
        """What SO_ATTACH_FILTER's program keeps of a packet: all, a copy with less, or nothing."""
        size = len(packet.target)
        whole = packet.with_header() if size == 4 else packet.with_header_6()
        seen = self.filtered_bytes(packet)
        accepted = accepted_bytes(self, FilteredPacket(seen, whole, size, packet.interface_index))
        if not accepted:
            return None
        return packet if accepted >= len(seen) else self.cut(packet, accepted)

    def receive(self, length: int, flags: int) -> Received:
        """Linux: net/ipv4/udp.c, udp_recvmsg."""
        if flags & MSG_ERRQUEUE:
            return receive_error(self, length)
        # Linux: net/ipv4/udp.c, __skb_recv_udp: an error goes before what waits.
        self.raise_error()
        if not self.packets:
            if self.ended & RECEIVING and not flags & MSG_DONTWAIT:
                return Received(b"", 0)
            self.wait_to_receive(flags)
        skipped = 0
        if flags & MSG_PEEK:
            place, skipped = self._place_at_offset(flags) if self.peek_offset >= 0 else (0, 0)
            packet = self._look_at(place)
        else:
            packet = self.packets.popleft()
            if keeps_stamp(self.options):
                self.stamp_ns = packet.time_ns
            self.count_received(packet)
            self.arrived_bytes -= packet.charge
            self.network.system.uncharge_buffer(packet.charge, self.payer)
        data = self.contents(packet)
        if skipped:
            data = data[skipped:]
        full = len(data)
        # Linux: net/ipv4/udp.c, udp_recvmsg: MSG_TRUNC tells of the whole, whatever was skipped.
        told = skipped + full if flags & MSG_TRUNC else min(full, length)
        if self.peek_offset >= 0:
            self.peek_offset = max(self.peek_offset + (told if flags & MSG_PEEK else -told), 0)
        sender = format_sockaddr(packet.source, self.sender_port(packet), self.family, packet.interface_index)
        received = Received(data if full <= length else data[:length], skipped + full, 0, sender)
        if full > length or (skipped and full == length):
            # Linux's udp_recvmsg compares with the whole datagram once it has got all that was asked for.
            received.flags = MSG_TRUNC
        if self.protocol_options or self.options:
            received.items = packet_items(self, packet)
        return received

    def _place_at_offset(self, flags: int) -> tuple[int, int]:
        """Which packet SO_PEEK_OFF has come to, and how far.

        Linux: net/core/datagram.c, __skb_try_recv_from_queue.
        """
        skipped = self.peek_offset
        for place, packet in enumerate(self.packets):
            size = len(self.contents(packet))
            if not is_passed_over(size, skipped, is_peeked=packet.is_peeked):
                return place, skipped
            skipped -= size
        return self.wait_to_receive(flags)

    def _look_at(self, place: int) -> Packet:
        """The packet there. Of an empty one is kept that this socket has looked at it, in a copy of its own:
        all who hear a packet share it.

        Linux: net/core/datagram.c, skb_set_peeked.
        """
        packet = self.packets[place]
        if not packet.is_peeked and not self.contents(packet):
            packet = self.packets[place] = packet.cut_to(packet.most_bytes)
            packet.is_peeked = True
        return packet

    def tell_copied(self) -> None:
        queue_copied(self)

    @property
    def waiting_bytes(self) -> int:
        """What is taken of the room for receiving."""
        return self.arrived_bytes

    @property
    def arrivals(self) -> tuple[int, int]:
        return self.arrived_bytes, self.drop_count

    @property
    def unread_bytes(self) -> int:
        return sum(len(self.contents(packet)) for packet in self.packets)

    def shutdown(self, how: int) -> None:
        """Linux: net/ipv4/af_inet.c, inet_shutdown."""
        self.ended |= how
        self.state_changed()
        if self.state == CLOSED:
            raise ENOTCONN

    def release(self) -> None:
        self.let_held_go()
        self.network.system.uncharge_buffer(self.arrived_bytes, self.payer)
        self.arrived_bytes = 0
        self.packets.clear()
        self.error_queue = None
        self.leave_groups()
        self.give_up_port()
        self.forget()
        self.ended = BOTH_WAYS
        self.state_changed()

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        if request in STAMP_REQUESTS:
            return tell_stamp(self.stamp_ns, request, argument, memory)
        return super().ioctl(request, argument, memory)

    def poll_mask(self) -> int:
        """Linux: net/core/datagram.c, datagram_poll."""
        ended = self.ended
        mask = POLLERR if self.error or self.error_queue else 0
        if ended & RECEIVING:
            mask |= POLLRDHUP | POLLIN
        if ended == BOTH_WAYS:
            mask |= POLLHUP
        if self.packets:
            mask |= POLLIN
        return mask | POLLOUT | POLLWRBAND
