"""The expression `fib`, which asks the routes about a packet's addresses (nft(8), FIB EXPRESSIONS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP
from procession.abi.netlink import RouteType
from procession.abi.nftables import FibAttribute, FibFlag, FibResult, Hook
from procession.abi.word import pack_u8, pack_u32
from procession.net.internet.address import is_multicast
from procession.net.internet.routing import BROADCAST, LOCAL, LOCAL_TABLE
from procession.net.link.interface import LOOPBACK
from procession.net.netfilter.expression import Expression, be32, needed
from procession.net.netfilter.registers import number_of, store
from procession.net.netlink.attributes import attribute

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.netfilter.expression import Reading
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.verdict import Verdict
    from procession.net.network import Network

_TARGET, _RESULT = int(FibAttribute.NFTA_FIB_DREG), int(FibAttribute.NFTA_FIB_RESULT)
_FLAGS = int(FibAttribute.NFTA_FIB_FLAGS)
_INDEX, _NAME = int(FibResult.NFT_FIB_RESULT_OIF), int(FibResult.NFT_FIB_RESULT_OIFNAME)
_ADDRESS_TYPE = int(FibResult.NFT_FIB_RESULT_ADDRTYPE)
_OF_SOURCE, _OF_TARGET = int(FibFlag.NFTA_FIB_F_SADDR), int(FibFlag.NFTA_FIB_F_DADDR)
_ARRIVED, _OUT = int(FibFlag.NFTA_FIB_F_IIF), int(FibFlag.NFTA_FIB_F_OIF)
_PRESENT = int(FibFlag.NFTA_FIB_F_PRESENT)
_KNOWN_FLAGS = 0x3F
_NAME_BYTES = 16
_UNICAST, _MULTICAST = int(RouteType.RTN_UNICAST), int(RouteType.RTN_MULTICAST)
_PRE_ROUTING, _LOCAL_IN = 1 << int(Hook.NF_INET_PRE_ROUTING), 1 << int(Hook.NF_INET_LOCAL_IN)
_FORWARD, _LOCAL_OUT = 1 << int(Hook.NF_INET_FORWARD), 1 << int(Hook.NF_INET_LOCAL_OUT)
_POST_ROUTING = 1 << int(Hook.NF_INET_POST_ROUTING)


def address_type(network: Network, address: bytes, device: Interface | None) -> int:
    """RTN_*: what an address is to `network`, or to one interface of it.

    Linux: net/ipv4/fib_frontend.c, __inet_dev_addr_type; net/ipv6/netfilter/nft_fib_ipv6.c,
    __nft_fib6_eval_type.
    """
    if is_multicast(address):
        return _MULTICAST
    if len(address) == 4 and (address[0] == 0 or address == b"\xff" * 4):
        return BROADCAST
    route = network.routes.lookup_in(LOCAL_TABLE, address)
    if route is None or (device is not None and route.interface is not device):
        return _UNICAST
    return route.kind if route.kind in (LOCAL, BROADCAST) else _UNICAST


class Fib(Expression):
    """Linux: net/netfilter/nft_fib.c, nft_fib_init, nft_fib_validate; net/ipv4/netfilter/nft_fib_ipv4.c,
    nft_fib4_eval_type, nft_fib4_eval; net/ipv6/netfilter/nft_fib_ipv6.c, nft_fib6_eval_type, nft_fib6_eval.
    """

    __slots__ = ("flags", "hooks", "place", "result")

    name = b"fib"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        if any(kind not in found for kind in (_TARGET, _RESULT, _FLAGS)):
            raise EINVAL("an attribute is missing")
        self.flags = needed(found, _FLAGS)
        if not self.flags or self.flags & ~_KNOWN_FLAGS:
            raise EINVAL("no such flag")
        for pair in (_OF_SOURCE | _OF_TARGET, _ARRIVED | _OUT):
            if self.flags & pair == pair:
                raise EINVAL("one or the other")
        if not self.flags & (_OF_SOURCE | _OF_TARGET):
            raise EINVAL("which address?")
        self.result = needed(found, _RESULT)
        if self.result not in (_INDEX, _NAME, _ADDRESS_TYPE):
            raise EOPNOTSUPP("no such result")
        if self.result == _ADDRESS_TYPE:
            self.hooks = 0x1F
            if self.flags & _ARRIVED:
                self.hooks = _PRE_ROUTING | _LOCAL_IN | _FORWARD
            elif self.flags & _OUT:
                self.hooks = _LOCAL_OUT | _POST_ROUTING | _FORWARD
            length = 4
        else:
            if self.flags & _OUT:
                raise EINVAL("it's asked for")
            self.hooks = _PRE_ROUTING | _LOCAL_IN | _FORWARD
            length = 4 if self.result == _INDEX else _NAME_BYTES
            if self.flags & _PRESENT:
                length = 1
        self.place = reading.loaded.target(needed(found, _TARGET), length)

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        device = None
        if self.flags & _ARRIVED:
            device = passing.arrived
        elif self.flags & _OUT:
            device = passing.out
        packet = passing.packet
        address = packet.source if self.flags & _OF_SOURCE else packet.target
        if self.result == _ADDRESS_TYPE:
            store(registers, self.place, pack_u32(address_type(passing.network, address, device)))
            return None
        found = self._interface(passing, address, device)
        if self.flags & _PRESENT:
            data = pack_u8(int(found is not None))
        elif self.result == _INDEX:
            data = pack_u32(found.index if found is not None else 0)
        else:
            data = (found.name if found is not None else b"").ljust(_NAME_BYTES, b"\0")
        store(registers, self.place, data)
        return None

    def _interface(self, passing: Passing, address: bytes, device: Interface | None) -> Interface | None:
        """Which interface leads to `address`; `device` if it's given and does, else None."""
        arrived = passing.arrived
        if arrived is not None and arrived.kind == LOOPBACK:
            return arrived
        route = passing.network.routes.lookup(address)
        if route is None or route.kind not in (_UNICAST, LOCAL) or (device is None and route.kind == LOCAL):
            return None
        if device is not None and route.interface is not device:
            return None
        return route.interface

    def attributes(self) -> bytes:
        return b"".join(
            (
                attribute(_TARGET, be32(number_of(self.place))),
                attribute(_RESULT, be32(self.result)),
                attribute(_FLAGS, be32(self.flags)),
            )
        )
