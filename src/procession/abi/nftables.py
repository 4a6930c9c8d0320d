"""NETLINK_NETFILTER: the messages about nftables' tables, chains, rules and sets (nft(8), libnftables(3))."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U8, U16, Structure


class Nfgenmsg(Structure):
    """struct nfgenmsg; `res_id` is in network byte order."""

    nfgen_family: U8 = 0
    version: U8 = 0
    res_id: U16 = 0


class Subsystem(IntEnum):
    """The upper byte of nlmsg_type."""

    NFNL_SUBSYS_CTNETLINK = 1
    NFNL_SUBSYS_NFTABLES = 10
    NFNL_SUBSYS_NFT_COMPAT = 11


class FilterGroup(IntEnum):
    """Who is told of changes to the rules."""

    NFNLGRP_NFTABLES = 7


class BatchMessage(IntEnum):
    """nlmsg_type of what begins and ends a batch."""

    NFNL_MSG_BATCH_BEGIN = 0x10
    NFNL_MSG_BATCH_END = 0x11


class BatchAttribute(IntEnum):
    """Attributes of what begins a batch."""

    NFNL_BATCH_GENID = 1


class ProtocolFamily(IntEnum):
    """Whose packets a table is for."""

    NFPROTO_UNSPEC = 0
    NFPROTO_INET = 1
    NFPROTO_IPV4 = 2
    NFPROTO_IPV6 = 10


class Hook(IntEnum):
    """Where packets pass."""

    NF_INET_PRE_ROUTING = 0
    NF_INET_LOCAL_IN = 1
    NF_INET_FORWARD = 2
    NF_INET_LOCAL_OUT = 3
    NF_INET_POST_ROUTING = 4


class HookVerdict(IntEnum):
    """What becomes of a packet."""

    NF_DROP = 0
    NF_ACCEPT = 1


class ChainVerdict(IntEnum):
    """Where evaluation goes on."""

    NFT_CONTINUE = -1
    NFT_BREAK = -2
    NFT_JUMP = -3
    NFT_GOTO = -4
    NFT_RETURN = -5


class FilterMessage(IntEnum):
    """The lower byte of nlmsg_type, in NFNL_SUBSYS_NFTABLES."""

    NFT_MSG_NEWTABLE = 0
    NFT_MSG_GETTABLE = 1
    NFT_MSG_DELTABLE = 2
    NFT_MSG_NEWCHAIN = 3
    NFT_MSG_GETCHAIN = 4
    NFT_MSG_DELCHAIN = 5
    NFT_MSG_NEWRULE = 6
    NFT_MSG_GETRULE = 7
    NFT_MSG_DELRULE = 8
    NFT_MSG_NEWSET = 9
    NFT_MSG_GETSET = 10
    NFT_MSG_DELSET = 11
    NFT_MSG_NEWSETELEM = 12
    NFT_MSG_GETSETELEM = 13
    NFT_MSG_DELSETELEM = 14
    NFT_MSG_NEWGEN = 15
    NFT_MSG_GETGEN = 16
    NFT_MSG_GETOBJ = 19
    NFT_MSG_GETFLOWTABLE = 23
    NFT_MSG_GETRULE_RESET = 25
    NFT_MSG_DESTROYTABLE = 26
    NFT_MSG_DESTROYCHAIN = 27
    NFT_MSG_DESTROYRULE = 28
    NFT_MSG_DESTROYSET = 29
    NFT_MSG_DESTROYSETELEM = 30


class Register(IntEnum):
    """Where expressions leave what later ones read: four of 16 bytes, or the same as sixteen of 4."""

    NFT_REG_VERDICT = 0
    NFT_REG_4 = 4
    NFT_REG32_00 = 8
    NFT_REG32_15 = 23


class ListAttribute(IntEnum):
    """What a list is made of."""

    NFTA_LIST_ELEM = 1


class GenerationAttribute(IntEnum):
    """What tells one state of the rules from the next."""

    NFTA_GEN_ID = 1
    NFTA_GEN_PROC_PID = 2
    NFTA_GEN_PROC_NAME = 3


class TableFlag(IntFlag):
    """NFTA_TABLE_FLAGS."""

    NFT_TABLE_F_DORMANT = 1


class TableAttribute(IntEnum):
    """Attributes of a table."""

    NFTA_TABLE_NAME = 1
    NFTA_TABLE_FLAGS = 2
    NFTA_TABLE_USE = 3
    NFTA_TABLE_HANDLE = 4
    NFTA_TABLE_USERDATA = 6


class HookAttribute(IntEnum):
    """Attributes of a base chain's hook."""

    NFTA_HOOK_HOOKNUM = 1
    NFTA_HOOK_PRIORITY = 2


