"""Packet sockets: their addresses and options (packet(7))."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum
from procession.abi.structure import I32, U8, U16, U32, Structure


class SockaddrLl(Structure):
    """struct sockaddr_ll; the protocol is big-endian."""

    sll_family: U16 = 0
    sll_protocol: Annotated[bytes, 2] = b""
    sll_ifindex: I32 = 0
    sll_hatype: U16 = 0
    sll_pkttype: U8 = 0
    sll_halen: U8 = 0
    sll_addr: Annotated[bytes, 8] = b""


class PacketMreq(Structure):
    """struct packet_mreq."""

    mr_ifindex: I32 = 0
    mr_type: U16 = 0
    mr_alen: U16 = 0
    mr_address: Annotated[bytes, 8] = b""


class TpacketStats(Structure):
    """struct tpacket_stats."""

    tp_packets: U32 = 0
    tp_drops: U32 = 0


class PacketKind(IntEnum):
    """sll_pkttype: for whom a frame is."""

    PACKET_HOST = 0
    PACKET_BROADCAST = 1
    PACKET_MULTICAST = 2
    PACKET_OTHERHOST = 3
    PACKET_OUTGOING = 4


class PacketOption(IntEnum):
    """Options of SOL_PACKET."""

    PACKET_ADD_MEMBERSHIP = 1
    PACKET_DROP_MEMBERSHIP = 2
    PACKET_STATISTICS = 6
    PACKET_IGNORE_OUTGOING = 23


class MembershipKind(IntEnum):
    """mr_type."""

    PACKET_MR_MULTICAST = 0
    PACKET_MR_PROMISC = 1
    PACKET_MR_ALLMULTI = 2
    PACKET_MR_UNICAST = 3
