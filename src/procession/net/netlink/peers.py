"""Messages from one netlink socket to others: to those of a group, or to the one with a port's number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ECONNREFUSED, ENOBUFS
from procession.net.buffer_charge import datagram_charge
from procession.net.socket import ESTABLISHED

if TYPE_CHECKING:
    from procession.net.netlink.socket import NetlinkSocket
    from procession.net.peer_identity import SenderCredentials

_LOOKS_PER_ANSWER = 16
"""To look whether so many sockets listen costs as much as one answer."""


def broadcast(
    sender: NetlinkSocket, data: bytes, group: int, excluded_port: int, identity: SenderCredentials
) -> None:
    """Let all hear `data` who listen to `group`, but for the sender and `excluded_port`.

    Who has no room is told that it has missed something. Linux: net/netlink/af_netlink.c, netlink_broadcast.
    """
    sender.network.host.clock.spend_answering(1 + len(sender.network.netlink_sockets) // _LOOKS_PER_ANSWER)
    for (protocol, port_id), socket in list(sender.network.netlink_sockets.items()):
        if protocol != sender.protocol or socket is sender or port_id == excluded_port:
            continue
        if socket.groups >> group - 1 & 1:
            socket.hear(data, group, sender.port_id, identity)


def unicast(
    sender: NetlinkSocket, data: bytes, port_id: int, group: int, flags: int, identity: SenderCredentials
) -> None:
    """Send `data`, which `group` hears too, to the socket of this port.

    Raises ECONNREFUSED, ENOBUFS, EAGAIN, or Sleep until there is room.

    Linux: net/netlink/af_netlink.c, netlink_unicast, netlink_getsockbyportid, netlink_attachskb.
    """
    receiver = sender.network.netlink_sockets.get((sender.protocol, port_id))
    if receiver is None or receiver.file is None:
        raise ECONNREFUSED("no socket has that port")
    if receiver.state == ESTABLISHED and receiver.target != sender.port_id:
        raise ECONNREFUSED("the receiver is connected to another")
    kept = receiver.let_in(data)
    if kept is None:
        return
    charge = datagram_charge(len(kept))
    if receiver.is_congested or (receiver.answers and receiver.answer_bytes + charge > receiver.receive_room):
        receiver.wait_for_room(sender, flags)
    if not sender.network.system.charge_arrived(charge):
        raise ENOBUFS("no memory")
    receiver.append(kept, group, charge, sender.port_id, identity)
