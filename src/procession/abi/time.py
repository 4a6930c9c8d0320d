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


class AdjustmentMode(IntFlag):
    """adjtimex(2): what of struct timex counts."""

    ADJ_OFFSET = 0x0001
    ADJ_FREQUENCY = 0x0002
    ADJ_MAXERROR = 0x0004
    ADJ_ESTERROR = 0x0008
    ADJ_STATUS = 0x0010
    ADJ_TIMECONST = 0x0020
    ADJ_TAI = 0x0080
    ADJ_SETOFFSET = 0x0100
    ADJ_MICRO = 0x1000
    ADJ_NANO = 0x2000
    ADJ_TICK = 0x4000
    ADJ_OFFSET_SINGLESHOT = 0x8001
    ADJ_OFFSET_SS_READ = 0xA001


class ClockStatus(IntFlag):
    """adjtimex(2)'s status."""

    STA_PLL = 0x0001
    STA_PPSFREQ = 0x0002
    STA_PPSTIME = 0x0004
    STA_FLL = 0x0008
    STA_INS = 0x0010
    STA_DEL = 0x0020
    STA_UNSYNC = 0x0040
    STA_FREQHOLD = 0x0080
    STA_PPSSIGNAL = 0x0100
    STA_PPSJITTER = 0x0200
    STA_PPSWANDER = 0x0400
    STA_PPSERROR = 0x0800
    STA_CLOCKERR = 0x1000
    STA_NANO = 0x2000
    STA_MODE = 0x4000
    STA_CLK = 0x8000


class ClockState(IntEnum):
    """What adjtimex(2) returns."""

    TIME_OK = 0
    TIME_INS = 1
    TIME_DEL = 2
    TIME_OOP = 3
    TIME_WAIT = 4
    TIME_ERROR = 5


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
