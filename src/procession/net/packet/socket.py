"""Packet sockets: they hear the frames that pass interfaces, and send some (packet(7))."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import (
    EAGAIN,
    EINVAL,
    ENETDOWN,
    ENODEV,
    ENOPROTOOPT,
    ENXIO,
    EOPNOTSUPP,
)
from procession.abi.internet import ADDRESS_BYTES_OF_ETHERTYPE
from procession.abi.named_tuple import NamedTuple
from procession.abi.packet import (
    PacketStatus,
    SockaddrLl,
    TpacketAuxdata,
)
from procession.abi.socket import AddressFamily, SocketLevel, SocketType
from procession.abi.word import pack_port
from procession.net.buffer_charge import packet_charge
from procession.net.link.interface import LOOPBACK
from procession.net.marks import mark_items
from procession.net.message import Received
from procession.net.packet.address_type import kind_of, protocol_of
from procession.net.packet.fanout import leave_group
from procession.net.packet.options import (
    AUXDATA,
    BYPASS,
    COPY_THRESH,
    HARDWARE_BYTES,
    LOSS,
    TX_HAS_OFFSET,
    check_option,
    get_option,
    set_option,
)
from procession.net.packet.output import check_checksum, check_control, send_frame
from procession.net.packet.ring import PacketRing
from procession.net.packet.ring_layout import V1, V3, Ring
from procession.net.packet.transmit_ring import TransmitRing
from procession.net.packet.virtual_header import describe, transport
from procession.net.queue_ioctl import QUEUE_REQUESTS, tell_queue
from procession.net.socket import (
    BOTH_WAYS,
    MSG_CMSG_COMPAT,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_PEEK,
    MSG_TRUNC,
    POLLERR,
    POLLIN,
    POLLOUT,
    POLLWRBAND,
    Socket,
)
from procession.net.socket_filter import FilteredPacket, accepted_bytes
from procession.net.timestamp import STAMP_REQUESTS, keeps_stamp, tell_stamp, timestamp_items

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.mm.page_cache import PageCache
    from procession.net.internet.crossing import Crossing
    from procession.net.link.interface import Interface
    from procession.net.marks import Marks
    from procession.net.message import Control
    from procession.net.network import Network
    from procession.net.packet.fanout import FanoutGroup

_FAMILY = int(AddressFamily.AF_PACKET)
_SOL_PACKET = int(SocketLevel.SOL_PACKET)
_RAW = int(SocketType.SOCK_RAW)
_ALL = 3
"""ETH_P_ALL."""
_NO_INTERFACE = -1
_USER, _CHECKSUM_NOT_READY = int(PacketStatus.TP_STATUS_USER), int(PacketStatus.TP_STATUS_CSUMNOTREADY)
_COPIED = int(PacketStatus.TP_STATUS_COPY)
_RECEIVE_FLAGS = MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_ERRQUEUE | MSG_CMSG_COMPAT
_SHORTEST_NAME = 12
"""A struct sockaddr_ll without a hardware address."""


class HeardFrame(NamedTuple):
    """A frame that waits to be received: `data` as this socket gets it, of `length` bytes before a filter cut
    it, with the sender's address; it takes `charge` bytes of room. Its header has `header_bytes`; `status`
    are TP_STATUS_*; `marks` are what went with it. It came at `time_ns` since the epoch. One of nothing that
    `was_peeked` is no longer told its length, and if it's empty isn't seen by MSG_PEEK again."""

    data: bytes
    length: int
    sender: bytes
    charge: int
    header_bytes: int
    status: int
    marks: Marks
    time_ns: int
    was_peeked: bool = False


class PacketSocket(Socket):
    """A packet socket (Linux: net/packet/internal.h, struct packet_sock).

    `protocol` is the ethertype that it hears, 0 for none; `interface_index` the interface, 0 for all.
    `frames` have been heard and take `heard_bytes`; `heard_count` and `drop_count` count for
    PACKET_STATISTICS. `ring` is where frames go instead, laid out by `version` with `reserve` bytes free in
    each, `transmit_ring` is where those come from that are sent; `fanout` the group that shares frames,
    `stamp_ns` when the frame came that was received last, 0 if none was,
    `switches` the options that are numbers. `virtual_bytes` is how long the header of offloading is in front
    of each frame, 0 for none. `rolled_count` counts frames that others of the group took in its place,
    `unrolled_count` those for which nobody had room.
    """

    __slots__ = (
        "drop_count",
        "fanout",
        "frames",
        "heard_bytes",
        "heard_count",
        "ignores_outgoing",
        "interface_index",
        "reserve",
        "ring",
        "rolled_count",
        "stamp_ns",
        "switches",
        "transmit_ring",
        "unrolled_count",
        "version",
        "virtual_bytes",
    )

    prototype: ClassVar[bytes] = b"PACKET"

    can_shut_down: ClassVar[bool] = False

    def __init__(self, network: Network, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, _FAMILY, kind, protocol, owner_uid)
        self.interface_index = 0
        self.frames: deque[HeardFrame] = deque()
        self.heard_bytes = 0
        self.heard_count = 0
        self.drop_count = 0
        self.ignores_outgoing = 0
        self.version = V1
        self.reserve = 0
        self.ring: PacketRing | None = None
        self.transmit_ring: TransmitRing | None = None
        self.virtual_bytes = 0
        self.rolled_count = self.unrolled_count = self.stamp_ns = 0
        self.fanout: FanoutGroup | None = None
        self.switches: dict[int, int] = {}
        network.packet_sockets[self] = None
        # Flows have to show their packets from now on.
        network.topology_changed()

    @property
    def told_protocol(self) -> int:
        # What a packet socket hears isn't told.
        return 0

    # Names

    def bind(self, address: bytes) -> None:
        """Linux: net/packet/af_packet.c, packet_bind, packet_do_bind."""
        if len(address) < SockaddrLl.SIZE:
            raise EINVAL("a struct sockaddr_ll is needed")
        wanted = SockaddrLl.unpack_from(address)
        if wanted.sll_family != _FAMILY:
            raise EINVAL("an address of another family")
        if self.fanout is not None:
            raise EINVAL("the members of a group hear the same")
        index = wanted.sll_ifindex
        interface = self.network.interfaces.get(index)
        if index and interface is None:
            raise ENODEV("no such interface")
        self.protocol = int.from_bytes(wanted.sll_protocol, "big") or self.protocol
        self.listen_at(interface)

    def listen_at(self, interface: Interface | None) -> None:
        """It hears `interface`, None for all, from now on. Linux: net/packet/af_packet.c, packet_do_bind."""
        self.interface_index = interface.index if interface is not None else 0
        if interface is not None and not interface.is_up:
            self.error = ENETDOWN.number
            self.state_changed()

    def lose(self, interface: Interface, *, is_gone: bool) -> None:
        """`interface` has gone down, or `is_gone`. Linux: net/packet/af_packet.c, packet_notifier."""
        if self.interface_index != interface.index:
            return
        if is_gone:
            self.interface_index = _NO_INTERFACE
        else:
            self.error = ENETDOWN.number
            self.state_changed()

    def getname(self, peer: int) -> bytes:
        """Linux: net/packet/af_packet.c, packet_getname."""
        if peer:
            raise EOPNOTSUPP
        interface = self.network.interfaces.get(self.interface_index)
        hardware = interface.hardware_address if interface is not None else b""
        name = SockaddrLl(
            *(_FAMILY, pack_port(self.protocol), self.interface_index),
            *(interface.hardware_type if interface is not None else 0, 0),
            *(len(hardware), hardware),
        ).pack()
        return name[: _SHORTEST_NAME + len(hardware)]

    # Frames

    def wants(self, crossing: Crossing, header: bytes, whole: bytes) -> bool:
        """Whether it hears such frames, but for a filter. Linux: net/core/dev.c, deliver_ptype_list_skb."""
        protocol = self.protocol
        if self.interface_index not in (0, crossing.interface.index) or not protocol:
            return False
        if crossing.is_out:
            return protocol == _ALL and not self.ignores_outgoing
        return protocol in (_ALL, protocol_of(crossing, header, whole))

    def hear(self, crossing: Crossing, header: bytes, whole: bytes, marks: Marks) -> None:
        """A frame passes an interface. Linux: net/packet/af_packet.c, packet_rcv."""
        if not self.wants(crossing, header, whole):
            return
        interface, ethertype = crossing.interface, protocol_of(crossing, header, whole)
        data = header + whole if self.is_raw and interface.has_frames else whole
        length = len(data)
        maclen = length - len(whole)
        if self.filter is not None:
            seen = FilteredPacket(data, whole, ADDRESS_BYTES_OF_ETHERTYPE.get(ethertype, 0), interface.index)
            accepted = accepted_bytes(self, seen)
            data = data[:accepted]
            if not accepted:
                return
        elif not data:
            return
        sender = self.sender_of(crossing, header, ethertype)
        # Nobody works out checksums for a wire that doesn't leave the machine.
        is_partial = crossing.is_partial and (crossing.is_out or interface.kind == LOOPBACK)
        is_partial = is_partial and transport(ethertype, whole)[0] != 0
        status = _CHECKSUM_NOT_READY if is_partial else 0
        time_ns = self.network.host.clock.realtime_ns
        frame = HeardFrame(data, length, sender, packet_charge(length), maclen, status, marks, time_ns)
        if self._keep(frame) if self.ring is None else self._put_in_ring(self.ring, frame):
            self.heard_count += 1
        else:
            self.drop_count += 1

    def sender_of(self, crossing: Crossing, header: bytes, ethertype: int) -> bytes:
        """The name of who sent a frame."""
        interface = crossing.interface
        return SockaddrLl(
            *(_FAMILY, pack_port(ethertype), interface.index, interface.hardware_type),
            *(kind_of(crossing, header), HARDWARE_BYTES if interface.has_frames else 0, header[6:12]),
        ).pack()

    def _keep(self, frame: HeardFrame) -> bool:
        """Let `frame` wait to be received; whether there is room."""
        system = self.network.system
        if self.heard_bytes + frame.charge > self.receive_room or not system.charge_arrived(frame.charge):
            return False
        self.heard_bytes += frame.charge
        self.frames.append(frame)
        self.read_queue.wake_all()
        return True

    def _put_in_ring(self, ring: PacketRing, frame: HeardFrame) -> bool:
        """Linux: net/packet/af_packet.c, tpacket_rcv."""
        status = frame.status
        is_cut = ring.version != V3 and not ring.holds_whole(len(frame.data), frame.header_bytes)
        wants_rest = is_cut and self.has_option(COPY_THRESH) and ring.is_next_free
        if wants_rest and self._keep(frame._replace(sender=_nobody(frame))):
            status |= _COPIED
        return ring.put(self, frame, status)

    def told_of(self, frame: HeardFrame) -> bytes:
        """What is in front of `frame` (PACKET_VNET_HDR)."""
        size = self.virtual_bytes
        is_partial = bool(frame.status & _CHECKSUM_NOT_READY)
        return describe(size, frame.data, is_partial=is_partial) if size else b""

    def receive(self, length: int, flags: int) -> Received:
        """Linux: net/packet/af_packet.c, packet_recvmsg."""
        if flags & ~_RECEIVE_FLAGS:
            raise EINVAL("unknown flags")
        if flags & MSG_ERRQUEUE:
            raise EAGAIN("what was sent isn't told of")
        self.raise_error()
        place = self._first_to_peek() if flags & MSG_PEEK else 0
        if place == len(self.frames):
            self.wait_to_receive(flags)
        frame = self.frames[place]
        if flags & MSG_PEEK:
            if not frame.data:
                self.frames[place] = frame._replace(was_peeked=True)
        else:
            self.frames.popleft()
            self.heard_bytes -= frame.charge
            self.network.system.uncharge_buffer(frame.charge)
        if length < self.virtual_bytes:
            raise EINVAL("no room for what is told of the frame")
        if keeps_stamp(self.options):
            self.stamp_ns = frame.time_ns
        data = self.told_of(frame) + frame.data
        received = Received(data[:length], len(data), 0, frame.sender)
        if len(data) > length:
            received.flags = MSG_TRUNC
        if flags & MSG_PEEK and self.frames[place] is frame:
            self.frames[place] = frame._replace(was_peeked=True)
        received.items = timestamp_items(self.options, frame.time_ns) + mark_items(self.options, frame.marks)
        if self.has_option(AUXDATA):
            # What looked at it before has written the sender's family and protocol over the length.
            full = int.from_bytes(frame.sender[:4], "little") if frame.was_peeked else frame.length
            told = TpacketAuxdata(frame.status | _USER, full, len(frame.data), 0, frame.header_bytes)
            received.items.append((_SOL_PACKET, AUXDATA, told.pack()))
        return received

    def _first_to_peek(self) -> int:
        """Which frame MSG_PEEK sees first. Linux: net/core/datagram.c, __skb_try_recv_from_queue."""
        for place, frame in enumerate(self.frames):
            if frame.data or not frame.was_peeked:
                return place
        return len(self.frames)

    def has_option(self, name: int) -> bool:
        """Whether one of SWITCHES is on, or one of NUMBERS isn't 0."""
        return bool(self.switches.get(name))

    @property
    def is_raw(self) -> bool:
        """Whether its frames have their headers."""
        return self.kind == _RAW

    @property
    def loses_wrong(self) -> bool:
        """Whether frames that can't be sent are left out (PACKET_LOSS)."""
        return self.has_option(LOSS)

    @property
    def passes_by_queue(self) -> bool:
        """Whether its frames go to the interface at once (PACKET_QDISC_BYPASS)."""
        return self.has_option(BYPASS)

    @property
    def tells_offsets(self) -> bool:
        """Whether frames to send begin where their headers say (PACKET_TX_HAS_OFF)."""
        return self.has_option(TX_HAS_OFFSET)

    @property
    def has_room(self) -> bool:
        """Whether more frames can wait, and it won't be full soon.

        Linux: net/packet/af_packet.c, __packet_rcv_has_room.
        """
        if self.ring is not None:
            return self.ring.has_room()
        return self.receive_room - self.heard_bytes > self.receive_room >> 2

    @property
    def rings(self) -> list[Ring]:
        """Those that there are, in the order in which they are mapped."""
        return [ring for ring in (self.ring, self.transmit_ring) if ring is not None]

    def mappable(self) -> PageCache | None:
        rings = self.rings
        if not rings:
            raise EINVAL("there is no ring")
        return rings[0].pages

    def check_mapped_range(self, offset: int, size: int) -> None:
        """Linux: net/packet/af_packet.c, packet_mmap."""
        if offset or size != sum(ring.size for ring in self.rings):
            raise EINVAL("rings are mapped as a whole")

    def ring_timed_out(self) -> None:
        """A block has waited long enough."""
        if self.ring is not None:
            self.ring.timed_out(self)

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        self._way_out(address)
        if not self.virtual_bytes and self.transmit_ring is None:
            check_checksum(self)

    def _way_out(self, address: bytes | None) -> tuple[Interface, int, bytes]:
        """The interface that a frame goes to, with the protocol and the other end's hardware address.

        Raises EINVAL, ENXIO, ENETDOWN.
        """
        index, protocol, target = self.interface_index, self.protocol, b""
        if address is not None:
            if len(address) < SockaddrLl.SIZE:
                raise EINVAL("a struct sockaddr_ll is needed")
            wanted = SockaddrLl.unpack_from(address)
            if len(address) < _SHORTEST_NAME + wanted.sll_halen:
                raise EINVAL("a hardware address too short")
            index, protocol = wanted.sll_ifindex, int.from_bytes(wanted.sll_protocol, "big")
            target = wanted.sll_addr[:HARDWARE_BYTES]
        interface = self.network.interfaces.get(index)
        if interface is None:
            raise ENXIO("no such interface")
        if not interface.is_up:
            raise ENETDOWN("the interface is down")
        return interface, protocol, target

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/packet/af_packet.c, packet_snd."""
        interface, protocol, target = self._way_out(address)
        if control is not None:
            check_control(self, control)
        if self.transmit_ring is not None:
            return self.transmit_ring.send(self, interface, protocol, target)
        send_frame(self, interface, protocol, target, data)
        return len(data)

    # The rest

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: net/packet/af_packet.c, packet_ioctl."""
        if request in STAMP_REQUESTS:
            return tell_stamp(self.stamp_ns, request, argument, memory)
        if request in QUEUE_REQUESTS:
            first_bytes = len(self.frames[0].data) if self.frames else 0
            return tell_queue(first_bytes, request, argument, memory)
        return super().ioctl(request, argument, memory)

    def check_option(self, level: int, name: int, *, is_set: bool) -> None:
        if level != _SOL_PACKET:
            raise ENOPROTOOPT
        check_option(self, name, is_set=is_set)

    def set_option(self, level: int, name: int, value: bytes) -> None:
        if level != _SOL_PACKET:
            raise ENOPROTOOPT
        set_option(self, name, value)

    def get_option(self, level: int, name: int, length: int) -> bytes:
        if level != _SOL_PACKET:
            raise ENOPROTOOPT
        return get_option(self, name, length)

    def forget_frames(self) -> None:
        """Throw away what waits to be received."""
        self.network.system.uncharge_buffer(self.heard_bytes)
        self.heard_bytes = 0
        self.frames.clear()

    @property
    def arrivals(self) -> tuple[int, int]:
        return self.heard_bytes, self.drop_count

    @property
    def unread_bytes(self) -> int:
        return sum(len(frame.data) for frame in self.frames)

    def release(self) -> None:
        """Linux: net/packet/af_packet.c, packet_release."""
        self.forget_frames()
        if self.ring is not None:
            self.ring.end_of_socket(self)
            self.ring = None
        if self.transmit_ring is not None:
            self.transmit_ring.release()
            self.transmit_ring = None
        leave_group(self)
        self.network.packet_sockets.pop(self, None)
        self.network.topology_changed()
        self.forget()
        self.ended = BOTH_WAYS
        self.state_changed()

    def poll_mask(self) -> int:
        """Linux: net/packet/af_packet.c, packet_poll."""
        mask = POLLERR if self.error else 0
        if self.frames or (self.ring is not None and self.ring.has_frames()):
            mask |= POLLIN
        return mask | POLLOUT | POLLWRBAND


def _nobody(frame: HeardFrame) -> bytes:
    """Of a frame that is in a ring too, who sent it isn't told twice."""
    return SockaddrLl(_FAMILY, frame.sender[2:4]).pack()
