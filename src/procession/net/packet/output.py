"""Frames that packet sockets send: their headers, and of which protocol they are (packet(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EMSGSIZE, ENOBUFS, EPROTONOSUPPORT
from procession.abi.socket import SocketLevel, SocketOption
from procession.net.internet.control import DEVICE_MEMORY, MARKS, chosen_mark
from procession.net.internet.frame import HEADER_BYTES, transmit
from procession.net.packet.address_type import header_field, said_of_raw
from procession.net.packet.virtual_header import as_told, take_off
from procession.net.timestamp import TIMESTAMPING, check_socket_item, checked_stamping

if TYPE_CHECKING:
    from procession.abi.virtio_net import VirtioNetHdr
    from procession.net.link.interface import Interface
    from procession.net.message import Control
    from procession.net.packet.socket import PacketSocket
    from procession.net.socket import Socket

_SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
_HARDWARE_BYTES = 6
_SO_NOFCS = int(SocketOption.SO_NOFCS)


def check_checksum(socket: Socket) -> None:
    """Raise EPROTONOSUPPORT if it brings its frames' checksums (SO_NOFCS), which no interface here takes.

    Linux: include/linux/netdevice.h, netif_supports_nofcs.
    """
    if socket.options.get(_SO_NOFCS):
        raise EPROTONOSUPPORT("the interface works checksums out itself")


def check_control(socket: Socket, control: Control) -> None:
    """Raise EINVAL, EPERM for control messages that don't go with frames. Linux: net/core/sock.c,
    sock_cmsg_send."""
    for level, kind, body in control.checked_items():
        if level != _SOL_SOCKET:
            continue
        if kind in TIMESTAMPING:
            checked_stamping(body)
        elif kind in MARKS:
            chosen_mark(socket, kind, body)
        elif kind != DEVICE_MEMORY or len(body) != 4:
            check_socket_item(kind)


def send_frame(socket: PacketSocket, interface: Interface, protocol: int, target: bytes, data: bytes) -> None:
    """`data` goes out as a frame. Raises EINVAL, EMSGSIZE, ENOBUFS. Linux: net/packet/af_packet.c,
    packet_snd."""
    is_partial = is_several = False
    said: int | None = protocol
    told: VirtioNetHdr | None = None
    if socket.virtual_bytes:
        told, data = take_off(socket.virtual_bytes, data)
    if socket.transmit_ring is None:
        check_checksum(socket)
    if told is not None:
        data, is_partial, is_several = as_told(told, data)
    if socket.is_raw and interface.has_frames:
        if len(data) < HEADER_BYTES:
            raise EINVAL("no header of a frame")
        header, whole, said = data[:HEADER_BYTES], data[HEADER_BYTES:], said_of_raw(protocol)
    else:
        own = interface.hardware_address or bytes(_HARDWARE_BYTES)
        header = target.ljust(_HARDWARE_BYTES, b"\0") + own + header_field(protocol, len(data))
        whole = data
    if len(whole) > interface.mtu and not is_several:
        raise EMSGSIZE("longer than the interface carries")
    socket.raise_error()
    is_shown = not socket.passes_by_queue
    # Nobody sees what goes by the queue. Linux: net/core/dev.c, __dev_direct_xmit.
    if not is_shown and not interface.has_carrier:
        raise ENOBUFS("nobody is at the other end")
    transmit(interface, header, whole, socket, is_partial=is_partial, protocol=said, is_shown=is_shown)
    socket.sent_is_freed()
