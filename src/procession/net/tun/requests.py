"""The ioctls of /dev/net/tun (Linux: drivers/net/tun.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EBADFD, EBUSY, EEXIST, EINVAL, EPERM
from procession.abi.ioctls import SocketIoctl
from procession.abi.tun import TunFlag, TunIoctl, TunOffload
from procession.abi.word import Words, pack_u16, pack_u32
from procession.fs.user_namespace import NO_ID
from procession.net.link.interface import TUN
from procession.net.link_change import set_carrier, set_hardware_address
from procession.net.tun.device import (
    FEATURES,
    KIND_FLAGS,
    MULTI_QUEUE,
    OFFLOAD_HEADER_BYTES,
    PERSISTENT,
    TunDevice,
    new_device,
)
from procession.net.tun.filter import attach_program, detach_program, set_destinations

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.tun.file import TunFile

_SETIFF, _SETQUEUE = int(TunIoctl.TUNSETIFF), int(TunIoctl.TUNSETQUEUE)
_GETFEATURES, _SETIFINDEX = int(TunIoctl.TUNGETFEATURES), int(TunIoctl.TUNSETIFINDEX)
_SIOCGSKNS = int(SocketIoctl.SIOCGSKNS)
_SIOCGIFHWADDR, _SIOCSIFHWADDR = int(SocketIoctl.SIOCGIFHWADDR), int(SocketIoctl.SIOCSIFHWADDR)
_IFREQ_BYTES, _NAME_BYTES = 40, 16
_FLAGS = Words("<H")
_INT = Words("<i")
_ALL_FEATURES = FEATURES | KIND_FLAGS | int(TunFlag.IFF_NO_CARRIER)
_SHOWN = FEATURES | KIND_FLAGS | PERSISTENT
_EXCLUSIVE, _NO_CARRIER = int(TunFlag.IFF_TUN_EXCL), int(TunFlag.IFF_NO_CARRIER)
_NAPI, _NAPI_FRAGS = int(TunFlag.IFF_NAPI), int(TunFlag.IFF_NAPI_FRAGS)
_ATTACH, _DETACH = int(TunFlag.IFF_ATTACH_QUEUE), int(TunFlag.IFF_DETACH_QUEUE)
_NO_FILTER = int(TunFlag.IFF_NOFILTER)
_TUN, _TAP = int(TunFlag.IFF_TUN), int(TunFlag.IFF_TAP)
_OFFLOADS = int(
    TunOffload.TUN_F_CSUM
    | TunOffload.TUN_F_TSO4
    | TunOffload.TUN_F_TSO6
    | TunOffload.TUN_F_TSO_ECN
    | TunOffload.TUN_F_UFO
    | TunOffload.TUN_F_USO4
    | TunOffload.TUN_F_USO6
)
_CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_WORD = 0xFFFFFFFF


def handle_request(file: TunFile, request: int, argument: int, memory: UserMemory) -> int:
    """An ioctl. Raises EFAULT, EBADFD, EINVAL, EPERM, EBUSY, EEXIST ...

    Linux: drivers/net/tun.c, __tun_chr_ioctl.
    """
    data = b""
    if request in (_SETIFF, _SETQUEUE) or (request >> 8 & 0xFF == 0x89 and request != _SIOCGSKNS):
        data = memory.read(argument, _IFREQ_BYTES)
    if request == _GETFEATURES:
        memory.write(argument, pack_u32(_ALL_FEATURES))
        return 0
    if request == _SETQUEUE:
        _set_queue(file, _FLAGS.unpack_from(data, _NAME_BYTES)[0])
        return 0
    if request == _SIOCGSKNS:
        if not file.credentials.ns_capable(file.network.owner, _CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed")
        return file.network.host.open_network(file.network)
    device = file.device
    if request == _SETIFF:
        if device is not None:
            raise EEXIST("the file has an interface")
        name = data[: _NAME_BYTES - 1].split(b"\0", 1)[0]
        device = _set_interface(file, name, _FLAGS.unpack_from(data, _NAME_BYTES)[0])
        memory.write(argument, device.interface.name.ljust(_NAME_BYTES, b"\0") + data[_NAME_BYTES:])
        return 0
    if request == _SETIFINDEX:
        if device is not None:
            raise EPERM("the file has an interface")
        index: int = _INT.unpack(memory.read(argument, 4))[0]
        if index < 0:
            raise EINVAL("a negative index")
        file.wanted_index = index
        return 0
    if device is None:
        raise EBADFD("no interface")
    return _change(file, device, request, argument, memory, data)


def _set_interface(file: TunFile, name: bytes, flags: int) -> TunDevice:
    """TUNSETIFF. Linux: drivers/net/tun.c, tun_set_iff."""
    network, credentials = file.network, file.credentials
    if flags & _NAPI_FRAGS:
        if not credentials.capable(_CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed")
        if not flags & _NAPI or flags & KIND_FLAGS != _TAP:
            raise EINVAL("pieces are frames of a tap")
    found = network.interface_named(name)
    if found is not None:
        if flags & _EXCLUSIVE:
            raise EBUSY("there is such an interface")
        device = found.tun
        wanted = _TAP if device is not None and device.is_tap else _TUN
        if found.kind != TUN or device is None or not flags & wanted:
            raise EINVAL("an interface of another kind")
        if (flags ^ device.flags) & MULTI_QUEUE:
            raise EINVAL("it has several queues, or hasn't")
        if not _may_attach(file, device):
            raise EPERM("somebody else's interface")
        device.attach(file)
        if len(device.files) + len(device.detached) > 1:
            return device
        device.flags = device.flags & ~FEATURES | flags & FEATURES
    else:
        if not credentials.ns_capable(network.owner, _CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed")
        if not flags & KIND_FLAGS:
            raise EINVAL("neither tun nor tap")
        kind = _TUN if flags & _TUN else _TAP
        device = new_device(network, kind | flags & FEATURES, name, file.wanted_index)
        device.attach(file)
    set_carrier(device.interface, has_carrier=not flags & _NO_CARRIER)
    return device


def _may_attach(file: TunFile, device: TunDevice) -> bool:
    """Whether it is the caller's, or nobody's. Linux: drivers/net/tun.c, tun_set_iff."""
    credentials = file.credentials
    is_owner = device.owner_uid is None or device.owner_uid == credentials.euid
    is_member = device.owner_gid is None or (
        device.owner_gid == credentials.egid or device.owner_gid in credentials.groups
    )
    return (is_owner and is_member) or credentials.ns_capable(file.network.owner, _CAP_NET_ADMIN)


def _set_queue(file: TunFile, flags: int) -> None:
    device = file.device
    if device is None or not flags & (_ATTACH | _DETACH):
        raise EINVAL("no queue, or nothing to do with it")
    if flags & _ATTACH and not _may_attach(file, device):
        raise EPERM("somebody else's interface")
    device.set_queue(file, is_attached=bool(flags & _ATTACH))


def _change(
    file: TunFile, device: TunDevice, request: int, argument: int, memory: UserMemory, data: bytes
) -> int:
    """What is about the interface that the file is attached to."""
    interface = device.interface
    if request == TunIoctl.TUNGETIFF:
        flags = device.flags & _SHOWN | _NO_FILTER | (_DETACH if file in device.detached else 0)
        memory.write(
            argument, interface.name.ljust(_NAME_BYTES, b"\0") + pack_u16(flags) + bytes(_IFREQ_BYTES - 18)
        )
    elif request == TunIoctl.TUNSETPERSIST:
        device.flags = device.flags | PERSISTENT if argument else device.flags & ~PERSISTENT
    elif request in (TunIoctl.TUNSETOWNER, TunIoctl.TUNSETGROUP):
        _set_owner(file, device, argument & _WORD, is_group=request == TunIoctl.TUNSETGROUP)
    elif request == TunIoctl.TUNSETOFFLOAD:
        if argument & ~_OFFLOADS:
            raise EINVAL("unknown offloads")
    elif request == _SIOCGIFHWADDR:
        address = interface.hardware_address.ljust(14, b"\0")
        memory.write(argument + _NAME_BYTES, pack_u16(interface.hardware_type) + address)
    elif request == _SIOCSIFHWADDR:
        kind, address = data[_NAME_BYTES : _NAME_BYTES + 2], data[_NAME_BYTES + 2 : _NAME_BYTES + 8]
        if kind != pack_u16(interface.hardware_type):
            raise EINVAL("hardware of another type")
        set_hardware_address(interface, address)
    elif request in _NUMBERS_TOLD:
        memory.write(argument, pack_u32(_NUMBERS_TOLD[request](device)))
    elif request in _NUMBERS_SET:
        _set_number(device, request, _INT.unpack(memory.read(argument, 4))[0])
    elif request == TunIoctl.TUNGETDEVNETNS:
        if not file.credentials.ns_capable(interface.network.owner, _CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed")
        return interface.network.host.open_network(interface.network)
    elif request in _FILTER_REQUESTS:
        return _filter(device, request, argument, memory)
    elif request not in (TunIoctl.TUNSETNOCSUM, TunIoctl.TUNSETDEBUG):
        raise EINVAL("no such request")
    return 0


_NUMBERS_TOLD: dict[int, Callable[[TunDevice], int]] = {
    int(TunIoctl.TUNGETSNDBUF): lambda device: device.send_room,
    int(TunIoctl.TUNGETVNETHDRSZ): lambda device: device.offload_bytes,
    int(TunIoctl.TUNGETVNETLE): lambda device: int(device.is_little_endian),
}
_NUMBERS_SET = frozenset(
    map(
        int,
        (
            *(TunIoctl.TUNSETSNDBUF, TunIoctl.TUNSETVNETHDRSZ, TunIoctl.TUNSETVNETLE),
            TunIoctl.TUNSETCARRIER,
        ),
    )
)
_FILTER_REQUESTS = frozenset(
    map(
        int,
        (
            *(TunIoctl.TUNSETTXFILTER, TunIoctl.TUNATTACHFILTER, TunIoctl.TUNDETACHFILTER),
            TunIoctl.TUNGETFILTER,
        ),
    )
)


def _filter(device: TunDevice, request: int, argument: int, memory: UserMemory) -> int:
    """What frames are read from a tap."""
    if not device.is_tap:
        raise EINVAL("packets without frames aren't filtered")
    if request == TunIoctl.TUNSETTXFILTER:
        return set_destinations(device, argument, memory)
    if request == TunIoctl.TUNATTACHFILTER:
        attach_program(device, argument, memory)
    elif request == TunIoctl.TUNDETACHFILTER:
        detach_program(device)
    else:
        memory.write(argument, device.asked_program)
    return 0


def _set_number(device: TunDevice, request: int, number: int) -> None:
    if request == TunIoctl.TUNSETCARRIER:
        set_carrier(device.interface, has_carrier=bool(number))
    elif request == TunIoctl.TUNSETVNETLE:
        # Nothing follows: the machine is little-endian itself.
        device.is_little_endian = bool(number)
    elif request == TunIoctl.TUNSETSNDBUF:
        if number <= 0:
            raise EINVAL("no room")
        device.send_room = number
    else:
        if not OFFLOAD_HEADER_BYTES <= number <= _LONGEST_OFFLOAD_HEADER:
            raise EINVAL("shorter than a struct virtio_net_hdr")
        device.offload_bytes = number


_LONGEST_OFFLOAD_HEADER = 4096
"""Linux takes any length, and fails where it doesn't fit."""


def _set_owner(file: TunFile, device: TunDevice, number: int, *, is_group: bool) -> None:
    """TUNSETOWNER, TUNSETGROUP."""
    namespace = file.credentials.user_namespace
    found = namespace.make_kgid(number) if is_group else namespace.make_kuid(number)
    if found == NO_ID:
        raise EINVAL("no such id here")
    if is_group:
        device.owner_gid = found
    else:
        device.owner_uid = found
    device.interface.network.link_changed(device.interface)
