"""The parameters of the kernel's log in /proc/sys/kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.fs.permission import CAP_SYS_ADMIN
from procession.procfs.parameter_kind import ParameterKind
from procession.procfs.parse_integer import parse_integer
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_LARGEST_INT = 0x7FFFFFFF


def show_levels(kernel: Kernel) -> bytes:
    """kernel.printk: the console's level, the default one, the least, and the console's at first."""
    return b"%d\t%d\t%d\t%d\n" % tuple(kernel.vfs.log.console_levels)


def store_levels(kernel: Kernel, data: bytes) -> None:
    """Set as many of them as there are numbers, up to what isn't one. Raises EPERM, EINVAL.

    Linux: kernel/sysctl.c, do_proc_dointvec.
    """
    _check_administrator(kernel)
    levels = kernel.vfs.log.console_levels
    for place, word in enumerate(data.split()):
        value = parse_integer(word)
        if not -_LARGEST_INT - 1 <= value <= _LARGEST_INT:
            raise EINVAL("no int")
        levels[place] = value


def show_restricted(kernel: Kernel) -> bytes:
    """kernel.dmesg_restrict: whether looking at the log takes CAP_SYSLOG."""
    return b"%d\n" % kernel.vfs.log.is_restricted


def store_restricted(kernel: Kernel, data: bytes) -> None:
    """Set it. Raises EPERM, EINVAL."""
    _check_administrator(kernel)
    value = parse_integer(data)
    if value not in (0, 1):
        raise EINVAL("neither 0 nor 1")
    kernel.vfs.log.is_restricted = value


def _check_administrator(kernel: Kernel) -> None:
    """Linux: kernel/printk/sysctl.c, proc_dointvec_minmax_sysadmin."""
    current = kernel.current
    if current is not None and not current.credentials.capable(CAP_SYS_ADMIN):
        raise EPERM("takes CAP_SYS_ADMIN")


LOG_SYSCTLS: SystemTree = {
    b"dmesg_restrict": SystemFile(0o644, show_restricted, store_restricted),
    b"printk": SystemFile(0o644, show_levels, store_levels, kind=ParameterKind(number_count=4)),
}
