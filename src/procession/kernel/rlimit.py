"""Resource limits: sixteen soft and hard ones for each process, and who may change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.errno import EINVAL, EPERM
from procession.abi.resource import RLIM64_INFINITY, RLIM_NLIMITS, RlimitResource
from procession.kernel.security.capability import CAP_SYS_RESOURCE

if TYPE_CHECKING:
    from procession.kernel.task import Task, ThreadGroup

RLIM_INFINITY: Final = RLIM64_INFINITY
RLIMIT_CPU: Final = int(RlimitResource.RLIMIT_CPU)
RLIMIT_FSIZE: Final = int(RlimitResource.RLIMIT_FSIZE)
RLIMIT_DATA: Final = int(RlimitResource.RLIMIT_DATA)
RLIMIT_STACK: Final = int(RlimitResource.RLIMIT_STACK)
RLIMIT_CORE: Final = int(RlimitResource.RLIMIT_CORE)
RLIMIT_RSS: Final = int(RlimitResource.RLIMIT_RSS)
RLIMIT_NPROC: Final = int(RlimitResource.RLIMIT_NPROC)
RLIMIT_NOFILE: Final = int(RlimitResource.RLIMIT_NOFILE)
RLIMIT_MEMLOCK: Final = int(RlimitResource.RLIMIT_MEMLOCK)
RLIMIT_AS: Final = int(RlimitResource.RLIMIT_AS)
RLIMIT_LOCKS: Final = int(RlimitResource.RLIMIT_LOCKS)
RLIMIT_SIGPENDING: Final = int(RlimitResource.RLIMIT_SIGPENDING)
RLIMIT_MSGQUEUE: Final = int(RlimitResource.RLIMIT_MSGQUEUE)
RLIMIT_NICE: Final = int(RlimitResource.RLIMIT_NICE)
RLIMIT_RTPRIO: Final = int(RlimitResource.RLIMIT_RTPRIO)
RLIMIT_RTTIME: Final = int(RlimitResource.RLIMIT_RTTIME)

_PROCESS_LIMIT: Final = 15_680
LARGEST_NOFILE: Final = 1 << 20
"""fs.nr_open at first: no hard limit on open files is above it."""


class Limits:
    """The soft and hard limits of a process, each list indexed by RLIMIT_* (getrlimit(2)).

    Units are those of getrlimit(2): bytes, seconds (RLIMIT_CPU), microseconds (RLIMIT_RTTIME) or a count;
    RLIM_INFINITY is no limit.
    """

    __slots__ = ("hard", "soft")

    def __init__(self, parent: Limits | None = None) -> None:
        """A child's limits, or a Debian login's."""
        if parent is not None:
            self.soft: list[int] = parent.soft.copy()
            self.hard: list[int] = parent.hard.copy()
            return
        self.soft = [RLIM_INFINITY] * RLIM_NLIMITS
        self.hard = [RLIM_INFINITY] * RLIM_NLIMITS
        self.soft[RLIMIT_STACK] = 8 << 20
        self.soft[RLIMIT_CORE] = 0
        self.soft[RLIMIT_NPROC] = self.hard[RLIMIT_NPROC] = _PROCESS_LIMIT
        self.soft[RLIMIT_NOFILE], self.hard[RLIMIT_NOFILE] = 1024, LARGEST_NOFILE
        self.soft[RLIMIT_MEMLOCK] = self.hard[RLIMIT_MEMLOCK] = 8 << 20
        self.soft[RLIMIT_SIGPENDING] = self.hard[RLIMIT_SIGPENDING] = _PROCESS_LIMIT
        self.soft[RLIMIT_MSGQUEUE] = self.hard[RLIMIT_MSGQUEUE] = 819_200
        self.soft[RLIMIT_NICE] = self.hard[RLIMIT_NICE] = 0
        self.soft[RLIMIT_RTPRIO] = self.hard[RLIMIT_RTPRIO] = 0

    def copy(self) -> Limits:
        """A child's limits."""
        return Limits(self)


def change_limit(
    task: Task, group: ThreadGroup, resource: int, new: tuple[int, int] | None
) -> tuple[int, int]:
    """Give the (soft, hard) limits that `group` has on `resource`, and set them to `new` unless None.

    Raises EINVAL for an unknown resource or a soft limit above the hard one, EPERM when `task` lacks what it
    takes to raise a hard limit. Linux: kernel/sys.c, do_prlimit.
    """
    if not 0 <= resource < RLIM_NLIMITS:
        raise EINVAL(f"no resource {resource}")
    limits = group.limits
    old = limits.soft[resource], limits.hard[resource]
    if new is None:
        return old
    soft, hard = new
    if soft > hard:
        raise EINVAL("the soft limit is above the hard one")
    if resource == RLIMIT_NOFILE and hard > task.kernel.nr_open:
        raise EPERM(f"more than {task.kernel.nr_open} open files")
    if hard > old[1] and not task.credentials.capable(CAP_SYS_RESOURCE):
        raise EPERM("raising a hard limit takes CAP_SYS_RESOURCE")
    if resource == RLIMIT_CPU and task is task.kernel.current:
        # What it has run until now the tick has looked at by the old one.
        task.kernel.charge(task)
    limits.soft[resource] = soft
    limits.hard[resource] = hard
    return old


def check_limit_access(task: Task, target: Task) -> None:
    """Raise EPERM unless `task` may read and change the limits of the process of `target`.

    Linux: kernel/sys.c, check_prlimit_permission.
    """
    if task is target:
        return
    mine, theirs = task.credentials, target.credentials
    if mine.uid == theirs.uid == theirs.euid == theirs.suid and (
        mine.gid == theirs.gid == theirs.egid == theirs.sgid
    ):
        return
    if not mine.ns_capable(theirs.user_namespace, CAP_SYS_RESOURCE):
        raise EPERM(f"process {target.tgid} is another user's")
