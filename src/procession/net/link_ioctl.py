"""The ioctls about interfaces: what any socket answers, and what those of IP alone do (netdevice(7))."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import (
    EADDRNOTAVAIL,
    EEXIST,
    EINVAL,
    ENOBUFS,
    ENODEV,
    ENOPKG,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
)
from procession.abi.ethtool import EthtoolCommand
from procession.abi.ioctls import SocketIoctl
from procession.abi.socket import AddressFamily
from procession.abi.word import Words, pack_address, pack_u16
from procession.net.bridge_ioctl import BRIDGE_REQUESTS, bridge_ioctl
from procession.net.ethtool import answer
from procession.net.internet.address import BROADCAST_4, LOOPBACK_4
from procession.net.internet.device_address import (
    DeviceAddress,
    add_address,
    addresses_of,
    remove_address,
    scope_of_6,
)
from procession.net.internet.routing import SCOPE_HOST, SCOPE_UNIVERSE, last_of
from procession.net.link.interface import IFF_LOOPBACK, IFF_UP, Interface
from procession.net.link.own_address import ignore, listen_to
from procession.net.link_change import (
    rename,
    set_broadcast_hardware_address,
    set_flags,
    set_hardware_address,
    set_mtu,
    set_queue_length,
)
from procession.net.netlink.arp_ioctl import ARP_REQUESTS, neighbour_ioctl
from procession.net.netlink.route_ioctl import ROUTE_REQUESTS, change_by_ioctl
from procession.net.timestamp import STAMP_REQUESTS

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.network import Network
    from procession.net.socket import Socket

CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_IFREQ_SIZE = 40
_HWTSTAMP_CONFIG_SIZE = 12
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
_QUESTIONS = frozenset(map(int, EthtoolCommand))
_SIOCSIFDSTADDR = int(SocketIoctl.SIOCSIFDSTADDR)
_SIOCDIFADDR = int(SocketIoctl.SIOCDIFADDR)
_SIOCGIFSLAVE = int(SocketIoctl.SIOCGIFSLAVE)
_SIOCSIFSLAVE = int(SocketIoctl.SIOCSIFSLAVE)
_SIOCGIFMAP = int(SocketIoctl.SIOCGIFMAP)
_SIOCSHWTSTAMP = int(SocketIoctl.SIOCSHWTSTAMP)
_SIOCGHWTSTAMP = int(SocketIoctl.SIOCGHWTSTAMP)
_SIOCADDMULTI = int(SocketIoctl.SIOCADDMULTI)
_LISTS = (_SIOCADDMULTI, int(SocketIoctl.SIOCDELMULTI))
_HARDWARE_BROADCAST = int(SocketIoctl.SIOCSIFHWBROADCAST)
_FIRST_PRIVATE, _LAST_PRIVATE = int(SocketIoctl.SIOCDEVPRIVATE), int(SocketIoctl.SIOCDEVPRIVATE) + 15
_SOCKET_TYPE = 0x89
"""The byte above the number in each request for sockets (in Linux, SOCK_IOC_TYPE)."""
_ADDRESS_GETTERS = (_SIOCGIFADDR, _SIOCGIFDSTADDR, _SIOCGIFBRDADDR, _SIOCGIFNETMASK)
_BROADCAST = b"\xff\xff\xff\xff"
_ADDRESS_SETTERS = (_SIOCSIFADDR, _SIOCSIFDSTADDR, _SIOCSIFBRDADDR, _SIOCSIFNETMASK)
_OF_ADDRESS = (*_ADDRESS_GETTERS, *_ADDRESS_SETTERS)
_SIOCRTMSG = int(SocketIoctl.SIOCRTMSG)
_UNUSED_BY_IP = (
    int(SocketIoctl.SIOCSIFPFLAGS),
    int(SocketIoctl.SIOCGIFPFLAGS),
)
"""What IPv4's sockets refuse themselves."""
_GETTERS = frozenset(
    (
        *(_SIOCGIFFLAGS, _SIOCGIFMETRIC, _SIOCGIFMTU, _SIOCGIFHWADDR, _SIOCGIFINDEX, _SIOCGIFTXQLEN),
        *(_SIOCGIFSLAVE, _SIOCGIFMAP),
    )
)
_SETTERS = frozenset(
    (
        *(_SIOCSIFFLAGS, _SIOCSIFMTU, _SIOCSIFNAME, _SIOCSIFHWADDR, _SIOCSIFTXQLEN),
        *(int(SocketIoctl.SIOCSIFMETRIC), _SIOCSIFSLAVE, *_LISTS, _HARDWARE_BROADCAST),
        *(int(SocketIoctl.SIOCGMIIPHY), int(SocketIoctl.SIOCGMIIREG), int(SocketIoctl.SIOCSMIIREG)),
        *(int(SocketIoctl.SIOCSIFMAP), _SIOCSHWTSTAMP),
        *range(int(SocketIoctl.SIOCBONDENSLAVE), int(SocketIoctl.SIOCBONDSLAVEINFOQUERY)),
        int(SocketIoctl.SIOCBONDCHANGEACTIVE),
    )
)
_OF_MACHINE = (_SIOCSIFTXQLEN, int(SocketIoctl.SIOCSIFMAP))
"""What takes CAP_NET_ADMIN in the first user namespace, whoever owns the network."""
_OF_DRIVER = frozenset(
    (
        *(_SIOCGHWTSTAMP, int(SocketIoctl.SIOCWANDEV)),
        *(int(SocketIoctl.SIOCBONDSLAVEINFOQUERY), int(SocketIoctl.SIOCBONDINFOQUERY)),
    )
)
"""What goes on to the interface's driver whoever asks."""
_OF_VLAN = (int(SocketIoctl.SIOCGIFVLAN), int(SocketIoctl.SIOCSIFVLAN))
"""What no socket reads the structure of where VLANs aren't built."""
_IN6_IFREQ = Words("<16sIi")
_AF_INET6 = int(AddressFamily.AF_INET6)
_AF_UNSPEC = int(AddressFamily.AF_UNSPEC)
_WITH_ADDRESSES = (int(AddressFamily.AF_INET), int(AddressFamily.AF_PACKET))
"""The families whose sockets are asked about addresses of IPv4."""
_WITH_ROUTES = (*_WITH_ADDRESSES, _AF_INET6)
_MAP_BYTES = 24


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
    elif request == _SIOCGIFNAME:
        _tell_name(network, argument, memory)
    elif request >> 8 & 0xFF != _SOCKET_TYPE:
        raise ENOTTY
    elif request in ROUTE_REQUESTS and socket.family in _WITH_ROUTES:
        change_by_ioctl(socket, request, argument, memory)
    elif request in ARP_REQUESTS and socket.family in _WITH_ADDRESSES:
        neighbour_ioctl(socket, request, argument, memory)
    elif socket.family == _AF_INET6 and request in (_SIOCSIFADDR, _SIOCDIFADDR):
        _change_address_6(socket, request, argument, memory)
    elif request in BRIDGE_REQUESTS:
        return bridge_ioctl(socket, request, argument, memory)
    else:
        _refuse_unbuilt(socket, request)
        _ask_interface(socket, request, argument, memory)
    return 0


