"""Packet sockets: they hear the frames that pass interfaces, and send some (packet(7))."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from procession.abi.errno import (
    EINVAL,
    EMSGSIZE,
    ENETDOWN,
    ENODEV,
    ENOPROTOOPT,
    ENXIO,
    EOPNOTSUPP,
)
from procession.abi.internet import ADDRESS_BYTES_OF_ETHERTYPE
from procession.abi.packet import (
    MembershipKind,
    PacketKind,
    PacketMreq,
    PacketOption,
    SockaddrLl,
    TpacketStats,
)
from procession.abi.socket import AddressFamily, SocketLevel, SocketType
from procession.abi.word import pack_port
from procession.net.buffer_charge import packet_charge
from procession.net.internet.frame import HEADER_BYTES, transmit
from procession.net.link.interface import LOOPBACK
from procession.net.message import Received
from procession.net.socket import (
    BOTH_WAYS,
    MSG_PEEK,
    MSG_TRUNC,
    POLLERR,
    POLLIN,
    POLLOUT,
    POLLWRBAND,
    Socket,
)
from procession.net.socket_filter import FilteredPacket, accepted_bytes
from procession.net.socket_options import pack_int, read_int

if TYPE_CHECKING:
    from procession.net.internet.crossing import Crossing
    from procession.net.message import Control
    from procession.net.network import Network

_FAMILY = int(AddressFamily.AF_PACKET)
_SOL_PACKET = int(SocketLevel.SOL_PACKET)
_RAW = int(SocketType.SOCK_RAW)
_ALL = 3
"""ETH_P_ALL."""
_OUTGOING, _HOST = int(PacketKind.PACKET_OUTGOING), int(PacketKind.PACKET_HOST)
_BROADCAST, _MULTICAST = int(PacketKind.PACKET_BROADCAST), int(PacketKind.PACKET_MULTICAST)
_OTHER_HOST = int(PacketKind.PACKET_OTHERHOST)
_JOIN, _LEAVE = int(PacketOption.PACKET_ADD_MEMBERSHIP), int(PacketOption.PACKET_DROP_MEMBERSHIP)
_STATISTICS = int(PacketOption.PACKET_STATISTICS)
_IGNORE_OUTGOING = int(PacketOption.PACKET_IGNORE_OUTGOING)
_LAST_MEMBERSHIP = int(MembershipKind.PACKET_MR_UNICAST)
_SHORTEST_NAME = 12
"""A struct sockaddr_ll without a hardware address."""
_HARDWARE_BYTES = 6


class HeardFrame(NamedTuple):
    """A frame that waits to be received: `data` as this socket gets it, of `length` bytes before a filter cut
    it, with the sender's address; it takes `charge` bytes of room."""

    data: bytes
    length: int
    sender: bytes
    charge: int


