"""netlink(7) and rtnetlink(7): the messages about links, addresses and routes."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, U8, U16, U32, Structure


class NetlinkProtocol(IntEnum):
    """socket(2)'s protocol in AF_NETLINK."""

    NETLINK_ROUTE = 0
    NETLINK_USERSOCK = 2
    NETLINK_SOCK_DIAG = 4
    NETLINK_XFRM = 6
    NETLINK_AUDIT = 9
    NETLINK_CONNECTOR = 11
    NETLINK_NETFILTER = 12
    NETLINK_KOBJECT_UEVENT = 15
    NETLINK_GENERIC = 16


class NetlinkMessageType(IntEnum):
    """nlmsg_type of messages that all protocols have."""

    NLMSG_NOOP = 1
    NLMSG_ERROR = 2
    NLMSG_DONE = 3
    NLMSG_OVERRUN = 4


class NetlinkFlag(IntFlag):
    """nlmsg_flags."""

    NLM_F_REQUEST = 1
    NLM_F_MULTI = 2
    NLM_F_ACK = 4
    NLM_F_ECHO = 8
    NLM_F_DUMP_FILTERED = 0x20
    NLM_F_ROOT = 0x100
    NLM_F_MATCH = 0x200
    NLM_F_DUMP = 0x300
    NLM_F_CAPPED = 0x100
    NLM_F_ACK_TLVS = 0x200
    NLM_F_REPLACE = 0x100
    NLM_F_EXCL = 0x200
    NLM_F_BULK = 0x200
    NLM_F_CREATE = 0x400
    NLM_F_APPEND = 0x800


class NetlinkOption(IntEnum):
    """The options of SOL_NETLINK."""

    NETLINK_ADD_MEMBERSHIP = 1
    NETLINK_DROP_MEMBERSHIP = 2
    NETLINK_PKTINFO = 3
    NETLINK_BROADCAST_ERROR = 4
    NETLINK_NO_ENOBUFS = 5
    NETLINK_LISTEN_ALL_NSID = 8
    NETLINK_LIST_MEMBERSHIPS = 9
    NETLINK_CAP_ACK = 10
    NETLINK_EXT_ACK = 11
    NETLINK_GET_STRICT_CHK = 12


class AcknowledgementAttribute(IntEnum):
    """rta_type in an acknowledgement (NETLINK_EXT_ACK)."""

    NLMSGERR_ATTR_MSG = 1
    NLMSGERR_ATTR_OFFS = 2
    NLMSGERR_ATTR_POLICY = 4
    NLMSGERR_ATTR_MISS_TYPE = 5


class RouteMessageType(IntEnum):
    """nlmsg_type of NETLINK_ROUTE: for each object four numbers, to make, delete, get and set one."""

    RTM_NEWLINK = 16
    RTM_DELLINK = 17
    RTM_GETLINK = 18
    RTM_SETLINK = 19
    RTM_NEWADDR = 20
    RTM_DELADDR = 21
    RTM_GETADDR = 22
    RTM_NEWROUTE = 24
    RTM_DELROUTE = 25
    RTM_GETROUTE = 26
    RTM_NEWNEIGH = 28
    RTM_DELNEIGH = 29
    RTM_GETNEIGH = 30
    RTM_NEWRULE = 32
    RTM_DELRULE = 33
    RTM_GETRULE = 34
    RTM_NEWQDISC = 36
    RTM_DELQDISC = 37
    RTM_GETQDISC = 38
    RTM_NEWTCLASS = 40
    RTM_DELTCLASS = 41
    RTM_GETTCLASS = 42
    RTM_NEWTFILTER = 44
    RTM_DELTFILTER = 45
    RTM_GETTFILTER = 46
    RTM_GETACTION = 50
    RTM_NEWADDRLABEL = 72
    RTM_DELADDRLABEL = 73
    RTM_GETADDRLABEL = 74
    RTM_NEWNETCONF = 80
    RTM_GETNETCONF = 82
    RTM_GETMDB = 86
    RTM_NEWNSID = 88
    RTM_DELNSID = 89
    RTM_GETNSID = 90
    RTM_GETCHAIN = 102
    RTM_NEWNEXTHOP = 104
    RTM_DELNEXTHOP = 105
    RTM_GETNEXTHOP = 106
    RTM_NEWLINKPROP = 108
    RTM_DELLINKPROP = 109
    RTM_GETNEXTHOPBUCKET = 118


