"""kernel.sched_*: how the scheduler divides time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_MS, NS_PER_US, TICK_NS
from procession.abi.errno import EBUSY, EINVAL
from procession.kernel.sched.deadline import can_be_reserved, reserved_bandwidth
from procession.kernel.sched.entity import ROUND_ROBIN_SLICE_NS
from procession.procfs.parameter_kind import UNSIGNED
from procession.procfs.parse_integer import INT_MAX, INT_MIN, parse_integer
from procession.procfs.system_directory import SystemFile

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_UINT_MAX = 0xFFFF_FFFF
_ALL = -1
"""What sched_rt_runtime_us is where nothing is left for others."""


def _parse(data: bytes, least: int, most: int) -> int:
    value = parse_integer(data)
    if not least <= value <= most:
        raise EINVAL(f"not from {least} to {most}")
    return value


def _show_round_robin(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.scheduler.rules.round_robin_ms


def _store_round_robin(kernel: Kernel, data: bytes) -> None:
    """In ticks; 0 and less is what it was at first. Linux: kernel/sched/rt.c, sched_rr_handler."""
    value = _parse(data, INT_MIN, INT_MAX)
    rules = kernel.scheduler.rules
    if value <= 0:
        value = ROUND_ROBIN_SLICE_NS // NS_PER_MS
    rules.round_robin_ms = value
    rules.round_robin_ns = -(-value * NS_PER_MS // TICK_NS) * TICK_NS


def _show_period(kernel: Kernel) -> bytes:
    return b"%d\n" % (kernel.scheduler.rules.realtime_period_ns // NS_PER_US)


def _store_period(kernel: Kernel, data: bytes) -> None:
    period_ns = _parse(data, 1, INT_MAX) * NS_PER_US
    _set_realtime(kernel, kernel.scheduler.rules.realtime_runtime_ns, period_ns)


def _show_runtime(kernel: Kernel) -> bytes:
    runtime_ns = kernel.scheduler.rules.realtime_runtime_ns
    return b"%d\n" % (runtime_ns // NS_PER_US if runtime_ns >= 0 else _ALL)


def _store_runtime(kernel: Kernel, data: bytes) -> None:
    runtime_ns = _parse(data, _ALL, INT_MAX) * NS_PER_US
    _set_realtime(kernel, runtime_ns, kernel.scheduler.rules.realtime_period_ns)


def _set_realtime(kernel: Kernel, runtime_ns: int, period_ns: int) -> None:
    """Raises EINVAL, EBUSY. Linux: kernel/sched/rt.c, sched_rt_handler."""
    if runtime_ns > period_ns:
        raise EINVAL("more than the period")
    if not can_be_reserved(kernel, reserved_bandwidth(kernel), runtime_ns, period_ns):
        raise EBUSY("more is reserved")
    rules = kernel.scheduler.rules
    rules.realtime_runtime_ns, rules.realtime_period_ns = runtime_ns, period_ns


def _show_deadline_period(name: str, kernel: Kernel) -> bytes:
    return b"%d\n" % (getattr(kernel.scheduler.rules, name) // NS_PER_US)


def _store_deadline_period(name: str, kernel: Kernel, data: bytes) -> None:
    """Linux: kernel/sched/deadline.c, sched_dl_sysctls."""
    rules = kernel.scheduler.rules
    least, most = 0, rules.longest_period_ns // NS_PER_US
    if name == "longest_period_ns":
        least, most = rules.shortest_period_ns // NS_PER_US, _UINT_MAX
    setattr(rules, name, _parse(data, least, most) * NS_PER_US)


def _deadline_period(name: str) -> SystemFile:
    show, store = partial(_show_deadline_period, name), partial(_store_deadline_period, name)
    return SystemFile(0o644, show, store, kind=UNSIGNED)


def _show_autogroups(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.scheduler.rules.groups_sessions


def _store_autogroups(kernel: Kernel, data: bytes) -> None:
    """Linux: kernel/sched/autogroup.c, sched_autogroup_sysctls."""
    kernel.scheduler.rules.groups_sessions = bool(_parse(data, 0, 1))


SCHEDULER_SYSCTLS = {
    b"sched_autogroup_enabled": SystemFile(0o644, _show_autogroups, _store_autogroups),
    b"sched_deadline_period_max_us": _deadline_period("longest_period_ns"),
    b"sched_deadline_period_min_us": _deadline_period("shortest_period_ns"),
    b"sched_rr_timeslice_ms": SystemFile(0o644, _show_round_robin, _store_round_robin),
    b"sched_rt_period_us": SystemFile(0o644, _show_period, _store_period),
    b"sched_rt_runtime_us": SystemFile(0o644, _show_runtime, _store_runtime),
}
