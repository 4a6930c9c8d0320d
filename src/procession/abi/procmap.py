"""PROCMAP_QUERY: one area of a process's memory, asked of /proc/PID/maps (linux/fs.h)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U32, U64, Structure


class ProcmapIoctl(IntEnum):
    """The requests of /proc/PID/maps."""

    PROCMAP_QUERY = 0xC0686611


class ProcmapFlag(IntFlag):
    """What is asked for, and what an area is."""

    PROCMAP_QUERY_VMA_READABLE = 0x01
    PROCMAP_QUERY_VMA_WRITABLE = 0x02
    PROCMAP_QUERY_VMA_EXECUTABLE = 0x04
    PROCMAP_QUERY_VMA_SHARED = 0x08
    PROCMAP_QUERY_COVERING_OR_NEXT_VMA = 0x10
    PROCMAP_QUERY_FILE_BACKED_VMA = 0x20


class ProcmapQuery(Structure):
    """struct procmap_query."""

    size: U64 = 0
    query_flags: U64 = 0
    query_addr: U64 = 0
    vma_start: U64 = 0
    vma_end: U64 = 0
    vma_flags: U64 = 0
    vma_page_size: U64 = 0
    vma_offset: U64 = 0
    inode: U64 = 0
    dev_major: U32 = 0
    dev_minor: U32 = 0
    vma_name_size: U32 = 0
    build_id_size: U32 = 0
    vma_name_addr: U64 = 0
    build_id_addr: U64 = 0
