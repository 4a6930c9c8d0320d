"""The rules of a network: tables with their chains, rules and sets (nft(8))."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING

from procession.abi.nftables import ElementFlag, SetFlag, TableFlag
from procession.net.netfilter.verdict import ACCEPT

if TYPE_CHECKING:
    from procession.net.netfilter.actions import Counter as PacketCounter
    from procession.net.netfilter.expression import Expression
    from procession.net.netfilter.verdict import Verdict
    from procession.net.network import Network

TABLE_BYTES, CHAIN_BYTES, SET_BYTES = 1_536, 1_024, 1_280
RULE_BYTES, EXPRESSION_BYTES, ELEMENT_BYTES = 512, 384, 384
"""What each takes of the machine's memory, beside its strings."""
NO_HOOK = -1
VERDICT_TYPE = 0xFFFFFF00
"""NFT_DATA_VERDICT: the type of a map's data."""
_DORMANT = int(TableFlag.NFT_TABLE_F_DORMANT)
_ANONYMOUS, _INTERVAL = int(SetFlag.NFT_SET_ANONYMOUS), int(SetFlag.NFT_SET_INTERVAL)
_INTERVAL_END = int(ElementFlag.NFT_SET_ELEM_INTERVAL_END)

TableKey = tuple[int, bytes]
"""A table's family and name."""


class Rule:
    """A rule: once made it isn't changed but by its counters, so that a draft shares it."""

    __slots__ = ("expressions", "handle", "userdata")

    def __init__(self, handle: int, expressions: tuple[Expression, ...], userdata: bytes) -> None:
        self.handle = handle
        self.expressions = expressions
        self.userdata = userdata

    @property
    def size(self) -> int:
        """What it takes, in bytes."""
        return RULE_BYTES + sum(EXPRESSION_BYTES + each.size for each in self.expressions)

    def verdicts(self) -> list[Verdict]:
        """Where it may lead, sets aside."""
        return [each.verdict for each in self.expressions if each.verdict is not None]

    def set_names(self) -> list[bytes]:
        """The sets that it looks into."""
        return [each.set_name for each in self.expressions if each.set_name]


class Chain:
    """A chain of rules; a base chain has a `hook`, at which it comes by its `priority`, and a `policy` for
    what reaches its end, which `counter` counts if there is one."""

    __slots__ = (
        "counter",
        "flags",
        "handle",
        "hook",
        "name",
        "policy",
        "priority",
        "rules",
        "type_name",
        "userdata",
    )

    def __init__(self, name: bytes, handle: int, flags: int, userdata: bytes) -> None:
        self.name = name
        self.handle = handle
        self.flags = flags
        self.userdata = userdata
        self.hook = NO_HOOK
        self.priority = 0
        self.policy = ACCEPT
        self.type_name = b""
        self.counter: PacketCounter | None = None
        self.rules: list[Rule] = []

    @property
    def is_base(self) -> bool:
        """Whether packets come to it by themselves."""
        return self.hook != NO_HOOK

    @property
    def size(self) -> int:
        """What it takes without its rules, in bytes."""
        return CHAIN_BYTES + len(self.userdata)

    def copy(self) -> Chain:
        """The same for a draft, which may put other rules into it."""
        chain = Chain(self.name, self.handle, self.flags, self.userdata)
        chain.hook, chain.priority, chain.policy = self.hook, self.priority, self.policy
        chain.type_name, chain.counter = self.type_name, self.counter
        chain.rules = self.rules.copy()
        return chain


class Element:
    """An element of a set: its key, and with a map its data. `flags` tells an interval's end."""

    __slots__ = ("data", "flags", "key", "userdata", "verdict")

    def __init__(self, key: bytes, flags: int, data: bytes, verdict: Verdict | None, userdata: bytes) -> None:
        self.key = key
        self.flags = flags
        self.data = data
        self.verdict = verdict
        self.userdata = userdata

    @property
    def is_end(self) -> bool:
        """Whether an interval ends before its key."""
        return bool(self.flags & _INTERVAL_END)

    @property
    def size(self) -> int:
        """What it takes, in bytes."""
        return ELEMENT_BYTES + len(self.userdata)


