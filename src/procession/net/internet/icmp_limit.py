"""How many messages of ICMP a network sends: to each address, and at all (icmp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_MS, NS_PER_S
from procession.abi.errno import ENOBUFS
from procession.hardware.kernel_memory import SETTING_BYTES
from procession.net.link.interface import LOOPBACK

if TYPE_CHECKING:
    from procession.net.internet.flow import Flow
    from procession.net.network import Network

_BURST = 6
"""So many at once, to who hasn't had any for a while."""
_LARGEST_KIND, _UNREACHABLE, _TOO_LONG = 18, 3, 4
_MOST_PEERS = 1_024
_ADDRESS_BITS, _WIDTH = 128, 32


class IcmpLimit:
    """What a network may still send.

    `credit` are messages at all as of `credited_ns`; `peers` the time that each address has saved up, as of
    when, the longest known first (in Linux, struct inet_peer).
    """

    __slots__ = ("credit", "credited_ns", "peers")

    def __init__(self) -> None:
        self.credit = 0
        self.credited_ns = 0
        self.peers: dict[bytes, tuple[int, int]] = {}

    @property
    def size(self) -> int:
        """What it's charged with."""
        return len(self.peers) * SETTING_BYTES


def lets_message(network: Network, flow: Flow, kind: int, code: int) -> bool:
    """Whether a message goes along `flow` now. Nothing is limited on the loopback, or is that ratemask leaves
    out.

    Linux: net/ipv4/icmp.c, icmpv4_global_allow, icmpv4_xrlim_allow; net/ipv6/icmp.c, icmpv6_xrlim_allow.
    """
    sysctls = network.sysctls
    is_ipv6 = len(flow.target) == 16
    if flow.out.kind == LOOPBACK:
        return True
    if is_ipv6:
        is_limited = bool(sysctls.icmp_mask_6 >> kind & 1)
    else:
        is_limited = kind <= _LARGEST_KIND and bool(sysctls.icmp_mask >> kind & 1)
        is_limited = is_limited and (kind, code) != (_UNREACHABLE, _TOO_LONG)
    if not is_limited:
        return True
    limit = network.icmp_limit
    if limit is None:
        limit = network.icmp_limit = IcmpLimit()
    if not _has_credit(network, limit):
        network.count("IcmpOutRateLimitGlobal")
        return False
    if not _lets_to_peer(network, limit, flow.target):
        network.count("Icmp6OutRateLimitHost" if is_ipv6 else "IcmpOutRateLimitHost")
        return False
    limit.credit -= 1
    return True


def _has_credit(network: Network, limit: IcmpLimit) -> bool:
    """Linux: net/ipv4/icmp.c, icmp_global_allow."""
    if limit.credit > 0:
        return True
    now_ns, sysctls = network.host.clock.now_ns, network.sysctls
    passed_ns = min(now_ns - limit.credited_ns, NS_PER_S) if limit.credited_ns else NS_PER_S
    earned = sysctls.icmp_per_second * passed_ns // NS_PER_S
    if earned:
        limit.credited_ns = now_ns
    limit.credit = min(limit.credit + earned, sysctls.icmp_burst)
    return limit.credit > 0


def _lets_to_peer(network: Network, limit: IcmpLimit, address: bytes) -> bool:
    """Linux: net/ipv4/inetpeer.c, inet_peer_xrlim_allow."""
    sysctls, now_ns = network.sysctls, network.host.clock.now_ns
    each_ns = sysctls.icmp_pause_ms * NS_PER_MS
    if len(address) == 16:
        # Who is reached by a wider prefix gets more.
        route = network.routes.lookup(address)
        prefix_length = route.prefix_length if route is not None else _ADDRESS_BITS
        each_ns = sysctls.icmp_pause_ms_6 * NS_PER_MS >> (_ADDRESS_BITS - prefix_length) // _WIDTH
    if not each_ns:
        return True
    known = limit.peers.pop(address, None)
    if known is None:
        if len(limit.peers) >= _MOST_PEERS:
            del limit.peers[next(iter(limit.peers))]
        else:
            try:
                network.account_settings(1)
            except ENOBUFS:
                return True
        saved_ns = _BURST * each_ns
    else:
        saved_ns = min(known[0] + now_ns - known[1], _BURST * each_ns)
    is_let = saved_ns >= each_ns
    limit.peers[address] = saved_ns - each_ns if is_let else saved_ns, now_ns
    return is_let
