"""RTM_NEWNEXTHOP and its kin: next hops as objects of their own (ip-nexthop(8))."""

from __future__ import annotations

from functools import partial

from procession.abi.errno import EEXIST, EINVAL, ENETDOWN, ENOENT, TOLD
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.netlink import RTNH_F_ONLINK, NetlinkFlag, NextHopAttribute, Nhmsg, RouteMessageType
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.next_hop import NextHop, add_next_hop, remove_next_hop, replace_next_hop
from procession.net.internet.routing import MAIN_TABLE, SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE, UNICAST
from procession.net.link.interface import Interface
from procession.net.netlink.attributes import Answer, Request, number, number_in
from procession.net.netlink.hop_list import check_encapsulation_type_number
from procession.net.netlink.next_hop_message import DELNEXTHOP, MEMBER, NEWNEXTHOP, next_hop_message
from procession.net.netlink.notification import tell_of_next_hop
from procession.net.netlink.policy import (
    BYTES,
    FLAG,
    NESTED_LIST,
    U16,
    U32,
    Expected,
    Policy,
    bits,
    checked_attributes,
)
from procession.net.netlink.route_policy import OIF as _ROUTE_OIF
from procession.net.netlink.wanted_route import (
    check_next_hop_4,
    check_next_hop_6,
    way_6,
    way_to_gateway,
    way_without_gateway,
)

GETNEXTHOP = int(RouteMessageType.RTM_GETNEXTHOP)
NEXT_HOPS = (NEWNEXTHOP, DELNEXTHOP, GETNEXTHOP)
_ID, _GROUP = int(NextHopAttribute.NHA_ID), int(NextHopAttribute.NHA_GROUP)
_GROUP_TYPE, _BLACKHOLE = int(NextHopAttribute.NHA_GROUP_TYPE), int(NextHopAttribute.NHA_BLACKHOLE)
_OIF, _GATEWAY = int(NextHopAttribute.NHA_OIF), int(NextHopAttribute.NHA_GATEWAY)
_ENCAP_TYPE, _ENCAP = int(NextHopAttribute.NHA_ENCAP_TYPE), int(NextHopAttribute.NHA_ENCAP)
_GROUPS, _MASTER = int(NextHopAttribute.NHA_GROUPS), int(NextHopAttribute.NHA_MASTER)
_FDB, _RESILIENT = int(NextHopAttribute.NHA_FDB), int(NextHopAttribute.NHA_RES_GROUP)
_OPERATION = int(NextHopAttribute.NHA_OP_FLAGS)
_HARDWARE_STATISTICS = int(NextHopAttribute.NHA_HW_STATS_ENABLE)


def _policy(expected: dict[int, Expected], largest: int) -> Policy:
    """All of them are newer than what is looked at loosely."""
    return Policy(expected, largest, 1)


_POLICY_NEW = _policy(
    {
        _ID: U32,
        _GROUP: BYTES,
        _GROUP_TYPE: U16,
        _BLACKHOLE: FLAG,
        _OIF: U32,
        _GATEWAY: BYTES,
        _ENCAP_TYPE: U16,
        _ENCAP: NESTED_LIST,
        _FDB: FLAG,
        _RESILIENT: NESTED_LIST,
    },
    _HARDWARE_STATISTICS,
)
"""Linux: net/ipv4/nexthop.c, rtm_nh_policy_new."""
_NO_STATISTICS = bits(0)
"""Of the paths of groups no packets are counted."""
_POLICY_ONE = _policy({_ID: U32}, _ID)
_POLICY_GET = _policy({_ID: U32, _OPERATION: _NO_STATISTICS}, _OPERATION)
_POLICY_LIST = _policy(
    {_OIF: U32, _GROUPS: FLAG, _MASTER: U32, _FDB: FLAG, _OPERATION: _NO_STATISTICS}, _OPERATION
)
_LARGEST_INDEX = 0x7FFFFFFF


def answer_of_next_hop(request: Request) -> Answer:
    """RTM_NEWNEXTHOP, RTM_GETNEXTHOP and RTMDELNEXTHOP. Raises EINVAL, ENOENT, EEXIST ..."""
    if len(request.body) < Nhmsg.SIZE:
        raise EINVAL("Invalid header length", TOLD)
    if request.kind == NEWNEXTHOP:
        _new(request)
        return []
    if request.is_listing:
        return _list(request)
    return _find(request, is_to_go=request.kind == DELNEXTHOP)


