"""/proc/sys/vm: the parameters of memory, which allocators read as programs start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.kernel.security.capability import CAP_SYS_RAWIO
from procession.procfs.parse_integer import INT_MAX, parse_integer
from procession.procfs.sysctl_machine import DROP_CACHES, OOM_CHOICE, OOM_PANIC, SWAPPINESS
from procession.procfs.sysctl_memfd import show_memfd_noexec, store_memfd_noexec
from procession.procfs.sysctl_overcommit import OVERCOMMIT_SYSCTLS
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_ULONG_MAX = (1 << 64) - 1


def _show_legacy_layout(kernel: Kernel) -> bytes:
    """vm.legacy_va_layout: whether new programs' mappings are placed upwards, as they once were."""
    return b"%d\n" % kernel.uses_legacy_layout


def _store_legacy_layout(kernel: Kernel, data: bytes) -> None:
    """Set vm.legacy_va_layout. Raises EINVAL below 0. Linux: kernel/sysctl.c, vm_table."""
    value = parse_integer(data)
    if not 0 <= value <= INT_MAX:
        raise EINVAL("below 0")
    kernel.uses_legacy_layout = value


def _show_max_map_count(kernel: Kernel) -> bytes:
    """vm.max_map_count: how many areas an address space may have."""
    return b"%d\n" % kernel.memory.maximum_areas


def _store_max_map_count(kernel: Kernel, data: bytes) -> None:
    """Set vm.max_map_count, for address spaces that have more already too. Raises EINVAL.

    Linux: kernel/sysctl.c, vm_table.
    """
    value = parse_integer(data)
    if not 0 <= value <= INT_MAX:
        raise EINVAL("no count")
    kernel.memory.maximum_areas = value


def _show_mmap_min_addr(kernel: Kernel) -> bytes:
    """vm.mmap_min_addr: the lowest address that mmap gives."""
    return b"%d\n" % kernel.memory.lowest_address


def _store_mmap_min_addr(kernel: Kernel, data: bytes) -> None:
    """Set vm.mmap_min_addr. Raises EPERM, EINVAL. Linux: security/min_addr.c, mmap_min_addr_handler."""
    current = kernel.current
    if current is not None and not current.credentials.capable(CAP_SYS_RAWIO):
        raise EPERM("it takes CAP_SYS_RAWIO")
    value = parse_integer(data)
    if not 0 <= value <= _ULONG_MAX:
        raise EINVAL("no address")
    kernel.memory.lowest_address = value


def _show_unprivileged_userfaultfd(kernel: Kernel) -> bytes:
    """vm.unprivileged_userfaultfd: whether who lacks CAP_SYS_PTRACE may handle faults of the kernel's own."""
    return b"%d\n" % kernel.allows_unprivileged_userfaultfd


def _store_unprivileged_userfaultfd(kernel: Kernel, data: bytes) -> None:
    """Set vm.unprivileged_userfaultfd. Raises EINVAL but for 0 and 1."""
    value = parse_integer(data)
    if value not in (0, 1):
        raise EINVAL("0 or 1")
    kernel.allows_unprivileged_userfaultfd = bool(value)


VM_SYSCTLS: SystemTree = {
    **OVERCOMMIT_SYSCTLS,
    b"drop_caches": DROP_CACHES,
    b"legacy_va_layout": SystemFile(0o644, _show_legacy_layout, _store_legacy_layout),
    b"max_map_count": SystemFile(0o644, _show_max_map_count, _store_max_map_count),
    b"memfd_noexec": SystemFile(0o644, show_memfd_noexec, store_memfd_noexec),
    b"oom_kill_allocating_task": OOM_CHOICE,
    b"mmap_min_addr": SystemFile(0o644, _show_mmap_min_addr, _store_mmap_min_addr),
    b"panic_on_oom": OOM_PANIC,
    b"swappiness": SWAPPINESS,
    b"unprivileged_userfaultfd": SystemFile(
        0o644, _show_unprivileged_userfaultfd, _store_unprivileged_userfaultfd
    ),
}
