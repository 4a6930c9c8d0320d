"""The header that tells how far a frame's checksum and segments are made (linux/virtio_net.h)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U8, U16, Structure


class VirtioNetHdr(Structure):
    """struct virtio_net_hdr."""

    flags: U8 = 0
    gso_type: U8 = 0
    hdr_len: U16 = 0
    gso_size: U16 = 0
    csum_start: U16 = 0
    csum_offset: U16 = 0


class VirtioNetFlag(IntFlag):
    """flags."""

    VIRTIO_NET_HDR_F_NEEDS_CSUM = 1


class VirtioNetSegments(IntEnum):
    """gso_type, beside the bit that says that congestion is told of."""

    VIRTIO_NET_HDR_GSO_NONE = 0
    VIRTIO_NET_HDR_GSO_TCPV4 = 1
    VIRTIO_NET_HDR_GSO_UDP = 3
    VIRTIO_NET_HDR_GSO_TCPV6 = 4
    VIRTIO_NET_HDR_GSO_UDP_L4 = 5
    VIRTIO_NET_HDR_GSO_ECN = 0x80