class ChainFlag(IntFlag):
    """NFTA_CHAIN_FLAGS."""

    NFT_CHAIN_BASE = 1
    NFT_CHAIN_HW_OFFLOAD = 2
    NFT_CHAIN_BINDING = 4


class ChainAttribute(IntEnum):
    """Attributes of a chain."""

    NFTA_CHAIN_TABLE = 1
    NFTA_CHAIN_HANDLE = 2
    NFTA_CHAIN_NAME = 3
    NFTA_CHAIN_HOOK = 4
    NFTA_CHAIN_POLICY = 5
    NFTA_CHAIN_USE = 6
    NFTA_CHAIN_TYPE = 7
    NFTA_CHAIN_COUNTERS = 8
    NFTA_CHAIN_FLAGS = 10
    NFTA_CHAIN_ID = 11
    NFTA_CHAIN_USERDATA = 12


class RuleAttribute(IntEnum):
    """Attributes of a rule."""

    NFTA_RULE_TABLE = 1
    NFTA_RULE_CHAIN = 2
    NFTA_RULE_HANDLE = 3
    NFTA_RULE_EXPRESSIONS = 4
    NFTA_RULE_COMPAT = 5
    NFTA_RULE_POSITION = 6
    NFTA_RULE_USERDATA = 7
    NFTA_RULE_ID = 9
    NFTA_RULE_POSITION_ID = 10
    NFTA_RULE_CHAIN_ID = 11


class SetFlag(IntFlag):
    """NFTA_SET_FLAGS."""

    NFT_SET_ANONYMOUS = 0x1
    NFT_SET_CONSTANT = 0x2
    NFT_SET_INTERVAL = 0x4
    NFT_SET_MAP = 0x8


class SetAttribute(IntEnum):
    """Attributes of a set."""

    NFTA_SET_TABLE = 1
    NFTA_SET_NAME = 2
    NFTA_SET_FLAGS = 3
    NFTA_SET_KEY_TYPE = 4
    NFTA_SET_KEY_LEN = 5
    NFTA_SET_DATA_TYPE = 6
    NFTA_SET_DATA_LEN = 7
    NFTA_SET_POLICY = 8
    NFTA_SET_DESC = 9
    NFTA_SET_ID = 10
    NFTA_SET_USERDATA = 13
    NFTA_SET_HANDLE = 16


class SetDescription(IntEnum):
    """NFTA_SET_DESC."""

    NFTA_SET_DESC_SIZE = 1


class ElementListAttribute(IntEnum):
    """Attributes of a message about a set's elements."""

    NFTA_SET_ELEM_LIST_TABLE = 1
    NFTA_SET_ELEM_LIST_SET = 2
    NFTA_SET_ELEM_LIST_ELEMENTS = 3
    NFTA_SET_ELEM_LIST_SET_ID = 4


class ElementFlag(IntFlag):
    """NFTA_SET_ELEM_FLAGS."""

    NFT_SET_ELEM_INTERVAL_END = 1


class ElementAttribute(IntEnum):
    """Attributes of one element."""

    NFTA_SET_ELEM_KEY = 1
    NFTA_SET_ELEM_DATA = 2
    NFTA_SET_ELEM_FLAGS = 3
    NFTA_SET_ELEM_USERDATA = 6


class DataAttribute(IntEnum):
    """What data is: a value or a verdict."""

    NFTA_DATA_VALUE = 1
    NFTA_DATA_VERDICT = 2


class VerdictAttribute(IntEnum):
    """Attributes of a verdict."""

    NFTA_VERDICT_CODE = 1
    NFTA_VERDICT_CHAIN = 2
    NFTA_VERDICT_CHAIN_ID = 3


class ExpressionAttribute(IntEnum):
    """Attributes of one expression of a rule."""

    NFTA_EXPR_NAME = 1
    NFTA_EXPR_DATA = 2


