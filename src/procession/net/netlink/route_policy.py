"""What may be said of a route, and how each attribute must be (rtnetlink(7))."""

from __future__ import annotations

from procession.abi.netlink import RouteAttribute, RouteType
from procession.net.netlink.policy import NESTED_LIST, U8, U16, U32, Expected, Policy, at_least

DST, GATEWAY = int(RouteAttribute.RTA_DST), int(RouteAttribute.RTA_GATEWAY)
OIF, PRIORITY = int(RouteAttribute.RTA_OIF), int(RouteAttribute.RTA_PRIORITY)
PREFSRC, TABLE = int(RouteAttribute.RTA_PREFSRC), int(RouteAttribute.RTA_TABLE)
SRC, METRICS = int(RouteAttribute.RTA_SRC), int(RouteAttribute.RTA_METRICS)
MULTIPATH, VIA = int(RouteAttribute.RTA_MULTIPATH), int(RouteAttribute.RTA_VIA)
REALM, PREFERENCE = int(RouteAttribute.RTA_FLOW), int(RouteAttribute.RTA_PREF)
EXPIRES, NEXT_HOP = int(RouteAttribute.RTA_EXPIRES), int(RouteAttribute.RTA_NH_ID)
FLOW_LABEL = int(RouteAttribute.RTA_FLOWLABEL)
ENCAPSULATION_TYPE, ENCAPSULATION = int(RouteAttribute.RTA_ENCAP_TYPE), int(RouteAttribute.RTA_ENCAP)
_OF_BOTH: dict[int, Expected] = {
    int(RouteAttribute.RTA_IIF): U32,
    OIF: U32,
    PRIORITY: U32,
    METRICS: NESTED_LIST,
    MULTIPATH: at_least(8),
    TABLE: U32,
    ENCAPSULATION_TYPE: U16,
    ENCAPSULATION: NESTED_LIST,
    int(RouteAttribute.RTA_MARK): U32,
    int(RouteAttribute.RTA_UID): U32,
    int(RouteAttribute.RTA_IP_PROTO): U8,
    int(RouteAttribute.RTA_SPORT): U16,
    int(RouteAttribute.RTA_DPORT): U16,
    NEXT_HOP: U32,
}
POLICY_4 = Policy(
    {**_OF_BOTH, DST: U32, SRC: U32, GATEWAY: U32, PREFSRC: U32, REALM: U32}, FLOW_LABEL, NEXT_HOP
)
"""Linux: net/ipv4/fib_frontend.c, rtm_ipv4_policy."""
POLICY_6 = Policy(
    {
        **_OF_BOTH,
        GATEWAY: at_least(16),
        PREFSRC: at_least(16),
        PREFERENCE: U8,
        EXPIRES: U32,
        FLOW_LABEL: U32,
    },
    FLOW_LABEL,
    NEXT_HOP,
)
"""Linux: net/ipv6/route.c, rtm_ipv6_policy."""
LAST_TYPE = int(RouteType.RTN_XRESOLVE)
"""RTN_MAX but for what nobody knows."""
