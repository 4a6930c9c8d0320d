"""Who may read and write the kernel's parameters in /proc/sys: by effective ids, and by who owns what they
are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES
from procession.fs.permission import CAP_SYS_RESOURCE, MAY_EXEC, MAY_READ, MAY_WRITE
from procession.fs.user_namespace import NO_ID
from procession.kernel.security.capability import CAP_NET_ADMIN
from procession.procfs.sysctl_ipc import IPC_SYSCTLS, NEXT_IDS
from procession.procfs.system_directory import mode_here

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel

_ALL = MAY_READ | MAY_WRITE | MAY_EXEC
_GLOBAL_ROOT = 0
"""The machine's root and its group, whatever they are called in a user namespace."""


def check_sysctl_permission(
    kernel: Kernel, path: tuple[bytes, ...], mode: int, subject: Subject, mask: int
) -> None:
    """Raise EACCES unless `mask` is granted to `subject` at `path`, the names below /proc/sys.

    Whose files these are and CAP_DAC_OVERRIDE don't matter. Linux: fs/proc/proc_sysctl.c,
    proc_sys_permission.
    """
    match path:
        case (b"net", *_):
            granted = _granted_of_network(kernel, mode_here(kernel, path, mode), subject)
        case (b"user", *_):
            granted = _granted_of_user_namespace(mode, subject)
        case (b"kernel", name) if name in NEXT_IDS:
            may_restore = subject.may_checkpoint(kernel.seen_namespaces.ipc.owner)
            granted = MAY_READ | MAY_WRITE if may_restore else _granted_of_ipc(kernel, mode, subject)
        case (b"kernel", name) if name in IPC_SYSCTLS:
            granted = _granted_of_ipc(kernel, mode, subject)
        case (b"fs", b"mqueue", *_):
            granted = _granted_of_ipc(kernel, mode, subject)
        case _:
            granted = _granted(mode, subject, _GLOBAL_ROOT, _GLOBAL_ROOT)
    if mask & ~granted & _ALL:
        raise EACCES


def _granted(mode: int, subject: Subject, uid: int, gid: int) -> int:
    """What a file of user `uid` and group `gid` grants. Linux: fs/proc/proc_sysctl.c, test_perm."""
    if subject.euid == uid:
        return mode >> 6
    # Linux: kernel/groups.c, in_egroup_p.
    return mode >> 3 if subject.egid == gid or gid in subject.groups else mode


def _granted_of_network(kernel: Kernel, mode: int, subject: Subject) -> int:
    """Who administers a network has root's rights. Linux: net/sysctl_net.c, net_ctl_permissions."""
    if subject.ns_capable(kernel.seen_namespaces.network.owner, CAP_NET_ADMIN):
        return mode >> 6
    return _granted(mode, subject, _GLOBAL_ROOT, _GLOBAL_ROOT)


def _granted_of_user_namespace(mode: int, subject: Subject) -> int:
    """All that the mode grants its owner, or to read it. Linux: kernel/ucount.c, set_permissions."""
    if subject.ns_capable(subject.user_namespace, CAP_SYS_RESOURCE):
        return mode >> 6
    return mode & MAY_READ


def _granted_of_ipc(kernel: Kernel, mode: int, subject: Subject) -> int:
    """The root of the namespace's owner is meant. Linux: ipc/ipc_sysctl.c, ipc_permissions;
    ipc/mq_sysctl.c, mq_permissions."""
    owner = kernel.seen_namespaces.ipc.owner
    return _granted(mode, subject, _root(owner.make_kuid(0)), _root(owner.make_kgid(0)))


def _root(id: int) -> int:
    """The machine's root stands for one who isn't there."""
    return _GLOBAL_ROOT if id == NO_ID else id
