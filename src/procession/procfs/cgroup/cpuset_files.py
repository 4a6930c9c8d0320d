"""The files of the cpuset controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.fs.bit_list import list_of_bits, parse_bit_list
from procession.kernel.cgroup.cpuset import NODES, CpuSet, restrict_all
from procession.kernel.cgroup.group import Controller
from procession.procfs.cgroup.control_file import ControlFile, Opener

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup

CPUSET = int(Controller.CPUSET)
_MOST_BITS = 1024


def _set(group: Cgroup) -> CpuSet:
    assert group.cpuset is not None
    return group.cpuset


def show_processors(group: Cgroup, opener: Opener) -> bytes:
    """cpuset.cpus: what was written."""
    return list_of_bits(_set(group).processors) + b"\n"


def store_processors(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cpuset.c, update_cpumask."""
    mask = parse_bit_list(data.strip(), _MOST_BITS)
    if mask & ~opener.kernel.scheduler.all_processors:
        raise EINVAL("no such processors")
    _set(group).processors = mask
    restrict_all(group)


def show_effective_processors(group: Cgroup, opener: Opener) -> bytes:
    """cpuset.cpus.effective."""
    own = group.cpuset
    mask = opener.kernel.scheduler.all_processors if own is None else own.effective_processors
    return list_of_bits(mask) + b"\n"


def show_nodes(group: Cgroup, opener: Opener) -> bytes:
    """cpuset.mems: what was written."""
    return list_of_bits(_set(group).nodes) + b"\n"


def store_nodes(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cpuset.c, update_nodemask."""
    mask = parse_bit_list(data.strip(), _MOST_BITS)
    if mask & ~NODES:
        raise EINVAL("no such nodes")
    _set(group).nodes = mask


def show_effective_nodes(group: Cgroup, opener: Opener) -> bytes:
    """cpuset.mems.effective."""
    return list_of_bits(NODES) + b"\n"


def show_partition(group: Cgroup, opener: Opener) -> bytes:
    """cpuset.cpus.partition: no group takes processors from the others."""
    return b"member\n"


def store_partition(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cpuset.c, sched_partition_write."""
    if data.strip() != b"member":
        raise EINVAL("there are no partitions")


CPUSET_FILES: dict[bytes, ControlFile] = {
    b"cpuset.cpus": ControlFile(show_processors, store_processors, CPUSET),
    b"cpuset.mems": ControlFile(show_nodes, store_nodes, CPUSET),
    b"cpuset.cpus.effective": ControlFile(show_effective_processors, None, CPUSET, is_on_root=True),
    b"cpuset.mems.effective": ControlFile(show_effective_nodes, None, CPUSET, is_on_root=True),
    b"cpuset.cpus.partition": ControlFile(show_partition, store_partition, CPUSET),
}
