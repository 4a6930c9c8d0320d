"""The end of the machine, or of a pid namespace, that a process asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EINVAL, EPERM
from procession.abi.reboot import RebootCommand, RebootMagic, RebootSecondMagic
from procession.abi.signals import Signal
from procession.kernel.exit import do_group_exit
from procession.kernel.pid import find_task
from procession.kernel.signal.generation import begin_group_exit

if TYPE_CHECKING:
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.task import Task

_CAP_SYS_BOOT = int(Capability.CAP_SYS_BOOT)
_MAGIC1 = int(RebootMagic.LINUX_REBOOT_MAGIC1)
_MAGIC2 = tuple(int(magic) for magic in RebootSecondMagic)
_LONGEST_COMMAND = 255
_CTRL_ALT_DEL = (RebootCommand.LINUX_REBOOT_CMD_CAD_ON, RebootCommand.LINUX_REBOOT_CMD_CAD_OFF)
_SIGHUP, _SIGINT = int(Signal.SIGHUP), int(Signal.SIGINT)
_SIGNALS: dict[int, int] = {
    RebootCommand.LINUX_REBOOT_CMD_RESTART: _SIGHUP,
    RebootCommand.LINUX_REBOOT_CMD_RESTART2: _SIGHUP,
    RebootCommand.LINUX_REBOOT_CMD_POWER_OFF: _SIGINT,
    RebootCommand.LINUX_REBOOT_CMD_HALT: _SIGINT,
}
"""How init ends whose namespace is told that."""
_ENDS = (
    RebootCommand.LINUX_REBOOT_CMD_RESTART,
    RebootCommand.LINUX_REBOOT_CMD_HALT,
    RebootCommand.LINUX_REBOOT_CMD_POWER_OFF,
)


def _end_namespace(task: Task, namespace: PidNamespace, command: int) -> None:
    """Kill a namespace's init, by a signal that tells its parent what was asked for.

    Raises EINVAL. Linux: kernel/pid_namespace.c, reboot_pid_ns.
    """
    signal = _SIGNALS.get(command)
    if signal is None:
        raise EINVAL("no command of a pid namespace")
    leader = find_task(namespace, 1)
    if leader is not None:
        begin_group_exit(leader.group, signal)
    if leader is None or leader.group is not task.group:
        do_group_exit(task.kernel, task, 0)


def reboot(task: Task, magic1: int, magic2: int, command: int, argument: int) -> None:
    """Stop the machine for good, or say what Ctrl-Alt-Del shall do, which nobody can press.

    No code runs after that. A machine starts again only if whoever holds it makes a new one. Raises EPERM,
    EINVAL, EFAULT. Kexec and hibernation aren't configured. Linux: kernel/reboot.c, SYSCALL_DEFINE4(reboot).
    """
    namespace = task.pid_namespace
    if not task.credentials.ns_capable(namespace.owner, _CAP_SYS_BOOT):
        raise EPERM
    if magic1 != _MAGIC1 or magic2 not in _MAGIC2:
        raise EINVAL
    if namespace.level:
        _end_namespace(task, namespace, command)
        return
    if command in _CTRL_ALT_DEL:
        return
    if command == RebootCommand.LINUX_REBOOT_CMD_RESTART2:
        if task.mm.read_cstring(argument, _LONGEST_COMMAND) is None:
            task.mm.read(argument, _LONGEST_COMMAND)
        command = RebootCommand.LINUX_REBOOT_CMD_RESTART
    if command not in _ENDS:
        raise EINVAL
    task.kernel.reboot_command = int(command)
    task.kernel.cpu.stop()
