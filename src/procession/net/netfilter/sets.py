"""NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM and their kin: sets, maps and their elements (nft(8))."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from procession.abi.errno import EBUSY, EEXIST, EINVAL, ENFILE, ENOENT, EOPNOTSUPP
from procession.abi.netlink import NetlinkFlag
from procession.abi.nftables import (
    DataAttribute,
    ElementAttribute,
    ElementFlag,
    ElementListAttribute,
    FilterMessage,
    ListAttribute,
    SetAttribute,
    SetDescription,
    SetFlag,
)
from procession.net.netfilter.expression import be32, be32_in, be64, value_data
from procession.net.netfilter.note import DELETE_ELEMENTS, NEW_ELEMENTS, NEW_SET
from procession.net.netfilter.ruleset import VERDICT_TYPE, Element, FilterSet, ruleset_of
from procession.net.netfilter.tables import UNSPECIFIED, header, userdata_in
from procession.net.netlink.attributes import attribute, list_in, nested_in

if TYPE_CHECKING:
    from procession.net.netfilter.draft import Draft
    from procession.net.netfilter.request import FilterRequest
    from procession.net.netfilter.ruleset import Table
    from procession.net.netfilter.verdict import Verdict
    from procession.net.netlink.attributes import Answer, Message
    from procession.net.network import Network

_NEW_SET, _NEW_ELEMENT = int(FilterMessage.NFT_MSG_NEWSET), int(FilterMessage.NFT_MSG_NEWSETELEM)
_TABLE, _NAME = int(SetAttribute.NFTA_SET_TABLE), int(SetAttribute.NFTA_SET_NAME)
_FLAGS, _KEY_TYPE = int(SetAttribute.NFTA_SET_FLAGS), int(SetAttribute.NFTA_SET_KEY_TYPE)
_KEY_LENGTH, _DATA_TYPE = int(SetAttribute.NFTA_SET_KEY_LEN), int(SetAttribute.NFTA_SET_DATA_TYPE)
_DATA_LENGTH, _POLICY = int(SetAttribute.NFTA_SET_DATA_LEN), int(SetAttribute.NFTA_SET_POLICY)
_DESCRIPTION, _ID = int(SetAttribute.NFTA_SET_DESC), int(SetAttribute.NFTA_SET_ID)
_USERDATA, _HANDLE = int(SetAttribute.NFTA_SET_USERDATA), int(SetAttribute.NFTA_SET_HANDLE)
_SIZE = int(SetDescription.NFTA_SET_DESC_SIZE)
_LIST_TABLE = int(ElementListAttribute.NFTA_SET_ELEM_LIST_TABLE)
_LIST_SET = int(ElementListAttribute.NFTA_SET_ELEM_LIST_SET)
_LIST_ELEMENTS = int(ElementListAttribute.NFTA_SET_ELEM_LIST_ELEMENTS)
_LIST_SET_ID = int(ElementListAttribute.NFTA_SET_ELEM_LIST_SET_ID)
_ELEMENT_KEY, _ELEMENT_DATA = (
    int(ElementAttribute.NFTA_SET_ELEM_KEY),
    int(ElementAttribute.NFTA_SET_ELEM_DATA),
)
_ELEMENT_FLAGS = int(ElementAttribute.NFTA_SET_ELEM_FLAGS)
_ELEMENT_USERDATA = int(ElementAttribute.NFTA_SET_ELEM_USERDATA)
_KNOWN_ATTRIBUTES = {_ELEMENT_KEY, _ELEMENT_DATA, _ELEMENT_FLAGS, _ELEMENT_USERDATA}
_ELEMENT = int(ListAttribute.NFTA_LIST_ELEM)
_VALUE, _VERDICT = int(DataAttribute.NFTA_DATA_VALUE), int(DataAttribute.NFTA_DATA_VERDICT)
_INTERVAL_END = int(ElementFlag.NFT_SET_ELEM_INTERVAL_END)
_ANONYMOUS, _CONSTANT = int(SetFlag.NFT_SET_ANONYMOUS), int(SetFlag.NFT_SET_CONSTANT)
_INTERVAL, _MAP = int(SetFlag.NFT_SET_INTERVAL), int(SetFlag.NFT_SET_MAP)
_KNOWN_FLAGS = _ANONYMOUS | _CONSTANT | _INTERVAL | _MAP
_LONGEST_KEY = 64
"""NFT_DATA_VALUE_MAXLEN."""
_VERDICT_BYTES = 16
"""sizeof(struct nft_verdict)."""
_MOST_POLICY = 1
_ELEMENTS_AT_ONCE = 32
"""How many elements a message lists at most, so that it fits into a page."""


def set_message(network: Network, table: Table, found: FilterSet) -> Message:
    """Linux: net/netfilter/nf_tables_api.c, nf_tables_fill_set."""
    told = attribute(_TABLE, table.name + b"\0") + attribute(_NAME, found.name + b"\0")
    told += attribute(_HANDLE, be64(found.handle))
    if found.flags:
        told += attribute(_FLAGS, be32(found.flags))
    told += attribute(_KEY_TYPE, be32(found.key_type)) + attribute(_KEY_LENGTH, be32(found.key_length))
    if found.flags & _MAP:
        told += attribute(_DATA_TYPE, be32(found.data_type))
        told += attribute(_DATA_LENGTH, be32(found.data_length))
    if found.policy:
        told += attribute(_POLICY, be32(found.policy))
    if found.userdata:
        told += attribute(_USERDATA, found.userdata)
    return _NEW_SET, header(network, table.family) + told + attribute(_DESCRIPTION, found.description)


def list_sets(request: FilterRequest) -> Answer:
    """NFT_MSG_GETSET. Raises EINVAL, ENOENT. Linux: net/netfilter/nf_tables_api.c, nf_tables_getset."""
    network = request.network
    tables = ruleset_of(network).tables
    table_name = request.name(_TABLE)
    if request.is_dump:
        return [
            set_message(network, table, each)
            for table in tables.values()
            if request.family in (UNSPECIFIED, table.family) and table_name in (None, table.name)
            for each in table.sets.values()
        ]
    table, wanted = _set_of(request, table_name, request.name(_NAME))
    return [set_message(network, table, wanted)]


def _set_of(request: FilterRequest, table_name: bytes | None, name: bytes | None) -> tuple[Table, FilterSet]:
    if table_name is None or name is None:
        raise EINVAL("the names of a table and a set are needed")
    table = ruleset_of(request.network).tables.get((request.family, table_name))
    wanted = table.sets.get(name) if table is not None else None
    if table is None or wanted is None:
        raise ENOENT("no such set")
    return table, wanted


def list_elements(request: FilterRequest) -> Answer:
    """NFT_MSG_GETSETELEM: all elements, or those that are asked for. Raises EINVAL, ENOENT.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_dump_set, nft_get_set_elem.
    """
    network, found = request.network, request.found
    table, wanted = _set_of(request, request.name(_LIST_TABLE), request.name(_LIST_SET))
    if request.is_dump:
        chosen = [wanted.elements[key] for key in sorted(wanted.elements, key=_place)]
    else:
        if _LIST_ELEMENTS not in found:
            raise EINVAL("which elements?")
        chosen = []
        for _, nested in list_in(found[_LIST_ELEMENTS]):
            element = _element_in(None, table, wanted, nested)
            there = wanted.elements.get((element.key, element.is_end))
            if there is None:
                raise ENOENT("no such element")
            chosen.append(there)
    return element_messages(network, table, wanted, chosen)


def element_messages(
    network: Network, table: Table, found: FilterSet, chosen: Sequence[Element]
) -> list[Message]:
    """Messages about elements of a set."""
    told = header(network, table.family)
    told += attribute(_LIST_TABLE, table.name + b"\0") + attribute(_LIST_SET, found.name + b"\0")
    groups = [chosen[at : at + _ELEMENTS_AT_ONCE] for at in range(0, len(chosen), _ELEMENTS_AT_ONCE)]
    return [
        (
            _NEW_ELEMENT,
            told + attribute(_LIST_ELEMENTS, b"".join(_element_attributes(each) for each in group)),
        )
        for group in groups
    ]


def _place(key: tuple[bytes, bool]) -> tuple[bytes, bool]:
    return key[0], not key[1]


def _element_attributes(element: Element) -> bytes:
    """Linux: net/netfilter/nf_tables_api.c, nf_tables_fill_setelem."""
    told = attribute(_ELEMENT_KEY, value_data(element.key))
    if element.verdict is not None:
        told += attribute(_ELEMENT_DATA, element.verdict.data())
    elif element.data:
        told += attribute(_ELEMENT_DATA, value_data(element.data))
    if element.flags:
        told += attribute(_ELEMENT_FLAGS, be32(element.flags))
    if element.userdata:
        told += attribute(_ELEMENT_USERDATA, element.userdata)
    return attribute(_ELEMENT, told)


def new_set(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_NEWSET. Raises EINVAL, ENOENT, EEXIST, EOPNOTSUPP, ENOMEM ...

    Linux: net/netfilter/nf_tables_api.c, nf_tables_newset.
    """
    found = request.found
    key_length = be32_in(found, _KEY_LENGTH)
    name, number = request.name(_NAME), be32_in(found, _ID)
    if name is None or key_length is None or number is None or _TABLE not in found:
        raise EINVAL("an attribute is missing")
    flags = be32_in(found, _FLAGS) or 0
    if flags & ~_KNOWN_FLAGS:
        raise EOPNOTSUPP("no such flag")
    if not 0 < key_length <= _LONGEST_KEY:
        raise EINVAL("keys too long")
    data = _data_kind_in(found, flags)
    policy = be32_in(found, _POLICY) or 0
    if policy > _MOST_POLICY:
        raise EOPNOTSUPP("no such policy")
    table = draft.own(draft.table_named(request.family, request.name(_TABLE)))
    request.blame(_NAME)
    if name in table.sets:
        if request.has(NetlinkFlag.NLM_F_EXCL):
            raise EEXIST("there is such a set")
        if request.has(NetlinkFlag.NLM_F_REPLACE):
            raise EOPNOTSUPP("sets aren't replaced")
        return
    if not request.has(NetlinkFlag.NLM_F_CREATE):
        raise ENOENT("no such set")
    made = FilterSet(
        *(_free_name(table, name), table.next_handle(), flags),
        *((be32_in(found, _KEY_TYPE) or 0, key_length), data, policy),
        *(_description_in(found), userdata_in(found, _USERDATA)),
    )
    draft.charge(made.size)
    table.sets[made.name] = made
    draft.owned.add(made)
    draft.set_ids[number] = table.key, made.name
    draft.note(NEW_SET, table, found=made)


