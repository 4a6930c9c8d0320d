"""Of which protocol a frame of Ethernet is, and for whom (Linux: net/ethernet/eth.c, eth_type_trans)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.packet import PacketKind
from procession.abi.word import pack_port
from procession.net.link.interface import LOOPBACK

if TYPE_CHECKING:
    from procession.net.internet.crossing import Crossing

_OUTGOING, _HOST = int(PacketKind.PACKET_OUTGOING), int(PacketKind.PACKET_HOST)
_BROADCAST, _MULTICAST = int(PacketKind.PACKET_BROADCAST), int(PacketKind.PACKET_MULTICAST)
_OTHER_HOST = int(PacketKind.PACKET_OTHERHOST)
_LEAST_ETHERTYPE, _OLD_NOVELL, _OLD = 0x600, 1, 4
_ALL = 3
"""ETH_P_ALL."""
"""Where protocols begin; below there are lengths: then it is ETH_P_802_3 or ETH_P_802_2."""
_HARDWARE_BYTES = 6


def protocol_of(crossing: Crossing, header: bytes, whole: bytes) -> int:
    """The protocol of a frame: an old one that has come tells its length there. Linux: net/ethernet/eth.c,
    eth_type_trans."""
    if crossing.protocol is not None:
        return crossing.protocol
    told = int.from_bytes(header[-2:], "big")
    if crossing.is_out or told >= _LEAST_ETHERTYPE or not crossing.interface.has_frames:
        return told
    return _OLD_NOVELL if whole[:2] == b"\xff\xff" else _OLD


def header_field(protocol: int, length: int) -> bytes:
    """What a header says of a frame of `protocol`: of an old one it's the length. Linux: net/ethernet/eth.c,
    eth_header."""
    return pack_port(length if protocol in (_OLD_NOVELL, _OLD) else protocol)


def said_of_raw(protocol: int) -> int | None:
    """The protocol of which a frame with a header is, None if that's left to the header. Linux:
    net/packet/af_packet.c, packet_parse_headers."""
    return None if protocol in (0, _ALL) else protocol


def kind_of(crossing: Crossing, header: bytes) -> int:
    """For whom a frame is. Linux: net/ethernet/eth.c, eth_type_trans."""
    target, interface = header[:6], crossing.interface
    if crossing.is_out:
        return _OUTGOING
    if not interface.has_frames or target == (interface.hardware_address or bytes(_HARDWARE_BYTES)):
        return _HOST
    # The loopback's address for everybody is all zeros.
    if target == b"\xff" * 6 and interface.kind != LOOPBACK:
        return _BROADCAST
    return _MULTICAST if target[0] & 1 else _OTHER_HOST