def _tell(request: Request, next_hop: NextHop, is_there: bool) -> None:
    tell_of_next_hop(request.network, next_hop, request.cause, is_there=is_there)


def _find(request: Request, *, is_to_go: bool) -> Answer:
    """Linux: net/ipv4/nexthop.c, rtm_get_nexthop, rtm_del_nexthop, nh_valid_get_del_req."""
    policy = _POLICY_ONE if is_to_go else _POLICY_GET
    found = checked_attributes(request, Nhmsg.SIZE, policy, is_strict=True)
    if any(request.body[1 : Nhmsg.SIZE]):
        raise EINVAL("Invalid values in header", TOLD)
    wanted = number_in(found, _ID)
    if wanted is None:
        raise EINVAL("Nexthop id is missing", TOLD)
    if not wanted:
        raise EINVAL("Invalid nexthop id", TOLD)
    next_hop = request.network.next_hops.get(wanted)
    if next_hop is None:
        raise ENOENT("no such next hop")
    if is_to_go:
        remove_next_hop(request.network, next_hop, request.cause, partial(_tell, request))
        return []
    return [next_hop_message(next_hop)]


def _list(request: Request) -> Answer:
    """Linux: net/ipv4/nexthop.c, rtm_dump_nexthop, nh_valid_dump_req, nh_dump_filtered."""
    found = checked_attributes(request, Nhmsg.SIZE, _POLICY_LIST, is_strict=True)
    index, master = number_in(found, _OIF) or 0, number_in(found, _MASTER) or 0
    if index > _LARGEST_INDEX:
        raise EINVAL("Invalid device index", TOLD)
    if master > _LARGEST_INDEX:
        raise EINVAL("Invalid master device index", TOLD)
    if any(request.body[1 : Nhmsg.SIZE]):
        raise EINVAL("Invalid values in header for nexthop dump request", TOLD)
    family = request.body[0]
    answers: Answer = []
    for _, each in sorted(request.network.next_hops.items()):
        if _GROUPS in found and not each.is_group:
            continue
        if index or master or family:
            out = each.interface
            if each.is_group or (family and each.family != family):
                continue
            if index and (out is None or out.index != index):
                continue
            if master and (out is None or out.master is None or out.master.index != master):
                continue
        answers.append(next_hop_message(each))
    return answers


def _new(request: Request) -> None:
    """Linux: net/ipv4/nexthop.c, rtm_new_nexthop, nexthop_add, insert_nexthop."""
    network = request.network
    found = checked_attributes(request, Nhmsg.SIZE, _POLICY_NEW, is_strict=True)
    header = Nhmsg.unpack_from(request.body)
    _check(request, header, found)
    is_replacing = request.has(NetlinkFlag.NLM_F_REPLACE)
    wanted = number_in(found, _ID) or 0
    if is_replacing and not wanted:
        raise EINVAL("Replace requires nexthop id", TOLD)
    out: Interface | None = None
    if _GROUP in found:
        _check_members(request, found)
    else:
        out = _interface(request, found)
    if not wanted:
        wanted = network.last_next_hop = _free_number(request)
    new = (
        _group(request, header, found, wanted)
        if _GROUP in found
        else _single(request, header, found, wanted, out)
    )
    old = network.next_hops.get(wanted)
    if old is None:
        if is_replacing and not request.has(NetlinkFlag.NLM_F_CREATE):
            raise ENOENT("Replace specified without create and no entry exists", TOLD)
        add_next_hop(network, new, partial(_tell, request))
    elif not is_replacing:
        raise EEXIST("there is such a next hop")
    else:
        _check_replacement(old, new)
        replace_next_hop(network, old, new, request.cause, partial(_tell, request))


def _free_number(request: Request) -> int:
    """Linux: net/ipv4/nexthop.c, nh_find_unused_id."""
    network = request.network
    candidate = network.last_next_hop
    for _ in range(len(network.next_hops) + 2):
        candidate = candidate + 1 & 0xFFFFFFFF
        if candidate and candidate not in network.next_hops:
            return candidate
    raise EINVAL("No unused id", TOLD)


