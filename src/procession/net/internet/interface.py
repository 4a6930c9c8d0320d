"""The one network interface of a machine, its loopback `lo`, and the ioctls of netdevice(7) about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EINVAL, ENODEV, ENOTTY, EOPNOTSUPP, EPERM
from procession.abi.interface import InterfaceFlag
from procession.abi.ioctls import SocketIoctl
from procession.abi.word import Words, pack_u16

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.socket import Socket

NAME = b"lo"
INDEX = 1
MTU = 65_536
QUEUE_LENGTH = 1000
FLAGS = int(InterfaceFlag.IFF_UP | InterfaceFlag.IFF_LOOPBACK | InterfaceFlag.IFF_RUNNING)
ADDRESS = bytes((127, 0, 0, 1))
MASK = bytes((255, 0, 0, 0))
HARDWARE_TYPE = 772
"""ARPHRD_LOOPBACK."""

CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_IFREQ_SIZE = 40
_NAME_SIZE = 16
_INT = Words("<i")
_SHORT = Words("<H")
_IFCONF = Words("<i4xQ")
_AF_INET = pack_u16(2)

_SIOCGIFNAME = int(SocketIoctl.SIOCGIFNAME)
_SIOCGIFCONF = int(SocketIoctl.SIOCGIFCONF)
_GETTERS: dict[int, bytes] = {
    int(SocketIoctl.SIOCGIFFLAGS): _SHORT.pack(FLAGS),
    int(SocketIoctl.SIOCGIFADDR): _AF_INET + bytes(2) + ADDRESS + bytes(8),
    int(SocketIoctl.SIOCGIFDSTADDR): _AF_INET + bytes(2) + ADDRESS + bytes(8),
    int(SocketIoctl.SIOCGIFBRDADDR): _AF_INET + bytes(14),
    int(SocketIoctl.SIOCGIFNETMASK): _AF_INET + bytes(2) + MASK + bytes(8),
    int(SocketIoctl.SIOCGIFMETRIC): _INT.pack(0),
    int(SocketIoctl.SIOCGIFMTU): _INT.pack(MTU),
    int(SocketIoctl.SIOCGIFHWADDR): _SHORT.pack(HARDWARE_TYPE) + bytes(14),
    int(SocketIoctl.SIOCGIFINDEX): _INT.pack(INDEX),
    int(SocketIoctl.SIOCGIFTXQLEN): _INT.pack(QUEUE_LENGTH),
}
_SETTERS = frozenset(
    int(request) for request in (SocketIoctl.SIOCSIFFLAGS, SocketIoctl.SIOCSIFADDR, SocketIoctl.SIOCSIFMTU)
)
_SIOCETHTOOL = int(SocketIoctl.SIOCETHTOOL)


def interface_ioctl(socket: Socket, request: int, argument: int, memory: UserMemory) -> int:
    """What any socket answers about the machine's interfaces. Raises ENOTTY, ENODEV, EPERM, EOPNOTSUPP.

    Linux: net/socket.c, sock_ioctl; net/core/dev_ioctl.c.
    """
    if request == _SIOCGIFCONF:
        _list_interfaces(argument, memory)
        return 0
    if request == _SIOCGIFNAME:
        if _INT.unpack(memory.read(argument + _NAME_SIZE, 4))[0] != INDEX:
            raise ENODEV
        memory.write(argument, NAME.ljust(_NAME_SIZE, b"\0"))
        return 0
    value = _GETTERS.get(request)
    is_setter = request in _SETTERS
    if value is None and not is_setter and request != _SIOCETHTOOL:
        raise ENOTTY
    name = memory.read(argument, _IFREQ_SIZE)[:_NAME_SIZE].split(b"\0", 1)[0]
    if is_setter and not socket.caller.credentials.ns_capable(socket.network.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    if name.split(b":", 1)[0] != NAME:
        raise ENODEV
    if value is None:
        raise EOPNOTSUPP("the loopback stays as it is")
    memory.write(argument + _NAME_SIZE, value)
    return 0


def _list_interfaces(argument: int, memory: UserMemory) -> None:
    """SIOCGIFCONF. Linux: net/core/dev_ioctl.c, dev_ifconf."""
    length, address = _IFCONF.unpack(memory.read(argument, _IFCONF.size))
    if length < 0:
        raise EINVAL
    record = NAME.ljust(_NAME_SIZE, b"\0") + _GETTERS[int(SocketIoctl.SIOCGIFADDR)]
    record = record.ljust(_IFREQ_SIZE, b"\0")
    if not address:
        done = len(record)
    elif length < len(record):
        done = 0
    else:
        memory.write(address, record)
        done = len(record)
    memory.write(argument, _INT.pack(done))
