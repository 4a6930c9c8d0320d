"""Whether a task may look into another one, or control it: the check of ptrace(2) that many calls share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, ESRCH
from procession.fs.landlock import is_within
from procession.fs.user_namespace import UserNamespace
from procession.kernel.security.capability import CAP_SYS_PTRACE
from procession.kernel.security.yama import may_attach

if TYPE_CHECKING:
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor


def may_access(task: Task, target: Task, *, by_fs_ids: bool, attaches: bool = False) -> bool:
    """Whether `task` may look into `target`, or with `attaches` take hold of it and change it.

    It's judged by the file system ids of `task` or by its real ones.
    Linux: kernel/ptrace.c, __ptrace_may_access.
    """
    if task.group is target.group:
        return True
    mine = task.credentials
    if not credentials_allow(mine, target, by_fs_ids=by_fs_ids):
        return False
    return not attaches or may_attach(task, mine, target)


def credentials_allow(mine: Credentials, target: Task, *, by_fs_ids: bool) -> bool:
    """Whether who has the credentials `mine` may access `target`, which is another process.

    Linux: kernel/ptrace.c, __ptrace_may_access; security/commoncap.c, cap_ptrace_access_check.
    """
    theirs = target.credentials
    if mine.landlock and not is_within(mine.landlock, theirs.landlock):
        return False
    uid, gid = (mine.fsuid, mine.fsgid) if by_fs_ids else (mine.uid, mine.gid)
    capabilities = mine.cap_effective if by_fs_ids else mine.cap_permitted
    is_allowed = (
        uid == theirs.euid == theirs.suid == theirs.uid
        and gid == theirs.egid == theirs.sgid == theirs.gid
        and mine.user_namespace is theirs.user_namespace
        and not theirs.cap_permitted & ~capabilities
    )
    if not is_allowed and not mine.ns_capable(theirs.user_namespace, CAP_SYS_PTRACE):
        return False
    return target.mm.is_dumpable or mine.ns_capable(_owner_of_memory(target), CAP_SYS_PTRACE)


def _owner_of_memory(target: Task) -> UserNamespace:
    """In which user namespace one needs CAP_SYS_PTRACE to look into `target`, which may not be dumped.

    It's that in which its program was executed; the machine's first once it has no memory any more.
    Linux: kernel/ptrace.c, task_still_dumpable.
    """
    owner = target.mm.owner
    if isinstance(owner, UserNamespace) and has_memory(target):
        return owner
    first = target.credentials.user_namespace
    while first.parent is not None:
        first = first.parent
    return first


def has_memory(task: Task) -> bool:
    """Whether `task` still has an address space (in Linux, task_struct.mm)."""
    return not task.is_exiting and task.mm.reference_count > 0


def memory_of(task: Task, target: Task, *, by_fs_ids: bool, attaches: bool = False) -> MemoryDescriptor:
    """The address space of `target`, to look at or with `attaches` to change.

    Raises ESRCH if it has none any more, EACCES.

    Linux: kernel/fork.c, mm_access.
    """
    mm = target.mm
    if not has_memory(target):
        raise ESRCH(f"task {target.tid} has no memory any more")
    if mm is not task.mm and not may_access(task, target, by_fs_ids=by_fs_ids, attaches=attaches):
        raise EACCES(f"task {target.tid} isn't the caller's to access")
    return mm
