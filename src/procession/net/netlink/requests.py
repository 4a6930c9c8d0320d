"""NETLINK_ROUTE's requests, by their types (rtnetlink(7))."""

from __future__ import annotations

from procession.abi.errno import EOPNOTSUPP, EPERM, TOLD
from procession.abi.netlink import NetlinkFlag, RouteMessageType
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_u8
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.netlink.address_labels import ADDRESS_LABELS, GETADDRLABEL, answer_of_label
from procession.net.netlink.addresses import change_address, find_address, list_addresses
from procession.net.netlink.attributes import Answer, Request
from procession.net.netlink.bridge_ports import change_link_of_bridge
from procession.net.netlink.configuration import find_configuration, list_configurations
from procession.net.netlink.link_properties import change_properties
from procession.net.netlink.links import change_link, delete_link, list_links, new_link
from procession.net.netlink.neighbours import change_neighbour, list_neighbours, one_neighbour
from procession.net.netlink.next_hops import GETNEXTHOP, NEXT_HOPS, answer_of_next_hop
from procession.net.netlink.numbers import number_of_network, set_number
from procession.net.netlink.queueing import (
    CLASSES,
    DISCIPLINES,
    FILTERS,
    answer_of_class,
    answer_of_discipline,
    answer_of_filter,
)
from procession.net.netlink.route_change import change_route
from procession.net.netlink.routes import list_routes, route_to
from procession.net.netlink.rules import change_rule, list_rules
from procession.net.socket_options import CAP_NET_ADMIN

_NEWLINK, _DELLINK = int(RouteMessageType.RTM_NEWLINK), int(RouteMessageType.RTM_DELLINK)
_GETLINK, _SETLINK = int(RouteMessageType.RTM_GETLINK), int(RouteMessageType.RTM_SETLINK)
_NEWADDR, _DELADDR = int(RouteMessageType.RTM_NEWADDR), int(RouteMessageType.RTM_DELADDR)
_GETADDR = int(RouteMessageType.RTM_GETADDR)
_NEWROUTE, _DELROUTE = int(RouteMessageType.RTM_NEWROUTE), int(RouteMessageType.RTM_DELROUTE)
_GETROUTE = int(RouteMessageType.RTM_GETROUTE)
_NEWNEIGH, _DELNEIGH = int(RouteMessageType.RTM_NEWNEIGH), int(RouteMessageType.RTM_DELNEIGH)
_GETNEIGH, _GETRULE = int(RouteMessageType.RTM_GETNEIGH), int(RouteMessageType.RTM_GETRULE)
_NEWRULE, _DELRULE = int(RouteMessageType.RTM_NEWRULE), int(RouteMessageType.RTM_DELRULE)
_NEWLINKPROP, _DELLINKPROP = int(RouteMessageType.RTM_NEWLINKPROP), int(RouteMessageType.RTM_DELLINKPROP)
_AF_BRIDGE = int(AddressFamily.AF_BRIDGE)
_NEWNSID, _GETNSID = int(RouteMessageType.RTM_NEWNSID), int(RouteMessageType.RTM_GETNSID)
_GETMDB = int(RouteMessageType.RTM_GETMDB)
_IPV4, _IPV6 = pack_u8(AF_INET), pack_u8(AF_INET6)
_GETNETCONF = int(RouteMessageType.RTM_GETNETCONF)
_NEVER_THERE = tuple(
    int(kind)
    for kind in (
        *(RouteMessageType.RTM_GETACTION, RouteMessageType.RTM_GETCHAIN),
        RouteMessageType.RTM_GETNEXTHOPBUCKET,
    )
)
"""What lists are empty of."""
_LISTED = (
    *(_GETNETCONF, _GETLINK, _GETADDR, _GETROUTE, _GETNEIGH, _GETRULE),
    *(DISCIPLINES[-1], CLASSES[-1], FILTERS[-1], GETNEXTHOP, GETADDRLABEL, _GETNSID, *_NEVER_THERE),
)
_LAST_TYPE = 123
"""RTM_MAX."""
_FAMILY_BYTES = 1
"""Of a struct rtgenmsg."""
_DELETE, _GET = 1, 2
"""Of the four numbers for an object, those that delete it and ask for it."""


