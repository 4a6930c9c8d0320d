"""What a machine may be made with: the checks of its settings."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from procession.kernel.namespaces.uts import NAME_MAX

if TYPE_CHECKING:
    from procession.fs.host_source import HostSource

MAXIMUM_PROCESSORS = 64
_FEWEST_TASKS = 2


def check_machine(hostname: str, processor_count: int, pids_max: int | None) -> None:
    """Raise ValueError, with what would do, for a machine that there can't be."""
    name = os.fsencode(hostname)
    if not 1 <= len(name) <= NAME_MAX:
        raise ValueError(f"a host name has 1 to {NAME_MAX} bytes, not {len(name)}")
    if not 1 <= processor_count <= MAXIMUM_PROCESSORS:
        raise ValueError(f"a machine has 1 to {MAXIMUM_PROCESSORS} processors, not {processor_count}")
    if pids_max is not None and pids_max < _FEWEST_TASKS:
        raise ValueError(f"a machine has at least {_FEWEST_TASKS} tasks, init and a command, not {pids_max}")


def check_files(
    rootfs: str | os.PathLike[str], image: str | os.PathLike[str] | None, source: HostSource | None
) -> None:
    """Raise ValueError unless a machine can have these files: those of one place."""
    if image is not None and (os.fspath(rootfs) != "/" or source is not None):
        raise ValueError("a machine has the files of a rootfs or those of an image")
    if not os.fspath(rootfs):
        raise ValueError("rootfs is empty: name the directory that the program shall see as its root")
    if source is None:
        _check_root(rootfs)


def _check_root(name: str | os.PathLike[str]) -> None:
    """Raise ValueError, with its name, unless `name` is a directory of the host."""
    try:
        mode = os.stat(name).st_mode
    except OSError as error:
        raise ValueError(f"rootfs {os.fspath(name)}: {error.strerror}") from None
    if not stat.S_ISDIR(mode):
        raise ValueError(f"rootfs {os.fspath(name)}: {os.strerror(errno.ENOTDIR)}")
