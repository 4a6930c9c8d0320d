"""A draft: a network's tables as a batch of requests leaves them, published as a whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EMLINK, ENOENT, ENOMEM, EOPNOTSUPP
from procession.abi.nftables import DataAttribute, VerdictAttribute
from procession.hardware.kernel_memory import PACKET_FILTER
from procession.hardware.physical_memory import OutOfFrames
from procession.net.netfilter.expression import be32_in
from procession.net.netfilter.hooks import NAT, PacketHooks
from procession.net.netfilter.note import DELETE_CHAIN, DELETE_RULE, DELETE_SET, DELETE_TABLE, Note
from procession.net.netfilter.ruleset import ruleset_of
from procession.net.netfilter.tracking import Tracker
from procession.net.netfilter.verdict import ACCEPT, BREAK, CONTINUE, DROP, GOTO, JUMP, RETURN, Verdict
from procession.net.netlink.attributes import nested_in, text_in

if TYPE_CHECKING:
    from procession.net.netfilter.ruleset import Chain, Element, FilterSet, Rule, Table, TableKey
    from procession.net.network import Network

MOST_JUMPS = 16
"""NFT_JUMP_STACK_SIZE."""
MOST_STEPS = 1 << 18
"""How many expressions may be run for one packet in a network, if it takes the longest way at each base
chain. Linux bounds the jumps alone, and not in all versions; but a few chains that lead to each other many
times over would keep a packet for hours."""
_CODE, _CHAIN = int(VerdictAttribute.NFTA_VERDICT_CODE), int(VerdictAttribute.NFTA_VERDICT_CHAIN)
_CHAIN_ID = int(VerdictAttribute.NFTA_VERDICT_CHAIN_ID)
_VERDICT = int(DataAttribute.NFTA_DATA_VERDICT)


class Draft:
    """Changes to the tables of a network, until they are published.

    `tables` are those that will be there. Of those, and of their chains and sets, the draft may change what
    is in `owned`: the others are published ones. What is added is charged at once: `added` bytes so far, and
    `removed` is given back at the end.
    `notes` tell what is changed, by a request with `request_flags` and `request_number`.
    `chain_ids`, `set_ids` and `rule_ids` are the numbers by which the batch calls what it makes.
    """

    __slots__ = (
        "added",
        "base",
        "chain_ids",
        "handle_count",
        "is_changed",
        "network",
        "notes",
        "owned",
        "request_flags",
        "request_number",
        "removed",
        "rule_ids",
        "set_ids",
        "tables",
    )

    def __init__(self, network: Network) -> None:
        self.network = network
        self.base = ruleset_of(network)
        self.tables = self.base.tables.copy()
        self.owned: set[Table | Chain | FilterSet] = set()
        self.handle_count = self.base.handle_count
        self.added = self.removed = 0
        self.is_changed = False
        self.notes: list[Note] = []
        self.request_flags = self.request_number = 0
        self.chain_ids: dict[int, tuple[TableKey, bytes]] = {}
        self.set_ids: dict[int, tuple[TableKey, bytes]] = {}
        self.rule_ids: dict[int, tuple[TableKey, bytes, int]] = {}

    # Who listens is told

    def note(
        self,
        kind: int,
        table: Table,
        chain: Chain | None = None,
        rule: Rule | None = None,
        *,
        before: Rule | None = None,
        found: FilterSet | None = None,
        elements: tuple[Element, ...] = (),
    ) -> None:
        """Something is changed by the request that is done."""
        flags, number = self.request_flags, self.request_number
        self.notes.append(Note(kind, table, chain, rule, before, found, elements, flags, number))

    # Memory

    def charge(self, size: int) -> None:
        """Something of `size` bytes is added. Raises ENOMEM."""
        try:
            self.network.system.account.charge(PACKET_FILTER, size)
        except OutOfFrames:
            raise ENOMEM("no memory for rules") from None
        self.added += size
        self.is_changed = True

    def discharge(self, size: int) -> None:
        """Something of `size` bytes won't be there any more."""
        self.removed += size
        self.is_changed = True

    # What is there

    def table_named(self, family: int, name: bytes | None) -> Table:
        """A table to look at. Raises EINVAL, ENOENT. Linux: net/netfilter/nf_tables_api.c,
        nft_table_lookup."""
        if name is None:
            raise EINVAL("a table's name is needed")
        table = self.tables.get((family, name))
        if table is None:
            raise ENOENT("no such table")
        return table

    def own(self, table: Table) -> Table:
        """The same to change."""
        if table not in self.owned:
            self._spend(len(table.chains) + len(table.sets))
            self.tables[table.key] = table = table.copy()
            self.owned.add(table)
        return table

    def own_chain(self, table: Table, chain: Chain) -> Chain:
        """A chain of a table that is the draft's own, to change."""
        if chain not in self.owned:
            self._spend(len(chain.rules))
            table.chains[chain.name] = chain = chain.copy()
            self.owned.add(chain)
        return chain

    def own_set(self, table: Table, found: FilterSet) -> FilterSet:
        """A set of a table that is the draft's own, to change."""
        if found not in self.owned:
            self._spend(len(found.elements))
            table.sets[found.name] = found = found.copy()
            self.owned.add(found)
        return found

    def _look_through(self, table: Table) -> None:
        self._spend(table.step_count)

    def _spend(self, step_count: int) -> None:
        self.network.host.clock.spend_filtering(step_count)

    def references(self, table: Table, name: bytes) -> int:
        """How many verdicts of rules and maps lead to the chain `name`."""
        self._look_through(table)
        return table.references()[name]

    def has_reader(self, table: Table, name: bytes) -> bool:
        """Whether a rule looks into the set `name`."""
        self._look_through(table)
        return table.has_reader(name)

    def chain_named(self, table: Table, name: bytes | None, number: int | None = None) -> Chain:
        """A chain of `table`, or the one that the batch calls `number`. Raises EINVAL, ENOENT."""
        if name is None:
            if number is None:
                raise EINVAL("a chain's name is needed")
            key, name = self.chain_ids.get(number, ((0, b""), b""))
            if key != table.key:
                raise ENOENT("no such chain in this batch")
        chain = table.chains.get(name)
        if chain is None:
            raise ENOENT("no such chain")
        return chain

    def set_named(self, table: Table, name: bytes | None, number: int | None = None) -> FilterSet:
        """A set of `table`, or the one that the batch calls `number`.

        Raises EINVAL, ENOENT. Linux: net/netfilter/nf_tables_api.c, nft_set_lookup_global.
        """
        found = table.sets.get(name.split(b"\0", 1)[0]) if name is not None else None
        if found is None and number is not None:
            key, made = self.set_ids.get(number, ((0, b""), b""))
            found = table.sets.get(made) if key == table.key else None
        if found is None:
            raise ENOENT("no such set")
        return found

    def verdict_in(self, table: Table, data: dict[int, bytes]) -> Verdict:
        """The verdict in the attributes of data. Raises EINVAL, ENOENT, EOPNOTSUPP.

        Linux: net/netfilter/nf_tables_api.c, nft_verdict_init.
        """
        if _VERDICT not in data:
            raise EINVAL("a verdict is needed")
        found = nested_in(data[_VERDICT])
        told = be32_in(found, _CODE)
        if told is None:
            raise EINVAL("a verdict without a code")
        code = told - (1 << 32) if told >> 31 else told
        if code in (DROP, ACCEPT, CONTINUE, BREAK, RETURN):
            return Verdict(code)
        if code not in (JUMP, GOTO):
            raise EINVAL("no such verdict")
        chain = self.chain_named(table, text_in(found, _CHAIN), be32_in(found, _CHAIN_ID))
        if chain.is_base:
            raise EOPNOTSUPP("a base chain is nowhere to go to")
        return Verdict(code, chain.name)

    # Removing

    def remove_rule(self, table: Table, chain: Chain, rule: Rule) -> None:
        """`rule` of the draft's own chain won't be there, nor the sets without a name that it looks into."""
        chain.rules.remove(rule)
        self.note(DELETE_RULE, table, chain, rule)
        self.discharge(rule.size)
        for name in rule.set_names():
            if table.sets[name].is_anonymous:
                self.remove_set(table, table.sets[name])

    def remove_set(self, table: Table, found: FilterSet) -> None:
        """The set won't be there, nor its elements."""
        del table.sets[found.name]
        self.note(DELETE_SET, table, found=found)
        self.discharge(found.size + sum(element.size for element in found.elements.values()))

    def remove_table(self, table: Table) -> None:
        """The table won't be there, nor what is in it."""
        del self.tables[table.key]
        chains = list(table.chains.values())
        for chain in chains:
            for rule in chain.rules:
                self.note(DELETE_RULE, table, chain, rule)
        for found in table.sets.values():
            self.note(DELETE_SET, table, found=found)
        for chain in chains:
            self.note(DELETE_CHAIN, table, chain)
        self.note(DELETE_TABLE, table)
        self.discharge(table.whole_size)

    # The end

    def abandon(self) -> None:
        """Nothing of it will be there."""
        self.network.system.account.uncharge(PACKET_FILTER, self.added)

    def check(self) -> None:
        """Raise EMLINK if chains lead too deep, in a circle or too far, EOPNOTSUPP for what isn't at a hook.

        Linux: net/netfilter/nf_tables_api.c, nft_table_validate.
        """
        for table in self.tables.values():
            if table not in self.owned:
                continue
            self._look_through(table)
            for chain in table.chains.values():
                if chain.is_base:
                    _check_chain(table, chain, chain.hook)
            table.longest_way = _longest_way(table)
            table.is_tracking = _is_tracking(table)
        if sum(table.longest_way for table in self.tables.values()) > MOST_STEPS:
            raise EMLINK("a packet would pass too many rules")

    def publish(self) -> None:
        """From now on packets pass by the draft. Raises EMLINK, EOPNOTSUPP, and isn't there then.

        Linux: net/netfilter/nf_tables_api.c, nf_tables_commit.
        """
        if not self.is_changed:
            return
        self.check()
        network = self.network
        ruleset = self.base
        network.system.account.uncharge(PACKET_FILTER, self.removed)
        ruleset.size += self.added - self.removed
        ruleset.tables = self.tables
        ruleset.handle_count = self.handle_count
        ruleset.generation = ruleset.generation + 1 & 0xFFFFFFFF or 1
        hooks = PacketHooks(network, self.tables)
        network.hooks = None if hooks.is_empty else hooks
        self._track()
        network.topology_changed()

    def _track(self) -> None:
        """Connections are known as long as a rule asks for them. Linux: net/netfilter/nf_conntrack_proto.c,
        nf_ct_netns_get, nf_ct_netns_put."""
        network = self.network
        is_asked = any(table.is_tracking for table in self.tables.values())
        if is_asked and network.tracker is None:
            network.tracker = Tracker(network)
        elif not is_asked and network.tracker is not None:
            network.tracker.end()
            network.tracker = None