class RouteGroup(IntEnum):
    """Who listens to what of NETLINK_ROUTE (RTNLGRP_*)."""

    RTNLGRP_LINK = 1
    RTNLGRP_NEIGH = 3
    RTNLGRP_IPV4_IFADDR = 5
    RTNLGRP_IPV4_ROUTE = 7
    RTNLGRP_IPV4_RULE = 8
    RTNLGRP_IPV6_IFADDR = 9
    RTNLGRP_IPV6_ROUTE = 11
    RTNLGRP_IPV6_RULE = 19
    RTNLGRP_NSID = 28
    RTNLGRP_NEXTHOP = 32


class LinkAttribute(IntEnum):
    """rta_type in a message about a link."""

    IFLA_ADDRESS = 1
    IFLA_BROADCAST = 2
    IFLA_IFNAME = 3
    IFLA_MTU = 4
    IFLA_LINK = 5
    IFLA_QDISC = 6
    IFLA_STATS = 7
    IFLA_MASTER = 10
    IFLA_PROTINFO = 12
    IFLA_TXQLEN = 13
    IFLA_OPERSTATE = 16
    IFLA_LINKMODE = 17
    IFLA_LINKINFO = 18
    IFLA_NET_NS_PID = 19
    IFLA_IFALIAS = 20
    IFLA_STATS64 = 23
    IFLA_AF_SPEC = 26
    IFLA_GROUP = 27
    IFLA_NET_NS_FD = 28
    IFLA_EXT_MASK = 29
    IFLA_PROMISCUITY = 30
    IFLA_NUM_TX_QUEUES = 31
    IFLA_NUM_RX_QUEUES = 32
    IFLA_CARRIER = 33
    IFLA_CARRIER_CHANGES = 35
    IFLA_LINK_NETNSID = 37
    IFLA_PROTO_DOWN = 39
    IFLA_GSO_MAX_SEGS = 40
    IFLA_GSO_MAX_SIZE = 41
    IFLA_TARGET_NETNSID = 46
    IFLA_CARRIER_UP_COUNT = 47
    IFLA_CARRIER_DOWN_COUNT = 48
    IFLA_NEW_IFINDEX = 49
    IFLA_MIN_MTU = 50
    IFLA_MAX_MTU = 51
    IFLA_PROP_LIST = 52
    IFLA_ALT_IFNAME = 53
    IFLA_GRO_MAX_SIZE = 58
    IFLA_TSO_MAX_SIZE = 59
    IFLA_TSO_MAX_SEGS = 60
    IFLA_ALLMULTI = 61
    IFLA_GSO_IPV4_MAX_SIZE = 63
    IFLA_GRO_IPV4_MAX_SIZE = 64
    IFLA_MAX_PACING_OFFLOAD_HORIZON = 66
    IFLA_NETNS_IMMUTABLE = 67
    IFLA_HEADROOM = 68
    IFLA_TAILROOM = 69


class LinkInformation(IntEnum):
    """rta_type inside IFLA_LINKINFO, and of a veth's peer inside its data."""

    IFLA_INFO_KIND = 1
    IFLA_INFO_DATA = 2
    IFLA_INFO_SLAVE_KIND = 4
    IFLA_INFO_SLAVE_DATA = 5


VETH_INFO_PEER = 1


