"""The requests of ioctl(2) about a namespace's file (ioctl_ns(2))."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum
from procession.abi.structure import U32, U64, Structure


class NamespaceIoctl(IntEnum):
    """Linux: include/uapi/linux/nsfs.h, NS_GET_USERNS."""

    NS_GET_USERNS = 0xB701
    NS_GET_PARENT = 0xB702
    NS_GET_NSTYPE = 0xB703
    NS_GET_OWNER_UID = 0xB704
    NS_GET_MNTNS_ID = 0x8008B705
    NS_GET_PID_FROM_PIDNS = 0x8004B706
    NS_GET_TGID_FROM_PIDNS = 0x8004B707
    NS_GET_PID_IN_PIDNS = 0x8004B708
    NS_GET_TGID_IN_PIDNS = 0x8004B709
    NS_MNT_GET_INFO = 0x8010B70A
    NS_MNT_GET_NEXT = 0x8010B70B
    NS_MNT_GET_PREV = 0x8010B70C
    NS_GET_ID = 0x8008B70D


class MntNsInfo(Structure):
    """What is told of a mount namespace: struct mnt_ns_info."""

    size: U32 = 0
    nr_mounts: U32 = 0
    mnt_ns_id: U64 = 0
