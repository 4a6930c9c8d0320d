"""What `reject` answers to a packet's sender: a message of ICMP, or TCP's RST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EHOSTUNREACH, ENETUNREACH
from procession.net.internet.icmp_error import (
    HOST_UNREACHABLE,
    NET_UNREACHABLE,
    PORT_UNREACHABLE,
    PROHIBITED,
    PROTOCOL_UNREACHABLE,
    IcmpError,
)
from procession.net.internet.output import send_error
from procession.net.internet.passage import send_reset

if TYPE_CHECKING:
    from procession.net.netfilter.passing import Passing

_NET_PROHIBITED = IcmpError(3, 9, 1, 1, ENETUNREACH.number, EACCES.number, True)
_HOST_PROHIBITED = IcmpError(3, 10, 1, 1, EHOSTUNREACH.number, EACCES.number, True)
_POLICY_FAILED = IcmpError(3, 13, 1, 5, EHOSTUNREACH.number, EACCES.number, True)
_ROUTE_REJECTED = IcmpError(3, 13, 1, 6, EHOSTUNREACH.number, EACCES.number, True)

REASONS_4 = {
    0: NET_UNREACHABLE,
    1: HOST_UNREACHABLE,
    2: PROTOCOL_UNREACHABLE,
    3: PORT_UNREACHABLE,
    9: _NET_PROHIBITED,
    10: _HOST_PROHIBITED,
    13: PROHIBITED,
}
"""By the codes of ICMP's destination unreachable."""
REASONS_6 = {
    0: NET_UNREACHABLE,
    1: PROHIBITED,
    3: HOST_UNREACHABLE,
    4: PORT_UNREACHABLE,
    5: _POLICY_FAILED,
    6: _ROUTE_REJECTED,
}
"""By those of ICMPv6's."""
REASONS_OF_BOTH = ((0, 0), (3, 4), (1, 3), (13, 1))
"""The codes of both, by that of NFT_REJECT_ICMPX_UNREACH (Linux: net/netfilter/nft_reject.c, icmp_code_v4,
icmp_code_v6)."""


def refuse_with_error(passing: Passing, error: IcmpError) -> None:
    """Linux: net/ipv4/netfilter/nf_reject_ipv4.c, nf_send_unreach."""
    send_error(passing.network, passing.packet, error, is_attached=True)


def refuse_with_reset(passing: Passing) -> None:
    """Linux: net/ipv4/netfilter/nf_reject_ipv4.c, nf_send_reset."""
    send_reset(passing.network, passing.packet)
