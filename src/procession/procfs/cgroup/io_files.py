"""The files of the io controller, which counts what goes to block devices: a machine has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.cgroup.group import Controller
from procession.procfs.cgroup.control_file import ControlFile, Opener

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup


def show_stat(group: Cgroup, opener: Opener) -> bytes:
    """io.stat: a line for each block device that was read or written."""
    return b""


IO_FILES: dict[bytes, ControlFile] = {
    b"io.stat": ControlFile(show_stat, None, int(Controller.IO), is_on_root=True),
}
