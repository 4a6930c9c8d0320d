"""Whether files in memory may be executed: /proc/sys/vm/memfd_noexec, one for each pid namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.kernel.namespaces.pid import NoexecScope
from procession.kernel.security.capability import CAP_SYS_ADMIN
from procession.procfs.parse_integer import parse_integer

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel


def show_memfd_noexec(kernel: Kernel) -> bytes:
    """vm.memfd_noexec."""
    return b"%d\n" % kernel.seen_pid_namespace.effective_noexec


def store_memfd_noexec(kernel: Kernel, data: bytes) -> None:
    """Set vm.memfd_noexec, not below what the namespace around has. Raises EPERM, EINVAL.

    Linux: kernel/pid_sysctl.h, pid_mfd_noexec_dointvec_minmax.
    """
    namespace = kernel.seen_pid_namespace
    current = kernel.current
    if current is not None and not current.credentials.ns_capable(namespace.owner, CAP_SYS_ADMIN):
        raise EPERM("it takes CAP_SYS_ADMIN over the pid namespace")
    value = parse_integer(data)
    parent = namespace.parent
    least = NoexecScope.EXEC if parent is None else parent.effective_noexec
    if not least <= value <= NoexecScope.NOEXEC_ENFORCED:
        raise EINVAL("no scope, or looser than that around")
    namespace.memfd_noexec = value
