"""NFT_MSG_NEWTABLE and its kin: tables made, deleted and listed (nft(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP, ERANGE
from procession.abi.netlink import NetlinkFlag
from procession.abi.nftables import FilterMessage, ProtocolFamily, TableAttribute, TableFlag
from procession.abi.word import pack_port, pack_u8
from procession.net.netfilter.expression import be32, be32_in, be64, be64_in
from procession.net.netfilter.note import NEW_TABLE
from procession.net.netfilter.ruleset import Table, ruleset_of
from procession.net.netlink.attributes import attribute

if TYPE_CHECKING:
    from procession.net.netfilter.draft import Draft
    from procession.net.netfilter.request import FilterRequest
    from procession.net.netlink.attributes import Answer, Message
    from procession.net.network import Network

FAMILIES = (
    int(ProtocolFamily.NFPROTO_INET),
    int(ProtocolFamily.NFPROTO_IPV4),
    int(ProtocolFamily.NFPROTO_IPV6),
)
UNSPECIFIED = int(ProtocolFamily.NFPROTO_UNSPEC)
LONGEST_USERDATA = 256
"""NFT_USERDATA_MAXLEN."""
_NEW = int(FilterMessage.NFT_MSG_NEWTABLE)
_NAME, _FLAGS = int(TableAttribute.NFTA_TABLE_NAME), int(TableAttribute.NFTA_TABLE_FLAGS)
_USE, _HANDLE = int(TableAttribute.NFTA_TABLE_USE), int(TableAttribute.NFTA_TABLE_HANDLE)
_USERDATA = int(TableAttribute.NFTA_TABLE_USERDATA)
_VERSION = pack_u8(0)
"""NFNETLINK_V0."""
_KNOWN_FLAGS = int(TableFlag.NFT_TABLE_F_DORMANT)


def userdata_in(found: dict[int, bytes], kind: int) -> bytes:
    """What a program keeps with an object. Raises ERANGE."""
    userdata = found.get(kind, b"")
    if len(userdata) > LONGEST_USERDATA:
        raise ERANGE("more than is kept")
    return userdata


def table_message(network: Network, table: Table) -> Message:
    """Linux: net/netfilter/nf_tables_api.c, nf_tables_fill_table_info."""
    told = attribute(_NAME, table.name + b"\0")
    told += attribute(_USE, be32(len(table.chains) + len(table.sets)))
    told += attribute(_HANDLE, be64(table.handle)) + attribute(_FLAGS, be32(table.flags))
    if table.userdata:
        told += attribute(_USERDATA, table.userdata)
    return _NEW, header(network, table.family) + told


def header(network: Network, family: int) -> bytes:
    """A struct nfgenmsg, with the lower half of the rules' generation."""
    return pack_u8(family) + _VERSION + pack_port(ruleset_of(network).generation & 0xFFFF)


def list_tables(request: FilterRequest) -> Answer:
    """NFT_MSG_GETTABLE. Raises EINVAL, ENOENT. Linux: net/netfilter/nf_tables_api.c, nf_tables_gettable."""
    network = request.network
    tables = ruleset_of(network).tables
    if request.is_dump:
        return [
            table_message(network, table)
            for table in tables.values()
            if request.family in (UNSPECIFIED, table.family)
        ]
    name = request.name(_NAME)
    if name is None:
        raise EINVAL("a table's name is needed")
    found = tables.get((request.family, name))
    if found is None:
        raise ENOENT("no such table")
    return [table_message(network, found)]


def new_table(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_NEWTABLE. Raises EINVAL, ERANGE, EOPNOTSUPP, EEXIST, ENOMEM.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_newtable, nf_tables_updtable.
    """
    family, found = request.family, request.found
    if family not in FAMILIES:
        raise EOPNOTSUPP("no such family")
    name = request.name(_NAME)
    if name is None:
        raise EINVAL("a table's name is needed")
    flags = be32_in(found, _FLAGS)
    if (flags or 0) & ~_KNOWN_FLAGS:
        raise EOPNOTSUPP("no such flag")
    table = draft.tables.get((family, name))
    if table is not None:
        if request.has(NetlinkFlag.NLM_F_EXCL):
            raise EEXIST("there is such a table")
        if request.has(NetlinkFlag.NLM_F_REPLACE):
            raise EOPNOTSUPP("tables aren't replaced")
        if flags is not None and flags != table.flags:
            table = draft.own(table)
            table.flags = flags
            draft.is_changed = True
            draft.note(NEW_TABLE, table)
        return
    draft.handle_count += 1
    table = Table(family, name, draft.handle_count, flags or 0, userdata_in(found, _USERDATA))
    draft.charge(table.size)
    draft.tables[table.key] = table
    draft.owned.add(table)
    draft.note(NEW_TABLE, table)


def delete_table(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_DELTABLE: one table, or all of a family. Raises ENOENT, EBUSY.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_deltable, nft_flush.
    """
    family, found = request.family, request.found
    if family == UNSPECIFIED or (_NAME not in found and _HANDLE not in found):
        chosen = [table for table in draft.tables.values() if family in (UNSPECIFIED, table.family)]
        name = request.name(_NAME)
        for table in chosen:
            if name is None or table.name == name:
                draft.remove_table(table)
        return
    handle = be64_in(found, _HANDLE)
    if handle is not None:
        wanted = next(
            (each for each in draft.tables.values() if (each.family, each.handle) == (family, handle)), None
        )
        if wanted is None:
            raise ENOENT("no such table")
        table = wanted
    else:
        table = draft.table_named(family, request.name(_NAME))
    if request.has(NetlinkFlag.NLM_F_REPLACE) and (table.chains or table.sets):
        # NLM_F_NONREC, which has the same number.
        raise EBUSY("the table isn't empty")
    draft.remove_table(table)
