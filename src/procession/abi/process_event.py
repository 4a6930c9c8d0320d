"""Events of processes, as the connector tells of them: linux/cn_proc.h, linux/connector.h."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U16, U32, U64, Structure

CN_IDX_PROC = CN_VAL_PROC = 1
"""The id of the process connector, and the group of netlink that hears it."""
CONNECTOR_MAX_MSG_SIZE = 16_384


class CnMsg(Structure):
    """struct cn_msg, with its struct cb_id; `len` bytes follow."""

    idx: U32 = 0
    val: U32 = 0
    seq: U32 = 0
    ack: U32 = 0
    len: U16 = 0
    flags: U16 = 0


class ProcEvent(Structure):
    """struct proc_event; what `event_data` holds depends on `what`."""

    what: U32 = 0
    cpu: U32 = 0
    timestamp_ns: U64 = 0
    event_data: Annotated[bytes, 24] = b""


class ProcMcastOperation(IntEnum):
    """enum proc_cn_mcast_op."""

    PROC_CN_MCAST_LISTEN = 1
    PROC_CN_MCAST_IGNORE = 2


class ProcCnEvent(IntFlag):
    """enum proc_cn_event."""

    PROC_EVENT_NONE = 0
    PROC_EVENT_FORK = 1
    PROC_EVENT_EXEC = 2
    PROC_EVENT_UID = 4
    PROC_EVENT_GID = 0x40
    PROC_EVENT_SID = 0x80
    PROC_EVENT_PTRACE = 0x100
    PROC_EVENT_COMM = 0x200
    PROC_EVENT_NONZERO_EXIT = 0x2000_0000
    PROC_EVENT_COREDUMP = 0x4000_0000
    PROC_EVENT_EXIT = 0x8000_0000
