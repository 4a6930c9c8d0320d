"""syslog: the kernel's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.syslog import SyslogAction
from procession.fs.kernel_log import BUFFER_BYTES
from procession.fs.wait_queue import Sleep
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Choice, Int, OutBuffer
from procession.syscalls.user_vector import check_user_range

if TYPE_CHECKING:
    from procession.fs.kernel_log import KernelLog
    from procession.kernel.task import Task

_LOOKING = (SyslogAction.SYSLOG_ACTION_READ_ALL, SyslogAction.SYSLOG_ACTION_SIZE_BUFFER)
_READING = (
    SyslogAction.SYSLOG_ACTION_READ,
    SyslogAction.SYSLOG_ACTION_READ_ALL,
    SyslogAction.SYSLOG_ACTION_READ_CLEAR,
)
_LOWEST_LEVEL, _HIGHEST_LEVEL = 1, 8
_CURRENT, _MINIMUM, _DEFAULT = 0, 2, 3
"""Places in the console's levels."""


@syscall(103)
def syslog(task: Task, action: Choice[SyslogAction], buffer: OutBuffer, length: Int) -> int:
    """syslog(2). Linux: kernel/printk/printk.c, do_syslog."""
    log = task.kernel.vfs.log
    log.check_access(task.credentials, is_looking=action in _LOOKING)
    if action in _READING:
        return _read(task, log, action, buffer, length)
    levels = log.console_levels
    if action == SyslogAction.SYSLOG_ACTION_CLEAR:
        log.clear()
    elif action == SyslogAction.SYSLOG_ACTION_CONSOLE_OFF:
        if log.saved_console_level is None:
            log.saved_console_level = levels[_CURRENT]
        levels[_CURRENT] = levels[_MINIMUM]
    elif action == SyslogAction.SYSLOG_ACTION_CONSOLE_ON:
        if log.saved_console_level is not None:
            levels[_CURRENT], log.saved_console_level = log.saved_console_level, None
    elif action == SyslogAction.SYSLOG_ACTION_CONSOLE_LEVEL:
        if not _LOWEST_LEVEL <= length <= _HIGHEST_LEVEL:
            raise EINVAL("no level of the console")
        levels[_CURRENT], log.saved_console_level = max(length, levels[_MINIMUM]), None
    elif action == SyslogAction.SYSLOG_ACTION_SIZE_UNREAD:
        return log.unread_bytes()
    elif action == SyslogAction.SYSLOG_ACTION_SIZE_BUFFER:
        return BUFFER_BYTES
    elif action not in (SyslogAction.SYSLOG_ACTION_OPEN, SyslogAction.SYSLOG_ACTION_CLOSE):
        raise EINVAL("no such action")
    return 0


def _read(task: Task, log: KernelLog, action: int, buffer: int, length: int) -> int:
    """The three actions that fill a buffer."""
    if not buffer or length < 0:
        raise EINVAL("no buffer")
    if not length:
        return 0
    check_user_range(buffer, length)
    if action == SyslogAction.SYSLOG_ACTION_READ:
        lines = log.read_lines(length)
        if not lines:
            raise Sleep(log.queue)
    else:
        lines = log.last_lines(length)
    task.mm.write(buffer, lines)
    if action == SyslogAction.SYSLOG_ACTION_READ_CLEAR:
        log.clear()
    return len(lines)