class ImmediateAttribute(IntEnum):
    """Attributes of `immediate`."""

    NFTA_IMMEDIATE_DREG = 1
    NFTA_IMMEDIATE_DATA = 2


class BitwiseAttribute(IntEnum):
    """Attributes of `bitwise`."""

    NFTA_BITWISE_SREG = 1
    NFTA_BITWISE_DREG = 2
    NFTA_BITWISE_LEN = 3
    NFTA_BITWISE_MASK = 4
    NFTA_BITWISE_XOR = 5
    NFTA_BITWISE_OP = 6


class Comparison(IntEnum):
    """NFTA_CMP_OP."""

    NFT_CMP_EQ = 0
    NFT_CMP_NEQ = 1
    NFT_CMP_LT = 2
    NFT_CMP_LTE = 3
    NFT_CMP_GT = 4
    NFT_CMP_GTE = 5


class CompareAttribute(IntEnum):
    """Attributes of `cmp`."""

    NFTA_CMP_SREG = 1
    NFTA_CMP_OP = 2
    NFTA_CMP_DATA = 3


class RangeAttribute(IntEnum):
    """Attributes of `range`, whose operations are 0 for inside and 1 for outside."""

    NFTA_RANGE_SREG = 1
    NFTA_RANGE_OP = 2
    NFTA_RANGE_FROM_DATA = 3
    NFTA_RANGE_TO_DATA = 4


class LookupAttribute(IntEnum):
    """Attributes of `lookup`, whose only flag inverts it."""

    NFTA_LOOKUP_SET = 1
    NFTA_LOOKUP_SREG = 2
    NFTA_LOOKUP_DREG = 3
    NFTA_LOOKUP_SET_ID = 4
    NFTA_LOOKUP_FLAGS = 5


class PayloadBase(IntEnum):
    """Where a packet is read from."""

    NFT_PAYLOAD_NETWORK_HEADER = 1
    NFT_PAYLOAD_TRANSPORT_HEADER = 2


class PayloadAttribute(IntEnum):
    """Attributes of `payload`."""

    NFTA_PAYLOAD_DREG = 1
    NFTA_PAYLOAD_BASE = 2
    NFTA_PAYLOAD_OFFSET = 3
    NFTA_PAYLOAD_LEN = 4
    NFTA_PAYLOAD_SREG = 5


class MetaKey(IntEnum):
    """What of a packet isn't in it."""

    NFT_META_LEN = 0
    NFT_META_PROTOCOL = 1
    NFT_META_MARK = 3
    NFT_META_IIF = 4
    NFT_META_OIF = 5
    NFT_META_IIFNAME = 6
    NFT_META_OIFNAME = 7
    NFT_META_IIFTYPE = 8
    NFT_META_OIFTYPE = 9
    NFT_META_NFPROTO = 15
    NFT_META_L4PROTO = 16


class MetaAttribute(IntEnum):
    """Attributes of `meta`."""

    NFTA_META_DREG = 1
    NFTA_META_KEY = 2
    NFTA_META_SREG = 3


class CounterAttribute(IntEnum):
    """Attributes of `counter`."""

    NFTA_COUNTER_BYTES = 1
    NFTA_COUNTER_PACKETS = 2


class LimitType(IntEnum):
    """What a limit counts."""

    NFT_LIMIT_PKTS = 0
    NFT_LIMIT_PKT_BYTES = 1


class LimitAttribute(IntEnum):
    """Attributes of `limit`, whose only flag inverts it."""

    NFTA_LIMIT_RATE = 1
    NFTA_LIMIT_UNIT = 2
    NFTA_LIMIT_BURST = 3
    NFTA_LIMIT_TYPE = 4
    NFTA_LIMIT_FLAGS = 5


class RejectType(IntEnum):
    """How a packet is refused."""

    NFT_REJECT_ICMP_UNREACH = 0
    NFT_REJECT_TCP_RST = 1
    NFT_REJECT_ICMPX_UNREACH = 2


class RejectAttribute(IntEnum):
    """Attributes of `reject`."""

    NFTA_REJECT_TYPE = 1
    NFTA_REJECT_ICMP_CODE = 2


class RuleCompatAttribute(IntEnum):
    """NFTA_RULE_COMPAT: what iptables says of a rule's packets."""

    NFTA_RULE_COMPAT_PROTO = 1
    NFTA_RULE_COMPAT_FLAGS = 2


