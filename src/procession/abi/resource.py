"""Limits and accounts of a process: prlimit64(2), getrusage(2), getpriority(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum
from procession.abi.structure import I64, U64, Structure
from procession.abi.time import Timeval


class RlimitResource(IntEnum):
    """What is limited."""

    RLIMIT_CPU = 0
    RLIMIT_FSIZE = 1
    RLIMIT_DATA = 2
    RLIMIT_STACK = 3
    RLIMIT_CORE = 4
    RLIMIT_RSS = 5
    RLIMIT_NPROC = 6
    RLIMIT_NOFILE = 7
    RLIMIT_MEMLOCK = 8
    RLIMIT_AS = 9
    RLIMIT_LOCKS = 10
    RLIMIT_SIGPENDING = 11
    RLIMIT_MSGQUEUE = 12
    RLIMIT_NICE = 13
    RLIMIT_RTPRIO = 14
    RLIMIT_RTTIME = 15


RLIM_NLIMITS = 16

# No limit.
RLIM64_INFINITY = 0xFFFFFFFFFFFFFFFF


class RusageWho(IntEnum):
    """Whose account getrusage(2) gives."""

    RUSAGE_SELF = 0
    RUSAGE_CHILDREN = -1
    RUSAGE_THREAD = 1


class PriorityWhich(IntEnum):
    """Whose nice value getpriority(2) means."""

    PRIO_PROCESS = 0
    PRIO_PGRP = 1
    PRIO_USER = 2


PRIO_MIN = -20
PRIO_MAX = 20


class Rlimit64(Structure):
    """struct rlimit64; struct rlimit is the same on x86-64."""

    rlim_cur: U64 = 0
    rlim_max: U64 = 0


class Rusage(Structure):
    """struct rusage; ru_maxrss is in KiB."""

    ru_utime: Timeval = Timeval()
    ru_stime: Timeval = Timeval()
    ru_maxrss: I64 = 0
    ru_ixrss: I64 = 0
    ru_idrss: I64 = 0
    ru_isrss: I64 = 0
    ru_minflt: I64 = 0
    ru_majflt: I64 = 0
    ru_nswap: I64 = 0
    ru_inblock: I64 = 0
    ru_oublock: I64 = 0
    ru_msgsnd: I64 = 0
    ru_msgrcv: I64 = 0
    ru_nsignals: I64 = 0
    ru_nvcsw: I64 = 0
    ru_nivcsw: I64 = 0
