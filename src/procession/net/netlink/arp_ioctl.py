"""Neighbours of IPv4 that ioctl(2) sets, tells of and forgets: SIOCSARP, SIOCGARP and SIOCDARP (arp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.arp import ArpFlag
from procession.abi.capability import Capability
from procession.abi.errno import EINVAL, ENODEV, ENXIO, EPERM, EPFNOSUPPORT
from procession.abi.ioctls import SocketIoctl
from procession.abi.word import Words, pack_u16, pack_u32
from procession.net.internet.address import AF_INET
from procession.net.internet.flow import find_flow
from procession.net.internet.neighbour import PERMANENT, STALE
from procession.net.netlink.neighbours import remove_neighbour, set_neighbour, set_proxy

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.internet.neighbour import Neighbour
    from procession.net.link.interface import Interface
    from procession.net.network import Network
    from procession.net.socket import Socket

_SET, _TELL = int(SocketIoctl.SIOCSARP), int(SocketIoctl.SIOCGARP)
ARP_REQUESTS = (_SET, _TELL, int(SocketIoctl.SIOCDARP))
_CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_ARPREQ = Words("<HHI8xH14sI16s16s")
"""struct arpreq: the family and address of whom it's about, the type and address of hardware, flags, a mask
that nobody looks at, and an interface's name."""
_HARDWARE = 16
"""Where the type of hardware is."""
_COMPLETE, _PERMANENT, _PUBLISHED = int(ArpFlag.ATF_COM), int(ArpFlag.ATF_PERM), int(ArpFlag.ATF_PUBL)
_OF_PUBLISHED = int(ArpFlag.ATF_NETMASK | ArpFlag.ATF_DONTPUB)


def neighbour_ioctl(socket: Socket, request: int, argument: int, memory: UserMemory) -> None:
    """Raises EPERM, EFAULT, EPFNOSUPPORT, EINVAL, ENODEV, ENXIO, ENETUNREACH.

    Linux: net/ipv4/arp.c, arp_ioctl.
    """
    network = socket.network
    if request != _TELL and not socket.caller.credentials.ns_capable(network.owner, _CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    data = memory.read(argument, _ARPREQ.size)
    family, _, _, hardware_type, hardware, flags, _, name = _ARPREQ.unpack(data)
    if family != AF_INET:
        raise EPFNOSUPPORT("no address of IPv4")
    if not flags & _PUBLISHED and flags & _OF_PUBLISHED:
        raise EINVAL("of what isn't published")
    address = data[4:8]
    called = name.split(b"\0", 1)[0]
    if request == _TELL and not called:
        raise ENODEV("no interface is named")
    interface = _interface_of(network, called, address, flags)
    if interface is not None and flags & _COMPLETE and hardware_type not in (0, interface.hardware_type):
        raise EINVAL("hardware of another type")
    if flags & _PUBLISHED and request != _TELL:
        set_proxy(network, interface, address, is_new=request == _SET)
        return
    assert interface is not None
    entry = network.neighbours.get((interface, address))
    if request == _SET:
        _set(interface, address, hardware, flags)
    elif entry is None:
        raise ENXIO("no such neighbour")
    elif request == _TELL:
        told = pack_u16(interface.hardware_type) + entry.hardware_address.ljust(14, b"\0")
        told += pack_u32(_flags_of(entry)) + data[36:52] + interface.name.ljust(16, b"\0")
        memory.write(argument + _HARDWARE, told)
    else:
        remove_neighbour(entry)


def _interface_of(network: Network, name: bytes, address: bytes, flags: int) -> Interface | None:
    """Where the neighbour is: at the named interface, or where packets to it would go out.

    Linux: net/ipv4/arp.c, arp_req_set.
    """
    if name:
        interface = network.interface_named(name)
        if interface is None:
            raise ENODEV("no such interface")
        return interface
    if flags & _PUBLISHED:
        return None
    return find_flow(network, address, None, None).out


def _set(interface: Interface, address: bytes, hardware: bytes, flags: int) -> None:
    if not interface.has_frames:
        raise EINVAL("an interface without neighbours")
    if flags & _PERMANENT:
        set_neighbour(interface, address, hardware[:6], PERMANENT)
    elif flags & _COMPLETE:
        set_neighbour(interface, address, hardware[:6], STALE)
    elif (interface, address) not in interface.network.neighbours:
        raise EINVAL("no hardware address is given")


def _flags_of(entry: Neighbour) -> int:
    """Linux: net/ipv4/arp.c, arp_state_to_flags."""
    if entry.state == PERMANENT:
        return _PERMANENT | _COMPLETE
    return _COMPLETE if entry.is_resolved else 0
