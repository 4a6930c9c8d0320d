"""What is told of packet sockets (Linux: net/packet/diag.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP
from procession.abi.sock_diag import PacketDiagAttribute, PacketDiagMsg, PacketDiagReq, PacketDiagShow
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_array, pack_u64
from procession.net.netlink.attributes import attribute, number

if TYPE_CHECKING:
    from procession.net.netlink.attributes import Request

_AF_PACKET = int(AddressFamily.AF_PACKET)


def tell_packets(request: Request) -> list[bytes]:
    """Of all of them. Raises EINVAL, EOPNOTSUPP. Linux: net/packet/diag.c, packet_diag_handler_dump,
    sk_diag_fill."""
    if len(request.body) < PacketDiagReq.SIZE:
        raise EINVAL("a struct packet_diag_req is needed")
    wanted = PacketDiagReq.unpack_from(request.body)
    if wanted.sdiag_protocol:
        raise EINVAL("there is one protocol")
    if not request.asks_for_list:
        raise EOPNOTSUPP("all are told of, or none")
    show, kinds = wanted.pdiag_show, PacketDiagAttribute
    told: list[bytes] = []
    for socket in request.network.packet_sockets:
        body = PacketDiagMsg(
            *(_AF_PACKET, socket.kind, socket.protocol, socket.inode_number, pack_u64(socket.cookie))
        ).pack()
        if show & PacketDiagShow.PACKET_SHOW_INFO:
            numbers = (socket.interface_index, 0, 0, 0, 0, 0)
            body += attribute(kinds.PACKET_DIAG_INFO, pack_array("I", numbers))
            uid = request.credentials.user_namespace.from_kuid_munged(socket.owner_uid)
            body += attribute(kinds.PACKET_DIAG_UID, number(uid))
        if show & PacketDiagShow.PACKET_SHOW_MCLIST:
            body += attribute(kinds.PACKET_DIAG_MCLIST, b"")
        if show & PacketDiagShow.PACKET_SHOW_MEMINFO:
            meminfo = (socket.heard_bytes, socket.receive_room, 0, socket.send_room, 0, 0, 0, 0)
            body += attribute(kinds.PACKET_DIAG_MEMINFO, pack_array("I", (*meminfo, socket.drop_count)))
        told.append(body)
    return told
