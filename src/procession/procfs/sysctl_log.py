"""The parameters of the kernel's log in /proc/sys/kernel."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.fs.kernel_log import ALWAYS, LIMITED, NEVER
from procession.procfs.parameter_kind import TEXT, ParameterKind
from procession.procfs.parse_integer import parse_integer, parse_parameter
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_LARGEST_INT = 0x7FFFFFFF
_LINE_END = re.compile(rb"[\0\n]")
_LONGEST_WORD = 9
_MOST_SECONDS = _LARGEST_INT // 250
"""What an int holds in ticks of CONFIG_HZ=250."""


def show_levels(kernel: Kernel) -> bytes:
    """kernel.printk: the console's level, the default one, the least, and the console's at first."""
    return b"%d\t%d\t%d\t%d\n" % tuple(kernel.vfs.log.console_levels)


def store_levels(kernel: Kernel, data: bytes) -> None:
    """Set as many of them as there are numbers, up to what isn't one. Raises EINVAL.

    Linux: kernel/sysctl.c, do_proc_dointvec.
    """
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
    """Set it. Raises EINVAL."""
    value = parse_integer(data)
    if value not in (0, 1):
        raise EINVAL("neither 0 nor 1")
    kernel.vfs.log.is_restricted = value


def _show_taken(kernel: Kernel) -> bytes:
    """kernel.printk_devkmsg: what is taken of messages that programs write to /dev/kmsg."""
    return kernel.vfs.log.taken_of_programs + b"\n"


def _store_taken(kernel: Kernel, data: bytes) -> None:
    """Set it, by a whole line. Raises EINVAL. Linux: kernel/printk/printk.c, devkmsg_sysctl_set_loglvl."""
    # Whatever the one byte behind the word is, it's the line's end.
    if data[:-1] not in (ALWAYS, NEVER, LIMITED):
        raise EINVAL("neither on nor off nor ratelimit, with one byte behind it")
    kernel.vfs.log.taken_of_programs = _LINE_END.split(data[:_LONGEST_WORD], 1)[0]


def _show_of_limit(name: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(kernel.vfs.log.limit, name)


def _store_of_limit(name: str, most: int, kernel: Kernel, data: bytes) -> None:
    """Raises EINVAL. Linux: kernel/printk/sysctl.c, printk_sysctls."""
    least = -most - 1 if most == _LARGEST_INT else -most
    setattr(kernel.vfs.log.limit, name, parse_parameter(data, least, most))


def _of_limit(name: str, most: int) -> SystemFile:
    return SystemFile(0o644, partial(_show_of_limit, name), partial(_store_of_limit, name, most))


def _show_of_log(name: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(kernel.vfs.log, name)


def _store_of_log(name: str, kernel: Kernel, data: bytes) -> None:
    setattr(kernel.vfs.log, name, parse_parameter(data))


def _of_log(name: str) -> SystemFile:
    """Whether something is told in the log: any number but 0 says so."""
    return SystemFile(0o644, partial(_show_of_log, name), partial(_store_of_log, name))


_ADMINISTRATORS = ParameterKind(is_administrators=True)
LOG_SYSCTLS: SystemTree = {
    b"dmesg_restrict": SystemFile(0o644, show_restricted, store_restricted, kind=_ADMINISTRATORS),
    b"print-fatal-signals": _of_log("tells_of_ends"),
    b"printk": SystemFile(0o644, show_levels, store_levels, kind=ParameterKind(number_count=4)),
    b"printk_devkmsg": SystemFile(0o644, _show_taken, _store_taken, kind=TEXT),
    b"printk_ratelimit": _of_limit("interval_s", _MOST_SECONDS),
    b"printk_ratelimit_burst": _of_limit("burst", _LARGEST_INT),
}
DEBUG_SYSCTLS: SystemTree = {b"exception-trace": _of_log("tells_of_faults")}
"""Linux: kernel/signal.c, signal_debug_table."""
