"""Which kinds of socket there are: what socket(2) makes of a family, a type and a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from procession.abi.socket import AddressFamily, SocketType

if TYPE_CHECKING:
    from procession.net.network import Network
    from procession.net.socket import Socket

_LAST_FAMILY = 46
_LAST_TYPE = 10
_UNIX = int(AddressFamily.AF_UNIX)
_INET = int(AddressFamily.AF_INET)
_INET6 = int(AddressFamily.AF_INET6)
_NETLINK = int(AddressFamily.AF_NETLINK)
_STREAM = int(SocketType.SOCK_STREAM)
_DATAGRAM = int(SocketType.SOCK_DGRAM)
_RAW = int(SocketType.SOCK_RAW)
_SEQUENCED = int(SocketType.SOCK_SEQPACKET)


def create_socket(network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> Socket:
    """A new socket. Raises EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL, EPERM.

    Linux: net/socket.c, __sock_create.
    """
    if not 0 <= family < _LAST_FAMILY:
        raise EAFNOSUPPORT(f"no address family {family}")
    if not 0 <= kind <= _LAST_TYPE:
        raise EINVAL(f"no socket type {kind}")
    if family == _UNIX:
        return _create_unix(network, kind, protocol, owner_uid)
    raise EAFNOSUPPORT(f"address family {family} is not built in")


def _create_unix(network: Network, kind: int, protocol: int, owner_uid: int) -> Socket:
    """Linux: net/unix/af_unix.c, unix_create."""
    if protocol not in (0, _UNIX):
        raise EPROTONOSUPPORT
    if kind == _STREAM:
        from procession.net.unix_stream import UnixStream

        return UnixStream(network, kind, 0, owner_uid)
    from procession.net.unix_datagram import UnixDatagram, UnixSequenced

    if kind in (_DATAGRAM, _RAW):
        # unix(7): SOCK_RAW means the same.
        return UnixDatagram(network, _DATAGRAM, 0, owner_uid)
    if kind == _SEQUENCED:
        return UnixSequenced(network, kind, 0, owner_uid)
    raise ESOCKTNOSUPPORT
