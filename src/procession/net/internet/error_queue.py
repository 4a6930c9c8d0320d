"""A datagram socket's queue of errors: what became of packets, for IP_RECVERR and MSG_ERRQUEUE (ip(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from procession.abi.errno import EAGAIN
from procession.abi.internet import IpOption, Ipv6Option
from procession.abi.socket import SocketLevel
from procession.abi.word import Words
from procession.net.internet.address import AF_INET, format_sockaddr
from procession.net.message import Received
from procession.net.socket import MSG_ERRQUEUE, MSG_TRUNC

if TYPE_CHECKING:
    from procession.net.internet.datagram import DatagramSocket
    from procession.net.internet.icmp_error import IcmpError
    from procession.net.internet.packet import Packet

_SOL_IP = int(SocketLevel.SOL_IP)
_SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_IP_RECVERR = int(IpOption.IP_RECVERR)
_IPV6_RECVERR = int(Ipv6Option.IPV6_RECVERR)
_EXTENDED_ERROR = Words("<IBBBBII")
"""struct sock_extended_err."""
_ORIGIN_ICMP, _ORIGIN_ICMP6 = 2, 3
"""SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6."""
_LONGEST_QUEUE = 256


class Undelivered(NamedTuple):
    """A packet that didn't arrive, where it was sent, and who says why not."""

    data: bytes
    target: bytes
    port: int
    error: IcmpError
    offender: bytes

    @property
    def error_number(self) -> int:
        """The errno."""
        return self.error.error if len(self.target) == 4 else self.error.error_6


def wants_errors(socket: DatagramSocket, target: bytes) -> bool:
    """Whether errors of datagrams to `target` are queued (IP_RECVERR, IPV6_RECVERR)."""
    options = socket.protocol_options
    option = (_SOL_IP, _IP_RECVERR) if len(target) == 4 else (_SOL_IPV6, _IPV6_RECVERR)
    return bool(options.get(option))


def report_undelivered(socket: DatagramSocket, packet: Packet, error: IcmpError, offender: bytes) -> bool:
    """A connected socket hears of an error that is final, and one that wants to be told of any.

    The result says whether it was for this socket. Linux: net/ipv4/udp.c, __udp4_lib_err;
    net/ipv4/ip_sockglue.c, ip_icmp_error.
    """
    target, port = packet.target, packet.target_port
    if socket.remote_address is not None and (
        socket.remote_address != target or (port and socket.remote_port != port)
    ):
        return False
    entry = Undelivered(packet.data, target, port, error, offender)
    if wants_errors(socket, target):
        if len(socket.undelivered) < _LONGEST_QUEUE:
            socket.undelivered.append(entry)
    elif socket.remote_address is None or not error.is_fatal:
        return True
    socket.error = entry.error_number
    socket.state_changed()
    return True


def receive_error(socket: DatagramSocket, length: int) -> Received:
    """recv(2) with MSG_ERRQUEUE. Raises EAGAIN. Linux: net/ipv4/ip_sockglue.c, ip_recv_error."""
    if not socket.undelivered:
        raise EAGAIN("no queued errors")
    entry = socket.undelivered.popleft()
    data, target = entry.data, entry.target
    socket.error = socket.undelivered[0].error_number if socket.undelivered else 0
    received = Received(data[:length], len(data), MSG_ERRQUEUE)
    if len(data) > length:
        received.flags |= MSG_TRUNC
    received.address = format_sockaddr(target, entry.port, socket.family)
    answer = entry.error
    if len(target) == 4:
        numbers = (_ORIGIN_ICMP, answer.kind, answer.code)
    else:
        numbers = (_ORIGIN_ICMP6, answer.kind_6, answer.code_6)
    extended = _EXTENDED_ERROR.pack(entry.error_number, *numbers, 0, 0, 0)
    offender = format_sockaddr(entry.offender, 0, socket.family)
    # A socket of IPv6 is told as IPv6's, whatever its packets were.
    level, option = (_SOL_IP, _IP_RECVERR) if socket.family == AF_INET else (_SOL_IPV6, _IPV6_RECVERR)
    received.items = [(level, option, extended + offender)]
    return received
