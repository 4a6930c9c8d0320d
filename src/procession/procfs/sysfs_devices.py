"""What sysfs tells of the character devices: /sys/dev/char, /sys/class and /sys/devices/virtual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.device_numbers import Major
from procession.abi.named_tuple import NamedTuple
from procession.fs.devices import NODES, TUN_MINOR

if TYPE_CHECKING:
    from procession.procfs.sysfs import Tree

_CLASSES = {Major.MEM_MAJOR: b"mem", Major.TTYAUX_MAJOR: b"tty", Major.MISC_MAJOR: b"misc"}
_CONSOLE_MINOR = 1


class Link(NamedTuple):
    """A symbolic link."""

    target: bytes


class Device(NamedTuple):
    """A device, its node in /dev and the mode, if it says any. Linux: include/linux/device.h, device."""

    name: bytes
    major: Major
    minor: int
    node: bytes
    mode: int | None

    @property
    def number(self) -> bytes:
        """As sysfs writes it."""
        return b"%d:%d" % (self.major, self.minor)

    @property
    def place(self) -> bytes:
        """Its directory, from /sys on."""
        return b"devices/virtual/%s/%s" % (_CLASSES[self.major], self.name)

    def tree(self) -> Tree:
        """What is in its directory. Linux: drivers/base/core.c, dev_uevent."""
        event = b"MAJOR=%d\nMINOR=%d\nDEVNAME=%s\n" % (self.major, self.minor, self.node)
        if self.mode is not None:
            event += b"DEVMODE=0%o\n" % self.mode
        return {
            b"dev": self.number + b"\n",
            b"subsystem": Link(b"../../../../class/" + _CLASSES[self.major]),
            b"uevent": event,
        }


def _devices() -> list[Device]:
    """Who says the mode of its node is said in Linux by mem_devnode, tty_devnode and misc_devnode."""
    devices = [Device(b"tun", Major.MISC_MAJOR, TUN_MINOR, b"net/tun", None)]
    for name, major, minor, mode in NODES:
        says_mode = major == Major.MEM_MAJOR or (major == Major.TTYAUX_MAJOR and minor != _CONSOLE_MINOR)
        devices.append(Device(name, major, minor, name, mode if says_mode else None))
    return devices


DEVICES = _devices()
BY_NUMBER: Tree = {device.number: Link(b"../../" + device.place) for device in DEVICES}
"""/sys/dev/char."""
CLASSES: Tree = {
    name: {each.name: Link(b"../../" + each.place) for each in DEVICES if each.major == major}
    for major, name in _CLASSES.items()
}
"""Of /sys/class."""
VIRTUAL: Tree = {
    name: {each.name: each.tree() for each in DEVICES if each.major == major}
    for major, name in _CLASSES.items()
}
"""Of /sys/devices/virtual."""
