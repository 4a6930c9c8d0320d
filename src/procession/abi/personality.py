"""personality(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag


class PersonalityFlag(IntFlag):
    """The flags above the execution domain."""

    UNAME26 = 0x20000
    ADDR_NO_RANDOMIZE = 0x40000
    FDPIC_FUNCPTRS = 0x80000
    MMAP_PAGE_ZERO = 0x100000
    ADDR_COMPAT_LAYOUT = 0x200000
    READ_IMPLIES_EXEC = 0x400000
    ADDR_LIMIT_32BIT = 0x800000
    SHORT_INODE = 0x1000000
    WHOLE_SECONDS = 0x2000000
    STICKY_TIMEOUTS = 0x4000000
    ADDR_LIMIT_3GB = 0x8000000


class ExecutionDomain(IntEnum):
    """The lowest byte."""

    PER_LINUX = 0
    PER_SVR4 = 0x4100001
    PER_SVR3 = 0x5000002
    PER_SCOSVR3 = 0x7000003
    PER_WYSEV386 = 0x5000004
    PER_ISCR4 = 0x4000005
    PER_BSD = 6
    PER_XENIX = 0x5000007
    PER_LINUX32 = 8
    PER_IRIX32 = 0x4000009
    PER_IRIXN32 = 0x400000A
    PER_IRIX64 = 0x400000B
    PER_RISCOS = 0xC
    PER_SOLARIS = 0x400000D
    PER_UW7 = 0x410000E
    PER_OSF4 = 0xF
    PER_HPUX = 0x10


PER_MASK = 0xFF
PER_CLEAR_ON_SETID = 0x740000
