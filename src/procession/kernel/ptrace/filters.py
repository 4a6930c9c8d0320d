"""The seccomp filters of a tracee, as its tracer may read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EINVAL, ENOENT
from procession.kernel.security.capability import CAP_SYS_ADMIN
from procession.kernel.security.seccomp import LOG, MODE_FILTER

if TYPE_CHECKING:
    from procession.kernel.security.seccomp import SeccompFilter
    from procession.kernel.task import Task


def filter_of(tracer: Task, task: Task, index: int) -> SeccompFilter:
    """The filter of `task` that was attached as number `index`, from 0. Raises EACCES, EINVAL, ENOENT.

    Linux: kernel/seccomp.c, get_nth_filter.
    """
    check_right(tracer)
    if task.seccomp_mode != MODE_FILTER:
        raise EINVAL("it has no filters")
    each = task.seccomp_filter
    while each is not None and each.depth != index + 1:
        each = each.previous
    if each is None:
        raise ENOENT(f"no filter {index}")
    return each


def check_right(tracer: Task) -> None:
    """Raises EACCES. Linux: kernel/seccomp.c, seccomp_get_filter, seccomp_get_metadata."""
    if not tracer.credentials.capable(CAP_SYS_ADMIN) or tracer.seccomp_mode:
        raise EACCES("it takes CAP_SYS_ADMIN, and no seccomp")


def flags_of(found: SeccompFilter) -> int:
    """What PTRACE_SECCOMP_GET_METADATA says. Linux: kernel/seccomp.c, seccomp_get_metadata."""
    return LOG if found.is_logged else 0
