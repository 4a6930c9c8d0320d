"""The table of all files of control groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.procfs.cgroup.core_files import CORE_FILES
from procession.procfs.cgroup.cpu_files import CPU_FILES
from procession.procfs.cgroup.cpuset_files import CPUSET_FILES
from procession.procfs.cgroup.io_files import IO_FILES
from procession.procfs.cgroup.memory_files import MEMORY_FILES
from procession.procfs.cgroup.pids_files import PIDS_FILES
from procession.procfs.cgroup.pressure_files import PRESSURE_FILES

if TYPE_CHECKING:
    from procession.procfs.cgroup.control_file import ControlFile

CONTROL_FILES: dict[bytes, ControlFile] = {
    **CORE_FILES,
    **CPUSET_FILES,
    **CPU_FILES,
    **IO_FILES,
    **MEMORY_FILES,
    **PIDS_FILES,
    **PRESSURE_FILES,
}
"""All files that there are, those of the hierarchy first."""
