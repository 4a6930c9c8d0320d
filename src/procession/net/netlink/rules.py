"""RTM_NEWRULE and its kin: the rules of routing, listed, added and removed (ip-rule(8), rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAFNOSUPPORT, EEXIST, EINVAL, ENOENT, EOPNOTSUPP, TOLD, Errno
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.netlink import FibRuleHdr, NetlinkFlag, RouteMessageType, RuleAttribute
from procession.abi.word import pack_u8
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.routing_rule import JUMP, NO_LENGTH, SERVICE_BITS, TO_TABLE, Rule, Rules
from procession.net.netlink.attributes import Answer, Message, Request, attribute, number, number_in, text_in
from procession.net.netlink.notification import tell_of_rule
from procession.net.netlink.policy import U8, U32, Policy, at_least, at_most, checked_attributes, string

if TYPE_CHECKING:
    from procession.net.network import Network

_PRIORITY, _TABLE = int(RuleAttribute.FRA_PRIORITY), int(RuleAttribute.FRA_TABLE)
_SHORTEST, _PROTOCOL = int(RuleAttribute.FRA_SUPPRESS_PREFIXLEN), int(RuleAttribute.FRA_PROTOCOL)
_DST, _SRC = int(RuleAttribute.FRA_DST), int(RuleAttribute.FRA_SRC)
_IIFNAME, _OIFNAME = int(RuleAttribute.FRA_IIFNAME), int(RuleAttribute.FRA_OIFNAME)
_MARK, _MASK = int(RuleAttribute.FRA_FWMARK), int(RuleAttribute.FRA_FWMASK)
_GOTO = int(RuleAttribute.FRA_GOTO)
_UNBUILT = tuple(
    int(kind)
    for kind in (
        *(RuleAttribute.FRA_FLOW, RuleAttribute.FRA_TUN_ID, RuleAttribute.FRA_SUPPRESS_IFGROUP),
        *(RuleAttribute.FRA_L3MDEV, RuleAttribute.FRA_UID_RANGE, RuleAttribute.FRA_IP_PROTO),
        *(RuleAttribute.FRA_SPORT_RANGE, RuleAttribute.FRA_DPORT_RANGE, RuleAttribute.FRA_DSCP),
    )
)
"""What no rule here looks at."""
_LARGEST = 30
_NEWEST = int(RuleAttribute.FRA_DSCP)
_POLICY = Policy(
    {
        **dict.fromkeys((_PRIORITY, _TABLE, _SHORTEST, _MARK, _MASK, _GOTO), U32),
        _IIFNAME: string(15),
        _OIFNAME: string(15),
        _PROTOCOL: U8,
        int(RuleAttribute.FRA_FLOW): U32,
        int(RuleAttribute.FRA_TUN_ID): at_least(8),
        int(RuleAttribute.FRA_SUPPRESS_IFGROUP): U32,
        int(RuleAttribute.FRA_L3MDEV): U8,
        int(RuleAttribute.FRA_UID_RANGE): at_most(8),
        int(RuleAttribute.FRA_IP_PROTO): U8,
        int(RuleAttribute.FRA_SPORT_RANGE): at_most(4),
        int(RuleAttribute.FRA_DPORT_RANGE): at_most(4),
        _NEWEST: U8,
    },
    _LARGEST,
    _NEWEST,
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
        *(family, rule.target_length, rule.source_length, rule.tos),
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
        *([(_DST, rule.target)] if rule.target_length else []),
        *([(_SRC, rule.source)] if rule.source_length else []),
    ]
    body = header.pack() + b"".join(attribute(kind, data) for kind, data in told)
    return (_NEWRULE if is_there else _DELRULE), body


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
    rule = _described(header, found, rules, size)
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
    if rule.action == TO_TABLE and not rule.table:
        if is_ipv6:
            raise EINVAL("Invalid table", TOLD)
        # The first that isn't used.
        network.host.clock.spend_looking(len(network.routes.known))
        taken = {table for table, size in network.routes.known if size == ADDRESS_BYTES[AF_INET]}
        rule = rule._replace(table=next(table for table in range(1, len(taken) + 2) if table not in taken))
    if rule.table:
        network.know_table(rule.table, ADDRESS_BYTES[header.family])
    network.account_address(1)
    rules.add(rule)
    tell_of_rule(network, rule_message(network, header.family, rule), request.cause, is_ipv6=is_ipv6)


def _described(header: FibRuleHdr, found: dict[int, bytes], rules: Rules, size: int) -> Rule:
    """Raises EINVAL, EOPNOTSUPP. Linux: net/core/fib_rules.c, fib_nl2rule."""
    if header.src_len and (header.src_len > 8 * size or len(found.get(_SRC, b"")) != size):
        raise EINVAL("Invalid source address", TOLD)
    if header.dst_len and (header.dst_len > 8 * size or len(found.get(_DST, b"")) != size):
        raise EINVAL("Invalid dst address", TOLD)
    for kind in _UNBUILT:
        if kind in found:
            raise EOPNOTSUPP("rules don't look at that")
    priority, mark = number_in(found, _PRIORITY), number_in(found, _MARK) or 0
    if priority is None:
        priority = rules.free_priority
    mask, jump = number_in(found, _MASK), number_in(found, _GOTO)
    if jump is not None:
        if header.action != JUMP:
            raise EINVAL("Unexpected goto", TOLD)
        if jump <= priority:
            raise EINVAL("Backward goto not supported", TOLD)
    elif header.action == JUMP:
        raise EINVAL("Missing goto target for action goto", TOLD)
    shortest = number_in(found, _SHORTEST)
    return Rule(
        *(priority, header.action, number_in(found, _TABLE) or header.table),
        *(found[_PROTOCOL][0] if _PROTOCOL in found else 0, header.flags, header.tos),
        *(found[_SRC] if header.src_len else b"", header.src_len),
        *(found[_DST] if header.dst_len else b"", header.dst_len),
        *(text_in(found, _IIFNAME) or b"", text_in(found, _OIFNAME) or b""),
        *(mark, (_WORD if mark else 0) if mask is None else mask, jump or 0),
        NO_LENGTH if shortest is None or shortest > 8 * size else shortest,
    )


def _is_meant(rule: Rule, wanted: Rule, found: dict[int, bytes]) -> bool:
    """Whether `rule` is as `wanted` is described, which leaves open what it doesn't say.

    Linux: net/core/fib_rules.c, rule_find; net/ipv4/fib_rules.c, fib4_rule_compare.
    """
    return (
        (_PRIORITY not in found or rule.priority == wanted.priority)
        and wanted.action in (0, rule.action)
        and wanted.table in (0, rule.table)
        and wanted.protocol in (0, rule.protocol)
        and wanted.tos in (0, rule.tos)
        and wanted.arrived in (b"", rule.arrived)
        and wanted.out in (b"", rule.out)
        and wanted.mark in (0, rule.mark)
        and wanted.mask in (0, rule.mask)
        and wanted.shortest in (NO_LENGTH, rule.shortest)
        and (not wanted.source_length or wanted[6:8] == rule[6:8])
        and (not wanted.target_length or wanted[8:10] == rule[8:10])
    )
