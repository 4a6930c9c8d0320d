"""The options of SOL_UDP and SOL_UDPLITE (udp(7), udplite(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOPROTOOPT
from procession.abi.internet import UdpOption
from procession.abi.socket import IpProtocol, SocketLevel
from procession.net.internet.option_rule import SWITCH, Rule, keep
from procession.net.internet.packet import UDP_LITE
from procession.net.socket_options import pack_int, read_int

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket

SOL_UDP = int(SocketLevel.SOL_UDP)
SOL_UDPLITE = int(IpProtocol.IPPROTO_UDPLITE)
_SEND_COVERAGE, _RECEIVE_COVERAGE = 10, 11
"""UDPLITE_SEND_CSCOV and UDPLITE_RECV_CSCOV, which no header names."""
_ENCAPSULATION = int(UdpOption.UDP_ENCAP)
_NO_ENCAPSULATION, _L2TP = 0, 3
"""What UDP_ENCAP knows where there is no IPsec: the second says only what else looks at the packets."""
_SEGMENT, _COALESCE = int(UdpOption.UDP_SEGMENT), int(UdpOption.UDP_GRO)
SEGMENT, COALESCE = (SOL_UDP, _SEGMENT), (SOL_UDP, _COALESCE)
_COVERAGE = (_SEND_COVERAGE, _RECEIVE_COVERAGE)
_LEAST_COVERAGE = 8
_RULES: dict[int, Rule] = {
    int(UdpOption.UDP_CORK): SWITCH,
    _ENCAPSULATION: Rule(_NO_ENCAPSULATION),
    int(UdpOption.UDP_NO_CHECK6_TX): SWITCH,
    int(UdpOption.UDP_NO_CHECK6_RX): SWITCH,
    _SEGMENT: Rule(0, 0, 0xFFFF),
    _COALESCE: SWITCH,
    _SEND_COVERAGE: Rule(0),
    _RECEIVE_COVERAGE: Rule(0),
}


def set_udp_option(socket: InternetSocket, name: int, value: bytes) -> None:
    """setsockopt(2) at SOL_UDP. Linux: net/ipv4/udp.c, udp_lib_setsockopt."""
    number = read_int(value)
    rule = _RULES.get(name)
    if rule is None or (name in _COVERAGE and socket.protocol != UDP_LITE):
        raise ENOPROTOOPT(f"no option {name} of SOL_UDP")
    if name == _ENCAPSULATION and number not in (_NO_ENCAPSULATION, _L2TP):
        raise ENOPROTOOPT("nothing of IPsec is built")
    if name in _COVERAGE:
        if number and number < _LEAST_COVERAGE:
            number = _LEAST_COVERAGE
        number = min(number & 0xFFFFFFFF, 0xFFFF)
    keep(socket, SOL_UDP, name, rule, number)


def get_udp_option(socket: InternetSocket, name: int, length: int) -> bytes:
    """getsockopt(2) at SOL_UDP. Linux: net/ipv4/udp.c, udp_lib_getsockopt."""
    if length < 0:
        raise EINVAL("a negative length")
    rule = _RULES.get(name)
    if rule is None:
        raise ENOPROTOOPT(f"no option {name} of SOL_UDP")
    return pack_int(socket.protocol_options.get((SOL_UDP, name), rule.default))
