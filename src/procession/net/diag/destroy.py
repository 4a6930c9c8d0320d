"""SOCK_DESTROY: an administrator ends a socket of somebody else, as `ss -K` does (sock_diag(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EPERM
from procession.net.diag.internet import asked_socket
from procession.net.internet.tcp import TcpSocket
from procession.net.internet.tcp_close import destroy
from procession.net.internet.tcp_connection import TimeWait
from procession.net.socket_options import CAP_NET_ADMIN

if TYPE_CHECKING:
    from procession.net.netlink.attributes import Request


def destroy_socket(request: Request) -> None:
    """End the one that is asked for. Raises EINVAL, ENOENT, EPERM.

    Linux: net/ipv4/inet_diag.c, inet_diag_handler_cmd; net/core/sock_diag.c, sock_diag_destroy.
    """
    socket = asked_socket(request)
    network = request.network
    if not request.credentials.ns_capable(network.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    if isinstance(socket, TimeWait):
        network.tcp.end_wait(socket)
    elif isinstance(socket, TcpSocket):
        destroy(socket)
    else:
        socket.destroy()
