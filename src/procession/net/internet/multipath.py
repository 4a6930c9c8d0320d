"""Which of several ways the packets of a flow take (fib_multipath_hash_policy)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.blake2 import blake2b
from procession.abi.word import Words, pack_u32

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession.net.internet.next_hop import NextHop
    from procession.net.internet.routing import Route
    from procession.net.internet.routing_rule import Traffic
    from procession.net.sysctls import NetworkSysctls

_BY_CONNECTION, _BY_FIELDS = 1, 3
"""fib_multipath_hash_policy: by the protocol and ports too, or by what is chosen."""
_SOURCE, _TARGET, _PROTOCOL, _SOURCE_PORT, _TARGET_PORT = 1, 2, 4, 16, 32
"""FIB_MULTIPATH_HASH_FIELD_*."""
_ADDRESSES = _SOURCE | _TARGET
_BOUND = 31
_PORTS = Words("<BHH")


class PathChoice:
    """How the packets of a network choose."""

    __slots__ = ("sysctls",)

    def __init__(self, sysctls: NetworkSysctls) -> None:
        self.sysctls = sysctls

    def way(self, ways: list[Route], target: bytes, traffic: Traffic) -> Route:
        """One of several ways of which none is dead."""
        if self.sysctls.multipath_uses_neighbours and len(target) == 4:
            ways = [way for way in ways if has_neighbour(way)] or ways
        weights = [way.weight for way in ways]
        return ways[choose_place(weights, path_hash(target, traffic, self.sysctls))]

    def path(
        self, paths: Sequence[tuple[NextHop, int]], target: bytes, traffic: Traffic
    ) -> tuple[NextHop, int]:
        """One of the paths of a group: that which a flow takes, or one behind it of whose gateway nothing bad
        is known.

        Linux: net/ipv4/nexthop.c, nexthop_select_path_hthr.
        """
        weights = [weight for _, weight in paths]
        at = choose_place(weights, path_hash(target, traffic, self.sysctls))
        return next((path for path in paths[at:] if has_neighbour(path[0])), paths[at])


def path_hash(target: bytes, traffic: Traffic, sysctls: NetworkSysctls) -> int:
    """A number of 31 bits that all packets of a flow to `target` have.

    Linux: net/ipv4/route.c, fib_multipath_hash; net/ipv6/route.c, rt6_multipath_hash.
    """
    is_ipv6 = len(target) == 16
    policy = sysctls.multipath_policy_6 if is_ipv6 else sysctls.multipath_policy
    # By addresses alone IPv6 looks at the protocol too.
    fields = _ADDRESSES | _PROTOCOL if is_ipv6 else _ADDRESSES
    if policy == _BY_CONNECTION:
        fields = _ADDRESSES | _PROTOCOL | _SOURCE_PORT | _TARGET_PORT
    elif policy == _BY_FIELDS:
        fields = sysctls.multipath_fields_6 if is_ipv6 else sysctls.multipath_fields
    nowhere = bytes(len(target))
    text = (traffic.source or nowhere) if fields & _SOURCE else nowhere
    text += target if fields & _TARGET else nowhere
    text += _PORTS.pack(
        traffic.protocol if fields & _PROTOCOL else 0,
        traffic.source_port if fields & _SOURCE_PORT else 0,
        traffic.target_port if fields & _TARGET_PORT else 0,
    )
    seed = sysctls.multipath_seed
    key = pack_u32(seed) if seed else sysctls.multipath_key
    digest = blake2b(key + text, digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def choose_place(weights: Sequence[int], number: int) -> int:
    """Which of several ways, taken as often as their weights say, a flow with this number takes.

    Linux: net/ipv4/fib_semantics.c, fib_rebalance, fib_select_multipath; net/ipv6/route.c,
    rt6_multipath_rebalance, fib6_select_path.
    """
    total, upto = sum(weights), 0
    for place, weight in enumerate(weights):
        upto += weight
        if number < ((upto << _BOUND) + total // 2) // total:
            return place
    return len(weights) - 1


def has_neighbour(way: Route | NextHop) -> bool:
    """Whether nothing is known against the gateway of a way. Linux: net/ipv4/fib_semantics.c, fib_good_nh."""
    out, gateway = way.interface, way.next_address
    if out is None or gateway is None:
        return True
    entry = out.network.neighbours.get((out, gateway))
    return entry is None or entry.is_resolved
