"""The driver of /dev/net/tun, and how it's installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.device_numbers import Major
from procession.fs.devices import TUN_MINOR, MiscellaneousDriver

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs
    from procession.net.host import Host


class TunDriver:
    """What opens /dev/net/tun. Linux: drivers/net/tun.c, tun_chr_open."""

    __slots__ = ("host",)

    def __init__(self, host: Host) -> None:
        self.host = host

    def open(self, path: Path, flags: int, subject: Subject) -> File:
        # Few programs do.
        from procession.net.tun.file import TunFile

        return TunFile(path, flags, subject, self.host.network_of_caller())


def install_tun(vfs: Vfs, host: Host) -> None:
    """Let device nodes lead to tun."""
    driver = vfs.character_drivers.setdefault(Major.MISC_MAJOR, MiscellaneousDriver())
    assert isinstance(driver, MiscellaneousDriver)
    driver.drivers[TUN_MINOR] = TunDriver(host)
