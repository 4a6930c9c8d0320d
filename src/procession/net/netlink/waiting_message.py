"""A message that waits in a netlink socket to be received."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple
from procession.net.peer_identity import SenderCredentials


class NetlinkMessage(NamedTuple):
    """What waits to be received: the group that it was said to, 0 for none, and the room that it takes.

    `sender` is the port of who said it, 0 for the kernel, and `credentials` tell whose that is. `origin` is
    what the listener's network calls another in which it was said, None for its own.
    """

    data: bytes
    group: int
    charge: int
    sender: int = 0
    credentials: SenderCredentials | None = None
    origin: int | None = None
