"""Options of packet sockets: what they hear, how they tell it, and their rings (packet(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBUSY, EINVAL, ENODEV, ENOPROTOOPT
from procession.abi.packet import (
    MembershipKind,
    PacketMreq,
    PacketOption,
    TpacketRolloverStats,
    TpacketStats,
    TpacketStatsV3,
)
from procession.net.packet.fanout import join_group, kind_with_program
from procession.net.packet.ring import PacketRing
from procession.net.packet.ring_layout import HEADER_BYTES as HEADER_BYTES_OF_RING
from procession.net.packet.ring_layout import V3, lay_out, wanted_ring
from procession.net.packet.transmit_ring import TransmitRing
from procession.net.packet.virtual_header import LONG, SHORT
from procession.net.socket_options import pack_int, read_int

if TYPE_CHECKING:
    from procession.net.packet.socket import PacketSocket

_JOIN, _LEAVE = int(PacketOption.PACKET_ADD_MEMBERSHIP), int(PacketOption.PACKET_DROP_MEMBERSHIP)
_STATISTICS = int(PacketOption.PACKET_STATISTICS)
_RX_RING, _TX_RING = int(PacketOption.PACKET_RX_RING), int(PacketOption.PACKET_TX_RING)
_VERSION, LOSS = int(PacketOption.PACKET_VERSION), int(PacketOption.PACKET_LOSS)
_VIRTUAL, _VIRTUAL_SIZE = int(PacketOption.PACKET_VNET_HDR), int(PacketOption.PACKET_VNET_HDR_SZ)
TX_HAS_OFFSET, COPY_THRESH = int(PacketOption.PACKET_TX_HAS_OFF), int(PacketOption.PACKET_COPY_THRESH)
_ROLLOVER_STATS = int(PacketOption.PACKET_ROLLOVER_STATS)
_RESERVE, _FANOUT = int(PacketOption.PACKET_RESERVE), int(PacketOption.PACKET_FANOUT)
AUXDATA, BYPASS = int(PacketOption.PACKET_AUXDATA), int(PacketOption.PACKET_QDISC_BYPASS)
_FANOUT_DATA = int(PacketOption.PACKET_FANOUT_DATA)
_IGNORE_OUTGOING = int(PacketOption.PACKET_IGNORE_OUTGOING)
SWITCHES = (AUXDATA, int(PacketOption.PACKET_ORIGDEV), BYPASS, LOSS, TX_HAS_OFFSET)
NUMBERS = (int(PacketOption.PACKET_TIMESTAMP), COPY_THRESH)
_LAYOUT = (_VERSION, _RESERVE, LOSS, _VIRTUAL, _VIRTUAL_SIZE)
"""What can't be changed while there are rings."""
_OF_EXACT_SIZE = (*NUMBERS, BYPASS, LOSS, TX_HAS_OFFSET)
_SETTABLE = frozenset(
    (
        *(_JOIN, _LEAVE, _RX_RING, _TX_RING, _VERSION, _RESERVE, _FANOUT, _IGNORE_OUTGOING),
        *(_VIRTUAL, _VIRTUAL_SIZE),
        *(_FANOUT_DATA, *SWITCHES, *NUMBERS),
    )
)
_OF_ONE_ADDRESS = (int(MembershipKind.PACKET_MR_MULTICAST), int(MembershipKind.PACKET_MR_UNICAST))
HARDWARE_BYTES = 6


def check_option(socket: PacketSocket, name: int, *, is_set: bool) -> None:
    """Raises what Linux refuses before it reads the value: ENOPROTOOPT, EINVAL."""
    if is_set and name not in _SETTABLE:
        raise ENOPROTOOPT
    if is_set and name == _FANOUT_DATA:
        kind_with_program(socket)


def set_option(socket: PacketSocket, name: int, value: bytes) -> None:
    """Raises EINVAL, EBUSY, ENODEV, ENOPROTOOPT. Linux: net/packet/af_packet.c, packet_setsockopt."""
    if name in (_JOIN, _LEAVE):
        _check_membership(socket, value, joins=name == _JOIN)
    elif name == _RX_RING:
        _set_ring(socket, value)
    elif name == _TX_RING:
        _set_transmit_ring(socket, value)
    elif name in _LAYOUT:
        _set_layout(socket, name, value)
    elif name in SWITCHES or name in NUMBERS:
        number = read_int(value)
        if len(value) != 4 and name in _OF_EXACT_SIZE:
            raise EINVAL("an int is needed")
        socket.switches[name] = int(number != 0) if name in SWITCHES else number
    elif name == _FANOUT:
        join_group(socket, value)
    elif name == _IGNORE_OUTGOING:
        number = read_int(value)
        if len(value) != 4 or not 0 <= number <= 1:
            raise EINVAL("neither 0 nor 1")
        socket.ignores_outgoing = number
    else:
        raise ENOPROTOOPT


