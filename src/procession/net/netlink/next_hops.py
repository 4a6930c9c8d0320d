"""Next hops as objects of their own (ip-nexthop(8)): there are none, as nobody can make one."""

from __future__ import annotations

from procession.abi.errno import EINVAL, ENOENT, TOLD
from procession.abi.netlink import RouteMessageType
from procession.net.netlink.attributes import Answer, Request, attributes_in, number_in

GETNEXTHOP, _DELNEXTHOP = int(RouteMessageType.RTM_GETNEXTHOP), int(RouteMessageType.RTM_DELNEXTHOP)
NEXT_HOPS = (_DELNEXTHOP, GETNEXTHOP)
_ID = 1
"""NHA_ID."""
_HEADER_BYTES = 8
"""A struct nhmsg."""


def answer_of_next_hop(request: Request) -> Answer:
    """RTM_GETNEXTHOP and RTM_DELNEXTHOP. Raises EINVAL, ENOENT. Linux: net/ipv4/nexthop.c, rtm_get_nexthop,
    rtm_del_nexthop, rtm_dump_nexthop."""
    if len(request.body) < _HEADER_BYTES:
        raise EINVAL("Invalid header length", TOLD)
    if request.is_listing:
        return []
    if not number_in(attributes_in(request.body, _HEADER_BYTES), _ID):
        raise EINVAL("Nexthop id is missing", TOLD)
    raise ENOENT("no such next hop")
