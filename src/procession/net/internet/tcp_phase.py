"""How far connect(2) has come with a TCP socket, which its state doesn't tell.

Linux: include/uapi/linux/net.h, socket_state.
"""

from __future__ import annotations

from procession.abi.socket import TcpState

UNCONNECTED = 1
"""connect(2) may begin."""
CONNECTING = 2
"""connect(2) has begun, and nobody has asked yet what came of it."""
CONNECTED = 3
DISCONNECTING = 4
"""shutdown(2) came before anybody asked: connect(2) refuses for good."""

NO_ROLE, LISTENER, CONNECTOR = range(3)
"""Who has listened never connects, and who has connected or was accepted never listens, whatever it has
become since: as Linux 6.18.44 has it. Before, a socket could go from one to the other by AF_UNSPEC."""

_UNDECIDED = (int(TcpState.TCP_SYN_SENT), int(TcpState.TCP_CLOSE))


def phase_after_shutdown(phase: int, state: int) -> int:
    """The phase of a socket in `state` on which shutdown(2) is called.

    Linux: net/ipv4/af_inet.c, inet_shutdown.
    """
    if phase != CONNECTING:
        return phase
    return DISCONNECTING if state in _UNDECIDED else CONNECTED
