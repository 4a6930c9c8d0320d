"""Where in the kernel a task sleeps that waits for a socket, by the names of Linux's functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.net.internet.tcp import TcpSocket
from procession.net.netlink.socket import NetlinkSocket
from procession.net.unix.datagram import UnixMessageSocket
from procession.net.unix.stream import UnixStream
from procession.procfs.wait_channel import CALLS, READING, RECEIVING, SENDING

if TYPE_CHECKING:
    from procession.net.socket import Socket
    from procession.procfs.wait_channel import Functions

SOCKETS: tuple[tuple[type[Socket], Functions, Functions], ...] = (
    (
        UnixStream,
        ("unix_stream_read_generic", "unix_stream_recvmsg"),
        ("sock_alloc_send_pskb", "unix_stream_sendmsg"),
    ),
    (
        UnixMessageSocket,
        ("__skb_wait_for_more_packets", "__unix_dgram_recvmsg"),
        ("sock_alloc_send_pskb", "unix_dgram_sendmsg"),
    ),
    (
        TcpSocket,
        ("wait_woken", "sk_wait_data", "tcp_recvmsg_locked", "tcp_recvmsg"),
        ("wait_woken", "sk_stream_wait_memory", "tcp_sendmsg_locked", "tcp_sendmsg"),
    ),
    (
        NetlinkSocket,
        ("__skb_wait_for_more_packets", "__skb_recv_datagram", "skb_recv_datagram", "netlink_recvmsg"),
        ("netlink_attachskb", "netlink_unicast", "netlink_sendmsg"),
    ),
)
_PACKETS: tuple[Functions, Functions] = (
    ("__skb_wait_for_more_packets", "__skb_recv_udp", "udp_recvmsg"),
    ("sock_alloc_send_pskb", "udp_sendmsg"),
)


def socket_functions(socket: Socket, name: str, outer: Functions) -> Functions:
    """Where a task sleeps that is in the call `name` on `socket`; `outer` are the call's own functions."""
    if name in ("accept", "accept4"):
        if isinstance(socket, TcpSocket):
            return ("inet_csk_accept", "inet_accept", *outer)
        inner = ("__skb_wait_for_more_packets", "__skb_recv_datagram", "skb_recv_datagram", "unix_accept")
        return (*inner, *outer)
    if name == "connect":
        if isinstance(socket, TcpSocket):
            return ("wait_woken", "inet_wait_for_connect", "__inet_stream_connect", *outer)
        return ("unix_wait_for_peer", "unix_stream_connect", *outer)
    if name not in CALLS:
        return outer
    reading, writing = _PACKETS
    for kind, kind_reading, kind_writing in SOCKETS:
        if isinstance(socket, kind):
            reading, writing = kind_reading, kind_writing
            break
    if name in RECEIVING:
        return (*reading, *outer)
    if name in SENDING:
        return (*writing, *outer)
    if name in READING:
        return (*reading, "sock_recvmsg", "sock_read_iter", *outer)
    return (*writing, "sock_write_iter", *outer)
