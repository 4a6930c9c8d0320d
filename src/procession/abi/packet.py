"""Packet sockets: their addresses and options (packet(7))."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, U8, U16, U32, U64, Structure


class SockaddrLl(Structure):
    """struct sockaddr_ll; the protocol is big-endian."""

    sll_family: U16 = 0
    sll_protocol: Annotated[bytes, 2] = b""
    sll_ifindex: I32 = 0
    sll_hatype: U16 = 0
    sll_pkttype: U8 = 0
    sll_halen: U8 = 0
    sll_addr: Annotated[bytes, 8] = b""


class SockaddrPkt(Structure):
    """struct sockaddr_pkt, of SOCK_PACKET; the protocol is big-endian."""

    spkt_family: U16 = 0
    spkt_device: Annotated[bytes, 14] = b""
    spkt_protocol: Annotated[bytes, 2] = b""


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


class TpacketStatsV3(Structure):
    """struct tpacket_stats_v3."""

    tp_packets: U32 = 0
    tp_drops: U32 = 0
    tp_freeze_q_cnt: U32 = 0


class TpacketRolloverStats(Structure):
    """struct tpacket_rollover_stats."""

    tp_all: U64 = 0
    tp_huge: U64 = 0
    tp_failed: U64 = 0


class TpacketAuxdata(Structure):
    """struct tpacket_auxdata, of PACKET_AUXDATA."""

    tp_status: U32 = 0
    tp_len: U32 = 0
    tp_snaplen: U32 = 0
    tp_mac: U16 = 0
    tp_net: U16 = 0
    tp_vlan_tci: U16 = 0
    tp_vlan_tpid: U16 = 0


class PacketVersion(IntEnum):
    """Of a ring's layout."""

    TPACKET_V1 = 0
    TPACKET_V2 = 1
    TPACKET_V3 = 2


class TpacketReq(Structure):
    """struct tpacket_req, of PACKET_RX_RING."""

    tp_block_size: U32 = 0
    tp_block_nr: U32 = 0
    tp_frame_size: U32 = 0
    tp_frame_nr: U32 = 0


class TpacketReq3(Structure):
    """struct tpacket_req3, the same for TPACKET_V3."""

    tp_block_size: U32 = 0
    tp_block_nr: U32 = 0
    tp_frame_size: U32 = 0
    tp_frame_nr: U32 = 0
    tp_retire_blk_tov: U32 = 0
    tp_sizeof_priv: U32 = 0
    tp_feature_req_word: U32 = 0


class TpacketHdr(Structure):
    """struct tpacket_hdr, in front of a frame."""

    tp_status: U64 = 0
    tp_len: U32 = 0
    tp_snaplen: U32 = 0
    tp_mac: U16 = 0
    tp_net: U16 = 0
    tp_sec: U32 = 0
    tp_usec: U32 = 0


class Tpacket2Hdr(Structure):
    """struct tpacket2_hdr."""

    tp_status: U32 = 0
    tp_len: U32 = 0
    tp_snaplen: U32 = 0
    tp_mac: U16 = 0
    tp_net: U16 = 0
    tp_sec: U32 = 0
    tp_nsec: U32 = 0
    tp_vlan_tci: U16 = 0
    tp_vlan_tpid: U16 = 0
    tp_padding: Annotated[bytes, 4] = b""


class Tpacket3Hdr(Structure):
    """struct tpacket3_hdr; hashes and VLANs, which nothing has here, are among its padding."""

    tp_next_offset: U32 = 0
    tp_sec: U32 = 0
    tp_nsec: U32 = 0
    tp_snaplen: U32 = 0
    tp_len: U32 = 0
    tp_status: U32 = 0
    tp_mac: U16 = 0
    tp_net: U16 = 0
    hv1: Annotated[bytes, 12] = b""
    tp_padding: Annotated[bytes, 8] = b""


class BlockDescription(Structure):
    """struct tpacket_block_desc with its struct tpacket_hdr_v1."""

    version: U32 = 0
    offset_to_priv: U32 = 0
    block_status: U32 = 0
    num_pkts: U32 = 0
    offset_to_first_pkt: U32 = 0
    blk_len: U32 = 0
    seq_num: U64 = 0
    first_sec: U32 = 0
    first_nsec: U32 = 0
    last_sec: U32 = 0
    last_nsec: U32 = 0


class PacketStatus(IntFlag):
    """tp_status: whose a frame or block is, and what else is known of it."""

    TP_STATUS_USER = 1 << 0
    TP_STATUS_COPY = 1 << 1
    TP_STATUS_LOSING = 1 << 2
    TP_STATUS_CSUMNOTREADY = 1 << 3
    TP_STATUS_BLK_TMO = 1 << 5


class SendingStatus(IntFlag):
    """tp_status in a ring for sending: TP_STATUS_AVAILABLE is none of them."""

    TP_STATUS_SEND_REQUEST = 1 << 0
    TP_STATUS_SENDING = 1 << 1
    TP_STATUS_WRONG_FORMAT = 1 << 2


class FanoutKind(IntEnum):
    """Who of a group gets a frame."""

    PACKET_FANOUT_HASH = 0
    PACKET_FANOUT_LB = 1
    PACKET_FANOUT_CPU = 2
    PACKET_FANOUT_ROLLOVER = 3
    PACKET_FANOUT_RND = 4
    PACKET_FANOUT_QM = 5
    PACKET_FANOUT_CBPF = 6
    PACKET_FANOUT_EBPF = 7


class FanoutFlag(IntFlag):
    """How a group works."""

    PACKET_FANOUT_FLAG_ROLLOVER = 0x1000
    PACKET_FANOUT_FLAG_UNIQUEID = 0x2000
    PACKET_FANOUT_FLAG_IGNORE_OUTGOING = 0x4000
    PACKET_FANOUT_FLAG_DEFRAG = 0x8000


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
    PACKET_RX_RING = 5
    PACKET_STATISTICS = 6
    PACKET_COPY_THRESH = 7
    PACKET_AUXDATA = 8
    PACKET_ORIGDEV = 9
    PACKET_VERSION = 10
    PACKET_HDRLEN = 11
    PACKET_RESERVE = 12
    PACKET_TX_RING = 13
    PACKET_LOSS = 14
    PACKET_VNET_HDR = 15
    PACKET_TIMESTAMP = 17
    PACKET_FANOUT = 18
    PACKET_TX_HAS_OFF = 19
    PACKET_QDISC_BYPASS = 20
    PACKET_ROLLOVER_STATS = 21
    PACKET_FANOUT_DATA = 22
    PACKET_IGNORE_OUTGOING = 23
    PACKET_VNET_HDR_SZ = 24


class MembershipKind(IntEnum):
    """mr_type."""

    PACKET_MR_MULTICAST = 0
    PACKET_MR_PROMISC = 1
    PACKET_MR_ALLMULTI = 2
    PACKET_MR_UNICAST = 3
