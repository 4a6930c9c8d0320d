"""Expressions that look at registers: `cmp`, `range`, `bitwise`, and `lookup` in a set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP
from procession.abi.nftables import (
    BitwiseAttribute,
    CompareAttribute,
    Comparison,
    LookupAttribute,
    RangeAttribute,
    SetFlag,
)
from procession.abi.word import pack_address
from procession.net.netfilter.expression import (
    Expression,
    be32,
    be32_in,
    byte_of,
    needed,
    value_data,
    value_of,
)
from procession.net.netfilter.registers import number_of, place_of, store
from procession.net.netfilter.verdict import NO_MATCH
from procession.net.netlink.attributes import attribute

if TYPE_CHECKING:
    from procession.net.netfilter.expression import Reading
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.verdict import Verdict

_CMP_SOURCE, _CMP_OPERATION = int(CompareAttribute.NFTA_CMP_SREG), int(CompareAttribute.NFTA_CMP_OP)
_CMP_DATA = int(CompareAttribute.NFTA_CMP_DATA)
_EQUAL, _UNEQUAL = int(Comparison.NFT_CMP_EQ), int(Comparison.NFT_CMP_NEQ)
_LESS, _LESS_OR_EQUAL = int(Comparison.NFT_CMP_LT), int(Comparison.NFT_CMP_LTE)
_GREATER, _GREATER_OR_EQUAL = int(Comparison.NFT_CMP_GT), int(Comparison.NFT_CMP_GTE)
_RANGE_SOURCE, _RANGE_OPERATION = int(RangeAttribute.NFTA_RANGE_SREG), int(RangeAttribute.NFTA_RANGE_OP)
_FROM, _TO = int(RangeAttribute.NFTA_RANGE_FROM_DATA), int(RangeAttribute.NFTA_RANGE_TO_DATA)
_OUTSIDE = 1
_BITWISE_SOURCE, _BITWISE_TARGET = (
    int(BitwiseAttribute.NFTA_BITWISE_SREG),
    int(BitwiseAttribute.NFTA_BITWISE_DREG),
)
_BITWISE_LENGTH, _BITWISE_OPERATION = (
    int(BitwiseAttribute.NFTA_BITWISE_LEN),
    int(BitwiseAttribute.NFTA_BITWISE_OP),
)
_MASK, _XOR = int(BitwiseAttribute.NFTA_BITWISE_MASK), int(BitwiseAttribute.NFTA_BITWISE_XOR)
_SET, _SET_ID = int(LookupAttribute.NFTA_LOOKUP_SET), int(LookupAttribute.NFTA_LOOKUP_SET_ID)
_LOOKUP_SOURCE, _LOOKUP_TARGET = (
    int(LookupAttribute.NFTA_LOOKUP_SREG),
    int(LookupAttribute.NFTA_LOOKUP_DREG),
)
_LOOKUP_FLAGS, _INVERTED = int(LookupAttribute.NFTA_LOOKUP_FLAGS), 1
_MAP = int(SetFlag.NFT_SET_MAP)


class Compare(Expression):
    """Linux: net/netfilter/nft_cmp.c, nft_cmp_eval."""

    __slots__ = ("data", "operation", "place")

    name = b"cmp"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        if _CMP_SOURCE not in found or _CMP_OPERATION not in found:
            raise EINVAL("an attribute is missing")
        self.operation = needed(found, _CMP_OPERATION)
        if self.operation > _GREATER_OR_EQUAL:
            raise EINVAL("no such comparison")
        self.data = value_of(found, _CMP_DATA)
        self.place = reading.loaded.source(needed(found, _CMP_SOURCE), len(self.data))

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        data, operation = self.data, self.operation
        value = registers[self.place : self.place + len(data)]
        if operation == _EQUAL:
            is_so = value == data
        elif operation == _UNEQUAL:
            is_so = value != data
        elif operation == _LESS:
            is_so = value < data
        elif operation == _LESS_OR_EQUAL:
            is_so = value <= data
        elif operation == _GREATER:
            is_so = value > data
        else:
            is_so = value >= data
        return None if is_so else NO_MATCH

    def attributes(self) -> bytes:
        return b"".join(
            (
                attribute(_CMP_SOURCE, be32(number_of(self.place))),
                attribute(_CMP_OPERATION, be32(self.operation)),
                attribute(_CMP_DATA, value_data(self.data)),
            )
        )


class Range(Expression):
    """Linux: net/netfilter/nft_range.c, nft_range_eval."""

    __slots__ = ("first", "last", "operation", "place")

    name = b"range"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        if _RANGE_SOURCE not in found or _RANGE_OPERATION not in found:
            raise EINVAL("an attribute is missing")
        self.first, self.last = value_of(found, _FROM), value_of(found, _TO)
        if len(self.first) != len(self.last):
            raise EINVAL("bounds of two lengths")
        self.place = reading.loaded.source(needed(found, _RANGE_SOURCE), len(self.first))
        self.operation = byte_of(found, _RANGE_OPERATION)
        if self.operation > _OUTSIDE:
            raise EINVAL("no such operation")

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        value = bytes(registers[self.place : self.place + len(self.first)])
        is_inside = self.first <= value <= self.last
        return None if is_inside != (self.operation == _OUTSIDE) else NO_MATCH

    def attributes(self) -> bytes:
        return b"".join(
            (
                attribute(_RANGE_SOURCE, be32(number_of(self.place))),
                attribute(_RANGE_OPERATION, be32(self.operation)),
                attribute(_FROM, value_data(self.first)),
                attribute(_TO, value_data(self.last)),
            )
        )


class Bitwise(Expression):
    """Linux: net/netfilter/nft_bitwise.c, nft_bitwise_eval_mask_xor."""

    __slots__ = ("mask", "source", "target", "xor")

    name = b"bitwise"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        length = byte_of(found, _BITWISE_LENGTH)
        self.source = reading.loaded.source(needed(found, _BITWISE_SOURCE), length)
        self.target = reading.loaded.target(needed(found, _BITWISE_TARGET), length)
        if be32_in(found, _BITWISE_OPERATION):
            raise EOPNOTSUPP("only a mask and an exclusive or")
        self.mask, self.xor = value_of(found, _MASK), value_of(found, _XOR)
        if len(self.mask) != length or len(self.xor) != length:
            raise EINVAL("data of another length")

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        length = len(self.mask)
        value = int.from_bytes(registers[self.source : self.source + length], "big")
        value = value & int.from_bytes(self.mask, "big") ^ int.from_bytes(self.xor, "big")
        store(registers, self.target, pack_address(value, length))
        return None

    def attributes(self) -> bytes:
        return b"".join(
            (
                attribute(_BITWISE_SOURCE, be32(number_of(self.source))),
                attribute(_BITWISE_TARGET, be32(number_of(self.target))),
                attribute(_BITWISE_LENGTH, be32(len(self.mask))),
                attribute(_BITWISE_OPERATION, be32(0)),
                attribute(_MASK, value_data(self.mask)),
                attribute(_XOR, value_data(self.xor)),
            )
        )


class Lookup(Expression):
    """Linux: net/netfilter/nft_lookup.c, nft_lookup_eval."""

    __slots__ = ("is_inverted", "length", "place", "set_name", "target")

    name = b"lookup"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        if _SET not in found or _LOOKUP_SOURCE not in found:
            raise EINVAL("an attribute is missing")
        looked_into = reading.draft.set_named(reading.table, found.get(_SET), be32_in(found, _SET_ID))
        self.length = looked_into.key_length
        self.place = reading.loaded.source(needed(found, _LOOKUP_SOURCE), self.length)
        flags = be32_in(found, _LOOKUP_FLAGS) or 0
        if flags & ~_INVERTED:
            raise EINVAL("no such flag")
        self.is_inverted = bool(flags)
        self.target: int | None = None
        if _LOOKUP_TARGET in found:
            if self.is_inverted or not looked_into.flags & _MAP:
                raise EINVAL("only a map gives data")
            number = needed(found, _LOOKUP_TARGET)
            if looked_into.gives_verdicts:
                self.target = place_of(number)
                if self.target:
                    raise EINVAL("verdicts go into their own register")
            else:
                self.target = reading.loaded.target(number, looked_into.data_length)
        self.set_name = looked_into.name

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        assert passing.table is not None
        key = bytes(registers[self.place : self.place + self.length])
        element = passing.table.sets[self.set_name].find(key)
        if (element is None) != self.is_inverted:
            return NO_MATCH
        if self.target is None or element is None:
            return None
        if not self.target:
            return element.verdict
        store(registers, self.target, element.data)
        return None

    def attributes(self) -> bytes:
        told = attribute(_SET, self.set_name + b"\0")
        told += attribute(_LOOKUP_SOURCE, be32(number_of(self.place)))
        if self.target is not None:
            told += attribute(_LOOKUP_TARGET, be32(number_of(self.target)))
        return told + attribute(_LOOKUP_FLAGS, be32(int(self.is_inverted)))