class BridgeAttribute(IntEnum):
    """rta_type inside IFLA_INFO_DATA of a bridge."""

    IFLA_BR_FORWARD_DELAY = 1
    IFLA_BR_HELLO_TIME = 2
    IFLA_BR_MAX_AGE = 3
    IFLA_BR_AGEING_TIME = 4
    IFLA_BR_STP_STATE = 5
    IFLA_BR_PRIORITY = 6
    IFLA_BR_VLAN_FILTERING = 7
    IFLA_BR_GROUP_FWD_MASK = 9
    IFLA_BR_ROOT_ID = 10
    IFLA_BR_BRIDGE_ID = 11
    IFLA_BR_ROOT_PORT = 12
    IFLA_BR_ROOT_PATH_COST = 13
    IFLA_BR_TOPOLOGY_CHANGE = 14
    IFLA_BR_TOPOLOGY_CHANGE_DETECTED = 15
    IFLA_BR_HELLO_TIMER = 16
    IFLA_BR_TCN_TIMER = 17
    IFLA_BR_TOPOLOGY_CHANGE_TIMER = 18
    IFLA_BR_GC_TIMER = 19
    IFLA_BR_GROUP_ADDR = 20
    IFLA_BR_FDB_FLUSH = 21
    IFLA_BR_MULTI_BOOLOPT = 46
    IFLA_BR_FDB_N_LEARNED = 48
    IFLA_BR_FDB_MAX_LEARNED = 49


class BridgePortAttribute(IntEnum):
    """rta_type inside IFLA_PROTINFO and IFLA_INFO_SLAVE_DATA of a bridge's port."""

    IFLA_BRPORT_STATE = 1
    IFLA_BRPORT_PRIORITY = 2
    IFLA_BRPORT_COST = 3
    IFLA_BRPORT_MODE = 4
    IFLA_BRPORT_GUARD = 5
    IFLA_BRPORT_PROTECT = 6
    IFLA_BRPORT_FAST_LEAVE = 7
    IFLA_BRPORT_LEARNING = 8
    IFLA_BRPORT_UNICAST_FLOOD = 9
    IFLA_BRPORT_PROXYARP = 10
    IFLA_BRPORT_PROXYARP_WIFI = 12
    IFLA_BRPORT_ROOT_ID = 13
    IFLA_BRPORT_BRIDGE_ID = 14
    IFLA_BRPORT_DESIGNATED_PORT = 15
    IFLA_BRPORT_DESIGNATED_COST = 16
    IFLA_BRPORT_ID = 17
    IFLA_BRPORT_NO = 18
    IFLA_BRPORT_TOPOLOGY_CHANGE_ACK = 19
    IFLA_BRPORT_CONFIG_PENDING = 20
    IFLA_BRPORT_MESSAGE_AGE_TIMER = 21
    IFLA_BRPORT_FORWARD_DELAY_TIMER = 22
    IFLA_BRPORT_HOLD_TIMER = 23
    IFLA_BRPORT_FLUSH = 24
    IFLA_BRPORT_MCAST_FLOOD = 27
    IFLA_BRPORT_MCAST_TO_UCAST = 28
    IFLA_BRPORT_VLAN_TUNNEL = 29
    IFLA_BRPORT_BCAST_FLOOD = 30
    IFLA_BRPORT_GROUP_FWD_MASK = 31
    IFLA_BRPORT_NEIGH_SUPPRESS = 32
    IFLA_BRPORT_ISOLATED = 33
    IFLA_BRPORT_BACKUP_PORT = 34
    IFLA_BRPORT_MRP_RING_OPEN = 35
    IFLA_BRPORT_MRP_IN_OPEN = 36
    IFLA_BRPORT_LOCKED = 39
    IFLA_BRPORT_MAB = 40
    IFLA_BRPORT_NEIGH_VLAN_SUPPRESS = 43
    IFLA_BRPORT_BACKUP_NHID = 44


