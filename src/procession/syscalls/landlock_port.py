"""Which ports of TCP a task's Landlock domain lets it bind and connect to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAFNOSUPPORT, EINVAL
from procession.abi.landlock import LandlockAccessNet
from procession.abi.socket import AddressFamily, SocketType
from procession.fs.landlock import check_port
from procession.net.internet.address import AF_INET, AF_INET6

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.net.socket import Socket

BIND_TCP = int(LandlockAccessNet.LANDLOCK_ACCESS_NET_BIND_TCP)
CONNECT_TCP = int(LandlockAccessNet.LANDLOCK_ACCESS_NET_CONNECT_TCP)
_AF_UNSPEC = int(AddressFamily.AF_UNSPEC)
_STREAM = int(SocketType.SOCK_STREAM)
_FAMILY_SIZE = 2
_SOCKADDR_IN_SIZE, _SOCKADDR_IN6_LEAST = 16, 24
_ADDRESS, _ADDRESS_END = 4, 8


def check_address(task: Task, socket: Socket, where: bytes, right: int) -> None:
    """Raise EACCES if the task's Landlock domain forbids the port, EINVAL or EAFNOSUPPORT for an address that
    has none.

    Linux: security/landlock/net.c, current_check_access_socket.
    """
    if socket.family not in (AF_INET, AF_INET6) or socket.kind != _STREAM:
        # It isn't TCP's.
        return
    if len(where) < _FAMILY_SIZE:
        raise EINVAL("no family")
    # Landlock looks at an address before the protocol does, and refuses with the errno that this would give.
    family = int.from_bytes(where[:_FAMILY_SIZE], "little")
    if family == _AF_UNSPEC:
        if right == CONNECT_TCP:
            return
        if len(where) < (_SOCKADDR_IN_SIZE if socket.family == AF_INET else _SOCKADDR_IN6_LEAST):
            raise EINVAL("no address")
        if socket.family != AF_INET or any(where[_ADDRESS:_ADDRESS_END]):
            raise EAFNOSUPPORT("only a socket of IPv4 is bound without a family, and to no address")
    elif family in (AF_INET, AF_INET6):
        if len(where) < (_SOCKADDR_IN_SIZE if family == AF_INET else _SOCKADDR_IN6_LEAST):
            raise EINVAL("no address")
        if family != socket.family:
            raise EINVAL("another family's address")
    else:
        return
    check_port(task.credentials, int.from_bytes(where[2:4], "big"), right)
