"""What a machine's process ids name, by their numbers in its first pid namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.namespace import NamespaceTable
from procession.fs.user_namespace import UserNamespace
from procession.kernel.namespaces.pid import PidNamespace
from procession.kernel.pid import Pid

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.session import ProcessGroup, Session
    from procession.kernel.task import Task


def tasks_by_id(kernel: Kernel) -> dict[int, Task]:
    """All tasks, in the order of their making."""
    return {task.tid: task for task in kernel.tasks}


def groups_by_id(kernel: Kernel) -> dict[int, ProcessGroup]:
    """All process groups."""
    pids = kernel.init_pid_namespace.by_number
    return {number: pid.process_group for number, pid in pids.items() if pid.process_group is not None}


def sessions_by_id(kernel: Kernel) -> dict[int, Session]:
    """All sessions."""
    pids = kernel.init_pid_namespace.by_number
    return {number: pid.session for number, pid in pids.items() if pid.session is not None}


def first_pid_namespace() -> PidNamespace:
    """One of no machine."""
    table = NamespaceTable()
    return PidNamespace(table, UserNamespace(table, None), None)


def pid_numbered(number: int, namespace: PidNamespace | None = None) -> Pid:
    """One with that number, in `namespace` or one of no machine."""
    namespace = namespace or first_pid_namespace()
    pid = Pid(namespace, (number,))
    namespace.by_number[number] = pid
    return pid
