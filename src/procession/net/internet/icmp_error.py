"""What ICMP says of a packet that didn't arrive, and which errno that is (icmp(7))."""

from __future__ import annotations

from procession.abi.errno import EACCES, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT, EPROTO
from procession.abi.named_tuple import NamedTuple


class IcmpError(NamedTuple):
    """An answer: its type and code in ICMP and in ICMPv6, the errno, and whether that is final.

    Linux: net/ipv4/icmp.c, icmp_err_convert; net/ipv6/icmp.c, icmpv6_err_convert.
    """

    kind: int
    code: int
    kind_6: int
    code_6: int
    error: int
    error_6: int
    is_fatal: bool

    @property
    def counter(self) -> str:
        """What counts such messages, behind their direction."""
        return _COUNTERS.get(self.kind, "DestUnreachs")


_TIME_EXCEEDED, _PARAMETER_PROBLEM = 11, 12
_COUNTERS = {_TIME_EXCEEDED: "TimeExcds", _PARAMETER_PROBLEM: "ParmProbs"}

NET_UNREACHABLE = IcmpError(3, 0, 1, 0, ENETUNREACH.number, ENETUNREACH.number, False)
HOST_UNREACHABLE = IcmpError(3, 1, 1, 3, EHOSTUNREACH.number, EHOSTUNREACH.number, False)
PROTOCOL_UNREACHABLE = IcmpError(3, 2, 4, 1, ENOPROTOOPT.number, ENOPROTOOPT.number, True)
PORT_UNREACHABLE = IcmpError(3, 3, 1, 4, ECONNREFUSED.number, ECONNREFUSED.number, True)
PROHIBITED = IcmpError(3, 13, 1, 1, EHOSTUNREACH.number, EACCES.number, True)
TIME_EXCEEDED = IcmpError(11, 0, 3, 0, EHOSTUNREACH.number, EHOSTUNREACH.number, False)
PARAMETER_PROBLEM = IcmpError(12, 0, 4, 0, EPROTO.number, EPROTO.number, True)
UNKNOWN_OPTION = IcmpError(12, 0, 4, 2, EPROTO.number, EPROTO.number, True)
"""Of IPv6's extension headers alone."""
ICMP_ERRORS = (
    *(NET_UNREACHABLE, HOST_UNREACHABLE, PROTOCOL_UNREACHABLE, PORT_UNREACHABLE, PROHIBITED),
    *(TIME_EXCEEDED, PARAMETER_PROBLEM),
)
"""Those that are understood when others send them."""
