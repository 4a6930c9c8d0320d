"""What is told of local sockets (Linux: net/unix/diag.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT, ESTALE
from procession.abi.sock_diag import UnixDiagAttribute, UnixDiagMsg, UnixDiagReq, UnixDiagShow
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_array, pack_u8, pack_u64
from procession.net.netlink.attributes import attribute, number
from procession.net.socket import LISTENING

if TYPE_CHECKING:
    from procession.net.netlink.attributes import Request
    from procession.net.unix.socket import UnixSocket

_AF_UNIX = int(AddressFamily.AF_UNIX)
_ANY_COOKIE = b"\xff" * 8


def tell_local(request: Request) -> list[bytes]:
    """Of all sockets that are asked for, or of the one with a number. Raises EINVAL, ENOENT, ESTALE.

    Linux: net/unix/diag.c, unix_diag_handler_dump.
    """
    if len(request.body) < UnixDiagReq.SIZE:
        raise EINVAL("a struct unix_diag_req is needed")
    wanted = UnixDiagReq.unpack_from(request.body)
    sockets = list(request.network.unix.sockets)
    request.network.host.clock.spend_looking(len(sockets))
    if request.asks_for_list:
        return [_message(request, wanted, each) for each in sockets if wanted.udiag_states >> each.state & 1]
    if not wanted.udiag_ino:
        raise EINVAL("no inode")
    for socket in sockets:
        if socket.inode_number == wanted.udiag_ino:
            if wanted.udiag_cookie not in (_ANY_COOKIE, pack_u64(socket.cookie)):
                raise ESTALE("another socket has the number now")
            return [_message(request, wanted, socket)]
    raise ENOENT("no such socket")


def _message(request: Request, wanted: UnixDiagReq, socket: UnixSocket) -> bytes:
    """Linux: net/unix/diag.c, sk_diag_fill."""
    show, kinds = wanted.udiag_show, UnixDiagAttribute
    message = UnixDiagMsg(
        *(_AF_UNIX, socket.kind, socket.state, 0, socket.inode_number, pack_u64(socket.cookie))
    )
    body = message.pack()
    if show & UnixDiagShow.UDIAG_SHOW_NAME and socket.name is not None:
        body += attribute(kinds.UNIX_DIAG_NAME, socket.name)
    if show & UnixDiagShow.UDIAG_SHOW_VFS and socket.path is not None:
        inode = socket.path.dentry.inode
        device = inode.superblock.device
        # In Linux, the kernel's own form of a device's number.
        packed = (device >> 8 & 0xFFF) << 20 | (device & 0xFF)
        body += attribute(kinds.UNIX_DIAG_VFS, pack_array("I", (inode.number, packed)))
    peer = socket.peer
    if show & UnixDiagShow.UDIAG_SHOW_PEER and peer is not None:
        body += attribute(kinds.UNIX_DIAG_PEER, number(peer.inode_number))
    if show & UnixDiagShow.UDIAG_SHOW_ICONS and socket.state == LISTENING:
        waiting = [each.peer for each in socket.connections]
        inodes = [each.inode_number if each is not None else 0 for each in waiting]
        body += attribute(kinds.UNIX_DIAG_ICONS, pack_array("I", inodes))
    if show & UnixDiagShow.UDIAG_SHOW_RQLEN:
        if socket.state == LISTENING:
            lengths = len(socket.connections), socket.backlog
        else:
            lengths = socket.waiting_bytes, socket.used_room
        body += attribute(kinds.UNIX_DIAG_RQLEN, pack_array("I", lengths))
    if show & UnixDiagShow.UDIAG_SHOW_MEMINFO:
        numbers = (0, socket.receive_room, socket.used_room, socket.send_room, 0, 0, 0, 0, 0)
        body += attribute(kinds.UNIX_DIAG_MEMINFO, pack_array("I", numbers))
    body += attribute(kinds.UNIX_DIAG_SHUTDOWN, pack_u8(socket.ended))
    if show & UnixDiagShow.UDIAG_SHOW_UID:
        uid = request.credentials.user_namespace.from_kuid_munged(socket.owner_uid)
        body += attribute(kinds.UNIX_DIAG_UID, number(uid))
    return body
