"""UDP's queue of errors: answers to datagrams that found nobody, for IP_RECVERR and MSG_ERRQUEUE (ip(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from procession.abi.errno import EAGAIN, ECONNREFUSED
from procession.abi.internet import IpOption, Ipv6Option
from procession.abi.socket import SocketLevel
from procession.abi.word import Words
from procession.net.internet.address import AF_INET, format_sockaddr
from procession.net.message import Received
from procession.net.socket import MSG_ERRQUEUE, MSG_TRUNC

if TYPE_CHECKING:
    from procession.net.internet.udp import UdpSocket

_SOL_IP = int(SocketLevel.SOL_IP)
_SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_IP_RECVERR = int(IpOption.IP_RECVERR)
_IPV6_RECVERR = int(Ipv6Option.IPV6_RECVERR)
_EXTENDED_ERROR = Words("<IBBBBII")
"""struct sock_extended_err."""
_ICMP, _ICMP6 = (2, 3, 3), (3, 1, 4)
"""SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6, with the type and code of "port unreachable"."""
_LONGEST_QUEUE = 256


class Undelivered(NamedTuple):
    """A datagram that found nobody, and where it was sent."""

    data: bytes
    target: bytes
    port: int


def wants_errors(socket: UdpSocket, target: bytes) -> bool:
    """Whether errors of datagrams to `target` are queued (IP_RECVERR, IPV6_RECVERR)."""
    options = socket.protocol_options
    option = (_SOL_IP, _IP_RECVERR) if len(target) == 4 else (_SOL_IPV6, _IPV6_RECVERR)
    return bool(options.get(option))


def report_undelivered(socket: UdpSocket, data: bytes, target: bytes, port: int) -> None:
    """Nobody is at `target`: a connected socket hears of it, and one that wants to be told.

    Linux: net/ipv4/udp.c, __udp4_lib_err; net/ipv4/ip_sockglue.c, ip_icmp_error.
    """
    if wants_errors(socket, target):
        if len(socket.undelivered) < _LONGEST_QUEUE:
            socket.undelivered.append(Undelivered(data, target, port))
    elif (socket.remote_address, socket.remote_port) != (target, port):
        return
    socket.error = ECONNREFUSED.number
    socket.state_changed()


def receive_error(socket: UdpSocket, length: int) -> Received:
    """recv(2) with MSG_ERRQUEUE. Raises EAGAIN. Linux: net/ipv4/ip_sockglue.c, ip_recv_error."""
    if not socket.undelivered:
        raise EAGAIN("no queued errors")
    data, target, port = socket.undelivered.popleft()
    socket.error = ECONNREFUSED.number if socket.undelivered else 0
    received = Received(data[:length], len(data), MSG_ERRQUEUE)
    if len(data) > length:
        received.flags |= MSG_TRUNC
    received.address = format_sockaddr(target, port, socket.family)
    is_4 = len(target) == 4
    origin, kind, code = _ICMP if is_4 else _ICMP6
    error = _EXTENDED_ERROR.pack(ECONNREFUSED.number, origin, kind, code, 0, 0, 0)
    offender = format_sockaddr(target, 0, AF_INET if is_4 else socket.family)
    level, option = (_SOL_IP, _IP_RECVERR) if is_4 else (_SOL_IPV6, _IPV6_RECVERR)
    received.items = [(level, option, error + offender)]
    return received
