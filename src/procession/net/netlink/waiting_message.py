"""Messages that wait in a netlink socket to be received."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple
from procession.net.peer_identity import SenderCredentials

_BATCH_BYTES = 3_776
"""NLMSG_GOODSIZE: what of a page is left for messages."""


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


def batches(messages: list[bytes]) -> list[bytes]:
    """As many messages at a time as fit into a page, as netlink_dump packs them."""
    whole: list[bytes] = []
    batch: list[bytes] = []
    size = 0
    for message in messages:
        if batch and size + len(message) > _BATCH_BYTES:
            whole.append(b"".join(batch))
            batch, size = [], 0
        batch.append(message)
        size += len(message)
    if batch:
        whole.append(b"".join(batch))
    return whole
