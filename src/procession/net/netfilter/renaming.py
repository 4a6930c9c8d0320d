"""Chains that get another name, with all that leads to them (`nft rename chain`, `iptables -E`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.net.netfilter.actions import Immediate, leading_on
from procession.net.netfilter.expression import Reading
from procession.net.netfilter.ruleset import Element, Rule
from procession.net.netfilter.verdict import Verdict

if TYPE_CHECKING:
    from procession.net.netfilter.draft import Draft
    from procession.net.netfilter.expression import Expression
    from procession.net.netfilter.ruleset import Chain, Table


def rename_chain(draft: Draft, table: Table, old: bytes, name: bytes) -> None:
    """The chain `old` of the draft's own table is called `name`, in verdicts too, where Linux has a pointer.

    Linux: net/netfilter/nf_tables_api.c, nft_chain_commit_update.
    """
    draft.own_chain(table, table.chains[old]).name = name
    chains = list(table.chains.values())
    table.chains = {chain.name: chain for chain in chains}
    for key, (of_table, called) in list(draft.chain_ids.items()):
        if (of_table, called) == (table.key, old):
            draft.chain_ids[key] = of_table, name
    for chain in chains:
        if any(_leads_to(verdict, old) for rule in chain.rules for verdict in rule.verdicts()):
            own = draft.own_chain(table, chain)
            own.rules = [_led_on(draft, table, own, rule, old, name) for rule in own.rules]
    for found in list(table.sets.values()):
        if old in found.targets():
            changed = draft.own_set(table, found)
            changed.elements = {
                key: _element_led_on(element, old, name) for key, element in changed.elements.items()
            }


def _leads_to(verdict: Verdict | None, name: bytes) -> bool:
    return verdict is not None and verdict.leads_on and verdict.chain == name


def _led_on(draft: Draft, table: Table, chain: Chain, rule: Rule, old: bytes, name: bytes) -> Rule:
    expressions: list[Expression] = []
    for each in rule.expressions:
        verdict = each.verdict
        if verdict is not None and _leads_to(verdict, old):
            reading = Reading(draft, table, chain, 0)
            expressions.append(Immediate(reading, leading_on(Verdict(verdict.code, name))))
        else:
            expressions.append(each)
    return Rule(rule.handle, tuple(expressions), rule.userdata)


def _element_led_on(element: Element, old: bytes, name: bytes) -> Element:
    verdict = element.verdict
    if verdict is None or not _leads_to(verdict, old):
        return element
    changed = Verdict(verdict.code, name)
    return Element(element.key, element.flags, element.data, changed, element.userdata)
