"""Who may see what of a process through proc: the checks of ptrace(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EACCES
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.task import Task

CAP_SYS_PTRACE = int(Capability.CAP_SYS_PTRACE)
_ENDED = (TaskState.ZOMBIE, TaskState.DEAD)


def may_inspect(subject: Subject, task: Task) -> bool:
    """Whether `subject`, the opener of a file of proc, may look into `task`.

    Linux: kernel/ptrace.c, __ptrace_may_access with PTRACE_MODE_READ_FSCREDS.
    """
    current = task.kernel.current
    if current is not None and current.group is task.group:
        return True
    if subject.has_capability(CAP_SYS_PTRACE):
        return True
    theirs = task.credentials
    if {theirs.euid, theirs.suid, theirs.uid} != {subject.fsuid}:
        return False
    if {theirs.egid, theirs.sgid, theirs.gid} != {subject.fsgid}:
        return False
    return is_dumpable(task)


def require_inspection(subject: Subject, task: Task) -> None:
    """Raise EACCES unless `subject` may look into `task`."""
    if not may_inspect(subject, task):
        raise EACCES(f"process {task.tid} isn't the caller's to inspect")


def is_dumpable(task: Task) -> bool:
    """Whether the memory of `task` may be seen by its own user (PR_SET_DUMPABLE; Linux: get_dumpable)."""
    return has_memory(task) and task.mm.is_dumpable


def has_memory(task: Task) -> bool:
    """Whether `task` still has an address space (Linux: task_struct.mm)."""
    return not task.is_exiting and task.mm.reference_count > 0


def has_files(task: Task) -> bool:
    """Whether `task` still has open files and a place in the tree of files."""
    return task.state not in _ENDED