def _is_tracking(table: Table) -> bool:
    return any(
        expression.is_tracking
        for chain in table.chains.values()
        for rule in chain.rules
        for expression in rule.expressions
    )


def _longest_way(table: Table) -> int:
    """How many expressions are run for a packet that comes to all base chains and is sent wherever they lead;
    more than MOST_STEPS may be told as that and one. The chains have been checked: none leads to itself."""
    chains: dict[bytes, int] = {}
    sets: dict[bytes, int] = {}

    def chain_length(name: bytes) -> int:
        found = chains.get(name)
        if found is None:
            found = 0
            for rule in table.chains[name].rules:
                further = [chain_length(each.chain) for each in rule.verdicts() if each.leads_on]
                further += [set_length(each) for each in rule.set_names()]
                found = min(found + 1 + len(rule.expressions) + max(further, default=0), MOST_STEPS + 1)
            chains[name] = found
        return found

    def set_length(name: bytes) -> int:
        if name not in sets:
            sets[name] = max(map(chain_length, table.sets[name].targets()), default=0)
        return sets[name]

    return sum(chain_length(chain.name) for chain in table.chains.values() if chain.is_base)


def _check_chain(table: Table, base: Chain, hook: int) -> None:
    """Follow all that `base` leads to, each chain as deep as it may be. Linux: net/netfilter/nf_tables_api.c,
    nft_chain_validate."""
    depths: dict[bytes, int] = {}
    waiting = [(base, 0)]
    while waiting:
        chain, depth = waiting.pop()
        if depth >= MOST_JUMPS:
            raise EMLINK("chains lead too deep")
        if depths.get(chain.name, -1) >= depth:
            continue
        depths[chain.name] = depth
        targets: dict[bytes, None] = {}
        set_names: dict[bytes, None] = {}
        for rule in chain.rules:
            for each in rule.expressions:
                if not each.hooks >> hook & 1 or (each.is_translating and base.type_name != NAT):
                    raise each.misplaced("not in such a chain")
            targets.update((each.chain, None) for each in rule.verdicts() if each.leads_on)
            set_names.update(dict.fromkeys(rule.set_names()))
        for name in set_names:
            targets.update(dict.fromkeys(table.sets[name].targets()))
        waiting += [(table.chains[name], depth + 1) for name in targets]
