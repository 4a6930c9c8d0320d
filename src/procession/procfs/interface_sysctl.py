"""/proc/sys/net/ipv4/conf and ipv6/conf: the settings of each interface of a network (ip-sysctl)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ENOENT
from procession.abi.file_mode import S_IFMT
from procession.fs.inode import DirectoryEntry, Inode
from procession.net.internet.interface_event import carrier_changed, switch_ipv6
from procession.net.sysctls import (
    ADDRESS_MODE,
    ALL,
    BOUNDS,
    DEFAULT,
    DISABLE_IPV6,
    FORWARDING,
    GIVEN_TO_EACH_6,
    GROUP_FORWARDING,
    INTERFACE_SETTINGS,
    MOST_SECONDS,
    MTU,
    NOT_TAKEN_OVER,
    REPORT_INTERVALS,
    STABLE_PRIVACY,
    TAKEN_WHOLE,
)
from procession.procfs.inode import ProcDirectory, ProcFile
from procession.procfs.parameter_kind import INTEGER, UNSIGNED
from procession.procfs.parse_integer import TICK_MS, parse_milliseconds, parse_parameter
from procession.procfs.sysctl_permission import check_sysctl_permission
from procession.procfs.sysctl_poll import ParameterFile

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.net.link.interface import Interface
    from procession.net.network import Network
    from procession.procfs.file_system import ProcFileSystem

_LEAST, _MOST = -(2**31), 2**31 - 1
_NEIGHBOURS, _TAKEN_OVER = b"neigh", (b"ipv4/", b"neigh")
_IN_JIFFIES = (b"_time_ms", *REPORT_INTERVALS[2:])
"""How settings in milliseconds end that are kept in jiffies."""
_ANSWER_TICKS, _CLOCK_MS = b"retrans_time", 10
_FRAME_BYTES = 2_090
"""What a whole frame is counted with that waits. Linux: include/linux/skbuff.h, SKB_TRUESIZE."""
_SCALED = {
    b"anycast_delay": (b"anycast_delay_ms", _CLOCK_MS),
    b"base_reachable_time": (b"base_reachable_time_ms", 1_000),
    b"locktime": (b"locktime_ms", _CLOCK_MS),
    b"proxy_delay": (b"proxy_delay_ms", _CLOCK_MS),
    _ANSWER_TICKS: (b"retrans_time_ms", _CLOCK_MS),
    b"unres_qlen": (b"unres_qlen_bytes", _FRAME_BYTES),
}
"""What is kept in a smaller unit: seconds, hundredths of one, or for IPv6 the kernel's ticks; and packets."""
_IN_ONE_UNIT = (b"anycast_delay_ms", b"locktime_ms", b"proxy_delay_ms")
"""What is there in the larger unit alone."""
_MOST_CLOCK = 0x7FFF_FFFF_FFFF_FFFF // 250 * 100
"""Linux: kernel/sysctl.c, do_proc_dointvec_userhz_jiffies_conv."""
_GIVEN_TO_EACH = (*FORWARDING, *GIVEN_TO_EACH_6)
_READ_ONLY = 0o444


