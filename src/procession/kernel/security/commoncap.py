"""What capabilities allow, and changing sets and securebits, as capset(2) and prctl(2) do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import CAP_LAST_CAP
from procession.abi.errno import EINVAL, EPERM
from procession.kernel.security.capability import (
    CAP_SETPCAP,
    CAP_SYS_RAWIO,
    SECURE_ALL_BITS,
    SECURE_ALL_LOCKS,
    SECURE_ALL_UNPRIVILEGED,
    SECURE_KEEP_CAPS,
    SECURE_NO_CAP_AMBIENT_RAISE,
)
from procession.kernel.security.credentials import commit_credentials

if TYPE_CHECKING:
    from procession.kernel.task import Task

_OPEN_TO_ALL = SECURE_ALL_UNPRIVILEGED | SECURE_ALL_UNPRIVILEGED << 1


def set_capabilities(task: Task, effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) once its sets are read. Raises EPERM. Linux: security/commoncap.c, cap_capset."""
    old = task.credentials
    allowed = old.cap_inheritable | old.cap_permitted
    if inheritable & ~allowed and not old.cap_raised(CAP_SETPCAP):
        raise EPERM("an inheritable capability that isn't permitted, and CAP_SETPCAP is missing")
    if inheritable & ~(old.cap_inheritable | old.cap_bounding):
        raise EPERM("an inheritable capability outside the bounding set")
    if permitted & ~old.cap_permitted:
        raise EPERM("a permitted capability that the thread doesn't have")
    if effective & ~permitted:
        raise EPERM("an effective capability that isn't permitted")
    ambient = old.cap_ambient & permitted & inheritable
    commit_credentials(
        task,
        old.replace(
            cap_effective=effective, cap_permitted=permitted, cap_inheritable=inheritable, cap_ambient=ambient
        ),
    )


def drop_from_bounding_set(task: Task, capability: int) -> None:
    """PR_CAPBSET_DROP. Raises EPERM and EINVAL. Linux: security/commoncap.c, cap_prctl_drop."""
    old = task.credentials
    if not old.capable_in_own(CAP_SETPCAP):
        raise EPERM("dropping from the bounding set takes CAP_SETPCAP")
    if not 0 <= capability <= CAP_LAST_CAP:
        raise EINVAL(f"no capability {capability}")
    commit_credentials(task, old.replace(cap_bounding=old.cap_bounding & ~(1 << capability)))


def set_securebits(task: Task, bits: int) -> None:
    """PR_SET_SECUREBITS. Raises EPERM. Linux: security/commoncap.c, cap_task_prctl."""
    old = task.credentials
    is_locked = bool((old.securebits & SECURE_ALL_LOCKS) >> 1 & (old.securebits ^ bits))
    is_unlocking = bool(old.securebits & SECURE_ALL_LOCKS & ~bits)
    is_unknown = bool(bits & ~(SECURE_ALL_BITS | SECURE_ALL_LOCKS))
    if is_locked or is_unlocking or is_unknown:
        raise EPERM("a locked or unknown securebit")
    changed = old.securebits ^ bits
    if not old.cap_raised(CAP_SETPCAP) and (not changed or changed & ~_OPEN_TO_ALL):
        raise EPERM("changing securebits takes CAP_SETPCAP")
    commit_credentials(task, old.replace(securebits=bits))


def keep_capabilities(task: Task, is_kept: bool) -> None:
    """PR_SET_KEEPCAPS. Raises EPERM when the bit is locked. Linux: security/commoncap.c, cap_task_prctl."""
    old = task.credentials
    if old.is_secure(SECURE_KEEP_CAPS + 1):
        raise EPERM("SECBIT_KEEP_CAPS is locked")
    bit = 1 << SECURE_KEEP_CAPS
    commit_credentials(
        task, old.replace(securebits=old.securebits | bit if is_kept else old.securebits & ~bit)
    )


def raise_ambient(task: Task, capability: int) -> None:
    """PR_CAP_AMBIENT_RAISE. Raises EPERM. Linux: security/commoncap.c, cap_task_prctl."""
    old = task.credentials
    if not (old.cap_permitted & old.cap_inheritable) >> capability & 1:
        raise EPERM(f"capability {capability} isn't both permitted and inheritable")
    if old.is_secure(SECURE_NO_CAP_AMBIENT_RAISE):
        raise EPERM("SECBIT_NO_CAP_AMBIENT_RAISE is set")
    commit_credentials(task, old.replace(cap_ambient=old.cap_ambient | 1 << capability))


def lower_ambient(task: Task, capabilities: int) -> None:
    """PR_CAP_AMBIENT_LOWER and PR_CAP_AMBIENT_CLEAR_ALL: take the set `capabilities` out."""
    old = task.credentials
    commit_credentials(task, old.replace(cap_ambient=old.cap_ambient & ~capabilities))


def check_mapping_address(task: Task, address: int) -> None:
    """Raise EPERM for a mapping below vm.mmap_min_addr, where a kernel's NULL might lead.

    Linux: security/commoncap.c, cap_mmap_addr.
    """
    if address < task.kernel.memory.lowest_address and not task.credentials.capable(CAP_SYS_RAWIO):
        raise EPERM("below vm.mmap_min_addr")
