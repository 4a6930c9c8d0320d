"""The ioctls about interfaces that any socket answers (netdevice(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EADDRNOTAVAIL, EINVAL, ENODEV, ENOTTY, EPERM, ERANGE
from procession.abi.ioctls import SocketIoctl
from procession.abi.word import Words, pack_address, pack_u16
from procession.net.ethtool import answer
from procession.net.internet.device_address import DeviceAddress, add_address, addresses_of, remove_address
from procession.net.internet.routing import last_of
from procession.net.link.interface import IFF_LOOPBACK, LOOPBACK, Interface
from procession.net.link_change import rename, set_flags, set_hardware_address, set_mtu

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.network import Network
    from procession.net.socket import Socket

CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_IFREQ_SIZE = 40
_NAME_SIZE = 16
_VALUE_SIZE = 16
_INT = Words("<i")
_SHORT = Words("<H")
_IFCONF = Words("<i4xQ")
_AF_INET = pack_u16(2)

_SIOCGSKNS = int(SocketIoctl.SIOCGSKNS)
_SIOCGIFNAME = int(SocketIoctl.SIOCGIFNAME)
_SIOCGIFCONF = int(SocketIoctl.SIOCGIFCONF)
_SIOCGIFFLAGS = int(SocketIoctl.SIOCGIFFLAGS)
_SIOCSIFFLAGS = int(SocketIoctl.SIOCSIFFLAGS)
_SIOCGIFADDR = int(SocketIoctl.SIOCGIFADDR)
_SIOCSIFADDR = int(SocketIoctl.SIOCSIFADDR)
_SIOCGIFDSTADDR = int(SocketIoctl.SIOCGIFDSTADDR)
_SIOCGIFBRDADDR = int(SocketIoctl.SIOCGIFBRDADDR)
_SIOCSIFBRDADDR = int(SocketIoctl.SIOCSIFBRDADDR)
_SIOCGIFNETMASK = int(SocketIoctl.SIOCGIFNETMASK)
_SIOCSIFNETMASK = int(SocketIoctl.SIOCSIFNETMASK)
_SIOCGIFMETRIC = int(SocketIoctl.SIOCGIFMETRIC)
_SIOCGIFMTU = int(SocketIoctl.SIOCGIFMTU)
_SIOCSIFMTU = int(SocketIoctl.SIOCSIFMTU)
_SIOCSIFNAME = int(SocketIoctl.SIOCSIFNAME)
_SIOCGIFHWADDR = int(SocketIoctl.SIOCGIFHWADDR)
_SIOCSIFHWADDR = int(SocketIoctl.SIOCSIFHWADDR)
_SIOCGIFINDEX = int(SocketIoctl.SIOCGIFINDEX)
_SIOCGIFTXQLEN = int(SocketIoctl.SIOCGIFTXQLEN)
_SIOCSIFTXQLEN = int(SocketIoctl.SIOCSIFTXQLEN)
_SIOCETHTOOL = int(SocketIoctl.SIOCETHTOOL)
_OF_ADDRESS = (_SIOCGIFADDR, _SIOCGIFDSTADDR, _SIOCGIFBRDADDR, _SIOCGIFNETMASK)
_GETTERS = frozenset(
    (
        *(_SIOCGIFFLAGS, _SIOCGIFMETRIC, _SIOCGIFMTU, _SIOCGIFHWADDR, _SIOCGIFINDEX, _SIOCGIFTXQLEN),
        *_OF_ADDRESS,
    )
)
_SETTERS = frozenset(
    (
        *(_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFBRDADDR, _SIOCSIFNETMASK, _SIOCSIFMTU, _SIOCSIFNAME),
        *(_SIOCSIFHWADDR, _SIOCSIFTXQLEN),
    )
)


def interface_ioctl(socket: Socket, request: int, argument: int, memory: UserMemory) -> int:
    """What any socket answers about the interfaces of its network.

    Raises ENOTTY, ENODEV, EPERM, EOPNOTSUPP, EADDRNOTAVAIL, EINVAL ... Linux: net/socket.c, sock_ioctl;
    net/core/dev_ioctl.c; net/ipv4/devinet.c, devinet_ioctl.
    """
    network = socket.network
    if request == _SIOCGSKNS:
        if not socket.caller.credentials.ns_capable(network.owner, CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed")
        return network.host.open_network(network)
    if request == _SIOCGIFCONF:
        _list_interfaces(network, argument, memory)
        return 0
    if request == _SIOCGIFNAME:
        named = network.interfaces.get(_INT.unpack(memory.read(argument + _NAME_SIZE, 4))[0])
        if named is None:
            raise ENODEV
        memory.write(argument, named.name.ljust(_NAME_SIZE, b"\0"))
        return 0
    is_setter = request in _SETTERS
    if request not in _GETTERS and not is_setter and request != _SIOCETHTOOL:
        raise ENOTTY
    data = memory.read(argument, _IFREQ_SIZE)
    question = int.from_bytes(data[_NAME_SIZE : _NAME_SIZE + 8], "little")
    command = _INT.unpack(memory.read(question, 4))[0] if request == _SIOCETHTOOL else 0
    label = data[: _NAME_SIZE - 1].split(b"\0", 1)[0]
    if is_setter and not socket.caller.credentials.ns_capable(network.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    interface = network.interface_named(label.split(b":", 1)[0])
    if interface is None:
        raise ENODEV
    value = data[_NAME_SIZE : _NAME_SIZE + _VALUE_SIZE]
    if is_setter:
        _set(interface, request, label, value)
        return 0
    if request == _SIOCETHTOOL:
        memory.write(question, answer(interface, command))
        return 0
    memory.write(argument + _NAME_SIZE, _get(interface, request, label))
    return 0


def _sockaddr(address: bytes) -> bytes:
    return _AF_INET + bytes(2) + address + bytes(8)


def _address_called(interface: Interface, label: bytes) -> DeviceAddress | None:
    """The first address of IPv4 with that label."""
    found = addresses_of(interface, is_ipv6=False)
    return next((address for address in found if address.label == label), None)


def _mask(address: DeviceAddress) -> bytes:
    return pack_address(0xFFFF_FFFF << 32 - address.prefix_length, 4)


def _get(interface: Interface, request: int, label: bytes) -> bytes:
    """Linux: net/core/dev_ioctl.c, dev_ifsioc_locked."""
    if request in _OF_ADDRESS:
        address = _address_called(interface, label)
        if address is None:
            raise EADDRNOTAVAIL("the interface has no address")
        if request == _SIOCGIFADDR:
            return _sockaddr(address.address)
        if request == _SIOCGIFDSTADDR:
            return _sockaddr(address.peer)
        if request == _SIOCGIFNETMASK:
            return _sockaddr(_mask(address))
        return _sockaddr(address.broadcast or bytes(4))
    if request == _SIOCGIFFLAGS:
        return _SHORT.pack(interface.shown_flags & 0xFFFF)
    if request == _SIOCGIFMTU:
        return _INT.pack(interface.mtu)
    if request == _SIOCGIFINDEX:
        return _INT.pack(interface.index)
    if request == _SIOCGIFTXQLEN:
        return _INT.pack(interface.queue_length)
    if request == _SIOCGIFHWADDR:
        return _SHORT.pack(interface.hardware_type) + interface.hardware_address.ljust(14, b"\0")
    return _INT.pack(0)


def _set(interface: Interface, request: int, label: bytes, value: bytes) -> None:
    """Linux: net/core/dev_ioctl.c, dev_ifsioc; net/ipv4/devinet.c, devinet_ioctl."""
    number: int = _INT.unpack_from(value)[0]
    if request == _SIOCSIFFLAGS:
        set_flags(interface, _SHORT.unpack_from(value)[0], 0xFFFF)
    elif request == _SIOCSIFMTU:
        if number < 0:
            raise EINVAL("a negative MTU")
        set_mtu(interface, number)
    elif request == _SIOCSIFNAME:
        rename(interface, value[: _NAME_SIZE - 1].split(b"\0", 1)[0])
    elif request == _SIOCSIFHWADDR:
        if _SHORT.unpack_from(value)[0] != interface.hardware_type:
            raise EINVAL("hardware of another type")
        set_hardware_address(interface, value[2:8])
    elif request == _SIOCSIFTXQLEN:
        if number < 0:
            raise ERANGE("a negative length")
        interface.queue_length = number
        interface.network.link_changed(interface)
    else:
        _set_address(interface, request, label, value)


def _set_address(interface: Interface, request: int, label: bytes, value: bytes) -> None:
    """The address, the mask or the broadcast address of IPv4 with that label."""
    if value[:2] != _AF_INET:
        raise EINVAL("not an address of AF_INET")
    old = _address_called(interface, label)
    chosen = value[4:8]
    if old is None and request != _SIOCSIFADDR:
        raise EADDRNOTAVAIL("the interface has no address")
    if request == _SIOCSIFADDR:
        if old is not None:
            if old.address == chosen:
                return
            remove_address(old)
        if not any(chosen):
            return
        is_loopback = bool(interface.flags & IFF_LOOPBACK)
        length = _length_by_class(chosen)
        broadcast = None if is_loopback or length > 30 else last_of(chosen, length)
        add_address(DeviceAddress(interface, chosen, length, label=label, broadcast=broadcast))
        if interface.kind == LOOPBACK or b":" not in label:
            set_flags(interface, interface.flags | 1, 0xFFFF)
        return
    assert old is not None
    length, broadcast = old.prefix_length, old.broadcast
    if request == _SIOCSIFNETMASK:
        bits = int.from_bytes(chosen, "big")
        inverse = bits ^ 0xFFFF_FFFF
        if inverse & inverse + 1:
            raise EINVAL("no mask")
        length = bits.bit_count()
        if broadcast is not None and broadcast == last_of(old.address, old.prefix_length):
            broadcast = last_of(old.address, length) if length < 31 else None
    else:
        broadcast = chosen
    if (length, broadcast) != (old.prefix_length, old.broadcast):
        remove_address(old)
        add_address(
            DeviceAddress(interface, old.address, length, label=label, broadcast=broadcast, scope=old.scope)
        )


def _length_by_class(address: bytes) -> int:
    """Linux: net/ipv4/devinet.c, inet_abc_len."""
    first = address[0]
    if first < 128:
        return 8
    if first < 192:
        return 16
    if first < 224:
        return 24
    raise EINVAL("no address of an interface")


def _list_interfaces(network: Network, argument: int, memory: UserMemory) -> None:
    """SIOCGIFCONF: the addresses of IPv4. Linux: net/core/dev_ioctl.c, dev_ifconf; net/ipv4/devinet.c,
    inet_gifconf."""
    length, address = _IFCONF.unpack(memory.read(argument, _IFCONF.size))
    if length < 0:
        raise EINVAL("a negative length")
    records = [
        (found.label.ljust(_NAME_SIZE, b"\0") + _sockaddr(found.address)).ljust(_IFREQ_SIZE, b"\0")
        for interface in network.interfaces.values()
        for found in addresses_of(interface, is_ipv6=False)
    ]
    if address:
        records = records[: length // _IFREQ_SIZE]
        if records:
            memory.write(address, b"".join(records))
    memory.write(argument, _INT.pack(len(records) * _IFREQ_SIZE))
