"""Rings of frames that programs have written, for packet sockets to send (PACKET_TX_RING, packet(7)).

Linux: net/packet/af_packet.c, tpacket_snd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EMSGSIZE, Errno
from procession.abi.named_tuple import NamedTuple
from procession.abi.packet import SendingStatus, Tpacket2Hdr, Tpacket3Hdr, TpacketHdr
from procession.abi.word import pack_u32, pack_u64
from procession.fs.giving_way import give_way
from procession.net.internet.frame import HEADER_BYTES as FRAME_HEADER_BYTES
from procession.net.packet.output import send_frame
from procession.net.packet.ring_layout import HEADER_BYTES, V1, V2, V3, Ring, aligned

if TYPE_CHECKING:
    from procession.abi.packet import TpacketReq3
    from procession.hardware.physical_memory import PhysicalMemory
    from procession.net.link.interface import Interface
    from procession.net.packet.socket import PacketSocket

_AVAILABLE = 0
_SEND_REQUEST = int(SendingStatus.TP_STATUS_SEND_REQUEST)
_WRONG_FORMAT = int(SendingStatus.TP_STATUS_WRONG_FORMAT)
_STATUS_PLACE_3 = 20
"""Where the status is in a struct tpacket3_hdr; in the others it's first."""
_VLAN_BYTES = 4


class SentFrames(NamedTuple):
    """How far a call has come that sends a ring's frames: they have `byte_count` bytes."""

    byte_count: int


class TransmitRing(Ring):
    """A ring for frames that are to be sent, as `version` lays out their headers."""

    __slots__ = ()

    def __init__(self, memory: PhysicalMemory, version: int, request: TpacketReq3) -> None:
        if version == V3 and (
            request.tp_retire_blk_tov or request.tp_sizeof_priv or request.tp_feature_req_word
        ):
            raise EINVAL("blocks aren't sent")
        super().__init__(memory, version, request)

    def _set_status(self, place: int, status: int) -> None:
        if self.version == V3:
            self.pages.write(place + _STATUS_PLACE_3, pack_u32(status))
        else:
            self.pages.write(place, pack_u64(status) if self.version == V1 else pack_u32(status))

    def _is_requested(self, place: int) -> bool:
        return self.status_at(place + (_STATUS_PLACE_3 if self.version == V3 else 0)) == _SEND_REQUEST

    def _frame_at(self, place: int, socket: PacketSocket, most_bytes: int) -> bytes:
        """What is to be sent of the frame at `place`. Raises EINVAL, EMSGSIZE.

        Linux: net/packet/af_packet.c, tpacket_parse_header.
        """
        front = self.pages.read(place, HEADER_BYTES[self.version])
        if self.version == V3:
            third = Tpacket3Hdr.unpack_from(front)
            if third.tp_next_offset:
                raise EINVAL("frames are of one size")
            length, mac, net = third.tp_len, third.tp_mac, third.tp_net
        elif self.version == V2:
            second = Tpacket2Hdr.unpack_from(front)
            length, mac, net = second.tp_len, second.tp_mac, second.tp_net
        else:
            first = TpacketHdr.unpack_from(front)
            length, mac, net = first.tp_len, first.tp_mac, first.tp_net
        if length > most_bytes:
            raise EMSGSIZE("longer than the interface carries")
        least = offset = aligned(HEADER_BYTES[self.version])
        if socket.tells_offsets:
            offset = mac if socket.is_raw else net
            if not least <= offset <= self.frame_bytes - length:
                raise EINVAL("not inside the frame")
        return self.pages.read(place + offset, length)

    def send(self, socket: PacketSocket, interface: Interface, protocol: int, target: bytes) -> int:
        """Send all frames for which that is asked; how many bytes they have. A wrong one ends it, unless such
        are to be lost (PACKET_LOSS). As in Linux, where nothing waits to leave the machine, only a fatal
        signal ends it before. Raises EINVAL, EMSGSIZE.
        """
        most_bytes = self.frame_bytes - aligned(HEADER_BYTES[self.version])
        if not socket.virtual_bytes:
            header = FRAME_HEADER_BYTES if socket.is_raw and interface.has_frames else 0
            most_bytes = min(most_bytes, interface.mtu + header + _VLAN_BYTES)
        clock, frame = socket.network.host.clock, socket.caller.frame
        progress = frame.progress if frame is not None else None
        total = progress.byte_count if isinstance(progress, SentFrames) else 0
        began_ns = clock.kernel_work_ns
        while True:
            give_way(clock, began_ns, SentFrames(total))
            place = self.frame_place(self.head)
            if not self._is_requested(place):
                return total
            clock.spend_delivering()
            try:
                data = self._frame_at(place, socket, most_bytes)
                send_frame(socket, interface, protocol, target, data)
            except Errno:
                if not socket.loses_wrong:
                    self._set_status(place, _WRONG_FORMAT)
                    raise
            else:
                total += len(data) - socket.virtual_bytes
            self._set_status(place, _AVAILABLE)
            self.head = (self.head + 1) % self.frame_count
