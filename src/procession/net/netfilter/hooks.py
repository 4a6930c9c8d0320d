"""The hooks of a network: which chains see a packet there, and what they say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.nftables import Hook, ProtocolFamily
from procession.net.internet.packet import ICMP, ICMP6
from procession.net.netfilter.passing import IPV4, IPV6, Passing
from procession.net.netfilter.registers import REGISTERS_BYTES
from procession.net.netfilter.tracking import NEW, RELATED
from procession.net.netfilter.translation import (
    is_translated,
    translate,
    translate_message,
    translate_to_itself,
)
from procession.net.netfilter.verdict import ACCEPT, DROP, GOTO, JUMP, RETURN

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.link.interface import Interface
    from procession.net.netfilter.ruleset import Chain, Rule, Table, TableKey
    from procession.net.network import Network

_INET = int(ProtocolFamily.NFPROTO_INET)
NAT = b"nat"
"""The type of chains whose rules translate addresses."""
PRIORITIES = {
    int(Hook.NF_INET_PRE_ROUTING): -100,
    int(Hook.NF_INET_LOCAL_OUT): -100,
    int(Hook.NF_INET_LOCAL_IN): 100,
    int(Hook.NF_INET_POST_ROUTING): 100,
}
"""Where among the other chains that is done (NF_IP_PRI_NAT_DST, NF_IP_PRI_NAT_SRC)."""
_LAST_HOOKS = (int(Hook.NF_INET_LOCAL_IN), int(Hook.NF_INET_POST_ROUTING))
_FAMILIES = {IPV4: (IPV4,), IPV6: (IPV6,), _INET: (IPV4, IPV6)}
"""Whose packets the tables of a family see."""


class PacketHooks:
    """The base chains of a network: `chains` has them by family and hook, those of less priority first.

    `translating` are those of type nat in the same way, with an entry for each of the four hooks of a family
    that has any: all of them are run at one place among the others, and for the first packet of a connection
    alone.
    """

    __slots__ = ("chains", "network", "translating")

    def __init__(self, network: Network, tables: dict[TableKey, Table]) -> None:
        self.network = network
        self.chains: dict[tuple[int, int], list[tuple[Table, Chain]]] = {}
        self.translating: dict[tuple[int, int], list[tuple[Table, Chain]]] = {}
        for table in tables.values():
            if table.is_dormant:
                continue
            for chain in table.chains.values():
                for family in _FAMILIES[table.family] if chain.is_base else ():
                    if chain.type_name == NAT:
                        for hook in PRIORITIES:
                            self.translating.setdefault((family, hook), [])
                        self.translating[family, chain.hook].append((table, chain))
                    else:
                        self.chains.setdefault((family, chain.hook), []).append((table, chain))
        for found in (*self.chains.values(), *self.translating.values()):
            found.sort(key=_priority)

    @property
    def is_empty(self) -> bool:
        """Whether no packet need come here."""
        return not self.chains and not self.translating

    def lets_pass(self, hook: int, packet: Packet, arrived: Interface | None, out: Interface | None) -> bool:
        """Whether `packet` goes on. Linux: net/netfilter/core.c, nf_hook_slow."""
        place = IPV4 if len(packet.target) == 4 else IPV6, hook
        chains, translating = self.chains.get(place), self.translating.get(place)
        tracker = self.network.tracker
        if chains is None and tracker is None:
            return True
        passing = Passing(self.network, packet, hook, arrived, out)
        passing.tracked = tracked = None if tracker is None else tracker.look_at(packet)
        if translating is None:
            is_let = all(is_accepted(passing, table, chain) for table, chain in chains or ())
        else:
            at = PRIORITIES[hook]
            earlier = [found for found in chains or () if found[1].priority < at]
            is_let = (
                all(is_accepted(passing, table, chain) for table, chain in earlier)
                and _is_translated(passing, translating)
                and all(is_accepted(passing, *found) for found in (chains or ())[len(earlier) :])
            )
        self.network.host.clock.spend_filtering(passing.step_count)
        if not is_let or tracker is None or tracked is None or hook not in _LAST_HOOKS:
            return is_let
        return tracker.confirm(tracked, packet)


def _is_translated(passing: Passing, chains: list[tuple[Table, Chain]]) -> bool:
    """Whether a packet goes on, with the addresses that it shall have from here on.

    Linux: net/netfilter/nf_nat_core.c, nf_nat_inet_fn.
    """
    tracked = passing.tracked
    if tracked is None:
        return True
    if tracked.place == RELATED and passing.packet.protocol in (ICMP, ICMP6):
        translate_message(passing, tracked)
        return True
    if tracked.place in (NEW, RELATED) and not is_translated(passing, tracked):
        for table, chain in chains:
            if not is_accepted(passing, table, chain):
                return False
            if is_translated(passing, tracked):
                break
        else:
            translate_to_itself(passing, tracked)
    translate(passing, tracked)
    return True


def _priority(found: tuple[Table, Chain]) -> int:
    return found[1].priority


def is_accepted(passing: Passing, table: Table, base: Chain) -> bool:
    """What a base chain says. How deep chains lead was checked when they were made.

    Linux: net/netfilter/nf_tables_core.c, nft_do_chain.
    """
    passing.table = table
    registers = bytearray(REGISTERS_BYTES)
    waiting: list[tuple[list[Rule], int]] = []
    rules, at = base.rules, 0
    while True:
        if at == len(rules):
            if not waiting:
                return _is_let_by_policy(passing, base)
            rules, at = waiting.pop()
            continue
        rule = rules[at]
        at += 1
        passing.step_count += 1 + len(rule.expressions)
        for expression in rule.expressions:
            verdict = expression.evaluate(registers, passing)
            if verdict is not None:
                break
        else:
            continue
        code = verdict.code
        if code == ACCEPT:
            return True
        if code == DROP:
            return False
        if code in (JUMP, GOTO):
            if code == JUMP:
                waiting.append((rules, at))
            rules, at = table.chains[verdict.chain].rules, 0
        elif code == RETURN:
            if not waiting:
                return _is_let_by_policy(passing, base)
            rules, at = waiting.pop()
        # NFT_CONTINUE and NFT_BREAK go on to the next rule.


def _is_let_by_policy(passing: Passing, base: Chain) -> bool:
    """No rule has said anything: the policy does, and counts."""
    if base.counter is not None:
        base.counter.add(passing)
    return base.policy == ACCEPT
