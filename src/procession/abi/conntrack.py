"""ctnetlink: what is told of tracked connections (linux/netfilter/nfnetlink_conntrack.h)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum


class ConntrackMessage(IntEnum):
    """Messages about connections."""

    IPCTNL_MSG_CT_NEW = 0
    IPCTNL_MSG_CT_GET = 1
    IPCTNL_MSG_CT_DELETE = 2
    IPCTNL_MSG_CT_GET_CTRZERO = 3
    IPCTNL_MSG_CT_GET_STATS_CPU = 4
    IPCTNL_MSG_CT_GET_STATS = 5
    IPCTNL_MSG_CT_GET_DYING = 6
    IPCTNL_MSG_CT_GET_UNCONFIRMED = 7


class ConntrackGroup(IntEnum):
    """Who is told of connections."""

    NFNLGRP_CONNTRACK_NEW = 1
    NFNLGRP_CONNTRACK_UPDATE = 2
    NFNLGRP_CONNTRACK_DESTROY = 3


class ConnectionAttribute(IntEnum):
    """Of a connection."""

    CTA_TUPLE_ORIG = 1
    CTA_TUPLE_REPLY = 2
    CTA_STATUS = 3
    CTA_PROTOINFO = 4
    CTA_TIMEOUT = 7
    CTA_MARK = 8
    CTA_USE = 11
    CTA_ID = 12
    CTA_MARK_MASK = 21


class TupleAttribute(IntEnum):
    """Of one direction of it."""

    CTA_TUPLE_IP = 1
    CTA_TUPLE_PROTO = 2


class TupleAddress(IntEnum):
    """Its addresses."""

    CTA_IP_V4_SRC = 1
    CTA_IP_V4_DST = 2
    CTA_IP_V6_SRC = 3
    CTA_IP_V6_DST = 4


class TupleProtocol(IntEnum):
    """Its protocol, with ports, or what ICMP has instead."""

    CTA_PROTO_NUM = 1
    CTA_PROTO_SRC_PORT = 2
    CTA_PROTO_DST_PORT = 3
    CTA_PROTO_ICMP_ID = 4
    CTA_PROTO_ICMP_TYPE = 5
    CTA_PROTO_ICMP_CODE = 6
    CTA_PROTO_ICMPV6_ID = 7
    CTA_PROTO_ICMPV6_TYPE = 8
    CTA_PROTO_ICMPV6_CODE = 9


class ProtocolInformation(IntEnum):
    """What is known of a protocol's connection, and of one of TCP."""

    CTA_PROTOINFO_TCP = 1


class TcpInformation(IntEnum):
    """Of TCP."""

    CTA_PROTOINFO_TCP_STATE = 1
    CTA_PROTOINFO_TCP_WSCALE_ORIGINAL = 2
    CTA_PROTOINFO_TCP_WSCALE_REPLY = 3
    CTA_PROTOINFO_TCP_FLAGS_ORIGINAL = 4
    CTA_PROTOINFO_TCP_FLAGS_REPLY = 5


class TrackedState(IntEnum):
    """The state of a connection of TCP as packets tell it."""

    TCP_CONNTRACK_NONE = 0
    TCP_CONNTRACK_SYN_SENT = 1
    TCP_CONNTRACK_SYN_RECV = 2
    TCP_CONNTRACK_ESTABLISHED = 3
    TCP_CONNTRACK_FIN_WAIT = 4
    TCP_CONNTRACK_CLOSE_WAIT = 5
    TCP_CONNTRACK_LAST_ACK = 6
    TCP_CONNTRACK_TIME_WAIT = 7
    TCP_CONNTRACK_CLOSE = 8


class TrackerCount(IntEnum):
    """How many there are, and may be."""

    CTA_STATS_GLOBAL_ENTRIES = 1
    CTA_STATS_GLOBAL_MAX_ENTRIES = 2
