"""Which actions seccomp knows and which it logs: /proc/sys/kernel/seccomp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.kernel.security.seccomp import ACTION_NAMES
from procession.procfs.parameter_kind import TEXT, ParameterKind
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel


def show_available_actions(kernel: Kernel) -> bytes:
    """kernel.seccomp.actions_avail."""
    del kernel
    return b" ".join(ACTION_NAMES) + b"\n"


def show_logged_actions(kernel: Kernel) -> bytes:
    """kernel.seccomp.actions_logged."""
    logged = kernel.seccomp_logged
    return b" ".join(name for bit, name in enumerate(ACTION_NAMES) if logged >> bit & 1) + b"\n"


def store_logged_actions(kernel: Kernel, data: bytes) -> None:
    """Set kernel.seccomp.actions_logged. Raises EINVAL. Linux: kernel/seccomp.c, write_actions_logged."""
    logged = 0
    for name in data.split():
        if name not in ACTION_NAMES[:-1]:
            raise EINVAL("no action that could be logged")
        logged |= 1 << ACTION_NAMES.index(name)
    kernel.seccomp_logged = logged


_ADMINISTRATORS = ParameterKind(is_text=True, is_administrators=True)
SECCOMP_SYSCTLS: SystemTree = {
    b"actions_avail": SystemFile(0o444, show_available_actions, kind=TEXT),
    b"actions_logged": SystemFile(0o644, show_logged_actions, store_logged_actions, kind=_ADMINISTRATORS),
}
