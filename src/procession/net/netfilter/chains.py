"""NFT_MSG_NEWCHAIN and its kin: chains made, changed, deleted and listed (nft(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP
from procession.abi.netlink import NetlinkFlag
from procession.abi.nftables import ChainAttribute, ChainFlag, FilterMessage, Hook, HookAttribute
from procession.net.netfilter.actions import Counter
from procession.net.netfilter.expression import be32, be32_in, be64, be64_in
from procession.net.netfilter.hooks import NAT, PRIORITIES
from procession.net.netfilter.note import DELETE_CHAIN, NEW_CHAIN
from procession.net.netfilter.renaming import rename_chain
from procession.net.netfilter.ruleset import Chain, ruleset_of
from procession.net.netfilter.tables import UNSPECIFIED, header, userdata_in
from procession.net.netfilter.verdict import ACCEPT, DROP
from procession.net.netlink.attributes import attribute, nested_in, text_in

if TYPE_CHECKING:
    import collections

    from procession.net.netfilter.draft import Draft
    from procession.net.netfilter.request import FilterRequest
    from procession.net.netfilter.ruleset import Table
    from procession.net.netlink.attributes import Answer, Message
    from procession.net.network import Network

_NEW = int(FilterMessage.NFT_MSG_NEWCHAIN)
_TABLE, _HANDLE = int(ChainAttribute.NFTA_CHAIN_TABLE), int(ChainAttribute.NFTA_CHAIN_HANDLE)
_NAME, _HOOK = int(ChainAttribute.NFTA_CHAIN_NAME), int(ChainAttribute.NFTA_CHAIN_HOOK)
_POLICY, _USE = int(ChainAttribute.NFTA_CHAIN_POLICY), int(ChainAttribute.NFTA_CHAIN_USE)
_TYPE, _COUNTERS = int(ChainAttribute.NFTA_CHAIN_TYPE), int(ChainAttribute.NFTA_CHAIN_COUNTERS)
_FLAGS, _ID = int(ChainAttribute.NFTA_CHAIN_FLAGS), int(ChainAttribute.NFTA_CHAIN_ID)
_USERDATA = int(ChainAttribute.NFTA_CHAIN_USERDATA)
_NUMBER, _PRIORITY = int(HookAttribute.NFTA_HOOK_HOOKNUM), int(HookAttribute.NFTA_HOOK_PRIORITY)
_BASE = int(ChainFlag.NFT_CHAIN_BASE)
_FILTER = b"filter"
_HOOKS = {
    _FILTER: tuple(map(int, Hook)),
    NAT: tuple(PRIORITIES),
    b"route": (int(Hook.NF_INET_LOCAL_OUT),),
}
"""Where the chains of a type may be. Those of type route have a packet look for its way again if that depends
on what they have set: on marks no way does here."""
_TRACKING = -200
"""NF_IP_PRI_CONNTRACK."""
_WORD = 0xFFFFFFFF


def chain_message(network: Network, table: Table, chain: Chain, references: int) -> Message:
    """Linux: net/netfilter/nf_tables_api.c, nf_tables_fill_chain_info."""
    told = attribute(_TABLE, table.name + b"\0") + attribute(_NAME, chain.name + b"\0")
    told += attribute(_HANDLE, be64(chain.handle))
    if chain.is_base:
        hook = attribute(_NUMBER, be32(chain.hook)) + attribute(_PRIORITY, be32(chain.priority))
        told += attribute(_HOOK, hook) + attribute(_POLICY, be32(chain.policy))
        told += attribute(_TYPE, chain.type_name + b"\0")
        if chain.counter is not None:
            told += attribute(_COUNTERS, chain.counter.attributes())
    if chain.flags:
        told += attribute(_FLAGS, be32(chain.flags))
    told += attribute(_USE, be32(len(chain.rules) + references))
    if chain.userdata:
        told += attribute(_USERDATA, chain.userdata)
    return _NEW, header(network, table.family) + told


def _references_in(network: Network, table: Table) -> collections.Counter[bytes]:
    network.host.clock.spend_filtering(table.step_count)
    return table.references()


def list_chains(request: FilterRequest) -> Answer:
    """NFT_MSG_GETCHAIN. Raises EINVAL, ENOENT. Linux: net/netfilter/nf_tables_api.c, nf_tables_getchain."""
    network = request.network
    tables = ruleset_of(network).tables
    if request.is_dump:
        return [
            chain_message(network, table, chain, references[chain.name])
            for table in tables.values()
            if request.family in (UNSPECIFIED, table.family)
            for references in (_references_in(network, table),)
            for chain in table.chains.values()
        ]
    table_name, name = request.name(_TABLE), request.name(_NAME)
    if table_name is None or name is None:
        raise EINVAL("the names of a table and a chain are needed")
    table = tables.get((request.family, table_name))
    chain = table.chains.get(name) if table is not None else None
    if table is None or chain is None:
        raise ENOENT("no such chain")
    return [chain_message(network, table, chain, _references_in(network, table)[chain.name])]


class _Hooking:
    """What NFTA_CHAIN_HOOK says: where a base chain is, before or after which others, and its type."""

    __slots__ = ("number", "priority", "type_name")

    def __init__(self, found: dict[int, bytes], chain: Chain | None) -> None:
        """Of a `chain` that is there it may only say what is so. Raises ENOENT, EOPNOTSUPP.

        Linux: net/netfilter/nf_tables_api.c, nft_chain_parse_hook.
        """
        nested = nested_in(found[_HOOK])
        number, priority = be32_in(nested, _NUMBER), be32_in(nested, _PRIORITY)
        self.type_name = text_in(found, _TYPE) or _FILTER
        if chain is not None and chain.is_base:
            if number not in (None, chain.hook) or priority not in (None, chain.priority & _WORD):
                raise EOPNOTSUPP("the chain is at another hook")
            number, priority = chain.hook, chain.priority & _WORD
        if number is None or priority is None:
            raise ENOENT("a hook and a priority are needed")
        hooks = _HOOKS.get(self.type_name)
        if hooks is None:
            raise ENOENT("no such type of chains")
        if number not in hooks:
            raise EOPNOTSUPP("no such hook")
        self.number = number
        self.priority = priority - (1 << 32) if priority >> 31 else priority
        if self.type_name == NAT and self.priority <= _TRACKING:
            raise EOPNOTSUPP("connections aren't tracked yet")


def new_chain(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_NEWCHAIN. Raises EINVAL, ENOENT, EEXIST, EOPNOTSUPP, ENOMEM.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_newchain.
    """
    found = request.found
    table = draft.table_named(request.family, request.name(_TABLE))
    name, handle = request.name(_NAME), be64_in(found, _HANDLE)
    if handle is not None:
        request.blame(_HANDLE)
    chain: Chain | None = None
    if handle is not None:
        chain = next((each for each in table.chains.values() if each.handle == handle), None)
        if chain is None:
            raise ENOENT("no such chain")
    elif name is None:
        raise EINVAL("a chain's name is needed")
    else:
        chain = table.chains.get(name)
    flags = be32_in(found, _FLAGS) or 0
    if flags & ~_BASE:
        raise EOPNOTSUPP("no such flag")
    policy = _policy_in(found, chain)
    hooking = _Hooking(found, chain) if _HOOK in found else None
    if chain is not None:
        if request.has(NetlinkFlag.NLM_F_EXCL):
            raise EEXIST("there is such a chain")
        if request.has(NetlinkFlag.NLM_F_REPLACE):
            raise EOPNOTSUPP("chains aren't replaced")
        if handle is not None and name is not None:
            request.blame(_NAME)
            if name in table.chains:
                raise EEXIST("another chain has this name")
        _change(draft, table, chain, hooking, policy, _counter_in(found))
        if handle is not None and name is not None:
            rename_chain(draft, draft.tables[table.key], chain.name, name)
        return
    assert name is not None
    table = draft.own(table)
    chain = Chain(
        name, table.next_handle(), _BASE if hooking is not None else 0, userdata_in(found, _USERDATA)
    )
    if hooking is not None:
        chain.hook, chain.priority, chain.type_name = hooking.number, hooking.priority, hooking.type_name
        chain.policy = ACCEPT if policy is None else policy
        chain.counter = _counter_in(found)
    draft.charge(chain.size)
    table.chains[name] = chain
    draft.owned.add(chain)
    draft.note(NEW_CHAIN, table, chain)
    number = be32_in(found, _ID)
    if number is not None:
        draft.chain_ids[number] = table.key, name


