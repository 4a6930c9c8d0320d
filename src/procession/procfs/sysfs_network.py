"""Interfaces in sysfs: /sys/class/net and /sys/devices/virtual/net, of the network that mounted it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import ENOENT
from procession.fs.inode import S_IFDIR, S_IFLNK, DirectoryEntry, Inode
from procession.procfs.inode import KernfsDirectory

if TYPE_CHECKING:
    from procession.fs.superblock import Superblock
    from procession.net.link.interface import Interface
    from procession.net.network import Network


class NetworkDirectory(KernfsDirectory):
    """A directory with an entry for each interface: links in the class, and directories with the devices."""

    __slots__ = ("entries", "is_class", "network")

    caches_lookups: ClassVar[bool] = False

    def __init__(self, superblock: Superblock, network: Network, *, is_class: bool) -> None:
        super().__init__(superblock)
        self.network = network
        self.is_class = is_class
        self.entries: dict[Interface, Inode] = {}

    def lookup(self, name: bytes) -> Inode:
        interface = self.network.interface_named(name)
        if interface is None:
            raise ENOENT
        if len(self.entries) > len(self.network.interfaces):
            present = set(self.network.interfaces.values())
            self.entries = {each: inode for each, inode in self.entries.items() if each in present}
        found = self.entries.get(interface)
        if found is None:
            superblock = self.superblock
            if self.is_class:
                found = InterfaceLink(superblock, interface)
            else:
                # When somebody looks: what changes interfaces isn't needed before.
                from procession.procfs.sysfs_interface import InterfaceDirectory

                found = InterfaceDirectory(superblock, interface)
            self.entries[interface] = found
        return found

    def list_entries(self) -> list[DirectoryEntry]:
        kind = (S_IFLNK if self.is_class else S_IFDIR) >> 12
        return [
            DirectoryEntry(interface.name, interface.index, kind)
            for interface in self.network.interfaces.values()
        ]


class InterfaceLink(Inode):
    """An entry of /sys/class/net."""

    __slots__ = ("interface",)

    def __init__(self, superblock: Superblock, interface: Interface) -> None:
        super().__init__(superblock, S_IFLNK | 0o777)
        self.interface = interface

    def readlink(self) -> bytes:
        return b"../../devices/virtual/net/" + self.interface.name
