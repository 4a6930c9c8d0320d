"""Rings of frames that packet sockets hear, in memory that the socket shares with its program (packet(7)).

Linux: net/packet/af_packet.c, tpacket_rcv.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.duration import NS_PER_MS
from procession.abi.packet import BlockDescription, PacketStatus, Tpacket2Hdr, Tpacket3Hdr, TpacketHdr
from procession.abi.word import pack_u32, pack_u64
from procession.net.packet.ring_layout import ADDRESS_BYTES, HEADER_BYTES, V1, V2, V3, Ring, aligned

if TYPE_CHECKING:
    from procession.abi.packet import TpacketReq3
    from procession.hardware.physical_memory import PhysicalMemory
    from procession.net.packet.socket import HeardFrame, PacketSocket

RING_TIMER = "packet-ring"
"""The kind of the timer that gives a block to the program though it isn't full."""
_BLOCK_ALIGNMENT = 8
_LEAST_FRONT = 16
_LARGEST_OFFSET = 0xFFFF
_USER, _LOSING = int(PacketStatus.TP_STATUS_USER), int(PacketStatus.TP_STATUS_LOSING)
_TIMED_OUT = int(PacketStatus.TP_STATUS_BLK_TMO)
_DEFAULT_TIMEOUT_MS = 8
_STATUS_PLACE, _COUNT_PLACE, _FIRST_PLACE, _LENGTH_PLACE, _LAST_TIME_PLACE = 8, 12, 16, 20, 40
"""Where they are in a struct tpacket_block_desc."""


class PacketRing(Ring):
    """A ring for frames that are heard. It's the first of what is mapped.

    `frozen_count` counts how often there was no block (version 3). Of the current block, `packet_count` are
    in it, `end` is where it ends, and `last` where its last packet begins; `is_open` is false while the
    program has it.
    """

    __slots__ = (
        "end",
        "frozen_count",
        "is_open",
        "last",
        "packet_count",
        "private_bytes",
        "reserve",
        "sequence",
        "timeout_ns",
        "timer",
    )

    def __init__(self, memory: PhysicalMemory, version: int, reserve: int, request: TpacketReq3) -> None:
        super().__init__(memory, version, request)
        self.reserve = reserve
        self.private_bytes = aligned(request.tp_sizeof_priv, _BLOCK_ALIGNMENT)
        self.timeout_ns = (request.tp_retire_blk_tov or _DEFAULT_TIMEOUT_MS) * NS_PER_MS
        self.sequence = self.frozen_count = 0
        self.packet_count = self.end = self.last = 0
        self.is_open = False
        self.timer: Any = None

    def has_frames(self) -> bool:
        """Whether what came last is the program's now. Linux: net/packet/af_packet.c,
        packet_previous_rx_frame."""
        if self.version == V3:
            before = (self.head - 1) % self.block_count
            return self.status_at(before * self.block_bytes + _STATUS_PLACE) != 0
        return self.status_at(self.frame_place((self.head - 1) % self.frame_count)) != 0

    def has_room(self) -> bool:
        """Whether a quarter of it is free behind what comes next.

        Linux: net/packet/af_packet.c, __tpacket_has_room, __tpacket_v3_has_room.
        """
        if self.version == V3:
            index = (self.head + self.block_count // 4) % self.block_count
            return self.status_at(index * self.block_bytes + _STATUS_PLACE) == 0
        index = (self.head + self.frame_count // 4) % self.frame_count
        return self.status_at(self.frame_place(index)) == 0

    # Frames

    def holds_whole(self, length: int, maclen: int) -> bool:
        """Whether a frame isn't cut (versions 1 and 2)."""
        return self._mac_place(maclen) + length <= self.frame_bytes

    @property
    def is_next_free(self) -> bool:
        """Whether the next frame's place isn't the program's (versions 1 and 2)."""
        return not self.status_at(self.frame_place(self.head))

    def _mac_place(self, maclen: int) -> int:
        header = aligned(HEADER_BYTES[self.version])
        if maclen:
            return aligned(header + ADDRESS_BYTES + max(maclen, _LEAST_FRONT)) + self.reserve - maclen
        return aligned(header + ADDRESS_BYTES) + _LEAST_FRONT + self.reserve

    def put(self, socket: PacketSocket, frame: HeardFrame, status: int) -> bool:
        """Put a frame there with `status` of TP_STATUS_*; whether there is room.

        Linux: net/packet/af_packet.c, tpacket_rcv.
        """
        told, maclen = socket.told_of(frame), frame.header_bytes
        mac = self._mac_place(maclen) + len(told)
        net = mac + maclen
        if net > _LARGEST_OFFSET:
            return False
        whole = self.frame_bytes
        if self.version == V3:
            whole = self.block_bytes - BlockDescription.SIZE - self.private_bytes
        if mac > whole:
            told = b""
        data = frame.data[: max(whole - mac, 0)]
        mac = min(mac, whole)
        place = self._place_for(socket, mac + len(data))
        if place is None:
            return False
        time_ns = socket.network.host.clock.realtime_ns
        seconds, rest_ns = divmod(time_ns, 1_000_000_000)
        status |= _USER
        self.pages.write(place + aligned(HEADER_BYTES[self.version]), frame.sender)
        if told or data:
            self.pages.write(place + mac - len(told), told + data)
        if self.version == V3:
            size = aligned(mac + len(data), _BLOCK_ALIGNMENT)
            front = Tpacket3Hdr(size, seconds, rest_ns, len(data), frame.length, status, mac, net).pack()
            self.pages.write(place, front)
            self._note_packet(socket, place, size)
            return True
        if self.version == V2:
            if socket.drop_count:
                status |= _LOSING
            front = Tpacket2Hdr(0, frame.length, len(data), mac, net, seconds, rest_ns).pack()
        else:
            if socket.drop_count:
                status |= _LOSING
            front = TpacketHdr(0, frame.length, len(data), mac, net, seconds, rest_ns // 1000).pack()
        status_bytes = pack_u64(status) if self.version == V1 else pack_u32(status)
        self.pages.write(place, status_bytes + front[len(status_bytes) :])
        self.head = (self.head + 1) % self.frame_count
        socket.read_queue.wake_all()
        return True

    def _place_for(self, socket: PacketSocket, size: int) -> int | None:
        if self.version != V3:
            place = self.frame_place(self.head)
            return None if self.status_at(place) else place
        size = aligned(size, _BLOCK_ALIGNMENT)
        if not self.is_open:
            if self.status_at(self.head * self.block_bytes + _STATUS_PLACE):
                return None
            self._open_block(socket)
        if self.end + size > (self.head + 1) * self.block_bytes:
            self.retire(socket, 0)
            if self.status_at(self.head * self.block_bytes + _STATUS_PLACE):
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
            if not self.status_at(self.head * self.block_bytes + _STATUS_PLACE):
                self._open_block(socket)

    def _stop_timer(self, socket: PacketSocket) -> None:
        timer, self.timer = self.timer, None
        if timer is not None:
            socket.network.host.timers.cancel(timer)

    def end_of_socket(self, socket: PacketSocket) -> None:
        """The socket has it no more; who maps it still does."""
        self._stop_timer(socket)
        self.release()
