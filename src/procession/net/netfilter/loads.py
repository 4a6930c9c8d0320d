"""Expressions that fill registers: `payload` from the packet, `meta` and `ct` from what isn't in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP
from procession.abi.internet import ADDRESS_BYTES, ETHERTYPES
from procession.abi.nftables import (
    ConnectionAttribute,
    ConnectionKey,
    MetaAttribute,
    MetaKey,
    PayloadAttribute,
    PayloadBase,
)
from procession.abi.word import pack_port, pack_u8, pack_u16, pack_u32
from procession.net.netfilter.expression import Expression, be32, byte_of, needed
from procession.net.netfilter.registers import number_of, store
from procession.net.netfilter.verdict import NO_MATCH
from procession.net.netlink.attributes import attribute

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.netfilter.expression import Reading
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.verdict import Verdict

_NETWORK_HEADER = int(PayloadBase.NFT_PAYLOAD_NETWORK_HEADER)
_TRANSPORT_HEADER = int(PayloadBase.NFT_PAYLOAD_TRANSPORT_HEADER)
_BASE, _OFFSET = int(PayloadAttribute.NFTA_PAYLOAD_BASE), int(PayloadAttribute.NFTA_PAYLOAD_OFFSET)
_LENGTH, _TARGET = int(PayloadAttribute.NFTA_PAYLOAD_LEN), int(PayloadAttribute.NFTA_PAYLOAD_DREG)
_SOURCE = int(PayloadAttribute.NFTA_PAYLOAD_SREG)

_META_KEY, _META_TARGET = int(MetaAttribute.NFTA_META_KEY), int(MetaAttribute.NFTA_META_DREG)
_META_SOURCE = int(MetaAttribute.NFTA_META_SREG)
_LEN, _PROTOCOL = int(MetaKey.NFT_META_LEN), int(MetaKey.NFT_META_PROTOCOL)
_MARK = int(MetaKey.NFT_META_MARK)
_IIF, _OIF = int(MetaKey.NFT_META_IIF), int(MetaKey.NFT_META_OIF)
_IIFNAME, _OIFNAME = int(MetaKey.NFT_META_IIFNAME), int(MetaKey.NFT_META_OIFNAME)
_IIFTYPE, _OIFTYPE = int(MetaKey.NFT_META_IIFTYPE), int(MetaKey.NFT_META_OIFTYPE)
_NFPROTO, _L4PROTO = int(MetaKey.NFT_META_NFPROTO), int(MetaKey.NFT_META_L4PROTO)
_NAME_BYTES = 16
_META_BYTES = {
    **dict.fromkeys((_LEN, _MARK, _IIF, _OIF), 4),
    **dict.fromkeys((_PROTOCOL, _IIFTYPE, _OIFTYPE), 2),
    **dict.fromkeys((_IIFNAME, _OIFNAME), _NAME_BYTES),
    **dict.fromkeys((_NFPROTO, _L4PROTO), 1),
}
"""How long what can be asked for is."""
_INCOMING = (_IIF, _IIFNAME, _IIFTYPE)
_CT_KEY, _CT_TARGET = int(ConnectionAttribute.NFTA_CT_KEY), int(ConnectionAttribute.NFTA_CT_DREG)
_CT_SOURCE = int(ConnectionAttribute.NFTA_CT_SREG)
_CT_DIRECTION = int(ConnectionAttribute.NFTA_CT_DIRECTION)
_STATE, _DIRECTION = int(ConnectionKey.NFT_CT_STATE), int(ConnectionKey.NFT_CT_DIRECTION)
_STATUS = int(ConnectionKey.NFT_CT_STATUS)


class Payload(Expression):
    """Linux: net/netfilter/nft_payload.c, nft_payload_eval."""

    __slots__ = ("base", "length", "offset", "place")

    name = b"payload"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        if _SOURCE in found:
            raise EOPNOTSUPP("packets aren't changed")
        if _BASE not in found or _TARGET not in found:
            raise EINVAL("an attribute is missing")
        self.base = needed(found, _BASE)
        if self.base not in (_NETWORK_HEADER, _TRANSPORT_HEADER):
            raise EOPNOTSUPP("there is no such header")
        self.offset = byte_of(found, _OFFSET)
        self.length = byte_of(found, _LENGTH)
        self.place = reading.loaded.target(needed(found, _TARGET), self.length)

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        start = self.offset
        if self.base == _TRANSPORT_HEADER:
            start += passing.transport_offset
        data = passing.whole[start : start + self.length]
        if len(data) < self.length:
            return NO_MATCH
        store(registers, self.place, data)
        return None

    def attributes(self) -> bytes:
        return b"".join(
            (
                attribute(_TARGET, be32(number_of(self.place))),
                attribute(_BASE, be32(self.base)),
                attribute(_OFFSET, be32(self.offset)),
                attribute(_LENGTH, be32(self.length)),
            )
        )


def read_meta(reading: Reading, found: dict[int, bytes]) -> Expression:
    """Linux: net/netfilter/nft_meta.c, nft_meta_select_ops."""
    if _META_KEY not in found or (_META_TARGET in found and _META_SOURCE in found):
        raise EINVAL("an attribute is missing, or one too many is there")
    return MetaChange(reading, found) if _META_SOURCE in found else Meta(reading, found)


class MetaChange(Expression):
    """`meta` that sets what isn't in a packet: its mark. Linux: net/netfilter/nft_meta.c,
    nft_meta_set_eval."""

    __slots__ = ("place",)

    name = b"meta"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        if needed(found, _META_KEY) != _MARK:
            raise EOPNOTSUPP("nothing of a packet can be set but its mark")
        self.place = reading.loaded.source(needed(found, _META_SOURCE), _META_BYTES[_MARK])

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        passing.packet.mark = int.from_bytes(registers[self.place : self.place + 4], "little")
        return None

    def attributes(self) -> bytes:
        return attribute(_META_KEY, be32(_MARK)) + attribute(_META_SOURCE, be32(number_of(self.place)))


class Meta(Expression):
    """Linux: net/netfilter/nft_meta.c, nft_meta_get_eval."""

    __slots__ = ("key", "place")

    name = b"meta"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        self.key = needed(found, _META_KEY)
        length = _META_BYTES.get(self.key)
        if length is None:
            raise EOPNOTSUPP("no such key")
        self.place = reading.loaded.target(needed(found, _META_TARGET), length)

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        data = self._data(passing)
        if data is None:
            return NO_MATCH
        store(registers, self.place, data)
        return None

    def _data(self, passing: Passing) -> bytes | None:
        key = self.key
        if key == _LEN:
            return pack_u32(len(passing.whole))
        if key == _MARK:
            return pack_u32(passing.packet.mark)
        if key == _PROTOCOL:
            return pack_port(ETHERTYPES[ADDRESS_BYTES[passing.family]])
        if key == _NFPROTO:
            return pack_u8(passing.family)
        if key == _L4PROTO:
            return pack_u8(passing.packet.protocol)
        return self._of_interface(passing.arrived if key in _INCOMING else passing.out)

    def _of_interface(self, interface: Interface | None) -> bytes | None:
        """Without an interface there is neither a number nor a name, but no type is no match."""
        if self.key in (_IIF, _OIF):
            return pack_u32(interface.index if interface is not None else 0)
        if self.key in (_IIFNAME, _OIFNAME):
            return (interface.name if interface is not None else b"").ljust(_NAME_BYTES, b"\0")
        return pack_u16(interface.hardware_type) if interface is not None else None

    def attributes(self) -> bytes:
        return attribute(_META_KEY, be32(self.key)) + attribute(_META_TARGET, be32(number_of(self.place)))


class ConnectionLoad(Expression):
    """Linux: net/netfilter/nft_ct.c, nft_ct_get_eval."""

    __slots__ = ("key", "place")

    name = b"ct"
    is_tracking = True

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        if _CT_KEY not in found:
            raise EINVAL("an attribute is missing")
        self.key = needed(found, _CT_KEY)
        if _CT_SOURCE in found or self.key not in (_STATE, _DIRECTION, _STATUS):
            raise EOPNOTSUPP("no such key, or nothing to set")
        if _CT_DIRECTION in found:
            raise EINVAL("the same for both directions")
        length = 1 if self.key == _DIRECTION else 4
        self.place = reading.loaded.target(needed(found, _CT_TARGET), length)

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        tracked = passing.tracked
        if self.key == _STATE:
            data = pack_u32(passing.connection_state)
        elif tracked is None:
            return NO_MATCH
        elif self.key == _DIRECTION:
            data = pack_u8(int(tracked.is_answer))
        else:
            data = pack_u32(tracked.connection.status)
        store(registers, self.place, data)
        return None

    def attributes(self) -> bytes:
        return attribute(_CT_TARGET, be32(number_of(self.place))) + attribute(_CT_KEY, be32(self.key))
