"""Scheduling: policies, sched_setattr(2), sched_setparam(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, U32, U64, Structure


class SchedPolicy(IntEnum):
    """sched_setscheduler(2): to programs the first is SCHED_OTHER, to Linux SCHED_NORMAL."""

    SCHED_OTHER = 0
    SCHED_NORMAL = 0
    SCHED_FIFO = 1
    SCHED_RR = 2
    SCHED_BATCH = 3
    SCHED_IDLE = 5
    SCHED_DEADLINE = 6
    SCHED_EXT = 7


# A flag in the policy's argument.
SCHED_RESET_ON_FORK = 0x40000000


class SchedFlag(IntFlag):
    """sched_setattr(2)'s sched_flags."""

    SCHED_FLAG_RESET_ON_FORK = 1
    SCHED_FLAG_RECLAIM = 2
    SCHED_FLAG_DL_OVERRUN = 4
    SCHED_FLAG_KEEP_POLICY = 8
    SCHED_FLAG_KEEP_PARAMS = 0x10
    SCHED_FLAG_UTIL_CLAMP_MIN = 0x20
    SCHED_FLAG_UTIL_CLAMP_MAX = 0x40


SCHED_ATTR_SIZE_VER0 = 48
SCHED_ATTR_SIZE_VER1 = 56


class SchedParam(Structure):
    """struct sched_param."""

    sched_priority: I32 = 0


class SchedAttr(Structure):
    """struct sched_attr; times are in nanoseconds."""

    size: U32 = 0
    sched_policy: U32 = 0
    sched_flags: U64 = 0
    sched_nice: I32 = 0
    sched_priority: U32 = 0
    sched_runtime: U64 = 0
    sched_deadline: U64 = 0
    sched_period: U64 = 0
    sched_util_min: U32 = 0
    sched_util_max: U32 = 0
