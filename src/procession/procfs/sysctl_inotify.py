"""The parameters of inotify: /proc/sys/fs/inotify."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.fs.inotify import inotify_of
from procession.fs.user_namespace import INOTIFY_INSTANCES, INOTIFY_WATCHES
from procession.procfs.parse_integer import parse_integer
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_INT_MAX = (1 << 31) - 1


def _show_events(kernel: Kernel) -> bytes:
    return b"%d\n" % inotify_of(kernel.vfs).maximum_events


def _store_events(kernel: Kernel, data: bytes) -> None:
    inotify_of(kernel.vfs).maximum_events = _parse_count(data)


def _show(kind: int, kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.vfs.init_user_namespace.maximum[kind]


def _store(kind: int, kernel: Kernel, data: bytes) -> None:
    kernel.vfs.init_user_namespace.maximum[kind] = _parse_count(data)


def _parse_count(data: bytes) -> int:
    """Raises EINVAL."""
    value = parse_integer(data)
    if not 0 <= value <= _INT_MAX:
        raise EINVAL("no count")
    return value


def _parameter(kind: int) -> SystemFile:
    return SystemFile(0o644, partial(_show, kind), partial(_store, kind))


INOTIFY_SYSCTLS: SystemTree = {
    b"max_queued_events": SystemFile(0o644, _show_events, _store_events),
    b"max_user_instances": _parameter(INOTIFY_INSTANCES),
    b"max_user_watches": _parameter(INOTIFY_WATCHES),
}
