"""What listeners of NETLINK_NETFILTER are told: connections that begin and end (`conntrack -E`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.conntrack import ConntrackGroup, ConntrackMessage
from procession.abi.netlink import NetlinkFlag, NetlinkProtocol
from procession.abi.word import Words
from procession.net.netfilter.connections import connection_message

if TYPE_CHECKING:
    from procession.net.netfilter.tracking import Connection
    from procession.net.network import Network

_NETFILTER = int(NetlinkProtocol.NETLINK_NETFILTER)
_BEGUN, _ENDED = int(ConntrackGroup.NFNLGRP_CONNTRACK_NEW), int(ConntrackGroup.NFNLGRP_CONNTRACK_DESTROY)
_NEW, _DELETE = int(ConntrackMessage.IPCTNL_MSG_CT_NEW), int(ConntrackMessage.IPCTNL_MSG_CT_DELETE)
_CREATED = int(NetlinkFlag.NLM_F_CREATE | NetlinkFlag.NLM_F_EXCL)
_HEADER = Words("<IHHII")


def tell_of_connection(network: Network, connection: Connection, *, is_there: bool, port_id: int) -> None:
    """It's new, or forgotten, which the socket with this port has asked for, 0 for none.

    Linux: net/netfilter/nf_conntrack_netlink.c, ctnetlink_conntrack_event.
    """
    group = _BEGUN if is_there else _ENDED
    listeners = [
        socket
        for socket in network.netlink_sockets.values()
        if socket.protocol == _NETFILTER and socket.groups >> group - 1 & 1
    ]
    if not listeners:
        return
    now_ns = network.host.clock.now_ns
    kind, body = connection_message(connection, now_ns, _NEW if is_there else _DELETE, is_event=True)
    flags = _CREATED if is_there else 0
    message = _HEADER.pack(_HEADER.size + len(body), kind, flags, 0, port_id) + body
    for socket in listeners:
        socket.tell(message, group)
