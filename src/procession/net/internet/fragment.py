"""Packets as they are on a wire, cut into pieces where they are too long (ip(7), RFC 791, RFC 8200)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.word import pack_address, pack_port, pack_u8
from procession.net.internet.packet import (
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    TCP,
    UDP,
    UDP_LITE,
    checksum,
)

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet

_CHECKSUM_PLACES = {TCP: 16, UDP: 6, UDP_LITE: 6}
_MORE, _FRAGMENT = 0x2000, 44
"""IP_MF, and the header of IPv6 in front of a piece."""
_LENGTH, _PIECE, _SUM = slice(2, 4), slice(6, 8), slice(10, 12)
"""Where they are in the header of IPv4."""
_UNIT = 8


def wire_form(packet: Packet) -> bytes:
    """All of a packet, with the checksum of what IP carries; what a program has written stays as it is."""
    whole = packet.with_header() if len(packet.target) == 4 else packet.with_header_6()
    place = _CHECKSUM_PLACES.get(packet.protocol)
    start = len(whole) - len(packet.payload)
    if place is None or packet.written is not None or len(whole) < start + place + 2:
        return whole
    ends = packet.source + packet.target
    front = ends + pack_address(packet.protocol, 4) + pack_address(len(whole) - start, 4)
    body = whole[start : start + place] + bytes(2) + whole[start + place + 2 :]
    found = checksum(front + body) or 0xFFFF
    return whole[:start] + body[:place] + pack_port(found) + body[place + 2 :]


def pieces_of(packet: Packet, mtu: int) -> list[bytes]:
    """The packet for a wire that carries `mtu` bytes. Linux: net/ipv4/ip_output.c, ip_do_fragment;
    net/ipv6/ip6_output.c, ip6_fragment."""
    whole = wire_form(packet)
    if len(whole) <= mtu:
        return [whole]
    if len(packet.target) == 16:
        return _pieces_6(whole, mtu)
    start = IPV4_HEADER_BYTES + len(packet.options)
    size = max((mtu - start) & ~(_UNIT - 1), _UNIT)
    pieces = []
    for offset in range(0, len(whole) - start, size):
        part = whole[start + offset : start + offset + size]
        is_last = start + offset + size >= len(whole)
        header = bytearray(whole[:start])
        header[_LENGTH] = pack_port(start + len(part))
        header[_PIECE] = pack_port(offset // _UNIT | (0 if is_last else _MORE))
        header[_SUM] = bytes(2)
        header[_SUM] = pack_port(checksum(bytes(header)))
        pieces.append(bytes(header) + part)
    return pieces


def _pieces_6(whole: bytes, mtu: int) -> list[bytes]:
    start = IPV6_HEADER_BYTES
    size = max((mtu - start - _UNIT) & ~(_UNIT - 1), _UNIT)
    pieces = []
    for offset in range(0, len(whole) - start, size):
        part = whole[start + offset : start + offset + size]
        is_last = start + offset + size >= len(whole)
        header = whole[:4] + pack_port(_UNIT + len(part)) + pack_u8(_FRAGMENT) + whole[7:start]
        piece = whole[6:7] + bytes(1) + pack_port(offset | int(not is_last)) + bytes(4)
        pieces.append(header + piece + part)
    return pieces