class SettingsDirectory(ProcDirectory):
    """conf: a directory for each interface of the reader's network, one for all and one for new ones.

    `entries` are the inodes that have been looked up.
    """

    __slots__ = ("entries", "protocol")

    caches_lookups: ClassVar[bool] = False

    def __init__(self, superblock: ProcFileSystem, number: int, protocol: bytes) -> None:
        super().__init__(superblock, number)
        self.protocol = protocol
        self.link_count = 1
        self.entries: dict[bytes, Inode] = {}

    def needs_reference(self, name: bytes) -> bool:
        """Linux: fs/proc/proc_sysctl.c, proc_sys_revalidate."""
        return True

    def names(self) -> list[bytes]:
        """Those of the directories."""
        network: Network = self.proc.kernel.seen_namespaces.network
        is_ipv6 = self.protocol.endswith(b"6")
        speaking = (each for each in network.interfaces.values() if each.has_protocol(is_ipv6=is_ipv6))
        common = [ALL, DEFAULT]
        if self.protocol.startswith(_NEIGHBOURS):
            # Linux: net/core/neighbour.c, neigh_sysctl_register.
            common = [DEFAULT] if network is self.proc.kernel.init_namespaces.network else []
        return [*common, *(each.name for each in speaking)]

    def check_permission(self, subject: Subject, mask: int) -> None:
        check_sysctl_permission(self.proc.kernel, (b"net",), self.mode, subject, mask)

    def lookup(self, name: bytes) -> Inode:
        names = self.names()
        if name not in names:
            raise ENOENT
        found = self.entries.get(name)
        if found is None:
            self.entries = {each: inode for each, inode in self.entries.items() if each in names}
            number = self.proc.allocate_static_number()
            found = self.entries[name] = OwnSettingsDirectory(self.proc, number, self.protocol, name)
        return found

    def list_entries(self) -> list[DirectoryEntry]:
        return _listed(self, self.names())


class OwnSettingsDirectory(ProcDirectory):
    """The settings of one interface, or those for all or for new ones."""

    __slots__ = ("entries", "owner", "protocol")

    def __init__(self, superblock: ProcFileSystem, number: int, protocol: bytes, owner: bytes) -> None:
        super().__init__(superblock, number)
        self.protocol = protocol
        self.owner = owner
        self.link_count = 1
        self.entries: dict[bytes, Inode] = {}

    def check_permission(self, subject: Subject, mask: int) -> None:
        check_sysctl_permission(self.proc.kernel, (b"net",), self.mode, subject, mask)

    def needs_reference(self, name: bytes) -> bool:
        """Linux: fs/proc/proc_sysctl.c, proc_sys_revalidate."""
        return True

    def lookup(self, name: bytes) -> Inode:
        told, unit = _SCALED.get(name, (name, 1)) if self.protocol.startswith(_NEIGHBOURS) else (name, 1)
        if name == _ANSWER_TICKS and self.protocol.endswith(b"6"):
            unit = TICK_MS
        key = self.protocol + b"/" + told
        if key not in INTERFACE_SETTINGS or name in _IN_ONE_UNIT:
            raise ENOENT
        found = self.entries.get(name)
        if found is None:
            number = self.proc.allocate_static_number()
            found = self.entries[name] = SettingFile(self.proc, number, self.owner, key, unit)
        return found

    def list_entries(self) -> list[DirectoryEntry]:
        start = self.protocol + b"/"
        names = [key[len(start) :] for key in INTERFACE_SETTINGS if key.startswith(start)]
        names = [name for name in names if name not in _IN_ONE_UNIT]
        return _listed(self, [*names, *(_SCALED if self.protocol.startswith(_NEIGHBOURS) else ())])


def _listed(directory: ProcDirectory, names: list[bytes]) -> list[DirectoryEntry]:
    return [
        DirectoryEntry(name, inode.number, (inode.mode & S_IFMT) >> 12)
        for name in names
        for inode in (directory.lookup(name),)
    ]


