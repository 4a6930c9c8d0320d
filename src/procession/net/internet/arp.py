"""ARP: questions for hardware addresses, and answers, as frames (RFC 826, arp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.word import Words, pack_port

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

ARP = 0x0806
"""The ethertype."""
REQUEST, REPLY = 1, 2
_HEADER = Words(">HHBBH")
_ETHERNET, _IPV4 = 1, 0x0800
_HARDWARE_BYTES, _ADDRESS_BYTES = 6, 4
_NOBODY, EVERYBODY = bytes(_HARDWARE_BYTES), b"\xff" * _HARDWARE_BYTES
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
