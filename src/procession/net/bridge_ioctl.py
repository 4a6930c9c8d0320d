"""The ioctls of brctl(8): bridges made and taken away, and their ports (Linux: net/bridge/br_ioctl.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.bridge import BRCTL_VERSION, BridgeCommand
from procession.abi.capability import Capability
from procession.abi.errno import EBUSY, EINVAL, ENODEV, ENOMEM, ENXIO, EOPNOTSUPP, EPERM
from procession.abi.ioctls import SocketIoctl
from procession.abi.word import Words, pack_array
from procession.net.link.interface import BRIDGE, Interface
from procession.net.link_change import (
    delete_interface,
    join_bridge,
    leave_bridge,
    make_interface,
    tell_of_new,
)

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.network import Network
    from procession.net.socket import Socket

_SIOCGIFBR, _SIOCSIFBR = int(SocketIoctl.SIOCGIFBR), int(SocketIoctl.SIOCSIFBR)
_SIOCBRADDBR, _SIOCBRDELBR = int(SocketIoctl.SIOCBRADDBR), int(SocketIoctl.SIOCBRDELBR)
_SIOCBRADDIF, _SIOCBRDELIF = int(SocketIoctl.SIOCBRADDIF), int(SocketIoctl.SIOCBRDELIF)
BRIDGE_REQUESTS = frozenset((_SIOCGIFBR, _SIOCSIFBR, _SIOCBRADDBR, _SIOCBRDELBR, _SIOCBRADDIF, _SIOCBRDELIF))
_CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_ARGUMENTS = Words("<3Q")
_INDEX = Words("<i")
_IFREQ_BYTES, _NAME_BYTES = 40, 16
_MOST_TOLD = 2048


def bridge_ioctl(socket: Socket, request: int, argument: int, memory: UserMemory) -> int:
    """What any socket does about the bridges of its network.

    Raises EFAULT, EPERM, EEXIST, EINVAL, ENODEV, ENXIO, EBUSY, ELOOP, EOPNOTSUPP ...
    Linux: net/bridge/br_ioctl.c, br_ioctl_stub.
    """
    network = socket.network
    if request in (_SIOCGIFBR, _SIOCSIFBR):
        command, pointer, count = _ARGUMENTS.unpack(memory.read(argument, _ARGUMENTS.size))
        return _without_bridge(socket, command, pointer, count, memory)
    _check_rights(socket)
    if request in (_SIOCBRADDBR, _SIOCBRDELBR):
        _change_bridge(network, memory.read(argument, _NAME_BYTES), is_new=request == _SIOCBRADDBR)
        return 0
    data = memory.read(argument, _IFREQ_BYTES)
    bridge = network.interface_named(_text(data).split(b":", 1)[0])
    if bridge is None:
        raise ENODEV
    if bridge.kind != BRIDGE:
        raise EOPNOTSUPP("no bridge")
    port = network.interfaces.get(_INDEX.unpack_from(data, _NAME_BYTES)[0])
    _change_port(bridge, port, is_new=request == _SIOCBRADDIF)
    return 0


def _check_rights(socket: Socket) -> None:
    if not socket.caller.credentials.ns_capable(socket.network.owner, _CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")


def _text(data: bytes) -> bytes:
    """A name of an interface, cut to what one may have."""
    return data[: _NAME_BYTES - 1].split(b"\0", 1)[0]


def _without_bridge(socket: Socket, command: int, pointer: int, count: int, memory: UserMemory) -> int:
    """What was before there was a request for each. Linux: net/bridge/br_ioctl.c, old_deviceless."""
    network = socket.network
    if command == BridgeCommand.BRCTL_GET_VERSION:
        return BRCTL_VERSION
    if command == BridgeCommand.BRCTL_GET_BRIDGES:
        if count >= _MOST_TOLD:
            raise ENOMEM("so many bridges aren't told at once")
        network.host.clock.spend_looking(len(network.interfaces))
        found = [each.index for each in network.interfaces.values() if each.kind == BRIDGE][:count]
        memory.write(pointer, pack_array("i", found))
        return len(found)
    if command not in (BridgeCommand.BRCTL_ADD_BRIDGE, BridgeCommand.BRCTL_DEL_BRIDGE):
        raise EOPNOTSUPP(f"no command {command}")
    _check_rights(socket)
    is_new = command == BridgeCommand.BRCTL_ADD_BRIDGE
    _change_bridge(network, memory.read(pointer, _NAME_BYTES), is_new=is_new)
    return 0


def _change_bridge(network: Network, data: bytes, *, is_new: bool) -> None:
    """Linux: net/bridge/br_if.c, br_add_bridge, br_del_bridge."""
    name = _text(data)
    if is_new:
        if not name:
            raise EINVAL("an empty name")
        tell_of_new(make_interface(network, BRIDGE, name))
        return
    bridge = network.interface_named(name)
    if bridge is None:
        raise ENXIO("no such interface")
    if bridge.kind != BRIDGE:
        raise EPERM("no bridge")
    if bridge.is_up:
        raise EBUSY("the bridge is up")
    delete_interface(bridge)


def _change_port(bridge: Interface, port: Interface | None, *, is_new: bool) -> None:
    """Linux: net/bridge/br_ioctl.c, add_del_if; net/bridge/br_if.c, br_add_if, br_del_if."""
    if port is None:
        raise EINVAL("no such interface")
    if is_new:
        if port.master is not None:
            raise EBUSY("it's a port already")
        join_bridge(port, bridge)
    elif port.master is bridge:
        leave_bridge(port)
    else:
        raise EINVAL("it's no port of this bridge")
