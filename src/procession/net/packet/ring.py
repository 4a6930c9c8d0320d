"""Rings of packet sockets: frames in memory that the socket shares with its program (packet(7)).

Linux: net/packet/af_packet.c, tpacket_rcv, packet_set_ring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.errno import EBUSY, EINVAL, ENOMEM
from procession.abi.packet import (
    BlockDescription,
    PacketStatus,
    PacketVersion,
    Tpacket2Hdr,
    Tpacket3Hdr,
    TpacketHdr,
    TpacketReq,
    TpacketReq3,
)
from procession.abi.word import pack_u32, pack_u64
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, OutOfFrames
from procession.mm.vma import SharedAnonymous

if TYPE_CHECKING:
    from procession.hardware.physical_memory import PhysicalMemory
    from procession.net.packet.socket import PacketSocket

V1, V2, V3 = (int(version) for version in PacketVersion)
HEADER_BYTES = {V1: TpacketHdr.SIZE, V2: Tpacket2Hdr.SIZE, V3: Tpacket3Hdr.SIZE}
RING_TIMER = "packet-ring"
"""The kind of the timer that gives a block to the program though it isn't full."""
_ALIGNMENT, _BLOCK_ALIGNMENT = 16, 8
_ADDRESS_BYTES = 20
"""A struct sockaddr_ll, behind each header."""
_LEAST_FRONT = 16
_LARGEST_OFFSET = 0xFFFF
_LARGEST_BLOCK = 0x7FFFFFFF
_USER, _LOSING = int(PacketStatus.TP_STATUS_USER), int(PacketStatus.TP_STATUS_LOSING)
_TIMED_OUT = int(PacketStatus.TP_STATUS_BLK_TMO)
_DEFAULT_TIMEOUT_MS = 8
_MILLISECOND_NS = 1_000_000
_STATUS_PLACE, _COUNT_PLACE, _FIRST_PLACE, _LENGTH_PLACE, _LAST_TIME_PLACE = 8, 12, 16, 20, 40
"""Where they are in a struct tpacket_block_desc."""


def _aligned(size: int, alignment: int = _ALIGNMENT) -> int:
    return size + alignment - 1 & -alignment


def front_bytes(version: int, reserve: int) -> int:
    """What a frame takes at least in a ring (TPACKET_HDRLEN)."""
    return _aligned(HEADER_BYTES[version]) + _ADDRESS_BYTES + reserve


