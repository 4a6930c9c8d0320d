"""What sysfs tells of an interface, and changes of it: /sys/class/net/INTERFACE."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from procession.abi.capability import Capability
from procession.abi.errno import EINVAL, EIO, ENODEV, ENOENT, EOPNOTSUPP, EPERM, ERANGE
from procession.fs.inode import S_IFDIR, S_IFLNK, S_IFREG, DirectoryEntry, Inode
from procession.fs.user_namespace import NO_ID
from procession.net.ethtool import FULL_DUPLEX, speed_of
from procession.net.internet.flow import settle_all
from procession.net.link.interface import BRIDGE, DUMMY, LOOPBACK, TUN, UNNAMED
from procession.net.link_change import change_carrier, set_alias, set_flags, set_mtu, set_queue_length
from procession.net.netlink.uevent import tell_of_device
from procession.procfs.inode import ATTRIBUTE_SIZE, KernfsDirectory, open_attribute
from procession.procfs.parse_integer import parse_within
from procession.procfs.synthetic_event import synthetic_event
from procession.procfs.sysfs_bridge import BridgeDirectory, DeviceLink, PortsDirectory

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.fs.superblock import Superblock
    from procession.net.link.interface import Interface
    from procession.net.network import Network
    from procession.net.tun.device import TunDevice

_STATES = (b"unknown", b"notpresent", b"down", b"lowerlayerdown", b"testing", b"dormant", b"up")
_COUNTERS = (
    *("collisions", "multicast", "rx_bytes", "rx_compressed", "rx_crc_errors", "rx_dropped", "rx_errors"),
    *("rx_fifo_errors", "rx_frame_errors", "rx_length_errors", "rx_missed_errors", "rx_nohandler"),
    *("rx_over_errors", "rx_packets", "tx_aborted_errors", "tx_bytes", "tx_carrier_errors", "tx_compressed"),
    *("tx_dropped", "tx_errors", "tx_fifo_errors", "tx_heartbeat_errors", "tx_packets", "tx_window_errors"),
)


def _address(value: bytes) -> bytes:
    return value.hex(":").encode()


def _running(interface: Interface) -> Interface:
    if not interface.is_up:
        raise EINVAL("the interface is down")
    return interface


def _while_up(interface: Interface, value: int) -> int:
    """Linux: net/core/net-sysfs.c, carrier_show, testing_show, dormant_show."""
    _running(interface)
    return value


def _speed(interface: Interface) -> tuple[int, int]:
    """Linux: net/core/net-sysfs.c, speed_show, duplex_show."""
    try:
        return speed_of(_running(interface))
    except EOPNOTSUPP:
        raise EINVAL("no driver says") from None


def _named(interface: Interface) -> int:
    """Linux: net/core/net-sysfs.c, name_assign_type_show."""
    if interface.name_origin == UNNAMED:
        raise EINVAL("nobody says where the name comes from")
    return interface.name_origin


def _counter(interface: Interface, name: str) -> int:
    if name == "rx_packets":
        return interface.received_packets
    if name == "rx_bytes":
        return interface.received_bytes
    if name == "tx_packets":
        return interface.sent_packets
    if name == "tx_bytes":
        return interface.sent_bytes
    return interface.drop_count if name == "tx_dropped" else 0


_ATTRIBUTES: dict[bytes, Callable[[Interface], bytes]] = {
    b"addr_assign_type": lambda each: b"%d" % (each.kind != LOOPBACK and not each.has_chosen_address),
    b"addr_len": lambda each: b"%d" % len(each.hardware_address),
    b"address": lambda each: _address(each.hardware_address),
    b"broadcast": lambda each: _address(each.broadcast_hardware_address),
    b"carrier": lambda each: b"%d" % _while_up(each, each.has_carrier),
    b"carrier_changes": lambda each: b"%d" % each.carrier_changes,
    b"carrier_down_count": lambda each: b"%d" % (each.carrier_changes - each.carrier_changes // 2),
    b"carrier_up_count": lambda each: b"%d" % (each.carrier_changes // 2),
    b"dev_id": lambda each: b"0x0",
    b"dev_port": lambda each: b"0",
    b"dormant": lambda each: b"%d" % _while_up(each, 0),
    b"duplex": lambda each: b"full" if _speed(each)[1] == FULL_DUPLEX else b"unknown",
    b"flags": lambda each: b"0x%x" % (each.shown_flags & 0xFFFF & ~0x40),
    b"ifalias": lambda each: each.alias,
    b"ifindex": lambda each: b"%d" % each.index,
    b"iflink": lambda each: b"%d" % each.link_index,
    b"link_mode": lambda each: b"%d" % each.link_mode,
    b"mtu": lambda each: b"%d" % each.mtu,
    b"name_assign_type": lambda each: b"%d" % _named(each),
    b"netdev_group": lambda each: b"%d" % each.group,
    b"operstate": lambda each: _STATES[each.operational_state],
    b"proto_down": lambda each: b"0",
    b"speed": lambda each: b"%d" % _signed(_speed(each)[0]),
    b"testing": lambda each: b"%d" % _while_up(each, 0),
    b"threaded": lambda each: b"0",
    b"tx_queue_len": lambda each: b"%d" % each.queue_length,
    b"type": lambda each: b"%d" % each.hardware_type,
    b"uevent": lambda each: (
        b"%sINTERFACE=%s\nIFINDEX=%d"
        % (b"DEVTYPE=bridge\n" if each.kind == BRIDGE else b"", each.name, each.index)
    ),
}


def _signed(value: int) -> int:
    return (value & 0xFFFF_FFFF) - ((value & 0x8000_0000) << 1)


def _store_mtu(interface: Interface, value: int) -> None:
    set_mtu(interface, _signed(value))


def _store_flags(interface: Interface, value: int) -> None:
    set_flags(interface, value & 0xFFFF_FFFF, 0)


def _store_group(interface: Interface, value: int) -> None:
    interface.group = value & 0xFFFF_FFFF


def _store_queue_length(interface: Interface, value: int) -> None:
    if value > 0xFFFF_FFFF:
        raise ERANGE("too large a length")
    set_queue_length(interface, value)


def _store_carrier(interface: Interface, value: int) -> None:
    """Linux: net/core/net-sysfs.c, change_carrier."""
    change_carrier(_running(interface), has_carrier=value != 0)


def _refuse(interface: Interface, value: int) -> None:
    raise EOPNOTSUPP("no driver does that")


_STORES: dict[bytes, Callable[[Interface, int], None]] = {
    b"carrier": _store_carrier,
    b"flags": _store_flags,
    b"mtu": _store_mtu,
    b"netdev_group": _store_group,
    b"proto_down": _refuse,
    b"threaded": _refuse,
    b"tx_queue_len": _store_queue_length,
}
"""What numbers are written to. Linux: net/core/net-sysfs.c, netdev_store."""
_WRITABLE = frozenset((*_STORES, b"ifalias", b"uevent"))
_CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_LARGEST_NUMBER = (1 << 64) - 1
_TUN_ATTRIBUTES: dict[bytes, Callable[[TunDevice], bytes]] = {
    b"group": lambda each: b"%d" % (-1 if each.owner_gid is None else each.owner_gid),
    b"owner": lambda each: b"%d" % (-1 if each.owner_uid is None else each.owner_uid),
    b"tun_flags": lambda each: b"0x%x" % each.flags,
}
"""What a tun or tap has beside. Linux: drivers/net/tun.c, tun_flags_show."""


class SubsystemLink(Inode):
    """Leads from an interface to its class."""

    __slots__ = ()

    def __init__(self, superblock: Superblock) -> None:
        super().__init__(superblock, S_IFLNK | 0o777)

    def readlink(self) -> bytes:
        return b"../../../../class/net"


class InterfaceDirectory(KernfsDirectory):
    """What there is to say of an interface."""

    __slots__ = ("entries", "interface")

    caches_lookups: ClassVar[bool] = False

    def __init__(self, superblock: Superblock, interface: Interface) -> None:
        super().__init__(superblock)
        own(self, interface.network)
        self.interface = interface
        self.entries: dict[bytes, Inode] = {}

    def lookup(self, name: bytes) -> Inode:
        if name in _joined(self.interface):
            return self._find_joined(name)
        found = self.entries.get(name)
        if found is None:
            found = self.entries[name] = self._make(name)
        return found

    def _find_joined(self, name: bytes) -> Inode:
        interface, superblock = self.interface, self.superblock
        if name in (b"bridge", b"brport"):
            return BridgeDirectory(superblock, interface, is_port=name == b"brport")
        if name == b"brif":
            return PortsDirectory(superblock, interface)
        master = interface.master
        other = master.name if master is not None and name == b"master" else name.partition(b"_")[2]
        return DeviceLink(superblock, b"../" + other)

    def _make(self, name: bytes) -> Inode:
        if name == b"subsystem":
            return SubsystemLink(self.superblock)
        if name == b"statistics":
            return StatisticsDirectory(self.superblock, self.interface)
        if name not in _ATTRIBUTES and not (self.interface.tun is not None and name in _TUN_ATTRIBUTES):
            raise ENOENT
        return InterfaceAttribute(self.superblock, self.interface, name)

    def list_entries(self) -> list[DirectoryEntry]:
        names = {**dict.fromkeys(_ATTRIBUTES, S_IFREG), b"statistics": S_IFDIR, b"subsystem": S_IFLNK}
        if self.interface.tun is not None:
            names |= dict.fromkeys(_TUN_ATTRIBUTES, S_IFREG)
        names |= _joined(self.interface)
        return [
            DirectoryEntry(name, position + 1, kind >> 12)
            for position, (name, kind) in enumerate(sorted(names.items()))
        ]


def _joined(interface: Interface) -> dict[bytes, int]:
    """What is there of a bridge and of its ports, with the type. Linux: net/bridge/br_if.c, br_add_if;
    net/core/dev.c, netdev_adjacent_sysfs_add."""
    found: dict[bytes, int] = {}
    if interface.bridge is not None:
        found |= {b"bridge": S_IFDIR, b"brif": S_IFDIR}
        found |= {b"lower_" + port.name: S_IFLNK for port in interface.ports}
    if interface.master is not None:
        found |= {b"brport": S_IFDIR, b"master": S_IFLNK, b"upper_" + interface.master.name: S_IFLNK}
    return found


class StatisticsDirectory(KernfsDirectory):
    """The counters of an interface."""

    __slots__ = ("interface",)

    def __init__(self, superblock: Superblock, interface: Interface) -> None:
        super().__init__(superblock)
        self.interface = interface

    def lookup(self, name: bytes) -> Inode:
        if name.decode("latin-1") not in _COUNTERS:
            raise ENOENT
        return InterfaceAttribute(self.superblock, self.interface, name, is_counter=True)

    def list_entries(self) -> list[DirectoryEntry]:
        return [
            DirectoryEntry(name.encode(), position + 1, S_IFREG >> 12)
            for position, name in enumerate(_COUNTERS)
        ]


class InterfaceAttribute(Inode):
    """A file about an interface."""

    __slots__ = ("interface", "is_counter", "name")

    def __init__(
        self, superblock: Superblock, interface: Interface, name: bytes, *, is_counter: bool = False
    ) -> None:
        is_writable = not is_counter and name in _WRITABLE
        super().__init__(superblock, S_IFREG | (0o644 if is_writable else 0o444))
        own(self, interface.network)
        self.interface = interface
        self.name = name
        self.is_counter = is_counter
        self.size = ATTRIBUTE_SIZE

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return open_attribute(path, flags, subject, self)

    def truncate(self, size: int) -> None:
        """Allowed and without effect (in Linux, kernfs_iop_setattr)."""

    def _check_alive(self) -> None:
        """Who has opened it may ask when the interface is gone: ENODEV (in Linux, kernfs_get_active)."""
        interface = self.interface
        if interface.network.interfaces.get(interface.index) is not interface:
            raise ENODEV("the interface is gone")

    def show(self, subject: Subject) -> bytes:
        """Raises ENODEV. Linux: net/core/net-sysfs.c, netdev_show, netstat_show."""
        self._check_alive()
        if self.is_counter:
            settle_all(self.interface.network)
            return b"%d\n" % _counter(self.interface, self.name.decode())
        tun = self.interface.tun
        if self.name in _TUN_ATTRIBUTES:
            if tun is None:
                raise EINVAL("no tun")
            return _TUN_ATTRIBUTES[self.name](tun) + b"\n"
        if self.name == b"ifalias" and not self.interface.alias:
            # Linux: net/core/net-sysfs.c, ifalias_show.
            return b""
        return _ATTRIBUTES[self.name](self.interface) + b"\n"

    def store(self, data: bytes, subject: Subject) -> None:
        """Raises ENODEV, EPERM, EINVAL, ERANGE ... Linux: net/core/net-sysfs.c, netdev_store, ifalias_store,
        tx_queue_len_store, carrier_store, proto_down_store; drivers/base/core.c, uevent_store.
        """
        interface, name = self.interface, self.name
        network, vfs = interface.network, self.superblock.vfs
        self._check_alive()
        if name not in _WRITABLE:
            raise EIO
        if name == b"uevent":
            action, more = synthetic_event(data)
            tell_of_device(network, interface, action, more)
            return
        subject = vfs.acting_subject(subject)
        if name == b"carrier" and interface.kind not in (DUMMY, TUN):
            raise EOPNOTSUPP("no driver does that")
        if name == b"tx_queue_len" and not subject.capable(_CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed in the first user namespace")
        if not subject.ns_capable(network.owner, _CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed")
        if name == b"ifalias":
            set_alias(interface, data.removesuffix(b"\n"))
            return
        _STORES[name](interface, parse_within(data, 0, _LARGEST_NUMBER))


def own(inode: Inode, network: Network) -> None:
    """Let an inode be that user's who is root where the network belongs to.

    Linux: net/core/net_namespace.c, net_ns_get_ownership.
    """
    uid, gid = network.owner.make_kuid(0), network.owner.make_kgid(0)
    inode.uid = uid if uid != NO_ID else 0
    inode.gid = gid if gid != NO_ID else 0
