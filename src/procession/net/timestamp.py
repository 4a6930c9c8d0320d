"""When a message came: the control messages of SO_TIMESTAMP and SO_TIMESTAMPNS (socket(7))."""

from __future__ import annotations

from collections.abc import Mapping

from procession.abi.socket import SocketLevel, SocketOption
from procession.abi.word import Words

_SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
SO_TIMESTAMP = int(SocketOption.SO_TIMESTAMP_OLD)
SO_TIMESTAMPNS = int(SocketOption.SO_TIMESTAMPNS_OLD)
_TIME = Words("<qq")


def timestamp_items(options: Mapping[int, int], time_ns: int) -> list[tuple[int, int, bytes]]:
    """What a socket with these options of SOL_SOCKET is told, as (level, type, data).

    `time_ns` is since the epoch, 0 if it isn't known. Linux: net/socket.c, __sock_recv_timestamp.
    """
    if not time_ns:
        return []
    seconds, part_ns = divmod(time_ns, 10**9)
    if options.get(SO_TIMESTAMPNS):
        return [(_SOL_SOCKET, SO_TIMESTAMPNS, _TIME.pack(seconds, part_ns))]
    if options.get(SO_TIMESTAMP):
        return [(_SOL_SOCKET, SO_TIMESTAMP, _TIME.pack(seconds, part_ns // 1000))]
    return []
