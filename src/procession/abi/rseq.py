"""Restartable sequences: rseq(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag
from procession.abi.structure import U32, U64, Pointer, Structure


class RseqFlag(IntFlag):
    """rseq(2)."""

    RSEQ_FLAG_UNREGISTER = 1


# What cpu_id holds before it is known, and when the registration failed.
RSEQ_CPU_ID_UNINITIALIZED = -1
RSEQ_CPU_ID_REGISTRATION_FAILED = -2


class Rseq(Structure, size=32, alignment=32):
    """struct rseq: what a thread shares with the kernel."""

    cpu_id_start: U32 = 0
    cpu_id: U32 = 0
    rseq_cs: Pointer = 0
    flags: U32 = 0
    node_id: U32 = 0
    mm_cid: U32 = 0


class RseqCs(Structure, alignment=32):
    """struct rseq_cs: a critical section, and where a thread goes that is interrupted in it."""

    version: U32 = 0
    flags: U32 = 0
    start_ip: U64 = 0
    post_commit_offset: U64 = 0
    abort_ip: U64 = 0
