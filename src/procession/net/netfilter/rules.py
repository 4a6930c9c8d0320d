"""NFT_MSG_NEWRULE and its kin: rules made, deleted and listed (nft(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EEXIST, EINVAL, ENOENT, EOPNOTSUPP
from procession.abi.netlink import NetlinkFlag
from procession.abi.nftables import (
    ExpressionAttribute,
    FilterMessage,
    ListAttribute,
    RuleAttribute,
    RuleCompatAttribute,
)
from procession.net.netfilter.actions import Counter, Immediate, Reject
from procession.net.netfilter.comparisons import Bitwise, Compare, Lookup, Range
from procession.net.netfilter.expression import Expression, Reading, be32_in, be64, be64_in
from procession.net.netfilter.fib import Fib
from procession.net.netfilter.limit import Limit
from procession.net.netfilter.loads import ConnectionLoad, Payload, read_meta
from procession.net.netfilter.matches import read_match
from procession.net.netfilter.nat import Masquerade, Nat, Redirect
from procession.net.netfilter.note import NEW_RULE
from procession.net.netfilter.ruleset import Rule, ruleset_of
from procession.net.netfilter.tables import UNSPECIFIED, header, userdata_in
from procession.net.netfilter.targets import read_target
from procession.net.netlink.attributes import attribute, list_in, nested_in, text_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.net.netfilter.draft import Draft
    from procession.net.netfilter.request import FilterRequest
    from procession.net.netfilter.ruleset import Chain, Table
    from procession.net.netlink.attributes import Answer, Message
    from procession.net.network import Network

MOST_EXPRESSIONS = 128
"""NFT_RULE_MAXEXPRS."""
EXPRESSIONS: dict[bytes, Callable[[Reading, dict[int, bytes]], Expression]] = {
    **{each.name: each for each in (Immediate, Counter, Reject, Bitwise, Compare, Lookup, Range)},
    **{each.name: each for each in (Payload, ConnectionLoad, Limit, Fib, Nat, Masquerade, Redirect)},
    b"meta": read_meta,
    b"match": read_match,
    b"target": read_target,
}
"""By their names."""
_NEW = int(FilterMessage.NFT_MSG_NEWRULE)
_TABLE, _CHAIN = int(RuleAttribute.NFTA_RULE_TABLE), int(RuleAttribute.NFTA_RULE_CHAIN)
_HANDLE, _EXPRESSIONS = int(RuleAttribute.NFTA_RULE_HANDLE), int(RuleAttribute.NFTA_RULE_EXPRESSIONS)
_POSITION, _USERDATA = int(RuleAttribute.NFTA_RULE_POSITION), int(RuleAttribute.NFTA_RULE_USERDATA)
_ID, _POSITION_ID = int(RuleAttribute.NFTA_RULE_ID), int(RuleAttribute.NFTA_RULE_POSITION_ID)
_COMPAT = int(RuleAttribute.NFTA_RULE_COMPAT)
_COMPAT_PROTOCOL = int(RuleCompatAttribute.NFTA_RULE_COMPAT_PROTO)
_CHAIN_ID = int(RuleAttribute.NFTA_RULE_CHAIN_ID)
_ELEMENT = int(ListAttribute.NFTA_LIST_ELEM)
_NAME, _DATA = int(ExpressionAttribute.NFTA_EXPR_NAME), int(ExpressionAttribute.NFTA_EXPR_DATA)


def rule_message(network: Network, table: Table, chain: Chain, rule: Rule, before: Rule | None) -> Message:
    """Linux: net/netfilter/nf_tables_api.c, nf_tables_fill_rule_info."""
    told = attribute(_TABLE, table.name + b"\0") + attribute(_CHAIN, chain.name + b"\0")
    told += attribute(_HANDLE, be64(rule.handle))
    if before is not None:
        told += attribute(_POSITION, be64(before.handle))
    told += attribute(
        _EXPRESSIONS,
        b"".join(
            attribute(_ELEMENT, attribute(_NAME, each.name + b"\0") + attribute(_DATA, each.attributes()))
            for each in rule.expressions
        ),
    )
    if rule.userdata:
        told += attribute(_USERDATA, rule.userdata)
    return _NEW, header(network, table.family) + told


def list_rules(request: FilterRequest) -> Answer:
    """NFT_MSG_GETRULE. Raises EINVAL, ENOENT. Linux: net/netfilter/nf_tables_api.c, nf_tables_getrule."""
    network, found = request.network, request.found
    tables = ruleset_of(network).tables
    table_name, chain_name = request.name(_TABLE), request.name(_CHAIN)
    if request.is_dump:
        return [
            rule_message(network, table, chain, rule, before)
            for table in tables.values()
            if request.family in (UNSPECIFIED, table.family) and table_name in (None, table.name)
            for chain in table.chains.values()
            if chain_name in (None, chain.name)
            for before, rule in zip([None, *chain.rules], chain.rules, strict=False)
        ]
    handle = be64_in(found, _HANDLE)
    if table_name is None or chain_name is None or handle is None:
        raise EINVAL("a table, a chain and a handle are needed")
    table = tables.get((request.family, table_name))
    chain = table.chains.get(chain_name) if table is not None else None
    if table is None or chain is None:
        raise ENOENT("no such chain")
    at = _place_of(chain, handle)
    return [rule_message(network, table, chain, chain.rules[at], chain.rules[at - 1] if at else None)]


def _place_of(chain: Chain, handle: int) -> int:
    """Where the rule with this handle is. Raises ENOENT."""
    for at, rule in enumerate(chain.rules):
        if rule.handle == handle:
            return at
    raise ENOENT("no such rule")


def _expressions_in(reading: Reading, request: FilterRequest) -> tuple[Expression, ...]:
    """Raises EINVAL, ENOENT, E2BIG, and what each expression does.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_expr_parse.
    """
    read: list[Expression] = []
    for index, (kind, nested) in enumerate(list_in(request.found.get(_EXPRESSIONS, b""))):
        request.blame(_EXPRESSIONS, index)
        if kind != _ELEMENT:
            raise EINVAL("no expression")
        if len(read) == MOST_EXPRESSIONS:
            raise E2BIG("too many expressions")
        found = nested_in(nested)
        name = text_in(found, _NAME)
        if name is None:
            raise EINVAL("an expression without a name")
        made = EXPRESSIONS.get(name)
        if made is None:
            raise ENOENT("no such expression")
        if _DATA not in found and made not in (Counter, Masquerade, Redirect):
            raise EINVAL("an expression without data")
        read.append(made(reading, nested_in(found.get(_DATA, b""))))
    return tuple(read)


def new_rule(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_NEWRULE. Raises EINVAL, ENOENT, EEXIST, EOPNOTSUPP, ENOMEM ...

    Linux: net/netfilter/nf_tables_api.c, nf_tables_newrule.
    """
    found = request.found
    table = draft.own(draft.table_named(request.family, request.name(_TABLE)))
    chain = draft.own_chain(table, draft.chain_named(table, request.name(_CHAIN), be32_in(found, _CHAIN_ID)))
    handle = be64_in(found, _HANDLE)
    is_replacing = request.has(NetlinkFlag.NLM_F_REPLACE)
    at = -1
    if handle is not None:
        request.blame(_HANDLE)
        at = _place_of(chain, handle)
        if request.has(NetlinkFlag.NLM_F_EXCL):
            raise EEXIST("there is such a rule")
        if not is_replacing:
            raise EOPNOTSUPP("a rule is replaced, or nothing")
    elif not request.has(NetlinkFlag.NLM_F_CREATE) or is_replacing:
        raise EINVAL("which rule?")
    else:
        at = _neighbour_in(draft, chain, request)
    compat = nested_in(found.get(_COMPAT, b""))
    reading = Reading(draft, table, chain, be32_in(compat, _COMPAT_PROTOCOL) or 0)
    expressions = _expressions_in(reading, request)
    rule = Rule(table.next_handle(), expressions, userdata_in(found, _USERDATA))
    draft.charge(rule.size)
    place = max(at, 0)
    if is_replacing:
        old = chain.rules[at]
        chain.rules.insert(place, rule)
        draft.remove_rule(table, chain, old)
    else:
        if request.has(NetlinkFlag.NLM_F_APPEND):
            place = at + 1 if at >= 0 else len(chain.rules)
        chain.rules.insert(place, rule)
    # Only of one in the middle it's told which it follows.
    is_between = 0 < place < len(chain.rules) - 1
    draft.note(NEW_RULE, table, chain, rule, before=chain.rules[place - 1] if is_between else None)
    number = be32_in(found, _ID)
    if number is not None:
        draft.rule_ids[number] = table.key, chain.name, rule.handle