class PacketRing:
    """A ring (Linux: net/packet/internal.h, struct packet_ring_buffer).

    Its `pages` are mapped by programs, which write there what they like: of what is read from there only
    whether a place is theirs counts. `block_bytes` and `frame_bytes` are the sizes of a block and, for
    versions 1 and 2, of a frame; `head` is the frame or block that comes next. `frozen_count` counts how
    often there was no block (version 3). Of the current block, `packet_count` are in it, `end` is where it
    ends, and `last` where its last packet begins; `is_open` is false while the program has it.
    """

    __slots__ = (
        "block_bytes",
        "block_count",
        "end",
        "frame_bytes",
        "frame_count",
        "frozen_count",
        "head",
        "is_open",
        "last",
        "packet_count",
        "pages",
        "private_bytes",
        "reserve",
        "sequence",
        "timeout_ns",
        "timer",
        "version",
    )

    def __init__(self, memory: PhysicalMemory, version: int, reserve: int, request: TpacketReq3) -> None:
        self.version = version
        self.reserve = reserve
        self.block_bytes, self.block_count = request.tp_block_size, request.tp_block_nr
        self.frame_bytes, self.frame_count = request.tp_frame_size, request.tp_frame_nr
        self.private_bytes = _aligned(request.tp_sizeof_priv, _BLOCK_ALIGNMENT)
        self.timeout_ns = (request.tp_retire_blk_tov or _DEFAULT_TIMEOUT_MS) * _MILLISECOND_NS
        self.head = self.sequence = self.frozen_count = 0
        self.packet_count = self.end = self.last = 0
        self.is_open = False
        self.timer: Any = None
        count = self.block_bytes * self.block_count >> PAGE_SHIFT
        self.pages = SharedAnonymous(memory, count)
        # The socket holds them too.
        self.pages.acquire_area()
        try:
            self.pages.reserve(0, count - 1)
            for _ in range(count):
                memory.note_filled()
        except OutOfFrames:
            self.pages.release_area()
            raise ENOMEM("no memory for the ring") from None

    @property
    def size(self) -> int:
        """All of it, in bytes."""
        return self.block_bytes * self.block_count

    @property
    def is_mapped(self) -> bool:
        """Whether a program maps it."""
        return self.pages.area_count > 1

    def _status_at(self, place: int) -> int:
        return int.from_bytes(self.pages.read(place, 4), "little")

    def _frame_place(self, index: int) -> int:
        per_block = self.block_bytes // self.frame_bytes
        return index // per_block * self.block_bytes + index % per_block * self.frame_bytes

    def has_frames(self) -> bool:
        """Whether what came last is the program's now. Linux: net/packet/af_packet.c,
        packet_previous_rx_frame."""
        if self.version == V3:
            before = (self.head - 1) % self.block_count
            return self._status_at(before * self.block_bytes + _STATUS_PLACE) != 0
        return self._status_at(self._frame_place((self.head - 1) % self.frame_count)) != 0

    def has_room(self) -> bool:
        """Whether a quarter of it is free behind what comes next.

        Linux: net/packet/af_packet.c, __tpacket_has_room, __tpacket_v3_has_room.
        """
        if self.version == V3:
            index = (self.head + self.block_count // 4) % self.block_count
            return self._status_at(index * self.block_bytes + _STATUS_PLACE) == 0
        index = (self.head + self.frame_count // 4) % self.frame_count
        return self._status_at(self._frame_place(index)) == 0

    # Frames

    def put(
        self, socket: PacketSocket, data: bytes, length: int, maclen: int, address: bytes, status: int
    ) -> bool:
        """Put a frame there, whose first `maclen` bytes are its header; whether there is room.

        Linux: net/packet/af_packet.c, tpacket_rcv.
        """
        header = _aligned(HEADER_BYTES[self.version])
        if maclen:
            net = _aligned(header + _ADDRESS_BYTES + max(maclen, _LEAST_FRONT)) + self.reserve
        else:
            net = _aligned(header + _ADDRESS_BYTES) + _LEAST_FRONT + self.reserve
        mac = net - maclen
        if net > _LARGEST_OFFSET:
            return False
        whole = self.frame_bytes
        if self.version == V3:
            whole = self.block_bytes - BlockDescription.SIZE - self.private_bytes
        data = data[: max(whole - mac, 0)]
        mac = min(mac, whole)
        place = self._place_for(socket, mac + len(data))
        if place is None:
            return False
        time_ns = socket.network.host.clock.realtime_ns
        seconds, rest_ns = divmod(time_ns, 1_000_000_000)
        status |= _USER
        self.pages.write(place + header, address)
        if data:
            self.pages.write(place + mac, data)
        if self.version == V3:
            size = _aligned(mac + len(data), _BLOCK_ALIGNMENT)
            front = Tpacket3Hdr(size, seconds, rest_ns, len(data), length, status, mac, net).pack()
            self.pages.write(place, front)
            self._note_packet(socket, place, size)
            return True
        if self.version == V2:
            if socket.drop_count:
                status |= _LOSING
            front = Tpacket2Hdr(0, length, len(data), mac, net, seconds, rest_ns).pack()
        else:
            if socket.drop_count:
                status |= _LOSING
            front = TpacketHdr(0, length, len(data), mac, net, seconds, rest_ns // 1000).pack()
        status_bytes = pack_u64(status) if self.version == V1 else pack_u32(status)
        self.pages.write(place, status_bytes + front[len(status_bytes) :])
        self.head = (self.head + 1) % self.frame_count
        socket.read_queue.wake_all()
        return True

    def _place_for(self, socket: PacketSocket, size: int) -> int | None:
        if self.version != V3:
            place = self._frame_place(self.head)
            return None if self._status_at(place) else place
        size = _aligned(size, _BLOCK_ALIGNMENT)
        if not self.is_open:
            if self._status_at(self.head * self.block_bytes + _STATUS_PLACE):
                return None
            self._open_block(socket)
        if self.end + size > (self.head + 1) * self.block_bytes:
            self.retire(socket, 0)
            if self._status_at(self.head * self.block_bytes + _STATUS_PLACE):
                self.frozen_count += 1
                return None
            self._open_block(socket)
        return self.end

    # Blocks of version 3. Linux: net/packet/af_packet.c, prb_open_block, prb_close_block.

    def open_first(self, socket: PacketSocket) -> None:
        """The ring is new."""
        if self.version == V3:
            self._open_block(socket)

    def _open_block(self, socket: PacketSocket) -> None:
        self.is_open = True
        self.sequence += 1
        self.packet_count = 0
        start = self.head * self.block_bytes
        first = BlockDescription.SIZE + self.private_bytes
        self.end = self.last = start + first
        seconds, rest_ns = divmod(socket.network.host.clock.realtime_ns, 1_000_000_000)
        description = BlockDescription(
            *(V3, BlockDescription.SIZE, 0, 0, first, first, self.sequence, seconds, rest_ns, 0, 0)
        )
        self.pages.write(start, description.pack())

    def _note_packet(self, socket: PacketSocket, place: int, size: int) -> None:
        start = self.head * self.block_bytes
        self.last = place
        self.end = place + size
        self.packet_count += 1
        self.pages.write(start + _COUNT_PLACE, pack_u32(self.packet_count))
        self.pages.write(start + _LENGTH_PLACE, pack_u32(self.end - start))
        if self.timer is None:
            host = socket.network.host
            self.timer = host.timers.add(host.clock.now_ns + self.timeout_ns, RING_TIMER, socket)

    def retire(self, socket: PacketSocket, status: int) -> None:
        """The current block is the program's from now on."""
        self._stop_timer(socket)
        start = self.head * self.block_bytes
        self.pages.write(self.last, pack_u32(0))
        self.pages.write(start + _LAST_TIME_PLACE, self.pages.read(self.last + 4, 8))
        self.pages.write(start + _STATUS_PLACE, pack_u32(_USER | status))
        self.is_open = False
        self.head = (self.head + 1) % self.block_count
        socket.read_queue.wake_all()

    def timed_out(self, socket: PacketSocket) -> None:
        """A block has waited long enough. Linux: net/packet/af_packet.c, prb_retire_rx_blk_timer_expired."""
        self.timer = None
        if self.is_open and self.packet_count:
            self.retire(socket, _TIMED_OUT)
            if not self._status_at(self.head * self.block_bytes + _STATUS_PLACE):
                self._open_block(socket)

    def _stop_timer(self, socket: PacketSocket) -> None:
        timer, self.timer = self.timer, None
        if timer is not None:
            socket.network.host.timers.cancel(timer)

    def end_of_socket(self, socket: PacketSocket) -> None:
        """The socket has it no more; who maps it still does."""
        self._stop_timer(socket)
        self.pages.release_area()


def read_request(socket: PacketSocket, value: bytes) -> TpacketReq3:
    """What PACKET_RX_RING asks for. Raises EINVAL."""
    kind = TpacketReq3 if socket.version == V3 else TpacketReq
    if len(value) < kind.SIZE:
        raise EINVAL("a struct tpacket_req is needed")
    return TpacketReq3.unpack_from(value[: kind.SIZE].ljust(TpacketReq3.SIZE, b"\0"))


def make_ring(socket: PacketSocket, value: bytes) -> PacketRing | None:
    """The ring that PACKET_RX_RING asks for, None for none. Raises EINVAL, EBUSY, ENOMEM.

    Linux: net/packet/af_packet.c, packet_set_ring.
    """
    request = read_request(socket, value)
    old = socket.ring
    if old is not None and old.is_mapped:
        raise EBUSY("a program maps the ring")
    if not request.tp_block_nr:
        if request.tp_frame_nr:
            raise EINVAL("frames without blocks")
        return None
    if old is not None:
        raise EBUSY("there is a ring")
    least = front_bytes(socket.version, socket.reserve)
    size, frame = request.tp_block_size, request.tp_frame_size
    if not 0 < size <= _LARGEST_BLOCK or size & PAGE_MASK:
        raise EINVAL("a block is some pages")
    private = BlockDescription.SIZE + _aligned(request.tp_sizeof_priv, _BLOCK_ALIGNMENT)
    if socket.version == V3 and size < private + least:
        raise EINVAL("a block without room for a frame")
    if frame < least or frame % _ALIGNMENT or frame > size:
        raise EINVAL("no size of a frame")
    if size // frame * request.tp_block_nr != request.tp_frame_nr:
        raise EINVAL("another number of frames than fit")
    memory = socket.network.system.vfs.memory
    if size * request.tp_block_nr > memory.frame_count << PAGE_SHIFT:
        raise ENOMEM("more than there can be")
    ring = PacketRing(memory, socket.version, socket.reserve, request)
    ring.open_first(socket)
    return ring
