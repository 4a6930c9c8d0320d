"""Packet sockets of type SOCK_PACKET, which name interfaces instead of numbering them (packet(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EMSGSIZE, ENETDOWN, ENODEV, ENOTCONN, EOPNOTSUPP
from procession.abi.packet import SockaddrPkt
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_port
from procession.net.internet.frame import HEADER_BYTES, transmit
from procession.net.packet.output import check_checksum, check_control
from procession.net.packet.socket import PacketSocket

if TYPE_CHECKING:
    from procession.mm.page_cache import PageCache
    from procession.net.internet.crossing import Crossing
    from procession.net.link.interface import Interface
    from procession.net.message import Control

_FAMILY = int(AddressFamily.AF_PACKET)
_SHORT_NAME = 16
"""A struct sockaddr: the name of an interface behind the family."""


class ObsoletePacketSocket(PacketSocket):
    """A socket of type SOCK_PACKET (Linux: net/packet/af_packet.c, packet_ops_spkt)."""

    __slots__ = ()

    def bind(self, address: bytes) -> None:
        """Linux: net/packet/af_packet.c, packet_bind_spkt."""
        if len(address) != _SHORT_NAME:
            raise EINVAL("a struct sockaddr is needed")
        self.listen_at(self._named(address[2:]))

    def getname(self, peer: int) -> bytes:
        """Linux: net/packet/af_packet.c, packet_getname_spkt."""
        if peer:
            raise EOPNOTSUPP
        interface = self.network.interfaces.get(self.interface_index)
        return SockaddrPkt(_FAMILY, b"" if interface is None else interface.name[:13]).pack()[:_SHORT_NAME]

    def _named(self, name: bytes) -> Interface:
        """The interface that an address names. Raises ENODEV."""
        interface = self.network.interface_named(name.partition(b"\0")[0])
        if interface is None:
            raise ENODEV("no such interface")
        return interface

    def sender_of(self, crossing: Crossing, header: bytes, ethertype: int) -> bytes:
        """Linux: net/packet/af_packet.c, packet_rcv_spkt."""
        interface = crossing.interface
        return SockaddrPkt(interface.hardware_type, interface.name[:13], pack_port(ethertype)).pack()

    @property
    def is_raw(self) -> bool:
        return True

    def mappable(self) -> PageCache | None:
        return None

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        self._way_of(address)

    def _way_of(self, address: bytes | None) -> Interface:
        """Raises EINVAL, ENOTCONN, ENODEV, ENETDOWN."""
        if address is None:
            raise ENOTCONN("no interface was named")
        if len(address) < _SHORT_NAME:
            raise EINVAL("a struct sockaddr is needed")
        interface = self._named(address[2:15])
        if not interface.is_up:
            raise ENETDOWN("the interface is down")
        check_checksum(self)
        return interface

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/packet/af_packet.c, packet_sendmsg_spkt."""
        interface = self._way_of(address)
        header_bytes = HEADER_BYTES if interface.has_frames else 0
        if len(data) > interface.mtu + header_bytes:
            raise EMSGSIZE("longer than the interface carries")
        if len(data) < header_bytes or not data:
            raise EINVAL("no header of a frame")
        if control is not None:
            check_control(self, control)
        header = data[:header_bytes] or bytes(HEADER_BYTES)
        said = address[_SHORT_NAME:] if address is not None and len(address) == SockaddrPkt.SIZE else b""
        transmit(interface, header, data[header_bytes:], self, protocol=int.from_bytes(said, "big"))
        return len(data)

    def check_option(self, level: int, name: int, *, is_set: bool) -> None:
        raise EOPNOTSUPP(f"no options of level {level} here")
