"""Parameters of all file systems: /proc/sys/fs/protected_*, leases and directory notification."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.procfs.parse_integer import parse_integer
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel


def _show(attribute: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(kernel.vfs, attribute)


def _store(attribute: str, most: int, kernel: Kernel, data: bytes) -> None:
    value = parse_integer(data)
    if not 0 <= value <= most:
        raise EINVAL("no such level")
    setattr(kernel.vfs, attribute, value)


def _parameter(attribute: str, most: int) -> SystemFile:
    return SystemFile(0o644, partial(_show, attribute), partial(_store, attribute, most))


_INT_MAX = (1 << 31) - 1

PROTECTION_SYSCTLS: SystemTree = {
    b"dir-notify-enable": _parameter("has_directory_notification", _INT_MAX),
    b"lease-break-time": _parameter("lease_break_time_s", _INT_MAX),
    b"leases-enable": _parameter("has_leases", _INT_MAX),
    b"protected_fifos": _parameter("protected_fifos", 2),
    b"protected_hardlinks": _parameter("protected_hardlinks", 1),
    b"protected_regular": _parameter("protected_regular", 2),
    b"protected_symlinks": _parameter("protected_symlinks", 1),
}
"""Linux: fs/namei.c, namei_sysctls; fs/locks.c, locks_sysctls; fs/notify/dnotify/dnotify.c,
dnotify_sysctls.
"""