def _check(request: Request, header: Nhmsg, found: dict[int, bytes]) -> None:
    """Raise EINVAL for what can't be, whatever there is, and EOPNOTSUPP; as since Linux 6.16, before that is
    looked at. Linux: net/ipv4/nexthop.c, rtm_to_nh_config."""
    if header.resvd or header.nh_scope:
        raise EINVAL("Invalid values in ancillary header", TOLD)
    if header.nh_flags & ~RTNH_F_ONLINK:
        raise EINVAL("Invalid nexthop flags in ancillary header", TOLD)
    if header.nh_family not in (AF_INET, AF_INET6) and (header.nh_family or _GROUP not in found):
        raise EINVAL("Invalid address family", TOLD)
    if _FDB in found:
        if any(kind in found for kind in (_OIF, _BLACKHOLE, _ENCAP, _ENCAP_TYPE)):
            raise EINVAL("Fdb attribute can not be used with encap, oif or blackhole", TOLD)
        if header.nh_flags:
            raise EINVAL("Unsupported nexthop flags in ancillary header", TOLD)
    if _GROUP in found:
        _check_group(request, header, found)
        return
    if _BLACKHOLE in found:
        if any(kind in found for kind in (_GATEWAY, _OIF, _ENCAP, _ENCAP_TYPE, _FDB)):
            raise EINVAL("Blackhole attribute can not be used with gateway, oif, encap or fdb", TOLD)
        return
    if _FDB not in found and _OIF not in found:
        raise EINVAL("Device attribute required for non-blackhole and non-fdb nexthops", TOLD)
    if _GATEWAY in found:
        if len(found[_GATEWAY]) != ADDRESS_BYTES[header.nh_family]:
            raise EINVAL("Invalid gateway", TOLD)
    elif header.nh_flags & RTNH_F_ONLINK:
        raise EINVAL("ONLINK flag can not be set for nexthop without a gateway", TOLD)
    if _ENCAP in found:
        if _ENCAP_TYPE not in found:
            raise EINVAL("LWT encapsulation type is missing", TOLD)
        check_encapsulation_type_number(int.from_bytes(found[_ENCAP_TYPE], "little"))
    elif _ENCAP_TYPE in found:
        raise EINVAL("LWT encapsulation attribute is missing", TOLD)


def _interface(request: Request, found: dict[int, bytes]) -> Interface | None:
    """By which interface it's to be, None for none. Raises EINVAL, ENETDOWN."""
    if _BLACKHOLE in found:
        return request.network.loopback
    if _FDB in found:
        return None
    out = request.network.interfaces.get(number_in(found, _OIF) or 0)
    if out is None:
        raise EINVAL("Invalid device index", TOLD)
    if not out.is_up:
        raise ENETDOWN("Nexthop device is not up", TOLD)
    if not out.has_carrier:
        raise ENETDOWN("Carrier for nexthop device is down", TOLD)
    return out


def _check_group(request: Request, header: Nhmsg, found: dict[int, bytes]) -> None:
    """Raise EINVAL for what is no group; none that is resilient is made.

    Linux: net/ipv4/nexthop.c, nh_check_attr_group.
    """
    if header.nh_family:
        raise EINVAL("Invalid family for group", TOLD)
    if int.from_bytes(found.get(_GROUP_TYPE, b""), "little"):
        raise EINVAL("Invalid group type", TOLD)
    data = found[_GROUP]
    if not data or len(data) % MEMBER.size:
        raise EINVAL("Invalid length for nexthop group attribute", TOLD)
    listed = [MEMBER.unpack_from(data, at) for at in range(0, len(data), MEMBER.size)]
    request.network.host.clock.spend_looking(len(listed))
    ids = [each[0] for each in listed]
    last = {identifier: at for at, identifier in enumerate(ids)}
    for at, (identifier, weight, high, reserved) in enumerate(listed):
        if reserved:
            raise EINVAL("Reserved field in nexthop_grp must be 0", TOLD)
        if (weight, high) == (0xFF, 0xFF):
            raise EINVAL("Invalid value for weight", TOLD)
        if last[identifier] != at:
            raise EINVAL("Nexthop id can not be used twice in a group", TOLD)
    for kind in sorted(found):
        if kind > _GROUP_TYPE and kind != _FDB:
            raise EINVAL("No other attributes can be set in nexthop groups", TOLD)


