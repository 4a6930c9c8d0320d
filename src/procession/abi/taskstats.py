"""What a task or process has used, as generic netlink tells it: taskstats."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum
from procession.abi.structure import U8, U16, U32, U64, Structure

TASKSTATS_VERSION = 14
TASKSTATS_GENL_NAME = b"TASKSTATS"
TASKSTATS_GENL_VERSION = 1


class TaskstatsCommand(IntEnum):
    """Commands of the family TASKSTATS, and what it answers with."""

    TASKSTATS_CMD_GET = 1
    TASKSTATS_CMD_NEW = 2


class TaskstatsType(IntEnum):
    """Attributes of what the family TASKSTATS answers with."""

    TASKSTATS_TYPE_PID = 1
    TASKSTATS_TYPE_TGID = 2
    TASKSTATS_TYPE_STATS = 3
    TASKSTATS_TYPE_AGGR_PID = 4
    TASKSTATS_TYPE_AGGR_TGID = 5
    TASKSTATS_TYPE_NULL = 6


class TaskstatsAttribute(IntEnum):
    """Attributes of TASKSTATS_CMD_GET."""

    TASKSTATS_CMD_ATTR_PID = 1
    TASKSTATS_CMD_ATTR_TGID = 2
    TASKSTATS_CMD_ATTR_REGISTER_CPUMASK = 3
    TASKSTATS_CMD_ATTR_DEREGISTER_CPUMASK = 4


class Taskstats(Structure):
    """struct taskstats, of its version 14."""

    version: U16 = TASKSTATS_VERSION
    ac_exitcode: U32 = 0
    ac_flag: U8 = 0
    ac_nice: U8 = 0
    cpu_count: U64 = 0
    cpu_delay_total: U64 = 0
    blkio_count: U64 = 0
    blkio_delay_total: U64 = 0
    swapin_count: U64 = 0
    swapin_delay_total: U64 = 0
    cpu_run_real_total: U64 = 0
    cpu_run_virtual_total: U64 = 0
    ac_comm: Annotated[bytes, 32] = b""
    ac_sched: U8 = 0
    ac_pad: Annotated[bytes, 3] = b""
    ac_gap: U8 = 0
    ac_uid: U32 = 0
    ac_gid: U32 = 0
    ac_pid: U32 = 0
    ac_ppid: U32 = 0
    ac_btime: U32 = 0
    ac_etime: U64 = 0
    ac_utime: U64 = 0
    ac_stime: U64 = 0
    ac_minflt: U64 = 0
    ac_majflt: U64 = 0
    coremem: U64 = 0
    virtmem: U64 = 0
    hiwater_rss: U64 = 0
    hiwater_vm: U64 = 0
    read_char: U64 = 0
    write_char: U64 = 0
    read_syscalls: U64 = 0
    write_syscalls: U64 = 0
    read_bytes: U64 = 0
    write_bytes: U64 = 0
    cancelled_write_bytes: U64 = 0
    nvcsw: U64 = 0
    nivcsw: U64 = 0
    ac_utimescaled: U64 = 0
    ac_stimescaled: U64 = 0
    cpu_scaled_run_real_total: U64 = 0
    freepages_count: U64 = 0
    freepages_delay_total: U64 = 0
    thrashing_count: U64 = 0
    thrashing_delay_total: U64 = 0
    ac_btime64: U64 = 0
    compact_count: U64 = 0
    compact_delay_total: U64 = 0
    ac_tgid: U32 = 0
    ac_tgetime: U64 = 0
    ac_exe_dev: U64 = 0
    ac_exe_inode: U64 = 0
    wpcopy_count: U64 = 0
    wpcopy_delay_total: U64 = 0
    irq_count: U64 = 0
    irq_delay_total: U64 = 0
