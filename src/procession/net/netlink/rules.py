"""RTM_NEWRULE and its kin: the rules of routing, listed, added and removed (ip-rule(8), rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAFNOSUPPORT, EEXIST, EINVAL, ENOENT, EOPNOTSUPP, EPERM, TOLD, Errno
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.netlink import FibRuleHdr, NetlinkFlag, RouteMessageType, RuleAttribute
from procession.abi.word import Words, pack_address, pack_u8
from procession.fs.user_namespace import NO_ID
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.routing_rule import (
    JUMP,
    NO_GROUP,
    NO_LENGTH,
    SERVICE_BITS,
    TO_TABLE,
    Rule,
    Rules,
)
from procession.net.netlink.attributes import Answer, Message, Request, attribute, number, number_in, text_in
from procession.net.netlink.notification import tell_of_rule
from procession.net.netlink.policy import (
    U8,
    U32,
    U64,
    Policy,
    at_least,
    checked_attributes,
    most_of_byte,
    string,
)

if TYPE_CHECKING:
    from procession.net.network import Network

_PRIORITY, _TABLE = int(RuleAttribute.FRA_PRIORITY), int(RuleAttribute.FRA_TABLE)
_SHORTEST, _PROTOCOL = int(RuleAttribute.FRA_SUPPRESS_PREFIXLEN), int(RuleAttribute.FRA_PROTOCOL)
_DST, _SRC = int(RuleAttribute.FRA_DST), int(RuleAttribute.FRA_SRC)
_IIFNAME, _OIFNAME = int(RuleAttribute.FRA_IIFNAME), int(RuleAttribute.FRA_OIFNAME)
_MARK, _MASK = int(RuleAttribute.FRA_FWMARK), int(RuleAttribute.FRA_FWMASK)
_GOTO = int(RuleAttribute.FRA_GOTO)
_GROUP, _TUNNEL = int(RuleAttribute.FRA_SUPPRESS_IFGROUP), int(RuleAttribute.FRA_TUN_ID)
_UIDS, _CARRIED = int(RuleAttribute.FRA_UID_RANGE), int(RuleAttribute.FRA_IP_PROTO)
_SOURCE_PORTS, _TARGET_PORTS = int(RuleAttribute.FRA_SPORT_RANGE), int(RuleAttribute.FRA_DPORT_RANGE)
_DSCP, _MASTER_DEVICE = int(RuleAttribute.FRA_DSCP), int(RuleAttribute.FRA_L3MDEV)
_REALM = int(RuleAttribute.FRA_FLOW)
_UID_RANGE, _PORT_RANGE = Words("<II"), Words("<HH")
_LARGEST_DSCP, _DSCP_SHIFT, _LAST_PORT = 63, 2, 0xFFFF
_NO_USER = (0xFFFFFFFF, NO_ID)
_LARGEST = 30
_POLICY = Policy(
    {
        **dict.fromkeys((_PRIORITY, _TABLE, _SHORTEST, _MARK, _MASK, _GOTO), U32),
        _IIFNAME: string(15),
        _OIFNAME: string(15),
        _PROTOCOL: U8,
        _REALM: U32,
        _TUNNEL: U64,
        _GROUP: U32,
        _MASTER_DEVICE: U8,
        _UIDS: at_least(_UID_RANGE.size),
        _CARRIED: U8,
        _SOURCE_PORTS: at_least(_PORT_RANGE.size),
        _TARGET_PORTS: at_least(_PORT_RANGE.size),
        _DSCP: most_of_byte(_LARGEST_DSCP),
    },
    _LARGEST,
    _DSCP,
)
"""Linux: net/core/fib_rules.c, fib_rule_policy."""
_NEWRULE, _DELRULE = int(RouteMessageType.RTM_NEWRULE), int(RouteMessageType.RTM_DELRULE)
_UNRESOLVED, _IIF_DETACHED, _OIF_DETACHED = 4, 8, 16
"""FIB_RULE_*: nobody has the priority to go on with, nobody is called like the interface."""
_LARGEST_TABLE, _ELSEWHERE = 255, 252
"""What of a table's number fits into the header, and what is there if it doesn't (RT_TABLE_COMPAT)."""
_WORD = 0xFFFFFFFF
_ECN_BITS = 3


def rule_message(network: Network, family: int, rule: Rule, *, is_there: bool = True) -> Message:
    """Linux: net/core/fib_rules.c, fib_nl_fill_rule."""
    rules = network.routes.rules[ADDRESS_BYTES[family]]
    flags = rule.flags
    if rule.action == JUMP and rule.jump not in rules.places:
        flags |= _UNRESOLVED
    if rule.arrived and network.interface_named(rule.arrived) is None:
        flags |= _IIF_DETACHED
    if rule.out and network.interface_named(rule.out) is None:
        flags |= _OIF_DETACHED
    header = FibRuleHdr(
        *(family, rule.target_length, rule.source_length, 0 if rule.is_whole_dscp else rule.tos),
        *(rule.table if rule.table <= _LARGEST_TABLE else _ELSEWHERE, 0, 0, rule.action, flags),
    )
    told = [
        (_TABLE, number(rule.table)),
        (_SHORTEST, number(rule.shortest & _WORD)),
        (_PROTOCOL, pack_u8(rule.protocol)),
        *([(_IIFNAME, rule.arrived + b"\0")] if rule.arrived else []),
        *([(_OIFNAME, rule.out + b"\0")] if rule.out else []),
        *([(_PRIORITY, number(rule.priority))] if rule.priority else []),
        *([(_MARK, number(rule.mark))] if rule.mark else []),
        *([(_MASK, number(rule.mask))] if rule.mask or rule.mark else []),
        *([(_GOTO, number(rule.jump))] if rule.jump else []),
        *([(_TUNNEL, pack_address(rule.tunnel, 8))] if rule.tunnel else []),
        *([(_UIDS, _UID_RANGE.pack(*_told_uids(network, rule.uids)))] if rule.uids else []),
        *([(_SOURCE_PORTS, _PORT_RANGE.pack(*rule.source_ports))] if rule.source_ports else []),
        *([(_TARGET_PORTS, _PORT_RANGE.pack(*rule.target_ports))] if rule.target_ports else []),
        *([(_CARRIED, pack_u8(rule.carried))] if rule.carried else []),
        *([(_GROUP, number(rule.unwanted_group))] if rule.unwanted_group != NO_GROUP else []),
        *([(_DSCP, pack_u8(rule.tos >> _DSCP_SHIFT))] if rule.is_whole_dscp else []),
        *([(_DST, rule.target)] if rule.target_length else []),
        *([(_SRC, rule.source)] if rule.source_length else []),
    ]
    body = header.pack() + b"".join(attribute(kind, data) for kind, data in told)
    return (_NEWRULE if is_there else _DELRULE), body


def _told_uids(network: Network, uids: tuple[int, int]) -> tuple[int, int]:
    owner = network.owner
    return owner.from_kuid_munged(uids[0]), owner.from_kuid_munged(uids[1])


def list_rules(request: Request) -> Answer:
    """RTM_GETRULE of all. Raises EINVAL. Linux: net/core/fib_rules.c, fib_nl_dumprule,
    fib_valid_dumprule_req."""
    family = request.body[0]
    if request.is_strict:
        if len(request.body) < FibRuleHdr.SIZE:
            raise EINVAL("Invalid header for fib rule dump request", TOLD)
        if any(request.body[1 : FibRuleHdr.SIZE]):
            raise EINVAL("Invalid values in header for fib rule dump request", TOLD)
        if len(request.body) > FibRuleHdr.SIZE:
            raise EINVAL("Invalid data after header in fib rule dump request", TOLD)
    if family not in (0, AF_INET, AF_INET6):
        raise EAFNOSUPPORT("no such protocol")
    network = request.network
    return [
        rule_message(network, protocol, rule)
        for protocol in (AF_INET, AF_INET6)
        if family in (0, protocol)
        for rule in network.routes.rules[ADDRESS_BYTES[protocol]].rules
    ]


def change_rule(request: Request, *, is_new: bool) -> None:
    """RTM_NEWRULE and RTM_DELRULE. Raises EINVAL, EAFNOSUPPORT, EOPNOTSUPP, EEXIST, ENOENT, ENOBUFS.

    Linux: net/core/fib_rules.c, fib_nl_newrule, fib_nl_delrule.
    """
    if len(request.body) < FibRuleHdr.SIZE:
        raise EINVAL("Invalid msg length", TOLD)
    header = FibRuleHdr.unpack_from(request.body)
    size = ADDRESS_BYTES.get(header.family, 0)
    if not size:
        raise EAFNOSUPPORT("Rule family not supported", TOLD)
    try:
        found = checked_attributes(request, FibRuleHdr.SIZE, _POLICY)
    except Errno as error:
        raise type(error)("Error parsing msg", TOLD) from None
    network = request.network
    rules = network.routes.rules[size]
    network.host.clock.spend_looking(len(rules.rules))
    rule = _described(request, header, found, rules, size)
    if is_new:
        _add(request, header, rules, rule)
    else:
        gone = next((other for other in rules.rules if _is_meant(other, rule, found)), None)
        if gone is None:
            raise ENOENT("no such rule")
        message = rule_message(network, header.family, gone, is_there=False)
        rules.remove(gone)
        network.account_address(-1)
        tell_of_rule(network, message, request.cause, is_ipv6=size == ADDRESS_BYTES[AF_INET6])
    network.topology_changed()


def _add(request: Request, header: FibRuleHdr, rules: Rules, rule: Rule) -> None:
    """Linux: net/ipv4/fib_rules.c, fib4_rule_configure; net/ipv6/fib6_rules.c, fib6_rule_configure."""
    network, is_ipv6 = request.network, header.family == AF_INET6
    if request.has(NetlinkFlag.NLM_F_EXCL) and rule in (
        other._replace(flags=rule.flags) for other in rules.rules
    ):
        raise EEXIST
    if header.tos & _ECN_BITS:
        raise EINVAL("Invalid dsfield (tos): ECN bits must be 0", TOLD)
    if header.tos & ~SERVICE_BITS and not is_ipv6:
        raise EINVAL("Invalid tos", TOLD)
    if header.tos and rule.is_whole_dscp:
        raise EINVAL("Cannot specify both TOS and DSCP", TOLD)
    if rule.action == TO_TABLE and not rule.table:
        if is_ipv6:
            raise EINVAL("Invalid table", TOLD)
        # The first that isn't used.
        network.host.clock.spend_looking(len(network.routes.known))
        taken = {table for table, size in network.routes.known if size == ADDRESS_BYTES[AF_INET]}
        rule = rule._replace(table=next(table for table in range(1, len(taken) + 2) if table not in taken))
        network.know_table(rule.table, ADDRESS_BYTES[AF_INET])
    elif rule.action == TO_TABLE and is_ipv6:
        network.know_table(rule.table, ADDRESS_BYTES[AF_INET6])
    network.account_address(1)
    rules.add(rule)
    network.system.aspects |= rule.aspects
    tell_of_rule(network, rule_message(network, header.family, rule), request.cause, is_ipv6=is_ipv6)


def _described(
    request: Request, header: FibRuleHdr, found: dict[int, bytes], rules: Rules, size: int
) -> Rule:
    """Raises EINVAL, EPERM, EOPNOTSUPP. Linux: net/core/fib_rules.c, fib_nl2rule, fib_nl2rule_rtnl."""
    if header.src_len and (header.src_len > 8 * size or len(found.get(_SRC, b"")) != size):
        raise EINVAL("Invalid source address", TOLD)
    if header.dst_len and (header.dst_len > 8 * size or len(found.get(_DST, b"")) != size):
        raise EINVAL("Invalid dst address", TOLD)
    if _REALM in found and size == ADDRESS_BYTES[AF_INET]:
        raise EOPNOTSUPP("rules give no realms")
    priority, mark = number_in(found, _PRIORITY), number_in(found, _MARK) or 0
    if priority is None:
        priority = rules.free_priority
    mask, jump = number_in(found, _MASK), number_in(found, _GOTO)
    if _MASTER_DEVICE in found:
        raise EINVAL("l3mdev support is not enabled in kernel", TOLD)
    if jump is not None:
        if header.action != JUMP:
            raise EINVAL("Unexpected goto", TOLD)
    elif header.action == JUMP:
        raise EINVAL("Missing goto target for action goto", TOLD)
    shortest = number_in(found, _SHORTEST)
    has_dscp = _DSCP in found
    rule = Rule(
        *(priority, header.action, number_in(found, _TABLE) or header.table),
        *(found[_PROTOCOL][0] if _PROTOCOL in found else 0, header.flags),
        found[_DSCP][0] << _DSCP_SHIFT if has_dscp else header.tos,
        *(found[_SRC] if header.src_len else b"", header.src_len),
        *(found[_DST] if header.dst_len else b"", header.dst_len),
        *(text_in(found, _IIFNAME) or b"", text_in(found, _OIFNAME) or b""),
        *(mark, (_WORD if mark else 0) if mask is None else mask, jump or 0),
        NO_LENGTH if shortest is None or shortest > 8 * size else shortest,
        *(_group_in(found), int.from_bytes(found.get(_TUNNEL, b"")[:8], "big")),
        _uids_in(request, found),
        found[_CARRIED][0] if _CARRIED in found else 0,
        _ports_in(found, _SOURCE_PORTS, "Invalid sport range"),
        _ports_in(found, _TARGET_PORTS, "Invalid dport range"),
        has_dscp,
    )
    if jump is not None and jump <= priority:
        # Last of all, as the priority that nobody gives isn't known earlier.
        raise EINVAL("Backward goto not supported", TOLD)
    return rule


def _group_in(found: dict[int, bytes]) -> int:
    group = number_in(found, _GROUP)
    return NO_GROUP if group is None or group == _WORD else group


def _uids_in(request: Request, found: dict[int, bytes]) -> tuple[int, int] | None:
    """The first and last user a rule is for, None for all. Raises EINVAL, EPERM.

    Linux: net/core/fib_rules.c, nla_get_kuid_range.
    """
    if _UIDS not in found:
        return None
    owner = request.network.owner
    if request.credentials.user_namespace is not owner:
        raise EPERM("No permission to set uid", TOLD)
    first, last = (owner.make_kuid(uid) for uid in _UID_RANGE.unpack_from(found[_UIDS]))
    if first in _NO_USER or last in _NO_USER or first > last:
        raise EINVAL("Invalid uid range", TOLD)
    return first, last


def _ports_in(found: dict[int, bytes], kind: int, fault: str) -> tuple[int, int] | None:
    """Raises EINVAL. Linux: net/core/fib_rules.c, nla_get_port_range."""
    if kind not in found:
        return None
    first, last = _PORT_RANGE.unpack_from(found[kind])
    if not 0 < first <= last < _LAST_PORT:
        raise EINVAL(fault, TOLD)
    return first, last


def _is_meant(rule: Rule, wanted: Rule, found: dict[int, bytes]) -> bool:
    """Whether `rule` is as `wanted` is described, which leaves open what it doesn't say.

    Linux: net/core/fib_rules.c, rule_find; net/ipv4/fib_rules.c, fib4_rule_compare.
    """
    return (
        (_PRIORITY not in found or rule.priority == wanted.priority)
        and wanted.action in (0, rule.action)
        and wanted.table in (0, rule.table)
        and wanted.protocol in (0, rule.protocol)
        and (wanted.tos in (0, rule.tos) if not wanted.is_whole_dscp else wanted.tos == rule.tos)
        and (not (wanted.tos or wanted.is_whole_dscp) or wanted.is_whole_dscp == rule.is_whole_dscp)
        and wanted.unwanted_group in (NO_GROUP, rule.unwanted_group)
        and wanted.tunnel in (0, rule.tunnel)
        and wanted.uids in (None, rule.uids)
        and wanted.carried in (0, rule.carried)
        and wanted.source_ports in (None, rule.source_ports)
        and wanted.target_ports in (None, rule.target_ports)
        and wanted.arrived in (b"", rule.arrived)
        and wanted.out in (b"", rule.out)
        and wanted.mark in (0, rule.mark)
        and wanted.mask in (0, rule.mask)
        and wanted.shortest in (NO_LENGTH, rule.shortest)
        and (not wanted.source_length or wanted[6:8] == rule[6:8])
        and (not wanted.target_length or wanted[8:10] == rule[8:10])
    )