class OperationalState(IntEnum):
    """IFLA_OPERSTATE (RFC 2863)."""

    IF_OPER_UNKNOWN = 0
    IF_OPER_DOWN = 2
    IF_OPER_LOWERLAYERDOWN = 3
    IF_OPER_TESTING = 4
    IF_OPER_DORMANT = 5
    IF_OPER_UP = 6


class AddressAttribute(IntEnum):
    """rta_type in a message about an address."""

    IFA_ADDRESS = 1
    IFA_LOCAL = 2
    IFA_LABEL = 3
    IFA_BROADCAST = 4
    IFA_CACHEINFO = 6
    IFA_FLAGS = 8
    IFA_RT_PRIORITY = 9
    IFA_TARGET_NETNSID = 10
    IFA_PROTO = 11


class NextHopAttribute(IntEnum):
    """What is told in a message about a next hop."""

    NHA_ID = 1
    NHA_GROUP = 2
    NHA_GROUP_TYPE = 3
    NHA_BLACKHOLE = 4
    NHA_OIF = 5
    NHA_GATEWAY = 6
    NHA_ENCAP_TYPE = 7
    NHA_ENCAP = 8
    NHA_GROUPS = 9
    NHA_MASTER = 10
    NHA_FDB = 11
    NHA_RES_GROUP = 12
    NHA_OP_FLAGS = 14
    NHA_GROUP_STATS = 15
    NHA_HW_STATS_ENABLE = 16


class RouteAttribute(IntEnum):
    """rta_type in a message about a route."""

    RTA_DST = 1
    RTA_SRC = 2
    RTA_IIF = 3
    RTA_OIF = 4
    RTA_GATEWAY = 5
    RTA_PRIORITY = 6
    RTA_PREFSRC = 7
    RTA_METRICS = 8
    RTA_MULTIPATH = 9
    RTA_FLOW = 11
    RTA_CACHEINFO = 12
    RTA_TABLE = 15
    RTA_MARK = 16
    RTA_VIA = 18
    RTA_PREF = 20
    RTA_ENCAP_TYPE = 21
    RTA_ENCAP = 22
    RTA_EXPIRES = 23
    RTA_UID = 25
    RTA_IP_PROTO = 27
    RTA_SPORT = 28
    RTA_DPORT = 29
    RTA_NH_ID = 30
    RTA_FLOWLABEL = 31


class RouteType(IntEnum):
    """rtm_type."""

    RTN_UNSPEC = 0
    RTN_UNICAST = 1
    RTN_LOCAL = 2
    RTN_BROADCAST = 3
    RTN_ANYCAST = 4
    RTN_MULTICAST = 5
    RTN_BLACKHOLE = 6
    RTN_UNREACHABLE = 7
    RTN_PROHIBIT = 8
    RTN_THROW = 9
    RTN_NAT = 10
    RTN_XRESOLVE = 11


class RouteScope(IntEnum):
    """rtm_scope, ifa_scope."""

    RT_SCOPE_UNIVERSE = 0
    RT_SCOPE_SITE = 200
    RT_SCOPE_LINK = 253
    RT_SCOPE_HOST = 254
    RT_SCOPE_NOWHERE = 255


class RouteTable(IntEnum):
    """rtm_table."""

    RT_TABLE_UNSPEC = 0
    RT_TABLE_COMPAT = 252
    RT_TABLE_DEFAULT = 253
    RT_TABLE_MAIN = 254
    RT_TABLE_LOCAL = 255


class NeighbourState(IntFlag):
    """ndm_state."""

    NUD_INCOMPLETE = 1
    NUD_REACHABLE = 2
    NUD_STALE = 4
    NUD_DELAY = 8
    NUD_PROBE = 16
    NUD_FAILED = 32
    NUD_NOARP = 64
    NUD_PERMANENT = 128


class NeighbourFlag(IntFlag):
    """ndm_flags."""

    NTF_USE = 1
    NTF_SELF = 2
    NTF_MASTER = 4
    NTF_PROXY = 8
    NTF_EXT_LEARNED = 0x10
    NTF_STICKY = 0x40
    NTF_ROUTER = 0x80


