"""RTA_MULTIPATH: the ways of a route as a request lists them (rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP, TOLD
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.named_tuple import NamedTuple
from procession.abi.netlink import RTNH_F_DEAD, RTNH_F_LINKDOWN, Rtnexthop
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.netlink.attributes import list_in
from procession.net.netlink.route_policy import (
    ENCAPSULATION,
    ENCAPSULATION_TYPE,
    GATEWAY,
    REALM,
    VIA,
)

if TYPE_CHECKING:
    from procession.net.internet.routing import Route

_HEADER_BYTES = Rtnexthop.SIZE
_LAST_ENCAPSULATION = 10
"""LWTUNNEL_ENCAP_XFRM."""


class Hop(NamedTuple):
    """One way: its flags, the index of an interface, how often it's taken, and the attributes behind that."""

    flags: int
    interface_index: int
    weight: int
    found: dict[int, bytes]


def hops_in(data: bytes) -> tuple[list[Hop], int]:
    """The ways of a list, and how many bytes are left behind them. Linux: include/net/rtnh.h, rtnh_ok,
    rtnh_next."""
    hops: list[Hop] = []
    at = 0
    while len(data) - at >= _HEADER_BYTES:
        header = Rtnexthop.unpack_from(data, at)
        length = header.rtnh_len
        if not _HEADER_BYTES <= length <= len(data) - at:
            break
        found: dict[int, bytes] = {}
        for kind, value in list_in(data[at + _HEADER_BYTES : at + length]):
            found.setdefault(kind, value)
        hops.append(Hop(header.rtnh_flags, header.rtnh_ifindex, header.rtnh_hops + 1, found))
        at += length + 3 & ~3
    return hops, max(len(data) - at, 0)


def check_encapsulation_type(found: dict[int, bytes]) -> None:
    """Raise EINVAL or EOPNOTSUPP if packets are to be wrapped up: there is nothing that does it.

    Linux: net/core/lwtunnel.c, lwtunnel_valid_encap_type.
    """
    kind = found.get(ENCAPSULATION_TYPE)
    if kind is not None:
        check_encapsulation_type_number(int.from_bytes(kind[:2], "little"))


def check_encapsulation_type_number(kind: int) -> None:
    """The same of a number."""
    if not 0 < kind <= _LAST_ENCAPSULATION:
        raise EINVAL("Unknown lwt encapsulation type", TOLD)
    raise EOPNOTSUPP("lwt encapsulation type not supported", TOLD)


def check_encapsulation_types(hops: list[Hop]) -> None:
    """The same for each way. Linux: net/core/lwtunnel.c, lwtunnel_valid_encap_type_attr."""
    for hop in hops:
        kind = hop.found.get(ENCAPSULATION_TYPE)
        if kind is not None and len(kind) < 2:
            raise EINVAL("Invalid RTA_ENCAP_TYPE", TOLD)
        try:
            check_encapsulation_type(hop.found)
        except EINVAL as error:
            raise EOPNOTSUPP(*error.args) from None


def check_flags(hop: Hop) -> None:
    """Raise EINVAL for what only the kernel says of a way. Linux: net/ipv4/fib_semantics.c, fib_get_nhs."""
    if hop.flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN):
        raise EINVAL("Invalid flags for nexthop - can not contain DEAD or LINKDOWN", TOLD)


def gateway_4(found: dict[int, bytes]) -> bytes | None:
    """The gateway that attributes say. Raises EINVAL. Linux: net/ipv4/fib_frontend.c, fib_gw_from_via."""
    via = found.get(VIA)
    if via is None:
        gateway = found.get(GATEWAY, bytes(4))
        if len(gateway) < 4:
            raise EINVAL("Invalid IPv4 address in RTA_GATEWAY", TOLD)
        gateway = gateway[:4]
        return gateway if any(gateway) else None
    if len(via) < 2:
        raise EINVAL("Invalid attribute length for RTA_VIA", TOLD)
    family, gateway = int.from_bytes(via[:2], "little"), via[2:]
    if family not in (AF_INET, AF_INET6):
        raise EINVAL("Unsupported address family in RTA_VIA", TOLD)
    if len(gateway) != ADDRESS_BYTES[family]:
        raise EINVAL(f"Invalid IPv{4 if family == AF_INET else 6} address in RTA_VIA", TOLD)
    # One that is 0 is a gateway here, and no good one.
    return gateway


def gateway_of_hop(hop: Hop) -> bytes | None:
    """The gateway of a way of IPv4. Raises EINVAL. Linux: net/ipv4/fib_semantics.c, fib_get_nhs."""
    if GATEWAY in hop.found and VIA in hop.found:
        raise EINVAL("Nexthop configuration can not contain both GATEWAY and VIA", TOLD)
    return gateway_4(hop.found)


def realm_of_hop(hop: Hop) -> int:
    """RTA_FLOW of a way. Raises EINVAL."""
    realm = hop.found.get(REALM, bytes(4))
    if len(realm) < 4:
        raise EINVAL("Invalid RTA_FLOW", TOLD)
    return int.from_bytes(realm[:4], "little")


def has_wrapping(hop: Hop) -> bool:
    """Whether packets are to be wrapped up."""
    return ENCAPSULATION in hop.found


def checked_hops_4(data: bytes) -> list[Hop]:
    """The ways of a new route of IPv4. Raises EINVAL. Linux: net/ipv4/fib_semantics.c,
    fib_count_nexthops."""
    hops, rest = hops_in(data)
    if rest or not hops:
        raise EINVAL("Invalid nexthop configuration - extra data after nexthops", TOLD)
    return hops


def checked_hops_6(data: bytes, *, has_gateway: bool, is_new: bool) -> list[Hop]:
    """The ways of a route of IPv6, of which each needs a gateway if it's a new one. Raises EINVAL.

    Linux: net/ipv6/route.c, ip6_route_multipath_add.
    """
    hops, _ = hops_in(data)
    if not hops:
        raise EINVAL("Invalid nexthop configuration - no valid nexthops", TOLD)
    for hop in hops:
        gateway = hop.found.get(GATEWAY)
        if gateway is not None and len(gateway) < 16:
            raise EINVAL("Invalid IPv6 address in RTA_GATEWAY", TOLD)
        if is_new and not has_gateway and gateway is None:
            raise EINVAL("Device only routes can not be added for IPv6 using the multipath API.", TOLD)
    return hops


def has_ways(route: Route, hops: list[Hop]) -> bool:
    """Whether the ways of a route of IPv4 begin as a list does that tells which is to be removed.

    Linux: net/ipv4/fib_semantics.c, fib_nh_match.
    """
    for at, way in enumerate(route.ways or (route,)):
        if at >= len(hops):
            return False
        hop = hops[at]
        out = way.interface
        if hop.interface_index and (out is None or hop.interface_index != out.index):
            return False
        if (GATEWAY in hop.found or VIA in hop.found) and way.gateway != gateway_of_hop(hop):
            return False
        if REALM in hop.found and realm_of_hop(hop) != way.realm:
            return False
    return True
