"""What is told of netlink sockets (Linux: net/netlink/diag.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP
from procession.abi.sock_diag import NetlinkDiagMsg, NetlinkDiagReq
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_array, pack_u64
from procession.net.netlink.attributes import attribute, number

if TYPE_CHECKING:
    from procession.net.netlink.attributes import Request

_AF_NETLINK = int(AddressFamily.AF_NETLINK)
_ALL_PROTOCOLS = 255
_SHOW_MEMINFO, _SHOW_GROUPS = 1, 2
_MEMINFO, _GROUPS = 0, 1


def tell_netlinks(request: Request) -> list[bytes]:
    """Of all that are asked for. Raises EINVAL, EOPNOTSUPP. Linux: net/netlink/diag.c, netlink_diag_dump."""
    if len(request.body) < NetlinkDiagReq.SIZE:
        raise EINVAL("a struct netlink_diag_req is needed")
    if not request.asks_for_list:
        raise EOPNOTSUPP("all are told of, or none")
    wanted = NetlinkDiagReq.unpack_from(request.body)
    told: list[bytes] = []
    for (protocol, port_id), socket in request.network.netlink_sockets.items():
        if wanted.sdiag_protocol not in (_ALL_PROTOCOLS, protocol):
            continue
        message = NetlinkDiagMsg(
            *(
                _AF_NETLINK,
                socket.kind,
                protocol,
                socket.state,
                port_id,
                socket.target,
                0,
                socket.inode_number,
            ),
            pack_u64(socket.cookie),
        )
        body = message.pack()
        if wanted.ndiag_show & _SHOW_MEMINFO:
            numbers = (socket.answer_bytes, socket.receive_room, 0, socket.send_room, 0, 0, 0, 0, 0)
            body += attribute(_MEMINFO, pack_array("I", numbers))
        if wanted.ndiag_show & _SHOW_GROUPS and socket.groups:
            body += attribute(_GROUPS, number(socket.groups))
        told.append(body)
    return told