class SettingFile(ProcFile):
    """One setting, a number. Linux: net/ipv4/devinet.c, devinet_conf_proc; net/ipv6/addrconf.c,
    addrconf_sysctl_forward."""

    __slots__ = ("key", "owner", "unit")

    def __init__(
        self, superblock: ProcFileSystem, number: int, owner: bytes, key: bytes, unit: int = 1
    ) -> None:
        super().__init__(superblock, number, _READ_ONLY if key in GROUP_FORWARDING else 0o644)
        self.owner = owner
        self.key = key
        self.unit = unit

    def check_permission(self, subject: Subject, mask: int) -> None:
        check_sysctl_permission(self.proc.kernel, (b"net",), self.mode, subject, mask)

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        kind = UNSIGNED if self.key in TAKEN_WHOLE else INTEGER
        return ParameterFile(path, flags, subject, self, None, kind)

    def show(self, subject: Subject) -> bytes:
        network: Network = self.proc.kernel.seen_namespaces.network
        if self.owner == ALL:
            value = network.sysctls.of_all(self.key)
        elif self.owner == DEFAULT:
            value = network.sysctls.of_new[self.key]
        else:
            interface = network.interface_named(self.owner)
            if interface is None:
                raise ENOENT("the interface is gone")
            value = interface.ipv6_mtu if self.key == MTU else interface.settings[self.key]
        # A little less than nothing is shown as -0.
        return (b"-%d\n" if value < 0 else b"%d\n") % (abs(value) // self.unit)

    def store(self, data: bytes, subject: Subject) -> None:
        value = self._value_in(data)
        network: Network = self.proc.kernel.seen_namespaces.network
        if self.owner == ALL:
            set_for_all(network, self.key, value)
        elif self.owner == DEFAULT:
            _set_for_new(network, self.key, value)
        else:
            found = network.interface_named(self.owner)
            if found is None:
                raise ENOENT("the interface is gone")
            if self.key == MTU and value > found.mtu:
                raise EINVAL("more than the interface takes")
            if self.key == ADDRESS_MODE and value == STABLE_PRIVACY:
                raise EINVAL("there is no secret")
            found.settings.choose(self.key)
            _set(found, self.key, value)
        network.topology_changed()

    def _value_in(self, data: bytes) -> int:
        """What a program has written, in the unit in which it's kept. Raises EINVAL."""
        least, most = BOUNDS.get(self.key, (_LEAST, _MOST))
        if self.unit == _CLOCK_MS:
            # Any fewer than none are one tick less (Linux: kernel/time/time.c, clock_t_to_jiffies).
            value = parse_parameter(data, -_MOST_CLOCK, _MOST_CLOCK)
            ticks = (-1 if value < 0 else value * _CLOCK_MS // TICK_MS) & 0xFFFF_FFFF
            return (ticks - (ticks >> 31 << 32)) * TICK_MS
        if self.unit == _FRAME_BYTES:
            return parse_parameter(data, 0, most // self.unit) * self.unit
        if self.unit == TICK_MS:
            return parse_parameter(data) * self.unit
        if self.unit > 1:
            # Linux: kernel/sysctl.c, do_proc_dointvec_jiffies_conv.
            return parse_parameter(data, -MOST_SECONDS, MOST_SECONDS) * self.unit
        if not self.key.endswith(_IN_JIFFIES):
            return parse_parameter(data, least, most)
        value = parse_milliseconds(data)
        if value < least:
            raise EINVAL("less than it has to be")
        return value


def _set_for_new(network: Network, key: bytes, value: int) -> None:
    """Set it for new interfaces; those take it over too of which it wasn't set and that never had an address.

    Linux: net/ipv4/devinet.c, devinet_copy_dflt_conf; net/core/neighbour.c, neigh_copy_dflt_parms.
    """
    network.sysctls.of_new[key] = value
    if key.startswith(_TAKEN_OVER) and key not in NOT_TAKEN_OVER:
        for interface in network.interfaces.values():
            if not interface.settings.is_chosen(key) and not interface.had_address:
                _set(interface, key, value)


def set_for_all(network: Network, key: bytes, value: int) -> None:
    """Set it for all interfaces. Forwarding and the end of IPv6 are given to each, others count beside each
    one's own."""
    network.sysctls.set_all(key, value)
    for interface in network.interfaces.values() if key in _GIVEN_TO_EACH else ():
        _set(interface, key, value)
    network.topology_changed()


def _set(interface: Interface, key: bytes, value: int) -> None:
    before = interface.settings[key]
    if before == value and key != MTU:
        return
    interface.network.account_settings(0 if key in interface.settings.changed else 1)
    interface.settings[key] = value
    if key == DISABLE_IPV6 and bool(before) != bool(value):
        switch_ipv6(interface)
    elif key == FORWARDING[1] and interface.listening_6 is not None:
        interface.listening_6.look_at_own()
    elif key == ADDRESS_MODE:
        carrier_changed(interface)
