"""Frames that don't follow a flow: who hears them, and what networks take out of them (packet(7), arp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_MS
from procession.abi.internet import ADDRESS_BYTES_OF_ETHERTYPE
from procession.net.internet.address import BROADCAST_4, is_multicast
from procession.net.internet.arp import (
    ARP,
    REQUEST,
    ArpMessage,
    answer,
    ignores_question,
    speaks_for,
    unpack_arp,
)
from procession.net.internet.crossing import Crossing, show_frame
from procession.net.internet.device_address import is_onlink
from procession.net.internet.extension_headers import take_off
from procession.net.internet.flow import learn_on_way
from procession.net.internet.neighbour import REACHABLE, STALE, learn
from procession.net.internet.output import receive_frame, send_waiting
from procession.net.internet.packet import (
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    UDP,
    UDP_LITE,
    Packet,
    checksum,
)
from procession.net.link.bridge import learn_behind, passes_up, ports_to, takes_in
from procession.net.link.interface import LOOPBACK
from procession.net.link.segment import reach
from procession.net.sysctls import ARP_ACCEPT, DROP_GRATUITOUS, ONLY_TO_GROUPS

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.packet.socket import PacketSocket

HEADER_BYTES = 14
_FRAGMENT_BITS = 0x3FFF
_ANYBODY, _OF_NET = 1, 2
"""arp_accept: whoever tells of himself, or those of the interface's nets."""


def transmit(
    interface: Interface,
    header: bytes,
    whole: bytes,
    sender: PacketSocket | None = None,
    *,
    is_partial: bool = False,
    protocol: int | None = None,
    is_shown: bool = True,
) -> None:
    """A frame goes out of `interface`, which others hear, but not who has sent it. It's of `protocol`, if
    its sender has said so; `is_shown` whether those hear it at all before it leaves.

    Linux: net/core/dev.c, __dev_queue_xmit, dev_loopback_xmit; drivers/net/veth.c, veth_xmit.
    """
    out = Crossing(interface, True, 0, is_partial=is_partial, protocol=protocol)
    if is_shown:
        show_frame(out, header, whole, sender)
    interface.sent_packets += 1
    interface.sent_bytes += len(header) + len(whole)
    if interface.kind == LOOPBACK:
        _arrive(interface, header, whole, is_for_it=True, is_partial=is_partial)
        return
    everybody = reach(interface, header[:6])
    learn_on_way(everybody.hearers, header[6:12], header[:6])
    for heard in everybody.hearers:
        for other in heard.receivers[:-1]:
            show_frame(Crossing(other, False, 0), header, whole)
        _arrive(heard.interface, header, whole, is_for_it=_is_for(heard.interface, header))
    for device in everybody.devices:
        if device is not interface:
            show_frame(Crossing(device, True, 0, is_partial=is_partial), header, whole)
        assert device.tun is not None
        device.tun.take(header, whole)


def bring_in(interface: Interface, header: bytes, whole: bytes) -> None:
    """A frame comes in by `interface` from a program at its other end; a bridge passes it on.

    Linux: drivers/net/tun.c, tun_get_user; net/bridge/br_input.c, br_handle_frame_finish.
    """
    bridge = interface.master
    if bridge is None:
        _arrive(interface, header, whole, is_for_it=_is_for(interface, header))
        return
    interface.received_packets += 1
    interface.received_bytes += len(header) + len(whole)
    show_frame(Crossing(interface, False, 0), header, whole)
    target, source = header[:6], header[6:12]
    if bridge.is_up:
        learn_behind(interface, source, target)
    if not bridge.is_up or not takes_in(interface):
        return
    if passes_up(bridge, target):
        _arrive(bridge, header, whole, is_for_it=_is_for(bridge, header))
    for port in ports_to(bridge, interface, target):
        transmit(port, header, whole)


def _is_for(interface: Interface, header: bytes) -> bool:
    is_for_all = bool(header[0] & 1)
    return is_for_all or not interface.hardware_address or header[:6] == interface.hardware_address


