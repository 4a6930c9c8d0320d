"""Making and joining user namespaces, and what a task may do there (user_namespaces(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOSPC, EPERM
from procession.fs.user_namespace import MAXIMUM_LEVEL, NO_ID, UserNamespace
from procession.hardware.kernel_memory import USER_NAMESPACE_BYTES
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.rlimit import (
    RLIM_INFINITY,
    RLIMIT_MEMLOCK,
    RLIMIT_MSGQUEUE,
    RLIMIT_NPROC,
    RLIMIT_SIGPENDING,
)
from procession.kernel.security.capability import CAP_FULL_SET, CAP_SETFCAP, CAP_SYS_ADMIN
from procession.kernel.security.credentials import Credentials

if TYPE_CHECKING:
    from procession.kernel.task import Task


_LEFT_TO_NAMESPACE = (RLIMIT_NPROC, RLIMIT_MSGQUEUE, RLIMIT_SIGPENDING, RLIMIT_MEMLOCK)
"""What of the maker's limits bounds a new user namespace."""


def may_set_groups(namespace: UserNamespace) -> bool:
    """Whether setgroups(2) works: there are groups, and nobody has forbidden it.

    Linux: kernel/user_namespace.c, userns_may_setgroups.
    """
    return bool(namespace.gid_map.extents) and namespace.allows_setgroups


def new_user_namespace(task: Task) -> Credentials:
    """Those that `task` would have in a new user namespace of its own: with every capability over it.

    The namespace is held by the caller, who gives it back with `put` when a task has the credentials, or
    nobody will. Raises ENOSPC, EPERM, OutOfFrames. Linux: kernel/user_namespace.c, create_user_ns.
    """
    old = task.credentials
    parent = old.user_namespace
    if parent.level >= MAXIMUM_LEVEL:
        raise ENOSPC(f"{parent.level} user namespaces are around this one")
    root, mounts_root = task.fs.root, task.namespaces.mounts.root_path
    is_chrooted = root.mount is not mounts_root.mount or root.dentry is not mounts_root.dentry
    namespace = UserNamespace(task.kernel.vfs.namespaces, parent, old.euid, old.egid)
    namespace.charge_to(old.euid)
    try:
        namespace.charge_memory(task.kernel.memory.account, USER_NAMESPACE_BYTES)
        if is_chrooted:
            raise EPERM("the root directory isn't the mount namespace's")
        if NO_ID in (parent.from_kuid(old.euid), parent.from_kgid(old.egid)):
            raise EPERM("the effective ids have no place in the user namespace")
    except (EPERM, OutOfFrames):
        namespace.put()
        raise
    soft = task.group.limits.soft
    namespace.limits = {resource: soft[resource] for resource in _LEFT_TO_NAMESPACE}
    if old.uid == 0 and not parent.level:
        # The superuser's processes aren't bounded (in Linux, enforced_nproc_rlimit).
        namespace.limits[RLIMIT_NPROC] = RLIM_INFINITY
    namespace.capable_parent = old.cap_raised(CAP_SETFCAP)
    return with_every_capability(old, namespace)


def with_every_capability(old: Credentials, namespace: UserNamespace) -> Credentials:
    """The same ids in `namespace`, with every capability there. Linux: kernel/user_namespace.c,
    set_cred_user_ns."""
    return old.replace(
        user_namespace=namespace,
        securebits=0,
        cap_inheritable=0,
        cap_permitted=CAP_FULL_SET,
        cap_effective=CAP_FULL_SET,
        cap_bounding=CAP_FULL_SET,
        cap_ambient=0,
    )


def credentials_in(task: Task, namespace: UserNamespace) -> Credentials:
    """Those that `task` has once setns(2) has put it into a user namespace. Raises EINVAL, EPERM.

    Linux: kernel/user_namespace.c, userns_install.
    """
    old = task.credentials
    if namespace is old.user_namespace:
        raise EINVAL("capabilities aren't regained by joining one's own user namespace")
    if len(task.group.threads) > 1:
        raise EINVAL("other threads are in the group")
    if task.fs.reference_count != 1:
        raise EINVAL("the root and the working directory are shared")
    if not old.ns_capable(namespace, CAP_SYS_ADMIN):
        raise EPERM("joining a user namespace takes CAP_SYS_ADMIN there")
    return with_every_capability(old, namespace)
