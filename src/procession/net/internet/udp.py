"""UDP on the loopback: datagrams that arrive at once or not at all; udp(7)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import (
    EACCES,
    EAFNOSUPPORT,
    EDESTADDRREQ,
    EINVAL,
    EMSGSIZE,
    ENETUNREACH,
    ENOTCONN,
    EOPNOTSUPP,
)
from procession.abi.internet import UdpOption
from procession.abi.ioctls import SocketIoctl
from procession.abi.socket import IpProtocol, SocketLevel, SocketOption
from procession.abi.word import pack_u32
from procession.net.buffer_charge import packet_charge
from procession.net.internet.address import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    LOOPBACK_BROADCAST_4,
    any_of,
    family_of,
    format_sockaddr,
    is_any,
    is_multicast,
    parse,
    route,
)
from procession.net.internet.control import PacketChoice, packet_items
from procession.net.internet.port_table import reach
from procession.net.internet.socket import InternetSocket
from procession.net.internet.tcp_connection import hash_of
from procession.net.internet.udp_errors import Undelivered, receive_error, report_undelivered
from procession.net.message import Received
from procession.net.socket import (
    BOTH_WAYS,
    CLOSED,
    ESTABLISHED,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLWRBAND,
    RECEIVING,
    SENDING,
    QuietBrokenPipe,
)

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.internet.port_table import PortTable
    from procession.net.message import Control
    from procession.net.network import Network

LONGEST_DATAGRAM = 65_507
_LONGEST_DATAGRAM_6 = 65_527
_UDP = int(IpProtocol.IPPROTO_UDP)
_SO_BROADCAST = int(SocketOption.SO_BROADCAST)
_CORK = (int(SocketLevel.SOL_UDP), int(UdpOption.UDP_CORK))
_SIOCINQ = int(SocketIoctl.SIOCINQ)
_SIOCOUTQ = int(SocketIoctl.SIOCOUTQ)


class Packet:
    """A datagram that has arrived. `time_ns` is since the epoch."""

    __slots__ = ("charge", "data", "source", "source_port", "target", "time_ns", "tos", "ttl")

    def __init__(
        self, data: bytes, source: bytes, source_port: int, target: bytes, time_ns: int, tos: int, ttl: int
    ) -> None:
        self.data = data
        self.charge = packet_charge(len(data))
        self.source = source
        self.source_port = source_port
        self.target = target
        self.time_ns = time_ns
        self.tos = tos
        self.ttl = ttl


class UdpSocket(InternetSocket):
    """A UDP or UDP-Lite socket (Linux: include/linux/udp.h, struct udp_sock). Nothing damages packets:
    checksums aren't made.

    `packets` have arrived; `arrived_bytes` is what they take of the buffer, `drop_count` how many it had no
    room for. `held` is the datagram that MSG_MORE or UDP_CORK keeps back, None for none, and `held_target`
    where it goes. `undelivered` are datagrams that found nobody, to be told by MSG_ERRQUEUE.
    """

    __slots__ = ("arrived_bytes", "drop_count", "held", "held_target", "packets", "undelivered")

    can_peek_at_offset: ClassVar[bool] = True

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, family, kind, protocol, owner_uid)
        self.packets: deque[Packet] = deque()
        self.arrived_bytes = 0
        self.drop_count = 0
        self.held: bytes | None = None
        self.held_target: tuple[bytes, bytes, int] = (b"", b"", 0)
        self.undelivered: deque[Undelivered] = deque()

    @property
    def ports(self) -> PortTable:
        network = self.network
        return network.udp_ports if self.protocol == _UDP else network.udp_lite_ports

    def connect(self, address: bytes, flags: int) -> None:
        """Linux: net/ipv4/datagram.c, __ip4_datagram_connect; net/ipv6/datagram.c."""
        if family_of(address) == AF_UNSPEC:
            self._disconnect()
            return
        self.bind_automatically()
        target, port = self._parse(address)
        source, target = self._route(target)
        if is_any(self.local_address):
            self.local_address = source
        self.remote_address, self.remote_port = target, port
        self.state = ESTABLISHED

    def _parse(self, address: bytes) -> tuple[bytes, int]:
        """Where a datagram is to go; a socket of IPv6 may be told in IPv4's way too."""
        if self.family == AF_INET6 and family_of(address) == AF_INET:
            return parse(address, AF_INET)
        target, port = parse(address, self.family)
        if self.is_ipv6_only and len(target) == 4:
            raise ENETUNREACH("only IPv6 here")
        return target, port

    def _route(self, target: bytes, local: bytes | None = None) -> tuple[bytes, bytes]:
        if is_multicast(target):
            raise ENETUNREACH("no interface has groups")
        source, target = route(target, self.family, self.local_address if local is None else local)
        if target == LOOPBACK_BROADCAST_4 and not self.options.get(_SO_BROADCAST):
            raise EACCES("SO_BROADCAST isn't set")
        return source, target

    def _disconnect(self) -> None:
        """Linux: net/ipv4/udp.c, __udp_disconnect."""
        self.state = CLOSED
        self.remote_address, self.remote_port = None, 0
        if not self.has_chosen_address:
            self.local_address = any_of(self.family)
        if not self.has_chosen_port:
            self.give_up_port()
            self.local_port = 0

    def peer_sockaddr(self) -> bytes:
        if self.state != ESTABLISHED:
            raise ENOTCONN
        return super().peer_sockaddr()

    def check_length(self, length: int) -> None:
        if length > (LONGEST_DATAGRAM if self.family == AF_INET else _LONGEST_DATAGRAM_6):
            raise EMSGSIZE("longer than a datagram may be")

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/ipv4/udp.c, udp_sendmsg; net/ipv6/udp.c, udpv6_sendmsg."""
        self.bind_automatically()
        self.check_length(len(data))
        if flags & MSG_OOB and self.family == AF_INET:
            # Only IPv4 looks.
            raise EOPNOTSUPP("no urgent data here")
        if self.held is not None:
            return self._add_to_held(data, flags)
        if address is not None:
            target, port = self._parse_target(address)
            if not port:
                raise EINVAL("port 0")
        elif self.remote_address is None:
            raise EDESTADDRREQ
        else:
            target, port = self.remote_address, self.remote_port
        choice = PacketChoice(control.items if control is not None else ())
        source, target = self._route(target, choice.source)
        self.raise_error()
        if self.ended & SENDING:
            raise QuietBrokenPipe("the socket was shut down")
        if flags & MSG_MORE or self.protocol_options.get(_CORK):
            self.held, self.held_target = data, (source, target, port)
        else:
            self._deliver(data, source, target, port, choice)
        return len(data)

    def _add_to_held(self, data: bytes, flags: int) -> int:
        """Add a part to the datagram that is kept back; without MSG_MORE it goes, unless UDP_CORK is on."""
        held = self.held
        assert held is not None
        if len(held) + len(data) > LONGEST_DATAGRAM:
            raise EMSGSIZE("longer than a datagram may be")
        if self.ended & SENDING:
            raise QuietBrokenPipe("the socket was shut down")
        self.held = held + data
        if not flags & MSG_MORE and not self.protocol_options.get(_CORK):
            self._send_held()
        return len(data)

    def _send_held(self) -> None:
        """Linux: net/ipv4/udp.c, udp_push_pending_frames."""
        data, self.held = self.held, None
        if data is not None:
            source, target, port = self.held_target
            self._deliver(data, source, target, port, PacketChoice(()))

    def set_option(self, level: int, name: int, value: bytes) -> None:
        super().set_option(level, name, value)
        if (level, name) == _CORK and not self.protocol_options[_CORK]:
            self._send_held()

    def _parse_target(self, address: bytes) -> tuple[bytes, int]:
        if self.family == AF_INET and len(address) >= 16 and family_of(address) not in (AF_INET, AF_UNSPEC):
            raise EAFNOSUPPORT
        if self.family == AF_INET and len(address) >= 16:
            # udp_sendmsg takes a missing family for its own.
            return address[4:8], int.from_bytes(address[2:4], "big")
        return self._parse(address)

    def _deliver(self, data: bytes, source: bytes, target: bytes, port: int, choice: PacketChoice) -> None:
        """Linux: net/ipv4/udp.c, __udp4_lib_rcv."""
        self.network.packet_count += 1
        self.network.byte_count += len(data)
        receivers = find_receivers(self, source, target, port)
        if not receivers:
            report_undelivered(self, data, target, port)
            return
        time_ns = self.network.host.clock.realtime_ns
        tos, ttl = choice.service_and_limit(self, target)
        for receiver in receivers:
            receiver.arrive(Packet(data, source, self.local_port, target, time_ns, tos, ttl))

    def arrive(self, packet: Packet) -> None:
        """Keep a datagram if there is room. Linux: net/ipv4/udp.c, __udp_enqueue_schedule_skb."""
        system = self.network.system
        if self.arrived_bytes + packet.charge > self.receive_room and (
            self.packets or packet.charge > 2 * self.receive_room
        ):
            self.drop_count += 1
            return
        if (system.is_under_pressure and self.packets) or not system.charge_arrived(packet.charge):
            self.drop_count += 1
            return
        self.arrived_bytes += packet.charge
        self.packets.append(packet)
        self.read_queue.wake_all()

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
        packet, skipped = self.packets[0], 0
        if flags & MSG_PEEK:
            if self.peek_offset >= 0:
                packet, skipped = self._packet_at_offset(flags)
        else:
            self.packets.popleft()
            self.arrived_bytes -= packet.charge
            self.network.system.uncharge_buffer(packet.charge)
        data = packet.data[skipped:] if skipped else packet.data
        full = len(data)
        if self.peek_offset >= 0:
            if flags & MSG_PEEK:
                self.peek_offset += min(full, length)
            else:
                taken = full if flags & MSG_TRUNC else min(full, length)
                self.peek_offset = max(self.peek_offset - taken, 0)
        sender = format_sockaddr(packet.source, packet.source_port, self.family)
        received = Received(data if full <= length else data[:length], full, 0, sender)
        if full > length or (skipped and full == length):
            # Linux's udp_recvmsg compares with the whole datagram once it has got all that was asked for.
            received.flags = MSG_TRUNC
        if self.protocol_options or self.options:
            received.items = packet_items(self, packet)
        return received

    def _packet_at_offset(self, flags: int) -> tuple[Packet, int]:
        """The packet that SO_PEEK_OFF has come to, and how far.

        Linux: net/core/datagram.c, __skb_try_recv_from_queue.
        """
        skipped = self.peek_offset
        for packet in self.packets:
            size = len(packet.data)
            if skipped < size or not (skipped or size):
                break
            skipped -= size
        else:
            self.wait_to_receive(flags)
        return packet, skipped

    @property
    def unread_bytes(self) -> int:
        return sum(len(packet.data) for packet in self.packets)

    def shutdown(self, how: int) -> None:
        """Linux: net/ipv4/af_inet.c, inet_shutdown."""
        self.ended |= how
        self.state_changed()
        if self.state == CLOSED:
            raise ENOTCONN

    def release(self) -> None:
        self.network.system.uncharge_buffer(self.arrived_bytes)
        self.arrived_bytes = 0
        self.packets.clear()
        self.give_up_port()
        self.forget()
        self.ended = BOTH_WAYS
        self.state_changed()

    def poll_mask(self) -> int:
        """Linux: net/core/datagram.c, datagram_poll."""
        ended = self.ended
        mask = POLLERR if self.error or self.undelivered else 0
        if ended & RECEIVING:
            mask |= POLLRDHUP | POLLIN
        if ended == BOTH_WAYS:
            mask |= POLLHUP
        if self.packets:
            mask |= POLLIN
        return mask | POLLOUT | POLLWRBAND

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: net/ipv4/udp.c, udp_ioctl."""
        if request == _SIOCINQ:
            value = len(self.packets[0].data) if self.packets else 0
        elif request == _SIOCOUTQ:
            value = 0
        else:
            return super().ioctl(request, argument, memory)
        memory.write(argument, pack_u32(value))
        return 0


def find_receivers(sender: UdpSocket, source: bytes, target: bytes, port: int) -> list[UdpSocket]:
    """Who gets a datagram: the socket that fits best, of several the newest; all of them for a broadcast.

    Linux: net/ipv4/udp.c, __udp4_lib_lookup, __udp4_lib_mcast_deliver.
    """
    is_broadcast = target == LOOPBACK_BROADCAST_4
    found: list[UdpSocket] = []
    best = 0
    for holder in sender.ports.at(port):
        assert isinstance(holder, UdpSocket)
        fit = reach(holder, target)
        if not fit:
            continue
        if holder.remote_address is not None:
            if (holder.remote_address, holder.remote_port) != (source, sender.local_port):
                continue
            fit += 10
        if is_broadcast:
            found.append(holder)
        elif fit > best:
            found, best = [holder], fit
        elif fit == best:
            found.append(holder)
    if is_broadcast or len(found) < 2:
        return found
    if found[-1].reuses_port:
        return [found[hash_of(source, sender.local_port) % len(found)]]
    return [found[-1]]
