"""cachestat(2): how many pages of a file are in memory."""

from __future__ import annotations

from procession.abi.structure import U64, Structure


class CachestatRange(Structure):
    """struct cachestat_range; a length of 0 reaches to the end."""

    off: U64 = 0
    len: U64 = 0


class Cachestat(Structure):
    """struct cachestat: numbers of pages."""

    nr_cache: U64 = 0
    nr_dirty: U64 = 0
    nr_writeback: U64 = 0
    nr_evicted: U64 = 0
    nr_recently_evicted: U64 = 0
