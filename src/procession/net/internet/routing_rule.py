"""The rules by which a routing table is chosen (ip-rule(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.netlink import RTPROT_KERNEL, RouteTable, RuleAction

if TYPE_CHECKING:
    from collections.abc import Iterable

TO_TABLE, JUMP, NOTHING = (
    int(RuleAction.FR_ACT_TO_TBL),
    int(RuleAction.FR_ACT_GOTO),
    int(RuleAction.FR_ACT_NOP),
)
UNREACHABLE, PROHIBIT = int(RuleAction.FR_ACT_UNREACHABLE), int(RuleAction.FR_ACT_PROHIBIT)
INVERTED = 2
"""FIB_RULE_INVERT: it's for what it doesn't describe."""
NO_LENGTH = -1
"""Of a rule that takes routes of any length."""
SERVICE_BITS = 0x1C
"""IPTOS_TOS_MASK without what is about congestion and money."""
_FIRST_TABLES = (
    (0, RouteTable.RT_TABLE_LOCAL),
    (32_766, RouteTable.RT_TABLE_MAIN),
    (32_767, RouteTable.RT_TABLE_DEFAULT),
)
OWN = b"lo"
"""By what interface packets come that are made here."""


class Traffic(NamedTuple):
    """What is asked beside where a packet goes: from where, by which interfaces in and out, and its mark. No
    bytes are an address that isn't chosen yet, and no interface."""

    source: bytes = b""
    arrived: bytes = OWN
    out: bytes = b""
    mark: int = 0
    tos: int = 0


ANY_TRAFFIC = Traffic()


class Rule(NamedTuple):
    """One rule (Linux: include/net/fib_rules.h, struct fib_rule).

    It's for packets from `source` to `target`, of which so many bits count, that come by the interface called
    `arrived` and go by `out`, with a `mark` as far as `mask` says. `action` is FR_ACT_*, `jump` the priority
    of the rule that FR_ACT_GOTO goes on with. Routes of no longer prefix than `shortest` don't count.
    """

    priority: int
    action: int = TO_TABLE
    table: int = 0
    protocol: int = 0
    flags: int = 0
    tos: int = 0
    source: bytes = b""
    source_length: int = 0
    target: bytes = b""
    target_length: int = 0
    arrived: bytes = b""
    out: bytes = b""
    mark: int = 0
    mask: int = 0
    jump: int = 0
    shortest: int = NO_LENGTH

    def is_for(self, target: bytes, traffic: Traffic) -> bool:
        """Linux: net/core/fib_rules.c, fib_rule_match."""
        is_described = (
            (not self.arrived or self.arrived == traffic.arrived)
            and (not self.out or self.out == traffic.out)
            and not (self.mark ^ traffic.mark) & self.mask
            and (not self.tos or self.tos == traffic.tos & SERVICE_BITS)
            and _begins(traffic.source or bytes(len(target)), self.source, self.source_length)
            and _begins(target, self.target, self.target_length)
        )
        return is_described != bool(self.flags & INVERTED)


def _begins(address: bytes, net: bytes, length: int) -> bool:
    if not length:
        return True
    difference = int.from_bytes(address, "big") ^ int.from_bytes(net, "big")
    return not difference >> 8 * len(net) - length


FIRST_RULES = tuple(Rule(priority, TO_TABLE, int(table), RTPROT_KERNEL) for priority, table in _FIRST_TABLES)
"""Those that there are at first; IPv6 has no table of defaults."""


class Rules:
    """Those of one protocol, in the order in which they are asked. `looks_at_marks` says whether any does,
    `looks_at_sources` whether any does at these, `places` where the first of each priority is."""

    __slots__ = ("looks_at_marks", "looks_at_sources", "places", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = list(rules)
        self.looks_at_marks = self.looks_at_sources = False
        self.places: dict[int, int] = {}
        self._changed()

    @property
    def free_priority(self) -> int:
        """What one has that doesn't say it: before the second. Linux: net/core/fib_rules.c,
        fib_default_rule_pref."""
        return max(self.rules[1].priority - 1, 0) if len(self.rules) > 1 else 0

    def add(self, rule: Rule) -> None:
        """Behind others of its priority."""
        place = next(
            (at for at, other in enumerate(self.rules) if other.priority > rule.priority), len(self.rules)
        )
        self.rules.insert(place, rule)
        self._changed()

    def remove(self, rule: Rule) -> None:
        """The first that is like it."""
        self.rules.remove(rule)
        self._changed()

    def _changed(self) -> None:
        self.looks_at_marks = any(rule.mask for rule in self.rules)
        self.looks_at_sources = any(rule.source_length for rule in self.rules)
        self.places.clear()
        for at, rule in enumerate(self.rules):
            self.places.setdefault(rule.priority, at)
