"""Making namespaces: what clone(2) and unshare(2) have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.clone_flags import CloneFlag
from procession.abi.errno import EINVAL, ENOBUFS, ENOMEM, ENOSPC, EPERM, Errno
from procession.fs.mounts.namespace import copy_mount_namespace
from procession.fs.namespace import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.ipc.namespace import IpcNamespace
from procession.kernel.namespaces.cgroup import CgroupNamespace
from procession.kernel.namespaces.pid import MAX_PID_NS_LEVEL, PidNamespace
from procession.kernel.security.capability import CAP_SYS_ADMIN
from procession.net.network import Network

if TYPE_CHECKING:
    from procession.fs.fs_context import FsContext
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.namespaces.proxy import NsProxy
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task

CLONE_VM, CLONE_SYSVSEM = int(CloneFlag.CLONE_VM), int(CloneFlag.CLONE_SYSVSEM)
CLONE_NEW_IN_PROXY = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME
)
"""The kinds that an NsProxy has."""
CLONE_NEW_ANY = CLONE_NEW_IN_PROXY | CLONE_NEWUSER


def copy_namespaces(parent: Task, flags: int, context: FsContext, credentials: Credentials) -> NsProxy:
    """What a new task of `parent` has: the same, or with new ones for `flags`.

    `context` and `credentials` are the new task's. Raises EPERM, EINVAL, ENOSPC, ENOMEM.
    Linux: kernel/nsproxy.c, copy_namespaces.
    """
    proxy = parent.namespaces
    if not flags & CLONE_NEW_IN_PROXY:
        if flags & CLONE_VM or proxy.time is proxy.time_for_children:
            return proxy.acquire()
    elif not parent.credentials.ns_capable(credentials.user_namespace, CAP_SYS_ADMIN):
        raise EPERM("a new namespace takes CAP_SYS_ADMIN")
    if flags & CLONE_NEWIPC and flags & CLONE_SYSVSEM:
        raise EINVAL("semaphores of another IPC namespace can't be undone")
    new = create_namespaces(parent, flags, context, credentials)
    if not flags & CLONE_VM:
        new.enter_time_for_children()
    return new


def unshare_namespaces(
    task: Task, flags: int, context: FsContext, credentials: Credentials
) -> NsProxy | None:
    """What `task` has after unshare(2) with `flags`; None if nothing changes. Raises as `copy_namespaces`.

    Linux: kernel/nsproxy.c, unshare_nsproxy_namespaces.
    """
    if not flags & CLONE_NEW_IN_PROXY:
        return None
    if not task.credentials.ns_capable(credentials.user_namespace, CAP_SYS_ADMIN):
        raise EPERM("a new namespace takes CAP_SYS_ADMIN")
    return create_namespaces(task, flags, context, credentials)


def create_namespaces(task: Task, flags: int, context: FsContext, credentials: Credentials) -> NsProxy:
    """A proxy like that of `task`, which the caller holds, with new namespaces for `flags`.

    They belong to the user namespace of `credentials`, and count against their effective user. With
    CLONE_NEWNS `context` moves to the new mounts, when nothing can fail any more. Raises EINVAL, ENOSPC
    (max_*_namespaces, 32 levels, mounts), EPERM, ENOMEM. Linux: kernel/nsproxy.c, create_new_namespaces.
    """
    new = task.namespaces.copy()
    owner, uid = credentials.user_namespace, credentials.euid
    account = task.kernel.memory.account
    try:
        if flags & CLONE_NEWUTS:
            uts = new.uts.copy(owner)
            uts.charge_to(uid, account)
            new.uts.put()
            new.uts = uts
        if flags & CLONE_NEWIPC:
            old = new.ipc
            ipc = IpcNamespace(old.table, owner, old.maximum_bytes, old.memory)
            ipc.charge_to(uid, account)
            old.put()
            new.ipc = ipc
        if flags & CLONE_NEWPID:
            pids = _create_pid_namespace(task, new.pid_for_children, owner)
            pids.charge_to(uid, account)
            new.pid_for_children.put()
            new.pid_for_children = pids
        if flags & CLONE_NEWCGROUP:
            cgroup = CgroupNamespace(new.cgroup.table, owner, task.cgroup)
            cgroup.charge_to(uid, account)
            new.cgroup.put()
            new.cgroup = cgroup
        if flags & CLONE_NEWNET:
            network = Network(new.network.system, task.kernel, owner)
            network.charge_to(uid, account)
            new.network.put()
            new.network = network
            network.inherit(task.kernel.init_namespaces.network.sysctls)
        if flags & CLONE_NEWTIME:
            time = new.time_for_children.copy(owner)
            time.charge_to(uid, account)
            new.time_for_children.put()
            new.time_for_children = time
        if flags & CLONE_NEWNS:
            mounts = copy_mount_namespace(new.mounts, context, owner, charged_uid=uid)
            new.mounts.put()
            new.mounts = mounts
    except (OutOfFrames, ENOBUFS):
        new.put()
        raise ENOMEM("no memory for a namespace") from None
    except Errno:
        new.put()
        raise
    return new


def _create_pid_namespace(task: Task, parent: PidNamespace, owner: UserNamespace) -> PidNamespace:
    """Raises EINVAL, ENOSPC. Linux: kernel/pid_namespace.c, copy_pid_ns, create_pid_namespace."""
    if task.pid_namespace is not parent:
        # A process stays in its namespace, and its children can't go deeper than one at a time.
        raise EINVAL("the children are in another pid namespace already")
    if not owner.is_in(parent.owner):
        raise EINVAL("the pid namespace around is none of the user namespace's")
    if parent.level >= MAX_PID_NS_LEVEL:
        raise ENOSPC(f"pid namespaces are nested {MAX_PID_NS_LEVEL} deep")
    return PidNamespace(parent.table, owner, parent)
