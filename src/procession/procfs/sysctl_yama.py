"""Who may trace whom: /proc/sys/kernel/yama."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.kernel.security.capability import CAP_SYS_PTRACE
from procession.kernel.security.yama import Scope
from procession.procfs.parse_integer import parse_integer
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel


def show_ptrace_scope(kernel: Kernel) -> bytes:
    """kernel.yama.ptrace_scope."""
    return b"%d\n" % kernel.ptrace_scope


def store_ptrace_scope(kernel: Kernel, data: bytes) -> None:
    """Set kernel.yama.ptrace_scope; the strictest stays. Raises EPERM, EINVAL.

    Linux: security/yama/yama_lsm.c, yama_dointvec_minmax.
    """
    current = kernel.current
    if current is not None and not current.credentials.capable(CAP_SYS_PTRACE):
        raise EPERM("it takes CAP_SYS_PTRACE")
    value = parse_integer(data)
    least = Scope.NO_ATTACH if kernel.ptrace_scope == Scope.NO_ATTACH else Scope.DISABLED
    if not least <= value <= Scope.NO_ATTACH:
        raise EINVAL("no scope, or looser than the strictest")
    kernel.ptrace_scope = value


YAMA_SYSCTLS: SystemTree = {
    b"ptrace_scope": SystemFile(0o644, show_ptrace_scope, store_ptrace_scope),
}
"""Linux: security/yama/yama_lsm.c, yama_sysctl_table."""