def _data_kind_in(found: dict[int, bytes], flags: int) -> tuple[int, int]:
    """The type of a map's data and its length, zeros for a set."""
    data_type = be32_in(found, _DATA_TYPE)
    if data_type is None:
        if flags & _MAP:
            raise EINVAL("of which data?")
        return 0, 0
    if not flags & _MAP:
        raise EINVAL("a set has no data")
    if data_type == VERDICT_TYPE:
        return data_type, _VERDICT_BYTES
    length = be32_in(found, _DATA_LENGTH)
    if length is None or not 0 < length <= _LONGEST_KEY or data_type & VERDICT_TYPE == VERDICT_TYPE:
        raise EINVAL("data of no length")
    return data_type, length


def _description_in(found: dict[int, bytes]) -> bytes:
    description = found.get(_DESCRIPTION, b"")
    be32_in(nested_in(description), _SIZE)
    return description


def _free_name(table: Table, name: bytes) -> bytes:
    """A name with a number in the place of %d. Raises EINVAL.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_set_alloc_name.
    """
    before, percent, after = name.partition(b"%")
    if not percent:
        return name
    if not after.startswith(b"d") or b"%" in after:
        raise EINVAL("no such name")
    number = 0
    while b"%s%d%s" % (before, number, after[1:]) in table.sets:
        number += 1
    return b"%s%d%s" % (before, number, after[1:])


