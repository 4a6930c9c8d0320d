"""futex(2), and the list of robust futexes that the kernel walks at a thread's end."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I64, U32, U64, Pointer, Structure


class FutexCommand(IntEnum):
    """What is left of futex(2)'s operation without the bits of FutexFlag."""

    FUTEX_WAIT = 0
    FUTEX_WAKE = 1
    FUTEX_FD = 2
    FUTEX_REQUEUE = 3
    FUTEX_CMP_REQUEUE = 4
    FUTEX_WAKE_OP = 5
    FUTEX_LOCK_PI = 6
    FUTEX_UNLOCK_PI = 7
    FUTEX_TRYLOCK_PI = 8
    FUTEX_WAIT_BITSET = 9
    FUTEX_WAKE_BITSET = 10
    FUTEX_WAIT_REQUEUE_PI = 11
    FUTEX_CMP_REQUEUE_PI = 12
    FUTEX_LOCK_PI2 = 13


class FutexFlag(IntFlag):
    """The flags in futex(2)'s operation."""

    FUTEX_PRIVATE_FLAG = 0x80
    FUTEX_CLOCK_REALTIME = 0x100


class FutexWord(IntFlag):
    """The bits of the word of a robust or priority-inheriting futex; the rest is the owner's thread id."""

    FUTEX_WAITERS = 0x80000000
    FUTEX_OWNER_DIED = 0x40000000


FUTEX_TID_MASK = 0x3FFFFFFF
FUTEX_BITSET_MATCH_ANY = 0xFFFFFFFF

ROBUST_LIST_LIMIT = 2048
FUTEX_WAITV_MAX = 128


class FutexWakeOperation(IntEnum):
    """FUTEX_WAKE_OP: what is done to the second word."""

    FUTEX_OP_SET = 0
    FUTEX_OP_ADD = 1
    FUTEX_OP_OR = 2
    FUTEX_OP_ANDN = 3
    FUTEX_OP_XOR = 4


# The operand of FUTEX_WAKE_OP is a number of bits to shift 1 by.
FUTEX_OP_OPARG_SHIFT = 8


class FutexComparison(IntEnum):
    """FUTEX_WAKE_OP: how the second word is compared."""

    FUTEX_OP_CMP_EQ = 0
    FUTEX_OP_CMP_NE = 1
    FUTEX_OP_CMP_LT = 2
    FUTEX_OP_CMP_LE = 3
    FUTEX_OP_CMP_GT = 4
    FUTEX_OP_CMP_GE = 5


class Futex2Flag(IntFlag):
    """futex_waitv(2) and futex_wait(2). The lowest two bits are the size of the word."""

    FUTEX2_SIZE_U8 = 0
    FUTEX2_SIZE_U16 = 1
    FUTEX2_SIZE_U32 = 2
    FUTEX2_SIZE_U64 = 3
    FUTEX2_NUMA = 4
    FUTEX2_MPOL = 8
    FUTEX2_PRIVATE = 0x80


FUTEX2_SIZE_MASK = 3
FUTEX_NO_NODE = 0xFFFF_FFFF
"""In the word behind a futex of FUTEX2_NUMA: no node has been chosen yet."""


class RobustListHead(Structure):
    """struct robust_list_head; ``list`` is the first entry's address, or this head's when it is empty."""

    list: Pointer = 0
    futex_offset: I64 = 0
    list_op_pending: Pointer = 0


class FutexWaitv(Structure):
    """struct futex_waitv."""

    val: U64 = 0
    uaddr: U64 = 0
    flags: U32 = 0
    reserved: U32 = 0
