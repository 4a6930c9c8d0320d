"""IFLA_NUM_TX_QUEUES and IFLA_NUM_RX_QUEUES: how many queues an interface is made with."""

from __future__ import annotations

from procession.abi.errno import EINVAL, TOLD
from procession.abi.netlink import LinkAttribute
from procession.net.link.interface import Queues
from procession.net.netlink.attributes import number_in

_SENT, _RECEIVED = int(LinkAttribute.IFLA_NUM_TX_QUEUES), int(LinkAttribute.IFLA_NUM_RX_QUEUES)
_MOST = 4_096


def said_queues(found: dict[int, bytes]) -> Queues:
    """Those that a request says, or one. Raises EINVAL. Linux: net/core/rtnetlink.c, rtnl_create_link."""
    counts: list[int] = []
    for kind, word in ((_SENT, "transmit"), (_RECEIVED, "receive")):
        count = number_in(found, kind)
        if count is not None and not 1 <= count <= _MOST:
            raise EINVAL(f"Invalid number of {word} queues", TOLD)
        counts.append(count or 1)
    return Queues(*counts, *counts)


def veth_queues(found: dict[int, bytes], first: dict[int, bytes], processors: int) -> Queues:
    """Those of one end of a veth: as many as there are processors if none are said, of which one is used if
    none were said for the `first` end. Linux: drivers/net/veth.c, veth_get_num_queues, veth_init_queues."""
    sent = number_in(found, _SENT) or processors
    received = number_in(found, _RECEIVED) or processors
    return Queues(sent, received, sent if _SENT in first else 1, received if _RECEIVED in first else 1)
