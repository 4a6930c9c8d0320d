"""Crossings: the interfaces that packets of a flow go out and in by, and who hears them there (packet(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.internet import ETHERTYPES
from procession.abi.named_tuple import NamedTuple
from procession.abi.word import pack_port, pack_u8
from procession.net.internet.address import is_multicast
from procession.net.link.interface import BRIDGE, LOOPBACK, VETH
from procession.net.marks import NO_MARKS, Marks

if TYPE_CHECKING:
    from procession.net.internet.flow import Flow
    from procession.net.internet.packet import Packet
    from procession.net.link.interface import Interface
    from procession.net.packet.fanout import FanoutGroup
    from procession.net.packet.socket import PacketSocket

_NOBODY = bytes(6)


class Crossing(NamedTuple):
    """A packet goes out (`is_out`) or in by an interface after `hop` routers. In front of it are the
    hardware addresses `target` and `source`. `is_partial` says that who sent it leaves its checksum to the
    hardware, if its protocol has one; `protocol` what a program says that it is of, None for what its header
    says."""

    interface: Interface
    is_out: bool
    hop: int
    target: bytes = _NOBODY
    source: bytes = _NOBODY
    is_partial: bool = True
    protocol: int | None = None


def crossings(
    senders: tuple[Interface, ...],
    receivers: tuple[Interface, ...],
    hop: int,
    target: bytes = _NOBODY,
    source: bytes = _NOBODY,
) -> list[Crossing]:
    """Those of one way between two networks, in their order: what goes out of a bridge goes out of a port
    too, and what comes to one has come to a port."""
    found: list[Crossing] = []
    left = list(receivers)
    for sender in senders:
        found.append(Crossing(sender, True, hop, target, source))
        if sender.kind != BRIDGE and left:
            found.append(Crossing(left.pop(0), False, hop, target, source))
    return found + [Crossing(receiver, False, hop, target, source) for receiver in left]


def group_hardware_address(interface: Interface, target: bytes) -> bytes:
    """Where a frame to a group or to everybody goes. Linux: include/net/ip.h, ip_eth_mc_map;
    include/net/if_inet6.h, ipv6_eth_mc_map."""
    if not interface.has_frames:
        return _NOBODY
    if not is_multicast(target) or interface.kind == LOOPBACK:
        return interface.broadcast_hardware_address
    if len(target) == 4:
        return b"\x01\x00\x5e" + pack_u8(target[1] & 0x7F) + target[2:]
    return b"\x33\x33" + target[12:]


def show_packet(packet: Packet, flow: Flow, hop: int) -> None:
    """Who listens hears `packet` between two routers. Linux: net/core/dev.c, dev_queue_xmit_nit,
    __netif_receive_skb_core."""
    marks = Marks(packet.mark, packet.priority)
    network = None
    for crossing in flow.crossings:
        if crossing.hop != hop:
            continue
        interface = crossing.interface
        if not crossing.is_out and interface.kind == VETH:
            # Linux: net/core/dev.c, __dev_forward_skb2.
            marks = Marks(marks.mark if interface.network is network else 0, 0)
        network = interface.network
        if not network.packet_sockets:
            continue
        size = len(packet.target)
        header = crossing.target + crossing.source + pack_port(ETHERTYPES[size])
        whole = packet.with_header() if size == 4 else packet.with_header_6()
        show_frame(crossing, header, whole, marks=marks)


def show_frame(
    crossing: Crossing,
    header: bytes,
    whole: bytes,
    sender: PacketSocket | None = None,
    *,
    marks: Marks = NO_MARKS,
) -> None:
    """Who listens at an interface hears a frame, but not its sender; of a group one hears it."""
    asked: list[FanoutGroup] = []
    clock = crossing.interface.network.host.clock
    for socket in list(crossing.interface.network.packet_sockets):
        group = socket.fanout
        if group is None:
            if socket is not sender:
                clock.spend_delivering()
                socket.hear(crossing, header, whole, marks)
        elif group not in asked and group.members[0].wants(crossing, header, whole):
            clock.spend_delivering()
            asked.append(group)
            chosen = group.choose(header, whole, is_out=crossing.is_out)
            if chosen is not None and chosen is not sender:
                chosen.hear(crossing, header, whole, marks)
