"""Bridges and their ports in sysfs: /sys/class/net/BRIDGE/bridge and brif, /sys/class/net/PORT/brport."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from procession.abi.capability import Capability
from procession.abi.errno import EIO, ENODEV, ENOENT, EPERM, ERANGE
from procession.abi.netlink import BridgeAttribute, BridgePortAttribute
from procession.abi.word import pack_u8, pack_u16, pack_u32
from procession.fs.inode import S_IFLNK, S_IFREG, DirectoryEntry, Inode
from procession.net.link.bridge import (
    FAST_LEAVE,
    FLOODS,
    FLOODS_ALL,
    FLOODS_GROUPS,
    GUARD,
    HAIRPIN,
    ISOLATED,
    LEARNS,
    ROOT_BLOCK,
    TO_UNICAST,
)
from procession.net.netlink.attributes import attribute
from procession.net.netlink.bridge_options import change_bridge, gc_ticks
from procession.net.netlink.bridge_ports import change_port, forward_delay_left
from procession.procfs.inode import ATTRIBUTE_SIZE, KernfsDirectory, open_attribute
from procession.procfs.parse_integer import parse_within

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.fs.superblock import Superblock
    from procession.net.link.bridge import Bridge, BridgePort
    from procession.net.link.interface import Interface

Shown = Callable[["Interface"], object]
_CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_LARGEST_NUMBER = (1 << 64) - 1
_LARGEST = {pack_u8: 0xFF, pack_u16: 0xFFFF, pack_u32: 0xFFFFFFFF}


def _own(interface: Interface) -> Bridge:
    if interface.bridge is None:
        raise ENODEV("no bridge")
    return interface.bridge


def _port(interface: Interface) -> BridgePort:
    if interface.port is None:
        raise ENODEV("no port any more")
    return interface.port


def _identifier(bridge: Interface) -> str:
    return f"{_own(bridge).priority:04x}.{bridge.hardware_address.hex()}"


def _root(port: Interface) -> str:
    if port.master is None:
        raise ENODEV("no port any more")
    return _identifier(port.master)


def _has(flag: int) -> Shown:
    return lambda port: int(bool(_port(port).flags & flag))


def _nothing(interface: Interface) -> int:
    return 0


_OF_BRIDGE: dict[bytes, Shown] = {
    b"ageing_time": lambda each: _own(each).ageing_time,
    b"bridge_id": _identifier,
    b"forward_delay": lambda each: _own(each).forward_delay,
    b"gc_timer": gc_ticks,
    b"group_addr": lambda each: _own(each).group_address.hex(":"),
    b"group_fwd_mask": lambda each: f"{_own(each).group_mask:#x}",
    b"hello_time": lambda each: _own(each).hello_time,
    b"hello_timer": _nothing,
    b"max_age": lambda each: _own(each).maximum_age,
    b"no_linklocal_learn": lambda each: int(_own(each).learns_nothing_of_link),
    b"priority": lambda each: _own(each).priority,
    b"root_id": _identifier,
    b"root_path_cost": _nothing,
    b"root_port": _nothing,
    b"stp_state": _nothing,
    b"tcn_timer": _nothing,
    b"topology_change": _nothing,
    b"topology_change_detected": _nothing,
    b"topology_change_timer": _nothing,
}
"""Linux: net/bridge/br_sysfs_br.c, bridge_attrs."""
_SET_OF_BRIDGE = {
    b"ageing_time": (BridgeAttribute.IFLA_BR_AGEING_TIME, pack_u32),
    b"flush": (BridgeAttribute.IFLA_BR_FDB_FLUSH, pack_u32),
    b"forward_delay": (BridgeAttribute.IFLA_BR_FORWARD_DELAY, pack_u32),
    b"group_fwd_mask": (BridgeAttribute.IFLA_BR_GROUP_FWD_MASK, pack_u16),
    b"hello_time": (BridgeAttribute.IFLA_BR_HELLO_TIME, pack_u32),
    b"max_age": (BridgeAttribute.IFLA_BR_MAX_AGE, pack_u32),
    b"priority": (BridgeAttribute.IFLA_BR_PRIORITY, pack_u16),
    b"stp_state": (BridgeAttribute.IFLA_BR_STP_STATE, pack_u32),
}
_OF_PORT: dict[bytes, Shown] = {
    b"bpdu_guard": _has(GUARD),
    b"broadcast_flood": _has(FLOODS_ALL),
    b"change_ack": _nothing,
    b"config_pending": _nothing,
    b"designated_bridge": _root,
    b"designated_cost": _nothing,
    b"designated_port": lambda each: _port(each).identifier,
    b"designated_root": _root,
    b"forward_delay_timer": forward_delay_left,
    b"group_fwd_mask": lambda each: f"{_port(each).group_mask:#x}",
    b"hairpin_mode": _has(HAIRPIN),
    b"hold_timer": _nothing,
    b"isolated": _has(ISOLATED),
    b"learning": _has(LEARNS),
    b"message_age_timer": _nothing,
    b"multicast_fast_leave": _has(FAST_LEAVE),
    b"multicast_flood": _has(FLOODS_GROUPS),
    b"multicast_to_unicast": _has(TO_UNICAST),
    b"path_cost": lambda each: _port(each).cost,
    b"port_id": lambda each: f"{_port(each).identifier:#x}",
    b"port_no": lambda each: f"{_port(each).number:#x}",
    b"priority": lambda each: _port(each).priority,
    b"root_block": _has(ROOT_BLOCK),
    b"state": lambda each: _port(each).state,
    b"unicast_flood": _has(FLOODS),
}
"""Linux: net/bridge/br_sysfs_if.c, brport_attrs."""
_SET_OF_PORT = {
    b"bpdu_guard": (BridgePortAttribute.IFLA_BRPORT_GUARD, pack_u8),
    b"broadcast_flood": (BridgePortAttribute.IFLA_BRPORT_BCAST_FLOOD, pack_u8),
    b"flush": (BridgePortAttribute.IFLA_BRPORT_FLUSH, pack_u8),
    b"group_fwd_mask": (BridgePortAttribute.IFLA_BRPORT_GROUP_FWD_MASK, pack_u16),
    b"hairpin_mode": (BridgePortAttribute.IFLA_BRPORT_MODE, pack_u8),
    b"isolated": (BridgePortAttribute.IFLA_BRPORT_ISOLATED, pack_u8),
    b"learning": (BridgePortAttribute.IFLA_BRPORT_LEARNING, pack_u8),
    b"multicast_fast_leave": (BridgePortAttribute.IFLA_BRPORT_FAST_LEAVE, pack_u8),
    b"multicast_flood": (BridgePortAttribute.IFLA_BRPORT_MCAST_FLOOD, pack_u8),
    b"multicast_to_unicast": (BridgePortAttribute.IFLA_BRPORT_MCAST_TO_UCAST, pack_u8),
    b"path_cost": (BridgePortAttribute.IFLA_BRPORT_COST, pack_u32),
    b"priority": (BridgePortAttribute.IFLA_BRPORT_PRIORITY, pack_u16),
    b"root_block": (BridgePortAttribute.IFLA_BRPORT_PROTECT, pack_u8),
    b"unicast_flood": (BridgePortAttribute.IFLA_BRPORT_UNICAST_FLOOD, pack_u8),
}


class BridgeDirectory(KernfsDirectory):
    """What there is to say of a bridge, or of a port of one."""

    __slots__ = ("interface", "is_port")

    caches_lookups: ClassVar[bool] = False

    def __init__(self, superblock: Superblock, interface: Interface, *, is_port: bool) -> None:
        super().__init__(superblock)
        self.interface = interface
        self.is_port = is_port

    def lookup(self, name: bytes) -> Inode:
        if name == b"bridge" and self.is_port and self.interface.master is not None:
            return DeviceLink(self.superblock, b"../../" + self.interface.master.name)
        shown, is_set = (_OF_PORT, _SET_OF_PORT) if self.is_port else (_OF_BRIDGE, _SET_OF_BRIDGE)
        if name not in shown and name not in is_set:
            raise ENOENT
        mode = (0o444 if name in shown else 0) | (0o200 if name in is_set else 0)
        return BridgeAttributeFile(self.superblock, self.interface, name, mode, is_port=self.is_port)

    def list_entries(self) -> list[DirectoryEntry]:
        names = {*(_OF_PORT if self.is_port else _OF_BRIDGE), b"flush"}
        found = dict.fromkeys(names, S_IFREG)
        if self.is_port:
            found[b"bridge"] = S_IFLNK
        return [
            DirectoryEntry(name, place + 1, kind >> 12)
            for place, (name, kind) in enumerate(sorted(found.items()))
        ]


class PortsDirectory(KernfsDirectory):
    """The ports of a bridge (brif)."""

    __slots__ = ("bridge",)

    caches_lookups: ClassVar[bool] = False

    def __init__(self, superblock: Superblock, bridge: Interface) -> None:
        super().__init__(superblock)
        self.bridge = bridge

    def lookup(self, name: bytes) -> Inode:
        if all(port.name != name for port in self.bridge.ports):
            raise ENOENT
        return DeviceLink(self.superblock, b"../../" + name + b"/brport")

    def list_entries(self) -> list[DirectoryEntry]:
        return [DirectoryEntry(port.name, port.index, S_IFLNK >> 12) for port in self.bridge.ports]


class DeviceLink(Inode):
    """Leads from one interface to another."""

    __slots__ = ("target",)

    def __init__(self, superblock: Superblock, target: bytes) -> None:
        super().__init__(superblock, S_IFLNK | 0o777)
        self.target = target

    def readlink(self) -> bytes:
        return self.target


class BridgeAttributeFile(Inode):
    """A file about a bridge or a port."""

    __slots__ = ("interface", "is_port", "name")

    def __init__(
        self, superblock: Superblock, interface: Interface, name: bytes, mode: int, *, is_port: bool
    ) -> None:
        super().__init__(superblock, S_IFREG | mode)
        self.interface = interface
        self.name = name
        self.is_port = is_port
        self.size = ATTRIBUTE_SIZE

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return open_attribute(path, flags, subject, self)

    def truncate(self, size: int) -> None:
        """Allowed and without effect (in Linux, kernfs_iop_setattr)."""

    def show(self, subject: Subject) -> bytes:
        """Linux: net/bridge/br_sysfs_if.c, brport_show."""
        shown = (_OF_PORT if self.is_port else _OF_BRIDGE).get(self.name)
        if shown is None:
            raise EIO("it's only written to")
        # Who has opened it may ask when the interface is none any more.
        (_port if self.is_port else _own)(self.interface)
        return f"{shown(self.interface)}\n".encode()

    def store(self, data: bytes, subject: Subject) -> None:
        """Raises EPERM, EINVAL, ERANGE ... Linux: net/bridge/br_sysfs_br.c, store_bridge_parm;
        net/bridge/br_sysfs_if.c, brport_store."""
        interface = self.interface
        if not subject.ns_capable(interface.network.owner, _CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed")
        kind, pack = (_SET_OF_PORT if self.is_port else _SET_OF_BRIDGE)[self.name]
        value = parse_within(data, 0, _LARGEST_NUMBER)
        if value > _LARGEST[pack]:
            raise ERANGE("too large a number")
        if self.is_port:
            _port(interface)
            packed = pack_u8(bool(value)) if pack is pack_u8 else pack(value)
            change_port(interface, attribute(int(kind), packed))
            interface.network.port_changed(interface)
        else:
            _own(interface)
            change_bridge(interface, attribute(int(kind), pack(value)))
            interface.network.link_changed(interface)
