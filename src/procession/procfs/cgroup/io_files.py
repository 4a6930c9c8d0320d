"""The files of the io controller, which counts and limits what goes to block devices: a machine has none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENODEV
from procession.kernel.cgroup.group import Controller
from procession.procfs.cgroup.control_file import ControlFile, Opener

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup

_IO = int(Controller.IO)
_LARGEST_WEIGHT = 10_000
_WEIGHT = re.compile(rb"(?:default)?\s*(\d{1,10})(?!\d)")
_DEVICE = re.compile(rb"\s*\d+:\s*\d+\s")


def show_stat(group: Cgroup, opener: Opener) -> bytes:
    """io.stat: a line for each block device that was read or written."""
    return b""


def _check_device(data: bytes) -> None:
    """Raise EINVAL for what doesn't begin with a device's numbers, or else ENODEV.

    In Linux, blkg_conf_open_bdev.
    """
    if _DEVICE.match(data) is None:
        raise EINVAL("no numbers of a device")
    raise ENODEV("there are no block devices")


def show_limits(group: Cgroup, opener: Opener) -> bytes:
    """io.max: a line for each block device that is limited."""
    return b""


def store_limits(group: Cgroup, data: bytes, opener: Opener) -> None:
    """What tg_set_limit of Linux does."""
    _check_device(data)


def show_weight(group: Cgroup, opener: Opener) -> bytes:
    """io.weight: that for all devices. In Linux, ioc_weight_show."""
    return b"default %d\n" % group.io_weight


def store_weight(group: Cgroup, data: bytes, opener: Opener) -> None:
    """What ioc_weight_write of Linux does."""
    if b":" in data:
        _check_device(data)
    found = _WEIGHT.match(data)
    if found is None or not 1 <= int(found[1]) <= _LARGEST_WEIGHT:
        raise EINVAL("a weight is from 1 to 10000")
    group.io_weight = int(found[1])


IO_FILES: dict[bytes, ControlFile] = {
    b"io.stat": ControlFile(show_stat, None, _IO, is_on_root=True),
    b"io.max": ControlFile(show_limits, store_limits, _IO),
    b"io.weight": ControlFile(show_weight, store_weight, _IO),
}
