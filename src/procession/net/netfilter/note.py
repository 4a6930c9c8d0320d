"""Notes of what a batch has changed, for who listens (`nft monitor`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.nftables import FilterMessage

if TYPE_CHECKING:
    from procession.net.netfilter.ruleset import Chain, Element, FilterSet, Rule, Table

NEW_TABLE, DELETE_TABLE = int(FilterMessage.NFT_MSG_NEWTABLE), int(FilterMessage.NFT_MSG_DELTABLE)
NEW_CHAIN, DELETE_CHAIN = int(FilterMessage.NFT_MSG_NEWCHAIN), int(FilterMessage.NFT_MSG_DELCHAIN)
NEW_RULE, DELETE_RULE = int(FilterMessage.NFT_MSG_NEWRULE), int(FilterMessage.NFT_MSG_DELRULE)
NEW_SET, DELETE_SET = int(FilterMessage.NFT_MSG_NEWSET), int(FilterMessage.NFT_MSG_DELSET)
NEW_ELEMENTS = int(FilterMessage.NFT_MSG_NEWSETELEM)
DELETE_ELEMENTS = int(FilterMessage.NFT_MSG_DELSETELEM)


class Note(NamedTuple):
    """A change: NFT_MSG_*, to which table, and what of it. Of a rule, `before` is the one that it follows.

    `flags` are those of the request that has made it, `number` that request's.
    """

    kind: int
    table: "Table"  # noqa: UP037
    chain: Chain | None = None
    rule: Rule | None = None
    before: Rule | None = None
    found: FilterSet | None = None
    elements: tuple[Element, ...] = ()
    flags: int = 0
    number: int = 0
