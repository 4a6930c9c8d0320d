"""How much an interface takes at once, to make packets of it or to join them: IFLA_GSO_MAX_SIZE and its kin
(ip-link(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, TOLD
from procession.abi.netlink import LinkAttribute
from procession.net.link.interface import LEGACY_CUT_BYTES, LOOPBACK, VETH
from procession.net.netlink.attributes import number, number_in

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

_LARGEST_BYTES, _MOST_SEGMENTS = 524_280, 65_535
"""TSO_MAX_SIZE, TSO_MAX_SEGS."""
LEAST_BYTES = 193
"""More than a segment's headers, MAX_TCP_HEADER."""
_SEGMENTS = int(LinkAttribute.IFLA_GSO_MAX_SEGS)
_SENT, _RECEIVED = int(LinkAttribute.IFLA_GSO_MAX_SIZE), int(LinkAttribute.IFLA_GRO_MAX_SIZE)
_SENT_4, _RECEIVED_4 = int(LinkAttribute.IFLA_GSO_IPV4_MAX_SIZE), int(LinkAttribute.IFLA_GRO_IPV4_MAX_SIZE)
_LIMITS = {
    _SEGMENTS: (_MOST_SEGMENTS, "gso_max_segs"),
    _SENT: (LEGACY_CUT_BYTES, "gso_max_size"),
    _RECEIVED: (LEGACY_CUT_BYTES, "gro_max_size"),
    _SENT_4: (LEGACY_CUT_BYTES, "gso_ipv4_max_size"),
    _RECEIVED_4: (LEGACY_CUT_BYTES, "gro_ipv4_max_size"),
}
_OF_IPV4 = {_SENT: _SENT_4, _RECEIVED: _RECEIVED_4}


def _most_bytes(interface: Interface) -> int:
    """What its driver cuts at once."""
    return _LARGEST_BYTES if interface.kind in (LOOPBACK, VETH) else LEGACY_CUT_BYTES


def told_segments(interface: Interface) -> list[tuple[LinkAttribute, bytes]]:
    """The limits as they are. Linux: net/core/rtnetlink.c, rtnl_fill_ifinfo."""
    limits = interface.segment_limits
    return [
        *((LinkAttribute(kind), number(limits.get(kind, usual))) for kind, (usual, _) in _LIMITS.items()),
        (LinkAttribute.IFLA_TSO_MAX_SIZE, number(_most_bytes(interface))),
        (LinkAttribute.IFLA_TSO_MAX_SEGS, number(_MOST_SEGMENTS)),
    ]


def check_segments(interface: Interface, found: dict[int, bytes]) -> None:
    """Raise EINVAL for more than there can be. Linux: net/core/rtnetlink.c, validate_linkmsg."""
    most = {
        **{_SEGMENTS: _MOST_SEGMENTS, _RECEIVED: _LARGEST_BYTES, _RECEIVED_4: _LARGEST_BYTES},
        **dict.fromkeys((_SENT, _SENT_4), _most_bytes(interface)),
    }
    for kind in (_SENT, _SEGMENTS, _RECEIVED, _SENT_4, _RECEIVED_4):
        wanted = number_in(found, kind)
        if wanted is not None and wanted > most[kind]:
            raise EINVAL(f"too big {_LIMITS[kind][1]}", TOLD)


def set_segments(interface: Interface, found: dict[int, bytes]) -> None:
    """Those that are said; one of all that IPv4 can have too is IPv4's. Linux: net/core/dev.h,
    netif_set_gso_max_size, netif_set_gro_max_size."""
    for kind in (_SENT, _SEGMENTS, _RECEIVED, _SENT_4, _RECEIVED_4):
        wanted = number_in(found, kind)
        if wanted is None or wanted == interface.segment_limits.get(kind, _LIMITS[kind][0]):
            continue
        interface.segment_limits[kind] = wanted
        if kind in _OF_IPV4 and wanted <= LEGACY_CUT_BYTES:
            interface.segment_limits[_OF_IPV4[kind]] = wanted