def delete_set(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_DELSET. Raises EINVAL, ENOENT, EBUSY. Linux: net/netfilter/nf_tables_api.c,
    nf_tables_delset."""
    table = draft.own(draft.table_named(request.family, request.name(_TABLE)))
    name = request.name(_NAME)
    if name is None:
        raise EINVAL("a set's name is needed")
    wanted = draft.set_named(table, name)
    is_empty_needed = request.has(NetlinkFlag.NLM_F_REPLACE)
    if draft.has_reader(table, wanted.name) or (is_empty_needed and wanted.elements):
        raise EBUSY("the set is used")
    draft.remove_set(table, wanted)


def _element_in(draft: Draft | None, table: Table, kept_in: FilterSet, nested: bytes) -> Element:
    """An element to add, or without a draft to look for. Raises EINVAL, EOPNOTSUPP.

    Linux: net/netfilter/nf_tables_api.c, nft_add_set_elem.
    """
    found = nested_in(nested)
    if set(found) - _KNOWN_ATTRIBUTES:
        raise EOPNOTSUPP("elements have keys, data and nothing else")
    flags = be32_in(found, _ELEMENT_FLAGS) or 0
    if flags & ~_INTERVAL_END:
        raise EOPNOTSUPP("no such flag")
    if flags and not kept_in.has_intervals:
        raise EINVAL("no set of intervals")
    key = nested_in(found.get(_ELEMENT_KEY, b"")).get(_VALUE, b"")
    if len(key) != kept_in.key_length:
        raise EINVAL("a key of another length")
    data, verdict = b"", None
    if draft is not None and kept_in.flags & _MAP:
        if (_ELEMENT_DATA in found) == bool(flags):
            raise EINVAL("a map leads from beginnings to data")
        if not flags:
            data, verdict = _data_in(draft, table, kept_in, nested_in(found[_ELEMENT_DATA]))
    elif draft is not None and _ELEMENT_DATA in found:
        raise EINVAL("a set has no data")
    return Element(key, flags, data, verdict, userdata_in(found, _ELEMENT_USERDATA))


def _data_in(
    draft: Draft, table: Table, kept_in: FilterSet, found: dict[int, bytes]
) -> tuple[bytes, Verdict | None]:
    if kept_in.gives_verdicts:
        return b"", draft.verdict_in(table, found)
    data = found.get(_VALUE, b"")
    if _VERDICT in found or len(data) != kept_in.data_length:
        raise EINVAL("data of another kind")
    return data, None


def new_elements(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_NEWSETELEM. Raises EINVAL, ENOENT, EEXIST, EBUSY, ENFILE, ENOMEM ...

    Linux: net/netfilter/nf_tables_api.c, nf_tables_newsetelem.
    """
    found = request.found
    if _LIST_ELEMENTS not in found:
        raise EINVAL("which elements?")
    table = draft.own(draft.table_named(request.family, request.name(_LIST_TABLE)))
    request.blame(_LIST_SET)
    kept_in = draft.set_named(table, found.get(_LIST_SET), be32_in(found, _LIST_SET_ID))
    if kept_in.flags & _CONSTANT and draft.has_reader(table, kept_in.name):
        raise EBUSY("the set doesn't change any more")
    most = be32_in(nested_in(kept_in.description), _SIZE)
    kept_in = draft.own_set(table, kept_in)
    kept_in.boundaries = None
    added: list[Element] = []
    for index, (_, nested) in enumerate(list_in(found[_LIST_ELEMENTS])):
        request.blame(_LIST_ELEMENTS, index)
        element = _element_in(draft, table, kept_in, nested)
        key = element.key, element.is_end
        old = kept_in.elements.get(key)
        if old is not None:
            if (old.data, old.verdict) != (element.data, element.verdict):
                raise EEXIST("the key leads to something else")
            if request.has(NetlinkFlag.NLM_F_EXCL):
                raise EEXIST("there is such an element")
            continue
        if most and len(kept_in.elements) >= most:
            raise ENFILE("the set is full")
        draft.charge(element.size)
        kept_in.elements[key] = element
        added.append(element)
    if added:
        draft.note(NEW_ELEMENTS, table, found=kept_in, elements=tuple(added))


def delete_elements(draft: Draft, request: FilterRequest) -> None:
    """NFT_MSG_DELSETELEM: those that are named, or all. Raises EINVAL, ENOENT, EBUSY.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_delsetelem.
    """
    found = request.found
    table = draft.own(draft.table_named(request.family, request.name(_LIST_TABLE)))
    request.blame(_LIST_SET)
    kept_in = draft.set_named(table, found.get(_LIST_SET), be32_in(found, _LIST_SET_ID))
    if kept_in.flags & _CONSTANT and draft.has_reader(table, kept_in.name):
        raise EBUSY("the set doesn't change any more")
    kept_in = draft.own_set(table, kept_in)
    kept_in.boundaries = None
    if _LIST_ELEMENTS not in found:
        draft.discharge(sum(element.size for element in kept_in.elements.values()))
        draft.note(DELETE_ELEMENTS, table, found=kept_in, elements=tuple(kept_in.elements.values()))
        kept_in.elements.clear()
        return
    removed: list[Element] = []
    for index, (_, nested) in enumerate(list_in(found[_LIST_ELEMENTS])):
        request.blame(_LIST_ELEMENTS, index)
        element = _element_in(None, table, kept_in, nested)
        old = kept_in.elements.pop((element.key, element.is_end), None)
        if old is None:
            raise ENOENT("no such element")
        draft.discharge(old.size)
        removed.append(old)
    if removed:
        draft.note(DELETE_ELEMENTS, table, found=kept_in, elements=tuple(removed))