def _arrive(
    interface: Interface, header: bytes, whole: bytes, *, is_for_it: bool, is_partial: bool = False
) -> None:
    """Linux: net/core/dev.c, __netif_receive_skb_core; net/ipv4/ip_input.c, ip_rcv_core."""
    interface.received_packets += 1
    interface.received_bytes += len(header) + len(whole)
    show_frame(Crossing(interface, False, 0, is_partial=is_partial), header, whole)
    if not is_for_it:
        return
    ethertype = int.from_bytes(header[12:14], "big")
    if ethertype == ARP:
        _receive_arp(interface, header, whole)
        return
    time_ns = interface.network.host.clock.realtime_ns
    packet = packet_in(ethertype, whole, time_ns)
    if packet is not None and not (header[0] & 1 and _is_unwanted(interface, packet)):
        receive_frame(interface.network, packet, interface)


def _is_unwanted(interface: Interface, packet: Packet) -> bool:
    """Whether a packet that came in a frame for all isn't taken, as it's for one.

    Linux: net/ipv4/ip_input.c, ip_rcv_finish_core; net/ipv6/ip6_input.c, ip6_rcv_core.
    """
    network, target = interface.network, packet.target
    if is_multicast(target) or target == BROADCAST_4 or network.routes.is_broadcast(target):
        return False
    if len(target) == 16:
        return bool(interface.settings[ONLY_TO_GROUPS[1]])
    return network.is_set(interface, ONLY_TO_GROUPS[0])


def _receive_arp(interface: Interface, header: bytes, whole: bytes) -> None:
    """Who asks is known from then on, if he's answered; so is who answers or tells of himself, if he was
    asked for, or if arp_accept says so.

    Linux: net/ipv4/arp.c, arp_process.
    """
    message, network = unpack_arp(whole), interface.network
    if message is None or message.hardware[0] & 1 or is_multicast(message.target):
        return
    source, target = message.address, message.target
    if source == target and network.is_set(interface, DROP_GRATUITOUS):
        return
    is_question = message.operation == REQUEST
    is_ours = network.routes.is_local(target)
    if is_question and (is_ours or speaks_for(interface, source, target)):
        if is_ours and ignores_question(interface, source, target):
            return
        if any(source):
            _hear_of(interface, message, STALE)
        transmit(interface, *answer(interface.hardware_address, message))
        return
    if not any(source):
        return
    entry = network.neighbours.get((interface, source))
    tells_of_itself = source == target and (is_question or message.target_hardware == message.hardware)
    if entry is None and ((is_question and not tells_of_itself) or not _accepts(interface, source)):
        return
    if entry is not None and entry.is_resolved and entry.hardware_address != message.hardware:
        locked_ms = interface.settings[entry.keys.locked_ms]
        if not tells_of_itself and network.host.clock.now_ns <= entry.updated_ns + locked_ms * NS_PER_MS:
            return
    is_answer = not is_question and header[:6] == interface.hardware_address
    _hear_of(interface, message, REACHABLE if is_answer else STALE)


def _accepts(interface: Interface, source: bytes) -> bool:
    """Whether who wasn't asked for is known from then on. Linux: net/ipv4/arp.c, arp_accept."""
    network = interface.network
    mode = network.setting_of(interface, ARP_ACCEPT)
    is_one = not (
        is_multicast(source) or network.routes.is_local(source) or network.routes.is_broadcast(source)
    )
    return is_one and (mode == _ANYBODY or (mode == _OF_NET and is_onlink(interface, source)))


def _hear_of(interface: Interface, message: ArpMessage, state: int) -> None:
    network = interface.network
    entry = network.neighbours.get((interface, message.address))
    before = entry.hardware_address if entry is not None and entry.is_resolved else b""
    entry = learn(interface, message.address, message.hardware, state)
    if before != entry.hardware_address:
        network.topology_changed()
    send_waiting(entry)


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
    data = whole[start:length]
    first = 0
    if size == 16:
        behind = take_off(protocol, data)
        if behind is None:
            return None
        first, options, protocol, data = behind
    packet = Packet(data, source, 0, target, 0, time_ns, tos, ttl, protocol)
    packet.options, packet.first_header = options, first
    if size == 4:
        packet.place = whole[4:8]
    if protocol in (UDP, UDP_LITE):
        packet.take_written(data)
    return packet
