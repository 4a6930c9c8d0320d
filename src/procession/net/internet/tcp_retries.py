"""How often and when TCP sends a SYN again that nobody has answered (tcp(7), TCP_SYNCNT)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.internet import TcpOption
from procession.abi.socket import SocketLevel

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_SYN_COUNT = (int(SocketLevel.SOL_TCP), int(TcpOption.TCP_SYNCNT))
_LONGEST_WAIT_S = 120


def most_retries(socket: TcpSocket) -> int:
    """How often a SYN is sent again. Linux: net/ipv4/tcp_timer.c, tcp_write_timeout."""
    sysctls = socket.network.sysctls
    chosen = socket.protocol_options.get(_SYN_COUNT) or sysctls.syn_retries
    return chosen + sysctls.linear_syn_retries


def wait_s(socket: TcpSocket, retry: int) -> int:
    """How long it is until a SYN is sent again that has been so often: a second some times, then twice as
    long each time. Linux: net/ipv4/tcp_timer.c, tcp_retransmit_timer.
    """
    doublings = max(retry - socket.network.sysctls.linear_syn_retries, 0)
    return 1 << doublings if doublings < _LONGEST_WAIT_S.bit_length() else _LONGEST_WAIT_S
