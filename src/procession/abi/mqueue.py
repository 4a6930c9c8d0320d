"""POSIX message queues."""

from __future__ import annotations

from procession.abi.structure import I64, Structure

MQ_PRIO_MAX = 32768
MQ_BYTES_MAX = 819200

# mq_notify(2) by a message to a netlink socket: what SIGEV_THREAD brings.
NOTIFY_NONE = 0
NOTIFY_WOKENUP = 1
NOTIFY_REMOVED = 2
NOTIFY_COOKIE_LEN = 32


class MqAttr(Structure, size=64):
    """struct mq_attr."""

    mq_flags: I64 = 0
    mq_maxmsg: I64 = 0
    mq_msgsize: I64 = 0
    mq_curmsgs: I64 = 0
