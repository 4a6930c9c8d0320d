"""How many mounts a namespace may have: /proc/sys/fs/mount-max."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.procfs.parse_integer import parse_integer
from procession.procfs.system_directory import SystemFile

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_INT_MAX = (1 << 31) - 1


def _show(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.vfs.mount_table.maximum


def _store(kernel: Kernel, data: bytes) -> None:
    """Linux: fs/namespace.c, fs_namespace_sysctls."""
    value = parse_integer(data)
    if not 1 <= value <= _INT_MAX:
        raise EINVAL("at least one mount")
    kernel.vfs.mount_table.maximum = value


MOUNT_MAXIMUM = SystemFile(0o644, _show, _store)
