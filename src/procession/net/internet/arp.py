"""ARP: questions for hardware addresses, and answers, as frames (RFC 826, arp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.word import Words, pack_port
from procession.net.internet.routing import SCOPE_LINK, UNICAST, is_within
from procession.net.sysctls import (
    ARP_FILTER,
    ARP_IGNORE,
    FORWARDING,
    MEDIUM,
    PROXY_ARP,
    PROXY_ARP_PVLAN,
    PROXY_NDP,
)

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

ARP = 0x0806
"""The ethertype."""
REQUEST, REPLY = 1, 2
_HEADER = Words(">HHBBH")
_ETHERNET, _IPV4 = 1, 0x0800
_HARDWARE_BYTES, _ADDRESS_BYTES = 6, 4
_NOBODY, EVERYBODY = bytes(_HARDWARE_BYTES), b"\xff" * _HARDWARE_BYTES
_ONLY_HERE, _ONLY_IN_NET, _NOT_OF_HOST, _NEVER = 1, 2, 3, 8
"""arp_ignore."""
_WHOLE = _HEADER.size + 2 * (_HARDWARE_BYTES + _ADDRESS_BYTES)


class ArpMessage(NamedTuple):
    """A question or an answer: whose hardware address is that of `address`, and who asks or answers."""

    operation: int
    hardware: bytes
    address: bytes
    target_hardware: bytes
    target: bytes

    def pack(self) -> bytes:
        """What is behind the frame's header."""
        header = _HEADER.pack(_ETHERNET, _IPV4, _HARDWARE_BYTES, _ADDRESS_BYTES, self.operation)
        return header + self.hardware + self.address + self.target_hardware + self.target


def unpack_arp(whole: bytes) -> ArpMessage | None:
    """What a frame says, None for what isn't about Ethernet and IPv4. Linux: net/ipv4/arp.c, arp_rcv."""
    if len(whole) < _WHOLE:
        return None
    *kind, operation = _HEADER.unpack_from(whole)
    if kind != [_ETHERNET, _IPV4, _HARDWARE_BYTES, _ADDRESS_BYTES] or operation not in (REQUEST, REPLY):
        return None
    return ArpMessage(operation, whole[8:14], whole[14:18], whole[18:24], whole[24:28])


def question(
    interface: Interface, own: bytes, target: bytes, asked: bytes = EVERYBODY
) -> tuple[bytes, bytes]:
    """The frame that asks who has `target`: its header and the rest. Linux: net/ipv4/arp.c, arp_send_dst."""
    hardware = interface.hardware_address
    header = asked + hardware + pack_port(ARP)
    return header, ArpMessage(REQUEST, hardware, own, _NOBODY, target).pack()


def answer(hardware: bytes, asked: ArpMessage) -> tuple[bytes, bytes]:
    """The frame that says that `hardware` has what was asked for."""
    header = asked.hardware + hardware + pack_port(ARP)
    return header, ArpMessage(REPLY, hardware, asked.target, asked.hardware, asked.address).pack()


def ignores_question(interface: Interface, asker: bytes, address: bytes) -> bool:
    """Whether a question of ARP for the network's own `address` isn't answered (arp_ignore).

    Linux: net/ipv4/arp.c, arp_ignore.
    """
    network = interface.network
    if len(address) == 16:
        return False
    if network.is_set(interface, ARP_FILTER):
        # Linux: net/ipv4/arp.c, arp_filter.
        back = network.routes.lookup(asker)
        if back is None or back.interface is not interface:
            return True
    mode = network.setting_of(interface, ARP_IGNORE)
    if mode in (_ONLY_HERE, _ONLY_IN_NET):
        own = [each for each in interface.addresses if each.address == address]
        if mode == _ONLY_HERE:
            return not own
        return not any(is_within(asker, each.net, each.prefix_length) for each in own)
    if mode == _NOT_OF_HOST:
        addresses = [each for other in network.interfaces.values() for each in other.addresses]
        return all(each.scope > SCOPE_LINK for each in addresses if each.address == address)
    return mode == _NEVER


def speaks_for(interface: Interface, asker: bytes, address: bytes) -> bool:
    """Whether whoever asks by `interface` for a neighbour that is elsewhere is told of this machine.

    Linux: net/ipv4/arp.c, arp_process, arp_fwd_proxy, arp_fwd_pvlan; net/ipv6/ndisc.c, ndisc_recv_ns.
    """
    network = interface.network
    is_ipv6 = len(address) == 16
    if not interface.settings[FORWARDING[is_ipv6]]:
        return False
    is_listed = (interface, address) in network.proxies or (None, address) in network.proxies
    if is_ipv6:
        return is_listed and network.is_set(interface, PROXY_NDP)
    is_proxy = network.is_set(interface, PROXY_ARP)
    is_private = asker != address and network.is_set(interface, PROXY_ARP_PVLAN)
    if not (is_listed or is_proxy or is_private):
        return False
    route = network.routes.lookup(address)
    if route is None or route.kind != UNICAST or route.interface is None:
        return False
    if route.interface is interface:
        return is_private
    medium, other = interface.settings[MEDIUM], route.interface.settings[MEDIUM]
    is_other_medium = not medium or (medium not in (-1, other) and other != -1)
    return is_listed or (is_proxy and is_other_medium)
