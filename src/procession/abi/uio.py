"""Vectors of buffers: readv(2), preadv2(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag
from procession.abi.structure import U64, Pointer, Structure

# The longest vector.
UIO_MAXIOV = 1024


class RwFlag(IntFlag):
    """preadv2(2), pwritev2(2)."""

    RWF_HIPRI = 1
    RWF_DSYNC = 2
    RWF_SYNC = 4
    RWF_NOWAIT = 8
    RWF_APPEND = 0x10
    RWF_NOAPPEND = 0x20
    RWF_ATOMIC = 0x40
    RWF_DONTCACHE = 0x80
    RWF_NOSIGNAL = 0x100


class Iovec(Structure):
    """struct iovec."""

    iov_base: Pointer = 0
    iov_len: U64 = 0