def _deletes_many(request: Request) -> bool:
    """Whether all that match may be deleted at once: only what bridges forward.

    Linux: include/net/rtnetlink.h, RTNL_FLAG_BULK_DEL_SUPPORTED.
    """
    return request.kind == _DELNEIGH and request.body[0] == _AF_BRIDGE


def lists_all(request: Request) -> bool:
    """Whether all objects of a kind are asked for."""
    is_known = len(request.body) >= _FAMILY_BYTES and request.kind <= _LAST_TYPE
    return is_known and request.asks_for_list and request.kind & 3 == _GET


def ends_apart(request: Request) -> bool:
    """Whether the end of a list comes by itself, as it always did: programs got used to that.

    Linux: include/net/rtnetlink.h, RTNL_FLAG_DUMP_SPLIT_NLM_DONE.
    """
    if request.kind == _GETROUTE:
        return True
    if request.kind == _GETNETCONF:
        # One protocol is asked after the other.
        return request.body[:1] not in (_IPV4, _IPV6)
    if request.kind == _GETNEIGH:
        return request.body[0] == _AF_BRIDGE
    return request.kind in (_GETLINK, _GETADDR) and request.body[:1] != _IPV6


def answer(request: Request) -> Answer:
    """What the kernel answers.

    Raises EPERM, ENODEV, EINVAL, EOPNOTSUPP, ENETUNREACH ... Linux: net/core/rtnetlink.c, rtnetlink_rcv_msg.
    """
    kind = request.kind
    if kind > _LAST_TYPE:
        raise EOPNOTSUPP(f"no message {kind}")
    if len(request.body) < _FAMILY_BYTES:
        return []
    if kind & 3 != _GET and not request.credentials.ns_capable(request.network.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    if kind & 3 == _DELETE and request.has(NetlinkFlag.NLM_F_BULK) and not _deletes_many(request):
        raise EOPNOTSUPP("Bulk delete is not supported", TOLD)
    request.is_listing = request.asks_for_list and kind in _LISTED
    if kind == _GETLINK:
        return list_links(request)
    if kind == _GETADDR and request.asks_for_list:
        return list_addresses(request)
    if kind == _GETADDR and request.body[0] == AF_INET6:
        return [find_address(request)]
    if kind == _GETROUTE:
        return list_routes(request) if request.asks_for_list else route_to(request)
    if kind == _GETNEIGH:
        return list_neighbours(request) if request.asks_for_list else one_neighbour(request)
    if kind == _GETRULE and request.asks_for_list:
        return list_rules(request)
    if kind == _GETNETCONF:
        return list_configurations(request) if request.asks_for_list else find_configuration(request)
    if kind in ADDRESS_LABELS:
        return answer_of_label(request)
    if kind in DISCIPLINES:
        return answer_of_discipline(request)
    if kind in CLASSES:
        return answer_of_class(request)
    if kind in FILTERS:
        return answer_of_filter(request)
    if kind in NEXT_HOPS:
        return answer_of_next_hop(request)
    if kind in _NEVER_THERE and request.asks_for_list:
        return []
    if kind == _GETMDB and request.asks_for_list and request.body[0] == _AF_BRIDGE:
        # Nothing is snooped.
        request.is_listing = True
        return []
    if kind == _GETNSID:
        return number_of_network(request)
    if kind == _NEWLINK:
        new_link(request)
    elif kind in (_SETLINK, _DELLINK) and request.body[0] == _AF_BRIDGE:
        change_link_of_bridge(request, is_new=kind == _SETLINK)
    elif kind == _SETLINK:
        change_link(request)
    elif kind == _DELLINK:
        delete_link(request)
    elif kind in (_NEWADDR, _DELADDR):
        change_address(request, is_new=kind == _NEWADDR)
    elif kind in (_NEWROUTE, _DELROUTE):
        change_route(request, is_new=kind == _NEWROUTE)
    elif kind in (_NEWRULE, _DELRULE):
        change_rule(request, is_new=kind == _NEWRULE)
    elif kind in (_NEWNEIGH, _DELNEIGH):
        change_neighbour(request, is_new=kind == _NEWNEIGH)
    elif kind in (_NEWLINKPROP, _DELLINKPROP):
        change_properties(request, is_new=kind == _NEWLINKPROP)
    elif kind == _NEWNSID:
        set_number(request)
    else:
        raise EOPNOTSUPP(f"no message {kind}")
    return []
