"""How much a user may have in a user namespace: /proc/sys/user, and whether everybody may make those."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
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
from procession.fs.user_namespace import INOTIFY_INSTANCES, INOTIFY_WATCHES
from procession.procfs.parse_integer import parse_integer
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.kernel import Kernel

_INT_MAX = (1 << 31) - 1
_NAMES = {
    b"max_cgroup_namespaces": CLONE_NEWCGROUP,
    b"max_inotify_instances": INOTIFY_INSTANCES,
    b"max_inotify_watches": INOTIFY_WATCHES,
    b"max_ipc_namespaces": CLONE_NEWIPC,
    b"max_mnt_namespaces": CLONE_NEWNS,
    b"max_net_namespaces": CLONE_NEWNET,
    b"max_pid_namespaces": CLONE_NEWPID,
    b"max_time_namespaces": CLONE_NEWTIME,
    b"max_user_namespaces": CLONE_NEWUSER,
    b"max_uts_namespaces": CLONE_NEWUTS,
}


def _seen_namespace(kernel: Kernel) -> UserNamespace:
    """That of the running task: each has its own limits."""
    current = kernel.current
    return kernel.vfs.init_user_namespace if current is None else current.credentials.user_namespace


def _show(kind: int, kernel: Kernel) -> bytes:
    return b"%d\n" % _seen_namespace(kernel).maximum[kind]


def _store(kind: int, kernel: Kernel, data: bytes) -> None:
    value = parse_integer(data)
    if not 0 <= value <= _INT_MAX:
        raise EINVAL("no count")
    _seen_namespace(kernel).maximum[kind] = value


def show_unprivileged_user_namespaces(kernel: Kernel) -> bytes:
    """kernel.unprivileged_userns_clone, which Debian's kernel has."""
    return b"%d\n" % kernel.allows_unprivileged_user_namespaces


def store_unprivileged_user_namespaces(kernel: Kernel, data: bytes) -> None:
    """Set kernel.unprivileged_userns_clone: whether who lacks CAP_SYS_ADMIN may make user namespaces."""
    kernel.allows_unprivileged_user_namespaces = bool(parse_integer(data))


USER_SYSCTLS: SystemTree = {
    name: SystemFile(0o644, partial(_show, kind), partial(_store, kind)) for name, kind in _NAMES.items()
}
"""Linux: kernel/ucount.c, user_table."""
