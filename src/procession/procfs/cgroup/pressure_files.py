"""The files of pressure of a control group: cpu.pressure, memory.pressure and io.pressure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.kernel.sched.pressure import CPU, IO, MEMORY
from procession.procfs.cgroup.control_file import ControlFile, Opener
from procession.procfs.pressure import pressure_of

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup


def _show(group: Cgroup, opener: Opener, resource: int) -> bytes:
    """Linux: kernel/cgroup/cgroup.c, cgroup_cpu_pressure_show."""
    return pressure_of(opener.kernel, group).show(resource)


def _store(group: Cgroup, data: bytes, opener: Opener, resource: int) -> None:
    """Linux: kernel/cgroup/cgroup.c, pressure_write."""
    assert opener.slot is not None
    opener.slot.store(pressure_of(opener.kernel, group), resource, data, opener.subject)


def show_cpu(group: Cgroup, opener: Opener) -> bytes:
    """cpu.pressure."""
    return _show(group, opener, CPU)


def store_cpu(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cgroup.c, cgroup_cpu_pressure_write."""
    _store(group, data, opener, CPU)


def show_memory(group: Cgroup, opener: Opener) -> bytes:
    """memory.pressure."""
    return _show(group, opener, MEMORY)


def store_memory(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cgroup.c, cgroup_memory_pressure_write."""
    _store(group, data, opener, MEMORY)


def show_io(group: Cgroup, opener: Opener) -> bytes:
    """io.pressure: nobody ever waits for a disk."""
    return _show(group, opener, IO)


def store_io(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cgroup.c, cgroup_io_pressure_write."""
    _store(group, data, opener, IO)


def _file(
    show: Callable[[Cgroup, Opener], bytes], store: Callable[[Cgroup, bytes, Opener], None]
) -> ControlFile:
    return ControlFile(show, store, is_on_root=True, has_trigger=True)


PRESSURE_FILES: dict[bytes, ControlFile] = {
    b"io.pressure": _file(show_io, store_io),
    b"memory.pressure": _file(show_memory, store_memory),
    b"cpu.pressure": _file(show_cpu, store_cpu),
}