class MatchAttribute(IntEnum):
    """Attributes of `match`."""

    NFTA_MATCH_NAME = 1
    NFTA_MATCH_REV = 2
    NFTA_MATCH_INFO = 3


class TargetAttribute(IntEnum):
    """Attributes of `target`."""

    NFTA_TARGET_NAME = 1
    NFTA_TARGET_REV = 2
    NFTA_TARGET_INFO = 3


class CompatAttribute(IntEnum):
    """Attributes of the question whether there is a match or target, in NFNL_SUBSYS_NFT_COMPAT."""

    NFTA_COMPAT_NAME = 1
    NFTA_COMPAT_REV = 2
    NFTA_COMPAT_TYPE = 3


class ConnectionKey(IntEnum):
    """What of a connection is asked for (NFTA_CT_KEY)."""

    NFT_CT_STATE = 0
    NFT_CT_DIRECTION = 1
    NFT_CT_STATUS = 2


class ConnectionAttribute(IntEnum):
    """Attributes of `ct`."""

    NFTA_CT_DREG = 1
    NFTA_CT_KEY = 2
    NFTA_CT_DIRECTION = 3
    NFTA_CT_SREG = 4


class ConnectionPlace(IntEnum):
    """What a packet is to its connection."""

    IP_CT_ESTABLISHED = 0
    IP_CT_RELATED = 1
    IP_CT_NEW = 2


class ConnectionStatus(IntFlag):
    """What has been seen of a connection."""

    IPS_SEEN_REPLY = 2
    IPS_ASSURED = 4
    IPS_CONFIRMED = 8
    IPS_SRC_NAT = 0x10
    IPS_DST_NAT = 0x20
    IPS_SRC_NAT_DONE = 0x80
    IPS_DST_NAT_DONE = 0x100


class NatFlag(IntFlag):
    """How addresses and ports are chosen."""

    NF_NAT_RANGE_MAP_IPS = 1
    NF_NAT_RANGE_PROTO_SPECIFIED = 2
    NF_NAT_RANGE_PROTO_RANDOM = 4
    NF_NAT_RANGE_PERSISTENT = 8
    NF_NAT_RANGE_PROTO_RANDOM_FULLY = 16
    NF_NAT_RANGE_PROTO_OFFSET = 32
    NF_NAT_RANGE_NETMAP = 64


class NatType(IntEnum):
    """What `nat` changes."""

    NFT_NAT_SNAT = 0
    NFT_NAT_DNAT = 1


class NatAttribute(IntEnum):
    """Attributes of `nat`."""

    NFTA_NAT_TYPE = 1
    NFTA_NAT_FAMILY = 2
    NFTA_NAT_REG_ADDR_MIN = 3
    NFTA_NAT_REG_ADDR_MAX = 4
    NFTA_NAT_REG_PROTO_MIN = 5
    NFTA_NAT_REG_PROTO_MAX = 6
    NFTA_NAT_FLAGS = 7


class MasqueradeAttribute(IntEnum):
    """Attributes of `masq`."""

    NFTA_MASQ_FLAGS = 1
    NFTA_MASQ_REG_PROTO_MIN = 2
    NFTA_MASQ_REG_PROTO_MAX = 3


class RedirectAttribute(IntEnum):
    """Attributes of `redir`."""

    NFTA_REDIR_REG_PROTO_MIN = 1
    NFTA_REDIR_REG_PROTO_MAX = 2
    NFTA_REDIR_FLAGS = 3


class FibAttribute(IntEnum):
    """Attributes of `fib`."""

    NFTA_FIB_DREG = 1
    NFTA_FIB_RESULT = 2
    NFTA_FIB_FLAGS = 3


class FibResult(IntEnum):
    """What the routes are asked for."""

    NFT_FIB_RESULT_OIF = 1
    NFT_FIB_RESULT_OIFNAME = 2
    NFT_FIB_RESULT_ADDRTYPE = 3


class FibFlag(IntFlag):
    """About which address, and through which interface."""

    NFTA_FIB_F_SADDR = 1
    NFTA_FIB_F_DADDR = 2
    NFTA_FIB_F_MARK = 4
    NFTA_FIB_F_IIF = 8
    NFTA_FIB_F_OIF = 16
    NFTA_FIB_F_PRESENT = 32
