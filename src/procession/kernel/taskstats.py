"""Taskstats: what a task or a process has used, asked for or told at its end; Linux: kernel/taskstats.c."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.acct import AcctFlag
from procession.abi.duration import NS_PER_S, NS_PER_US
from procession.abi.errno import EINVAL, ESRCH
from procession.abi.genetlink import Genlmsghdr, OperationFlag
from procession.abi.netlink import NetlinkProtocol, Nlmsghdr
from procession.abi.taskstats import (
    TASKSTATS_GENL_NAME,
    TASKSTATS_GENL_VERSION,
    Taskstats,
    TaskstatsAttribute,
    TaskstatsCommand,
    TaskstatsType,
)
from procession.fs.bit_list import parse_bit_list
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.kernel.pid import find_task
from procession.kernel.process_flags import accounting_flags
from procession.kernel.program.exec import Program
from procession.kernel.task_state import ENDED
from procession.net.netlink.attributes import attribute, number, number_in, text_in
from procession.net.netlink.generic import FIRST_FAMILY_ID, GenericFamily

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.task import Task, ThreadGroup
    from procession.net.netlink.attributes import Request

FAMILY_ID = FIRST_FAMILY_ID
NETLINK_GENERIC = int(NetlinkProtocol.NETLINK_GENERIC)
_GET, _NEW = int(TaskstatsCommand.TASKSTATS_CMD_GET), int(TaskstatsCommand.TASKSTATS_CMD_NEW)
_TASK_TYPES = int(TaskstatsType.TASKSTATS_TYPE_PID), int(TaskstatsType.TASKSTATS_TYPE_AGGR_PID)
_PROCESS_TYPES = int(TaskstatsType.TASKSTATS_TYPE_TGID), int(TaskstatsType.TASKSTATS_TYPE_AGGR_TGID)
_STATS = int(TaskstatsType.TASKSTATS_TYPE_STATS)
_KIB_MASK = ~1023
_MASK_LENGTH = 100
"""Longest list of processors that is read."""


class TaskstatsFamily(GenericFamily):
    """The family TASKSTATS. `listeners` are the port ids of who wants to be told of ends on a processor."""

    __slots__ = ("kernel", "listeners", "sequence")

    name = TASKSTATS_GENL_NAME
    version = TASKSTATS_GENL_VERSION
    operations: ClassVar[dict[int, int]] = {
        _GET: int(
            OperationFlag.GENL_ADMIN_PERM | OperationFlag.GENL_CMD_CAP_DO | OperationFlag.GENL_CMD_CAP_HASPOL
        )
    }

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.listeners: dict[int, dict[int, None]] = {}
        self.sequence = 0

    def answer(self, request: Request, command: int, found: dict[int, bytes]) -> list[tuple[int, bytes]]:
        """Linux: kernel/taskstats.c, taskstats_user_cmd."""
        kernel = self.kernel
        asking = kernel.current
        assert asking is not None
        added = text_in(found, int(TaskstatsAttribute.TASKSTATS_CMD_ATTR_REGISTER_CPUMASK))
        removed = text_in(found, int(TaskstatsAttribute.TASKSTATS_CMD_ATTR_DEREGISTER_CPUMASK))
        processors = added if added is not None else removed
        if processors is not None:
            self._change_listener(asking, request.port_id, processors, is_added=added is not None)
            return []
        namespace, users = asking.pid_namespace, asking.credentials.user_namespace
        for wanted, types in (
            (TaskstatsAttribute.TASKSTATS_CMD_ATTR_PID, _TASK_TYPES),
            (TaskstatsAttribute.TASKSTATS_CMD_ATTR_TGID, _PROCESS_TYPES),
        ):
            pid = number_in(found, int(wanted))
            if pid is None:
                continue
            task = find_task(namespace, pid)
            if task is None:
                raise ESRCH(f"no task {pid}")
            if types == _TASK_TYPES:
                stats = stats_of_task(kernel, task, namespace, users)
            else:
                stats = stats_of_process(kernel, task.group)
            return [(_NEW, aggregate(types, pid, stats))]
        raise EINVAL("nothing is asked for")

    def _change_listener(self, asking: Task, port_id: int, text: bytes, *, is_added: bool) -> None:
        """Linux: kernel/taskstats.c, add_del_listener."""
        if asking.pid_namespace.level or asking.credentials.user_namespace.level:
            raise EINVAL("ends are told in the machine's first namespaces alone")
        if len(text) > _MASK_LENGTH:
            raise EINVAL("too long a list of processors")
        count = len(self.kernel.scheduler.processors)
        mask = parse_bit_list(text, count)
        for processor in range(count):
            if not mask >> processor & 1:
                continue
            here = self.listeners.setdefault(processor, {})
            if is_added:
                here[port_id] = None
            else:
                here.pop(port_id, None)
            if not here:
                del self.listeners[processor]

    def socket_closed(self, port_id: int) -> None:
        for processor in list(self.listeners):
            here = self.listeners[processor]
            here.pop(port_id, None)
            if not here:
                del self.listeners[processor]

    def tell_of_end(self, task: Task, *, is_last: bool) -> None:
        """`task`, which still has its memory, ends. Linux: kernel/taskstats.c, taskstats_exit."""
        here = self.listeners.get(task.entity.processor)
        if not here:
            return
        kernel = self.kernel
        namespace = task.pid_namespace.ancestry[0]
        users = task.credentials.user_namespace
        while users.parent is not None:
            users = users.parent
        contents = aggregate(
            _TASK_TYPES,
            task.thread_pid.number_in(namespace),
            stats_of_task(kernel, task, namespace, users, is_last=is_last),
        )
        if is_last and (len(task.group.threads) > 1 or not task.is_leader):
            contents += aggregate(
                _PROCESS_TYPES,
                task.group.pid.number_in(namespace),
                stats_of_process(kernel, task.group),
            )
        body = Genlmsghdr(_NEW, TASKSTATS_GENL_VERSION).pack() + contents
        header = Nlmsghdr(Nlmsghdr.SIZE + len(body), FAMILY_ID, 0, self.sequence, 0)
        self.sequence = self.sequence + 1 & 0xFFFFFFFF
        for port_id in list(here):
            listener = kernel.init_namespaces.network.netlink_sockets.get((NETLINK_GENERIC, port_id))
            if listener is not None:
                listener.tell(header.pack() + body)


def aggregate(types: tuple[int, int], pid: int, stats: Taskstats) -> bytes:
    """An id with its figures. Linux: kernel/taskstats.c, mk_reply."""
    kind, whole = types
    return attribute(whole, attribute(kind, number(pid)) + attribute(_STATS, stats.pack()))


def stats_of_task(
    kernel: Kernel, task: Task, namespace: PidNamespace, users: UserNamespace, *, is_last: bool = False
) -> Taskstats:
    """Linux: kernel/taskstats.c, fill_stats; kernel/tsacct.c, bacct_add_tsk, xacct_add_tsk."""
    times, group, clock = task.times, task.group, kernel.clock
    now_ns = clock.now_ns
    flags = accounting_flags(task)
    if is_last:
        flags |= AcctFlag.AGROUP
    parent, credentials = task.parent, task.credentials
    began_s = (clock.realtime_ns - (now_ns - task.start_time_ns)) // NS_PER_S
    stats = Taskstats(
        ac_exitcode=task.exit_code if task.is_leader else 0,
        ac_flag=flags,
        ac_nice=task.nice % 256,
        ac_comm=task.command_name,
        ac_sched=task.policy,
        ac_uid=users.from_kuid_munged(credentials.uid),
        ac_gid=users.from_kgid_munged(credentials.gid),
        ac_pid=task.thread_pid.number_in(namespace),
        ac_ppid=0 if parent is None else parent.group.pid.number_in(namespace),
        ac_btime=began_s & 0xFFFFFFFF,
        ac_btime64=began_s,
        ac_etime=(now_ns - task.start_time_ns) // NS_PER_US,
        ac_tgid=group.pid.number_in(namespace),
        ac_tgetime=(now_ns - group.leader.start_time_ns) // NS_PER_US,
        ac_minflt=times.minor_faults,
        ac_majflt=times.major_faults,
        read_char=task.io.bytes_read & _KIB_MASK,
        write_char=task.io.bytes_written & _KIB_MASK,
        read_syscalls=task.io.read_calls,
        write_syscalls=task.io.write_calls,
    )
    mm = task.mm
    if task.state not in ENDED and mm.reference_count > 0:
        stats.hiwater_rss = (mm.peak_resident_pages << PAGE_SHIFT) >> 10
        stats.hiwater_vm = (max(mm.peak_total_pages, mm.total_pages) << PAGE_SHIFT) >> 10
        if isinstance(mm.executable, Program):
            inode = mm.executable.path.dentry.inode
            stats.ac_exe_dev, stats.ac_exe_inode = inode.superblock.device, inode.number
    add_times(stats, task)
    return stats


def stats_of_process(kernel: Kernel, group: ThreadGroup) -> Taskstats:
    """The sums over the living threads. Linux: kernel/taskstats.c, fill_stats_for_tgid."""
    stats = Taskstats()
    now_ns = kernel.clock.now_ns
    for thread in group.threads:
        if thread.state not in ENDED:
            stats.ac_etime += (now_ns - thread.start_time_ns) // NS_PER_US
            add_times(stats, thread)
    return stats


def add_times(stats: Taskstats, task: Task) -> None:
    """Add what `task` ran and waited. Linux: kernel/delayacct.c, delayacct_add_tsk."""
    times, entity = task.times, task.entity
    run_ns = times.user_ns + times.system_ns
    stats.ac_utime += times.user_ns // NS_PER_US
    stats.ac_stime += times.system_ns // NS_PER_US
    stats.ac_utimescaled += times.user_ns // NS_PER_US
    stats.ac_stimescaled += times.system_ns // NS_PER_US
    stats.nvcsw += times.voluntary_switches
    stats.nivcsw += times.involuntary_switches
    stats.cpu_count += entity.run_count
    stats.cpu_delay_total += entity.waited_ns
    stats.cpu_run_real_total += run_ns
    stats.cpu_scaled_run_real_total += run_ns
    stats.cpu_run_virtual_total += run_ns
