"""The files of the cpu controller, and cpu.stat, which every group has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ERANGE
from procession.fs.mounts.context import parse_number
from procession.kernel.cgroup.cpu import DEFAULT_WEIGHT, CpuShare
from procession.kernel.cgroup.group import Controller
from procession.kernel.sched.run_queue import WEIGHTS
from procession.kernel.time.costs import SEEN_THREAD_NS
from procession.procfs.cgroup.control_file import ControlFile, Opener, parse_integer

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup

CPU = int(Controller.CPU)
_USUAL = 100
"""What cpu.weight is of itself (CGROUP_WEIGHT_DFL)."""
_LARGEST = 10_000
_US = 1000
_SHORTEST_US, _LONGEST_US = 1_000, 1_000_000


def _share(group: Cgroup) -> CpuShare:
    assert group.cpu is not None
    return group.cpu


def _rounded(dividend: int, divisor: int) -> int:
    return (dividend + divisor // 2) // divisor


def show_weight(group: Cgroup, opener: Opener) -> bytes:
    """cpu.weight: 0 for an idle group."""
    share = _share(group)
    return b"%d\n" % (0 if share.is_idle else _rounded(share.weight * _USUAL, DEFAULT_WEIGHT))


def store_weight(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/sched/core.c, cpu_weight_write_u64."""
    number = parse_number(data)
    if number is None:
        raise EINVAL("not a number")
    if not 1 <= number <= _LARGEST:
        raise ERANGE("a weight is from 1 to 10000")
    _set_weight(group, _rounded(number * DEFAULT_WEIGHT, _USUAL))


def _set_weight(group: Cgroup, weight: int) -> None:
    """Linux: kernel/sched/fair.c, sched_group_set_shares."""
    share = _share(group)
    if share.is_idle:
        raise EINVAL("an idle group has no weight")
    share.weight = weight


def show_nice(group: Cgroup, opener: Opener) -> bytes:
    """cpu.weight.nice: the nice value whose weight is nearest. Linux: kernel/sched/core.c,
    cpu_weight_nice_read_s64."""
    weight = _share(group).effective_weight
    nearest = min(range(len(WEIGHTS)), key=lambda place: abs(WEIGHTS[place] - weight))
    return b"%d\n" % (nearest - 20)


def store_nice(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/sched/core.c, cpu_weight_nice_write_s64."""
    nice = parse_integer(data, strips=False)
    if not -20 <= nice <= 19:
        raise ERANGE("a nice value is from -20 to 19")
    _set_weight(group, WEIGHTS[nice + 20])


def show_idle(group: Cgroup, opener: Opener) -> bytes:
    """cpu.idle."""
    return b"%d\n" % _share(group).is_idle


def store_idle(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/sched/fair.c, sched_group_set_idle."""
    number = parse_integer(data, strips=False)
    if number not in (0, 1):
        raise EINVAL("neither 0 nor 1")
    share = _share(group)
    if share.is_idle != bool(number):
        share.is_idle = bool(number)
        share.weight = DEFAULT_WEIGHT


def show_maximum(group: Cgroup, opener: Opener) -> bytes:
    """cpu.max: the quota and the period, in microseconds."""
    share = _share(group)
    quota = b"max" if share.quota_ns is None else b"%d" % (share.quota_ns // _US)
    return b"%s %d\n" % (quota, share.period_ns // _US)


def store_maximum(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/sched/core.c, cpu_max_write, cpu_period_quota_parse."""
    share = _share(group)
    words = data.split()
    if not words:
        raise EINVAL("neither a quota nor max")
    quota_us: int | None = None
    if words[0] != b"max":
        quota_us = parse_number(words[0], 10)
        if quota_us is None or quota_us < _SHORTEST_US or quota_us >= 1 << 44:
            raise EINVAL("a quota is a millisecond or more")
    period_us: int | None = share.period_ns // _US
    if len(words) > 1:
        period_us = parse_number(words[1], 10)
    if period_us is None or not _SHORTEST_US <= period_us <= _LONGEST_US:
        raise EINVAL("a period is from a millisecond to a second")
    if quota_us is not None and share.burst_ns > quota_us * _US:
        raise EINVAL("cpu.max.burst is larger")
    share.limit(None if quota_us is None else quota_us * _US, period_us * _US, share.burst_ns)


def show_burst(group: Cgroup, opener: Opener) -> bytes:
    """cpu.max.burst, in microseconds."""
    return b"%d\n" % (_share(group).burst_ns // _US)


def store_burst(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/sched/core.c, cpu_cfs_burst_write_u64."""
    share = _share(group)
    number = parse_number(data)
    if number is None or (share.quota_ns is not None and number * _US > share.quota_ns) or number >= 1 << 44:
        raise EINVAL("a burst is the quota at the most")
    share.limit(share.quota_ns, share.period_ns, number * _US)


def show_stat(group: Cgroup, opener: Opener) -> bytes:
    """cpu.stat. Linux: kernel/cgroup/rstat.c, cgroup_base_stat_cputime_show."""
    kernel = opener.kernel
    if kernel.current is not None:
        kernel.charge(kernel.current)
    if group.parent is None:
        # The root's is the machine's.
        clock = kernel.clock
        system_ns = min(clock.kernel_work_ns, clock.work_ns)
        user_ns, nice_ns = clock.work_ns - system_ns, 0
    else:
        subtree = list(group.subtree())
        kernel.clock.spend(len(subtree) * 2 * SEEN_THREAD_NS)
        user_ns = sum(each.user_ns for each in subtree)
        nice_ns = sum(each.nice_ns for each in subtree)
        system_ns = sum(each.system_ns for each in subtree)
    text = b"usage_usec %d\nuser_usec %d\nsystem_usec %d\nnice_usec %d\n" % (
        (user_ns + system_ns) // _US,
        user_ns // _US,
        system_ns // _US,
        nice_ns // _US,
    )
    share = group.cpu
    if share is not None and share.group is group:
        text += b"nr_periods %d\nnr_throttled %d\nthrottled_usec %d\nnr_bursts %d\nburst_usec %d\n" % (
            share.periods,
            share.throttled_periods,
            share.total_throttled_ns // _US,
            share.bursts,
            share.burst_time_ns // _US,
        )
    return text


def show_local_stat(group: Cgroup, opener: Opener) -> bytes:
    """cpu.stat.local: how long the group itself was throttled."""
    share = group.cpu
    if share is None or share.group is not group:
        return b""
    return b"throttled_usec %d\n" % (share.total_throttled_ns // _US)


CPU_FILES: dict[bytes, ControlFile] = {
    b"cpu.stat": ControlFile(show_stat, is_on_root=True),
    b"cpu.stat.local": ControlFile(show_local_stat, is_on_root=True),
    b"cpu.weight": ControlFile(show_weight, store_weight, CPU),
    b"cpu.weight.nice": ControlFile(show_nice, store_nice, CPU),
    b"cpu.max": ControlFile(show_maximum, store_maximum, CPU),
    b"cpu.max.burst": ControlFile(show_burst, store_burst, CPU),
    b"cpu.idle": ControlFile(show_idle, store_idle, CPU),
}