class FilterSet:
    """A set or map (Linux: include/net/netfilter/nf_tables.h, struct nft_set).

    `elements` are by key and by whether they end an interval; of intervals `boundaries` has the same, sorted,
    None when it has to be made anew. `description` is NFTA_SET_DESC as it was given.
    """

    __slots__ = (
        "boundaries",
        "data_length",
        "data_type",
        "description",
        "elements",
        "flags",
        "handle",
        "key_length",
        "key_type",
        "name",
        "policy",
        "userdata",
    )

    def __init__(
        self,
        name: bytes,
        handle: int,
        flags: int,
        key: tuple[int, int],
        data: tuple[int, int],
        policy: int,
        description: bytes,
        userdata: bytes,
    ) -> None:
        self.name = name
        self.handle = handle
        self.flags = flags
        self.key_type, self.key_length = key
        self.data_type, self.data_length = data
        self.policy = policy
        self.description = description
        self.userdata = userdata
        self.elements: dict[tuple[bytes, bool], Element] = {}
        self.boundaries: list[tuple[bytes, bool]] | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether it ends with the rule that looks into it."""
        return bool(self.flags & _ANONYMOUS)

    @property
    def gives_verdicts(self) -> bool:
        """Whether it's a map to verdicts."""
        return self.data_type == VERDICT_TYPE

    @property
    def has_intervals(self) -> bool:
        """Whether its elements are bounds."""
        return bool(self.flags & _INTERVAL)

    @property
    def size(self) -> int:
        """What it takes without its elements, in bytes."""
        return SET_BYTES + len(self.userdata) + len(self.description)

    def copy(self) -> FilterSet:
        """The same for a draft, which may put other elements into it."""
        found = FilterSet(
            self.name,
            self.handle,
            self.flags,
            (self.key_type, self.key_length),
            (self.data_type, self.data_length),
            self.policy,
            self.description,
            self.userdata,
        )
        found.elements = self.elements.copy()
        return found

    def find(self, key: bytes) -> Element | None:
        """The element that `key` is, or in whose interval it lies.

        Linux: net/netfilter/nft_set_hash.c, nft_rhash_lookup; net/netfilter/nft_set_rbtree.c,
        __nft_rbtree_lookup.
        """
        if not self.has_intervals:
            return self.elements.get((key, False))
        if self.boundaries is None:
            # A new interval may begin where another ends: then the beginning counts.
            self.boundaries = sorted((bound, not is_end) for bound, is_end in self.elements)
        at = bisect_right(self.boundaries, (key, True)) - 1
        if at < 0:
            return None
        bound, is_start = self.boundaries[at]
        return self.elements[bound, False] if is_start else None

    def verdicts(self) -> list[Verdict]:
        """Where a map leads."""
        return [each.verdict for each in self.elements.values() if each.verdict is not None]

    def targets(self) -> list[bytes]:
        """The names of the chains that a map leads to, each once."""
        return list(dict.fromkeys(verdict.chain for verdict in self.verdicts() if verdict.leads_on))


class Table:
    """A table: chains and sets by their names, which only its own rules see.

    `handle_count` is the handle given last to one of its chains, rules or sets. `is_tracking` says that a
    rule asks for connections, `longest_way` how many expressions are run at most for a packet that comes to
    all of its base chains; both are known once it's published.
    """

    __slots__ = (
        "chains",
        "family",
        "flags",
        "handle",
        "handle_count",
        "is_tracking",
        "longest_way",
        "name",
        "sets",
        "userdata",
    )

    def __init__(self, family: int, name: bytes, handle: int, flags: int, userdata: bytes) -> None:
        self.family = family
        self.name = name
        self.handle = handle
        self.flags = flags
        self.userdata = userdata
        self.handle_count = 0
        self.is_tracking = False
        self.longest_way = 0
        self.chains: dict[bytes, Chain] = {}
        self.sets: dict[bytes, FilterSet] = {}

    @property
    def key(self) -> TableKey:
        """What tells it from others."""
        return self.family, self.name

    @property
    def is_dormant(self) -> bool:
        """Whether its chains see no packets."""
        return bool(self.flags & _DORMANT)

    @property
    def size(self) -> int:
        """What it takes without what is in it, in bytes."""
        return TABLE_BYTES + len(self.userdata)

    @property
    def whole_size(self) -> int:
        """What it takes with all of it."""
        size = self.size
        for chain in self.chains.values():
            size += chain.size + sum(rule.size for rule in chain.rules)
        for each in self.sets.values():
            size += each.size + sum(element.size for element in each.elements.values())
        return size

    @property
    def step_count(self) -> int:
        """How much there is to look through: rules with their expressions, and the elements of sets."""
        return sum(1 + len(rule.expressions) for chain in self.chains.values() for rule in chain.rules) + sum(
            len(each.elements) for each in self.sets.values()
        )

    def next_handle(self) -> int:
        """A handle for something new in it."""
        self.handle_count += 1
        return self.handle_count

    def copy(self) -> Table:
        """The same for a draft, which may put other chains and sets into it."""
        table = Table(self.family, self.name, self.handle, self.flags, self.userdata)
        table.handle_count = self.handle_count
        table.chains = self.chains.copy()
        table.sets = self.sets.copy()
        return table

    def references(self) -> Counter[bytes]:
        """How many verdicts of rules and maps lead to each chain, by its name."""
        verdicts = [
            verdict for chain in self.chains.values() for rule in chain.rules for verdict in rule.verdicts()
        ]
        verdicts += [verdict for each in self.sets.values() for verdict in each.verdicts()]
        return Counter(verdict.chain for verdict in verdicts if verdict.leads_on)

    def has_reader(self, name: bytes) -> bool:
        """Whether a rule looks into the set `name`."""
        return any(name in rule.set_names() for chain in self.chains.values() for rule in chain.rules)


class Ruleset:
    """The tables of a network. `generation` counts the batches that changed them, `handle_count` is the
    handle that was given to a table last; `size` is what all of it takes of the machine's memory."""

    __slots__ = ("generation", "handle_count", "size", "tables")

    def __init__(self) -> None:
        self.tables: dict[TableKey, Table] = {}
        self.generation = 1
        self.handle_count = 0
        self.size = 0


def ruleset_of(network: Network) -> Ruleset:
    """The rules of `network`, made at first use."""
    if network.ruleset is None:
        network.ruleset = Ruleset()
    return network.ruleset
