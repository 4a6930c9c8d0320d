"""Clocks, timers, and the structures that hold a time."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, I64, U32, U64, Structure


class Clock(IntEnum):
    """clock_gettime(2)."""

    CLOCK_REALTIME = 0
    CLOCK_MONOTONIC = 1
    CLOCK_PROCESS_CPUTIME_ID = 2
    CLOCK_THREAD_CPUTIME_ID = 3
    CLOCK_MONOTONIC_RAW = 4
    CLOCK_REALTIME_COARSE = 5
    CLOCK_MONOTONIC_COARSE = 6
    CLOCK_BOOTTIME = 7
    CLOCK_REALTIME_ALARM = 8
    CLOCK_BOOTTIME_ALARM = 9
    CLOCK_TAI = 11


class TimerFlag(IntFlag):
    """clock_nanosleep(2), timer_settime(2)."""

    TIMER_ABSTIME = 1


class ItimerWhich(IntEnum):
    """setitimer(2)."""

    ITIMER_REAL = 0
    ITIMER_VIRTUAL = 1
    ITIMER_PROF = 2


class SigevNotify(IntEnum):
    """timer_create(2): how an expiry is told."""

    SIGEV_SIGNAL = 0
    SIGEV_NONE = 1
    SIGEV_THREAD = 2
    SIGEV_THREAD_ID = 4


class Timespec(Structure):
    """struct timespec."""

    tv_sec: I64 = 0
    tv_nsec: I64 = 0


class Timeval(Structure):
    """struct timeval."""

    tv_sec: I64 = 0
    tv_usec: I64 = 0


class Itimerspec(Structure):
    """struct itimerspec."""

    it_interval: Timespec = Timespec()
    it_value: Timespec = Timespec()


class Itimerval(Structure):
    """struct itimerval."""

    it_interval: Timeval = Timeval()
    it_value: Timeval = Timeval()


class Timezone(Structure):
    """gettimeofday(2)'s struct timezone."""

    tz_minuteswest: I32 = 0
    tz_dsttime: I32 = 0


class Tms(Structure):
    """times(2)'s struct tms, in ticks of 10 ms."""

    tms_utime: I64 = 0
    tms_stime: I64 = 0
    tms_cutime: I64 = 0
    tms_cstime: I64 = 0


class Sigevent(Structure, size=64):
    """timer_create(2)'s struct sigevent, with the thread of SIGEV_THREAD_ID out of its union."""

    sigev_value: U64 = 0
    sigev_signo: I32 = 0
    sigev_notify: I32 = 0
    sigev_notify_thread_id: I32 = 0


class Timex(Structure, size=208):
    """adjtimex(2)'s struct timex."""

    modes: U32 = 0
    offset: I64 = 0
    freq: I64 = 0
    maxerror: I64 = 0
    esterror: I64 = 0
    status: I32 = 0
    constant: I64 = 0
    precision: I64 = 0
    tolerance: I64 = 0
    time: Timeval = Timeval()
    tick: I64 = 0
    ppsfreq: I64 = 0
    jitter: I64 = 0
    shift: I32 = 0
    stabil: I64 = 0
    jitcnt: I64 = 0
    calcnt: I64 = 0
    errcnt: I64 = 0
    stbcnt: I64 = 0
    tai: I32 = 0