def _tell_name(network: Network, argument: int, memory: UserMemory) -> None:
    """Linux: net/core/dev_ioctl.c, dev_ifname."""
    named = network.interfaces.get(_INT.unpack(memory.read(argument + _NAME_SIZE, 4))[0])
    if named is None:
        raise ENODEV
    # What the program had behind the name stays.
    rest = memory.read(argument, _NAME_SIZE - 1)[len(named.name) + 1 :]
    memory.write(argument, (named.name + b"\0" + rest).ljust(_NAME_SIZE, b"\0"))


def _refuse_unbuilt(socket: Socket, request: int) -> None:
    """What is refused without a look at the argument. Raises ENODEV, EINVAL, ENOPKG, ENOTTY."""
    if socket.family == _AF_INET6 and request == _SIOCSIFDSTADDR:
        # Only tunnels have the other end's, and aren't configured (in Linux, addrconf_set_dstaddr).
        raise ENODEV("no tunnel")
    if socket.family == _WITH_ADDRESSES[0] and request == _SIOCRTMSG:
        raise EINVAL("not used")
    if request in _OF_VLAN:
        raise ENOPKG("there are no VLANs")
    if request in STAMP_REQUESTS:
        raise ENOTTY("no message's time is kept")


def _ask_interface(socket: Socket, request: int, argument: int, memory: UserMemory) -> None:
    """Linux: net/core/dev_ioctl.c, dev_ioctl."""
    network = socket.network
    # Whatever is asked, Linux fetches the structure first.
    data = memory.read(argument, _IFREQ_SIZE)
    if socket.family == _WITH_ADDRESSES[0] and request in _UNUSED_BY_IP:
        raise EINVAL("not used")
    is_of_address = request in _OF_ADDRESS and socket.family in _WITH_ADDRESSES
    is_setter = request in _SETTERS or (is_of_address and request in _ADDRESS_SETTERS)
    is_of_driver = request in _OF_DRIVER or _FIRST_PRIVATE <= request <= _LAST_PRIVATE
    if not (request in _GETTERS or is_setter or is_of_address or is_of_driver or request == _SIOCETHTOOL):
        raise ENOTTY
    question = int.from_bytes(data[_NAME_SIZE : _NAME_SIZE + 8], "little")
    command = _INT.unpack(memory.read(question, 4))[0] if request == _SIOCETHTOOL else 0
    label = data[: _NAME_SIZE - 1].split(b"\0", 1)[0]
    caller = socket.caller.credentials
    if is_setter and not caller.ns_capable(network.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    if request in _OF_MACHINE and not caller.capable(CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN over the machine is needed")
    if is_of_address and is_setter and data[_NAME_SIZE : _NAME_SIZE + 2] != _AF_INET:
        raise EINVAL("not an address of AF_INET")
    interface = network.interface_named(label.split(b":", 1)[0])
    if interface is None:
        raise ENODEV
    if (
        request == _SIOCETHTOOL
        and command not in _QUESTIONS
        and not caller.ns_capable(network.owner, CAP_NET_ADMIN)
    ):
        # As in Linux's __dev_ethtool.
        raise EPERM("CAP_NET_ADMIN is needed for all but questions")
    if is_of_driver:
        raise EOPNOTSUPP("the driver knows no such request")
    value = data[_NAME_SIZE : _NAME_SIZE + _VALUE_SIZE]
    if is_setter:
        if request == _SIOCSHWTSTAMP:
            memory.read(question, _HWTSTAMP_CONFIG_SIZE)
        if request == _SIOCSIFFLAGS and b":" in label and socket.family in _WITH_ADDRESSES:
            _set_flags_of_label(interface, label, _SHORT.unpack_from(value)[0])
        else:
            _set(interface, request, label, value)
    elif request == _SIOCETHTOOL:
        memory.write(question, answer(interface, command, memory, question))
    else:
        memory.write(argument + _NAME_SIZE, _get(interface, request, label, value))


def _sockaddr(address: bytes) -> bytes:
    return _AF_INET + bytes(2) + address + bytes(8)


def _address_called(interface: Interface, label: bytes, wanted: bytes = b"") -> DeviceAddress | None:
    """The address of IPv4 with that label that is in a `wanted` struct sockaddr_in, or else the first.

    Linux: net/ipv4/devinet.c, devinet_ioctl.
    """
    called = [found for found in addresses_of(interface, is_ipv6=False) if found.label == label]
    exact = [found for found in called if wanted[:2] == _AF_INET and found.address == wanted[4:8]]
    return next(iter(exact or called), None)


def _mask(address: DeviceAddress) -> bytes:
    return pack_address(0xFFFF_FFFF << 32 - address.prefix_length, 4)


def _get(interface: Interface, request: int, label: bytes, value: bytes) -> bytes:
    """Linux: net/core/dev_ioctl.c, dev_ifsioc_locked."""
    if request in _ADDRESS_GETTERS:
        address = _address_called(interface, label, value)
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
    if request == _SIOCGIFSLAVE:
        raise EINVAL("an interface is no slave")
    if request == _SIOCGIFMAP:
        # There is no device with memory, ports or interrupts of its own.
        return bytes(_MAP_BYTES)
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
            raise EINVAL("a negative length")
        set_queue_length(interface, number)
    elif request == _SIOCSIFSLAVE or (
        request in _LISTS and (interface.flags & IFF_LOOPBACK or _SHORT.unpack_from(value)[0] != _AF_UNSPEC)
    ):
        raise EINVAL("no slave, or no list of addresses")
    elif request in _LISTS:
        _change_list(interface, value, is_new=request == _SIOCADDMULTI)
    elif request == _HARDWARE_BROADCAST:
        if _SHORT.unpack_from(value)[0] != interface.hardware_type:
            raise EINVAL("hardware of another type")
        set_broadcast_hardware_address(interface, value[2:8])
    elif request not in _OF_ADDRESS:
        raise EOPNOTSUPP("the driver knows no such request")
    else:
        _set_address(interface, request, label, value)


def _change_list(interface: Interface, value: bytes, *, is_new: bool) -> None:
    """An address of a group, which the program wants or doesn't any more. Raises EINVAL, ENOENT, ENOBUFS.

    Linux: net/core/dev_ioctl.c, dev_ifsioc; net/core/dev_addr_lists.c, dev_mc_add_global.
    """
    if _SHORT.unpack_from(value)[0] or not interface.has_frames:
        raise EINVAL("no list of addresses, or another kind")
    address = value[2:8]
    if not is_new:
        ignore(interface, address)
    elif address not in interface.own_addresses:
        listen_to(interface, address)


def _set_flags_of_label(interface: Interface, label: bytes, flags: int) -> None:
    """An address with a label of its own goes when it's shut down; the interface stays as it is."""
    address = _address_called(interface, label)
    if address is None:
        raise EADDRNOTAVAIL("the interface has no such address")
    if not flags & IFF_UP:
        remove_address(address)


def _set_address(interface: Interface, request: int, label: bytes, value: bytes) -> None:
    """The address, the mask, the broadcast address or the other end's of IPv4 with that label.

    Linux: net/ipv4/devinet.c, devinet_ioctl.
    """
    old = _address_called(interface, label)
    chosen = value[4:8]
    if request == _SIOCSIFADDR:
        _replace_address(interface, old, label, chosen)
        return
    if old is None:
        raise EADDRNOTAVAIL("the interface has no address")
    length, broadcast, peer = old.prefix_length, old.broadcast, old.peer
    if request == _SIOCSIFNETMASK:
        bits = int.from_bytes(chosen, "big")
        inverse = bits ^ 0xFFFF_FFFF
        if inverse & inverse + 1:
            raise EINVAL("no mask")
        length = bits.bit_count()
        if length < 31 and broadcast is not None and broadcast == last_of(old.address, old.prefix_length):
            broadcast = last_of(old.address, length)
    elif request == _SIOCSIFDSTADDR:
        peer = chosen
        if peer != old.peer:
            _length_by_class(peer)
    else:
        broadcast = chosen
    if (length, broadcast, peer) != (old.prefix_length, old.broadcast, old.peer):
        remove_address(old)
        changed = DeviceAddress(
            *(interface, old.address, length),
            peer=peer,
            broadcast=broadcast,
            label=label,
            scope=old.scope,
        )
        # Nobody is told that what it has become can't be.
        with suppress(EEXIST, EINVAL):
            add_address(changed)


def _replace_address(interface: Interface, old: DeviceAddress | None, label: bytes, chosen: bytes) -> None:
    """SIOCSIFADDR."""
    length = _length_by_class(chosen)
    if not interface.has_protocol(is_ipv6=False):
        raise ENOBUFS("the interface is too small for IPv4")
    if old is not None:
        if old.address == chosen:
            return
        remove_address(old)
    if not any(chosen):
        return
    is_loopback = bool(interface.flags & IFF_LOOPBACK)
    broadcast = None if is_loopback or length > 30 else last_of(chosen, length)
    scope = SCOPE_HOST if chosen[0] == LOOPBACK_4[0] else SCOPE_UNIVERSE
    add_address(DeviceAddress(interface, chosen, length, label=label, broadcast=broadcast, scope=scope))


def _change_address_6(socket: Socket, request: int, argument: int, memory: UserMemory) -> None:
    """An address of IPv6 comes or goes. Raises EPERM, EFAULT, ENODEV, EINVAL, EEXIST, EADDRNOTAVAIL.

    Linux: net/ipv6/addrconf.c, addrconf_add_ifaddr, addrconf_del_ifaddr.
    """
    network = socket.network
    if not socket.caller.credentials.ns_capable(network.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    address, prefix_length, index = _IN6_IFREQ.unpack(memory.read(argument, _IN6_IFREQ.size))
    interface = network.interfaces.get(index)
    if request == _SIOCDIFADDR and prefix_length > 128:
        raise EINVAL("a prefix of more bits than an address has")
    if interface is None:
        raise ENODEV("no such interface")
    if prefix_length > 128:
        raise EINVAL("a prefix of more bits than an address has")
    if request == _SIOCSIFADDR:
        add_address(DeviceAddress(interface, address, prefix_length, scope=scope_of_6(address)))
        return
    for found in addresses_of(interface, is_ipv6=True):
        if found.address == address and found.prefix_length == prefix_length:
            remove_address(found)
            return
    raise EADDRNOTAVAIL("the interface has no such address")


def _length_by_class(address: bytes) -> int:
    """Linux: net/ipv4/devinet.c, inet_abc_len."""
    if not any(address) or address == _BROADCAST:
        return 0
    first = address[0]
    if address == BROADCAST_4:
        return 0
    if first < 128:
        return 8
    if first < 192:
        return 16
    if first < 224:
        return 24
    if first >= 240:
        return 32
    raise EINVAL("no address of an interface")


def _list_interfaces(network: Network, argument: int, memory: UserMemory) -> None:
    """SIOCGIFCONF: the addresses of IPv4. Linux: net/core/dev_ioctl.c, dev_ifconf; net/ipv4/devinet.c,
    inet_gifconf."""
    length, address = _IFCONF.unpack(memory.read(argument, _IFCONF.size))
    records = [
        (found.label.ljust(_NAME_SIZE, b"\0") + _sockaddr(found.address)).ljust(_IFREQ_SIZE, b"\0")
        for interface in network.interfaces.values()
        for found in addresses_of(interface, is_ipv6=False)
    ]
    if address:
        records = records[: max(length, 0) // _IFREQ_SIZE]
        if records:
            memory.write(address, b"".join(records))
    memory.write(argument, _INT.pack(len(records) * _IFREQ_SIZE))
