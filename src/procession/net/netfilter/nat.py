"""Expressions that translate addresses: `nat`, `masq` and `redir` (nft(8), NAT STATEMENTS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAFNOSUPPORT, EINVAL, EOPNOTSUPP
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.nftables import (
    Hook,
    MasqueradeAttribute,
    NatAttribute,
    NatFlag,
    NatType,
    ProtocolFamily,
    RedirectAttribute,
)
from procession.abi.word import pack_address
from procession.net.internet.address import LOOPBACK_4, LOOPBACK_6
from procession.net.internet.device_address import addresses_of
from procession.net.internet.routing import SCOPE_UNIVERSE
from procession.net.internet.source_address import select_source
from procession.net.netfilter.expression import Expression, be32, be32_in, needed
from procession.net.netfilter.passing import IPV4
from procession.net.netfilter.registers import number_of
from procession.net.netfilter.translation import ADDRESSES, PORTS, SOURCE_HOOKS, Span, settle
from procession.net.netfilter.verdict import ACCEPTED, DROPPED
from procession.net.netlink.attributes import attribute

if TYPE_CHECKING:
    from procession.net.netfilter.expression import Reading
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.verdict import Verdict

_TYPE, _FAMILY = int(NatAttribute.NFTA_NAT_TYPE), int(NatAttribute.NFTA_NAT_FAMILY)
_FIRST, _LAST = int(NatAttribute.NFTA_NAT_REG_ADDR_MIN), int(NatAttribute.NFTA_NAT_REG_ADDR_MAX)
_NAT_PORTS = int(NatAttribute.NFTA_NAT_REG_PROTO_MIN), int(NatAttribute.NFTA_NAT_REG_PROTO_MAX)
_NAT_FLAGS = int(NatAttribute.NFTA_NAT_FLAGS)
_MASQ_PORTS = (
    int(MasqueradeAttribute.NFTA_MASQ_REG_PROTO_MIN),
    int(MasqueradeAttribute.NFTA_MASQ_REG_PROTO_MAX),
)
_MASQ_FLAGS = int(MasqueradeAttribute.NFTA_MASQ_FLAGS)
_REDIR_PORTS = (
    int(RedirectAttribute.NFTA_REDIR_REG_PROTO_MIN),
    int(RedirectAttribute.NFTA_REDIR_REG_PROTO_MAX),
)
_REDIR_FLAGS = int(RedirectAttribute.NFTA_REDIR_FLAGS)
_SOURCE, _TARGET = int(NatType.NFT_NAT_SNAT), int(NatType.NFT_NAT_DNAT)
_NETMAP = int(NatFlag.NF_NAT_RANGE_NETMAP)
KNOWN_FLAGS = 0x7F
"""NF_NAT_RANGE_MASK."""
_INET = int(ProtocolFamily.NFPROTO_INET)
_LOCAL_OUT = int(Hook.NF_INET_LOCAL_OUT)
TARGET_HOOKS = 1 << int(Hook.NF_INET_PRE_ROUTING) | 1 << _LOCAL_OUT
MASQUERADE_HOOKS = 1 << int(Hook.NF_INET_POST_ROUTING)
_PORT_BYTES = 2
_NOWHERE = 0
"""The place of no register."""


def masquerade(passing: Passing, flags: int, ports: tuple[int, int]) -> Verdict:
    """The source becomes the address of the interface that a packet goes out by.

    Linux: net/netfilter/nf_nat_masquerade.c, nf_nat_masquerade_ipv4, nf_nat_masquerade_ipv6.
    """
    tracked, out, packet = passing.tracked, passing.out, passing.packet
    if tracked is None or out is None or (passing.family == IPV4 and not any(tracked.connection.original[1])):
        return ACCEPTED
    network = passing.network
    route = network.routes.lookup(packet.target)
    near = (route.next_address if route is not None else None) or packet.target
    own = select_source(list(network.interfaces.values()), out, near, SCOPE_UNIVERSE)
    if own is None:
        return DROPPED
    settle(passing, tracked, Span(flags | ADDRESSES, own, own, *ports))
    return ACCEPTED


def redirect(passing: Passing, flags: int, ports: tuple[int, int]) -> Verdict:
    """The target becomes this machine: the address of the interface that a packet came by.

    Linux: net/netfilter/nf_nat_redirect.c, nf_nat_redirect_ipv4, nf_nat_redirect_ipv6.
    """
    tracked = passing.tracked
    if tracked is None:
        return ACCEPTED
    is_6 = passing.family != IPV4
    if passing.hook == _LOCAL_OUT:
        own = LOOPBACK_6 if is_6 else LOOPBACK_4
    else:
        assert passing.arrived is not None
        found = addresses_of(passing.arrived, is_ipv6=is_6)
        if not found:
            return DROPPED
        own = found[0].address
    settle(passing, tracked, Span(flags | ADDRESSES, own, own, *ports))
    return ACCEPTED


class _Translation(Expression):
    """What the three have in common: registers with the first and last port, and flags.

    A place is 0 where there is no register.
    """

    __slots__ = ("first_port", "flags", "last_port")

    is_tracking = True
    is_translating = True

    def __init__(self, reading: Reading, found: dict[int, bytes], kinds: tuple[int, int], flags: int) -> None:
        self.flags = flags
        self.first_port, self.last_port = _registers(reading, found, kinds, _PORT_BYTES)

    def ports(self, registers: bytearray) -> tuple[int, int]:
        """What is in the registers, zeros without."""
        if not self.first_port:
            return 0, 0
        first, last = (
            int.from_bytes(registers[place : place + _PORT_BYTES], "big")
            for place in (self.first_port, self.last_port)
        )
        return first, last


def _registers(
    reading: Reading, found: dict[int, bytes], kinds: tuple[int, int], length: int
) -> tuple[int, int]:
    """Where the first and the last are, which may be one; places 0 if neither is said."""
    first = be32_in(found, kinds[0])
    if first is None:
        return _NOWHERE, _NOWHERE
    place = reading.loaded.source(first, length)
    last = be32_in(found, kinds[1])
    return place, place if last is None else reading.loaded.source(last, length)


def _told_registers(kinds: tuple[int, int], first: int, last: int) -> bytes:
    if not first:
        return b""
    return attribute(kinds[0], be32(number_of(first))) + attribute(kinds[1], be32(number_of(last)))


class Nat(_Translation):
    """Linux: net/netfilter/nft_nat.c, nft_nat_init, nft_nat_eval."""

    __slots__ = ("family", "first", "hooks", "kind", "last")

    name = b"nat"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        if _TYPE not in found or (_FIRST not in found and _NAT_PORTS[0] not in found):
            raise EINVAL("an attribute is missing")
        self.kind = needed(found, _TYPE)
        if self.kind not in (_SOURCE, _TARGET):
            raise EOPNOTSUPP("sources or targets are changed")
        self.hooks = SOURCE_HOOKS if self.kind == _SOURCE else TARGET_HOOKS
        self.family = needed(found, _FAMILY)
        if reading.table.family not in (_INET, self.family):
            raise EOPNOTSUPP("another family than the table's")
        length = ADDRESS_BYTES.get(self.family)
        if length is None and _FIRST in found:
            raise EAFNOSUPPORT("addresses of no such family")
        self.first, self.last = _registers(reading, found, (_FIRST, _LAST), length or 0)
        super().__init__(reading, found, _NAT_PORTS, be32_in(found, _NAT_FLAGS) or 0)
        if self.flags & ~KNOWN_FLAGS:
            raise EINVAL("no such flag")
        if self.first:
            self.flags |= ADDRESSES
        if self.first_port:
            self.flags |= PORTS

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        tracked = passing.tracked
        assert passing.table is not None
        if tracked is None or self.family not in (passing.family, _INET):
            return None
        first = last = b""
        if self.first:
            size = ADDRESS_BYTES[self.family]
            first = bytes(registers[self.first : self.first + size])
            last = bytes(registers[self.last : self.last + size])
            if self.flags & _NETMAP:
                own = passing.packet.source if self.kind == _SOURCE else passing.packet.target
                first = last = _mapped(own, first, last)
        settle(passing, tracked, Span(self.flags, first, last, *self.ports(registers)))
        return ACCEPTED

    def attributes(self) -> bytes:
        told = attribute(_TYPE, be32(self.kind)) + attribute(_FAMILY, be32(self.family))
        told += _told_registers((_FIRST, _LAST), self.first, self.last)
        told += _told_registers(_NAT_PORTS, self.first_port, self.last_port)
        return told + attribute(_NAT_FLAGS, be32(self.flags)) if self.flags else told


def _mapped(own: bytes, first: bytes, last: bytes) -> bytes:
    """`own` in another net: what `first` and `last` have in common is the net's.

    Linux: net/netfilter/nft_nat.c, nft_nat_setup_netmap.
    """
    start = int.from_bytes(first, "big")
    rest = start ^ int.from_bytes(last, "big")
    return pack_address(start & ~rest | int.from_bytes(own, "big") & rest, len(own))


class Masquerade(_Translation):
    """Linux: net/netfilter/nft_masq.c, nft_masq_init, nft_masq_eval."""

    __slots__ = ()

    name = b"masq"
    hooks = MASQUERADE_HOOKS

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        flags = be32_in(found, _MASQ_FLAGS) or 0
        if flags & ~KNOWN_FLAGS:
            raise EINVAL("no such flag")
        super().__init__(reading, found, _MASQ_PORTS, flags)

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        return masquerade(passing, self.flags, self.ports(registers))

    def attributes(self) -> bytes:
        told = attribute(_MASQ_FLAGS, be32(self.flags)) if self.flags else b""
        return told + _told_registers(_MASQ_PORTS, self.first_port, self.last_port)


class Redirect(_Translation):
    """Linux: net/netfilter/nft_redir.c, nft_redir_init, nft_redir_eval."""

    __slots__ = ()

    name = b"redir"
    hooks = TARGET_HOOKS

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        flags = be32_in(found, _REDIR_FLAGS)
        super().__init__(reading, found, _REDIR_PORTS, PORTS if _REDIR_PORTS[0] in found else 0)
        if flags is not None:
            if flags & ~KNOWN_FLAGS:
                raise EINVAL("no such flag")
            self.flags = flags

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        return redirect(passing, self.flags, self.ports(registers))

    def attributes(self) -> bytes:
        told = _told_registers(_REDIR_PORTS, self.first_port, self.last_port)
        return told + attribute(_REDIR_FLAGS, be32(self.flags)) if self.flags else told
