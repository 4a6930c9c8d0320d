"""What packet sockets tell of a frame in front of it, and are told: how far its checksum and its segments are
made (PACKET_VNET_HDR, packet(7)).

Frames of several segments in one are sent as they are: nothing here cuts them.
"""

from __future__ import annotations

from procession.abi.errno import EINVAL
from procession.abi.internet import ADDRESS_BYTES_OF_ETHERTYPE
from procession.abi.named_tuple import NamedTuple
from procession.abi.socket import IpProtocol
from procession.abi.virtio_net import VirtioNetFlag, VirtioNetHdr, VirtioNetSegments
from procession.abi.word import pack_port
from procession.net.internet.frame import HEADER_BYTES
from procession.net.internet.packet import IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, checksum

SHORT, LONG = VirtioNetHdr.SIZE, VirtioNetHdr.SIZE + 2
"""Without and with the number of buffers (struct virtio_net_hdr_mrg_rxbuf), which is always 0."""
_NEEDS_CHECKSUM = int(VirtioNetFlag.VIRTIO_NET_HDR_F_NEEDS_CSUM)
_TCP, _UDP = int(IpProtocol.IPPROTO_TCP), int(IpProtocol.IPPROTO_UDP)
_CHECKSUM_OFFSETS = {_TCP: 16, _UDP: 6}
_FRAGMENT_BITS = 0x3FFF
_CHECKSUM_BYTES = 2
_TCP_6 = int(VirtioNetSegments.VIRTIO_NET_HDR_GSO_TCPV6)
_CONGESTION = int(VirtioNetSegments.VIRTIO_NET_HDR_GSO_ECN)
_DATAGRAM_SEGMENTS = int(VirtioNetSegments.VIRTIO_NET_HDR_GSO_UDP_L4)
_PROTOCOLS_OF_SEGMENTS = {
    int(VirtioNetSegments.VIRTIO_NET_HDR_GSO_TCPV4): (4, _TCP),
    _TCP_6: (16, _TCP),
    int(VirtioNetSegments.VIRTIO_NET_HDR_GSO_UDP): (0, _UDP),
    _DATAGRAM_SEGMENTS: (0, _UDP),
}


def transport(ethertype: int, whole: bytes) -> tuple[int, int]:
    """The protocol behind the header of IP, 0 for one without a checksum, and where it begins."""
    size = ADDRESS_BYTES_OF_ETHERTYPE.get(ethertype, 0)
    protocol, start = 0, 0
    if size == 4 and len(whole) >= IPV4_HEADER_BYTES:
        start = (whole[0] & 15) * 4
        if not int.from_bytes(whole[6:8], "big") & _FRAGMENT_BITS:
            protocol = whole[9]
    elif size == 16 and len(whole) >= IPV6_HEADER_BYTES:
        start, protocol = IPV6_HEADER_BYTES, whole[6]
    return (protocol, start) if protocol in _CHECKSUM_OFFSETS else (0, 0)


def describe(size: int, frame: bytes, *, is_partial: bool) -> bytes:
    """The header, `size` bytes long, in front of `frame`, whose checksum isn't worked out if `is_partial`.

    Linux: net/packet/af_packet.c, packet_rcv_vnet.
    """
    told = VirtioNetHdr()
    protocol, start = transport(int.from_bytes(frame[12:14], "big"), frame[HEADER_BYTES:])
    if is_partial and protocol:
        told.flags = _NEEDS_CHECKSUM
        told.csum_start, told.csum_offset = HEADER_BYTES + start, _CHECKSUM_OFFSETS[protocol]
    return told.pack().ljust(size, b"\0")


class ToldFrame(NamedTuple):
    """A frame as it's sent: its checksum is still to be worked out on the way (`is_partial`); it may be
    longer than the interface carries (`is_several`)."""

    data: bytes
    is_partial: bool
    is_several: bool


def take_off(size: int, data: bytes) -> tuple[VirtioNetHdr, bytes]:
    """A header of `size` bytes, and the frame behind it. Raises EINVAL.

    Linux: net/packet/af_packet.c, packet_snd_vnet_parse.
    """
    if len(data) < size:
        raise EINVAL("no struct virtio_net_hdr")
    told, frame = VirtioNetHdr.unpack_from(data), data[size:]
    place = told.csum_start + told.csum_offset
    is_partial = bool(told.flags & _NEEDS_CHECKSUM)
    header_bytes = told.hdr_len
    if is_partial and place + _CHECKSUM_BYTES > header_bytes:
        header_bytes = place + _CHECKSUM_BYTES & 0xFFFF
    if header_bytes > len(frame):
        raise EINVAL("a header longer than the frame")
    return told, frame


def as_told(told: VirtioNetHdr, frame: bytes) -> ToldFrame:
    """The frame as the header before it says. Raises EINVAL. Linux: net/packet/af_packet.c, packet_snd."""
    start, place = told.csum_start, told.csum_start + told.csum_offset
    is_partial = bool(told.flags & _NEEDS_CHECKSUM)
    if is_partial and place + _CHECKSUM_BYTES > len(frame):
        raise EINVAL("a checksum behind the frame")
    # Linux: net/packet/af_packet.c, packet_snd.
    is_ipv6 = told.gso_type & ~_CONGESTION == _TCP_6
    if is_partial and start < (IPV6_HEADER_BYTES if is_ipv6 else IPV4_HEADER_BYTES):
        raise EINVAL("a checksum of the header of IP")
    if told.gso_type:
        _check_segments(told, frame, is_partial=is_partial)
    if is_partial:
        # What is there already is the sum of the addresses and so on (the pseudo-header).
        summed = checksum(frame[start:])
        frame = frame[:place] + pack_port(summed or 0xFFFF) + frame[place + _CHECKSUM_BYTES :]
    return ToldFrame(frame, is_partial, bool(told.gso_type))


def _check_segments(told: VirtioNetHdr, frame: bytes, *, is_partial: bool) -> None:
    kind = told.gso_type & ~_CONGESTION
    if told.gso_type == _DATAGRAM_SEGMENTS | _CONGESTION:
        raise EINVAL("datagrams tell of no congestion")
    wanted = _PROTOCOLS_OF_SEGMENTS.get(kind)
    if wanted is None or not told.gso_size:
        raise EINVAL("no such segments")
    size, protocol = wanted
    if (protocol == _TCP or kind == _DATAGRAM_SEGMENTS) and not is_partial:
        raise EINVAL("segments need checksums")
    ethertype = int.from_bytes(frame[12:14], "big")
    found = ADDRESS_BYTES_OF_ETHERTYPE.get(ethertype, 0)
    if transport(ethertype, frame[HEADER_BYTES:])[0] != protocol or (size and size != found):
        raise EINVAL("segments of another protocol")
