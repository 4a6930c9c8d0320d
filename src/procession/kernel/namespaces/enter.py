"""Entering namespaces that exist: setns(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM, ESRCH, EUSERS
from procession.fs.mounts.namespace import MountNamespace, enter
from procession.fs.namespace import CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME
from procession.fs.user_namespace import UserNamespace
from procession.kernel.ipc.namespace import IpcNamespace
from procession.kernel.ipc.shm import forget_creator
from procession.kernel.namespaces.cgroup import CgroupNamespace
from procession.kernel.namespaces.creation import CLONE_NEW_ANY
from procession.kernel.namespaces.nsfs import namespace_of_file
from procession.kernel.namespaces.pid import PidNamespace
from procession.kernel.namespaces.time import TimeNamespace
from procession.kernel.namespaces.user import credentials_in
from procession.kernel.namespaces.uts import UtsNamespace
from procession.kernel.pidfd import PidFile
from procession.kernel.security.capability import CAP_SYS_ADMIN, CAP_SYS_CHROOT
from procession.kernel.security.credentials import commit_credentials
from procession.kernel.security.ptrace_access import may_access
from procession.kernel.task_state import ENDED
from procession.net.network import Network

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.namespace import Namespace
    from procession.kernel.namespaces.proxy import NsProxy
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task


def set_namespaces(task: Task, file: File, flags: int) -> None:
    """Let `task` enter the namespace that `file` stands for, or those for `flags` of a pidfd's process.

    Nothing changes unless all can be entered. Raises EINVAL, EPERM, ESRCH, EUSERS.
    Linux: kernel/nsproxy.c, SYSCALL_DEFINE2(setns), validate_ns, validate_nsset, commit_nsset.
    """
    namespace = namespace_of_file(file)
    if namespace is not None:
        if flags and flags != namespace.kind:
            raise EINVAL("a namespace of another kind")
        found = [namespace]
    elif isinstance(file, PidFile):
        if not flags or flags & ~CLONE_NEW_ANY:
            raise EINVAL("no kind of namespace, or an unknown one")
        found = _namespaces_of(task, file, flags)
    else:
        raise EINVAL("neither a namespace nor a pidfd")
    credentials = task.credentials
    for each in found:
        if isinstance(each, UserNamespace):
            # What follows is judged by what the caller may do there.
            credentials = credentials_in(task, each)
        else:
            _check(task, credentials, each, is_alone=len(found) == 1)
    new = task.namespaces.copy()
    for each in found:
        if not isinstance(each, UserNamespace):
            _install(new, each)
    kinds = sum(each.kind for each in found)
    for each in found:
        if isinstance(each, MountNamespace):
            enter(each, task.fs)
    if kinds & CLONE_NEWIPC:
        from procession.kernel.ipc.sem_undo import leave_undos

        leave_undos(task)
        forget_creator(task)
    task.namespaces, old = new, task.namespaces
    old.put()
    if credentials is not task.credentials:
        commit_credentials(task, credentials)


def _namespaces_of(task: Task, file: PidFile, flags: int) -> list[Namespace]:
    """Those of a process, in the order in which they are entered. Raises ESRCH, EPERM."""
    target = file.target
    if target is None:
        raise ESRCH("the process is gone")
    if not may_access(task, target, by_fs_ids=False):
        raise EPERM("the process may not be traced by this one")
    if target.state in ENDED or target.is_exiting:
        raise ESRCH("the process has ended")
    proxy = target.namespaces
    all_namespaces: tuple[Namespace, ...] = (
        *(target.credentials.user_namespace, proxy.mounts, proxy.uts, proxy.ipc, target.pid_namespace),
        *(proxy.cgroup, proxy.network, proxy.time),
    )
    return [namespace for namespace in all_namespaces if namespace.kind & flags]


def _check(task: Task, credentials: Credentials, namespace: Namespace, *, is_alone: bool) -> None:
    """Raise what keeps `task`, which is to have `credentials`, from entering `namespace`."""
    mine = credentials.user_namespace
    kind = namespace.kind
    if kind == CLONE_NEWTIME and (len(task.group.threads) > 1 or task.mm.reference_count > 1):
        # Linux: kernel/time/namespace.c, timens_install.
        raise EUSERS("other threads have the same clocks")
    if (
        not task.credentials.ns_capable(namespace.owner, CAP_SYS_ADMIN)
        or (kind == CLONE_NEWNS and not credentials.ns_capable(mine, CAP_SYS_CHROOT))
        or not credentials.ns_capable(mine, CAP_SYS_ADMIN)
    ):
        raise EPERM("entering a namespace takes CAP_SYS_ADMIN over it")
    if isinstance(namespace, MountNamespace):
        # Together with others it's entered with a copy of what may be shared, and what is shared follows.
        # Linux: fs/namespace.c, mntns_install; kernel/nsproxy.c, prepare_nsset.
        if namespace.is_anonymous or (is_alone and task.fs.reference_count != 1):
            raise EINVAL("a tree that isn't mounted, or root and current directory are shared")
    elif kind == CLONE_NEWPID:
        # Linux: kernel/pid_namespace.c, pidns_install.
        assert isinstance(namespace, PidNamespace)
        if task.pid_namespace not in namespace.ancestry:
            raise EINVAL("a pid namespace that isn't below the caller's")


def _install(proxy: NsProxy, namespace: Namespace) -> None:
    """Put `namespace` into a proxy that no task has yet."""
    namespace.acquire()
    if isinstance(namespace, MountNamespace):
        proxy.mounts, old = namespace, proxy.mounts
        old.put()
    elif isinstance(namespace, UtsNamespace):
        proxy.uts, old_uts = namespace, proxy.uts
        old_uts.put()
    elif isinstance(namespace, IpcNamespace):
        proxy.ipc, old_ipc = namespace, proxy.ipc
        old_ipc.put()
    elif isinstance(namespace, PidNamespace):
        proxy.pid_for_children, old_pids = namespace, proxy.pid_for_children
        old_pids.put()
    elif isinstance(namespace, CgroupNamespace):
        proxy.cgroup, old_cgroup = namespace, proxy.cgroup
        old_cgroup.put()
    elif isinstance(namespace, Network):
        proxy.network, old_network = namespace, proxy.network
        old_network.put()
    else:
        assert isinstance(namespace, TimeNamespace)
        namespace.is_frozen = True
        namespace.acquire()
        proxy.time, old_time = namespace, proxy.time
        proxy.time_for_children, old_children = namespace, proxy.time_for_children
        old_time.put()
        old_children.put()
