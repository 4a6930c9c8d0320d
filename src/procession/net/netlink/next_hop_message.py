"""What is told of a next hop (ip-nexthop(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.netlink import NextHopAttribute, Nhmsg, RouteMessageType
from procession.abi.word import Words, pack_u16
from procession.net.netlink.attributes import Message, attribute, number

if TYPE_CHECKING:
    from procession.net.internet.next_hop import NextHop

NEWNEXTHOP, DELNEXTHOP = int(RouteMessageType.RTM_NEWNEXTHOP), int(RouteMessageType.RTM_DELNEXTHOP)
_ID, _GROUP = int(NextHopAttribute.NHA_ID), int(NextHopAttribute.NHA_GROUP)
_GROUP_TYPE, _BLACKHOLE = int(NextHopAttribute.NHA_GROUP_TYPE), int(NextHopAttribute.NHA_BLACKHOLE)
_OIF, _GATEWAY = int(NextHopAttribute.NHA_OIF), int(NextHopAttribute.NHA_GATEWAY)
_FDB, _OPERATION = int(NextHopAttribute.NHA_FDB), int(NextHopAttribute.NHA_OP_FLAGS)
MEMBER = Words("<IBBH")
"""A struct nexthop_grp."""
_GROUP_TAIL = 0x80000000
"""NHA_OP_FLAG_RESP_GRP_RESVD_0: what is reserved in a group is 0."""


def next_hop_message(next_hop: NextHop, *, is_there: bool = True) -> Message:
    """Linux: net/ipv4/nexthop.c, nh_fill_node, nla_put_nh_group."""
    header = Nhmsg(next_hop.family, 0, next_hop.protocol, 0, next_hop.flags)
    told = [(_ID, number(next_hop.number))]
    if next_hop.is_group:
        header.nh_family = 0
        if next_hop.is_fdb:
            told.append((_FDB, b""))
        members = b"".join(
            MEMBER.pack(member.number, weight - 1 & 0xFF, weight - 1 >> 8, 0)
            for member, weight in next_hop.members
        )
        told += [(_GROUP_TYPE, pack_u16(0)), (_GROUP, members), (_OPERATION, number(_GROUP_TAIL))]
    elif next_hop.is_blackhole:
        told.append((_BLACKHOLE, b""))
    else:
        header.nh_scope = next_hop.scope
        if next_hop.is_fdb:
            told.append((_FDB, b""))
        elif next_hop.interface is not None:
            told.append((_OIF, number(next_hop.interface.index)))
        if next_hop.gateway is not None:
            told.append((_GATEWAY, next_hop.gateway))
    body = header.pack() + b"".join(attribute(kind, data) for kind, data in told)
    return (NEWNEXTHOP if is_there else DELNEXTHOP), body
