"""Who may see what of a process through proc: the checks of ptrace(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from procession.abi.errno import EACCES, EPERM
from procession.fs.inode import S_IFDIR
from procession.kernel.security.ptrace_access import credentials_allow, has_memory, may_access
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.inode import Inode
    from procession.fs.permission import Subject
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem


def may_inspect(subject: Subject, task: Task, *, attaches: bool = False) -> bool:
    """Whether the running task may look into `task`, or with `attaches` change it; or `subject` where none
    runs.

    Linux: kernel/ptrace.c, __ptrace_may_access with PTRACE_MODE_READ_FSCREDS.
    """
    current = task.kernel.current
    if current is not None:
        return may_access(current, task, by_fs_ids=True, attaches=attaches)
    # Who opens files has a task's credentials.
    return credentials_allow(cast("Credentials", subject), task, by_fs_ids=True)


def require_inspection(subject: Subject, task: Task, *, attaches: bool = False) -> None:
    """Raise EACCES unless `may_inspect` says yes."""
    if not may_inspect(subject, task, attaches=attaches):
        raise EACCES(f"process {task.tid} isn't the caller's to inspect")


def require_attachment(subject: Subject, task: Task) -> None:
    """Raise EPERM unless the reader may attach to `task`. Linux: fs/proc/base.c, lock_trace."""
    if not may_inspect(subject, task, attaches=True):
        raise EPERM(f"process {task.tid} isn't the caller's to attach to")


def reader_root(system: ProcFileSystem, task: Task) -> Path:
    """The root directory from which names are shown: the reader's."""
    current = system.kernel.current
    return (current if current is not None else task).fs.root


def is_dumpable(task: Task) -> bool:
    """Whether the memory of `task` may be seen by its own user (PR_SET_DUMPABLE).

    Linux: include/linux/sched/coredump.h, get_dumpable.
    """
    return has_memory(task) and task.mm.is_dumpable


def update_owner(inode: Inode, task: Task) -> None:
    """Make a file about `task` its user's, if it may be dumped; directories that all may read are so always.

    Linux: fs/proc/base.c, task_dump_owner.
    """
    if is_dumpable(task) or inode.mode == S_IFDIR | 0o555:
        inode.uid, inode.gid = task.credentials.euid, task.credentials.egid
    else:
        inode.uid = inode.gid = 0


def has_files(task: Task) -> bool:
    """Whether `task` still has open files and a place in the tree of files."""
    return task.state not in ENDED
