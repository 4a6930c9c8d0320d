"""What goes with a packet and isn't in it: its mark and its priority, and how sockets are told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.socket import SocketLevel, SocketOption
from procession.abi.word import pack_u32

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.network import Network

_SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
_SO_MARK, _SO_PRIORITY = int(SocketOption.SO_MARK), int(SocketOption.SO_PRIORITY)
_SO_RCVMARK, _SO_RCVPRIORITY = int(SocketOption.SO_RCVMARK), int(SocketOption.SO_RCVPRIORITY)


class Marks(NamedTuple):
    """Both of a packet or frame."""

    mark: int
    priority: int


NO_MARKS = Marks(0, 0)


def mark_items(options: Mapping[int, int], marks: Marks) -> list[tuple[int, int, bytes]]:
    """What a socket with these options wants to be told, as (level, type, data).

    Linux: net/socket.c, sock_recv_mark; SO_RCVPRIORITY came later.
    """
    items = []
    if options.get(_SO_RCVMARK):
        items.append((_SOL_SOCKET, _SO_MARK, pack_u32(marks.mark)))
    if options.get(_SO_RCVPRIORITY):
        items.append((_SOL_SOCKET, _SO_PRIORITY, pack_u32(marks.priority)))
    return items


def reflected_mark(network: Network, packet: Packet) -> int:
    """The mark of what the kernel itself answers to `packet`. Linux: include/net/ip.h, IP4_REPLY_MARK."""
    sysctls = network.sysctls
    is_wanted = sysctls.reflects_marks_6 if len(packet.target) == 16 else sysctls.reflects_marks
    return packet.mark if is_wanted else 0
