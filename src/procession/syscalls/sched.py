"""Scheduling: policies, priorities, processors and I/O priorities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S, TICK_NS
from procession.abi.errno import E2BIG, EBUSY, EINVAL, EPERM
from procession.abi.ioprio import IoprioWho
from procession.abi.resource import PriorityWhich
from procession.abi.sched import SchedAttr, SchedFlag, SchedParam, SchedPolicy
from procession.abi.structure import U32
from procession.abi.time import Timespec
from procession.abi.word import pack_bits, pack_u32
from procession.kernel.cgroup.cpuset import processors_of, restrict
from procession.kernel.sched.deadline import has_bandwidth_for
from procession.kernel.sched.priority import (
    BEFORE_FAIR,
    HIGHEST_NICE,
    LOWEST_NICE,
    REAL_TIME,
    SCHED_DEADLINE,
    SCHED_RR,
    SchedulingChange,
    best_io_priority,
    check_affinity_access,
    check_io_priority,
    least_nice,
    set_io_priority,
    set_nice,
    set_scheduling,
    task_or_self,
)
from procession.kernel.security.capability import CAP_SYS_NICE
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Choice, In, InOut, Int, Out, UInt

if TYPE_CHECKING:
    from procession.kernel.task import Task

_RESET_ON_FORK = 0x40000000
_FLAG_RESET_ON_FORK, _FLAG_KEEP_POLICY, _FLAG_KEEP_PARAMS, _FLAGS_UTIL_CLAMP = 1, 8, 0x10, 0x60
_FLAGS_ALL = 0x7F
_DEADLINE_FLAGS = int(SchedFlag.SCHED_FLAG_RECLAIM | SchedFlag.SCHED_FLAG_DL_OVERRUN)
"""What is kept of a reservation. Nothing comes of the first: nobody reclaims what others leave."""
_ATTR_SIZE_VER0, _ATTR_SIZE = 48, 56
_PAGE_SIZE = 4096
_CPU_MASK_SIZE = 8
"""Linux rounds a mask of one processor up to an unsigned long."""


@syscall(24)
def sched_yield(task: Task) -> None:
    """sched_yield(2). Linux: kernel/sched/syscalls.c, do_sched_yield."""
    task.kernel.scheduler.yield_current()


def _set_scheduler(task: Task, pid: int, policy: int | None, parameter: In[SchedParam]) -> None:
    """Linux: kernel/sched/syscalls.c, do_sched_setscheduler, _sched_setscheduler."""
    if not parameter or pid < 0:
        raise EINVAL("no parameters, or a negative id")
    priority = parameter.get().sched_priority
    target = task_or_self(task, pid)
    resets_on_fork = bool(policy is not None and policy & _RESET_ON_FORK)
    if policy is not None:
        policy &= ~_RESET_ON_FORK
        if policy == SCHED_DEADLINE:
            raise EINVAL("deadlines are for sched_setattr")
    set_scheduling(
        task, target, SchedulingChange(policy, priority, target.nice, resets_on_fork=resets_on_fork)
    )


@syscall(144)
def sched_setscheduler(task: Task, pid: Int, policy: Choice[SchedPolicy], parameter: In[SchedParam]) -> None:
    """sched_setscheduler(2). Linux: kernel/sched/syscalls.c, SYSCALL_DEFINE3(sched_setscheduler)."""
    if policy < 0:
        raise EINVAL("a negative policy")
    _set_scheduler(task, pid, policy, parameter)


@syscall(142)
def sched_setparam(task: Task, pid: Int, parameter: In[SchedParam]) -> None:
    """sched_setparam(2). Linux: kernel/sched/syscalls.c, SYSCALL_DEFINE2(sched_setparam)."""
    _set_scheduler(task, pid, None, parameter)


def _check_pid(pid: int) -> None:
    if pid < 0:
        raise EINVAL("a negative id")


@syscall(145)
def sched_getscheduler(task: Task, pid: Int) -> int:
    """sched_getscheduler(2). Linux: kernel/sched/syscalls.c, SYSCALL_DEFINE1(sched_getscheduler)."""
    _check_pid(pid)
    target = task_or_self(task, pid)
    return target.policy | (_RESET_ON_FORK if target.resets_scheduling_on_fork else 0)


@syscall(143)
def sched_getparam(task: Task, pid: Int, parameter: Out[SchedParam]) -> None:
    """sched_getparam(2). Linux: kernel/sched/syscalls.c, SYSCALL_DEFINE2(sched_getparam)."""
    if not parameter:
        raise EINVAL("nowhere to put it")
    _check_pid(pid)
    parameter.put(SchedParam(task_or_self(task, pid).realtime_priority))


def _read_attr(task: Task, attr: InOut[SchedAttr]) -> SchedAttr:
    """Linux: kernel/sched/syscalls.c, sched_copy_attr."""
    memory, address = task.mm, attr.address
    size = int.from_bytes(memory.read(address, 4), "little") or _ATTR_SIZE_VER0
    tail = b""
    if _ATTR_SIZE_VER0 <= size <= _PAGE_SIZE:
        data = memory.read(address, size)
        data, tail = data[:_ATTR_SIZE], data[_ATTR_SIZE:]
    if not _ATTR_SIZE_VER0 <= size <= _PAGE_SIZE or any(tail):
        memory.write(address, pack_u32(_ATTR_SIZE))
        raise E2BIG(f"attributes of {size} bytes")
    value = SchedAttr.unpack(data.ljust(_ATTR_SIZE, b"\0"))
    if value.sched_flags & _FLAGS_UTIL_CLAMP and size < _ATTR_SIZE:
        raise EINVAL("no room for the clamps")
    value.sched_nice = min(max(value.sched_nice, LOWEST_NICE), HIGHEST_NICE)
    return value


@syscall(314)
def sched_setattr(task: Task, pid: Int, attr: InOut[SchedAttr], flags: UInt) -> None:
    """sched_setattr(2). Linux: kernel/sched/syscalls.c, SYSCALL_DEFINE3(sched_setattr)."""
    if not attr or pid < 0 or flags:
        raise EINVAL("no attributes, a negative id, or flags")
    value = _read_attr(task, attr)
    policy: int | None = value.sched_policy
    if value.sched_policy >> 31:
        raise EINVAL("a negative policy")
    if value.sched_flags & _FLAG_KEEP_POLICY:
        policy = None
    target = task_or_self(task, pid)
    nice, priority = value.sched_nice, value.sched_priority
    keeps_parameters = bool(value.sched_flags & _FLAG_KEEP_PARAMS)
    if keeps_parameters:
        # Of those that the policy asked for needs, only what the present one has is taken from there.
        if target.policy in REAL_TIME:
            priority = target.realtime_priority
        elif target.policy == SCHED_DEADLINE:
            value.sched_runtime = target.entity.runtime_ns
            value.sched_deadline = target.entity.relative_deadline_ns
            value.sched_period = target.entity.period_ns
        else:
            nice = target.nice
    if value.sched_flags & ~_FLAGS_ALL:
        raise EINVAL(f"unknown flags {value.sched_flags:#x}")
    reservation = _reservation(task, target, value) if policy == SCHED_DEADLINE else None
    resets_on_fork = bool(value.sched_flags & _FLAG_RESET_ON_FORK)
    set_scheduling(
        task,
        target,
        SchedulingChange(
            policy,
            priority,
            nice,
            resets_on_fork=resets_on_fork,
            reservation=reservation,
            keeps_parameters=keeps_parameters,
            clamps=bool(value.sched_flags & _FLAGS_UTIL_CLAMP),
            deadline_flags=value.sched_flags & _DEADLINE_FLAGS,
            slice_ns=value.sched_runtime,
        ),
    )


def _reservation(task: Task, target: Task, value: SchedAttr) -> tuple[int, int, int]:
    """What SCHED_DEADLINE asks for. Raises EINVAL, EPERM, EBUSY. Linux: kernel/sched/deadline.c."""
    period = value.sched_period or value.sched_deadline
    if value.sched_priority or not 1 << 10 <= value.sched_runtime <= value.sched_deadline <= period:
        raise EINVAL("no such deadline")
    rules = task.kernel.scheduler.rules
    if not rules.shortest_period_ns <= period <= rules.longest_period_ns:
        raise EINVAL(f"a period of {period} ns")
    if not task.credentials.capable(CAP_SYS_NICE):
        raise EPERM("takes CAP_SYS_NICE")
    scheduler = task.kernel.scheduler
    if target.entity.allowed & scheduler.all_processors != scheduler.all_processors:
        raise EPERM("a deadline task must be allowed on every processor")
    if not has_bandwidth_for(target, value.sched_runtime, period):
        raise EBUSY("the processors' bandwidth is reserved")
    return value.sched_runtime, value.sched_deadline, period


@syscall(315)
def sched_getattr(task: Task, pid: Int, attr: Out[SchedAttr], size: UInt, flags: UInt) -> None:
    """sched_getattr(2). Linux: kernel/sched/syscalls.c, SYSCALL_DEFINE4(sched_getattr).

    Of what a program of a later Linux has room for it's told that it's 0, as copy_struct_to_user does.
    """
    if not attr or pid < 0 or not _ATTR_SIZE_VER0 <= size <= _PAGE_SIZE or flags:
        raise EINVAL("nowhere to put it, a negative id, a strange size, or flags")
    target = task_or_self(task, pid)
    value = SchedAttr(size=min(size, _ATTR_SIZE), sched_policy=target.policy)
    if target.resets_scheduling_on_fork:
        value.sched_flags = _FLAG_RESET_ON_FORK
    if target.policy == SCHED_DEADLINE:
        entity = target.entity
        value.sched_flags |= entity.deadline_flags
        value.sched_runtime = entity.runtime_ns
        value.sched_deadline, value.sched_period = entity.relative_deadline_ns, entity.period_ns
    elif target.policy in REAL_TIME:
        value.sched_priority = target.realtime_priority
    else:
        value.sched_nice = target.nice
        value.sched_runtime = target.entity.slice_ns or task.kernel.scheduler.base_slice_ns
    if size > _ATTR_SIZE:
        task.mm.write(attr.address + _ATTR_SIZE, bytes(size - _ATTR_SIZE))
    task.mm.write(attr.address, value.pack()[: value.size])


@syscall(146)
def sched_get_priority_max(task: Task, policy: Choice[SchedPolicy]) -> int:
    """sched_get_priority_max(2)."""
    del task
    return 99 if _is_real_time(policy) else 0


@syscall(147)
def sched_get_priority_min(task: Task, policy: Choice[SchedPolicy]) -> int:
    """sched_get_priority_min(2)."""
    del task
    return 1 if _is_real_time(policy) else 0


def _is_real_time(policy: int) -> bool:
    if policy not in (0, 1, 2, 3, 5, 6, 7):
        raise EINVAL(f"no policy {policy}")
    return policy in REAL_TIME


@syscall(148)
def sched_rr_get_interval(task: Task, pid: Int, interval: Out[Timespec]) -> None:
    """sched_rr_get_interval(2). Linux: kernel/sched/syscalls.c, sched_rr_get_interval."""
    _check_pid(pid)
    target = task_or_self(task, pid)
    slice_ns = 0
    if target.policy == SCHED_RR:
        slice_ns = task.kernel.scheduler.rules.round_robin_ns
    elif target.policy not in BEFORE_FAIR:
        # Of their slices Linux tells whole ticks.
        slice_ns = (target.entity.slice_ns or task.kernel.scheduler.base_slice_ns) // TICK_NS * TICK_NS
    interval.put(Timespec(*divmod(slice_ns, NS_PER_S)))


@syscall(203)
def sched_setaffinity(task: Task, pid: Int, size: UInt, mask: Address) -> None:
    """sched_setaffinity(2). Linux: kernel/sched/syscalls.c, sched_setaffinity."""
    wanted = int.from_bytes(task.mm.read(mask, min(size, _CPU_MASK_SIZE)), "little")
    target = task_or_self(task, pid)
    check_affinity_access(task, target)
    scheduler = task.kernel.scheduler
    allowed = wanted & scheduler.all_processors & processors_of(target.cgroup)
    if not allowed:
        raise EINVAL("none of the processors that it may use is in the mask")
    if target.policy == SCHED_DEADLINE and allowed != scheduler.all_processors:
        raise EBUSY("a deadline task must be allowed on every processor")
    target.entity.wanted = wanted & scheduler.all_processors
    restrict(target)


@syscall(204)
def sched_getaffinity(task: Task, pid: Int, size: UInt, mask: Address) -> int:
    """sched_getaffinity(2). Linux: kernel/sched/syscalls.c, sched_getaffinity."""
    # The number of bits is an unsigned int, and may wrap.
    if size * 8 & 0xFFFF_FFFF == 0 or size % 8:
        raise EINVAL(f"a mask of {size} bytes")
    allowed = task_or_self(task, pid).entity.allowed & task.kernel.scheduler.all_processors
    task.mm.write(mask, pack_bits(allowed, _CPU_MASK_SIZE))
    return _CPU_MASK_SIZE


@syscall(309)
def getcpu(task: Task, cpu: Out[U32], node: Out[U32], cache: Address) -> None:
    """getcpu(2). Linux: kernel/sys.c, SYSCALL_DEFINE3(getcpu)."""
    del cache
    if cpu:
        cpu.put(task.entity.processor)
    if node:
        node.put(0)


@syscall(140)
def getpriority(task: Task, which: Choice[PriorityWhich], who: Int) -> int:
    """getpriority(2), as 20 minus the nice value. Linux: kernel/sys.c, SYSCALL_DEFINE2(getpriority)."""
    if not 0 <= which <= 2:
        raise EINVAL(f"nobody is meant by {which}")
    return 20 - least_nice(task, which, who)


@syscall(141)
def setpriority(task: Task, which: Choice[PriorityWhich], who: Int, nice: Int) -> None:
    """setpriority(2). Linux: kernel/sys.c, SYSCALL_DEFINE3(setpriority)."""
    if not 0 <= which <= 2:
        raise EINVAL(f"nobody is meant by {which}")
    set_nice(task, which, who, nice)


@syscall(251)
def ioprio_set(task: Task, which: Choice[IoprioWho], who: Int, priority: Int) -> None:
    """ioprio_set(2). Linux: block/ioprio.c, SYSCALL_DEFINE3(ioprio_set)."""
    check_io_priority(task, priority)
    if not 1 <= which <= 3:
        raise EINVAL(f"nobody is meant by {which}")
    set_io_priority(task, which - 1, who, priority & 0xFFFF)


@syscall(252)
def ioprio_get(task: Task, which: Choice[IoprioWho], who: Int) -> int:
    """ioprio_get(2). Linux: block/ioprio.c, SYSCALL_DEFINE2(ioprio_get)."""
    if not 1 <= which <= 3:
        raise EINVAL(f"nobody is meant by {which}")
    return best_io_priority(task, which - 1, who)
