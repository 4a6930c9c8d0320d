"""Frames that programs have made: who hears them, and what networks take out of them (packet(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.internet import ADDRESS_BYTES_OF_ETHERTYPE
from procession.abi.word import Words
from procession.net.internet.crossing import Crossing
from procession.net.internet.output import receive_frame
from procession.net.internet.packet import (
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    UDP,
    UDP_HEADER_BYTES,
    UDP_LITE,
    Packet,
    checksum,
)
from procession.net.link.interface import LOOPBACK
from procession.net.link.segment import hearers

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.packet.socket import PacketSocket

HEADER_BYTES = 14
_UDP_PORTS = Words(">HHH")
_FRAGMENT_BITS = 0x3FFF


def send_frame(sender: PacketSocket, interface: Interface, header: bytes, whole: bytes) -> None:
    """`sender` sends a frame out of `interface`, which others hear, but not itself.

    Linux: net/core/dev.c, __dev_queue_xmit, dev_loopback_xmit; drivers/net/veth.c, veth_xmit.
    """
    _show(Crossing(interface, True, 0), header, whole, sender)
    interface.sent_packets += 1
    interface.sent_bytes += len(header) + len(whole)
    if interface.kind == LOOPBACK:
        _arrive(interface, header, whole, is_for_it=True)
        return
    target = header[:6]
    for heard in hearers(interface):
        for other in heard.receivers[:-1]:
            _show(Crossing(other, False, 0), header, whole)
        is_for_it = bool(target[0] & 1) or target == heard.interface.hardware_address
        _arrive(heard.interface, header, whole, is_for_it=is_for_it)


def _show(crossing: Crossing, header: bytes, whole: bytes, sender: PacketSocket | None = None) -> None:
    for socket in list(crossing.interface.network.packet_sockets):
        if socket is not sender:
            socket.hear(crossing, header, whole)


def _arrive(interface: Interface, header: bytes, whole: bytes, *, is_for_it: bool) -> None:
    """Linux: net/core/dev.c, __netif_receive_skb_core; net/ipv4/ip_input.c, ip_rcv_core."""
    interface.received_packets += 1
    interface.received_bytes += len(header) + len(whole)
    _show(Crossing(interface, False, 0), header, whole)
    if not is_for_it:
        return
    time_ns = interface.network.host.clock.realtime_ns
    packet = packet_in(int.from_bytes(header[12:14], "big"), whole, time_ns)
    if packet is not None:
        receive_frame(interface.network, packet, interface)


def packet_in(ethertype: int, whole: bytes, time_ns: int) -> Packet | None:
    """The packet of IP that a frame carries, None for none, for a broken one and for a piece of one."""
    size = ADDRESS_BYTES_OF_ETHERTYPE.get(ethertype, 0)
    options = b""
    if size == 4:
        start = (whole[0] & 15) * 4 if whole else 0
        if (
            len(whole) < IPV4_HEADER_BYTES
            or whole[0] >> 4 != 4
            or not IPV4_HEADER_BYTES <= start <= len(whole)
        ):
            return None
        length = int.from_bytes(whole[2:4], "big")
        is_piece = int.from_bytes(whole[6:8], "big") & _FRAGMENT_BITS
        if not start <= length <= len(whole) or is_piece or checksum(whole[:start]):
            return None
        tos, ttl, protocol, source, target = whole[1], whole[8], whole[9], whole[12:16], whole[16:20]
        options = whole[IPV4_HEADER_BYTES:start]
    elif size:
        start = IPV6_HEADER_BYTES
        if len(whole) < start or whole[0] >> 4 != 6:
            return None
        length = start + int.from_bytes(whole[4:6], "big")
        if length > len(whole):
            return None
        tos, ttl, protocol = int.from_bytes(whole[:2], "big") >> 4 & 0xFF, whole[7], whole[6]
        source, target = whole[8:24], whole[24:40]
    else:
        return None
    data, port, target_port = whole[start:length], 0, 0
    if protocol in (UDP, UDP_LITE):
        if len(data) < UDP_HEADER_BYTES:
            return None
        port, target_port, told = _UDP_PORTS.unpack_from(data)
        if protocol == UDP and not UDP_HEADER_BYTES <= told <= len(data):
            return None
        data = data[UDP_HEADER_BYTES : told if protocol == UDP else len(data)]
    packet = Packet(data, source, port, target, target_port, time_ns, tos, ttl, protocol)
    packet.options = options
    return packet
