"""The parameters of inotify: /proc/sys/fs/inotify."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.fs.inotify import inotify_of
from procession.procfs.parse_integer import parse_integer
from procession.procfs.system import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_INT_MAX = (1 << 31) - 1


def _show(attribute: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(inotify_of(kernel.vfs), attribute)


def _store(attribute: str, kernel: Kernel, data: bytes) -> None:
    value = parse_integer(data)
    if not 0 <= value <= _INT_MAX:
        raise EINVAL("no count")
    setattr(inotify_of(kernel.vfs), attribute, value)


def _parameter(attribute: str) -> SystemFile:
    return SystemFile(0o644, partial(_show, attribute), partial(_store, attribute))


INOTIFY_SYSCTLS: SystemTree = {
    b"max_queued_events": _parameter("maximum_events"),
    b"max_user_instances": _parameter("maximum_instances"),
    b"max_user_watches": _parameter("maximum_watches"),
}
