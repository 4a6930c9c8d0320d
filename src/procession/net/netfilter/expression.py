"""What rules are made of: an expression, how it is read from its attributes, and what it's read with."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, EOPNOTSUPP, EOVERFLOW, ERANGE, Errno
from procession.abi.nftables import DataAttribute
from procession.abi.word import pack_address
from procession.net.netfilter.registers import LONGEST_DATA, Loaded
from procession.net.netlink.attributes import attribute, nested_in

if TYPE_CHECKING:
    from procession.net.netfilter.draft import Draft
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.ruleset import Chain, Table
    from procession.net.netfilter.verdict import Verdict

_VALUE = int(DataAttribute.NFTA_DATA_VALUE)


class Reading:
    """A rule that is being read: of which table and chain, and which registers are filled so far.

    `protocol` is what iptables says that its packets have, 0 for any.
    """

    __slots__ = ("chain", "draft", "loaded", "protocol", "table")

    def __init__(self, draft: Draft, table: Table, chain: Chain, protocol: int) -> None:
        self.protocol = protocol
        self.draft = draft
        self.table = table
        self.chain = chain
        self.loaded = Loaded()


class Expression:
    """One expression (Linux: include/net/netfilter/nf_tables.h, struct nft_expr_ops).

    `verdict` is where it may lead, `set_name` the set that it looks into, b"" for none; `size` is what it
    takes beside what every expression does. `hooks` has a bit for each hook at which it may be evaluated;
    `is_tracking` says that it asks for a packet's connection, `is_translating` that it's for chains of type
    nat alone.
    """

    __slots__ = ()

    name: ClassVar[bytes]
    verdict: Verdict | None = None
    set_name: bytes = b""
    size: int = 0
    hooks: int = 0x1F
    is_tracking: bool = False
    is_translating: bool = False
    misplaced: type[Errno] = EOPNOTSUPP

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        """Go on to the next expression (None), to the next rule (NFT_BREAK), or to a verdict."""
        raise NotImplementedError

    def attributes(self) -> bytes:
        """As programs are told it."""
        raise NotImplementedError


def be32(value: int) -> bytes:
    """A number of 32 bits in network byte order."""
    return pack_address(value & 0xFFFFFFFF, 4)


def be64(value: int) -> bytes:
    """A number of 64 bits in network byte order."""
    return pack_address(value & 0xFFFFFFFFFFFFFFFF, 8)


def be32_in(found: dict[int, bytes], kind: int) -> int | None:
    """The number of 32 bits in an attribute, None if it isn't there. Raises ERANGE."""
    data = found.get(kind)
    if data is None:
        return None
    if len(data) < 4:
        raise ERANGE("an attribute too short")
    return int.from_bytes(data[:4], "big")


def be64_in(found: dict[int, bytes], kind: int) -> int | None:
    """The number of 64 bits in an attribute, None if it isn't there. Raises ERANGE."""
    data = found.get(kind)
    if data is None:
        return None
    if len(data) < 8:
        raise ERANGE("an attribute too short")
    return int.from_bytes(data[:8], "big")


def needed(found: dict[int, bytes], kind: int) -> int:
    """The number of 32 bits that must be there. Raises EINVAL, ERANGE."""
    value = be32_in(found, kind)
    if value is None:
        raise EINVAL("an attribute is missing")
    return value


def byte_of(found: dict[int, bytes], kind: int) -> int:
    """The same, which must fit into a byte.

    Linux: net/netfilter/nf_tables_api.c, nft_parse_u32_check.
    """
    value = needed(found, kind)
    if value > 0xFF:
        raise ERANGE("more than a byte holds")
    return value


def value_of(found: dict[int, bytes], kind: int, longest: int = LONGEST_DATA) -> bytes:
    """The value of the data in an attribute. Raises EINVAL, EOVERFLOW.

    Linux: net/netfilter/nf_tables_api.c, nft_value_init."""
    nested = found.get(kind)
    if nested is None:
        raise EINVAL("data is missing")
    value = nested_in(nested).get(_VALUE)
    if not value:
        raise EINVAL("no value")
    if len(value) > longest:
        raise EOVERFLOW("a value too long")
    return value


def value_data(value: bytes) -> bytes:
    """A value as data."""
    return attribute(_VALUE, value)