class PacketSocket(Socket):
    """A packet socket (Linux: net/packet/internal.h, struct packet_sock).

    `protocol` is the ethertype that it hears, 0 for none; `interface_index` the interface, 0 for all.
    `frames` have been heard and take `heard_bytes`; `heard_count` and `drop_count` count for
    PACKET_STATISTICS.
    """

    __slots__ = (
        "drop_count",
        "frames",
        "heard_bytes",
        "heard_count",
        "ignores_outgoing",
        "interface_index",
    )

    def __init__(self, network: Network, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, _FAMILY, kind, protocol, owner_uid)
        self.interface_index = 0
        self.frames: deque[HeardFrame] = deque()
        self.heard_bytes = 0
        self.heard_count = 0
        self.drop_count = 0
        self.ignores_outgoing = 0
        network.packet_sockets[self] = None
        # Flows have to show their packets from now on.
        network.topology_changed()

    # Names

    def bind(self, address: bytes) -> None:
        """Linux: net/packet/af_packet.c, packet_bind, packet_do_bind."""
        if len(address) < SockaddrLl.SIZE:
            raise EINVAL("a struct sockaddr_ll is needed")
        wanted = SockaddrLl.unpack_from(address)
        if wanted.sll_family != _FAMILY:
            raise EINVAL("an address of another family")
        index = wanted.sll_ifindex
        interface = self.network.interfaces.get(index)
        if index and interface is None:
            raise ENODEV("no such interface")
        self.protocol = int.from_bytes(wanted.sll_protocol, "big") or self.protocol
        self.interface_index = index
        if interface is not None and not interface.is_up:
            self.error = ENETDOWN.number
            self.state_changed()

    def own_sockaddr(self) -> bytes:
        """Linux: net/packet/af_packet.c, packet_getname."""
        interface = self.network.interfaces.get(self.interface_index)
        hardware = interface.hardware_address if interface is not None else b""
        name = SockaddrLl(
            *(_FAMILY, pack_port(self.protocol), self.interface_index),
            *(interface.hardware_type if interface is not None else 0, 0),
            *(len(hardware), hardware),
        ).pack()
        return name[: _SHORTEST_NAME + len(hardware)]

    # Frames

    def hear(self, crossing: Crossing, header: bytes, whole: bytes) -> None:
        """A frame passes an interface. Linux: net/packet/af_packet.c, packet_rcv."""
        interface, protocol = crossing.interface, self.protocol
        ethertype = int.from_bytes(header[-2:], "big")
        if self.interface_index not in (0, interface.index) or not protocol:
            return
        if protocol not in (_ALL, ethertype) or (
            crossing.is_out and (protocol != _ALL or self.ignores_outgoing)
        ):
            return
        data = header + whole if self.kind == _RAW and interface.has_frames else whole
        length = len(data)
        if self.filter is not None:
            seen = FilteredPacket(data, whole, ADDRESS_BYTES_OF_ETHERTYPE.get(ethertype, 0), interface.index)
            data = data[: accepted_bytes(self, seen)]
            if not data:
                return
        charge = packet_charge(length)
        system = self.network.system
        if self.heard_bytes + charge > self.receive_room or not system.charge_arrived(charge):
            self.drop_count += 1
            return
        self.heard_count += 1
        self.heard_bytes += charge
        sender = SockaddrLl(
            *(_FAMILY, header[-2:], interface.index, interface.hardware_type),
            *(_kind_of(crossing, header), _HARDWARE_BYTES if interface.has_frames else 0, header[6:12]),
        )
        self.frames.append(HeardFrame(data, length, sender.pack(), charge))
        self.read_queue.wake_all()

    def receive(self, length: int, flags: int) -> Received:
        """Linux: net/packet/af_packet.c, packet_recvmsg."""
        self.raise_error()
        if not self.frames:
            self.wait_to_receive(flags)
        frame = self.frames[0]
        if not flags & MSG_PEEK:
            self.frames.popleft()
            self.heard_bytes -= frame.charge
            self.network.system.uncharge_buffer(frame.charge)
        received = Received(frame.data[:length], len(frame.data), 0, frame.sender)
        if len(frame.data) > length:
            received.flags = MSG_TRUNC
        return received

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/packet/af_packet.c, packet_snd."""
        index, protocol, target = self.interface_index, self.protocol, b""
        if address is not None:
            if len(address) < SockaddrLl.SIZE:
                raise EINVAL("a struct sockaddr_ll is needed")
            wanted = SockaddrLl.unpack_from(address)
            if len(address) < _SHORTEST_NAME + wanted.sll_halen:
                raise EINVAL("a hardware address too short")
            index, protocol = wanted.sll_ifindex, int.from_bytes(wanted.sll_protocol, "big")
            target = wanted.sll_addr[:_HARDWARE_BYTES]
        interface = self.network.interfaces.get(index)
        if interface is None:
            raise ENXIO("no such interface")
        if not interface.is_up:
            raise ENETDOWN("the interface is down")
        header = b""
        if self.kind == _RAW and interface.has_frames:
            if len(data) < HEADER_BYTES:
                raise EINVAL("no header of a frame")
            header, whole = data[:HEADER_BYTES], data[HEADER_BYTES:]
        else:
            own = interface.hardware_address or bytes(_HARDWARE_BYTES)
            header, whole = target.ljust(_HARDWARE_BYTES, b"\0") + own + pack_port(protocol), data
        if len(whole) > interface.mtu:
            raise EMSGSIZE("longer than the interface carries")
        self.raise_error()
        transmit(interface, header, whole, self)
        return len(data)

    # The rest

    def check_option(self, level: int, name: int, *, is_set: bool) -> None:
        if level != _SOL_PACKET:
            raise ENOPROTOOPT

    def set_option(self, level: int, name: int, value: bytes) -> None:
        """Linux: net/packet/af_packet.c, packet_setsockopt."""
        if level != _SOL_PACKET:
            raise ENOPROTOOPT
        if name in (_JOIN, _LEAVE):
            if len(value) < PacketMreq.SIZE:
                raise EINVAL("a struct packet_mreq is needed")
            wanted = PacketMreq.unpack_from(value)
            # Interfaces hear all frames anyway, so that there is nothing to remember.
            if name == _JOIN and wanted.mr_ifindex not in self.network.interfaces:
                raise ENODEV("no such interface")
            if name == _JOIN and (wanted.mr_type > _LAST_MEMBERSHIP or wanted.mr_alen > _HARDWARE_BYTES):
                raise EINVAL("no such membership")
        elif name == _IGNORE_OUTGOING:
            number = read_int(value)
            if not 0 <= number <= 1:
                raise EINVAL("neither 0 nor 1")
            self.ignores_outgoing = number
        else:
            raise ENOPROTOOPT

    def get_option(self, level: int, name: int, length: int) -> bytes:
        """Linux: net/packet/af_packet.c, packet_getsockopt."""
        if level != _SOL_PACKET:
            raise ENOPROTOOPT
        if length < 0:
            raise EINVAL("a negative length")
        if name == _STATISTICS:
            counts = TpacketStats(self.heard_count + self.drop_count, self.drop_count)
            self.heard_count = self.drop_count = 0
            return counts.pack()
        if name == _IGNORE_OUTGOING:
            return pack_int(self.ignores_outgoing)
        raise ENOPROTOOPT

    def shutdown(self, how: int) -> None:
        raise EOPNOTSUPP

    def peer_sockaddr(self) -> bytes:
        """Linux: net/packet/af_packet.c, packet_getname."""
        raise EOPNOTSUPP

    @property
    def unread_bytes(self) -> int:
        return sum(len(frame.data) for frame in self.frames)

    def release(self) -> None:
        """Linux: net/packet/af_packet.c, packet_release."""
        self.network.system.uncharge_buffer(self.heard_bytes)
        self.heard_bytes = 0
        self.frames.clear()
        self.network.packet_sockets.pop(self, None)
        self.network.topology_changed()
        self.forget()
        self.ended = BOTH_WAYS
        self.state_changed()

    def poll_mask(self) -> int:
        """Linux: net/packet/af_packet.c, packet_poll."""
        mask = POLLERR if self.error else 0
        if self.frames:
            mask |= POLLIN
        return mask | POLLOUT | POLLWRBAND


def _kind_of(crossing: Crossing, header: bytes) -> int:
    """For whom a frame is. Linux: net/ethernet/eth.c, eth_type_trans."""
    target, interface = header[:6], crossing.interface
    if crossing.is_out:
        return _OUTGOING
    if interface.kind == LOOPBACK or not interface.has_frames or target == interface.hardware_address:
        return _HOST
    if target == b"\xff" * 6:
        return _BROADCAST
    return _MULTICAST if target[0] & 1 else _OTHER_HOST
