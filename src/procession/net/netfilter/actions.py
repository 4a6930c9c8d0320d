"""Expressions that do something: `immediate` with a verdict or a value, `counter`, and `reject`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.nftables import (
    CounterAttribute,
    Hook,
    ImmediateAttribute,
    ProtocolFamily,
    RejectAttribute,
    RejectType,
)
from procession.abi.word import pack_u8
from procession.net.netfilter.expression import (
    Expression,
    be32,
    be64,
    be64_in,
    needed,
    value_data,
    value_of,
)
from procession.net.netfilter.passing import IPV4
from procession.net.netfilter.refusal import (
    REASONS_4,
    REASONS_6,
    REASONS_OF_BOTH,
    refuse_with_error,
    refuse_with_reset,
)
from procession.net.netfilter.registers import number_of, place_of, store
from procession.net.netfilter.verdict import DROPPED
from procession.net.netlink.attributes import attribute, nested_in

if TYPE_CHECKING:
    from procession.net.netfilter.expression import Reading
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.verdict import Verdict

_IMMEDIATE_TARGET = int(ImmediateAttribute.NFTA_IMMEDIATE_DREG)
_IMMEDIATE_DATA = int(ImmediateAttribute.NFTA_IMMEDIATE_DATA)
_BYTES, _PACKETS = int(CounterAttribute.NFTA_COUNTER_BYTES), int(CounterAttribute.NFTA_COUNTER_PACKETS)
_REJECT_TYPE = int(RejectAttribute.NFTA_REJECT_TYPE)
_REJECT_CODE = int(RejectAttribute.NFTA_REJECT_ICMP_CODE)
_UNREACHABLE, _RESET = int(RejectType.NFT_REJECT_ICMP_UNREACH), int(RejectType.NFT_REJECT_TCP_RST)
_OF_BOTH = int(RejectType.NFT_REJECT_ICMPX_UNREACH)
_INET = int(ProtocolFamily.NFPROTO_INET)
_WORD = 0xFFFFFFFFFFFFFFFF
REJECT_HOOKS = (
    1 << int(Hook.NF_INET_PRE_ROUTING)
    | 1 << int(Hook.NF_INET_LOCAL_IN)
    | 1 << int(Hook.NF_INET_FORWARD)
    | 1 << int(Hook.NF_INET_LOCAL_OUT)
)


class Immediate(Expression):
    """Linux: net/netfilter/nft_immediate.c, nft_immediate_eval."""

    __slots__ = ("place", "value", "verdict")

    name = b"immediate"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        if _IMMEDIATE_TARGET not in found or _IMMEDIATE_DATA not in found:
            raise EINVAL("an attribute is missing")
        number = needed(found, _IMMEDIATE_TARGET)
        self.value = b""
        self.verdict: Verdict | None = None
        self.place = place_of(number)
        if self.place:
            self.value = value_of(found, _IMMEDIATE_DATA)
            self.place = reading.loaded.target(number, len(self.value))
        else:
            data = nested_in(found[_IMMEDIATE_DATA])
            self.verdict = reading.draft.verdict_in(reading.table, data)

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        if self.verdict is None:
            store(registers, self.place, self.value)
        return self.verdict

    def attributes(self) -> bytes:
        data = self.verdict.data() if self.verdict is not None else value_data(self.value)
        target = attribute(_IMMEDIATE_TARGET, be32(number_of(self.place)))
        return target + attribute(_IMMEDIATE_DATA, data)


def leading_on(verdict: Verdict) -> dict[int, bytes]:
    """The attributes of an immediate verdict."""
    return {_IMMEDIATE_TARGET: be32(number_of(0)), _IMMEDIATE_DATA: verdict.data()}


class Counter(Expression):
    """Linux: net/netfilter/nft_counter.c, nft_counter_do_eval."""

    __slots__ = ("byte_count", "packet_count")

    name = b"counter"

    def __init__(self, _reading: Reading | None, found: dict[int, bytes]) -> None:
        self.packet_count = be64_in(found, _PACKETS) or 0
        self.byte_count = be64_in(found, _BYTES) or 0

    def add(self, passing: Passing) -> None:
        """One more packet."""
        self.packet_count = self.packet_count + 1 & _WORD
        self.byte_count = self.byte_count + len(passing.whole) & _WORD

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        self.add(passing)
        return None

    def attributes(self) -> bytes:
        return attribute(_BYTES, be64(self.byte_count)) + attribute(_PACKETS, be64(self.packet_count))


class Reject(Expression):
    """Linux: net/ipv4/netfilter/nft_reject_ipv4.c, nft_reject_ipv4_eval; net/netfilter/nft_reject_inet.c."""

    __slots__ = ("code", "kind")

    name = b"reject"
    hooks = REJECT_HOOKS

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        self.kind = needed(found, _REJECT_TYPE)
        self.code = 0
        if self.kind not in (_UNREACHABLE, _RESET, _OF_BOTH):
            raise EINVAL("no such answer")
        if self.kind != _RESET:
            if not found.get(_REJECT_CODE):
                raise EINVAL("a code is needed")
            self.code = found[_REJECT_CODE][0]
            if self.kind == _OF_BOTH and self.code >= len(REASONS_OF_BOTH):
                raise EINVAL("no such code")

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        if self.kind == _RESET:
            refuse_with_reset(passing)
            return DROPPED
        code = self.code
        assert passing.table is not None
        if self.kind == _OF_BOTH and passing.table.family != _INET:
            # A table of one family has no answer for both.
            return DROPPED
        if self.kind == _OF_BOTH:
            code = REASONS_OF_BOTH[code][0 if passing.family == IPV4 else 1]
        error = (REASONS_4 if passing.family == IPV4 else REASONS_6).get(code)
        if error is not None:
            refuse_with_error(passing, error)
        return DROPPED

    def attributes(self) -> bytes:
        told = attribute(_REJECT_TYPE, be32(self.kind))
        if self.kind != _RESET:
            told += attribute(_REJECT_CODE, pack_u8(self.code))
        return told