def _check_membership(socket: PacketSocket, value: bytes, *, joins: bool) -> None:
    """Interfaces hear all frames anyway, so that there is nothing to remember.

    Linux: net/packet/af_packet.c, packet_mc_add, packet_mc_drop.
    """
    if len(value) < PacketMreq.SIZE:
        raise EINVAL("a struct packet_mreq is needed")
    wanted = PacketMreq.unpack_from(value)
    if len(value) < PacketMreq.SIZE - len(wanted.mr_address) + wanted.mr_alen:
        raise EINVAL("a hardware address too short")
    if joins and wanted.mr_ifindex not in socket.network.interfaces:
        raise ENODEV("no such interface")
    if joins and (
        wanted.mr_alen > HARDWARE_BYTES
        or (wanted.mr_type in _OF_ONE_ADDRESS and wanted.mr_alen != HARDWARE_BYTES)
    ):
        raise EINVAL("a hardware address of another length")


def _set_ring(socket: PacketSocket, value: bytes) -> None:
    """PACKET_RX_RING."""
    request, memory = wanted_ring(socket, value, socket.ring), socket.network.system.vfs.memory
    old, socket.ring = socket.ring, None
    if old is not None:
        old.end_of_socket(socket)
    if request is not None:
        ring = PacketRing(memory, socket.version, socket.reserve, request)
        socket.ring = lay_out(socket, ring, [ring, *socket.rings])
        ring.open_first(socket)
    else:
        lay_out(socket, None, socket.rings)
    socket.forget_frames()


def _set_transmit_ring(socket: PacketSocket, value: bytes) -> None:
    """PACKET_TX_RING."""
    request, memory = wanted_ring(socket, value, socket.transmit_ring), socket.network.system.vfs.memory
    old, socket.transmit_ring = socket.transmit_ring, None
    if old is not None:
        old.release()
    if request is not None:
        transmit_ring = TransmitRing(memory, socket.version, request)
        socket.transmit_ring = lay_out(socket, transmit_ring, [*socket.rings, transmit_ring])
    else:
        lay_out(socket, None, socket.rings)


def _set_layout(socket: PacketSocket, name: int, value: bytes) -> None:
    """What rings are laid out by."""
    is_virtual = name in (_VIRTUAL, _VIRTUAL_SIZE)
    if is_virtual and not socket.is_raw:
        raise EINVAL("no frames")
    if len(value) < 4 or (len(value) > 4 and not is_virtual):
        raise EINVAL("an int is needed")
    number = read_int(value)
    if name == _VERSION and number not in HEADER_BYTES_OF_RING:
        raise EINVAL("no such version")
    if name == _RESERVE and number < 0:
        raise EINVAL("a negative number")
    if name == _VIRTUAL_SIZE and number not in (0, SHORT, LONG):
        raise EINVAL("no such header")
    if socket.rings:
        raise EBUSY("there is a ring")
    if name == _VERSION:
        socket.version = number
    elif name == _RESERVE:
        socket.reserve = number
    elif name == LOSS:
        socket.switches[name] = int(number != 0)
    else:
        socket.virtual_bytes = number if name == _VIRTUAL_SIZE or not number else SHORT


def get_option(socket: PacketSocket, name: int, length: int) -> bytes:
    """Raises EINVAL, ENOPROTOOPT. Linux: net/packet/af_packet.c, packet_getsockopt."""
    if length < 0:
        raise EINVAL("a negative length")
    if name == _STATISTICS:
        counts = (socket.heard_count + socket.drop_count, socket.drop_count)
        socket.heard_count = socket.drop_count = 0
        if socket.version != V3:
            return TpacketStats(*counts).pack()
        ring = socket.ring
        frozen_count = ring.frozen_count if ring is not None else 0
        if ring is not None:
            ring.frozen_count = 0
        return TpacketStatsV3(*counts, frozen_count).pack()
    if name in NUMBERS or name in SWITCHES:
        return pack_int(socket.switches.get(name, 0))
    if name in (_VERSION, _RESERVE):
        return pack_int(socket.version if name == _VERSION else socket.reserve)
    if name == _FANOUT:
        group = socket.fanout
        return pack_int(0 if group is None else group.number | group.kind << 16 | group.flags << 16)
    if name == _IGNORE_OUTGOING:
        return pack_int(socket.ignores_outgoing)
    if name in (_VIRTUAL, _VIRTUAL_SIZE):
        size = socket.virtual_bytes
        return pack_int(size if name == _VIRTUAL_SIZE else int(size != 0))
    if name == _ROLLOVER_STATS:
        if socket.fanout is None or not socket.fanout.rolls_over:
            raise EINVAL("no group that rolls over")
        return TpacketRolloverStats(socket.rolled_count, 0, socket.unrolled_count).pack()
    raise ENOPROTOOPT