def _neighbour_in(draft: Draft, chain: Chain, request: FilterRequest) -> int:
    """Before or after which rule the new one comes, -1 if none is said."""
    found = request.found
    request.blame(_POSITION)
    position = be64_in(found, _POSITION)
    if position is not None:
        return _place_of(chain, position)
    request.blame(_POSITION_ID)
    number = be32_in(found, _POSITION_ID)
    if number is None:
        return -1
    if number not in draft.rule_ids:
        raise ENOENT("no such rule in this batch")
    return _place_of(chain, draft.rule_ids[number][2])


def delete_rule(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_DELRULE: one rule, or all of a chain or table. Raises EINVAL, ENOENT.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_delrule.
    """
    found = request.found
    table = draft.own(draft.table_named(request.family, request.name(_TABLE)))
    name = request.name(_CHAIN)
    if name is None:
        for each in list(table.chains.values()):
            own = draft.own_chain(table, each)
            for rule in own.rules.copy():
                draft.remove_rule(table, own, rule)
        return
    chain = draft.own_chain(table, draft.chain_named(table, name))
    handle, number = be64_in(found, _HANDLE), be32_in(found, _ID)
    request.blame(_HANDLE if handle is not None else _ID)
    if handle is not None:
        draft.remove_rule(table, chain, chain.rules[_place_of(chain, handle)])
    elif number is not None:
        if number not in draft.rule_ids:
            raise ENOENT("no such rule in this batch")
        draft.remove_rule(table, chain, chain.rules[_place_of(chain, draft.rule_ids[number][2])])
    else:
        for rule in chain.rules.copy():
            draft.remove_rule(table, chain, rule)
