"""Yama: who may trace whom beyond what ids and capabilities allow, as kernel.yama.ptrace_scope says.

The scope is 0 at first, and then Yama asks nothing. `group.permitted_tracer` is what a process has said by
PR_SET_PTRACER: the id of a process that may trace it with its descendants, or its own for anybody. It is an
id, as that holds nothing of a process that is gone, and goes when the process does that has said it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.kernel.pid import find_task
from procession.kernel.security.capability import CAP_SYS_PTRACE

if TYPE_CHECKING:
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task, ThreadGroup

_ANYBODY = 0xFFFFFFFF


class Scope(IntEnum):
    """kernel.yama.ptrace_scope (Linux: security/yama/yama_lsm.c, YAMA_SCOPE_DISABLED)."""

    DISABLED = 0
    RELATIONAL = 1
    CAPABILITY = 2
    NO_ATTACH = 3


def may_attach(task: Task, mine: Credentials, target: Task) -> bool:
    """Whether `task` with credentials `mine` may take hold of `target`, which is another process.

    Linux: security/yama/yama_lsm.c, yama_ptrace_access_check.
    """
    scope = task.kernel.ptrace_scope
    if scope == Scope.DISABLED:
        return True
    if scope == Scope.NO_ATTACH:
        return False
    is_related = scope == Scope.RELATIONAL and (
        _descends_from(target.group, task.group) or _is_excepted(task, target)
    )
    return is_related or mine.ns_capable(target.credentials.user_namespace, CAP_SYS_PTRACE)


def check_traceme(task: Task, parent: Task) -> None:
    """Raise EPERM unless `parent` may become the tracer of `task` at its own wish.

    Linux: security/yama/yama_lsm.c, yama_ptrace_traceme.
    """
    scope = task.kernel.ptrace_scope
    if scope == Scope.NO_ATTACH or (
        scope == Scope.CAPABILITY
        and not parent.credentials.has_ns_capability(task.credentials.user_namespace, CAP_SYS_PTRACE)
    ):
        raise EPERM("kernel.yama.ptrace_scope forbids it")


def permit_tracer(task: Task, number: int) -> None:
    """PR_SET_PTRACER: let process `number`, an id of 64 bits, trace the process of `task`; 0 for nobody.

    Raises EINVAL. Linux: security/yama/yama_lsm.c, yama_task_prctl.
    """
    group = task.group
    if number == 0:
        group.permitted_tracer = None
    elif number & 0xFFFFFFFF == _ANYBODY:
        # Linux takes it for PR_SET_PTRACER_ANY as an int too.
        group.permitted_tracer = group.pid
    else:
        tracer = find_task(task.pid_namespace, number & 0xFFFFFFFF)
        if tracer is None:
            raise EINVAL(f"no process {number}")
        group.permitted_tracer = tracer.group.pid


def _descends_from(group: ThreadGroup, ancestor: ThreadGroup) -> bool:
    """Linux: security/yama/yama_lsm.c, task_is_descendant."""
    walker: ThreadGroup | None = group
    while walker is not None:
        if walker is ancestor:
            return True
        parent = walker.leader.parent
        walker = None if parent is None else parent.group
    return False


def _is_excepted(task: Task, target: Task) -> bool:
    """Linux: security/yama/yama_lsm.c, ptracer_exception_found."""
    if target.ptrace is not None and target.ptrace.tracer.group is task.group:
        return True
    permitted = target.group.permitted_tracer
    if permitted is None:
        return False
    if permitted is target.group.pid:
        return True
    tracer = permitted.task
    return tracer is not None and _descends_from(task.group, tracer.group)