class NeighbourAttribute(IntEnum):
    """rta_type in a message about a neighbour."""

    NDA_DST = 1
    NDA_LLADDR = 2
    NDA_CACHEINFO = 3
    NDA_PROBES = 4
    NDA_VLAN = 5
    NDA_PORT = 6
    NDA_VNI = 7
    NDA_IFINDEX = 8
    NDA_MASTER = 9
    NDA_PROTOCOL = 12
    NDA_NH_ID = 13
    NDA_FDB_EXT_ATTRS = 14
    NDA_FLAGS_EXT = 15
    NDA_NDM_FLAGS_MASK = 17


class AddressLabelAttribute(IntEnum):
    """rta_type in a message about a label of a net."""

    IFAL_ADDRESS = 1
    IFAL_LABEL = 2


class QueueingAttribute(IntEnum):
    """rta_type in a message about a discipline of queueing."""

    TCA_KIND = 1
    TCA_STATS = 3
    TCA_STATS2 = 7
    TCA_HW_OFFLOAD = 12


class QueueingStatistic(IntEnum):
    """rta_type inside TCA_STATS2."""

    TCA_STATS_BASIC = 1
    TCA_STATS_QUEUE = 3


class RuleAttribute(IntEnum):
    """rta_type in a message about a rule of routing."""

    FRA_DST = 1
    FRA_SRC = 2
    FRA_IIFNAME = 3
    FRA_GOTO = 4
    FRA_PRIORITY = 6
    FRA_FWMARK = 10
    FRA_FLOW = 11
    FRA_TUN_ID = 12
    FRA_SUPPRESS_IFGROUP = 13
    FRA_SUPPRESS_PREFIXLEN = 14
    FRA_TABLE = 15
    FRA_FWMASK = 16
    FRA_OIFNAME = 17
    FRA_L3MDEV = 19
    FRA_UID_RANGE = 20
    FRA_PROTOCOL = 21
    FRA_IP_PROTO = 22
    FRA_SPORT_RANGE = 23
    FRA_DPORT_RANGE = 24
    FRA_DSCP = 25


class RuleAction(IntEnum):
    """What a rule of routing does."""

    FR_ACT_TO_TBL = 1
    FR_ACT_GOTO = 2
    FR_ACT_NOP = 3
    FR_ACT_UNREACHABLE = 7
    FR_ACT_PROHIBIT = 8


class ConfigurationAttribute(IntEnum):
    """rta_type in a message about an interface's settings."""

    NETCONFA_IFINDEX = 1
    NETCONFA_FORWARDING = 2
    NETCONFA_RP_FILTER = 3
    NETCONFA_MC_FORWARDING = 4
    NETCONFA_PROXY_NEIGH = 5
    NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN = 6
    NETCONFA_BC_FORWARDING = 8
    NETCONFA_FORCE_FORWARDING = 9


class NamespaceIdAttribute(IntEnum):
    """rta_type in a message about the number that one network namespace has in another."""

    NETNSA_NSID = 1
    NETNSA_PID = 2
    NETNSA_FD = 3
    NETNSA_TARGET_NSID = 4
    NETNSA_CURRENT_NSID = 5


RTPROT_KERNEL = 2
RTPROT_BOOT = 3
RTM_F_CLONED = 0x200
RTM_F_LOOKUP_TABLE = 0x1000
RTM_F_FIB_MATCH = 0x2000
RTNH_F_DEAD = 1
RTNH_F_PERVASIVE = 2
RTNH_F_ONLINK = 4
RTNH_F_LINKDOWN = 16
IFAPROT_KERNEL_LO = 1
IFAPROT_KERNEL_LL = 3
IFA_F_SECONDARY = 1
IFA_F_NODAD = 2
IFA_F_HOMEADDRESS = 0x10
IFA_F_DEPRECATED = 0x20
IFA_F_PERMANENT = 0x80
IFA_F_MANAGETEMPADDR = 0x100
IFA_F_NOPREFIXROUTE = 0x200
IFA_F_MCAUTOJOIN = 0x400


