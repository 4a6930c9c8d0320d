"""Parameters of the whole machine in /proc/sys: fs.file-nr, kernel.panic, vm.swappiness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.procfs.parse_integer import INT_MAX, INT_MIN, parse_within
from procession.procfs.system import SystemFile

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_FILE_MAXIMUM = (1 << 63) - 1
_MOST_SWAPPINESS = 200


def _show_file_count(kernel: Kernel) -> bytes:
    """How many files are open, how many more are kept ready, and how many there may be.

    Linux: fs/file_table.c, proc_nr_files.
    """
    return b"%d\t0\t%d\n" % (kernel.vfs.accounts.file_count, _FILE_MAXIMUM)


def _show_panic(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.panic_timeout_s


def _store_panic(kernel: Kernel, data: bytes) -> None:
    """After how many seconds a kernel that can't go on starts anew: this one ends at once, then.

    Linux: kernel/panic.c, kern_panic_table.
    """
    kernel.panic_timeout_s = parse_within(data, INT_MIN, INT_MAX)


def _show_swappiness(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.swappiness


def _store_swappiness(kernel: Kernel, data: bytes) -> None:
    """How much anonymous memory is swapped out before files are forgotten: none without swap space.

    Linux: mm/vmscan.c, vm_swappiness.
    """
    value = parse_within(data, INT_MIN, INT_MAX)
    if not 0 <= value <= _MOST_SWAPPINESS:
        raise EINVAL("0 to 200")
    kernel.swappiness = value


FILE_COUNT = SystemFile(0o444, _show_file_count)
PANIC = SystemFile(0o644, _show_panic, _store_panic)
SWAPPINESS = SystemFile(0o644, _show_swappiness, _store_swappiness)