def _policy_in(found: dict[int, bytes], chain: Chain | None) -> int | None:
    policy = be32_in(found, _POLICY)
    if policy is None:
        return None
    if not (chain.is_base if chain is not None else _HOOK in found):
        raise EOPNOTSUPP("only base chains have policies")
    if policy not in (DROP, ACCEPT):
        raise EINVAL("no such policy")
    return policy


def _counter_in(found: dict[int, bytes]) -> Counter | None:
    """Linux: net/netfilter/nf_tables_api.c, nft_stats_alloc."""
    return Counter(None, nested_in(found[_COUNTERS])) if _COUNTERS in found else None


def _change(
    draft: Draft,
    table: Table,
    chain: Chain,
    hooking: _Hooking | None,
    policy: int | None,
    counter: Counter | None,
) -> None:
    """Linux: net/netfilter/nf_tables_api.c, nf_tables_updchain."""
    if hooking is not None and not chain.is_base:
        raise EEXIST("the chain is at no hook")
    if counter is not None and not chain.is_base:
        raise EOPNOTSUPP("only base chains count")
    chain = draft.own_chain(draft.own(table), chain)
    draft.is_changed = True
    if policy is not None:
        chain.policy = policy
    if counter is not None:
        chain.counter = counter
    draft.note(NEW_CHAIN, table, chain)


def delete_chain(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_DELCHAIN, with its rules. Raises EINVAL, ENOENT, EBUSY.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_delchain.
    """
    found = request.found
    table = draft.own(draft.table_named(request.family, request.name(_TABLE)))
    handle = be64_in(found, _HANDLE)
    if handle is not None:
        request.blame(_HANDLE)
        wanted = next((each for each in table.chains.values() if each.handle == handle), None)
        if wanted is None:
            raise ENOENT("no such chain")
        chain = wanted
    else:
        chain = draft.chain_named(table, request.name(_NAME))
    own = [verdict for rule in chain.rules for verdict in rule.verdicts()]
    from_itself = sum(verdict.leads_on and verdict.chain == chain.name for verdict in own)
    is_empty_needed = request.has(NetlinkFlag.NLM_F_REPLACE)
    if draft.references(table, chain.name) > from_itself or (is_empty_needed and chain.rules):
        raise EBUSY("the chain is used")
    chain = draft.own_chain(table, chain)
    for rule in chain.rules.copy():
        draft.remove_rule(table, chain, rule)
    del table.chains[chain.name]
    draft.note(DELETE_CHAIN, table, chain)
    draft.discharge(chain.size)
