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
NO_LENGTH = NO_GROUP = -1
"""Of a rule that takes routes of any length, and by all interfaces."""
SERVICE_BITS, DSCP_BITS = 0x1C, 0xFC
"""IPTOS_TOS_MASK without what is about congestion and money, and INET_DSCP_MASK."""
_FIRST_TABLES = (
    (0, RouteTable.RT_TABLE_LOCAL),
    (32_766, RouteTable.RT_TABLE_MAIN),
    (32_767, RouteTable.RT_TABLE_DEFAULT),
)
OWN = b"lo"
"""By what interface packets come that are made here."""


MARK, SERVICE, USER, PROTOCOL = 1, 2, 4, 8
"""What rules and routes may look at beside addresses and interfaces, as bits: the mark, the type of service,
who sends, and what is carried with its ports."""


class Traffic(NamedTuple):
    """What is asked beside where a packet goes: from where, by which interfaces in and out, its mark and type
    of service (the traffic class of IPv6), the user who sends, what protocol it carries and the ports there.
    No bytes are an address that isn't chosen yet, and no interface."""

    source: bytes = b""
    arrived: bytes = OWN
    out: bytes = b""
    mark: int = 0
    tos: int = 0
    uid: int = 0
    protocol: int = 0
    source_port: int = 0
    target_port: int = 0

    def narrowed(self, aspects: int) -> Traffic:
        """As those see it who look at no more than `aspects`."""
        found = self
        if not aspects & MARK:
            found = found._replace(mark=0)
        if not aspects & USER:
            found = found._replace(uid=0)
        if not aspects & PROTOCOL:
            found = found._replace(protocol=0, source_port=0, target_port=0)
        return found._replace(tos=found.tos & DSCP_BITS if aspects & SERVICE else 0)


ANY_TRAFFIC = Traffic()


class Rule(NamedTuple):
    """One rule (Linux: include/net/fib_rules.h, struct fib_rule).

    It's for packets from `source` to `target`, of which so many bits count, that come by the interface called
    `arrived` and go by `out`, with a `mark` as far as `mask` says, sent by one of `uids`, the first and last
    of a range, and carrying `carried` from and to ports in such ranges. Of the type of service IPv4 looks at
    SERVICE_BITS alone unless `is_whole_dscp`. Nothing comes by a tunnel, whose number may be wanted. `action`
    is FR_ACT_*, `jump` the priority of the rule that FR_ACT_GOTO goes on with. Routes of no longer prefix
    than `shortest`, or by interfaces of `unwanted_group`, don't count.
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
    unwanted_group: int = NO_GROUP
    tunnel: int = 0
    uids: tuple[int, int] | None = None
    carried: int = 0
    source_ports: tuple[int, int] | None = None
    target_ports: tuple[int, int] | None = None
    is_whole_dscp: bool = False

    @property
    def aspects(self) -> int:
        """What it looks at: MARK, SERVICE ..."""
        found = MARK if self.mask else 0
        if self.tos or self.is_whole_dscp:
            found |= SERVICE
        if self.uids is not None:
            found |= USER
        if self.carried or self.source_ports is not None or self.target_ports is not None:
            found |= PROTOCOL
        return found

    def is_for(self, target: bytes, traffic: Traffic) -> bool:
        """Linux: net/core/fib_rules.c, fib_rule_match."""
        is_described = (
            (not self.arrived or self.arrived == traffic.arrived)
            and (not self.out or self.out == traffic.out)
            and not (self.mark ^ traffic.mark) & self.mask
            and not self.tunnel
            and (self.uids is None or self.uids[0] <= traffic.uid <= self.uids[1])
            and _begins(traffic.source or bytes(len(target)), self.source, self.source_length)
            and _begins(target, self.target, self.target_length)
            and self._asks_for(traffic.tos, is_ipv6=len(target) == 16)
            and self.carried in (0, traffic.protocol)
            and _is_in(self.source_ports, traffic.source_port)
            and _is_in(self.target_ports, traffic.target_port)
        )
        return is_described != bool(self.flags & INVERTED)

    def _asks_for(self, tos: int, *, is_ipv6: bool) -> bool:
        """Linux: net/ipv4/fib_rules.c, fib4_rule_match; net/ipv6/fib6_rules.c, fib6_rule_match."""
        if is_ipv6:
            return self.tos in (0, tos & DSCP_BITS)
        return self.tos == tos & DSCP_BITS if self.is_whole_dscp else self.tos in (0, tos & SERVICE_BITS)


def _is_in(ports: tuple[int, int] | None, port: int) -> bool:
    return ports is None or ports[0] <= port <= ports[1]


def _begins(address: bytes, net: bytes, length: int) -> bool:
    if not length:
        return True
    difference = int.from_bytes(address, "big") ^ int.from_bytes(net, "big")
    return not difference >> 8 * len(net) - length


FIRST_RULES = tuple(Rule(priority, TO_TABLE, int(table), RTPROT_KERNEL) for priority, table in _FIRST_TABLES)
"""Those that there are at first; IPv6 has no table of defaults."""


class Rules:
    """Those of one protocol, in the order in which they are asked. `looks_at_sources` says whether any does,
    `places` where the first of each priority is. They `were_changed` once a program has made or removed one:
    before, IPv4's tables of the machine's own addresses and the main one are one."""

    __slots__ = ("looks_at_sources", "places", "rules", "were_changed")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = list(rules)
        self.looks_at_sources = False
        self.places: dict[int, int] = {}
        self._changed()
        self.were_changed = False

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
        self.were_changed = True
        self.looks_at_sources = any(rule.source_length for rule in self.rules)
        self.places.clear()
        for at, rule in enumerate(self.rules):
            self.places.setdefault(rule.priority, at)