class RouteMetric(IntEnum):
    """rta_type inside RTA_METRICS."""

    RTAX_MTU = 2
    RTAX_ADVMSS = 8
    RTAX_HOPLIMIT = 10
    RTAX_FEATURES = 12
    RTAX_CC_ALGO = 16
    RTAX_FASTOPEN_NO_COOKIE = 17


RTAX_MTU = int(RouteMetric.RTAX_MTU)


class Nlmsghdr(Structure):
    """struct nlmsghdr."""

    nlmsg_len: U32 = 0
    nlmsg_type: U16 = 0
    nlmsg_flags: U16 = 0
    nlmsg_seq: U32 = 0
    nlmsg_pid: U32 = 0


class Ifinfomsg(Structure):
    """struct ifinfomsg, of a link."""

    ifi_family: U8 = 0
    ifi_type: U16 = 0
    ifi_index: I32 = 0
    ifi_flags: U32 = 0
    ifi_change: U32 = 0


class Ifaddrmsg(Structure):
    """struct ifaddrmsg, of an address."""

    ifa_family: U8 = 0
    ifa_prefixlen: U8 = 0
    ifa_flags: U8 = 0
    ifa_scope: U8 = 0
    ifa_index: U32 = 0


class Rtmsg(Structure):
    """struct rtmsg, of a route."""

    rtm_family: U8 = 0
    rtm_dst_len: U8 = 0
    rtm_src_len: U8 = 0
    rtm_tos: U8 = 0
    rtm_table: U8 = 0
    rtm_protocol: U8 = 0
    rtm_scope: U8 = 0
    rtm_type: U8 = 0
    rtm_flags: U32 = 0


class Nhmsg(Structure):
    """struct nhmsg, of a next hop."""

    nh_family: U8 = 0
    nh_scope: U8 = 0
    nh_protocol: U8 = 0
    resvd: U8 = 0
    nh_flags: U32 = 0


class Rtnexthop(Structure):
    """struct rtnexthop, of one way of a route; its attributes follow."""

    rtnh_len: U16 = 0
    rtnh_flags: U8 = 0
    rtnh_hops: U8 = 0
    rtnh_ifindex: I32 = 0


class Rtattr(Structure):
    """struct rtattr; its data follows, and the next one at the next multiple of 4."""

    rta_len: U16 = 0
    rta_type: U16 = 0


class Ndmsg(Structure):
    """struct ndmsg, of a neighbour."""

    ndm_family: U8 = 0
    ndm_pad1: U8 = 0
    ndm_pad2: U16 = 0
    ndm_ifindex: I32 = 0
    ndm_state: U16 = 0
    ndm_flags: U8 = 0
    ndm_type: U8 = 0


class Ifaddrlblmsg(Structure):
    """struct ifaddrlblmsg, of a label of a net."""

    ifal_family: U8 = 0
    ifal_reserved: U8 = 0
    ifal_prefixlen: U8 = 0
    ifal_flags: U8 = 0
    ifal_index: U32 = 0
    ifal_seq: U32 = 0


class Tcmsg(Structure):
    """struct tcmsg, of how an interface queues packets."""

    tcm_family: U8 = 0
    tcm__pad1: U8 = 0
    tcm__pad2: U16 = 0
    tcm_ifindex: I32 = 0
    tcm_handle: U32 = 0
    tcm_parent: U32 = 0
    tcm_info: U32 = 0


class FibRuleHdr(Structure):
    """struct fib_rule_hdr, of a rule of routing."""

    family: U8 = 0
    dst_len: U8 = 0
    src_len: U8 = 0
    tos: U8 = 0
    table: U8 = 0
    res1: U8 = 0
    res2: U8 = 0
    action: U8 = 0
    flags: U32 = 0
