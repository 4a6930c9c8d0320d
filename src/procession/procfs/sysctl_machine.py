"""Parameters of the whole machine in /proc/sys: fs.file-nr, kernel.panic, kernel.tainted, vm.swappiness,
vm.drop_caches, and whether running out of memory is a panic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.taint import known_taints
from procession.mm.reclaim import PageReclaimer
from procession.procfs.parameter_kind import ParameterKind
from procession.procfs.parse_integer import parse_parameter
from procession.procfs.system_directory import SystemFile

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_LARGEST_WORD = (1 << 64) - 1
_MOST_SWAPPINESS = 200
_MOST_PANIC = 2
_MOST_DROPPED, _DROPS_PAGES, _DROPS_NAMES = 4, 1, 2


def _show_file_count(kernel: Kernel) -> bytes:
    """How many files are open, how many more are kept ready, and how many there may be.

    Linux: fs/file_table.c, proc_nr_files.
    """
    return b"%d\t0\t%d\n" % (kernel.vfs.accounts.file_count, kernel.vfs.accounts.file_max)


def _show_panic(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.panic_timeout_s


def _store_panic(kernel: Kernel, data: bytes) -> None:
    """After how many seconds a kernel that can't go on starts anew: this one ends at once, then.

    Linux: kernel/panic.c, kern_panic_table.
    """
    kernel.panic_timeout_s = parse_parameter(data)


def _show_swappiness(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.swappiness


def _store_swappiness(kernel: Kernel, data: bytes) -> None:
    """How much anonymous memory is swapped out before files are forgotten: none without swap space.

    Linux: mm/vmscan.c, vm_swappiness.
    """
    kernel.swappiness = parse_parameter(data, 0, _MOST_SWAPPINESS)


def _show_nothing(kernel: Kernel) -> bytes:
    """A parameter that is for writing only."""
    return b""


def _store_drop(kernel: Kernel, data: bytes) -> None:
    """vm.drop_caches: forget pages of files (1), names that were looked up in vain (2), or both; 4 says that
    this isn't to be logged. Linux: fs/drop_caches.c, drop_caches_sysctl_handler.
    """
    value = parse_parameter(data, 1, _MOST_DROPPED)
    reclaimer = kernel.memory.reclaimer
    if value & _DROPS_PAGES and isinstance(reclaimer, PageReclaimer):
        reclaimer.drop_unmapped(kernel.memory)
    if value & _DROPS_NAMES:
        accounts = kernel.vfs.accounts
        kernel.memory.note_changed(accounts.absent_count)
        accounts.forget_absent()


def _show_oom_choice(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.oom_kill_allocating_task


def _store_oom_choice(kernel: Kernel, data: bytes) -> None:
    """vm.oom_kill_allocating_task: whether who asks for memory is killed, not who has most."""
    kernel.oom_kill_allocating_task = parse_parameter(data)


def _show_panic_on_oom(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.panic_on_oom


def _store_panic_on_oom(kernel: Kernel, data: bytes) -> None:
    """vm.panic_on_oom: whether the machine stops where somebody would be killed for memory; 2 says also for a
    group's. Raises EINVAL. Linux: mm/oom_kill.c, vm_oom_kill_table.
    """
    kernel.panic_on_oom = parse_parameter(data, 0, _MOST_PANIC)


def _show_taints(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.taints


def _store_taints(kernel: Kernel, data: bytes) -> None:
    """kernel.tainted: what has been noted stays. Raises EINVAL. Linux: kernel/sysctl.c, proc_taint."""
    kernel.taints |= known_taints(parse_parameter(data, 0, _LARGEST_WORD))


OOM_PANIC = SystemFile(0o644, _show_panic_on_oom, _store_panic_on_oom)
OOM_CHOICE = SystemFile(0o644, _show_oom_choice, _store_oom_choice)
DROP_CACHES = SystemFile(0o200, _show_nothing, _store_drop)
FILE_COUNT = SystemFile(0o444, _show_file_count)
PANIC = SystemFile(0o644, _show_panic, _store_panic)
TAINTED = SystemFile(
    0o644, _show_taints, _store_taints, kind=ParameterKind(is_unsigned=True, is_administrators=True)
)
SWAPPINESS = SystemFile(0o644, _show_swappiness, _store_swappiness)