def _check_members(request: Request, found: dict[int, bytes]) -> None:
    """Raise EINVAL for who can't be in a group. Linux: net/ipv4/nexthop.c, valid_group_nh,
    nh_check_attr_fdb_group."""
    data, families = found[_GROUP], set[int]()
    for at in range(0, len(data), MEMBER.size):
        member = request.network.next_hops.get(MEMBER.unpack_from(data, at)[0])
        if member is None:
            raise EINVAL("Invalid nexthop id", TOLD)
        if member.is_group:
            raise EINVAL("Hash-threshold group can not be a nexthop within a group", TOLD)
        if member.is_blackhole and len(data) > MEMBER.size:
            raise EINVAL("Blackhole nexthop can not be used in a group with more than 1 path", TOLD)
        families.add(member.family)
        if _FDB in found:
            if not member.is_fdb:
                raise EINVAL("FDB nexthop group can only have fdb nexthops", TOLD)
            if len(families) > 1:
                raise EINVAL("FDB nexthop group cannot have mixed family nexthops", TOLD)
        elif member.is_fdb:
            raise EINVAL("Non FDB nexthop group cannot have fdb nexthops", TOLD)


def _group(request: Request, header: Nhmsg, found: dict[int, bytes], wanted: int) -> NextHop:
    """Linux: net/ipv4/nexthop.c, nexthop_create_group."""
    data, next_hops = found[_GROUP], request.network.next_hops
    listed = [MEMBER.unpack_from(data, at) for at in range(0, len(data), MEMBER.size)]
    members = tuple((next_hops[each], (high << 8 | weight) + 1) for each, weight, high, _ in listed)
    return NextHop(
        *(request.network, wanted),
        protocol=header.nh_protocol,
        is_fdb=_FDB in found,
        members=members,
    )


def _single(
    request: Request, header: Nhmsg, found: dict[int, bytes], wanted: int, out: Interface | None
) -> NextHop:
    """Raises EINVAL, ENETUNREACH, EHOSTUNREACH ... Linux: net/ipv4/nexthop.c, nexthop_create, nh_create_ipv4,
    nh_create_ipv6."""
    network, is_onlink = request.network, bool(header.nh_flags & RTNH_F_ONLINK)
    is_blackhole, is_fdb = _BLACKHOLE in found, _FDB in found
    gateway = found.get(_GATEWAY)
    if is_fdb and header.nh_family == AF_INET6:
        # It has one always, even where nobody is. Linux: net/ipv6/route.c, fib6_nh_init.
        gateway = bytes(16) if gateway is None else gateway
    elif gateway is not None and not any(gateway):
        gateway = None
    scope = SCOPE_LINK
    if header.nh_family == AF_INET and not is_fdb:
        assert out is not None
        if gateway is None:
            way_without_gateway(network, out.index, is_odd=is_onlink)
            scope = SCOPE_HOST
        else:
            _, scope = way_to_gateway(network, gateway, out.index, SCOPE_UNIVERSE, is_onlink=is_onlink)
    elif not is_fdb and not is_blackhole:
        assert out is not None
        index = {_ROUTE_OIF: number(out.index)}
        way_6(network, index, bytes(16), UNICAST, gateway, MAIN_TABLE, is_onlink=is_onlink)
    return NextHop(
        *(network, wanted),
        family=header.nh_family,
        protocol=header.nh_protocol,
        flags=header.nh_flags,
        scope=scope,
        interface=out,
        gateway=gateway,
        is_blackhole=is_blackhole,
        is_fdb=is_fdb,
    )


def _check_replacement(old: NextHop, new: NextHop) -> None:
    """Raise EINVAL if routes and groups don't bear what is to come. Linux: net/ipv4/nexthop.c,
    replace_nexthop."""
    for each in (old, *old.groups):
        if each is not old and new.is_blackhole and len(each.members) > 1:
            raise EINVAL("Blackhole nexthop can not be a member of a group with more than one path", TOLD)
        for route in each.routes:
            if not route.is_ipv6:
                check_next_hop_4(new, route.scope)
        if any(route.is_ipv6 for route in each.routes):
            check_next_hop_6(new)
    if old.is_group and not new.is_group:
        raise EINVAL("Can not replace a nexthop group with a nexthop.", TOLD)
    if new.is_group and not old.is_group:
        raise EINVAL("Can not replace a nexthop with a nexthop group.", TOLD)
