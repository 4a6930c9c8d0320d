"""Which kinds of socket there are: what socket(2) makes of a family, a type and a protocol.

What few programs ask for is loaded when one does: bash's first local socket would wait 10 ms for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from procession.abi.netlink import NetlinkProtocol
from procession.abi.socket import AddressFamily, SocketType
from procession.net.netlink.socket import NetlinkSocket
from procession.net.unix.datagram import UnixDatagram, UnixSequenced
from procession.net.unix.stream import UnixStream

if TYPE_CHECKING:
    from procession.net.network import Network
    from procession.net.socket import Socket
    from procession.net.unix.socket import UnixSocket

_LAST_FAMILY = 46
_LAST_TYPE = 10
_UNIX = int(AddressFamily.AF_UNIX)
_INET = int(AddressFamily.AF_INET)
_INET6 = int(AddressFamily.AF_INET6)
_PACKET = int(AddressFamily.AF_PACKET)
_NETLINK = int(AddressFamily.AF_NETLINK)
_ROUTE = int(NetlinkProtocol.NETLINK_ROUTE)
_STREAM = int(SocketType.SOCK_STREAM)
_DATAGRAM = int(SocketType.SOCK_DGRAM)
_RAW = int(SocketType.SOCK_RAW)
_OBSOLETE = int(SocketType.SOCK_PACKET)
_SEQUENCED = int(SocketType.SOCK_SEQPACKET)


def create_socket(network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> Socket:
    """A new socket. Raises EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL, EPERM, EACCES.

    Linux: net/socket.c, __sock_create.
    """
    if not 0 <= family < _LAST_FAMILY:
        raise EAFNOSUPPORT(f"no address family {family}")
    if not 0 <= kind <= _LAST_TYPE:
        raise EINVAL(f"no socket type {kind}")
    if family == _INET and kind == _OBSOLETE:
        # Linux: net/socket.c, __sock_create: packet sockets were of this family once.
        family = _PACKET
    if family == _UNIX:
        return _create_unix(network, kind, protocol, owner_uid)
    if family in (_INET, _INET6):
        from procession.net.internet.creation import create_internet

        return create_internet(network, family, kind, protocol, owner_uid)
    if family == _NETLINK:
        # Linux: net/netlink/af_netlink.c, netlink_create.
        if kind not in (_DATAGRAM, _RAW):
            raise ESOCKTNOSUPPORT
        if protocol == _ROUTE:
            return NetlinkSocket(network, kind, protocol, owner_uid)
    elif family != _PACKET:
        raise EAFNOSUPPORT(f"address family {family} is not built in")
    from procession.net.rare_families import create_netlink, create_packet

    if family == _PACKET:
        return create_packet(network, kind, protocol, owner_uid)
    return create_netlink(network, kind, protocol, owner_uid)


def _create_unix(network: Network, kind: int, protocol: int, owner_uid: int) -> Socket:
    """Linux: net/unix/af_unix.c, unix_create."""
    if protocol not in (0, _UNIX):
        raise EPROTONOSUPPORT
    socket: UnixSocket
    if kind == _STREAM:
        socket = UnixStream(network, kind, 0, owner_uid)
    elif kind in (_DATAGRAM, _RAW):
        # unix(7): SOCK_RAW means the same.
        socket = UnixDatagram(network, _DATAGRAM, 0, owner_uid)
    elif kind == _SEQUENCED:
        socket = UnixSequenced(network, kind, 0, owner_uid)
    else:
        raise ESOCKTNOSUPPORT
    maker = network.host.current
    if maker is not None:
        socket.domain = maker.credentials.landlock
    return socket
