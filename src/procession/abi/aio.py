"""Asynchronous input and output: io_setup(2), io_submit(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I16, I32, I64, U16, U32, U64, Structure


class IocbCommand(IntEnum):
    """What a request asks for."""

    IOCB_CMD_PREAD = 0
    IOCB_CMD_PWRITE = 1
    IOCB_CMD_FSYNC = 2
    IOCB_CMD_FDSYNC = 3
    IOCB_CMD_POLL = 5
    IOCB_CMD_NOOP = 6
    IOCB_CMD_PREADV = 7
    IOCB_CMD_PWRITEV = 8


class IocbFlag(IntFlag):
    """A request's aio_flags."""

    IOCB_FLAG_RESFD = 1
    IOCB_FLAG_IOPRIO = 2


class Iocb(Structure):
    """struct iocb: a request."""

    aio_data: U64 = 0
    aio_key: U32 = 0
    aio_rw_flags: I32 = 0
    aio_lio_opcode: U16 = 0
    aio_reqprio: I16 = 0
    aio_fildes: U32 = 0
    aio_buf: U64 = 0
    aio_nbytes: U64 = 0
    aio_offset: I64 = 0
    aio_reserved2: U64 = 0
    aio_flags: U32 = 0
    aio_resfd: U32 = 0


class IoEvent(Structure):
    """struct io_event: what became of a request."""

    data: U64 = 0
    obj: U64 = 0
    res: I64 = 0
    res2: I64 = 0
