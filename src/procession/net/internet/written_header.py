"""Headers of IP that programs write themselves (IP_HDRINCL in raw(7), IPV6_HDRINCL)."""

from __future__ import annotations

from procession.abi.errno import EINVAL
from procession.net.internet.packet import IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, UDP, UDP_LITE, Packet


def read_header(whole: bytes, source: bytes, time_ns: int) -> Packet | None:
    """The packet of IPv4 that a program has written, from `source` if it doesn't say; None if it is none of
    IPv4. Raises EINVAL. Linux: net/ipv4/raw.c, raw_send_hdrinc.
    """
    start = (whole[0] & 15) * 4 if whole else 0
    if not IPV4_HEADER_BYTES <= start <= len(whole):
        raise EINVAL("no header of IP")
    if whole[0] >> 4 != 4:
        return None
    if any(whole[12:16]):
        source = whole[12:16]
    packet = Packet(whole[start:], source, 0, whole[16:20], 0, time_ns, whole[1], whole[8], whole[9])
    packet.options = whole[IPV4_HEADER_BYTES:start]
    packet.place = whole[4:8]
    _look_at_datagram(packet)
    return packet


def read_header_6(whole: bytes, source: bytes, time_ns: int) -> Packet | None:
    """The same of IPv6, where nothing is filled in. Linux: net/ipv6/raw.c, rawv6_send_hdrinc."""
    if len(whole) < IPV6_HEADER_BYTES:
        raise EINVAL("no header of IPv6")
    length = IPV6_HEADER_BYTES + int.from_bytes(whole[4:6], "big")
    if whole[0] >> 4 != 6 or length > len(whole):
        return None
    first = int.from_bytes(whole[:4], "big")
    packet = Packet(
        *(whole[IPV6_HEADER_BYTES:length], whole[8:24], 0, whole[24:40], 0),
        *(time_ns, first >> 20 & 0xFF, whole[7], whole[6]),
    )
    packet.flow_label = first & 0xFFFFF
    _look_at_datagram(packet)
    return packet


def _look_at_datagram(packet: Packet) -> None:
    if packet.protocol in (UDP, UDP_LITE):
        packet.take_written(packet.data)
