"""tun and tap: /dev/net/tun and its requests (linux/if_tun.h)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U16, Structure


class TunFlag(IntFlag):
    """What TUNSETIFF is asked for, and TUNGETIFF tells."""

    IFF_TUN = 0x0001
    IFF_TAP = 0x0002
    IFF_NAPI = 0x0010
    IFF_NAPI_FRAGS = 0x0020
    IFF_NO_CARRIER = 0x0040
    IFF_MULTI_QUEUE = 0x0100
    IFF_ATTACH_QUEUE = 0x0200
    IFF_DETACH_QUEUE = 0x0400
    IFF_PERSIST = 0x0800
    IFF_NO_PI = 0x1000
    IFF_NOFILTER = 0x1000
    IFF_ONE_QUEUE = 0x2000
    IFF_VNET_HDR = 0x4000
    IFF_TUN_EXCL = 0x8000


class TunIoctl(IntEnum):
    """The requests."""

    TUNSETNOCSUM = 0x400454C8
    TUNSETDEBUG = 0x400454C9
    TUNSETIFF = 0x400454CA
    TUNSETPERSIST = 0x400454CB
    TUNSETOWNER = 0x400454CC
    TUNSETLINK = 0x400454CD
    TUNSETGROUP = 0x400454CE
    TUNGETFEATURES = 0x800454CF
    TUNSETOFFLOAD = 0x400454D0
    TUNSETTXFILTER = 0x400454D1
    TUNGETIFF = 0x800454D2
    TUNGETSNDBUF = 0x800454D3
    TUNSETSNDBUF = 0x400454D4
    TUNATTACHFILTER = 0x401054D5
    TUNDETACHFILTER = 0x401054D6
    TUNGETVNETHDRSZ = 0x800454D7
    TUNSETVNETHDRSZ = 0x400454D8
    TUNSETQUEUE = 0x400454D9
    TUNSETIFINDEX = 0x400454DA
    TUNGETFILTER = 0x801054DB
    TUNSETVNETLE = 0x400454DC
    TUNGETVNETLE = 0x800454DD
    TUNSETVNETBE = 0x400454DE
    TUNGETVNETBE = 0x800454DF
    TUNSETSTEERINGEBPF = 0x800454E0
    TUNSETFILTEREBPF = 0x800454E1
    TUNSETCARRIER = 0x400454E2
    TUNGETDEVNETNS = 0x54E3


class TunOffload(IntFlag):
    """What TUNSETOFFLOAD may say that the program does itself."""

    TUN_F_CSUM = 0x01
    TUN_F_TSO4 = 0x02
    TUN_F_TSO6 = 0x04
    TUN_F_TSO_ECN = 0x08
    TUN_F_UFO = 0x10
    TUN_F_USO4 = 0x20
    TUN_F_USO6 = 0x40


TUN_PKT_STRIP = 1
"""The packet was longer than the buffer."""


class TunPi(Structure):
    """struct tun_pi, in front of packets without IFF_NO_PI; `proto` is big-endian."""

    flags: U16 = 0
    proto: U16 = 0


TUN_FLT_ALLMULTI = 0x0001
"""Of a struct tun_filter: frames for any group are wanted."""


class TunFilter(Structure):
    """struct tun_filter: `count` addresses follow."""

    flags: U16 = 0
    count: U16 = 0


class TunAttribute(IntEnum):
    """What rtnetlink tells of a tun."""

    IFLA_TUN_OWNER = 1
    IFLA_TUN_GROUP = 2
    IFLA_TUN_TYPE = 3
    IFLA_TUN_PI = 4
    IFLA_TUN_VNET_HDR = 5
    IFLA_TUN_PERSIST = 6
    IFLA_TUN_MULTI_QUEUE = 7
    IFLA_TUN_NUM_QUEUES = 8
    IFLA_TUN_NUM_DISABLED_QUEUES = 9
